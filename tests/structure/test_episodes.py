"""Rollouts with resets inside: which steps follow each other, and which states each episode begins and ends with."""

import gc
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec as gr
from tests.assertions import assert_edges

LAYOUTS = pytest.mark.parametrize("batch_first", [False, True], ids=["[T, B]", "[B, T]"])


@st.composite
def resets(draw, most_steps=6, most_columns=4):
    """`[T, B]` bool, of any size, with any resets."""
    steps, columns = draw(st.integers(0, most_steps)), draw(st.integers(0, most_columns))
    flags = draw(st.lists(st.booleans(), min_size=steps * columns, max_size=steps * columns))
    return torch.tensor(flags, dtype=torch.bool).view(steps, columns)


def in_layout(is_first, batch_first):
    return is_first.t() if batch_first else is_first


def row(t, b, shape, batch_first):
    return b * shape[0] + t if batch_first else t * shape[1] + b


def cut_by_hand(is_first):
    """For each column a list of episodes, each a list of steps."""
    columns = []
    for flags in is_first.t().tolist():
        episodes = [[]]
        for step, begins in enumerate(flags):
            if begins and step:
                episodes.append([])
            episodes[-1].append(step)
        columns.append(episodes)
    return columns


@LAYOUTS
@given(is_first=resets())
def test_an_edge_leads_to_each_step_that_is_no_first_one(is_first, batch_first):
    s = gr.episodes(in_layout(is_first, batch_first), batch_first).structure
    shape = is_first.shape
    assert s.num_nodes == is_first.numel()
    assert_edges(
        s,
        [
            (row(t - 1, b, shape, batch_first), row(t, b, shape, batch_first), 0)
            for t in range(1, shape[0])
            for b in range(shape[1])
            if not is_first[t, b]
        ],
    )


@LAYOUTS
@given(is_first=resets())
def test_each_episode_is_a_graph_with_a_column_a_beginning_and_an_end(is_first, batch_first):
    e, shape = gr.episodes(in_layout(is_first, batch_first), batch_first), is_first.shape
    by_hand = cut_by_hand(is_first)
    assert e.structure.num_graphs == sum(map(len, by_hand)) == len(e.column) == len(e.goes_on)
    assert (e.steps, e.num_columns) == shape
    seen = []
    for b, episodes in enumerate(by_hand):
        for number, steps in enumerate(episodes):
            graph = set(e.structure.graph[[row(t, b, shape, batch_first) for t in steps]].tolist())
            if not steps:  # of a rollout without steps
                graph = {b}
            (g,) = graph
            seen.append(g)
            assert int(e.column[g]) == b
            assert bool(e.goes_on[g]) == (number == 0 and not (steps and bool(is_first[0, b])))
            assert (number == len(episodes) - 1) == (int(e.last[b]) == g)
    assert sorted(seen) == list(range(len(seen)))
    if not batch_first and shape[0]:
        assert e.structure.graph[: shape[1]].tolist() == list(range(shape[1]))


@LAYOUTS
@given(is_first=resets())
def test_levels_are_those_of_the_edges_and_rows_are_chains(is_first, batch_first):
    s = gr.episodes(in_layout(is_first, batch_first), batch_first).structure
    for way in (s, s.reverse()):
        bare = gr.Structure(
            way.num_nodes, way.edge_index, slot=way.slot, graph=way.graph, num_graphs=way.num_graphs
        )
        assert torch.equal(gr.levels(way), gr.levels(bare))  # (which also checks the given ones)
        assert gr.schedule(way) == gr.schedule(bare)
    rows = torch.arange(s.num_nodes).float().unsqueeze(1)
    lengths = [len(part) for part in gr.to_list(rows, s)]
    assert sorted(lengths) == sorted(len(steps) for column in cut_by_hand(is_first) for steps in column)


@LAYOUTS
@given(is_first=resets())
def test_states_are_carried_over_and_handed_on(is_first, batch_first):
    e = gr.episodes(in_layout(is_first, batch_first), batch_first)
    columns, count = e.num_columns, len(e.column)
    carried = torch.arange(columns).double().view(-1, 1).expand(-1, 2) + 1
    found = e.initial(carried, reset=torch.tensor([[-1.0, -1.0]]).double())
    expected = [float(b) + 1 if goes_on else -1.0 for b, goes_on in zip(e.column, e.goes_on, strict=True)]
    assert found.tolist() == [[value, value] for value in expected]
    zero = e.initial(carried)
    assert torch.equal(zero, found.clamp(min=0))
    ends = torch.arange(count).double().unsqueeze(1)
    assert e.final(ends).flatten().tolist() == e.last.tolist()


def some_resets():
    """Column 0 goes on and has a reset; column 1 begins; column 2 begins and has two resets."""
    return torch.tensor([[0, 1, 1], [0, 0, 0], [1, 0, 1], [0, 0, 1]], dtype=torch.bool)


def test_a_picture():
    e = gr.episodes(some_resets())
    assert repr(e) == "Episodes(steps=4, columns=3, episodes=6, of which 1 goes on from before)"
    assert e.structure.graph.view(4, 3).tolist() == [[0, 1, 2], [0, 1, 2], [3, 1, 4], [3, 1, 5]]
    assert e.column.tolist() == [0, 1, 2, 0, 2, 2]
    assert e.last.tolist() == [3, 1, 5]


