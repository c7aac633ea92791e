"""Every cell for graphs computes its paper's equations, in whatever order nodes have their turn.

The oracles (`tests/oracles/graphs.py`) update one node after the other. Values and gradients, in float64.
"""

import pytest
import torch
import torch_geometric.nn as pyg

import graphrec as gr
from tests import oracles
from tests.tolerances import assert_all_close, assert_close
from tests.trials import Trial, assert_is_plain, outcome, trial
from tests.zoo import (
    ACYCLIC,
    FAMILIES,
    GRAPH_CELLS,
    cases,
    caterpillar,
    dag,
    family,
    isolated_nodes,
    mixed_batch,
)

ORACLES = {
    "GCN": oracles.gcn,
    "SAGE": oracles.sage,
    "GIN": oracles.gin,
    "GAT": oracles.gat,
    "GATv2": oracles.gatv2,
    "GGNN": oracles.ggnn,
    "MPNN": oracles.mpnn,
}


def assert_agrees(run: Trial, name: str, order: list[list[int]], h: torch.Tensor | None = None) -> None:
    own = torch.nn.functional.pad(run.x, (0, run.cell.hidden - run.x.shape[1]))
    expected = oracles.evaluate_graph(ORACLES[name], run.cell, own, run.structure, order)
    wanted = run.inputs
    found = run.run().h if h is None else h
    assert_all_close(h_and_gradients(found, wanted), h_and_gradients(expected, wanted))


def h_and_gradients(h, inputs):
    return outcome(gr.SRNCell.State(h), inputs)


def looped(arity):
    """Nodes with two edges to themselves, with one, and with none."""
    return gr.dag([[0, 0, 1, 2, 0, 1, 3], [0, 1, 2, 2, 0, 1, 1]], 4)


def everyone(s):
    return list(range(s.num_nodes))


@pytest.mark.parametrize(("case", "structure"), cases(GRAPH_CELLS, [*FAMILIES, looped]))
@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds(case, structure, rounds):
    run = trial(case.make, structure, mode="sync", rounds=rounds)
    assert_agrees(run, case.name, [everyone(structure)] * rounds)


@pytest.mark.parametrize(("case", "structure"), cases(GRAPH_CELLS, ACYCLIC))
def test_in_dependency_order(case, structure):
    run = trial(case.make, structure)
    level = gr.levels(structure).tolist()
    order = [[v for v in everyone(structure) if level[v] == k] for k in range(max(level) + 1)]
    assert_agrees(run, case.name, order)


WEIGHING = [case for case in GRAPH_CELLS if case.name in ("GCN", "GGNN")]


@pytest.mark.parametrize(("case", "structure"), cases(WEIGHING, [*FAMILIES, looped]))
def test_weights_in_rounds(case, structure):
    run = trial(case.make, weighted(structure), mode="sync", rounds=2)
    assert_agrees(run, case.name, [everyone(structure)] * 2)


@pytest.mark.parametrize(("case", "structure"), cases(WEIGHING, ACYCLIC))
def test_weights_in_dependency_order(case, structure):
    run = trial(case.make, weighted(structure))
    level = gr.levels(structure).tolist()
    order = [[v for v in everyone(structure) if level[v] == k] for k in range(max(level) + 1)]
    assert_agrees(run, case.name, order)
    assert_is_plain(run.outcome)


def weighted(structure):
    """A trial draws the weights."""
    return structure.replace(edge_weight=torch.ones(structure.num_edges))


