"""Features of edges by relation are what they are if they are put side by side by hand.

A relation with 2 features and one with 7 are 9 features for every edge, of which 7 or 2 are zero; a layer for each
relation is one layer over all of them. So every cell that reads features of one width computes the same over these.
"""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, HeteroData
from torch_geometric.loader import DataLoader

import graphrec as gr
from tests.tolerances import GRADCHECK, assert_all_close, assert_close
from tests.trials import assert_is_plain, gradients

D, H = 3, 2
WIDTHS = [2, 7, None]  # of nets, of cells, and of edges that say nothing


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def timing_graph(grad=False, width=7):
    """Ports drive pins over nets, pins ports over cells, and some edges carry nothing; no relation twice as wide."""
    data = HeteroData()
    data["port"].x = randn(4, D)
    data["pin"].x = randn(5, D)
    data["port", "net", "pin"].edge_index = torch.tensor([[0, 0, 1, 2, 3], [0, 1, 2, 3, 4]])
    data["port", "net", "pin"].edge_attr = randn(5, 2).requires_grad_(grad)
    data["pin", "cell", "port"].edge_index = torch.tensor([[0, 1, 2, 2, 3], [2, 2, 2, 3, 3]])
    data["pin", "cell", "port"].edge_attr = randn(5, width).requires_grad_(grad)
    data["port", "bare", "port"].edge_index = torch.tensor([[0, 1], [2, 3]])
    return data


def side_by_side(s):
    """The same structure with features of one width, zero where they are another relation's."""
    rows = randn(s.num_edges, 9) * 0
    for relation, columns in ((0, slice(0, 2)), (1, slice(2, 9))):
        part = s.edge_attr.of(relation)
        rows = rows.index_put(
            (part.edges,), torch.nn.functional.pad(part.rows, (columns.start, 9 - columns.stop))
        )
    return s.replace(edge_attr=rows)


def layer_side_by_side(by_relation, layer):
    """The same layer over features that stand side by side."""
    with torch.no_grad():
        layer.weight.copy_(torch.cat([by_relation.layers["0"].weight, by_relation.layers["1"].weight], dim=1))


def pair(make, name):
    """A cell for features by relation, and the same for such side by side."""
    cell, other = make(WIDTHS).double(), make(9).double()
    own = {key: value for key, value in cell.state_dict().items() if not key.startswith(f"{name}.")}
    other.load_state_dict(own, strict=False)
    layer_side_by_side(cell.get_submodule(name), other.get_submodule(name))
    return cell, other


def of_one_layer(widths):
    layer = nn.Linear(9, H, bias=False) if widths == 9 else gr.PerRelation(widths, H, bias=False)
    return gr.MPNNCell(H, H, widths, nn.Sequential(layer, nn.Tanh(), nn.Linear(H, H * H)))


CELLS = {
    "DVAE": (lambda widths: gr.DVAECell(D, H, widths), "edge"),
    "DAGNN": (lambda widths: gr.DAGNNCell(D, H, widths), "edge_score"),
    "GAT": (lambda widths: gr.GATCell(H, H, edges=widths), "lin_edge"),
    "GATv2": (lambda widths: gr.GATv2Cell(H, H, edges=widths), "lin_edge"),
    "MPNN": (of_one_layer, "nn.0"),
}
WAYS = {
    "async": {},
    "sync": {"mode": "sync", "rounds": 2},
    "cycles": {"cycles": "iterate", "rounds": 2},
    "in a given order": {"order": gr.colouring, "rounds": 2},
}
VIEWS = {
    "as it is": lambda s: s,
    "reversed": lambda s: s.reverse(),
    "batched": lambda s: gr.batch([s, gr.from_pyg(timing_graph()), s.reverse()]),
    "beside a member of one width": lambda s: gr.batch([s, net_alone()]),
}


