"""From states of nodes to one row per graph: each readout is its plain definition, with its gradients."""

import pytest
import torch
from hypothesis import given
from torch_geometric.nn import aggr

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close, assert_close
from tests.trials import gradients

H = 3
BATCHES = {
    "chains": gr.chains([3, 1, 4]),
    "with graphs without nodes": gr.chains([0, 3, 0, 2, 0]),
    "trees": gr.batch([gr.tree(parents=[2, 2, -1]), gr.tree(parents=[-1]), gr.tree(parents=[-1, 0, 0, 1])]),
    "one graph": gr.tree("(X a (Y b c))"),
    "interleaved graphs": gr.Structure(
        5,
        torch.tensor([[0, 1], [2, 3]]),
        torch.tensor([0, 0]),
        graph=torch.tensor([0, 1, 0, 1, 2]),
        num_graphs=3,
    ),
}

every_batch = pytest.mark.parametrize("s", BATCHES.values(), ids=BATCHES)


def states(s):
    return torch.randn(s.num_nodes, H, dtype=torch.float64, requires_grad=True)


def rows_of(h, s):
    """The rows of each graph's nodes."""
    return [h[s.graph == g] for g in range(s.num_graphs)]


def per_graph(of_rows, h, s):
    """A plain definition, graph by graph; a graph without nodes has a row of zeros."""
    return torch.stack([of_rows(rows) if len(rows) else h.new_zeros(H) for rows in rows_of(h, s)])


def root_of(h, s):
    sources = set(s.source.tolist())
    roots = [v for v in range(s.num_nodes) if v not in sources]
    rows = {int(s.graph[v]): h[v] for v in roots}
    return torch.stack([rows.get(g, h.new_zeros(H)) for g in range(s.num_graphs)])


DEFINITIONS = {
    "root": (gr.readout.root, root_of),
    "last": (gr.readout.last, lambda h, s: per_graph(lambda rows: rows[-1], h, s)),
    "sum": (gr.readout.sum, lambda h, s: per_graph(lambda rows: rows.sum(0), h, s)),
    "mean": (gr.readout.mean, lambda h, s: per_graph(lambda rows: rows.mean(0), h, s)),
    "max": (gr.readout.max, lambda h, s: per_graph(lambda rows: rows.max(0).values, h, s)),
}


def assert_same_function(ours, definition, h, others=()):
    """The same values, and the same gradients of h and of some other tensors."""
    inputs = {"h": h, **dict(others)}
    actual, expected = ours(h), definition(h)
    assert_close(actual, expected)
    assert_all_close(gradients((actual,), inputs), gradients((expected,), inputs))


@pytest.mark.parametrize("name", DEFINITIONS)
@every_batch
def test_plain_definitions(name, s):
    ours, definition = DEFINITIONS[name]
    assert_same_function(lambda h: ours(h, s), lambda h: definition(h, s), states(s))


@every_batch
def test_attention(s):
    module = gr.readout.Attention(H).double()

    def definition(h):
        return per_graph(lambda rows: torch.softmax(module.score(rows), 0).T[0] @ rows, h, s)

    assert_same_function(lambda h: module(h, s), definition, states(s), module.named_parameters())
    assert_same_function(
        lambda h: gr.readout.attention(h, s, module.score), definition, states(s), module.named_parameters()
    )


@every_batch
def test_attention_weights_sum_to_one_over_each_graph(s):
    module, h = gr.readout.Attention(H).double(), states(s)
    weights = module.weights(h, s)
    assert weights.shape == (s.num_nodes, 1)
    for graph, rows in zip(rows_of(weights, s), rows_of(h, s), strict=True):
        assert_close(graph, torch.softmax(module.score(rows), 0))
    assert_close(gr.readout.sum(weights * h, s), module(h, s))


PYG_NAMES = {"sum": aggr.SumAggregation, "mean": aggr.MeanAggregation, "max": aggr.MaxAggregation}


@pytest.mark.parametrize("name", PYG_NAMES)
@every_batch
def test_the_same_as_pygs_aggregation(name, s):
    h, order = states(s), torch.argsort(s.graph, stable=True)
    expected = PYG_NAMES[name]()(h[order], s.graph[order], dim_size=s.num_graphs)
    assert_close(getattr(gr.readout, name)(h, s), expected)


def test_aggregations_by_name():
    s, h = BATCHES["chains"], torch.randn(8, H)
    assert_close(gr.readout.aggregate(h, s, "mean"), gr.readout.mean(h, s))


@every_batch
def test_any_readout_takes_pyg_data(s):
    h = states(s)
    for readout in (gr.readout.root, gr.readout.last, gr.readout.mean):
        assert_close(readout(h, gr.to_pyg(s)), readout(h, s))


@given(structure=strategies.trees())
def test_root_is_where_a_tree_ends(structure):
    h = states(structure)
    assert_close(gr.readout.root(h, structure)[0], h[int(gr.levels(structure).argmax())])


def test_values_need_not_be_states_of_width_h():
    s = BATCHES["chains"]
    ones = torch.ones(s.num_nodes, 2, 2)
    assert gr.readout.sum(ones, s)[:, 0, 0].tolist() == [3, 1, 4]


