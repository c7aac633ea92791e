"""Which networks keep track of a state: trained on strings of up to 40 symbols, tested on up to 500.

    python examples/state_tracking.py                     # parity, S3 and Dyck-2, eleven networks: minutes
    python examples/state_tracking.py --tasks Z5 A5       # other groups: Zn (sums modulo n), Sn, An
    python examples/state_tracking.py --quick             # Dyck-2 alone, short trainings: seconds

A string is a sequence of elements of a group, and what is asked for is their product: of bits the parity (Z2), of
permutations of three things the permutation that they make one after the other (S3). In Dyck-2 brackets of two sorts
nest up to four deep, and what is asked for is the bracket that may be closed now. A network that has learnt the rule
is right at every length.

On chains: SRN, LSTM and GRU, and linear recurrences h_t = a_t h_{t-1} + b_t, unit by unit: the LRU, with the same
factors at all times, and two whose factors the input chooses, from 0 to 1 or from -1 to 1. They answer at every
position. On balanced trees (`graphrec.balanced`) a Tree-LSTM and two Tree-GRUs answer once for the whole string, from
the root. In scans (`graphrec.prefix_scan`) a Tree-LSTM and a Tree-GRU answer at every position, in a depth of at most
2 log2(T) + 1 instead of T.

Lengths of training strings are drawn evenly from 1 to 40. The epoch is chosen by validation strings of the same
lengths. A string counts as right when its last answer is.

G. Delétang et al., "Neural Networks and the Chomsky Hierarchy", ICLR 2023; B. Liu et al., "Transformers Learn Shortcuts
to Automata", ICLR 2023; W. Merrill, J. Petty and A. Sabharwal, "The Illusion of State in State-Space Models", ICML
2024; R. Grazzi et al., "Unlocking State-Tracking in Linear RNNs Through Negative Eigenvalues", ICLR 2025.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import common
import learning
import torch
from data.groups import group
from data.state_tracking import dyck, word_problem
from torch import Tensor, nn
from torch.nn.functional import one_hot

import graphrec as gr

SHORT = 40  # symbols, the most in training
TESTED = (40, 80, 160, 320, 500)
DYCK = "Dyck-2"
DEFAULT = ("Z2", "S3", DYCK)
EPOCH, BATCH = 6400, 64  # strings
HIDDEN = 32
RATE = 0.01


class LinearCell(gr.AffineCell):
    """h_t = a(x_t) * h_{t-1} + b(x_t), unit by unit: a linear recurrence whose factors the input chooses.

    Args:
        least: the lower bound of the factors, 0 or -1; the upper one is 1.
    """

    def __init__(self, inputs: int, hidden: int, least: int) -> None:
        super().__init__(inputs, hidden)
        self.squash = torch.tanh if least < 0 else torch.sigmoid
        self.input = nn.Linear(inputs, 2 * hidden)

    def project(self, x: Tensor) -> Tensor:
        """Both parts."""
        return self.input(x)

    def factor(self, x: Tensor) -> Tensor:
        """a, from `least` to 1."""
        return self.squash(x[:, : self.hidden])

    def term(self, x: Tensor) -> Tensor:
        """b."""
        return x[:, self.hidden :]


CHAIN, ROOT, SCAN = "chain", "root", "scan"


class Network(NamedTuple):
    """A cell, and what it runs over."""

    make: Callable[[int, int], gr.Cell]
    form: str


NETWORKS = {
    "SRN": Network(gr.SRNCell, CHAIN),
    "LSTM": Network(gr.LSTMCell, CHAIN),
    "GRU": Network(gr.GRUCell, CHAIN),
    "LRU": Network(gr.LRUCell, CHAIN),
    "linear, 0 to 1": Network(lambda inputs, hidden: LinearCell(inputs, hidden, 0), CHAIN),
    "linear, -1 to 1": Network(lambda inputs, hidden: LinearCell(inputs, hidden, -1), CHAIN),
    "Tree-LSTM": Network(gr.NaryTreeLSTMCell, ROOT),
    "Tree-GRU": Network(gr.NaryTreeGRUCell, ROOT),
    "Child-Sum Tree-GRU": Network(gr.TreeGRUCell, ROOT),
    "Tree-LSTM, scan": Network(gr.NaryTreeLSTMCell, SCAN),
    "Tree-GRU, scan": Network(gr.NaryTreeGRUCell, SCAN),
}


class Strings(NamedTuple):
    """A batch: symbols of all positions as rows `[P, D]`, the lengths, and the answer at each position `[P]`."""

    x: Tensor
    lengths: Tensor
    answers: Tensor

    @property
    def num_graphs(self) -> int:
        return len(self.lengths)

    @property
    def last(self) -> Tensor:
        """`[G]`: the last position of each string."""
        return self.lengths.cumsum(0) - 1


def draw_short(task: str, size: int, seed: int) -> Strings:
    """Strings as in training."""
    lengths = torch.randint(1, SHORT + 1, (size,), generator=torch.Generator().manual_seed(seed))
    return draw(task, lengths, seed)


def draw(task: str, lengths: Tensor, seed: int) -> Strings:
    """Strings of these lengths."""
    token, _, y = dyck(lengths, seed=seed) if task == DYCK else word_problem(task, lengths, seed)
    return Strings(one_hot(token, symbols_of(task)).float(), lengths, y)


def symbols_of(task: str) -> int:
    """How many there are."""
    return 4 if task == DYCK else len(group(task).elements)


def answers_of(task: str) -> int:
    """How many there are."""
    return 3 if task == DYCK else symbols_of(task)


class Tracker(nn.Module):
    """A network that answers at every position, or, over trees, once for each string."""

    def __init__(self, task: str, network: Network) -> None:
        super().__init__()
        cell = network.make(symbols_of(task), HIDDEN)
        self.form, self.states = network.form, gr.Recursive(cell)
        width = cell.shapes()[0][-1]
        if isinstance(
            cell, gr.LRUCell | LinearCell
        ):  # as in their papers, what is not linear stands behind the recurrence
            self.answer: nn.Module = nn.Sequential(
                nn.Linear(width, 64), nn.GELU(), nn.Linear(64, answers_of(task))
            )
        else:
            self.answer = nn.Linear(width, answers_of(task))

    def forward(self, batch: Strings) -> Tensor:
        """`[P, answers]`, over trees `[G, answers]`: logits."""
        if self.form == CHAIN:
            return self.answer(self.states(batch.x, gr.chains(batch.lengths)))
        if self.form == ROOT:
            s = gr.balanced(batch.lengths)
            return self.answer(gr.readout.root(self.states(gr.to_positions(batch.x, s), s), s))
        s = gr.prefix_scan(batch.lengths)
        return self.answer(gr.from_prefixes(self.states(gr.to_positions(batch.x, s), s), s))


class Learner(learning.Classifier):
    """Learns all the answers that there are; judged by the last one of each string."""

    def targets(self, batch: Strings) -> Tensor:
        """Of all positions, or of the last ones, as the network answers."""
        return batch.answers[batch.last] if self.network.form == ROOT else batch.answers

    def judged(self, batch: Strings, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The last answer of each string."""
        return (outputs, y) if self.network.form == ROOT else (outputs[batch.last], y[batch.last])


