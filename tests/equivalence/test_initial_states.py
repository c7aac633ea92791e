"""An initial state is read as its caller gave it, whatever else is in the batch.

Its number of rows tells whether they are one per graph or one per node, unless there are as many graphs as nodes
(some are empty, then). There the caller says which; nothing is guessed.
"""

import pytest
import torch

import graphrec as gr
from tests.tolerances import assert_close

# From a generator of their own: what is drawn while modules are imported has another seed in each process.
DRAWN = torch.Generator().manual_seed(0)
X = torch.randn(2, 3, dtype=torch.float64, generator=DRAWN)
PER_NODE = torch.randn(2, 4, dtype=torch.float64, generator=DRAWN)
PER_GRAPH = torch.randn(2, 4, dtype=torch.float64, generator=DRAWN)


def pair():
    """Two nodes and an edge, and beside them an empty graph: as many graphs as nodes."""
    one = gr.dag([[0], [1]], 2)
    return one, gr.batch([one, gr.chains([0])])


WAYS = {
    "async": {},
    "sync": {"mode": "sync", "rounds": 2},
    "in a given order": {"order": gr.colouring, "rounds": 2},
    "cycles": {"cycles": "iterate", "rounds": 2},
}


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_those_that_the_caller_says(way):
    alone, batch = pair()
    cell = gr.GINCell(4, 4).double()  # reads its own previous state
    x = torch.zeros(2, 4, dtype=torch.float64)

    def h(s, initial):
        return gr.run(cell, gr.schedule(s, **WAYS[way]), x, initial).h

    assert_close(h(batch, gr.per_node(PER_NODE)), h(alone, PER_NODE))
    assert_close(h(batch, gr.per_graph(PER_GRAPH)), h(alone, PER_GRAPH[:1]))
    assert not torch.allclose(h(alone, PER_GRAPH[:1]), h(alone, PER_GRAPH))
    with pytest.raises(
        ValueError, match=r"as many graphs as nodes, 2, .*graphrec\.per_graph\(state\) or graphrec\.per_node"
    ):
        h(batch, PER_NODE)


def test_where_both_readings_are_one_nothing_needs_to_be_said():
    cell, s = gr.LSTMCell(3, 4).double(), gr.chains([1, 1])
    state = cell.State(PER_NODE, PER_GRAPH)
    assert_close(
        gr.run(cell, gr.schedule(s), X, state).h, gr.run(cell, gr.schedule(s), X, gr.per_node(state)).h
    )
    empty = gr.batch([gr.chains([0]), gr.chain(1)])  # one row, for all
    one = PER_NODE[:1], PER_GRAPH[:1]
    assert_close(
        gr.run(cell, gr.schedule(empty), X[:1], one).h, gr.run(cell, gr.schedule(gr.chain(1)), X[:1], one).h
    )


class Overwriting(gr.Cell):
    """h_v = x_v + h_u + h_v, the sum over sources u, written into what the cell is given."""

    State = gr.GRUCell.State
    hidden = 4

    def forward(self, x, inbox, own):
        """One step."""
        summed = inbox.h.mul_(2).div_(2)
        return self.State(x.zero_() + inbox.sum(summed) + own.h.mul_(3))


@pytest.mark.parametrize("way", [way for way in WAYS if way != "cycles"])
@pytest.mark.parametrize("graph", [[0, 1], [1, 0]])
def test_rows_of_graphs_of_one_node_each_are_found_and_stay_the_callers(graph, way):
    """Where graph g is node g, rows of graphs are read as rows of nodes, without being gathered."""
    s = gr.dag(torch.empty(2, 0, dtype=torch.long), 2).replace(graph=torch.tensor(graph), num_graphs=2)
    plan, given = gr.schedule(s, **WAYS[way]), PER_GRAPH.clone()
    x = torch.zeros(2, 4, dtype=torch.float64)
    with torch.no_grad():
        found = gr.run(Overwriting(), plan, x, gr.per_graph(given), backend="loop").h
        assert_close(found, gr.run(Overwriting(), plan, x, gr.per_node(PER_GRAPH[graph]), backend="loop").h)
    assert torch.equal(given, PER_GRAPH)
    assert found.data_ptr() != given.data_ptr()


def test_an_empty_graph_ends_as_it_began():
    _, batch = pair()
    model = gr.SRN(3, 4).double()
    _, (final,) = model.with_states(X, batch, gr.per_graph(PER_GRAPH))
    assert_close(final.h[1], PER_GRAPH[1])
    _, (final,) = model.with_states(X, batch, gr.per_node(PER_NODE))
    assert_close(final.h[1], torch.zeros(4, dtype=torch.float64))


def test_one_state_for_all_is_that_of_empty_graphs_too():
    """Also where there is one node in all, and the one row could be that node's."""
    model, s = gr.SRN(3, 4).double(), gr.chains([0, 1, 0])
    _, (final,) = model.with_states(X[:1], s, PER_GRAPH[:1])
    assert_close(final.h[::2], PER_GRAPH[:1].expand(2, 4))
    _, (final,) = model.with_states(X[:1], s, gr.per_node(PER_NODE[:1]))
    assert_close(final.h[::2], torch.zeros(2, 4, dtype=torch.float64))


def test_states_of_sequences_are_one_per_sequence():
    """As torch's h_0; and what came out of one batch goes into the next."""
    sequences = [X, X[:0]]
    layers = [gr.SRN(3, 4), gr.LSTM(4, 5)]
    model = gr.Sequences(gr.Stacked(layers)).double()
    ends = model(sequences)[1]
    h, again = model(sequences, ends)
    alone, _ = model([X], [type(end)(*(field[:1] for field in end)) for end in ends])
    assert_close(h[0], alone[0])
    assert_close(again[0].h[1], ends[0].h[1])
    torch_like = gr.from_torch(torch.nn.GRU(3, 4, batch_first=True)).double()
    h, last = torch_like(sequences, PER_GRAPH.unsqueeze(0))
    assert_close(h[0], torch_like(X, PER_GRAPH[:1])[0])
    assert_close(last[0, 1], PER_GRAPH[1])


@pytest.mark.parametrize(
    ("initial", "error", "message"),
    [
        (
            gr.per_graph(torch.zeros(5, 4).double()),
            ValueError,
            r"2 \(one per graph\) or 1 \(one for all\), got .*5",
        ),
        (
            gr.per_node(torch.zeros(2, 4).double()),
            ValueError,
            r"5 \(one per node\) or 1 \(one for all\), got .*2",
        ),
        (gr.per_node(3), TypeError, r"initial state must be a State\(h\).*got int"),
    ],
)
def test_rows_that_are_not_what_is_said(initial, error, message):
    with pytest.raises(error, match=message):
        gr.SRN(3, 4).double()(torch.zeros(5, 3).double(), gr.chains([2, 3]), initial=initial)


def test_it_is_said_once():
    assert gr.per_node(gr.per_node(PER_NODE)).rows == "node"
    with pytest.raises(TypeError, match="one per node has none per graph"):
        gr.per_graph(gr.per_node(PER_NODE))
