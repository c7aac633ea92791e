"""Several cells in one run: each node follows the equations of its kind, and all else is as with one cell.

`PerKind` is run on structures whose kinds lie in any order, so that the nodes of a step are not in the caller's;
its oracle is the oracle of each node's kind. From that follow a grid of cells, which is the layers run one after
the other, and an encoder-decoder, which is a chain whose later nodes are of another kind.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphrec as gr
from tests import oracles, strategies
from tests.tolerances import assert_all_close, assert_close
from tests.trials import Trial, assert_agrees_with_oracle, assert_is_plain, outcome, trial
from tests.zoo import ACYCLIC, dag, family, lagged, mixed_batch, tree

# Cells of one state, (h, c), that take any number of children; then those of a state h.
TWO_FIELDS = [
    (gr.ChildSumTreeLSTMCell, oracles.child_sum_tree_lstm),
    (
        lambda d, h: gr.ResidualCell(gr.ChildSumTreeLSTMCell(d, h)),
        oracles.residual(oracles.child_sum_tree_lstm),
    ),
    (lambda d, h: gr.NaryTreeLSTMCell(d, h, arity=12), oracles.nary_tree_lstm),
]
ONE_FIELD = [
    (gr.TreeGRUCell, oracles.tree_gru),
    (lambda d, h: gr.RecNNCell(d, h, arity=12), oracles.recnn),
]
KINDS = {"h and c": TWO_FIELDS, "h": ONE_FIELD}


def per_kind(of):
    return lambda d, h: gr.PerKind([make(d, h) for make, _ in of])


def oracle_per_kind(of):
    """The oracle of each node's kind; a node is known by its input."""

    def equations(cell, x, inbox):
        number = int(x[-1])
        return of[number][1](cell.cells[number], x, inbox)

    return equations


def with_kinds(structure, count):
    """Kinds in no order."""
    same = torch.Generator().manual_seed(2)
    return structure.replace(kind=torch.randint(count, (structure.num_nodes,), generator=same))


def kinds_trial(of, structure, *arguments, **options):
    """A trial in which the last column of x says each node's kind, for the oracle."""
    run = trial(per_kind(of), structure, *arguments, **options)
    run.x = torch.cat([run.x.detach()[:, :-1], structure.kind[:, None]], dim=1).requires_grad_()
    return run


@pytest.mark.parametrize("initial", [None, "per node"])
@pytest.mark.parametrize("fields", KINDS)
@pytest.mark.parametrize("build", ACYCLIC)
def test_each_node_follows_the_equations_of_its_kind(build, fields, initial):
    of = KINDS[fields]
    structure = with_kinds(family(build, None), len(of))
    run = kinds_trial(of, structure, initial)
    assert_agrees_with_oracle(run, oracle_per_kind(of))
    assert_is_plain(run.outcome)


@pytest.mark.parametrize("initial", [None, "per graph"])
@pytest.mark.parametrize("fields", KINDS)
@pytest.mark.parametrize("build", [tree, lagged, mixed_batch, dag])
def test_in_rounds(build, fields, initial):
    of = KINDS[fields]
    structure = with_kinds(family(build, None), len(of))
    run = kinds_trial(of, structure, initial, mode="sync", rounds=3)
    assert_agrees_with_oracle(run, oracle_per_kind(of))
    assert_is_plain(run.outcome)


@settings(max_examples=15)
@given(data=st.data(), mode=st.sampled_from(["async", "sync"]))
def test_on_random_structures(data, mode):
    structure = data.draw(strategies.dags() if mode == "async" else strategies.graphs())
    kinds = st.lists(st.integers(0, 1), min_size=structure.num_nodes, max_size=structure.num_nodes)
    structure = structure.replace(kind=torch.tensor(data.draw(kinds)))
    run = kinds_trial(ONE_FIELD, structure, mode=mode, rounds=2 if mode == "sync" else None)
    assert_agrees_with_oracle(run, oracle_per_kind(ONE_FIELD))


@pytest.mark.parametrize(("mode", "rounds"), [("async", None), ("sync", 2)])
def test_steps_tell_the_callers_numbers(mode, rounds):
    s = with_kinds(family(mixed_batch, None), 2)
    run = kinds_trial(ONE_FIELD, s, "per node", mode=mode, rounds=rounds)
    final = run.run().h
    h = torch.full_like(final, torch.nan)
    moved = False
    for visit in gr.steps(run.cell, run.plan, run.x, run.given):
        assert torch.equal(s.kind[visit.nodes], s.kind[visit.nodes].sort().values)
        moved |= not torch.equal(visit.nodes, visit.nodes.sort().values)
        h = h.index_copy(0, visit.nodes, visit.state.h)
    assert moved
    assert_close(h, final)