def net_alone():
    """A member in which all edges have features of one width, and one without edges."""
    s = gr.dag([[0], [1]], 2, relation=torch.tensor([0]), edge_attr=randn(1, 2), kind=torch.tensor([0, 1]))
    return gr.batch([s, gr.dag([[], []], 1, kind=torch.tensor([1]))])


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CELLS)
def test_by_relation_is_side_by_side(name, way, view):
    torch.manual_seed(0)
    cell, other = pair(*CELLS[name])
    data = timing_graph(grad=True)
    s = VIEWS[view](gr.from_pyg(data))
    x = randn(s.num_nodes, cell.inputs).requires_grad_()
    features = {
        "nets": data["net"].edge_attr,
        "cells": data["cell"].edge_attr,
        "x": x,
    }
    state = gr.run(cell, gr.schedule(s, **WAYS[way]), x)
    expected = gr.run(other, gr.schedule(side_by_side(s), **WAYS[way]), x)
    assert_close(state.h, expected.h)
    assert_all_close(gradients(tuple(state), features), gradients(tuple(expected), features))


@pytest.mark.parametrize("name", CELLS)
def test_weights_learn_the_same(name):
    torch.manual_seed(0)
    cell, other = pair(*CELLS[name])
    s = gr.from_pyg(timing_graph())
    x = randn(s.num_nodes, cell.inputs)
    layer, whole = cell.get_submodule(CELLS[name][1]), other.get_submodule(CELLS[name][1])
    found = gradients(tuple(gr.run(cell, gr.schedule(s), x)), dict(layer.named_parameters()))
    (expected,) = gradients(
        tuple(gr.run(other, gr.schedule(side_by_side(s)), x)), {"weight": whole.weight}
    ).values()
    assert_close(torch.cat([found["layers.0.weight"], found["layers.1.weight"]], dim=1), expected)


def test_it_is_what_the_equations_say():
    """Pin by pin, as one would write it down."""
    torch.manual_seed(0)
    data = timing_graph()
    s, cell = gr.from_pyg(data), gr.DVAECell(D, H, WIDTHS).double()
    x = torch.cat([data["port"].x, data["pin"].x])
    h = {}
    for v in gr.levels(s).argsort().tolist():
        m = x.new_zeros(H)
        for name, offset, relation in (("net", (0, 4), 0), ("cell", (4, 0), 1), ("bare", (0, 0), 2)):
            for e, (u, w) in enumerate(data[name].edge_index.t().tolist()):
                if w + offset[1] != v:
                    continue
                gate, value = cell.gate(h[u + offset[0]]), cell.map(h[u + offset[0]])
                if relation < 2:
                    of_edge = cell.edge.layers[str(relation)](data[name].edge_attr[e])
                    gate, value = gate + of_edge[:H], value + of_edge[H:]
                m = m + torch.sigmoid(gate) * value
        r, z, n = (cell.input.weight @ x[v] + cell.input.bias).chunk(3)
        r_m, z_m, n_m = (cell.recurrent.weight @ m + cell.recurrent.bias).chunk(3)
        z = torch.sigmoid(z + z_m)
        h[v] = (1 - z) * torch.tanh(n + torch.sigmoid(r + r_m) * n_m) + z * m
    assert_close(gr.run(cell, gr.schedule(s), x).h, torch.stack([h[v] for v in range(s.num_nodes)]))
    assert_close(gr.Recursive(cell)(data.x_dict, data)["pin"], torch.stack([h[v] for v in range(4, 9)]))


