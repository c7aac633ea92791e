"""What does not fit on graphs is refused before any work, with what was expected, what came, and how to mend it."""

from collections import namedtuple

import pytest
import torch
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

import graphrec as gr
from tests.tolerances import assert_close

D, H = 3, 4
RING = [[0, 1, 2], [1, 2, 0]]


def graph(**carried):
    return gr.dag(RING, 3, **carried)


def run(cell, s, rounds=1, x=None):
    return gr.run(cell, gr.schedule(s, "sync", rounds), torch.zeros(3, cell.inputs) if x is None else x)


class Unprojected(gr.Cell):
    """Says that it reads features by relation, and makes nothing of them."""

    State = namedtuple("State", "h")
    edges = (2, 7)

    def forward(self, x, inbox, own):
        return self.State(inbox.sum(inbox.edge_attr))


class Blind(Unprojected):
    edges = None


def kinds(*cells):
    return gr.PerKind(cells)


class ReadsWeights(gr.SRNCell):
    def forward(self, x, inbox, own):
        return self.State(inbox.sum(inbox.edge_weight.unsqueeze(1) * inbox.h))


def by_relation(*features):
    """A ring whose edges are of the relations 0, 1, 1."""
    return graph(relation=torch.tensor([0, 1, 1]), edge_attr=list(features))


ONE, TWO = torch.zeros(1, 2), torch.zeros(2, 7)