@pytest.mark.parametrize(("mode", "rounds"), [("async", None), ("sync", 2)])
@pytest.mark.parametrize("initial", [None, "per graph", "per node"])
def test_the_same_cell_for_all_kinds_is_the_cell(mode, rounds, initial):
    s = family(mixed_batch, None)
    run = trial(gr.ChildSumTreeLSTMCell, s, initial, mode=mode, rounds=rounds)
    shared = gr.PerKind([run.cell] * 3)
    kinds = with_kinds(run.structure, 3)
    assert len(kinds.kind.unique()) == 3
    actual = Trial(shared, kinds, run.x, run.initial, mode, rounds).outcome()
    renamed = {name.replace("of cells.0.", "of "): value for name, value in actual.items()}
    assert_all_close(renamed, run.outcome())


def test_each_kind_has_slots_of_its_own():
    """Nodes of one kind sum five children, two of them in one slot; those of the other see two, each in its slot."""
    of = [(lambda d, h: gr.RecNNCell(d, h, arity=2), oracles.recnn), (gr.TreeGRUCell, oracles.tree_gru)]
    s = gr.dag([[0, 1, 2, 3, 4, 5, 6, 5, 6], [5, 5, 5, 5, 5, 7, 7, 8, 8]], 9)
    s = s.replace(
        slot=torch.tensor([0, 1, 2, 3, 3, 1, 0, 0, 1]), kind=torch.tensor([1, 1, 0, 0, 1, 1, 1, 0, 0])
    )
    for options in ({}, {"mode": "sync", "rounds": 2}):
        run = kinds_trial(of, s, **options)
        assert_agrees_with_oracle(run, oracle_per_kind(of))


def test_a_kind_that_no_node_has_gets_no_gradient():
    s = gr.chain(3).replace(kind=torch.tensor([0, 2, 0]))
    run = trial(lambda d, h: gr.PerKind([gr.SRNCell(d, h) for _ in range(3)]), s)
    found = run.outcome()
    assert found["gradient of cells.1.input.weight"] is None
    assert found["gradient of cells.2.input.weight"].abs().sum() > 0


class ReadsEverything(gr.Cell):
    """All that an inbox offers, in a part of it."""

    State = gr.TreeGRUCell.State

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.W = torch.nn.Linear(inputs, hidden)

    def forward(self, x, inbox, own):
        x = torch.tanh(self.W(x))
        edge = (1 + inbox.slot + 3 * inbox.relation + inbox.edge_attr.sum(1)).unsqueeze(1)
        weight = inbox.softmax(inbox.h * edge + inbox.to_edges(x))
        gathered = inbox.max(edge * inbox.h) + inbox.mean(inbox.h * edge) + inbox.sum(weight * inbox.h)
        in_slots = inbox.slots(12) * torch.arange(1, 13).unsqueeze(1)
        counted = inbox.sum(torch.ones(inbox.num_edges, 1, dtype=x.dtype) * inbox.target.unsqueeze(1).sign())
        doubled = inbox.replaced(h=2 * inbox.h)
        return self.State(
            torch.tanh(x + gathered + in_slots.sum(1) - doubled.sum(doubled.h) / 3 + own.h) + 0 * counted
        )


@pytest.mark.parametrize(("mode", "rounds"), [("async", None), ("sync", 2)])
@pytest.mark.parametrize("build", [tree, dag, mixed_batch])
def test_a_part_of_an_inbox_is_an_inbox(build, mode, rounds):
    """A cell that reads all there is computes with kinds what it does without."""
    run = trial(ReadsEverything, family(build, None), "per node", mode=mode, rounds=rounds)
    kinds = with_kinds(run.structure, 2)
    other = Trial(gr.PerKind([run.cell, run.cell]), kinds, run.x, run.initial, mode, rounds)
    actual = {name.replace("of cells.0.", "of "): value for name, value in other.outcome().items()}
    assert_all_close(actual, run.outcome())
    assert_is_plain(other.outcome)


def layer_by_layer(cells, lengths, x, initial, layers):
    """The final states of a stack on chains, in the order of a grid's nodes; `initial` has a row per such node."""
    s = gr.chains(lengths)
    at, first = [], 0  # for each layer, the grid's nodes
    for length in lengths:
        at.append(first + torch.arange(layers * length).view(layers, length))
        first += layers * length
    of_layer = [torch.cat([nodes[layer] for nodes in at]) for layer in range(layers)]
    rows, states = x[of_layer[0]], []
    for cell, nodes in zip(cells, of_layer, strict=True):
        before = None if initial is None else type(initial)(*(field[nodes] for field in initial))
        states.append(gr.run(cell, gr.schedule(s), rows, before))
        rows = states[-1][0]
    back = torch.argsort(torch.cat(of_layer))
    return type(states[0])(*(torch.cat(field)[back] for field in zip(*states, strict=True)))