@pytest.mark.parametrize("name", ["root", "last", "sum", "mean", "max", "attention"])
def test_a_batch_of_empty_graphs_is_zero_and_lets_gradients_pass(name):
    h = torch.zeros(0, 3, requires_grad=True)
    score = [torch.nn.Linear(3, 1)] if name == "attention" else []
    rows = getattr(gr.readout, name)(h, gr.chains([0, 0]), *score)
    assert type(rows) is torch.Tensor
    assert torch.equal(rows, torch.zeros(2, 3))
    rows += 1
    rows.sum().backward()


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_last_and_root_take_states_of_any_shape(shape):
    s = gr.chains([3, 0, 2])
    h = torch.randn(5, *shape)
    expected = torch.stack([h[2], torch.zeros(shape), h[4]])
    assert torch.equal(gr.readout.last(h, s), expected)
    assert torch.equal(gr.readout.root(h, s), expected)


@pytest.mark.parametrize("name", ["sum", "mean", "max"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_short_whole_numbers_do_not_overflow(name, dtype):
    s, h = gr.chains([3, 0, 2]), torch.full((5, 2), 120)
    found = getattr(gr.readout, name)(h.to(dtype), s)
    assert torch.equal(found.double(), getattr(gr.readout, name)(h.double(), s))
    assert found.dtype == {"sum": torch.long, "mean": torch.float32, "max": dtype}[name]


def test_the_largest_truth_is_whether_any_is_true():
    h = torch.tensor([[False, True], [False, False], [True, False]])
    found = gr.readout.max(h, gr.chains([2, 0, 1]))
    assert torch.equal(found, torch.tensor([[False, True], [False, False], [True, False]]))
    assert gr.readout.max(h[:0], gr.chains([0])).dtype == torch.bool


def test_the_largest_number_may_be_minus_infinity():
    h = torch.tensor([[-torch.inf, 1.0], [-torch.inf, -torch.inf], [2.0, -torch.inf]])
    found = gr.readout.max(h, gr.chains([2, 0, 1]))
    assert torch.equal(found, torch.tensor([[-torch.inf, 1.0], [0.0, 0.0], [2.0, -torch.inf]]))


@pytest.mark.parametrize("name", ["sum", "mean"])
def test_whole_numbers(name):
    s = gr.chains([3, 2])
    h = torch.arange(10).view(5, 2)
    expected = getattr(gr.readout, name)(h.double(), s)
    assert torch.equal(getattr(gr.readout, name)(h, s).double(), expected)


@every_batch
def test_ends_are_the_largest_of_the_nodes_without_targets(s):
    def definition(h):
        ends = [v for v in range(s.num_nodes) if v not in s.source.tolist()]
        by_graph = [[h[v] for v in ends if s.graph[v] == g] for g in range(s.num_graphs)]
        return torch.stack([torch.stack(rows).amax(0) if rows else h.new_zeros(H) for rows in by_graph])

    assert_same_function(lambda h: gr.readout.ends(h, s), definition, states(s))


@every_batch
def test_sort_is_the_nodes_whose_last_number_is_largest(s):
    def definition(h):
        found = []
        for rows in rows_of(h, s):
            best = rows[torch.argsort(rows[:, -1], descending=True)[:2]]
            found.append(torch.cat([best, h.new_zeros(2 - len(best), H)]).flatten())
        return torch.stack(found)

    assert_same_function(lambda h: gr.readout.aggregate(h, s, aggr.SortAggregation(2)), definition, states(s))


@every_batch
def test_set2set_asks_and_all_nodes_answer(s):
    """Vinyals et al. (2016), equations (3) to (7)."""
    torch.manual_seed(0)
    module = aggr.Set2Set(H, processing_steps=3).double()

    def of_graph(rows):
        answer, state = rows.new_zeros(2 * H), None
        if not len(rows):
            return answer
        for _ in range(3):
            q, state = module.lstm(answer.view(1, 1, -1), state)
            weight = torch.softmax(rows @ q.flatten(), 0)
            answer = torch.cat([q.flatten(), weight @ rows])
        return answer

    def definition(h):
        return torch.stack([of_graph(rows) for rows in rows_of(h, s)])

    assert_same_function(
        lambda h: gr.readout.aggregate(h, s, module), definition, states(s), module.named_parameters()
    )


@every_batch
@pytest.mark.parametrize("inputs", [0, 2])
def test_gated_is_li_et_al_equation_7(s, inputs):
    torch.manual_seed(0)
    module = gr.readout.Gated(H, inputs, outputs=4).double()
    x = torch.randn(s.num_nodes, inputs, dtype=torch.float64) if inputs else None

    def definition(h):
        total = [h.new_zeros(4)] * s.num_graphs
        for v, g in enumerate(s.graph.tolist()):
            both = h[v] if x is None else torch.cat([h[v], x[v]])
            gate = torch.sigmoid(module.gate.weight @ both + module.gate.bias)
            total[g] = total[g] + gate * torch.tanh(module.value.weight @ both + module.value.bias)
        return torch.tanh(torch.stack(total))

    assert_same_function(lambda h: module(h, s, x), definition, states(s), module.named_parameters())


def test_gated_takes_x_where_it_was_made_for_it():
    s, h = gr.chain(3), torch.randn(3, H)
    with pytest.raises(ValueError, match=r"takes x of shape \[3, 2\], got none"):
        gr.readout.Gated(H, 2)(h, s)
    with pytest.raises(ValueError, match=r"takes no x, got \(3, 2\)"):
        gr.readout.Gated(H)(h, s, torch.randn(3, 2))