class TestKinds:
    """Nodes of each kind read what comes to them."""

    def cells(self, make=gr.DVAECell):
        # Ports are entered by cells and bare edges, pins by nets alone: there one width will do.
        return [make(D, H, {1: 7, 2: None}), gr.DVAECell(D, H, 2)]

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("make", [gr.DVAECell, gr.DAGNNCell])
    def test_each_kind_follows_its_cell(self, make, way):
        """As a cell that computes both for all nodes, and takes what is right for each."""
        torch.manual_seed(0)
        data = timing_graph(grad=True)
        s, cells = gr.from_pyg(data), self.cells(make)
        cell = gr.PerKind(cells).double()
        both = Both([make(D, H, WIDTHS), gr.DVAECell(D, H, WIDTHS)]).double()
        for one, other in zip(both.cells, cells, strict=True):
            one.load_state_dict({**one.state_dict(), **renamed(other.state_dict())})
        x = torch.cat([data["port"].x, data["pin"].x]).requires_grad_()
        inputs = {"x": x, "nets": data["net"].edge_attr, "cells": data["cell"].edge_attr}
        state = gr.run(cell, gr.schedule(s, **WAYS[way]), x)
        with_kind = torch.cat([x, s.kind.unsqueeze(1).double()], dim=1)
        expected = gr.run(both, gr.schedule(s.replace(kind=None), **WAYS[way]), with_kind)
        assert_close(state.h, expected.h)
        assert_all_close(gradients(tuple(state), inputs), gradients(tuple(expected), inputs))
        assert_is_plain(lambda: gradients(gr.run(cell, gr.schedule(s, **WAYS[way]), x), inputs))

    def test_gradcheck(self):
        torch.manual_seed(0)
        data = timing_graph(grad=True)
        s, cell = gr.from_pyg(data), gr.PerKind(self.cells(gr.DAGNNCell)).double()
        x, initial = randn(9, D).requires_grad_(), randn(1, H).requires_grad_()

        def h(*_):
            return gr.run(cell, gr.schedule(s), x, initial).h

        features = [data[name].edge_attr for name in ("net", "cell")]
        assert torch.autograd.gradcheck(h, (x, initial, *features, *cell.parameters()), **GRADCHECK)

    def test_a_cell_within_another_one_and_none_that_reads(self):
        s = gr.from_pyg(timing_graph())
        x = randn(9, D)
        cells = [gr.DVAECell(D, H), gr.DVAECell(D, H, 2)]
        only = gr.PerKind(cells).double()
        assert gr.run(only, gr.schedule(s), x).h.shape == (9, H)
        blind = gr.PerKind([gr.DVAECell(D, H), gr.DAGRNNCell(D, H)]).double()
        assert_close(
            gr.run(blind, gr.schedule(s), x).h, gr.run(blind, gr.schedule(s.replace(edge_attr=None)), x).h
        )
        wrapped = gr.ResidualCell(gr.PerKind([gr.DVAECell(D, D, WIDTHS), gr.DVAECell(D, D, 2)])).double()
        assert gr.run(wrapped, gr.schedule(s), x).h.shape == (9, D)


def renamed(state):
    """A layer for one width is that of nets."""
    return {key.replace("edge.weight", "edge.layers.0.weight"): value for key, value in state.items()}


class Both(gr.Cell):
    """Two cells for all nodes; the last column of x says whose state counts."""

    State = namedtuple("State", "h")

    def __init__(self, cells):
        super().__init__(D + 1, H)
        self.cells = nn.ModuleList(cells)
        self.edges = WIDTHS
        self.split = [1 if isinstance(cell, gr.DAGNNCell) else 2 * H for cell in cells]

    def project_edges(self, edge_attr):
        return torch.cat([cell.project_edges(edge_attr) for cell in self.cells], dim=1)

    def forward(self, x, inbox, own):
        states = []
        for cell, rows in zip(self.cells, inbox.edge_attr.split(self.split, 1), strict=True):
            here = inbox.replaced(edge_attr=rows)
            shown = here if cell.Message is None else here.messages_of(cell).replaced(edge_attr=rows)
            states.append(cell(cell.project(x[:, :-1]), shown, own).h)
        return self.State(torch.where(x[:, -1:] == 0, *states))


