"""Graph networks in rounds: graphrec beside PyG's own layers, at Cora's size and at a million edges."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.utils import coalesce, to_torch_csr_tensor, to_undirected

import graphrec as gr

from . import pictures
from .contending import Contender, Row, table, time_all

OURS = "graphrec"
PYG = "PyG"
SPARSE = "PyG, sparse matrix"
SORTED = "PyG, EdgeIndex"


class Case(NamedTuple):
    """A network on a graph.

    Attributes:
        widths: of the states, those of the inputs first.
        inside: whether the inputs want a gradient.
    """

    name: str
    nodes: int
    edges: int
    widths: tuple[int, ...]
    inside: bool


# A whole network on a graph of Cora's size; a layer of the middle on a large one.
CORA = Case("2,708 nodes, 10,556 edges, 1433 → 16 → 7", 2708, 10556, (1433, 16, 7), inside=False)
LARGE = Case("100,000 nodes, 1,000,000 edges, 64 → 64", 100_000, 1_000_000, (64, 64), inside=True)
QUICK = Case("300 nodes, 1,200 edges, 20 → 16 → 7", 300, 1200, (20, 16, 7), inside=False)

Layer = Callable[[int, int, bool], Any]
NETS: dict[str, tuple[Layer, Layer]] = {
    # Degrees are found once, as in graphrec: cached.
    "GCN": (
        lambda inputs, hidden, _: gr.GCNCell(inputs, hidden),
        lambda inputs, hidden, _: pyg.GCNConv(inputs, hidden, cached=True),
    ),
    "GIN": (
        lambda inputs, hidden, _: gr.GINCell(inputs, hidden),
        lambda inputs, hidden, _: pyg.GINConv(perceptron(inputs, hidden)),
    ),
    # Eight heads, and one at the end, as in the paper; a large graph has no end here.
    "GAT": (
        lambda inputs, hidden, last: gr.GATCell(inputs, hidden, heads(last)),
        lambda inputs, hidden, last: pyg.GATConv(inputs, hidden // heads(last), heads=heads(last)),
    ),
}


def heads(last: bool) -> int:
    """How many heads a layer of GAT has."""
    return 1 if last else 8


def perceptron(inputs: int, hidden: int) -> nn.Module:
    """GIN's network."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden))


class Layers(nn.Module):
    """PyG's layers one after another."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """`[N, H]`."""
        for number, layer in enumerate(self.layers):
            x = layer(torch.relu(x) if number else x, edges)
        return x


def run(rounds: int, quick: bool, out: Path) -> list[Row]:
    """Print the table, draw `graphs.png` into `out`."""
    rows: list[Row] = []
    for case in [QUICK] if quick else [CORA, LARGE]:
        edges, x = draw(case)
        for net in NETS:
            rows += time_all(net, case.name, layers(net, case, edges, x), rounds)
        rows += time_all("GGNN, 2 rounds", case.name, gated(case, edges, x), rounds)
    print(f"\nfloat32: ms, median of {rounds} rounds (lowest to highest)")
    print("and how many times graphrec's time it is; the most memory that a run needs\n")
    print(table(rows, "graph"), end="\n\n")
    pictures.draw_rows(rows, out / "graphs.png")
    return rows


def draw(case: Case) -> tuple[Tensor, Tensor]:
    """An undirected random graph with as many edges, counted in both directions, and features for its nodes."""
    generator = torch.Generator().manual_seed(0)
    found = torch.empty(2, 0, dtype=torch.long)
    while found.shape[1] < case.edges // 2:
        pairs = torch.randint(case.nodes, (2, case.edges), generator=generator)
        pairs = pairs[:, pairs[0] < pairs[1]]
        found = coalesce(torch.cat([found, pairs], dim=1))
        found = found[:, torch.randperm(found.shape[1], generator=generator)[: case.edges // 2]]
    return to_undirected(found), torch.randn(case.nodes, case.widths[0], generator=generator)


def layers(net: str, case: Case, edges: Tensor, x: Tensor) -> dict[str, Contender]:
    """A layer for each width, with ReLU between them."""
    torch.manual_seed(0)
    ours, theirs = NETS[net]
    steps = list(zip(case.widths, case.widths[1:], strict=False))
    ends = [number == len(steps) - 1 and len(steps) > 1 for number in range(len(steps))]
    model = gr.GNN([ours(*step, end) for step, end in zip(steps, ends, strict=True)], nn.ReLU())
    others = Layers([theirs(*step, end) for step, end in zip(steps, ends, strict=True)])
    for layer, cell in zip(others.layers, model.cells, strict=True):
        layer.load_state_dict(cell.state_dict())
    # Copied before one of them keeps the degrees of its form.
    sparse, by_target = copy.deepcopy(others), copy.deepcopy(others)
    found = {
        OURS: contender(case, model, x, structure(case, edges)),
        PYG: contender(case, others, x, edges),
        SORTED: contender(case, by_target, x, edge_index(case, edges)),
    }
    if net != "GAT":  # which PyG does not do as a product with a sparse matrix
        found[SPARSE] = contender(case, sparse, x, matrix(case, edges))
    return found


def gated(case: Case, edges: Tensor, x: Tensor) -> dict[str, Contender]:
    """Two rounds of the gated graph network, with a matrix each, as in PyG; states as wide as Cora's hidden ones."""
    torch.manual_seed(0)
    hidden = case.widths[1]
    theirs = pyg.GatedGraphConv(hidden, num_layers=2)
    cells = [gr.GGNNCell(hidden, hidden) for _ in range(2)]
    for cell, weight in zip(cells, theirs.weight, strict=True):
        cell.rnn = theirs.rnn
        cell.weight = nn.Parameter(weight.detach().unsqueeze(0).clone())
    x = x[:, :hidden]
    return {
        OURS: contender(case, gr.GNN(cells), x, structure(case, edges)),
        PYG: contender(case, theirs, x, edges),
        SORTED: contender(case, theirs, x, edge_index(case, edges)),
        SPARSE: contender(case, theirs, x, matrix(case, edges)),
    }


def structure(case: Case, edges: Tensor) -> gr.Structure:
    """The graph; its schedule is kept on it."""
    s = gr.dag(edges, case.nodes)
    gr.schedule(s, "sync", 1)
    return s


def matrix(case: Case, edges: Tensor) -> Tensor:
    """The graph as PyG takes it for products with a sparse matrix; an undirected one is its own transpose."""
    return to_torch_csr_tensor(edges, size=(case.nodes, case.nodes))


def edge_index(case: Case, edges: Tensor) -> EdgeIndex:
    """The graph as PyG takes it for sums of edges that are sorted by target; what it derives is kept on it."""
    size = (case.nodes, case.nodes)
    made: Any = EdgeIndex(edges, sparse_size=size, is_undirected=True)  # type: ignore[call-overload]
    return made.sort_by("col").values.fill_cache_()


def contender(case: Case, model: nn.Module, x: Tensor, over: Any) -> Contender:
    """A model over a structure, an edge_index or a sparse matrix."""
    return Contender(model, x, partial(_call, model, over), inside=case.inside)


def _call(model: nn.Module, over: Any, x: Tensor) -> Tensor:
    return model(x, over)
