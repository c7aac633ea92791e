"""The loader makes PyG's own batches."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.loader import DataLoader as PyGLoader

import graphrec as gr
from graphrec.loader import collate as loader


def _graph(nodes: int, edges: int, seed: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(max(nodes, 1), (2, edges if nodes else 0), generator=draw)
    return {"x": torch.randn(nodes, 3, generator=draw), "edge_index": edge_index, "y": torch.tensor([seed])}


GRAPHS = [_graph(nodes, edges, seed) for seed, (nodes, edges) in enumerate([(4, 6), (0, 0), (1, 0), (5, 9)])]
HETERO = [HeteroData({"a": {"x": torch.randn(size, 2)}}) for size in (2, 3)]


class Pairs(Data):
    """A subclass with a rule of its own."""

    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        return 7 if key == "y" else super().__inc__(key, value, *args, **kwargs)


def _with(**more: Any) -> list[Data]:
    return [Data(**graph, **{name: make(graph) for name, make in more.items()}) for graph in GRAPHS]


# Samples, and whether they are joined here and not by PyG.
SAMPLES: dict[str, tuple[list[Any], bool]] = {
    "plain": (_with(), True),
    "alone": (_with()[:1], True),
    "edge features": (_with(edge_attr=lambda g: torch.rand(g["edge_index"].shape[1], 2)), True),
    "numbers of nodes": (_with(root_index=lambda g: torch.arange(len(g["x"]))[:1]), True),
    "faces": (_with(face=lambda g: torch.zeros(3, len(g["x"]), dtype=torch.long)), True),
    "a count of nodes": (_with(num_nodes=lambda g: len(g["x"]) + 2), True),
    "nodes without x": (
        [Data(edge_index=g["edge_index"], num_nodes=len(g["x"]), z=g["x"]) for g in GRAPHS],
        True,
    ),
    "positions before x": ([Data(pos=g["x"], x=g["x"], edge_index=g["edge_index"]) for g in GRAPHS], True),
    "numbers": (_with(grade=lambda g: float(len(g["x"])), fold=lambda g: len(g["x"])), True),
    "texts": (_with(name=lambda g: "a graph", tokens=lambda g: ["word", None]), True),
    "trees": (
        [gr.transforms.AddLevels()(gr.to_pyg(gr.tree(text))) for text in ("(a b)", "(a (b c) d)")],
        True,
    ),
    "first nodes all zero": ([Data(**GRAPHS[1]), Data(**GRAPHS[0])], True),
    "numbers of 0 dimensions": (_with(score=lambda g: torch.tensor(2.0)), False),
    "other attributes": (
        [Data(**GRAPHS[0], more=torch.ones(1)), Data(**GRAPHS[0], more=torch.ones(1), z=1)],
        False,
    ),
    "short numbers of nodes": (_with(node_index=lambda g: torch.zeros(1, dtype=torch.int32)), False),
    "lists of tensors": (_with(parts=lambda g: [g["x"], g["x"]]), False),
    "lists of numbers": (_with(parts=lambda g: [1, 2]), False),
    "dictionaries": (_with(parts=lambda g: {"a": g["x"]}), False),
    "batches": ([Batch.from_data_list(_with()[:2]), Batch.from_data_list(_with()[2:])], False),
    "a rule of its own": ([Pairs(**graph) for graph in GRAPHS], False),
    "several types": (HETERO, False),
    "no graphs": ([torch.ones(2), torch.zeros(2)], False),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_batches_are_those_of_pyg(name):
    samples, _ = SAMPLES[name]
    for made, wanted in zip(gr.DataLoader(samples, 3), PyGLoader(samples, 3), strict=True):
        assert _are_same(made, wanted)


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_joined_here(name):
    samples, is_joined = SAMPLES[name]
    assert (loader._as_columns(samples) is not None) == is_joined


@pytest.mark.parametrize("more", [{"follow_batch": ["edge_index"]}, {"exclude_keys": ["y"]}])
def test_arguments_of_pyg(more):
    samples = _with()
    for made, wanted in zip(gr.DataLoader(samples, 2, **more), PyGLoader(samples, 2, **more), strict=True):
        assert _are_same(made, wanted)


@pytest.mark.parametrize(
    "more",
    [
        {"grade": lambda g: torch.tensor(1.0) if len(g["x"]) == 1 else torch.ones(1)},
        {"grade": lambda g: torch.ones(1, len(g["x"]))},
        {"node_index": lambda g: torch.tensor(0) if len(g["x"]) == 1 else torch.zeros(1, dtype=torch.long)},
        {"grade": lambda g: 2**70},
        {"num_nodes": lambda g: 2**62},  # their sum is 0 in 64 bits
        {"num_nodes": lambda g: -1},
    ],
)
def test_what_cannot_be_joined_is_refused_as_by_pyg(more):
    samples = _with(**more)
    with pytest.raises(Exception) as expected:  # noqa: PT011
        next(iter(PyGLoader(samples, 4)))
    with pytest.raises(type(expected.value)) as found:
        next(iter(gr.DataLoader(samples, 4)))
    assert str(found.value) == str(expected.value)


def test_samples_are_found_again_and_are_not_changed():
    samples = _with(root_index=lambda g: torch.arange(len(g["x"]))[:1])
    before = pickle.dumps(samples)
    (batch,) = gr.DataLoader(samples, len(samples))
    for made, sample in zip(batch.to_data_list(), samples, strict=True):
        assert _are_same(made, sample)
    batch.edge_index.zero_()
    assert pickle.dumps(samples) == before


def test_features_that_require_grad():
    samples = _with()
    for sample in samples:
        sample.x.requires_grad_()
    (batch,) = gr.DataLoader(samples, len(samples))
    batch.x.sum().backward()
    assert all(torch.equal(sample.x.grad, torch.ones_like(sample.x)) for sample in samples)
    for sample in samples:
        sample.x.requires_grad_(False)


def test_workers():
    samples = _with()
    for made, wanted in zip(gr.DataLoader(samples, 2, num_workers=1), PyGLoader(samples, 2), strict=True):
        assert _are_same(made, wanted)


def _are_same(made: Any, wanted: Any) -> bool:
    if isinstance(wanted, torch.Tensor):
        return torch.equal(made, wanted)
    return (
        type(made) is type(wanted)
        and getattr(made, "num_graphs", None) == getattr(wanted, "num_graphs", None)
        and _are_equal(made.to_dict(), wanted.to_dict())
        and all(
            _are_equal(getattr(made, name, None), getattr(wanted, name, None))
            for name in ("_slice_dict", "_inc_dict")
        )
        and (not isinstance(wanted, Data) or made.num_nodes == wanted.num_nodes)
    )


def _are_equal(made: Any, wanted: Any) -> bool:
    if type(made) is not type(wanted):
        return False
    if isinstance(wanted, torch.Tensor):
        return made.dtype == wanted.dtype and torch.equal(made, wanted)
    if isinstance(wanted, dict):
        return list(made) == list(wanted) and all(_are_equal(made[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list):
        return len(made) == len(wanted) and all(map(_are_equal, made, wanted))
    return made == wanted


def test_structures_and_tries_are_batched_as_by_torch():
    chains, trie = [gr.chain(3), gr.chain(2)], gr.trie([[1, 2], [1, 3]])
    (s,) = gr.DataLoader(chains, batch_size=2)
    assert s == gr.batch(chains)
    ((s, y),) = gr.DataLoader(
        [(chain, {"y": i, "trie": trie}) for i, chain in enumerate(chains)], batch_size=2
    )
    assert s == gr.batch(chains)
    assert y["y"].tolist() == [0, 1]
    assert y["trie"].num_nodes == 2 * trie.num_nodes


def test_what_pyg_does_not_join_is_refused_with_what_does():
    pairs = [(np.ones((3, 2)), 1)] * 2
    with pytest.raises(
        TypeError, match=r"found invalid type.* in samples of type tuple: .*train\.join_sequences"
    ):
        next(iter(gr.DataLoader(pairs, batch_size=2)))
    (joined,) = gr.DataLoader(pairs, batch_size=2, collate_fn=len)
    assert joined == 2
