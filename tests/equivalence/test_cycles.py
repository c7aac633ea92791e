"""Cycles are iterated: strongly connected components in dependency order, to a number of rounds or a fixed point."""

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import graphrec as gr
from tests import strategies
from tests.counting import Count
from tests.tolerances import GRADCHECK, assert_all_close, assert_close
from tests.trials import assert_is_plain, gradients
from tests.zoo import ALL_CELLS, FAMILIES, cases, cyclic, dressed

TIGHT = gr.FixedPoint(tolerance=1e-13, limit=2000)


def contracting(inputs=3, hidden=2):
    """A cell whose rounds come closer to each other, however many sources a node has."""
    cell = gr.DAGRNNCell(inputs, hidden, activation="tanh").double()
    with torch.no_grad():
        cell.recurrent.weight *= 0.15 / torch.linalg.matrix_norm(cell.recurrent.weight, 2)
    return cell


def with_loops():
    """0 → 1 → 2 → 3 → 1, 3 → 4 → 5 → 5, and 6 by itself."""
    return gr.dag(torch.tensor([[0, 1, 2, 3, 3, 5, 4], [1, 2, 3, 1, 4, 5, 5]]), 7)


def in_dependency_order(cell, x, s, rounds):
    """The definition, by networkx: component after component, each in rounds, reading the final states of others."""
    h = [x.new_zeros(cell.hidden)] * s.num_nodes
    graph = nx.MultiDiGraph(s.edge_index.t().tolist())
    graph.add_nodes_from(range(s.num_nodes))
    condensed = nx.condensation(graph)
    for number in nx.topological_sort(condensed):
        members = sorted(condensed.nodes[number]["members"])
        is_cyclic = len(members) > 1 or graph.has_edge(members[0], members[0])
        for _ in range(rounds if is_cyclic else 1):
            new = {}
            for v in members:
                total = sum((h[u] for u in s.source[s.target == v].tolist()), x.new_zeros(cell.hidden))
                new[v] = torch.tanh(cell.input(x[v]) + cell.recurrent.weight @ total)
            for v, state in new.items():
                h[v] = state
    return torch.stack(h)


@settings(max_examples=40)
@given(s=strategies.graphs(max_nodes=7))
def test_components_in_dependency_order(s):
    cell = contracting()
    x = torch.randn(s.num_nodes, 3, dtype=torch.float64, requires_grad=True)
    inputs = {"x": x, **dict(cell.named_parameters())}
    h = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=3), x).h
    expected = in_dependency_order(cell, x, s, 3)
    assert_close(h, expected)
    assert_all_close(gradients((h,), inputs), gradients((expected,), inputs))


@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, [FAMILIES[0], FAMILIES[6], cyclic]))
def test_without_cycles_it_is_one_sweep_and_with_one_component_it_is_rounds(case, structure):
    torch.manual_seed(0)
    cell = case.make(3, 2).double()
    x = torch.randn(structure.num_nodes, 3 if cell.inputs is None else cell.inputs, dtype=torch.float64)
    plan = gr.schedule(structure, cycles="iterate", rounds=4)
    if plan.cycles is None:
        assert plan == gr.schedule(structure)
        return
    ring = gr.dag(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)
    ring = dressed(ring)
    x = x[:3]
    found = gr.run(cell, gr.schedule(ring, cycles="iterate", rounds=4), x)
    expected = gr.run(cell, gr.schedule(ring, "sync", 4), x)
    for one, other in zip(found, expected, strict=True):
        assert_close(one.detach(), other.detach())


def test_initial_states_are_where_rounds_begin():
    cell, s = contracting(), with_loops()
    x = torch.randn(7, 3, dtype=torch.float64)
    initial = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    one = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=1), x, initial).h
    # Nodes without sources have a virtual one, those on cycles read what stands before the round.
    sums = torch.stack(
        [initial[0], one[0] + initial[3], initial[1], initial[2], one[3], one[4] + initial[5], initial[6]]
    )
    assert_close(one, torch.tanh(cell.input(x) + sums @ cell.recurrent.weight.t()))
    assert torch.autograd.grad(one.sum(), initial)[0].abs().sum() > 0