H, EDGES = 4, 2
OPTIONS = {
    "SAGE-max-project": (
        lambda: gr.SAGECell(H, H, "max", project=True, normalize=True),
        lambda: pyg.SAGEConv(H, H, "max", project=True, normalize=True),
    ),
    "SAGE-lstm": (lambda: gr.SAGECell(H, H, "lstm"), lambda: pyg.SAGEConv(H, H, "lstm")),
    "SAGE-median": (
        lambda: gr.SAGECell(H, H, "median", root_weight=False),
        lambda: pyg.SAGEConv(H, H, "median", root_weight=False),
    ),
    "GAT": (
        lambda: gr.GATCell(H, H, 2, edges=EDGES, residual=True),
        lambda: pyg.GATConv(H, H // 2, 2, edge_dim=EDGES, residual=True),
    ),
    "GATv2": (
        lambda: gr.GATv2Cell(H, H, 2, edges=EDGES, residual=True),
        lambda: pyg.GATv2Conv(H, H // 2, 2, edge_dim=EDGES, residual=True),
    ),
    "GAT-no-loops": (
        lambda: gr.GATCell(H, H, average=True, edges=EDGES, self_loops=False),
        lambda: pyg.GATConv(H, H, concat=False, edge_dim=EDGES, add_self_loops=False),
    ),
}


@pytest.mark.parametrize(
    "build", [isolated_nodes, caterpillar, dag, mixed_batch], ids=lambda build: build.__name__
)
@pytest.mark.parametrize(("make", "make_conv"), OPTIONS.values(), ids=OPTIONS)
def test_options_in_dependency_order_are_those_of_pygs_layers(make, make_conv, build):
    torch.manual_seed(0)
    run = trial(lambda d, h: make(), family(build, None))
    conv = make_conv().double()
    conv.load_state_dict(run.cell.state_dict())
    assert_is_plain(run.outcome)
    if "lstm" in str(conv.aggr) and build is not caterpillar:
        return  # PyG's reads the padding where nodes of a level have unequally many messages
    s = run.structure if run.cell.edges else run.structure.replace(edge_attr=None)
    in_order = gr.Levelwise(conv)
    inputs = {"x": run.x, **dict(conv.named_parameters())}
    expected = h_and_gradients(in_order(run.x, s), inputs)
    found = run.outcome()
    assert_all_close({name: found[name] for name in expected}, expected)


@pytest.mark.parametrize(("case", "structure"), cases(GRAPH_CELLS, FAMILIES))
@pytest.mark.parametrize("sweeps", [1, 2])
def test_in_a_given_order(case, structure, sweeps):
    """Gauss-Seidel: one node after the other, each reading whatever stands there at the time."""
    run = trial(case.make, structure)
    rank = torch.randperm(structure.num_nodes, generator=torch.Generator().manual_seed(3))
    plan = gr.schedule(run.structure, order=rank, rounds=sweeps)
    one_by_one = [[node] for node in torch.argsort(rank).tolist()]
    assert_agrees(run, case.name, one_by_one * sweeps, gr.run(run.cell, plan, run.x).h)


@pytest.mark.parametrize("case", GRAPH_CELLS, ids=lambda case: case.name)
def test_a_cell_for_each_round(case):
    """GNN with different weights for each round, and the state of each round."""
    structure = next(s for c, s in (p.values for p in cases([case], FAMILIES[-1:])))
    runs = [trial(case.make, structure) for _ in range(3)]
    x = torch.randn(structure.num_nodes, runs[0].cell.hidden, dtype=torch.float64, requires_grad=True)
    for run in runs:
        if run.cell.inputs != run.cell.hidden:  # those that pad x
            run.cell.inputs = run.cell.hidden
    model = gr.GNN([run.cell for run in runs])
    rows, h = model.rounds(x, structure), x
    for run, found in zip(runs, rows, strict=True):
        h = oracles.evaluate_graph(ORACLES[case.name], run.cell, h, structure, [everyone(structure)])
        assert_close(found, h)
    assert_close(model(x, structure), h)


def test_rounds_that_share_weights_are_one_run():
    run = trial(
        lambda d, h: gr.GGNNCell(d, h + 2, relations=3),
        next(p.values[1] for p in cases(GRAPH_CELLS[5:6], FAMILIES[-1:])),
    )
    plan = gr.schedule(run.structure, "sync", 3)
    states = gr.rounds(run.cell, plan, run.x)
    run.cell.inputs = None
    model = gr.GNN([run.cell] * 3)
    assert len(states) == 4
    assert_close(states[0].h, torch.nn.functional.pad(run.x, (0, 1)))
    for one, other in zip(states[1:], model.rounds(run.x, run.structure), strict=True):
        assert_close(one.h, other)
    assert_close(gr.run(run.cell, plan, run.x).h, states[-1].h)


@pytest.mark.parametrize("cell", [gr.ChildSumTreeLSTMCell, gr.DAGNNCell])
def test_cells_that_read_x_go_on_from_the_state(cell):
    """Not only graph convolutions have rounds of their own: others are given x and the state in each."""
    torch.manual_seed(0)
    s = gr.dag(torch.tensor([[0, 1, 2, 3], [1, 2, 0, 1]]), 4)
    shared = cell(3, 2).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    assert_close(gr.GNN([shared] * 3)(x, s), gr.Recursive(shared, "sync", 3)(x, s))


@pytest.mark.parametrize("jump", ["cat", "max", "lstm"])
def test_jumping_knowledge_is_pygs(jump):
    torch.manual_seed(0)
    s = gr.dag(torch.tensor([[0, 1, 2, 3], [1, 2, 0, 1]]), 4)
    x = torch.randn(4, 3)
    model = gr.GNN([gr.GCNCell(3, 4), gr.SAGECell(4, 4)], between=torch.nn.Tanh(), jump=jump)
    jumping = pyg.JumpingKnowledge(jump, 4, 2)
    if jump == "lstm":
        jumping.load_state_dict(model.jump.state_dict())
    first = gr.GNN([model.cells[0]])(x, s)
    second = gr.GNN([model.cells[1]])(torch.tanh(first), s)
    assert_close(model(x, s), jumping([first, second]))


@pytest.mark.parametrize(("case", "structure"), cases(GRAPH_CELLS, FAMILIES, share=2))
def test_each_kind_of_node_in_rounds(case, structure):
    """Nodes of a kind follow their cell; degrees, and what others show to them, are those of the whole graph."""
    runs = [trial(case.make, structure, mode="sync", rounds=2) for _ in range(2)]
    s, x = by_turns(runs[0].structure), runs[0].x
    run = Trial(gr.PerKind([run.cell for run in runs]), s, x, mode="sync", rounds=2)
    h = torch.nn.functional.pad(x, (0, run.cell.shapes()[0][0] - x.shape[1]))
    for _ in range(2):
        h = of_each_kind([evaluate(case, run.cell, h, s, [everyone(s)]) for run in runs], s)
    assert_all_close(h_and_gradients(run.run().h, run.inputs), h_and_gradients(h, run.inputs))


@pytest.mark.parametrize(("case", "structure"), cases(GRAPH_CELLS, ACYCLIC, share=2))
def test_each_kind_of_node_in_dependency_order(case, structure):
    runs = [trial(case.make, structure) for _ in range(2)]
    s, x = by_turns(runs[0].structure), runs[0].x
    run = Trial(gr.PerKind([run.cell for run in runs]), s, x)
    h, level = torch.nn.functional.pad(x, (0, run.cell.shapes()[0][0] - x.shape[1])), gr.levels(s)
    for number in range(int(level.max()) + 1):
        group = [(level == number).nonzero().flatten().tolist()]
        h = of_each_kind([evaluate(case, run.cell, h, s, group) for run in runs], s)
    assert_all_close(h_and_gradients(run.run().h, run.inputs), h_and_gradients(h, run.inputs))


def evaluate(case, cell, h, s, order):
    return oracles.evaluate_graph(ORACLES[case.name], cell, h, s, order)


def by_turns(s):
    """The structure with nodes of two kinds."""
    return s.replace(kind=torch.arange(s.num_nodes) % 2)


def of_each_kind(rows, s):
    return torch.where((s.kind == 0).unsqueeze(1), *rows)


@pytest.mark.parametrize("case", GRAPH_CELLS, ids=lambda case: case.name)
def test_a_readout_as_a_node_of_the_graph(case):
    """Its inbox is all that its graph's nodes show; they do not hear from it."""
    plain = next(s for c, s in (p.values for p in cases([case], FAMILIES[-1:])))
    s = gr.readout.with_readout(plain)
    if case.name == "GGNN":  # edges to the readout have a relation of their own, and so a matrix
        s = s.replace(relation=s.relation.clamp(max=plain.relation.max()))
    run = trial(case.make, s, mode="sync", rounds=3)
    assert_agrees(run, case.name, [everyone(s)] * 3)
    alone = Trial(
        run.cell,
        plain.replace(edge_attr=run.structure.edge_attr[: plain.num_edges]),
        run.x[: plain.num_nodes],
        mode="sync",
        rounds=3,
    )
    assert_close(run.run().h[: plain.num_nodes], alone.run().h)


@pytest.mark.parametrize("case", GRAPH_CELLS, ids=lambda case: case.name)
def test_autocast(case):
    """Products are bfloat16; the state keeps the dtype of x, and numbers are those without, as far as they go."""
    structure = next(s for c, s in (p.values for p in cases([case], FAMILIES[-1:])))
    structure = structure.replace(edge_attr=structure.edge_attr.float())
    torch.manual_seed(0)
    cell = case.make(3, 4)
    x = torch.randn(structure.num_nodes, cell.inputs, requires_grad=True)
    plan = gr.schedule(structure, "sync", 2)
    exact = gr.run(cell, plan, x).h
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = gr.run(cell, plan, x).h
    assert h.dtype == torch.float32
    assert_close(h.bfloat16(), exact.bfloat16())
    assert torch.autograd.grad(h.sum(), x)[0].isfinite().all()
