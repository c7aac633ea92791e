"""The value of nested lists such as [MAX 2 9 [MIN 4 7 ] 0 ]: a Tree-LSTM on ListOps.

    python examples/listops.py            # the paper's grammar: MIN, MAX, MED, SM (sum modulo 10); needs no files,
                                          # and a quarter of an hour on one core
    python examples/listops.py --quick    # few and shallow expressions, in seconds
    python examples/listops.py --file NAME --operators MIN,MAX,FIRST,LAST --max-depth 8 --max-args 3
                                          # another grammar; also tests on a file of --data, e.g. test_d8.tsv

The words of an expression are the leaves of a binary tree, in which a list takes its arguments one by one:
( ( ( [MAX 2 ) 9 ) ] ). The network reads words and tree and predicts the value, a digit. A network that reads the
words as a plain sequence must find out which brackets match, and is much worse.

As in the paper, 100,000 different expressions are drawn and a tenth of them is held out, and for a training expression
only the value of the whole is given. Unlike in the paper, each time an expression is used its digits and operators are
drawn afresh, so that none is memorised. And the shortest expressions come first: sums modulo 10 are learnt at once
with two arguments, and hardly ever with five.

N. Nangia and S. Bowman, "ListOps: A Diagnostic Dataset for Latent Tree Learning", NAACL Student Research
Workshop 2018. Its Tree-LSTM reaches 98.7 % with these trees.
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
from pathlib import Path
from typing import Any

import common
import learning
import torch
from data.listops import DrawnListOps, ListOpsGenerator
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

import graphrec as gr
from graphrec.datasets import ListOps

PAPER = 98.7  # per cent, its table 2: the Tree-LSTM on the given trees
OPERATORS, DEPTH, ARGUMENTS = ("MIN", "MAX", "MED", "SM"), 20, 5  # the paper's grammar
DRAWN, TESTED, VALIDATED = 100_000, 10_000, 1000  # expressions
BATCH, BATCHES = 128, 500  # expressions in a batch, batches in an epoch
# The most words of a training expression, in each part of the training.
LIMITS = (4, 5, 6, 7, 10, *2 * [15], *4 * [25], *8 * [50], *4 * [100], 10_000)


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


class Refilled(torch.utils.data.Dataset):
    """New expressions: the same structure with other digits and operators.

    The grammar draws these independently of their places, so the new expressions have the same distribution.

    Args:
        samples: of ListOps.
        operators: the numbers of those to be drawn.
        held_out: the words of expressions that must not be made.
    """

    def __init__(self, samples: list[Any], operators: list[int], held_out: set[tuple[int, ...]]) -> None:
        self.samples, self.operators, self.held_out = samples, operators, held_out

    def __getitem__(self, place: tuple[int, int]) -> Data:
        """Sample i, filled by a seed."""
        i, seed = place
        draw = random.Random(seed)
        sample = copy.copy(self.samples[i])
        token = sample.token.tolist()
        while True:
            for node, number in enumerate(token):
                if 0 < number <= 10:
                    token[node] = draw.randint(1, 10)
                elif number in self.operators:
                    token[node] = draw.choice(self.operators)
            if tuple(token) not in self.held_out:
                break
        sample.token, sample.y = torch.tensor(token), torch.tensor([ListOps.value(token)])
        return sample


class Curriculum(learning.Samples):
    """Training samples by length, the short ones first; all epochs have equally many batches.

    A batch holds samples of about the same depth, so that there are few levels, and these are full.

    Args:
        train, val, test: lists of samples.
        operators, held_out: see `Refilled`.
        batch_size: the most samples in a batch; of long ones there are fewer.
        batches: per epoch.
        epochs: over which the limits are spread.
    """

    MOST_WORDS = 4096  # in a batch

    def __init__(
        self,
        train: list[Any],
        val: list[Any],
        test: list[Any],
        operators: list[int],
        held_out: set[tuple[int, ...]],
        batch_size: int,
        batches: int,
        epochs: int,
    ) -> None:
        super().__init__(train, val, test, batch_size)
        self.refilled: Any = Refilled(train, operators, held_out)
        self.batches, self.epochs = batches, epochs
        self.length = lengths(train)
        self.height = torch.tensor([int(sample.level.max()) for sample in train])

    def train_dataloader(self) -> DataLoader:
        epoch = learning.epoch_of(self)
        limit = LIMITS[min(epoch * len(LIMITS) // self.epochs, len(LIMITS) - 1)]
        short = (self.length <= max(limit, int(self.length.min()))).nonzero().flatten()
        draw = torch.Generator().manual_seed(self.run_seed + 1_000_003 * epoch)
        chosen = short[torch.randint(len(short), (self.batches * self.batch_size,), generator=draw)]
        made = self._cut(chosen[self.height[chosen].argsort()])
        order = torch.randperm(len(made), generator=draw)[: self.batches].tolist()
        # A seed for each: Lightning iterates a loader twice and must find the same samples.
        seeds = iter(torch.randint(2**62, (len(chosen),), generator=draw).tolist())
        batches: Any = [[(i, next(seeds)) for i in made[batch]] for batch in order]
        return DataLoader(self.refilled, batch_sampler=batches, generator=draw)

    def _cut(self, chosen: Tensor) -> list[list[int]]:
        """Batches of samples that follow each other, at least as many as there are in an epoch."""
        batches: list[list[int]] = [[]]
        words = 0
        for i, length in zip(chosen.tolist(), self.length[chosen].tolist(), strict=True):
            if batches[-1] and (len(batches[-1]) == self.batch_size or words + length > self.MOST_WORDS):
                batches.append([])
                words = 0
            batches[-1].append(i)
            words += length
        return batches


@common.reading()
def load(run: common.Run) -> tuple[Curriculum, list[Any], list[str]]:
    """Samples drawn for this run, those of --file (empty without it), and the vocabulary."""
    args = run.args
    depth, most = (
        (min(args.max_depth, 3), min(args.max_args, 3)) if args.quick else (args.max_depth, args.max_args)
    )
    drawn, tested, validated = (700, 100, 100) if args.quick else (DRAWN, TESTED, VALIDATED)
    expressions = DrawnListOps(ListOpsGenerator(drawn, 0, args.operators, max_depth=depth, max_args=most))
    vocabulary = expressions.vocabulary
    given: list[Any] = []
    if args.file:
        path = Path(args.file)
        given = list(ListOps(str(path.resolve()) if path.is_file() else args.file, args.data))
        used = {vocabulary[token] for sample in given for token in sample.token.tolist()}
        unknown = sorted(word[1:] for word in used if word.startswith("[") and word[1:] not in args.operators)
        if unknown:
            sys.exit(
                f"{args.file} has the operators {', '.join(unknown)}, too: name all of them with --operators."
            )
    # Short expressions are few, and some of them are in the file: these are left out of training.
    known = {words(sample) for sample in given}
    order = torch.randperm(len(expressions), generator=torch.Generator().manual_seed(0))
    shuffled: list[Any] = [expressions[i] for i in order.tolist()]
    kept = [sample for sample in shuffled if words(sample) not in known]
    test, val, train = kept[:tested], kept[tested : tested + validated], kept[tested + validated :]
    held_out = known | {words(sample) for sample in test + val}
    numbers = [vocabulary.index(f"[{name}") for name in args.operators]
    size, batches = (8, 30) if args.quick else (BATCH, BATCHES)
    samples = Curriculum(train, val, test, numbers, held_out, size, batches, args.epochs)
    return samples, given, vocabulary


def words(sample: Data) -> tuple[int, ...]:
    """The words of an expression, from left to right, as numbers; 0 stands for inner nodes."""
    return tuple(sample.token.tolist())


def lengths(samples: list[Any]) -> Tensor:
    """`[G]`: how many words each expression has."""
    return torch.tensor([int((sample.token > 0).sum()) for sample in samples])


def depths(samples: list[Any], vocabulary: list[str]) -> Tensor:
    """`[G]`: how deeply lists are nested."""
    opens = torch.tensor([word.startswith("[") for word in vocabulary]).long()
    closes = torch.tensor([word == "]" for word in vocabulary]).long()
    return torch.stack([(opens - closes)[s.token].cumsum(dim=0).max() for s in samples])


def groups(samples: list[Any], vocabulary: list[str]) -> dict[str, list[tuple[str, Tensor]]]:
    """Ways to group expressions: of each group its name and `[G]` bool, which belong to it."""
    first = torch.stack([sample.token[0] for sample in samples])
    found: dict[str, list[tuple[str, Tensor]]] = {
        "outermost operator": [
            (word[1:], first == token) for token, word in enumerate(vocabulary) if word.startswith("[")
        ]
    }
    for name, number in {"depth of nesting": depths(samples, vocabulary), "words": lengths(samples)}.items():
        found[name] = [
            (str(low) if low == 1 else f"{low}–{2 * low - 1}", (low <= number) & (number < 2 * low))
            for low in (2**k for k in range(int(number.max()).bit_length()))
        ]
    return {name: [g for g in of_it if g[1].any()] for name, of_it in found.items()}


def is_right(model: learning.Classifier, samples: list[Any]) -> Tensor:
    """`[G]` bool: whether the model's answer to each sample is right."""
    right = []
    for batch in learning.Samples([], [], samples, 128).test_dataloader():
        with torch.no_grad():
            right.append(model(batch).argmax(dim=1) == batch.y)
    return torch.cat(right)