def test_rows_of_reset_are_for_all_or_by_column_or_by_episode():
    e, carried = gr.episodes(some_resets()), torch.full((3, 1), 9.0)
    for reset in (torch.tensor([[5.0]]), torch.full((3, 1), 5.0), torch.full((6, 1), 5.0)):
        assert e.initial(carried, reset).flatten().tolist() == [9, 5, 5, 5, 5, 5]
    by_column, by_episode = torch.arange(3.0).unsqueeze(1), torch.arange(6.0).unsqueeze(1)
    assert e.initial(carried, by_column).flatten().tolist() == [9, 1, 2, 0, 2, 2]
    assert e.initial(carried, by_episode).flatten().tolist() == [9, 1, 2, 3, 4, 5]


def test_states_keep_their_kind():
    e = gr.episodes(some_resets())
    state = gr.LSTMCell.State(torch.ones(3, 2), torch.ones(3, 4))
    carried = [state, torch.ones(3, 5)]
    first = e.initial(carried, [[torch.zeros(1, 2), torch.zeros(3, 4)], None])
    assert type(first) is list
    assert type(first[0]) is gr.LSTMCell.State
    assert [tuple(rows.shape) for rows in (*first[0], first[1])] == [(6, 2), (6, 4), (6, 5)]
    final = e.final(first)
    assert type(final[0]) is gr.LSTMCell.State
    assert [tuple(rows.shape) for rows in (*final[0], final[1])] == [(3, 2), (3, 4), (3, 5)]
    assert isinstance(e.initial((torch.ones(3, 2), torch.ones(3, 2))), tuple)


def test_without_a_carried_state_all_must_begin():
    all_begin = gr.episodes(torch.ones(2, 3, dtype=torch.bool))
    assert all_begin.initial() is None
    assert all_begin.initial(reset=torch.ones(1, 2)).shape == (6, 2)
    with pytest.raises(ValueError, match=r"column 0 goes on from an earlier rollout.*was not given"):
        gr.episodes(some_resets()).initial()
    with pytest.raises(ValueError, match="column 0 goes on"):
        gr.episodes(some_resets()).initial(None, torch.zeros(1, 2))


def test_a_state_that_is_dropped_may_be_anything_and_gets_no_gradient():
    carried = torch.tensor([[1.0], [float("nan")], [float("inf")]], requires_grad=True)
    first = gr.episodes(some_resets()).initial(carried)
    assert torch.isfinite(first).all()
    first.sum().backward()
    assert carried.grad is not None
    assert carried.grad.flatten().tolist() == [1, 0, 0]


@LAYOUTS
def test_one_step_at_a_time_all_resets_share_a_schedule(batch_first):
    shape = (3, 1) if batch_first else (1, 3)
    one, other = (gr.episodes(flags.view(shape), batch_first) for flags in some_resets()[:2])
    assert one.structure is other.structure
    assert one.goes_on.tolist() == [True, False, False]
    assert other.goes_on.tolist() == [True, True, True]


def test_epochs_over_a_rollout_share_its_episodes():
    is_first = some_resets()
    e = gr.episodes(is_first)
    assert gr.episodes(is_first) is e
    assert gr.episodes(is_first, batch_first=True).structure != e.structure
    is_first.numpy()[1, 1] = True  # unseen by torch
    assert len(gr.episodes(is_first).column) == len(e.column) + 1
    alive = weakref.ref(gr.episodes(is_first).structure)
    del is_first
    gc.collect()
    assert alive() is None


def test_what_is_made_within_a_transform_serves_afterwards():
    is_first, model = some_resets(), gr.GRU(2, 4)
    x, carried = torch.randn(4, 3, 2), torch.zeros(3, 4)

    def loss(x):
        rows, e = gr.from_resets(x, is_first)
        return model(rows, e.structure, initial=e.initial(carried)).square().sum()

    expected = torch.autograd.grad(loss(x.requires_grad_()), x)[0]
    per_sample = torch.func.vmap(torch.func.grad(loss))(torch.stack([x.detach(), 2 * x.detach()]))
    torch.testing.assert_close(per_sample[0], expected)
    with torch.inference_mode():
        e = gr.episodes(is_first)
    model(x.flatten(0, 1), e.structure, initial=e.initial(carried.requires_grad_())).sum().backward()
    assert carried.grad is not None


def test_rows_are_those_of_the_rollout():
    x = torch.randn(4, 3, 2, 5)
    rows, e = gr.from_resets(x, some_resets())
    assert rows.data_ptr() == x.data_ptr()
    assert rows.shape == (12, 2, 5)
    assert e.structure == gr.episodes(some_resets()).structure
    rows, e = gr.from_resets(x.transpose(0, 1), some_resets().t(), batch_first=True)
    assert torch.equal(rows, x.transpose(0, 1).flatten(0, 1))
    assert e.structure == gr.episodes(some_resets().t(), batch_first=True).structure
