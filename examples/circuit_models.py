"""What `circuits.py` compares: networks over circuits, a cell that learns nothing, and how all are trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import learning
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
from torchmetrics import MeanMetric

import graphrec as gr

INPUT, NOT, AND, LATCH = range(4)  # all that and-inverter graphs have
KINDS = 4
CODE = 24  # random patterns by which inputs, and what is computed from them, are told apart
D = KINDS + CODE
ROUNDS = 10  # of networks whose number of rounds does not depend on the circuit's depth
CYCLES = 4  # sweeps through a circuit with latches
SHARE = 0.95  # of a change, the most that is passed on where cycles must settle
SETTLED = gr.FixedPoint(tolerance=1e-3)


class Said(NamedTuple):
    """What is predicted: how probable it is that each gate is 1 `[N]`, and which pairs are equal `[P]`, bool."""

    one: Tensor
    same: Tensor


def draw_code(nodes: int, generator: torch.Generator | None = None) -> Tensor:
    """`[N, CODE]`, of 1 and -1: the inputs' values in some patterns. Without it a AND b would look like c AND d."""
    return 2.0 * torch.randint(2, (nodes, CODE), generator=generator) - 1


def begins(kind: Tensor) -> Tensor:
    """`[N]` bool: which gates have given values, inputs and latches."""
    return (kind == INPUT) | (kind == LATCH)


def features(kind: Tensor, code: Tensor) -> Tensor:
    """`[N, D]`: the kind of each gate, one-hot, and the code of inputs and latches."""
    return torch.cat([one_hot(kind, KINDS).float(), code * begins(kind).unsqueeze(1)], dim=1)


class Gates(nn.Module):
    """How probable it is that each gate is 1, and whether the gates of each pair compute the same.

    Args:
        encode: called with features `[N, D]` and a structure; returns `[N, width]`.
        width: of its rows.
        hidden: of the layers between.
    """

    def __init__(self, encode: nn.Module, width: int, hidden: int = 32) -> None:
        super().__init__()
        self.encode = encode
        self.one = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.same = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, batch: Any) -> Tensor:
        """`[N + P]`: logits of the gates, then those of the pairs."""
        # In training inputs get new codes each time, so that these are not memorised.
        code = draw_code(batch.num_nodes).to(batch.code) if self.training else batch.code
        h = self.encode(features(batch.node_type, code), gr.from_pyg(batch))
        one, other = batch.pair_index
        return torch.cat([self.one(h), self.same((h[one] - h[other]).square())]).squeeze(1)

    def say(self, batch: Any) -> Said:
        """What it says of a batch."""
        with torch.no_grad():
            logits = self(batch)
        return Said(torch.sigmoid(logits[: batch.num_nodes]), logits[batch.num_nodes :] > 0)


class Teacher(learning.Learner):
    """Trains `Gates` on both at once: the absolute error of probabilities, and the cross entropy of pairs.

    Args:
        network: what is trained.
        lr: of AdamW.
        pairs: whether there are any.
    """

    def __init__(self, network: Gates, lr: float, pairs: bool = True) -> None:
        metrics = {"error": GateError(), **({"pairs": PairAccuracy()} if pairs else {})}
        super().__init__(network, metrics, lr=lr, weight_decay=0.0)

    def targets(self, batch: Any) -> Tensor:
        """`[N + P, 2]`: the target, and whether it is that of a pair."""
        said = torch.cat([batch.y, batch.pair_y.float()])
        of_pair = torch.cat([torch.zeros_like(batch.y), torch.ones_like(batch.pair_y.float())])
        return torch.stack([said, of_pair], dim=1)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The sum of both."""
        said, of_pair = y[:, 0], y[:, 1] == 1
        error = (torch.sigmoid(outputs[~of_pair]) - said[~of_pair]).abs().mean()
        if not of_pair.any():
            return error
        return error + 0.3 * binary_cross_entropy_with_logits(outputs[of_pair], said[of_pair])

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keep the cells that must contract contracting."""
        for module in self.modules():
            if isinstance(module, Contracting):
                module.contract()


class GateError(MeanMetric):
    """The mean absolute error of the probabilities."""

    higher_is_better = False

    def update(self, value: Any, weight: Any = None) -> None:
        """What `Gates` returns, and the targets."""
        gates = weight[:, 1] == 0
        super().update((torch.sigmoid(value[gates]) - weight[gates, 0]).abs())