def draw(right: Tensor, ways: dict[str, list[tuple[str, Tensor]]], title: str, paper: float | None) -> Any:
    """Accuracy by each way of grouping the expressions, and below it how many there are in each group."""
    fig = common.figure(11.5, 4.2)
    widths = [len(found) for found in ways.values()]
    top, bottom = fig.subplots(
        2, len(ways), sharex="col", sharey="row", height_ratios=(3, 1), width_ratios=widths
    )
    for over, under, (name, found) in zip(top, bottom, ways.items(), strict=True):
        names = [group for group, _ in found]
        rate = [100 * right[member].double().mean().item() for _, member in found]
        line = "o" if name == "outermost operator" else "o-"
        over.plot(names, rate, line, color=common.COLOURS[0], lw=2, label="Tree-LSTM (this run)")
        for place, value in enumerate(rate):
            where = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
            over.annotate(f"{value:.1f}", (place, value), (0, 6), color=common.COLOURS[0], **where)
        if paper is not None:
            label = f"the paper's, on all of its own: {paper}"
            over.axhline(paper, color=common.COLOURS[3], lw=1.5, ls="--", label=label)
        over.grid(axis="y", color="#E6E9EC")
        over.margins(y=0.15)
        under.bar(names, [int(member.sum()) for _, member in found], color="#B9C2CA")
        under.set_xlabel(name)
        under.tick_params(axis="x", labelsize=7)
        for ax in (over, under):
            ax.spines[["top", "right"]].set_visible(False)
    top[0].set_ylabel("correct answers, %")
    bottom[0].set_ylabel("expressions")
    fig.legend(*top[0].get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=2)
    fig.suptitle(title, fontsize=11)
    return fig


