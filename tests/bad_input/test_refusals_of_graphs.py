"""What does not fit on graphs is refused before any work, with what was expected, what came, and how to mend it."""

import pytest
import torch
from torch_geometric.nn import GCNConv, SAGEConv

import graphrec as gr

D, H = 3, 4
RING = [[0, 1, 2], [1, 2, 0]]


def graph(**carried):
    return gr.dag(RING, 3, **carried)


def run(cell, s, rounds=1, x=None):
    return gr.run(cell, gr.schedule(s, "sync", rounds), torch.zeros(3, cell.inputs) if x is None else x)


def kinds(*cells):
    return gr.PerKind(cells)


class ReadsWeights(gr.SRNCell):
    def forward(self, x, inbox, own):
        return self.State(inbox.sum(inbox.edge_weight.unsqueeze(1) * inbox.h))


FAULTS = {
    "a relation too many": (
        lambda: run(gr.GGNNCell(D, H, relations=2), graph(relation=torch.tensor([0, 2, 1]))),
        ["relations 0 to 1", "edge 1 is of relation 2", "more relations"],
    ),
    "a relation below zero": (
        lambda: run(gr.GGNNCell(D, H, relations=2), graph(relation=torch.tensor([0, 1, -1]))),
        ["edge 2 is of relation -1"],
    ),
    "no relations": (
        lambda: run(gr.GGNNCell(D, H, relations=2), graph()),
        ["weights for 2 relations", "has none", "relation=..."],
    ),
    "no edge features": (
        lambda: run(gr.MPNNCell(D, H, edges=2), graph()),
        ["width 2", "has none", "edge_attr=..."],
    ),
    "edge features of another width": (
        lambda: run(gr.MPNNCell(D, H, edges=2), graph(edge_attr=torch.zeros(3, 5))),
        ["[3, 2]", "(3, 5)"],
    ),
    "edge features for some edges": (
        lambda: graph(edge_attr=torch.zeros(2, 5)),
        ["edge_attr", "3", "2"],
    ),
    "weights that are whole numbers": (
        lambda: graph(edge_weight=torch.tensor([1, 2, 3])),
        ["edge_weight", "floating-point", "torch.int64", ".float()"],
    ),
    "weights in rows": (
        lambda: graph(edge_weight=torch.ones(3, 1)),
        ["edge_weight", "one dimension", "(3, 1)"],
    ),
    "weights for some edges": (lambda: graph(edge_weight=torch.ones(2)), ["edge_weight", "3", "2"]),
    "weights that are not there": (
        lambda: run(ReadsWeights(D, H), graph()),
        ["inbox.edge_weight", "has none", "edge_weight=..."],
    ),
    "loops where nothing is normalised": (
        lambda: gr.GCNCell(D, H, normalize=False, self_loops=True),
        ["self_loops", "normalize=False"],
    ),
    "no weights": (
        lambda: run(gr.GCNCell(D, H, weighted=True), graph()),
        ["a weight per edge", "none", "weighted=False"],
    ),
    "several weights an edge": (
        lambda: run(gr.GCNCell(D, H, weighted=True), graph(edge_attr=torch.zeros(3, 2))),
        ["[3]", "(3, 2)"],
    ),
    "another width, round after round": (
        lambda: run(gr.GINCell(D, H), graph(), rounds=2),
        ["width [3] into one of [4]", "one round", "graphrec.GNN"],
    ),
    "inputs wider than the state": (
        lambda: gr.GGNNCell(H + 1, H),
        ["hidden must be 5 or more, got 4", "linear layer"],
    ),
    "no relations at all": (lambda: gr.GGNNCell(D, H, relations=0), ["one relation or more, got 0"]),
    "heads that do not fit": (lambda: gr.GATCell(D, H, heads=3), ["multiple", "hidden=4, heads=3"]),
    "x of another width": (lambda: run(gr.GCNCell(D, H), graph(), x=torch.zeros(3, 5)), ["[3, 3]", "(3, 5)"]),
    "edge features that a kind reads": (
        lambda: run(
            kinds(gr.DAGNNCell(D, H), gr.DAGNNCell(D, H, edges=2)), graph(kind=torch.tensor([0, 1, 0]))
        ),
        ["edge attributes of width 2", "has none"],
    ),
    "a relation that a kind does not know": (
        lambda: run(
            kinds(gr.GGNNCell(D, H, relations=2), gr.GGNNCell(D, H, relations=3)),
            graph(kind=torch.tensor([1, 1, 0]), relation=torch.tensor([2, 2, 2])),
        ),
        ["relations 0 to 1", "edge 1 is of relation 2"],
    ),
    "a cell for graphs within another": (
        lambda: gr.SeriesCell([gr.GCNCell(D, H), gr.GCNCell(H, H)]),
        ["GCNCell is a cell for graphs", "graphrec.GNN"],
    ),
    "a cycle for a convolution in order": (
        lambda: gr.Layerwise(SAGEConv(D, D))(torch.zeros(3, D), graph()),
        ["0 → 1 → 2 → 0", "cycles='iterate'"],
    ),
    "a convolution that changes the width": (
        lambda: gr.Layerwise(SAGEConv(D, H))(torch.zeros(2, D), gr.chain(2)),
        ["SAGEConv turns width 3 into (4,)", "equal widths"],
    ),
    "a convolution that keeps its edges": (
        lambda: gr.Layerwise(GCNConv(D, D, cached=True)),
        ["cached=False"],
    ),
    "an unknown way with cycles": (
        lambda: gr.schedule(graph(), cycles="cut"),
        ["cycles", "'cut'"],
    ),
    "a fixed point of nothing": (lambda: gr.FixedPoint(tolerance=0), ["above 0", "got 0"]),
    "a fixed point in no time": (lambda: gr.FixedPoint(limit=0), ["1 or more, got 0"]),
    "a fixed point otherwise": (lambda: gr.FixedPoint(otherwise="ignore"), ["error, warn", "'ignore'"]),
    "an order of another length": (
        lambda: gr.schedule(graph(), order=torch.arange(2)),
        ["rank for each node", "[3]", "(2,)"],
    ),
    "roots that are no nodes": (lambda: gr.breadth_first(graph(), [3]), ["0 to 2", "[3]"]),
    "a root that does not reach all": (
        lambda: gr.breadth_first(gr.dag([[0], [1]], 3), [0]),
        ["no root reaches node 2", "each part"],
    ),
}


@pytest.mark.parametrize(("attempt", "parts"), FAULTS.values(), ids=FAULTS)
def test_it_is_refused(attempt, parts):
    with pytest.raises((ValueError, TypeError)) as caught:
        attempt()
    for part in parts:
        assert part in str(caught.value)


def test_edges_into_other_kinds_may_have_relations_that_a_kind_does_not_know():
    s = graph(kind=torch.tensor([1, 1, 0]), relation=torch.tensor([0, 2, 2]))
    cells = kinds(gr.GGNNCell(D, H, relations=3), gr.GGNNCell(D, H, relations=3))
    run(cells, s)
    known = kinds(gr.GGNNCell(D, H, relations=3), gr.GGNNCell(D, H))
    run(known, s)
