"""A schedule survives batching: levels and slots are found once per sample and compiled for any batch."""

import importlib

import pytest
import torch
from hypothesis import given
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_close

samples = strategies.trees() | strategies.dags()


@pytest.fixture
def no_walk(monkeypatch):
    """Walking a graph for its levels is an error from the moment that this is called."""

    def forbid():
        def walk(*_):
            raise AssertionError("the graph was walked")

        monkeypatch.setattr(importlib.import_module("graphrec.schedule.levels"), "longest_paths", walk)

    return forbid


def random_samples(count):
    torch.manual_seed(0)
    for _ in range(count):
        size = int(torch.randint(1, 8, ()))
        source = torch.cat([torch.randint(v, (2,)) for v in range(1, size)] or [torch.zeros(0)]).long()
        target = torch.arange(1, size).repeat_interleave(2)
        yield Data(x=torch.randn(size, 3), edge_index=torch.stack([source, target]), num_nodes=size)


def test_a_collated_batch_is_compiled_without_walking_it(no_walk):
    data = list(random_samples(6))
    expected = gr.schedule(gr.batch([gr.from_pyg(d) for d in data]))
    transform = gr.transforms.AddLevels()
    (collated,) = DataLoader([transform(d) for d in data], batch_size=6)
    no_walk()
    s = gr.from_pyg(collated)
    assert gr.schedule(s) == expected
    assert len(gr.schedule(s.reverse()).steps) == len(expected.steps)
    model = gr.Bidirectional(gr.TreeLSTM(3, 2), gr.TreeLSTM(3, 2))
    assert model(collated.x, collated).shape == (s.num_nodes, 4)


def test_without_levels_the_fixture_catches_the_walk(no_walk):
    (collated,) = DataLoader(list(random_samples(3)), batch_size=3)
    no_walk()
    with pytest.raises(AssertionError, match="walked"):
        gr.schedule(gr.from_pyg(collated))


def test_batches_of_structures_that_know_their_levels_are_not_walked(no_walk):
    trees = [gr.tree(parents=[2, 2, -1]), gr.tree(parents=[-1, 0, 1])]
    for tree in trees:
        gr.levels(tree)
        gr.levels(tree.reverse())
    no_walk()
    for members in [trees, [*trees, gr.chain(3), gr.chains([1, 2])], [gr.grid([2], 2), gr.grid([1, 3], 2)]]:
        batch = gr.batch(members)
        assert gr.levels(batch).tolist() == [k for member in members for k in gr.levels(member).tolist()]
        gr.schedule(batch)
        gr.schedule(batch.reverse())


def test_levels_that_no_longer_fit_are_refused():
    data = gr.transforms.AddLevels()(gr.to_pyg(gr.chain(3)))
    data.edge_index = torch.tensor([[0, 0], [1, 2]])
    with pytest.raises(ValueError, match=r"node 2 is on level 2, its sources put it on 1.*AddLevels after"):
        gr.schedule(gr.from_pyg(data))


@given(members_and_batch=strategies.batches(samples))
def test_levels_slots_and_schedules(members_and_batch):
    members, batch = members_and_batch
    transform = gr.transforms.AddLevels()
    data = [transform(Data(edge_index=m.edge_index, num_nodes=m.num_nodes)) for m in members]
    for d, m in zip(data, members, strict=True):
        assert torch.equal(d.slot, m.slot)
        assert torch.equal(d.level, gr.levels(m))
        assert torch.equal(d.level_reversed, gr.levels(m.reverse()))
    s = gr.from_pyg(Batch.from_data_list(data))
    assert gr.schedule(s) == gr.schedule(batch)
    assert gr.schedule(s.reverse()) == gr.schedule(batch.reverse())


def test_shuffled_loading_gives_each_sample_its_own_states():
    data = [gr.transforms.AddLevels()(d) for d in random_samples(8)]
    model = gr.TreeLSTM(3, 2)
    expected = torch.cat([model(d.x, d) for d in data])
    loader = DataLoader(data, batch_size=3, shuffle=True, generator=torch.Generator().manual_seed(1))
    found = torch.cat([model(batch.x, batch) for batch in loader])
    assert_close(found.sum(0), expected.sum(0))
    assert_close(found.sort(0).values, expected.sort(0).values)


def test_slots_that_are_there_are_kept():
    data = Data(edge_index=torch.tensor([[0, 1], [2, 2]]), num_nodes=3, slot=torch.tensor([1, 0]))
    assert gr.transforms.AddLevels()(data).slot.tolist() == [1, 0]


def test_a_cycle_is_named():
    with pytest.raises(gr.CycleError, match="0 → 1 → 0"):
        gr.transforms.AddLevels()(Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2))