class PairAccuracy(MeanMetric):
    """The share of pairs that are judged correctly."""

    higher_is_better = True

    def update(self, value: Any, weight: Any = None) -> None:
        """What `Gates` returns, and the targets."""
        pairs = weight[:, 1] == 1
        if pairs.any():
            super().update(((value[pairs] > 0) == (weight[pairs, 0] == 1)).float())


class Lifted(nn.Module):
    """A linear layer, then a model whose initial states are its outputs."""

    def __init__(self, model: nn.Module, hidden: int) -> None:
        super().__init__()
        self.lift = nn.Linear(D, hidden)
        self.model = model

    def forward(self, x: Tensor, s: gr.Structure) -> Tensor:
        """`[N, H]`."""
        return self.model(torch.tanh(self.lift(x)), s)


class Rounds(nn.Module):
    """A cell in rounds, in which all gates are updated at once.

    Args:
        cell: the equations, the same in all rounds.
        rounds: how many, or None: as many as the deepest circuit of the batch has levels.
        both: whether gates also receive messages from their fan-outs, by edges of relation 1.
    """

    def __init__(self, cell: gr.Cell, rounds: int | None = ROUNDS, both: bool = False) -> None:
        super().__init__()
        self.cell, self.rounds, self.both = cell, rounds, both

    def forward(self, x: Tensor, s: gr.Structure) -> Tensor:
        """`[N, H]`."""
        rounds = self.rounds or 1 + int(gr.levels(s).max())
        return gr.run(self.cell, gr.schedule(s.both_ways() if self.both else s, "sync", rounds), x)[0]


class Cut(nn.Module):
    """A model of circuits whose latches read nothing."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, s: gr.Structure) -> Tensor:
        """`[N, H]`."""
        return self.model(x, without_latches(s))


def without_latches(s: gr.Structure) -> gr.Structure:
    """The structure without the edges to latches: what happens within a clock cycle."""
    assert s.kind is not None
    within = s.kind[s.target] != LATCH
    return gr.Structure(s.num_nodes, s.edge_index[:, within], s.slot[within], kind=s.kind)


def level_in_cycle(s: gr.Structure) -> Tensor:
    """`[N]`: the longest path to each gate from an input or a latch. In this order a sweep is a clock cycle."""
    return gr.levels(without_latches(s))


class Contracting(gr.RecNNCell):
    """The recursive network with two slots, whose cycles settle: no number of a state changes by more than `SHARE` of
    the largest change among the numbers that it is computed from, since the rows of the weights are kept small.

    F. Gu, H. Chang, W. Zhu, S. Sojoudi and L. El Ghaoui, "Implicit Graph Neural Networks", NeurIPS 2020.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden, arity=2)
        self.contract()

    def contract(self) -> None:
        """Scale down rows that have grown too large; called after each step of learning."""
        weight = self.recurrent.weight.data
        weight.mul_((SHARE / weight.abs().sum(dim=1, keepdim=True)).clamp(max=1))


class Products(gr.Cell):
    """No network: the value of an AND is the product of its inputs, of a NOT 1 minus its input, of a latch its input.

    With values 0 and 1 this is simulation. With probabilities it is exact if the inputs of each gate are independent
    (the textbook's signal probability), and wrong where paths split and meet again. A latch moves only halfway to its
    input, so that a latch which reads its own complement settles.

    Args:
        width: W, how many numbers a gate's value has.

    Shapes: x `[N, KINDS + W]`, the kind, one-hot, and the value of inputs and latches; State `p` `[N, W]`.
    """

    class State(NamedTuple):
        """The values of gates."""

        p: Tensor

    def __init__(self, width: int) -> None:
        super().__init__(KINDS + width, width)
        self.arity = 2

    def forward(self, x: Tensor, inbox: Any, own: Any) -> Any:
        """One step."""
        kind, given = x[:, :KINDS], x[:, KINDS:]
        first, second = inbox.by_slot(inbox.p, 2).unbind(1)
        shown = torch.stack([given, 1 - first, first * second, (own.p + first) / 2], dim=1)
        return self.State((kind.unsqueeze(2) * shown).sum(dim=1))


def products(batch: Any, given: Tensor) -> Tensor:
    """`[N, W]`: the values of gates, given those of inputs and latches, `[N, W]`."""
    x = torch.cat([one_hot(batch.node_type, KINDS).float(), given], dim=1)
    settled = gr.FixedPoint(tolerance=1e-4, limit=10_000)
    with torch.no_grad():
        plan = gr.schedule(gr.from_pyg(batch), rounds=settled, cycles="iterate")
        return gr.run(Products(given.shape[1]), plan, x)[0]


