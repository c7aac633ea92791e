"""A sync run is the async run of the time-expanded DAG: one node per node and round, which reads the round before."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import graphrec as gr
from graphrec.cells.convolutions import NodeState
from tests import strategies
from tests.tolerances import assert_all_close
from tests.trials import outcome
from tests.zoo import dressed

H = 3
EDGE_FEATURES = 2
MESSAGE, ITSELF = 0, 1  # edges of the expanded DAG: from a neighbour, and from the same node a round before


class InRounds(gr.Cell):
    """m(v) = sum_u f(h(v), h(u), e),  h'(v) = g(h(v), m(v)): as general as message passing is."""

    State = NodeState
    begins_with_x = True

    def __init__(self):
        super().__init__(H, H)
        self.f, self.g = nn.Linear(2 * H + EDGE_FEATURES, H), nn.Linear(2 * H, H)

    def initial_from_x(self, x, s):
        return self.State(x)

    def message(self, inbox, own):
        both = torch.cat([inbox.to_edges(own), inbox.h, inbox.edge_attr], dim=-1)
        return torch.tanh(self.f(both))

    def update(self, own, m):
        return torch.tanh(self.g(torch.cat([own, m], dim=-1)))

    def forward(self, x, inbox, own):
        return self.State(self.update(own.h, inbox.sum(self.message(inbox, own.h))))


class Expanded(InRounds):
    """The same, where the node's own past comes in by an edge as well; a node without one is of round 0, and is x."""

    begins_with_x = False

    def initial_from_x(self, x, s):
        return None

    def forward(self, x, inbox, own):
        itself = (inbox.relation == ITSELF).unsqueeze(-1)
        past = inbox.sum(torch.where(itself, inbox.h, 0.0))
        m = inbox.sum(torch.where(itself, 0.0, self.message(inbox, past)))
        return self.State(torch.where((inbox.degree == 0).unsqueeze(-1), x, self.update(past, m)))


def expand(s, rounds):
    """Node v of round t is number t N + v."""
    size, edges = s.num_nodes, s.num_edges
    edge_index, relation, edge_attr = [], [], []
    nodes = torch.arange(size)
    for t in range(rounds):
        message = s.edge_index + torch.tensor([[t * size], [(t + 1) * size]])
        edge_index += [message, torch.stack([t * size + nodes, (t + 1) * size + nodes])]
        relation += [torch.full((edges,), MESSAGE), torch.full((size,), ITSELF)]
        edge_attr += [s.edge_attr, s.edge_attr.new_zeros(size, EDGE_FEATURES)]
    return gr.dag(
        torch.cat(edge_index, dim=1),
        (rounds + 1) * size,
        relation=torch.cat(relation),
        edge_attr=torch.cat(edge_attr),
    )


@settings(max_examples=40)
@given(s=strategies.graphs(max_nodes=6), rounds=st.integers(1, 4))
def test_sync_is_async_on_the_time_expanded_dag(s, rounds):
    s = s.replace(edge_attr=torch.randn(s.num_edges, EDGE_FEATURES, dtype=torch.float64, requires_grad=True))
    torch.manual_seed(0)
    cell, unrolled = InRounds().double(), Expanded().double()
    unrolled.load_state_dict(cell.state_dict())
    x = torch.randn(s.num_nodes, H, dtype=torch.float64, requires_grad=True)
    states = gr.rounds(cell, gr.schedule(s, "sync", rounds), x)
    expanded = gr.run(unrolled, gr.schedule(expand(s, rounds)), x.repeat(rounds + 1, 1))
    assert len(states) == rounds + 1
    given_to = {"x": x, "edge_attr": s.edge_attr}
    every_round = cell.State(torch.cat([state.h for state in states]))
    assert_all_close(
        outcome(every_round, given_to | dict(cell.named_parameters())),
        outcome(expanded, given_to | dict(unrolled.named_parameters())),
    )


def test_a_cell_that_reads_no_state_of_its_own_needs_no_edge_from_itself():
    """Round 0 is nothing, so that the first round's nodes have no sources."""
    s = dressed(gr.dag(torch.tensor([[0, 1, 2, 2, 3], [1, 2, 0, 3, 3]]), 5))
    torch.manual_seed(0)
    cell, rounds = gr.ChildSumTreeLSTMCell(H, 2).double(), 3
    x = torch.randn(5, H, dtype=torch.float64)
    ways = [s.edge_index + 5 * torch.tensor([[t], [t + 1]]) for t in range(rounds - 1)]
    plan = gr.schedule(gr.dag(torch.cat(ways, dim=1), rounds * 5))
    found = gr.run(cell, plan, x.repeat(rounds, 1))
    states = gr.rounds(cell, gr.schedule(s, "sync", rounds), x)[1:]
    for field in ("h", "c"):
        every_round = torch.cat([getattr(state, field) for state in states])
        assert_all_close({field: getattr(found, field)}, {field: every_round})


@pytest.mark.parametrize("mode", ["async", "in colours"])
def test_rounds_are_of_sync_mode(mode):
    s = gr.chain(3)
    plan = gr.schedule(s, order=gr.colouring) if mode == "in colours" else gr.schedule(s)
    with pytest.raises(ValueError, match="sync"):
        gr.rounds(gr.SRNCell(H, 2), plan, torch.zeros(3, H))


def test_round_0_may_be_written_into():
    x = torch.randn(3, H, dtype=torch.float64)
    before = x.clone()
    gr.rounds(gr.GCNCell(H, H).double(), gr.schedule(gr.chain(3), "sync", 1), x)[0].h.zero_()
    assert torch.equal(x, before)
