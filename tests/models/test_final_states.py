"""A final state is that of each graph's one sink: of chains, trees and DAGs, alone as in a batch."""

import pytest
import torch

import graphrec as gr
from tests.tolerances import assert_close

D, H = 3, 4

# One sink each, of several shapes; two without nodes.
FAMILIES = {
    "chains": (lambda: gr.GRU(D, H), [gr.chain(5), gr.chain(0), gr.chain(1), gr.chain(7)]),
    "trees": (lambda: gr.TreeLSTM(D, H), [gr.tree("(a b (c d e))"), gr.chain(0), gr.tree("(a b)")]),
    "DAGs": (
        lambda: gr.Recursive(gr.DAGRNNCell(D, H)),
        [gr.dag([[0, 0, 1, 2], [1, 2, 3, 3]], 4), gr.chain(0), gr.dag([[2, 1], [0, 0]], 3), gr.chain(1)],
    ),
    "both, stacked": (
        lambda: gr.Stacked([gr.TreeLSTM(D, H), gr.TreeGRU(H, H)]),
        [gr.chain(3), gr.tree("(a b (c d e))"), gr.chain(0)],
    ),
}


def states_of(model, x, s, initial=None):
    """The rows, and all fields of all final states."""
    h, states = model(x, s, initial=initial, return_states=True)
    return h, [field for state in states for field in state]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("has_initial", [False, True])
def test_a_batch_ends_as_its_graphs_do_alone(name, has_initial):
    make, graphs = FAMILIES[name]
    model = make().double()
    xs = [torch.randn(s.num_nodes, D, dtype=torch.float64, requires_grad=True) for s in graphs]
    fields = states_of(model, torch.cat(xs), gr.batch(graphs))[1]
    initial, of_each = None, [None] * len(graphs)
    if has_initial:
        count = [len(state) for state in model(torch.cat(xs), gr.batch(graphs), return_states=True)[1]]
        drawn = [[torch.randn(len(graphs), H, dtype=torch.float64) for _ in range(n)] for n in count]
        initial = [gr.per_graph(state) for state in drawn]
        of_each = [
            [gr.per_graph([row[i : i + 1] for row in state]) for state in drawn] for i in range(len(graphs))
        ]
        fields = states_of(model, torch.cat(xs), gr.batch(graphs), initial)[1]
    assert all(len(field) == len(graphs) for field in fields)
    for i, (x, s) in enumerate(zip(xs, graphs, strict=True)):
        h, alone = states_of(model, x, s, of_each[i])
        assert_close(torch.stack([field[i] for field in fields]), torch.cat(alone))
        if s.num_nodes:
            (sink,) = set(range(s.num_nodes)) - set(s.source.tolist())
            last = fields[-len(model(x, s, return_states=True)[1][-1])]
            assert_close(last[i], h[sink])
        else:
            zero = torch.zeros(H, dtype=torch.float64)
            began = [row[i] for state in drawn for row in state] if has_initial else [zero] * len(fields)
            assert_close(torch.stack([field[i] for field in fields]), torch.stack(began))
    got = torch.autograd.grad(sum(field.square().sum() for field in fields), xs)
    alone = [states_of(model, x, s, start)[1] for x, s, start in zip(xs, graphs, of_each, strict=True)]
    expected = torch.autograd.grad(sum(field.square().sum() for fields in alone for field in fields), xs)
    for a, b in zip(got, expected, strict=True):
        assert_close(a, b)


def test_what_is_cut_by_resets_has_a_final_state_for_each_part():
    cell = gr.LSTM(D, H).double()
    x = torch.randn(6, D, dtype=torch.float64)
    cut = gr.dag([[0, 1, 3, 4], [1, 2, 4, 5]], 6)  # a chain of six without its edge 2 → 3
    with pytest.raises(ValueError, match="graph 0 has 2 of them: give each part a graph of its own"):
        cell.with_states(x, cut)
    parts = cut.replace(graph=torch.tensor([0, 0, 0, 1, 1, 1]), num_graphs=2)
    h, (state,) = cell.with_states(x, parts)
    assert_close(state.h, h[[2, 5]])
    flags = torch.zeros(6, 1, dtype=torch.bool)
    flags[[0, 3]] = True
    episodes = gr.episodes(flags)
    assert_close(state.c, cell.with_states(x, episodes.structure)[1][0].c)


@pytest.mark.parametrize(("count", "s"), [(2, gr.dag([[0, 0], [1, 2]], 3)), (0, gr.dag([[0, 1], [1, 0]], 2))])
def test_several_sinks_are_counted(count, s):
    model = gr.Recursive(gr.SRNCell(D, H), mode="sync", rounds=2)
    with pytest.raises(ValueError, match=f"graph 1 has {count} of them"):
        model.with_states(torch.randn(1 + s.num_nodes, D), gr.batch([gr.chain(1), s]))