FAULTS = {
    "a list of features without relations": (
        lambda: graph(edge_attr=[ONE, TWO]),
        ["features for each relation", "no relations", "relation=..."],
    ),
    "features for some edges of a relation": (
        lambda: by_relation(ONE, torch.zeros(1, 7)),
        ["edge_attr[1]", "2 edges of relation 1", "(1, 7)"],
    ),
    "features of a relation that are none": (
        lambda: by_relation(ONE, "7"),
        ["edge_attr[1] must be a tensor", "relation 1", "str"],
    ),
    "features whose edges are of another relation by now": (
        lambda: by_relation(ONE, TWO).replace(relation=torch.tensor([1, 0, 1])),
        ["edges are of relation 0", "1 have features"],
    ),
    "features by relation, which are no relations by now": (
        lambda: by_relation(ONE, TWO).replace(relation=None),
        ["features by relation, but no relations"],
    ),
    "members with features of different widths": (
        lambda: gr.batch([by_relation(ONE, TWO), by_relation(ONE, torch.zeros(2, 6))]),
        ["edge_attr of relation 1", "[6]", "[7]"],
    ),
    "one width for features of two": (
        lambda: run(gr.MPNNCell(D, H, edges=2), by_relation(ONE, TWO)),
        ["features of width 2 of edges of relation 1", "have features of width 7", "edges=[2, 7]"],
    ),
    "features that a cell does not expect": (
        lambda: run(gr.DVAECell(D, H, edges=[2, None]), by_relation(ONE, TWO)),
        ["no features of edges of relation 1", "have features of width 7", "edges=[2, 7]"],
    ),
    "features that are not there": (
        lambda: run(gr.DVAECell(D, H, edges=[2, 7]), by_relation(ONE, None)),
        ["features of width 7 of edges of relation 1", "have no features", "edges=[2, None]"],
    ),
    "no features at all, by relation": (
        lambda: run(gr.DVAECell(D, H, edges=[2, 7]), graph(relation=torch.tensor([0, 1, 1]))),
        ["edge attributes of width [2, 7]", "has none"],
    ),
    "more relations than widths": (
        lambda: run(gr.DVAECell(D, H, edges=[2]), by_relation(ONE, TWO)),
        ["relations 0 to 0", "edge 1 is of relation 1"],
    ),
    "widths of no relation": (lambda: gr.DVAECell(D, H, edges=[None, None]), ["one at least"]),
    "a cell that makes nothing of features by relation": (
        lambda: run(Unprojected(D, H), by_relation(ONE, TWO)),
        ["Unprojected.project_edges", "one row per edge, 3", "EdgeFeatures", "graphrec.PerRelation"],
    ),
    "a cell that reads them all the same": (
        lambda: run(Blind(D, H), by_relation(ONE, TWO)),
        ["reads inbox.edge_attr", "of one width", "edges"],
    ),
    "a kind's cell that reads them all the same": (
        lambda: run(
            kinds(Blind(D, H), gr.DVAECell(D, H, edges=[2, 7])),
            by_relation(ONE, TWO).replace(kind=torch.tensor([0, 0, 1])),
            x=torch.zeros(3, D),
        ),
        ["cell of kind 0", "edges, the widths"],
    ),
    "features by relation for a layer of PyG": (
        lambda: gr.Recursive(gr.ConvCell(GATConv(D, D, edge_dim=2)), mode="sync", rounds=1)(
            torch.zeros(3, D), by_relation(ONE, TWO)
        ),
        ["GATConv", "in each relation", "edge_attr=None"],
    ),
    "features by relation for PyG's Data": (
        lambda: gr.to_pyg(by_relation(ONE, TWO)),
        ["another width in each relation", "HeteroData", "edge_attr=None"],
    ),
    "features by relation for networkx": (
        lambda: gr.to_networkx(by_relation(ONE, TWO)),
        ["another width in each relation"],
    ),
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
    "an initial state of another width than x": (
        lambda: gr.run(
            gr.SAGECell(D, H), gr.schedule(graph(), "sync", 1), torch.zeros(3, D), torch.zeros(1, H)
        ),
        ["in place of x", "from width [3] into [4]"],
    ),
    "no relations at all": (lambda: gr.GGNNCell(D, H, relations=0), ["relations must be 1 or more, got 0"]),
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
        lambda: gr.Levelwise(SAGEConv(D, D))(torch.zeros(3, D), graph()),
        ["0 → 1 → 2 → 0", "cycles='iterate'"],
    ),
    "a convolution that changes the width": (
        lambda: gr.Levelwise(SAGEConv(D, H))(torch.zeros(2, D), gr.chain(2)),
        ["SAGEConv turns width 3 into (4,)", "equal widths"],
    ),
    "a convolution that keeps its edges": (
        lambda: gr.Levelwise(GCNConv(D, D, cached=True)),
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
    """To its cell they are all of one: that is a cell whose relations have equal weights."""
    s, x = graph(kind=torch.tensor([1, 1, 0]), relation=torch.tensor([0, 2, 2])), torch.randn(3, D)
    first, one, same = (gr.GGNNCell(D, H, relations=count) for count in (3, 1, 3))
    same.rnn = one.rnn
    same.weight = torch.nn.Parameter(one.weight.detach().repeat(3, 1, 1))
    assert_close(run(kinds(first, one), s, x=x).h, run(kinds(first, same), s, x=x).h)


WEIGHTS = torch.tensor([0.5, 2.0, 1.5])
FEATURES = torch.ones(3, 2)


def rounds(*cells):
    return gr.GNN(cells)


def in_order(cell):
    return gr.Recursive(cell)


# Whoever calls a model with edge features, `model(x, edge_index, edge_attr)`, wants them read.
DEAF = {
    "GAT": (lambda: rounds(gr.GATCell(D, H)), "GATCell does not read edge_attr, .* edges=..."),
    "GATv2": (lambda: rounds(gr.GATv2Cell(D, H)), "GATv2Cell does not .* edges=..."),
    "SAGE": (lambda: rounds(gr.SAGECell(D, H)), "SAGECell does not .*GINEConv"),
    "GIN": (lambda: rounds(gr.GINCell(D, H)), "GINCell does not .*GINEConv"),
    "two": (lambda: rounds(gr.SAGECell(D, H), gr.GINCell(H, H)), "SAGECell and GINCell"),
    "DAGNN": (lambda: gr.DAGNN(D, H), "DAGNNCell does not .* edges=..."),
    "DVAE": (lambda: in_order(gr.DVAECell(D, H)), "DVAECell does not .* edges=..."),
    "DAG-RNN": (lambda: in_order(gr.DAGRNNCell(D, H)), "DAGRNNCell"),
    "Tree-LSTM": (lambda: gr.TreeLSTM(D, H), "ChildSumTreeLSTMCell"),
    "LSTM": (lambda: gr.LSTM(D, H), "LSTMCell"),
    "projected LSTM": (lambda: in_order(gr.ProjectedLSTMCell(D, H, 2)), "ProjectedLSTMCell"),
    "kinds": (lambda: in_order(gr.PerKind([gr.SRNCell(D, H), gr.SRNCell(D, H)])), "PerKind"),
    "residual": (lambda: in_order(gr.ResidualCell(gr.SRNCell(D, H))), "ResidualCell"),
    "series": (lambda: in_order(gr.SeriesCell([gr.SRNCell(D, H), gr.SRNCell(H, H)])), "SeriesCell"),
    "step": (lambda: in_order(gr.StepCell(torch.nn.GRUCell(D, H))), "StepCell"),
    "layer": (lambda: gr.Levelwise(SAGEConv(D, D)), "ConvCell"),
    "layer without edge_dim": (lambda: gr.Levelwise(GATConv(D, D)), "ConvCell"),
    "stacked": (lambda: gr.Stacked([gr.TreeGRU(D, H), gr.SRN(H, H)]), "TreeGRUCell and SRNCell"),
    "both directions": (lambda: gr.Bidirectional(gr.SRN(D, H), gr.GRU(D, H)), "SRNCell and GRUCell"),
    "up and down": (lambda: gr.UpDown(gr.SRN(D, H), gr.SRN(D + H, H)), "SRNCell"),
    "delays": (lambda: gr.TDNN(D, H, 2), "TDNNCell"),
}


@pytest.mark.parametrize(("make", "text"), DEAF.values(), ids=DEAF)
def test_features_and_weights_of_a_call_that_no_cell_reads(make, text):
    model, x, edges = make(), torch.zeros(3, D), torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match=text):
        model(x, edges, FEATURES[:2])
    with pytest.raises(ValueError, match=f"{text.split()[0]}.*does not read edge_weight.*GCNCell"):
        model(x, edges, edge_weight=WEIGHTS[:2])


