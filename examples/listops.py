"""The value of nested lists such as [MAX 2 9 [MIN 4 7 ] 0 ]: a Tree-LSTM on ListOps.

    python examples/listops.py --data FOLDER    # also tests on the public file FOLDER/listops/test_d8.tsv
    python examples/listops.py                  # tests on expressions drawn here, needs no files
    python examples/listops.py --quick          # few and shallow expressions, in seconds

The words of an expression are the leaves of a binary tree, in which a list takes up its arguments one by
one: ( ( ( [MAX 2 ) 9 ) ] ). The network sees words and tree and must say the value, a digit. A network that
reads the words as a mere sequence must find out which bracket closes which, and does much worse.

N. Nangia and S. Bowman, "ListOps: A Diagnostic Dataset for Latent Tree Learning", NAACL Student Research
Workshop 2018. Its Tree-LSTM reaches 98.7 % with these trees, on lists that are deeper, longer and have other
operators: MED and SM in place of FIRST and LAST.
"""

from __future__ import annotations

from typing import Any

import common
import learning
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

import graphrec as gr
from graphrec.datasets import ListOps, ListOpsGenerator

PAPER = 98.7  # per cent, its table 2: the Tree-LSTM on the given trees
OPERATORS = ("MIN", "MAX", "FIRST", "LAST")  # those of the public file, and so for training
HELD_OUT = 2000  # expressions each for validation and for testing


class Evaluator(nn.Module):
    """Word vectors, a Tree-LSTM with a weight for each child, and a classifier at the root.

    Args:
        words: the size of the vocabulary.
        hidden: the width of states.
        embedding: the width of word vectors.
    """

    def __init__(self, words: int, hidden: int, embedding: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, embedding, padding_idx=0)  # 0 is no word: an inner node
        self.tree = gr.TreeLSTM(embedding, hidden, arity=2)
        self.classify = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def forward(self, batch: Data) -> Tensor:
        """`[G, 10]`: logits of the values."""
        h = self.tree(self.embed(batch.token), batch)
        return self.classify(gr.readout.root(h, batch))


def load(run: common.Run) -> tuple[learning.Samples, list[Any], list[str]]:
    """Samples drawn for this run, the public test set (empty without the file), and the vocabulary."""
    size, depth = (500, 3) if run.args.quick else (30_000, 8)
    held_out = 100 if run.args.quick else HELD_OUT
    drawn = ListOps(ListOpsGenerator(size + 2 * held_out, 0, OPERATORS, max_depth=depth, max_args=3))
    public: list[Any] = []
    if not run.args.quick:
        try:
            public = list(ListOps("test_d8.tsv", run.args.data))
        except FileNotFoundError:
            common.say("There is no listops/test_d8.tsv: testing on expressions drawn here alone.")
    # Short expressions are few, and some of them are in the public file: not to be learnt from.
    tested = {words(sample) for sample in public}
    order = torch.randperm(len(drawn), generator=torch.Generator().manual_seed(0))
    shuffled: list[Any] = [drawn[i] for i in order.tolist()]
    kept = [sample for sample in shuffled if words(sample) not in tested]
    splits = kept[2 * held_out :], kept[:held_out], kept[held_out : 2 * held_out]
    return learning.Samples(*splits, batch_size=8 if run.args.quick else 128), public, drawn.vocabulary


def words(sample: Data) -> tuple[int, ...]:
    """The words of an expression, from left to right, as numbers; 0 stands for inner nodes."""
    return tuple(sample.token.tolist())


def depths(samples: list[Any], vocabulary: list[str]) -> Tensor:
    """`[G]`: how many lists are around the innermost one, itself counted."""
    opens = torch.tensor([word.startswith("[") for word in vocabulary]).long()
    closes = torch.tensor([word == "]" for word in vocabulary]).long()
    return torch.stack([(opens - closes)[s.token].cumsum(dim=0).max() for s in samples])


def is_right(model: learning.Classifier, samples: list[Any]) -> Tensor:
    """`[G]` bool: whether the model's answer to each sample is right."""
    right = []
    for batch in learning.Samples([], [], samples, 128).test_dataloader():
        with torch.no_grad():
            right.append(model(batch).argmax(dim=1) == batch.y)
    return torch.cat(right)


def draw(right: Tensor, groups: dict[str, Tensor], title: str) -> Any:
    """Accuracy by each way of grouping the expressions, and below it how many there are in each group."""
    fig = common.figure(4.6 * len(groups), 4.0)
    top, bottom = fig.subplots(2, len(groups), sharex="col", sharey="row", height_ratios=(3, 1))
    for over, under, (name, group) in zip(top, bottom, groups.items(), strict=True):
        values, counts = group.unique(return_counts=True)
        rate = torch.stack([100 * right[group == value].double().mean() for value in values])
        over.axhline(
            PAPER, color=common.COLOURS[3], lw=1.5, ls="--", label=f"the paper's, on all of its own: {PAPER}"
        )
        over.plot(values, rate, "o-", color=common.COLOURS[0], lw=2, label="Tree-LSTM (this run)")
        over.grid(axis="y", color="#E6E9EC")
        under.bar(values, counts, 0.8 * float(values.diff().min()), color="#B9C2CA")
        under.set_xlabel(name)
        for ax in (over, under):
            ax.spines[["top", "right"]].set_visible(False)
    bottom[0].xaxis.get_major_locator().set_params(integer=True)
    top[0].set_ylabel("right answers, %")
    bottom[0].set_ylabel("expressions")
    top[0].legend(frameon=False, loc="lower left", fontsize=9)
    fig.suptitle(title, fontsize=11)
    return fig


def main(argv: list[str] | None = None) -> None:
    folder = "the folder of listops/test_d8.tsv; by default $GRAPHREC_DATA"
    run = common.start(common.parser(__doc__, name="listops", epochs=3, data=folder), argv)
    samples, public, vocabulary = load(run)
    hidden = 32 if run.args.quick else 96
    model = run.fit(
        "tree_lstm",
        lambda: learning.Classifier(Evaluator(len(vocabulary), hidden), 10, lr=4e-3),
        samples,
        patience=run.args.epochs,  # the falling step size ends the training
    )

    rows: list[list[object]] = [["Tree-LSTM of Nangia and Bowman", "their own", "10000", "", f"{PAPER:.1f}"]]
    tests = {"drawn here, held out": samples.test} | ({"public, test_d8.tsv": public} if public else {})
    for name, tested in tests.items():
        right = is_right(model, tested)
        guess = torch.cat([s.y for s in tested]).bincount().max().item() / len(tested)
        ours = 100 * right.double().mean().item()
        rows.append(["Tree-LSTM (this run)", name, len(tested), f"{100 * guess:.1f}", f"{ours:.2f}"])
        length = torch.tensor([int((s.token > 0).sum()) for s in tested])
        groups = {
            "depth of nesting": depths(tested, vocabulary),
            "length in words, by tens": length // 10 * 10 + 5,
        }
        file = f"accuracy_{name.split(',')[0].replace(' ', '_')}.png"
        draw(right, groups, f"ListOps, {name}").savefig(run.folder / file)
    run.finish(
        common.table(["accuracy in %", "test set", "expressions", "commonest value", "accuracy"], rows)
    )


if __name__ == "__main__":
    main()
