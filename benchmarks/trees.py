"""Child-Sum Tree-LSTM on sentiment trees: graphrec and the peers.

One layer, from the inputs of all nodes to their states: input projections and the gradients of the inputs are
in the timing. Graphs and schedules are made beforehand; DyNet makes its graph at every run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import graphrec as gr

from . import pictures
from .forests import Forest, sentiment_forest
from .peers import PEERS, Contender, Layer, Results, Unavailable, Weights
from .peers.contender import TorchContender, assign, leaf
from .timing import Timing, interleave

SETTINGS = ((25, 150), (128, 150), (256, 300))  # batch, hidden size (the inputs have the same)
MODES = ("training", "inference")
TOLERANCE = 1e-4  # float32, relative to the largest entry; sums run in another order at each contender


class GraphRec(TorchContender):
    """graphrec's own layer, as its users call it."""

    name = "graphrec"

    def __init__(self, layer: Layer, structure: gr.Structure) -> None:
        self.structure = structure
        gr.schedule(structure)  # kept on the structure
        self.x, self.upstream = leaf(layer.x), layer.upstream
        self.model = gr.TreeLSTM(layer.x.shape[1], layer.hidden)
        cell = self.model.cell
        assign(cell.input.weight, layer.weights.input)
        assign(cell.input.bias, layer.weights.bias)
        assign(cell.iou.weight, layer.weights.iou)
        assign(cell.forget.weight, layer.weights.forget)

    def recurrent_weights(self) -> tuple[Tensor, Tensor]:
        return self.model.cell.iou.weight, self.model.cell.forget.weight

    def forward(self) -> Tensor:
        return self.model(self.x, self.structure)


class Projection:
    """What all contenders share, a product of all inputs with W, and its gradients: subtract it to compare the rest."""

    name = "input projection alone"

    def __init__(self, layer: Layer) -> None:
        self.x = leaf(layer.x)
        self.model = torch.nn.Linear(layer.x.shape[1], 4 * layer.hidden)
        self.upstream = layer.upstream.repeat(1, 4)

    def train(self) -> None:
        """Forward and backward."""
        self.x.grad = None
        self.model.zero_grad(set_to_none=True)
        self.model(self.x).backward(self.upstream)

    def infer(self) -> None:
        """Forward."""
        with torch.no_grad():
            self.model(self.x)


class Row(NamedTuple):
    """The figures of all contenders for one size and mode, by contender."""

    batch: int
    hidden: int
    mode: str
    timings: dict[str, Timing]


def run(rounds: int, quick: bool, out: Path) -> list[Row]:
    """Print the table, draw `trees.png` into `out`."""
    rows: list[Row] = []
    origin = ""
    for batch, hidden in SETTINGS[:1] if quick else SETTINGS:
        forest = sentiment_forest(batch)
        origin = forest.origin
        layer = make_layer(forest.structure, hidden)
        contenders = _contenders(layer, forest, complain=not rows)
        print(f"{batch} {origin}, {forest.structure.num_nodes} nodes, hidden size {hidden}")
        check_agreement({contender.name: contender.results for contender in contenders})
        for mode in MODES:
            timed = [*contenders, Projection(layer)]
            tasks = {c.name: c.train if mode == "training" else c.infer for c in timed}
            rows.append(Row(batch, hidden, mode, interleave(tasks, rounds)))
    print(f"\nChild-Sum Tree-LSTM, {origin}, float32: ms, median of {rounds} rounds (lowest to highest)")
    print("and how many times graphrec's time it is\n")
    print(_table(rows), end="\n\n")
    pictures.draw_trees(rows, origin, out / "trees.png")
    return rows


def _contenders(layer: Layer, forest: Forest, complain: bool) -> list[Contender]:
    contenders: list[Contender] = [GraphRec(layer, forest.structure)]
    for peer in PEERS:
        try:
            contenders.append(peer(layer))
        except Unavailable as reason:
            if complain:
                print(f"{peer.name} is left out: {reason}")
    return contenders


def make_layer(structure: gr.Structure, hidden: int) -> Layer:
    """Random weights, inputs of all nodes, and an upstream gradient: the same at every call."""
    generator = torch.Generator().manual_seed(0)
    nodes, bound = structure.num_nodes, hidden**-0.5

    def uniform(*shape: int) -> Tensor:
        return torch.empty(*shape).uniform_(-bound, bound, generator=generator)

    weights = Weights(
        input=uniform(4 * hidden, hidden),
        bias=uniform(4 * hidden),
        iou=uniform(3 * hidden, hidden),
        forget=uniform(hidden, hidden),
    )
    x = torch.randn(nodes, hidden, generator=generator)
    upstream = torch.randn(nodes, hidden, generator=generator)
    return Layer(structure.edge_index, x, upstream, weights)


def check_agreement(contenders: dict[str, Callable[[], Results]]) -> None:
    """All compute the same values and gradients as the first; timings of different things would say nothing."""
    (first, compute), *others = contenders.items()
    right = compute()
    for name, compute in others:
        off = _difference(compute(), right)
        differs = ", ".join(f"{part} {value:.0e}" for part, value in off.items())
        print(f"  {name:<18} off {first} by {differs}")
        if not max(off.values()) <= TOLERANCE:  # so that NaN is refused too
            raise RuntimeError(f"{name} computes something else: {differs} (at most {TOLERANCE}).")


def _difference(found: Results, right: Results) -> dict[str, float]:
    """Per result, the largest difference relative to the largest entry."""
    pairs = zip(Results._fields, found, right, strict=True)
    return {name: float((a - b).abs().max() / b.abs().max()) for name, a, b in pairs}


def _table(rows: list[Row]) -> str:
    names = list(rows[0].timings)
    lines = ["| batch, hidden | mode | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        ours = row.timings[GraphRec.name]
        cells = [f"({row.batch}, {row.hidden})", row.mode]
        for name in names:
            t = row.timings[name]
            span = f"{1e3 * t.median:.1f} ({1e3 * t.lowest:.1f} to {1e3 * t.highest:.1f})"
            cells.append(span if t is ours else f"{span}, {t.ratio_to(ours):.1f}×")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