class TestFixedPoint:
    def test_it_is_one(self):
        cell, s = contracting(), with_loops()
        x = torch.randn(7, 3, dtype=torch.float64)
        h = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=TIGHT), x).h
        again = gr.run(cell, gr.schedule(s, "sync", 1), x, h).h
        assert_close(again, h)

    @pytest.mark.parametrize("make", [contracting, lambda: gr.GINCell(3, 3, Shrinking()).double()])
    def test_implicit_gradients_are_those_of_many_rounds(self, make):
        torch.manual_seed(0)
        cell, s = make(), with_loops()
        x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
        inputs = {"x": x, **dict(cell.named_parameters())}
        far = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=300), x).h
        h = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=TIGHT), x).h
        assert_close(h, far)
        if isinstance(cell, gr.GINCell):  # a fixed point knows nothing of where it began; other nodes do
            inputs.pop("x")
            assert bool(torch.isfinite(torch.autograd.grad(h.sum(), x, retain_graph=True)[0]).all())
        assert_all_close(gradients((h,), inputs), gradients((far,), inputs))

    @pytest.mark.parametrize("kinds", [1, 2])
    def test_of_fields_that_no_round_changes_nothing_is_to_be_found(self, kinds):
        """A graph convolution carries its degrees along, a number for each node: derivatives by them go to the edges'
        weights, and are not iterated, for one round hands them on as a whole."""
        torch.manual_seed(0)
        parts = [gr.GCNCell(3, 3, weighted=True) for _ in range(kinds)]
        cell = (parts[0] if kinds == 1 else gr.PerKind(parts)).double()
        for part in parts:
            part.lin.weight.data *= 0.2
        weight = torch.rand(7, dtype=torch.float64, requires_grad=True)
        s = with_loops().replace(edge_attr=weight, kind=torch.arange(7) % kinds)
        x = torch.randn(7, 3, dtype=torch.float64)
        inputs = {"weight": weight, **dict(cell.named_parameters())}
        far = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=300), x)
        state = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=TIGHT), x)
        assert_close(state.h, far.h)
        assert_close(state.scale, far.scale)
        assert_all_close(gradients(tuple(state), inputs), gradients(tuple(far), inputs))

    def test_gradients_in_what_components_read_of_others(self):
        """Features of edges, initial states, and the states of components before them; also where only these want
        some."""
        torch.manual_seed(0)
        cell = gr.DVAECell(3, 2, edges=2).double()
        with torch.no_grad():
            cell.recurrent.weight *= 0.2
        features = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
        s = with_loops().replace(edge_attr=features)
        x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
        initial = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)

        def compared(inputs):
            far = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=300), x, initial).h
            h = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=TIGHT), x, initial).h
            assert_all_close(gradients((h,), inputs), gradients((far,), inputs))

        inputs = {"x": x, "edge_attr": features, **dict(cell.named_parameters())}
        compared(inputs)
        cell.requires_grad_(False)
        compared({"x": x, "edge_attr": features})

    def test_components_in_a_row_cost_as_many_times_as_there_are_of_them(self):
        """What autograd looks through for a round of the way back is that round, and nothing that came before."""

        def looked_through(components, monkeypatch):
            nodes = torch.arange(2 * components).view(-1, 2)
            rings, links = nodes.t(), torch.stack([nodes[:-1, 1], nodes[1:, 0]])
            s = gr.dag(torch.cat([rings, rings.flip(0), links], dim=1), 2 * components)
            x = torch.randn(s.num_nodes, 3, dtype=torch.float64, requires_grad=True)
            h = gr.run(contracting(), gr.schedule(s, cycles="iterate", rounds=gr.FixedPoint(1e-4)), x).h
            found = []

            def grad(outputs, *arguments, **options):
                found.append(len(behind(outputs)))
                return actual(outputs, *arguments, **options)

            actual = torch.autograd.grad
            with monkeypatch.context() as patch:
                patch.setattr(torch.autograd, "grad", grad)
                h.sum().backward()
            assert len(found) >= 2 * components
            return max(found)

        with pytest.MonkeyPatch.context() as monkeypatch:
            assert looked_through(20, monkeypatch) == looked_through(5, monkeypatch)

    def test_gradcheck(self):
        cell, s = contracting(), with_loops()
        plan = gr.schedule(s, cycles="iterate", rounds=TIGHT)
        x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
        weight = cell.recurrent.weight

        def h(x, _):
            return gr.run(cell, plan, x).h

        assert torch.autograd.gradcheck(h, (x, weight), **GRADCHECK)

    def test_nothing_is_kept_of_the_way_there(self):
        """The backward pass of one that needs more rounds keeps no more tensors than one that needs few."""
        s = with_loops()
        x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)

        def kept(tolerance):
            found = []

            def pack(tensor):
                found.append(tensor)
                return tensor

            torch.manual_seed(0)
            plan = gr.schedule(s, cycles="iterate", rounds=gr.FixedPoint(tolerance, 1000))
            cell = contracting()
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), Count() as count:
                gr.run(cell, plan, x)
            return len(found), count.written

        (few, little), (many, much) = kept(1e-1), kept(1e-12)
        assert much > 1.5 * little
        assert many <= 1.1 * few + 40  # (what the search itself saves is freed at once)

    def test_a_batch_is_its_members_alone_bit_by_bit(self):
        """Each component stops by itself."""
        torch.manual_seed(0)
        cell = contracting()
        ring = gr.dag(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)
        until = gr.FixedPoint(1e-3, 100)
        xs = [scale * torch.randn(3, 3, dtype=torch.float64) for scale in (0.01, 1, 30)]
        alone = [gr.run(cell, gr.schedule(ring, cycles="iterate", rounds=until), x).h for x in xs]
        together = gr.run(
            cell, gr.schedule(gr.batch([ring] * 3), cycles="iterate", rounds=until), torch.cat(xs)
        ).h
        assert_close(together, torch.cat(alone))

    def test_not_reached(self):
        cell, s = contracting(), with_loops()
        x = torch.randn(7, 3, dtype=torch.float64)
        plan = gr.schedule(s, cycles="iterate", rounds=gr.FixedPoint(1e-12, 2))
        with pytest.raises(
            gr.NoFixedPointError, match=r"1 of 1 cyclic components still change by .* after 2 rounds"
        ) as e:
            gr.run(cell, plan, x)
        assert 1e-12 < e.value.residual < 1
        plan = gr.schedule(s, cycles="iterate", rounds=gr.FixedPoint(1e-12, 2, otherwise="warn"))
        with pytest.warns(gr.NoFixedPointWarning, match="still change by"):
            h = gr.run(cell, plan, x).h
        assert_close(h, gr.run(cell, gr.schedule(s, cycles="iterate", rounds=2), x).h)

    def test_numbers_that_are_none_never_settle(self):
        cell, s = contracting(), with_loops()
        x = torch.full((7, 3), torch.nan, dtype=torch.float64)
        with pytest.raises(gr.NoFixedPointError, match="still change by nan"):
            gr.run(cell, gr.schedule(s, cycles="iterate", rounds=gr.FixedPoint()), x)

    def test_gradients_that_do_not_settle(self):
        """A fixed point from which one is driven away has no gradient that an iteration would find."""
        s = gr.dag([[0], [0]], 1)
        cell = gr.GINCell(1, 1, Away()).double()
        plan = gr.schedule(s, cycles="iterate", rounds=gr.FixedPoint(1e-6, 50))
        h = gr.run(cell, plan, torch.zeros(1, 1, dtype=torch.float64)).h
        with pytest.raises(gr.NoFixedPointError, match="the gradients of 1 of 1 cyclic components"):
            h.sum().backward()

    @pytest.mark.parametrize("name", ["a cell with project", "GCN, which has constants"])
    @pytest.mark.parametrize("begins", ["with a cycle", "with another node"])
    def test_second_derivatives_are_those_of_unrolling(self, name, begins):
        s = with_loops() if begins == "with another node" else gr.dag([[0, 1, 1, 2, 3], [1, 0, 2, 3, 2]], 4)
        cell = contracting() if name == "a cell with project" else gr.GCNCell(3, 3).double()
        if name != "a cell with project":
            with torch.no_grad():
                cell.lin.weight *= 0.2
        x = torch.randn(s.num_nodes, 3, dtype=torch.float64, requires_grad=True)
        inputs = [x, *cell.parameters()]

        def derivatives(rounds):
            h = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=rounds), x).h
            # (Where a fixed point begins it does not tell, so that x of a GCN has no gradient there.)
            options = {"allow_unused": True, "materialize_grads": True}
            first = torch.autograd.grad(h.sin().sum(), inputs, create_graph=True, **options)
            return *first, *torch.autograd.grad(sum(grad.square().sum() for grad in first), inputs, **options)

        for found, unrolled in zip(derivatives(TIGHT), derivatives(200), strict=True):
            assert_close(found, unrolled)

    def test_gradgradcheck(self):
        cell, s = contracting(), gr.dag([[0, 1], [1, 0]], 2)
        plan = gr.schedule(s, cycles="iterate", rounds=TIGHT)
        x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradgradcheck(lambda x: gr.run(cell, plan, x).h, (x,), **GRADCHECK)

    def test_third_derivatives_and_many_gradients_at_once_are_refused(self):
        cell, s = contracting(), with_loops()
        x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
        h = gr.run(cell, gr.schedule(s, cycles="iterate", rounds=TIGHT), x).h
        with pytest.raises(RuntimeError, match="one at a time, not many at once"):
            torch.autograd.grad(
                h, x, torch.ones(4, *h.shape).double(), is_grads_batched=True, retain_graph=True
            )
        (first,) = torch.autograd.grad(h.sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="first and second derivatives, and no third"):
            torch.autograd.grad(first.square().sum(), x, create_graph=True)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"tolerance": 0.0}, "tolerance must be a number above 0"),
            ({"limit": 0}, "limit must be a number of rounds"),
            ({"otherwise": "panic"}, "otherwise must be one of error, warn"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            gr.FixedPoint(**arguments)


def behind(tensors):
    """The nodes of autograd's graph from which these tensors follow."""
    found, left = set(), [tensor.grad_fn for tensor in tensors]
    while left:
        node = left.pop()
        if node is not None and node not in found:
            found.add(node)
            left += [before for before, _ in node.next_functions]
    return found


class Shrinking(nn.Module):
    """`tanh(W x + b)`, which comes closer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        with torch.no_grad():
            self.layer.weight *= 0.1

    def forward(self, x):
        return torch.tanh(self.layer(x))


class Away(nn.Module):
    """x → 3 x: zero is a fixed point, and the only one."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return self.factor * x


def test_models_take_it():
    torch.manual_seed(0)
    s = with_loops()
    x = torch.randn(7, 3, dtype=torch.float64)
    model = gr.Recursive(contracting(), cycles="iterate", rounds=5)
    assert_is_plain(lambda: {"h": model(x, s)})
    assert_close(model(x, s), gr.run(model.cell, gr.schedule(s, cycles="iterate", rounds=5), x).h)
    assert len(list(gr.steps(model.cell, gr.schedule(s, cycles="iterate", rounds=5), x))) == 4


def test_it_is_printed():
    text = str(gr.schedule(with_loops(), cycles="iterate", rounds=5))
    assert "cycles iterated, rounds=5" in text
    assert "4 edges → nodes 1 2 3, iterated" in text


def test_by_default_a_cycle_is_an_error_that_names_it():
    with pytest.raises(gr.CycleError, match=r"there is a cycle: \d → \d → \d → \d\. .*cycles='iterate'"):
        gr.schedule(with_loops())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cycles": "ignore"}, "cycles must be one of error, iterate"),
        (
            {"cycles": "iterate"},
            "needs a number of rounds, 1 or more, or a graphrec.FixedPoint, got rounds=None",
        ),
        ({"cycles": "iterate", "rounds": 0}, "needs a number of rounds"),
        ({"cycles": "iterate", "rounds": 2, "mode": "sync"}, "are for async mode"),
        ({"cycles": "iterate", "rounds": 2, "order": gr.colouring}, "leave out cycles"),
        ({"mode": "sync", "rounds": gr.FixedPoint()}, "sync mode needs a number of rounds"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        gr.schedule(with_loops(), **arguments)


def test_a_long_cycle_is_found_without_recursion():
    size = 50_000
    nodes = torch.arange(size)
    s = gr.dag(torch.stack([nodes, (nodes + 1) % size]), size)
    assert len(gr.schedule(s, cycles="iterate", rounds=1).steps) == 1
    path = gr.dag(torch.stack([nodes[:-1], nodes[1:]]), size)
    assert gr.schedule(path, cycles="iterate", rounds=1) == gr.schedule(path)
