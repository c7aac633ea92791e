"""Orders of samples are functions of seed and epoch, dealt to processes, and taken up where they were left."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data

import graphrec as gr
from graphrec.loader import BalancedSampler, InOrderSampler, ShuffledSampler, Sizes, measure

SIZES = Sizes(
    torch.randint(1, 30, (200,), generator=torch.Generator().manual_seed(0)), torch.arange(200) % 7 + 1
)


def samplers(**place: int) -> list[gr.loader.Sampler]:
    return [
        ShuffledSampler(200, 7, seed=3, **place),
        InOrderSampler(200, 7, **place),
        BalancedSampler(SIZES, 120, seed=3, **place),
        BalancedSampler(SIZES, 120, pool=50, seed=3, **place),
    ]


def batches(sampler: gr.loader.Sampler, epoch: int = 0, first: int = 0) -> list[list[int]]:
    sampler.set_epoch(epoch, first)
    return list(sampler)


@pytest.mark.parametrize("which", range(4))
def test_every_sample_once_and_as_many_batches_in_every_epoch(which):
    sampler = samplers()[which]
    for epoch in range(30):
        found = batches(sampler, epoch)
        assert sorted(itertools.chain(*found)) == list(range(200))
        assert len(found) == len(sampler)
        assert found == batches(samplers()[which], epoch)
        assert found[3:] == batches(sampler, epoch, 3)
    if which != 1:
        assert batches(sampler, 0) != batches(sampler, 1) != batches(sampler, 2)


@given(
    nodes=st.lists(st.integers(0, 9), max_size=40),
    budget=st.integers(9, 40),
    world_size=st.integers(1, 5),
    epoch=st.integers(0, 9),
)
def test_balanced_batches_keep_within_nodes_and_are_dealt_evenly(nodes, budget, world_size, epoch):
    sizes = Sizes(
        torch.tensor(nodes, dtype=torch.long), torch.tensor([n // 3 + 1 for n in nodes], dtype=torch.long)
    )
    if 0 < len(nodes) < world_size:
        with pytest.raises(ValueError, match=f"each of {world_size} processes needs a sample"):
            list(BalancedSampler(sizes, budget, rank=0, world_size=world_size))
        return
    members = [BalancedSampler(sizes, budget, rank=rank, world_size=world_size) for rank in range(world_size)]
    dealt = [batches(member, epoch) for member in members]
    assert {len(mine) for mine in dealt} == {len(members[0])}
    seen = [i for mine in dealt for part in mine for i in part]
    assert len(set(seen)) == len(seen)
    assert all(sum(nodes[i] for i in part) <= budget and part for mine in dealt for part in mine)
    left_out = len(nodes) - len(seen)
    assert left_out < world_size
    if left_out:  # nothing could be divided
        assert all(len(part) == 1 for mine in dealt for part in mine)


def test_samples_of_like_depth_stand_together():
    sampler = BalancedSampler(SIZES, 120)
    found = batches(sampler)
    spread = [SIZES.levels[part].max() - SIZES.levels[part].min() for part in map(torch.tensor, found)]
    assert max(spread) <= 1
    assert len(found) <= 1.1 * float(SIZES.nodes.sum()) / 120 + 1
    assert [int(SIZES.levels[part[0]]) for part in found] != sorted(
        int(SIZES.levels[part[0]]) for part in found
    )


def test_neighbours_make_a_step():
    members = [BalancedSampler(SIZES, 120, rank=rank, world_size=2) for rank in (0, 1)]
    depth = [[int(SIZES.levels[part].max()) for part in batches(member, 1)] for member in members]
    assert max(abs(a - b) for a, b in zip(*depth, strict=True)) <= 1


@pytest.mark.parametrize("world_size", [2, 3])
def test_shuffled_samples_are_dealt_evenly(world_size):
    members = [ShuffledSampler(101, 8, rank=rank, world_size=world_size) for rank in range(world_size)]
    dealt = [batches(member, 4) for member in members]
    assert {len(mine) for mine in dealt} == {len(members[0])}
    seen = [i for mine in dealt for part in mine for i in part]
    assert len(set(seen)) == len(seen) > 101 - world_size
    in_order = [
        batches(InOrderSampler(101, 8, rank=rank, world_size=world_size)) for rank in range(world_size)
    ]
    assert sorted(i for mine in in_order for part in mine for i in part) == list(range(101))


def test_sizes_are_measured():
    trees = ["(1 a)", "(1 (2 (3 a) (4 b)) (5 c))", "(1 (2 a) (3 b))"]
    known = [gr.tree(text) for text in trees]
    data = [gr.transforms.AddLevels()(gr.to_pyg(s)) for s in known]
    for samples in (known, data, [gr.to_pyg(s) for s in known]):
        nodes, levels = measure(samples)
        assert nodes.tolist() == [s.num_nodes for s in known]
        assert levels.tolist() == [1, 3, 2]
    assert measure([]).nodes.tolist() == []
    with pytest.raises(gr.CycleError):
        measure([gr.Structure(2, torch.tensor([[0, 1], [1, 0]]))])


def test_the_loader_goes_on_where_it_has_stopped():
    data = [
        Data(x=torch.tensor([[float(i)]]), num_nodes=1, edge_index=torch.empty(2, 0, dtype=torch.long))
        for i in range(200)
    ]

    def loader(which: int, workers: int) -> gr.DataLoader:
        return gr.DataLoader(data, batch_sampler=samplers()[which], num_workers=workers)

    for which, workers in ((0, 0), (2, 0), (2, 2)):
        random = torch.get_rng_state()
        uninterrupted = loader(which, workers)
        expected = [[batch.x.flatten().tolist() for batch in uninterrupted] for _ in range(3)]
        assert expected[0] != expected[1]
        for stop in (0, 4, len(uninterrupted)):
            first = loader(which, workers)
            list(first)
            taken = [b.x.flatten().tolist() for b in itertools.islice(first, stop)]
            if not stop:  # of an iteration that nobody has begun there is nothing to go on with
                state = first.state_dict()
                assert state["taken"] == len(first)
            state = first.state_dict()
            again = loader(which, workers)
            again.load_state_dict(state)
            if 0 < stop < len(first):
                taken += [b.x.flatten().tolist() for b in again]
            assert not stop or taken == expected[1]
            following = [b.x.flatten().tolist() for b in again]
            assert following == expected[2 if stop else 1]
        assert torch.equal(torch.get_rng_state(), random)


def test_before_the_first_epoch_nothing_is_taken_up():
    def loader() -> gr.DataLoader:
        return gr.DataLoader([gr.to_pyg(gr.chain(i)) for i in range(200)], batch_sampler=samplers()[0])

    begun_anew = loader()
    begun_anew.load_state_dict(loader().state_dict())
    assert [batch.num_nodes for batch in begun_anew] == [batch.num_nodes for batch in loader()]


@pytest.mark.parametrize("changed", [{"epoch": -2}, {"taken": "2"}, {"sampler": None}])
def test_what_is_no_position_is_refused(changed):
    loader = gr.DataLoader([gr.to_pyg(gr.chain(2))] * 200, batch_sampler=samplers()[0])
    with pytest.raises(ValueError, match=r"expected what state_dict\(\) of a graphrec.DataLoader gives, got"):
        loader.load_state_dict(loader.state_dict() | changed)


def test_positions_in_other_orders_are_refused():
    data = [gr.to_pyg(gr.chain(2))] * 200
    state = gr.DataLoader(data, batch_sampler=samplers()[0]).state_dict()
    for which, said in ((1, "kind='ShuffledSampler'"), (2, "max_nodes=None")):
        with pytest.raises(ValueError, match=said):
            gr.DataLoader(data, batch_sampler=samplers()[which]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"world_size=1 \(here 2\)"):
        gr.DataLoader(data, batch_sampler=samplers(rank=0, world_size=2)[0]).load_state_dict(state)
    plain = gr.DataLoader(data, batch_size=4, shuffle=True)
    assert plain.state_dict() == {}
    plain.load_state_dict({})
    with pytest.raises(ValueError, match="cannot be taken up"):
        plain.load_state_dict(state)
    with pytest.raises(ValueError, match="cannot be taken up"):
        gr.DataLoader(data, batch_sampler=samplers()[0]).load_state_dict({})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ShuffledSampler(10, 0), "batch_size must be 1 or more"),
        (lambda: ShuffledSampler(10, 2, rank=2, world_size=2), "rank must be from 0 to world_size - 1"),
        (lambda: ShuffledSampler(10, 2, rank=0), "go together"),
        (
            lambda: list(ShuffledSampler(1, 2, rank=0, world_size=2)),
            "each of 2 processes needs a sample, got 1",
        ),
        (
            lambda: gr.DataLoader([gr.chain(2)] * 9, batch_sampler=ShuffledSampler(7, 2)),
            "of 7 samples, and there are 9",
        ),
        (lambda: BalancedSampler(SIZES, 20), "and a batch may have 20: raise max_nodes"),
        (lambda: BalancedSampler(Sizes(torch.arange(3), torch.arange(2)), 20), r"two tensors of shape \[n\]"),
    ],
)
def test_refusals(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_pairs_of_sequences_are_measured_by_their_rows():
    pairs = [(torch.zeros(length, 2), 1) for length in (5, 2, 2, 1)]
    nodes, levels = gr.loader.measure(pairs)
    assert nodes.tolist() == levels.tolist() == [5, 2, 2, 1]
    batches = list(gr.loader.BalancedSampler(pairs, max_nodes=5))
    assert sorted(map(sorted, batches)) == [[0], [1, 2, 3]]
    with pytest.raises(TypeError, match=r"a pair \(x, y\) is of a sequence, x its rows, got x = 3"):
        gr.loader.measure([(3, 1)])
    graph = gr.to_pyg(gr.chain(3))
    with pytest.raises(TypeError, match=r"a graph is given alone, with its target as data\.y"):
        gr.loader.measure([(graph, 1)])
