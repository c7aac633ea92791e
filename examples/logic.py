"""How two propositional formulas relate: a Tree-LSTM and a recursive network on pairs of formulas.

    python examples/logic.py --data FOLDER    # the full data: FOLDER/logic/train0, test0, train1, ...
    python examples/logic.py --cell recnn     # only one of the two
    python examples/logic.py --quick          # too few pairs to learn much from, in seconds

Given two formulas, ((not a) and b) and (b or c), which of seven relations holds: equivalence, entailment, reverse
entailment, negation, alternation, cover or independence? One network reads both formulas, which form one graph, and a
small network compares their roots. They must learn what variables and operators mean. They train on pairs of up to
six operators and are tested on each size for which there is a file: test0, …, test12.

S. Bowman, C. Potts and C. Manning, "Recursive Neural Networks Can Learn Logical Semantics", CVSC 2015 (data);
S. Bowman, C. Manning and C. Potts, "Tree-Structured Composition in Neural Networks without Tree-Structured
Architectures", CoCo workshop 2015 (its Tree-LSTM and TreeRNN are trained on up to six operators, too).
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

# By its name in --cell: what it is called here and in the paper, and its class.
CELLS = {"tree-lstm": ("Tree-LSTM", "Tree-LSTM", gr.TreeLSTM), "recnn": ("RecNN", "TreeRNN", gr.RecNN)}
# Accuracy in per cent of the paper's networks on its test sets, by size.
PAPER = {
    "tree-lstm": {4: 98.7, 6: 94.5, 8: 91.7, 10: 89.9, 12: 86.2},
    "recnn": {6: 97.0, 8: 93.9, 10: 92.3, 12: 92.1},
}
LARGEST, LAST = 6, 12  # the most operators in a formula to train on, and to test on
LR = {"tree-lstm": 4e-3, "recnn": 2e-3}
QUICK = Path(__file__).parents[1] / "datasets"


class Comparison(nn.Module):
    """A recursive network over both formulas, and a comparison of their roots.

    Args:
        cell: of `CELLS`.
        words: the size of the vocabulary.
        classes: how many relations.
        hidden: the width of states.
        embedding: the width of word vectors.
    """

    def __init__(self, cell: str, words: int, classes: int, hidden: int, embedding: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, embedding, padding_idx=0)  # 0 is no word: an inner node
        self.tree = CELLS[cell][2](embedding, hidden, arity=2)
        wide = 2 * hidden
        self.compare = nn.Sequential(nn.Linear(2 * wide, wide), nn.ReLU(), nn.Linear(wide, classes))

    def forward(self, batch: Data) -> Tensor:
        """`[G, classes]`: logits of the relations."""
        h = self.tree(self.embed(batch.token), batch)
        left, right = h[batch.root_index].unflatten(0, (-1, 2)).unbind(dim=1)
        # Equal formulas have zero differences, opposite ones negative products: as inputs they speed up learning.
        return self.compare(torch.cat([left, right, left - right, left * right], dim=1))


def there(root: Path | None, split: str, sizes: Iterable[int]) -> dict[int, Logic]:
    """The pairs, for each size that has a file, by size.

    Raises:
        FileNotFoundError: there is none; says where it was looked for, and where to get it.
    """
    found, missing = {}, None
    for size in sizes:
        try:
            found[size] = Logic(root, split, (size,))
        except FileNotFoundError as error:
            missing = missing or error
    if not found and missing is not None:
        raise missing
    return found


@common.reading()
def load(run: common.Run) -> tuple[learning.Samples, list[str], list[str]]:
    """The samples, of which a twentieth of the training pairs choose the epoch; the vocabulary and the relations."""
    root = QUICK if run.args.quick else run.args.data
    sets = {"train": there(root, "train", range(LARGEST + 1)), "test": there(root, "test", range(LAST + 1))}
    train, test = ([pair for pairs in found.values() for pair in pairs] for found in sets.values())
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0)).tolist()
    cut = len(train) // 20
    batch_size = 16 if run.args.quick else 256
    parts = [train[i] for i in order[cut:]], [train[i] for i in order[:cut]], test
    any_size = next(iter(sets["train"].values()))  # all sizes have the same words
    return learning.Samples(*parts, batch_size), any_size.vocabulary, any_size.classes


def is_right(model: learning.Classifier, samples: learning.Samples) -> Tensor:
    """`[G]` bool: whether the model's answer to each pair of the test set is correct."""
    right = []
    for batch in samples.test_dataloader():
        with torch.no_grad():
            right.append(model(batch).argmax(dim=1) == batch.y)
    return torch.cat(right)