GRIDS = {
    "LSTM": (gr.LSTMCell, 3),
    "GRU": (gr.GRUCell, 2),
    "SRN, the recurrent multilayer perceptron": (gr.SRNCell, 3),
    "Child-Sum": (gr.ChildSumTreeLSTMCell, 2),
    "layer normalisation": (gr.LayerNormGRUCell, 2),
    "one layer": (gr.LSTMCell, 1),
}


@pytest.mark.parametrize("initial", [None, "per node"])
@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_is_its_layers_in_series(name, initial):
    make, layers = GRIDS[name]
    lengths = [3, 1, 0, 4]
    s = gr.grid(lengths, layers)

    def grid(inputs, hidden):
        return gr.GridCell([make(inputs if layer == 0 else hidden, hidden) for layer in range(layers)])

    run = trial(grid, s, initial, hidden=4)
    first, *above = run.cell.cells
    cells = [first, *(part.cell for part in above)]

    def in_series():
        return layer_by_layer(cells, lengths, run.x, run.initial, layers)

    expected = run.outcome(in_series)
    assert_all_close(run.outcome(), expected)
    assert_is_plain(run.outcome)
    of_x = expected["gradient of x"]
    assert not of_x[s.kind > 0].any()  # of x, only the rows of layer 0 count


def test_a_grid_backwards_is_its_layers_in_series_backwards():
    """Turned in time, not from layer to layer: each graph's edges in slot 0 the other way."""
    lengths = [3, 2]
    run = trial(lambda d, h: gr.GridCell([gr.LSTMCell(d, h), gr.LSTMCell(h, h)]), gr.grid(lengths, 2))
    s = run.structure
    edges = torch.where(s.slot == 0, s.edge_index.flip(0), s.edge_index)
    turned = gr.dag(edges, s.num_nodes, slot=s.slot, kind=s.kind)
    time_turned = torch.tensor([2, 1, 0, 5, 4, 3, 7, 6, 9, 8])
    expected = Trial(run.cell, s, run.x[time_turned]).run()
    actual = Trial(run.cell, turned, run.x).run()
    assert_close(actual.h, expected.h[time_turned])


def test_an_encoder_decoder_is_a_chain_of_two_kinds():
    """The decoder's first node hangs on the encoder's last, as its initial state would."""
    source, target = [3, 1, 2], [2, 4, 1]
    lengths = [m + n for m, n in zip(source, target, strict=True)]
    kind = torch.cat([torch.tensor([0] * m + [1] * n) for m, n in zip(source, target, strict=True)])
    s = gr.chains(lengths).replace(kind=kind)
    run = trial(lambda d, h: gr.PerKind([gr.LSTMCell(d, h), gr.LSTMCell(d, h)]), s, "per graph")
    encoder, decoder = run.cell.cells

    def one_after_the_other():
        read = gr.run(encoder, gr.schedule(gr.chains(source)), run.x[kind == 0], run.initial)
        last = gr.LSTMCell.State(*(gr.readout.last(field, gr.chains(source)) for field in read))
        said = gr.run(decoder, gr.schedule(gr.chains(target)), run.x[kind == 1], last)
        places = torch.argsort(torch.cat([(kind == 0).nonzero(), (kind == 1).nonzero()]).flatten())
        return run.cell.State(*(torch.cat(pair)[places] for pair in zip(read, said, strict=True)))

    assert_all_close(run.outcome(), run.outcome(one_after_the_other))


def test_kinds_survive_batching():
    members = [with_kinds(family(build, None), 2) for build in (tree, dag)]
    batch = gr.batch(members)
    run = kinds_trial(ONE_FIELD, batch)
    xs = run.x.split([member.num_nodes for member in members])
    alone = [gr.run(run.cell, gr.schedule(m), x).h for m, x in zip(members, xs, strict=True)]
    assert_all_close(
        outcome(run.run(), {"x": run.x}), outcome(run.cell.State(torch.cat(alone)), {"x": run.x})
    )


def test_each_kind_has_the_slots_of_its_own_cell():
    """A chain of kind 0, whose end is the right child of a node of kind 1, which has two slots."""
    s = gr.dag([[0, 1, 2], [1, 3, 3]], 4, slot=torch.tensor([0, 1, 0])).replace(
        kind=torch.tensor([0, 0, 0, 1])
    )
    chain, node = gr.RecNNCell(3, 2, arity=1).double(), gr.RecNNCell(3, 2, arity=2).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    h = gr.run(gr.PerKind([chain, node]), gr.schedule(s), x).h
    below = gr.run(chain, gr.schedule(gr.dag([[0], [1]], 3)), x[:3]).h
    top = torch.tanh(node.project(x[3:]) + node.recurrent(below[[2, 1]].flatten()))
    assert_all_close({"h": h}, {"h": torch.cat([below, top])})