@pytest.mark.parametrize(
    ("edge_attr", "edge_weight", "text"),
    [
        (FEATURES, None, r"reads a weight per edge, \[E\] or \[E, 1\], .* got edge_attr of shape \(3, 2\)"),
        (WEIGHTS, WEIGHTS, "beside edge_weight"),
        (None, WEIGHTS.long(), r"floating-point .*\.float\(\)"),
        (None, WEIGHTS[:2], "expected 3, got 2"),
    ],
)
def test_weights_that_are_none(edge_attr, edge_weight, text):
    with pytest.raises((TypeError, ValueError), match=text):
        rounds(gr.GCNCell(D, H))(torch.zeros(3, D), torch.tensor(RING), edge_attr, edge_weight=edge_weight)


@pytest.mark.parametrize("s", [graph(), gr.to_pyg(graph())])
def test_what_a_structure_carries_is_its_own(s):
    with pytest.raises(TypeError, match=r"edge_weight goes with an edge_index.*replace\(edge_weight=...\)"):
        rounds(gr.GCNCell(D, H))(torch.zeros(3, D), s, edge_weight=WEIGHTS)
    carried = graph(edge_attr=FEATURES, edge_weight=WEIGHTS)  # nobody need read it
    model = rounds(gr.SAGECell(D, H))
    assert torch.equal(model(torch.ones(3, D), carried), model(torch.ones(3, D), s))


class Features(gr.SRNCell):
    """Of other equations nothing is known, so that nothing is refused."""

    def forward(self, x, inbox, own):
        return self.State(x + inbox.sum(inbox.edge_attr[:, :1] * inbox.h))


class OfItsOwn(gr.Recursive):
    def compute(self, x, s, initial, return_states):
        return x + s.edge_attr.sum(), []


@pytest.mark.parametrize(
    "model",
    [
        gr.Recursive(Features(D, D), "sync", 2),
        gr.Stacked([gr.Recursive(gr.SRNCell(D, D), "sync", 1), gr.Recursive(Features(D, D), "sync", 2)]),
        OfItsOwn(gr.SRNCell(D, D)),
    ],
)
def test_cells_and_models_of_a_user_read_what_they_like(model):
    x, edges = torch.ones(3, D), torch.tensor(RING)
    assert not torch.equal(model(x, edges, FEATURES), model(x, edges, 3 * FEATURES))