def independent(batch: Any) -> Said:
    """Probabilities as if the inputs of each gate were independent; gates with equal ones count as equal."""
    one = products(batch, torch.full((batch.num_nodes, 1), 0.5)).squeeze(1)
    return Said(one, (one[batch.pair_index[0]] - one[batch.pair_index[1]]).abs() < 1e-6)


def simulated(batch: Any) -> Said:
    """The codes that networks see, simulated: shares of 1 among the patterns; gates with equal patterns are equal."""
    shown = products(batch, (batch.code + 1) / 2)
    return Said(shown.mean(dim=1), (shown[batch.pair_index[0]] == shown[batch.pair_index[1]]).all(dim=1))


Build = Callable[[int, int], gr.Cell]


def per_kind(cell: Build, inputs: int, hidden: int, kinds: int = LATCH) -> gr.Cell:
    """A cell of its own for each kind of gate: by default for those of circuits without latches."""
    return gr.PerKind([cell(inputs, hidden) for _ in range(kinds)])


def networks(hidden: int) -> dict[str, tuple[str, Callable[[], Gates]]]:
    """What is compared on circuits without latches, by name: how often a gate is updated, and how the network is made.

    All have states of as many numbers.
    """

    def in_order(cell: Build) -> Gates:
        return Gates(gr.Recursive(per_kind(cell, D, hidden)), hidden)

    def up_down() -> Gates:
        up, down = (gr.Recursive(per_kind(gr.DVAECell, inputs, hidden)) for inputs in (D, D + hidden))
        return Gates(gr.UpDown(up, down), hidden)

    def lifted(model: nn.Module) -> Gates:
        return Gates(Lifted(model, hidden), hidden)

    def gin() -> Gates:
        layers = [nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.LayerNorm(hidden)]
        return lifted(Rounds(gr.GINCell(hidden, hidden, nn.Sequential(*layers))))

    def ggnn(rounds: int | None) -> Gates:
        return lifted(Rounds(gr.GGNNCell(hidden, hidden, relations=2), rounds, both=True))

    return {
        "D-VAE cells": ("1", partial(in_order, gr.DVAECell)),
        "DAGNN cells": ("1", partial(in_order, gr.DAGNNCell)),
        "Tree-LSTM cells": ("1", partial(in_order, gr.ChildSumTreeLSTMCell)),
        "D-VAE cells, up and down": ("2", up_down),
        "PyG's SAGEConv": ("1", lambda: lifted(gr.Levelwise(pyg.SAGEConv(hidden, hidden), nn.Tanh()))),
        f"D-VAE cells, {ROUNDS} rounds": (
            f"{ROUNDS}",
            lambda: Gates(Rounds(per_kind(gr.DVAECell, D, hidden)), hidden),
        ),
        f"GIN, {ROUNDS} rounds": (f"{ROUNDS}", gin),
        f"GGNN both ways, {ROUNDS} rounds": (f"{ROUNDS}", partial(ggnn, ROUNDS)),
        "GGNN both ways, a round per level": ("levels", partial(ggnn, None)),
    }


def latch_networks(hidden: int) -> dict[str, Callable[[], Gates]]:
    """What is compared on circuits with latches, by name: the same cells, one for each kind, in different orders."""

    def made(encode: Callable[[gr.Cell], nn.Module], cell: Build = gr.DVAECell) -> Gates:
        return Gates(encode(per_kind(cell, D, hidden, KINDS)), hidden)

    def iterated(rounds: int | gr.FixedPoint) -> Callable[[gr.Cell], nn.Module]:
        return lambda cell: gr.Recursive(cell, rounds=rounds, cycles="iterate")

    def swept(cell: gr.Cell) -> nn.Module:
        return gr.Recursive(cell, rounds=CYCLES, order=level_in_cycle)

    return {
        "D-VAE cells, latches cut": partial(made, lambda cell: Cut(gr.Recursive(cell))),
        f"D-VAE cells, {ROUNDS} rounds of all gates": partial(made, Rounds),
        f"D-VAE cells, cycles iterated {ROUNDS} times": partial(made, iterated(ROUNDS)),
        "contracting cells, cycles to a fixed point": partial(made, iterated(SETTLED), Contracting),
        f"D-VAE cells, {CYCLES} sweeps, each a clock cycle": partial(made, swept),
    }