def accuracy(model: Learner, task: str, length: int, count: int) -> float:
    """The percentage of strings of a length that are judged correctly."""
    batch = draw(task, torch.full((count,), length), seed=length)
    with torch.no_grad():
        logits, y = model.judged(batch, model(batch), model.targets(batch))
    return 100 * (logits.argmax(dim=1) == y).double().mean().item()


def main(argv: list[str] | None = None) -> None:
    flags = common.parser(__doc__, name="state_tracking", epochs=10)
    flags.add_argument(
        "--tasks", nargs="+", default=DEFAULT, help=f"groups, and {DYCK} (default: {' '.join(DEFAULT)})"
    )
    run = common.start(flags, argv)
    quick = run.args.quick
    tables = []
    for task in (DYCK,) if quick else run.args.tasks:
        data = learning.Drawn(
            lambda size, seed, task=task: draw_short(task, size, seed),
            10 * BATCH if quick else EPOCH,
            held_out=200 if quick else 500,
            batch_size=BATCH,
        )
        rows: list[list[object]] = []
        for name, network in NETWORKS.items():
            model = run.fit(
                f"{task}_{name.replace(', ', '_').replace(' ', '_')}",
                lambda network=network, task=task: Learner(
                    Tracker(task, network), answers_of(task), lr=RATE, weight_decay=0.0
                ),
                data,
                patience=run.args.epochs,  # the falling step size ends the training
            )
            share = [accuracy(model, task, length, 50 if quick else 300) for length in TESTED]
            rows.append([name, *(f"{right:.0f}" for right in share)])
        header = [f"{task}: right in %, at length", *map(str, TESTED)]
        tables.append(common.table(header, rows))
    run.finish("\n\n".join(tables))


if __name__ == "__main__":
    main()