def operators(text: str) -> tuple[str, ...]:
    try:
        return ListOpsGenerator(1, operators=tuple(text.split(","))).operators
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def arguments(text: str) -> int:
    if common.count(text) < 2:
        raise argparse.ArgumentTypeError("a list has 2 arguments or more, got 1")
    return common.count(text)


def main(argv: list[str] | None = None) -> None:
    flags = common.parser(
        __doc__, name="listops", epochs=len(LIMITS), data="the folder of --file; by default $GRAPHREC_DATA"
    )
    flags.add_argument(
        "--file",
        help="another file of expressions to test on, e.g. test_d8.tsv; none of them is used in training",
    )
    flags.add_argument(
        "--operators", type=operators, default=OPERATORS, help="e.g. MIN,MAX,FIRST,LAST; default: the paper's"
    )
    flags.add_argument(
        "--max-depth", type=common.count, default=DEPTH, help=f"of lists and digits (default: {DEPTH})"
    )
    flags.add_argument(
        "--max-args", type=arguments, default=ARGUMENTS, help=f"of a list (default: {ARGUMENTS})"
    )
    run = common.start(flags, argv)
    samples, given, vocabulary = load(run)
    hidden = 32 if run.args.quick else 128
    model = run.fit(
        "tree_lstm",
        lambda: learning.Classifier(Evaluator(len(vocabulary), hidden), 10, lr=3e-3),
        samples,
        patience=run.args.epochs,  # the falling step size ends the training
    )

    args = run.args
    as_in_the_paper = (set(args.operators), args.max_depth, args.max_args) == (
        set(OPERATORS),
        DEPTH,
        ARGUMENTS,
    )
    paper = PAPER if as_in_the_paper and not args.quick else None
    rows: list[list[object]] = []
    if paper is not None:
        rows.append(["Tree-LSTM of Nangia and Bowman", "their own, held out", TESTED, "", f"{paper:.1f}"])
    details: list[list[object]] = []
    tests = {"drawn here, held out": samples.test} | ({Path(args.file).name: given} if given else {})
    for name, tested in tests.items():
        right = is_right(model, tested)
        guess = torch.cat([s.y for s in tested]).bincount().max().item() / len(tested)
        rows.append(["Tree-LSTM (this run)", name, len(tested), percent(guess), percent(right)])
        ways = groups(tested, vocabulary)
        for way, found in ways.items():
            details += [[f"{name}: {way}", group, int(of.sum()), percent(right[of])] for group, of in found]
        own = paper if tested is samples.test else None
        draw(right, ways, f"ListOps, {name}", own).savefig(
            run.folder / f"accuracy_{name.split(',')[0].replace(' ', '_')}.png"
        )
    first = common.table(["accuracy in %", "test set", "expressions", "most common value", "accuracy"], rows)
    run.finish(first + "\n\n" + common.table(["by", "", "expressions", "accuracy"], details))


def percent(right: Tensor | float) -> str:
    return f"{100 * torch.as_tensor(right).double().mean().item():.2f}"


if __name__ == "__main__":
    main()