class TestData:
    def test_a_loader_of_graphs_is_the_graphs_one_by_one(self):
        torch.manual_seed(0)
        graphs = [timing_graph(), timing_graph(), timing_graph()]
        del graphs[1]["net"].edge_attr  # has no edges, and need not say how wide they were
        graphs[1]["net"].edge_index = torch.zeros(2, 0, dtype=torch.long)
        graphs[1]["net"].edge_attr = torch.zeros(0, 2, dtype=torch.float64)
        cell = gr.DVAECell(D, H, WIDTHS).double()
        model = gr.Recursive(cell)
        (batch,) = DataLoader(graphs, batch_size=3)
        rows = model(batch.x_dict, batch)
        alone = [model(graph.x_dict, graph) for graph in graphs]
        for name in ("port", "pin"):
            assert_close(rows[name], torch.cat([one[name] for one in alone]))
        ours = gr.batch([gr.from_pyg(graph) for graph in graphs])
        x = torch.cat([torch.cat(list(graph.x_dict.values())) for graph in graphs])
        h = torch.cat([torch.cat(list(one.values())) for one in alone])
        assert_close(gr.run(cell, gr.schedule(ours), x).h, h)

    def test_features_of_one_width_are_read_by_relation_too(self):
        torch.manual_seed(0)
        data = timing_graph(width=2)
        del data["port", "bare", "port"]
        s = gr.from_pyg(data)
        assert torch.equal(s.edge_attr, torch.cat([data["net"].edge_attr, data["cell"].edge_attr]))
        x, cell = randn(9, D), gr.DVAECell(D, H, [2, 2]).double()
        parts = s.replace(edge_attr=[data["net"].edge_attr, data["cell"].edge_attr])
        assert_close(gr.run(cell, gr.schedule(s), x).h, gr.run(cell, gr.schedule(parts), x).h)
        kinds = gr.PerKind([gr.DVAECell(D, H, [None, 2]), gr.DVAECell(D, H, 2)]).double()
        assert_close(gr.run(kinds, gr.schedule(s), x).h, gr.run(kinds, gr.schedule(parts), x).h)
        same = gr.DVAECell(D, H, 2).double()
        assert_close(gr.run(same, gr.schedule(s), x).h, gr.run(same, gr.schedule(parts), x).h)
        two, both = gr.batch([s, s]), gr.batch([parts, s])  # relations by turns
        x = torch.cat([x, x + 1])
        assert_close(gr.run(same, gr.schedule(two), x).h, gr.run(same, gr.schedule(both), x).h)

    def test_both_ways(self):
        torch.manual_seed(0)
        s = gr.from_pyg(timing_graph()).both_ways()
        assert s.relation.max() == 5
        cell = gr.DVAECell(D, H, [*WIDTHS, *WIDTHS]).double()
        back = s.edge_attr.of(3)
        assert torch.equal(s.relation[back.edges], torch.full((5,), 3))
        assert torch.equal(back.rows, s.edge_attr.of(0).rows)
        assert gr.run(cell, gr.schedule(s, "sync", 2), randn(9, D)).h.shape == (9, H)

    def test_readout_as_a_part_of_the_structure(self):
        s = gr.from_pyg(timing_graph())
        whole = gr.readout.with_readout(s)
        cell = gr.DVAECell(D, H, [*WIDTHS, None]).double()
        x = randn(10, D)
        assert_close(gr.run(cell, gr.schedule(whole), x).h[:9], gr.run(cell, gr.schedule(s), x[:9]).h)

    def test_what_structures_do_with_them(self):
        torch.manual_seed(0)
        s = gr.from_pyg(timing_graph())
        features = s.edge_attr
        assert len(features) == s.num_edges == 12
        assert s == s.replace(edge_attr=[features.of(0).rows, features.of(1).rows, None])
        assert s != s.replace(edge_attr=[features.of(0).rows, features.of(1).rows + 1, None])
        assert s != s.replace(edge_attr=[features.of(0).rows, None, None])
        assert s.reverse().edge_attr is features
        assert features.to(torch.device("meta")).of(1).rows.is_meta
        assert features != 3
        assert "edge_attr" in repr(s)

    def test_no_edges_at_all(self):
        """Whoever has none need not say how wide they would have been."""
        s = gr.dag([[], []], 2, kind=torch.tensor([0, 1]))
        for cell in (gr.DVAECell(D, H, WIDTHS), gr.DVAECell(D, H, 2), gr.PerKind(TestKinds().cells())):
            x = randn(2, D).requires_grad_()
            h = gr.run(cell.double(), gr.schedule(s), x, randn(1, H)).h
            (grad,) = torch.autograd.grad(h.sum(), x)
            assert grad.abs().sum() > 0

    def test_batches_of_pyg(self):
        batch = Batch.from_data_list([timing_graph(), timing_graph()])
        s = gr.from_pyg(batch)
        assert s.num_graphs == 2
        assert [len(part.edges) if part else None for part in s.edge_attr.relations] == [10, 10, None]
