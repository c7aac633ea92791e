"""How two propositional formulas relate: a Tree-LSTM on pairs of formulas.

    python examples/logic.py --data FOLDER    # the full data: FOLDER/logic/train0, test0, train1, ...
    python examples/logic.py --quick          # too few pairs to learn much from, in seconds

Given ((not a) and b) and (b or c), say which of seven relations holds: equivalence, entailment, its
reverse, negation, alternation, cover or independence. One Tree-LSTM reads both formulas, which are one graph
here, and a small network compares their roots. What variables and operators mean is for it to find out. It
trains on pairs of up to six operators and is tested on each size by itself.

S. Bowman, C. Potts and C. Manning, "Recursive Neural Networks Can Learn Logical Semantics", CVSC 2015 (data);
S. Bowman, C. Manning and C. Potts, "Tree-Structured Composition in Neural Networks without Tree-Structured
Architectures", CoCo workshop 2015 (the Tree-LSTM).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import common
import learning
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

import graphrec as gr
from graphrec.datasets import Logic

PAPER = {4: 98.7, 6: 94.5}  # accuracy in per cent of the papers' Tree-LSTM, by size
LARGEST = 6  # the most operators in a formula to train on; the data have up to 12 to test on
QUICK = Path(__file__).parents[1] / "datasets"


class Comparison(nn.Module):
    """A Tree-LSTM over both formulas, and a comparison of their roots.

    Args:
        words: the size of the vocabulary.
        classes: how many relations.
        hidden: the width of states.
        embedding: the width of word vectors.
    """

    def __init__(self, words: int, classes: int, hidden: int, embedding: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, embedding, padding_idx=0)  # 0 is no word: an inner node
        self.tree = gr.TreeLSTM(embedding, hidden, arity=2)
        wide = 2 * hidden
        self.compare = nn.Sequential(nn.Linear(2 * wide, wide), nn.ReLU(), nn.Linear(wide, classes))

    def forward(self, batch: Data) -> Tensor:
        """`[G, classes]`: logits of the relations."""
        h = self.tree(self.embed(batch.token), batch)
        left, right = h[batch.root_index].unflatten(0, (-1, 2)).unbind(dim=1)
        # Equal formulas have zero differences, opposed ones negative products: said outright, learnt sooner.
        return self.compare(torch.cat([left, right, left - right, left * right], dim=1))


def there(root: Path | None, split: str, sizes: Iterable[int]) -> list[int]:
    """Those of the sizes that there is a file of.

    Raises:
        FileNotFoundError: there is none; says where it was looked for, and where to get it.
    """
    found, missing = [], None
    for size in sizes:
        try:
            Logic(root, split, (size,))
        except FileNotFoundError as error:
            missing = missing or error
            continue
        found.append(size)
    if not found and missing is not None:
        raise missing
    return found


def load(run: common.Run) -> tuple[learning.Samples, Logic]:
    """The samples, of which a twentieth of the training pairs choose the epoch, and the training set."""
    root = QUICK if run.args.quick else run.args.data
    train = Logic(root, "train", there(root, "train", range(LARGEST + 1)))
    test = Logic(root, "test", there(root, "test", range(13)))
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    cut = len(train) // 20
    batch_size = 16 if run.args.quick else 256
    return learning.Samples(train[order[cut:]], train[order[:cut]], test, batch_size), train


def is_right(model: learning.Classifier, samples: learning.Samples) -> Tensor:
    """`[G]` bool: whether the model's answer to each pair of the test set is right."""
    right = []
    for batch in samples.test_dataloader():
        with torch.no_grad():
            right.append(model(batch).argmax(dim=1) == batch.y)
    return torch.cat(right)


def draw(sizes: list[int], ours: list[float], guess: list[float], paper: dict[int, float]) -> Any:
    """Accuracy by size, with the numbers of this run above its points, and those of the paper below."""
    fig = common.figure(6.4, 4.0)
    ax = fig.add_subplot()
    ax.plot(sizes, ours, "o-", color=common.COLOURS[0], lw=2, label="Tree-LSTM (this run)")
    for points, colour, above in ((dict(zip(sizes, ours, strict=True)), 0, 7), (paper, 3, -16)):
        for size, value in points.items():
            where = {"textcoords": "offset points", "ha": "center", "fontsize": 9}
            ax.annotate(f"{value:.1f}", (size, value), (0, above), color=common.COLOURS[colour], **where)
    if paper:
        ax.plot(
            paper.keys(), paper.values(), "D", color=common.COLOURS[3], ms=6, label="Tree-LSTM of the paper"
        )
    ax.plot(sizes, guess, "s--", color="#8A939C", lw=1.5, label="commonest relation")
    ax.set(
        xlabel="operators in the larger formula",
        ylabel="pairs judged rightly, %",
        ylim=(0, 112),
        yticks=range(0, 101, 20),
    )
    ax.set_xticks(sizes)
    ax.grid(axis="y", color="#E6E9EC")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="lower left")
    return fig


def main(argv: list[str] | None = None) -> None:
    folder = "the folder of logic/train0, …; by default $GRAPHREC_DATA"
    run = common.start(common.parser(__doc__, name="logic", epochs=8, data=folder), argv)
    samples, train = load(run)
    hidden = 24 if run.args.quick else 64
    model = run.fit(
        "tree_lstm",
        lambda: learning.Classifier(
            Comparison(len(train.vocabulary), train.num_classes, hidden), train.num_classes, lr=4e-3
        ),
        samples,
        patience=run.args.epochs,  # the falling step size ends the training
    )

    paper = {} if run.args.quick else PAPER
    right = is_right(model, samples)
    y = torch.cat([s.y for s in samples.test])
    size = torch.cat([s.num_operators for s in samples.test])
    sizes = size.unique().tolist()
    ours = [100 * right[size == n].double().mean().item() for n in sizes]
    guess = [100 * y[size == n].bincount().max().item() / int((size == n).sum()) for n in sizes]
    rows: list[list[object]] = [
        [
            f"{n} operators",
            int((size == n).sum()),
            f"{g:.1f}",
            f"{paper[n]:.1f}" if n in paper else "",
            f"{a:.1f}",
        ]
        for n, g, a in zip(sizes, guess, ours, strict=True)
    ]
    all_guess = 100 * y.bincount().max().item() / len(y)
    rows.append(["all", len(y), f"{all_guess:.1f}", "", f"{100 * right.double().mean():.1f}"])
    draw(sizes, ours, guess, paper).savefig(run.folder / "accuracy.png")
    header = ["accuracy in %", "pairs", "commonest relation", "the paper's", "Tree-LSTM (this run)"]
    run.finish(common.table(header, rows))


if __name__ == "__main__":
    main()