def draw(sizes: list[int], ours: dict[str, list[float]], guess: list[float], paper: bool) -> Any:
    """Accuracy by size, of this run and of the paper; the higher number stands above its point, the lower below."""
    fig = common.figure(4.8 * len(ours) + 0.8, 4.0)
    for ax, (cell, rates) in zip(
        fig.subplots(1, len(ours), sharey=True, squeeze=False)[0], ours.items(), strict=True
    ):
        name, named, _ = CELLS[cell]
        published = {size: rate for size, rate in PAPER[cell].items() if paper and size in sizes}
        ax.plot(sizes, rates, "o-", color=common.COLOURS[0], lw=2, label=f"{name} (this run)")
        here = dict(zip(sizes, rates, strict=True))
        for points, others, colour in ((here, published, 0), (published, here, 3)):
            for size, value in points.items():
                above = 7 if value >= others.get(size, 0) else -16
                where = {"textcoords": "offset points", "ha": "center", "fontsize": 9}
                ax.annotate(f"{value:.1f}", (size, value), (0, above), color=common.COLOURS[colour], **where)
        if published:
            ax.plot(
                published.keys(),
                published.values(),
                "D",
                color=common.COLOURS[3],
                ms=6,
                label=f"{named} of the paper",
            )
        ax.plot(sizes, guess, "s--", color="#8A939C", lw=1.5, label="most common relation")
        ax.set(
            xlabel="operators in the larger formula", ylim=(0, 112), yticks=range(0, 101, 20), xticks=sizes
        )
        ax.grid(axis="y", color="#E6E9EC")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, loc="lower left")
    fig.axes[0].set_ylabel("pairs judged correctly, %")
    return fig


def main(argv: list[str] | None = None) -> None:
    folder = "the folder of logic/train0, …; by default $GRAPHREC_DATA"
    flags = common.parser(__doc__, name="logic", epochs=8, data=folder)
    flags.add_argument(
        "--cell", choices=(*CELLS, "both"), default="both", help="what to train (default: both)"
    )
    run = common.start(flags, argv)
    samples, vocabulary, relations = load(run)
    hidden = 24 if run.args.quick else 64
    y = torch.cat([s.y for s in samples.test])
    size = torch.cat([s.num_operators for s in samples.test])
    sizes = size.unique().tolist()
    groups = [size == n for n in sizes] + [size >= 0]
    rows: list[list[object]] = [[name] for name in [*(f"{n} operators" for n in sizes), "all"]]
    header = ["accuracy in % on test", "pairs", "most common relation"]
    guess = [100 * y[group].bincount().max().item() / int(group.sum()) for group in groups]
    for row, group, rate in zip(rows, groups, guess, strict=True):
        row += [int(group.sum()), f"{rate:.1f}"]

    ours: dict[str, list[float]] = {}
    for cell in CELLS if run.args.cell == "both" else [run.args.cell]:
        model = run.fit(
            cell.replace("-", "_"),
            lambda cell=cell: learning.Classifier(
                Comparison(cell, len(vocabulary), len(relations), hidden),
                len(relations),
                lr=LR[cell],
            ),
            samples,
            patience=run.args.epochs,  # the falling step size ends the training
        )
        right = is_right(model, samples)
        rates = [100 * right[group].double().mean().item() for group in groups]
        ours[cell] = rates[:-1]
        header += [f"{CELLS[cell][0]} (this run)"]
        for row, rate in zip(rows, rates, strict=True):
            row.append(f"{rate:.1f}")
        if not run.args.quick:
            header += [f"the paper's {CELLS[cell][1]}"]
            for row, n in zip(rows, [*sizes, None], strict=True):
                row.append(f"{PAPER[cell][n]:.1f}" if n in PAPER[cell] else "")
    draw(sizes, ours, guess[:-1], paper=not run.args.quick).savefig(run.folder / "accuracy.png")
    run.finish(common.table(header, rows))


if __name__ == "__main__":
    main()
