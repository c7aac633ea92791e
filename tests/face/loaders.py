"""What makes batches: samplers, cones of a graph, and what they are called with."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st

import graphrec as gr
from tests import strategies
from tests.face.entry import Arguments, Entry, given, is_sound, same, small, truth

SAMPLES = st.lists(strategies.chains() | strategies.dags(), max_size=4)
PLACE = st.sampled_from([{}, {"rank": 1, "world_size": 2}])
GRAPH = strategies.graphs() | strategies.dags()
SOURCE = gr.dag([[0, 1, 2], [1, 2, 3]])


@st.composite
def in_processes(draw: Any, **arguments: Any) -> Arguments:
    """A sampler's arguments, in one process or in the second of two."""
    return draw(given(seed=st.integers(0, 3), **arguments)) | draw(PLACE)


@st.composite
def balanced_arguments(draw: Any) -> Arguments:
    samples = draw(st.lists(strategies.chains(), min_size=2, max_size=4))
    fits = max(s.num_nodes for s in samples)
    of_sizes = draw(truth)
    return draw(
        in_processes(
            samples=gr.loader.measure(samples) if of_sizes else samples,
            max_nodes=st.integers(fits, fits + 9),
            pool=st.none() | small,
        )
    )


def deals(sampler: gr.loader.ShuffledSampler | gr.loader.BalancedSampler, arguments: Arguments) -> None:
    """As many batches as it says, in every epoch; each process has samples of its own, the same again when asked."""
    for epoch in range(2):
        sampler.set_epoch(epoch)
        mine = list(sampler)
        assert len(mine) == len(sampler)
        assert mine == list(sampler)
        drawn = [number for batch in mine for number in batch]
        assert len(set(drawn)) == len(drawn)
        assert set(drawn) <= set(range(sampler.num_samples))
        if arguments.get("world_size") is None:
            assert len(drawn) == sampler.num_samples
    assert sampler.settings() == type(sampler)(**arguments).settings()


def balanced(sampler: gr.loader.BalancedSampler, arguments: Arguments) -> None:
    deals(sampler, arguments)
    assert all(sampler.sizes.nodes[batch].sum() <= arguments["max_nodes"] for batch in sampler)


def measured(sizes: gr.loader.Sizes, arguments: Arguments) -> None:
    same(sizes.nodes.tolist(), [s.num_nodes for s in arguments["samples"]])
    assert bool((sizes.levels <= sizes.nodes).all())


@st.composite
def cones_arguments(draw: Any) -> Arguments:
    s = draw(GRAPH)
    source = draw(st.sampled_from([s, gr.to_pyg(s)]))
    nodes = st.lists(st.integers(0, s.num_nodes - 1), max_size=3)
    targets = draw(st.none() | nodes | st.just(torch.ones(s.num_nodes, dtype=torch.bool)))
    return {"source": source, "targets": targets, "depth": draw(st.none() | st.integers(0, 3))}


def cones(found: gr.loader.Cones, arguments: Arguments) -> None:
    """The nodes of a cone reach its targets within the depth."""
    assert len(found) == len(found.targets)
    of_all: Any = found[list(range(len(found)))]
    is_structure = isinstance(of_all, gr.loader.Cone)
    node, target = (of_all.node, of_all.target) if is_structure else (of_all.n_id, of_all.target_index)
    same(node[target].tolist(), found.targets.tolist())
    if arguments["depth"] is not None:
        assert bool((of_all.distance <= arguments["depth"]).all())
    is_sound(of_all.structure if is_structure else of_all)


def cone_at(index: Any) -> Any:
    """A cone, or what is said of a number beyond the last one, by which Python's loops know their end."""
    try:
        return gr.loader.Cones(SOURCE)[index]
    except IndexError as error:
        said = str(error)
    assert said.startswith("there is no cone")
    return said


def batches_of(**arguments: Any) -> list[Any]:
    return list(gr.loader.Cones(SOURCE, depth=2).loader(**arguments))


def with_state(**state: Any) -> None:
    loader = gr.DataLoader([SOURCE] * 4, batch_sampler=gr.loader.ShuffledSampler(4, 2))
    loader.load_state_dict(state)
    list(loader)


LOADERS: dict[str, Entry] = {
    "loader.BalancedSampler": Entry(balanced_arguments(), balanced),
    "loader.Cones": Entry(cones_arguments(), cones),
    "loader.InOrderSampler": Entry(in_processes(num_samples=st.integers(2, 9), batch_size=small), deals),
    "loader.ShuffledSampler": Entry(in_processes(num_samples=st.integers(2, 9), batch_size=small), deals),
    "loader.measure": Entry(given(samples=SAMPLES), measured),
}
CALLS_OF_LOADERS: dict[str, Entry] = {
    "Cones[]": Entry(given(index=st.integers(0, 3) | st.just([0, 2])), is_sound, cone_at),
    "Cones.of": Entry(given(targets=torch.tensor([3, 1])), is_sound, gr.loader.Cones(SOURCE).of),
    "Cones.loader": Entry(
        given(batch_size=small, shuffle=truth, seed=st.integers(0, 3)), is_sound, batches_of
    ),
    "DataLoader.load_state_dict": Entry(
        given(
            epoch=st.integers(-1, 3),
            taken=st.integers(0, 2),
            sampler=gr.loader.ShuffledSampler(4, 2).settings(),
        ),
        is_sound,
        with_state,
    ),
    "Sampler.set_epoch": Entry(
        given(epoch=st.integers(0, 3), first=st.integers(0, 2)),
        is_sound,
        gr.loader.ShuffledSampler(4, 2).set_epoch,
    ),
}
