"""What is stored, cached and handed out, for any trees."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.loader import DataLoader

import graphrec as gr
from graphrec.datasets import ListOps, Samples, TreeDataset, store
from graphrec.io import parse_brackets

TREES = ["(0 a)", "(0 (1 b) (2 (3 c) (4 d) (5 e)))", "(0 (1 f) (2 g))", "(0 (1 h))"]


class Few(TreeDataset):
    """The first trees of TREES."""

    made = 0

    def __init__(self, count: int, per_sample: int = 1) -> None:
        self.count, self.per_sample = count, per_sample
        super().__init__("all", {"count": count, "per": per_sample}, None)

    def make(self) -> dict[str, Samples]:
        type(self).made += 1
        trees = [parse_brackets(text) for text in TREES[: self.count]]
        labels = torch.tensor([int(label or 0) for tree in trees for label in tree.label])
        graphs = self.count // self.per_sample
        per_sample = {"text": TREES[:graphs], "pair": torch.arange(2 * graphs)}
        info = {"vocabulary": [""], "classes": list("012345")}
        samples = store(trees, {"label": labels}, per_sample, info, structures_per_sample=self.per_sample)
        return {"all": samples}


def test_samples_come_back_as_they_were() -> None:
    dataset = Few(4)
    assert len(dataset) == 4
    assert dataset.num_classes == 6
    assert [sample.num_nodes for sample in dataset] == [1, 6, 3, 2]
    single, tree = dataset[0], dataset[1]
    assert single.edge_index.shape == (2, 0)
    assert single.label.tolist() == [0]
    # Children first: b, c, d, e, the node above c d e, the root.
    assert tree.edge_index.tolist() == [[0, 1, 2, 3, 4], [5, 4, 4, 4, 5]]
    assert tree.slot.tolist() == [0, 0, 1, 2, 1]
    assert tree.level.tolist() == [0, 0, 0, 0, 1, 2]
    assert tree.level_reversed.tolist() == [1, 2, 2, 2, 1, 0]
    assert tree.label.tolist() == [1, 3, 4, 5, 2, 0]
    assert tree.text == TREES[1]
    assert tree.pair.tolist() == [2, 3]


def test_a_sample_may_hold_several_trees() -> None:
    first, second = Few(4, per_sample=2)
    assert first.num_nodes == 7
    assert first.edge_index.tolist() == [[1, 2, 3, 4, 5], [6, 5, 5, 5, 6]]
    assert first.label.tolist() == [0, 1, 3, 4, 5, 2, 0]
    assert second.edge_index.tolist() == [[0, 1, 3], [2, 2, 4]]


def test_one_sample_is_no_special_case() -> None:
    (sample,) = Few(1)
    assert (sample.num_nodes, sample.text, sample.pair.tolist()) == (1, TREES[0], [0, 1])
    batch = next(iter(DataLoader(Few(1), batch_size=1)))
    assert batch.num_nodes == 1
    assert batch.batch.tolist() == [0]


def test_subsets_are_samples_too() -> None:
    assert [sample.text for sample in Few(4)[1:3]] == TREES[1:3]


def test_samples_are_made_once_and_then_read(cache: Path) -> None:
    Few.made = 0
    first, again = Few(3), Few(3)
    assert Few.made == 1
    assert [sample.to_dict().keys() for sample in first] == [sample.to_dict().keys() for sample in again]
    assert len(Few(2)) == 2
    assert Few.made == 2
    assert len(list((cache / "processed" / "Few").glob("*/all.pt"))) == 2


def test_a_damaged_cache_says_which_file_to_delete(cache: Path) -> None:
    Few(3)
    (path,) = cache.rglob("all.pt")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=rf"the cached samples in {path} are damaged .*: delete the file"):
        Few(3)
    path.unlink()
    assert len(Few(3)) == 3


def test_what_a_killed_writer_has_left_goes_when_samples_are_read(cache: Path) -> None:
    Few(3)
    (path,) = cache.rglob("all.pt")
    path.with_name("all.pt.abcd1234.part").touch()
    Few(3)
    assert list(path.parent.iterdir()) == [path]


def test_a_transform_is_applied_to_each_sample(samples: Path) -> None:
    def mark(data: Data) -> Data:
        data.marked = True
        return data

    dataset = ListOps("sample.tsv", samples, transform=mark)
    assert all(sample.marked for sample in dataset)


def test_a_batch_counts_nodes_on_and_keeps_levels_and_slots() -> None:
    dataset = Few(4)
    (batch,) = DataLoader(dataset, batch_size=4)
    assert batch.batch.tolist() == [0] + [1] * 6 + [2] * 3 + [3] * 2
    first = [0, 1, 7, 10]
    expected = torch.cat([sample.edge_index + n for sample, n in zip(dataset, first, strict=True)], dim=1)
    assert batch.edge_index.tolist() == expected.tolist()
    for name in ("level", "level_reversed", "slot", "label", "pair"):
        assert batch[name].tolist() == [value for sample in dataset for value in sample[name].tolist()]
    assert batch.text == TREES


class Expressions(gr.datasets.TreeDataset):
    """As its documentation shows how a data set of one's own is made."""

    def __init__(self, file: Path, split: str = "train") -> None:
        self.file = file
        super().__init__(split, {"file": gr.datasets.checksum(file)})

    def make(self) -> dict[str, Samples]:
        lines = [line.split("\t") for _, line in gr.datasets.read_lines(self.file)]
        trees = [gr.tree(text) for _, text in lines]
        y = torch.tensor([int(value) for value, _ in lines])
        return {"train": gr.datasets.store(trees, per_sample={"y": y})}


def test_a_data_set_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("1\t(S (NP a b) (VP c))\n0\t(S d)\n2\t(S (X e f))\n")
    dataset = Expressions(path)
    assert dataset.num_classes == 3
    assert [sample.y.tolist() for sample in dataset] == [[1], [0], [2]]
    assert dataset[0].tokens == ["a", "b", None, "c", None]
    assert dataset[1].labels == ["S"]
    (batch,) = DataLoader(dataset, batch_size=3)
    trees = [gr.tree(text) for text in ("(S (NP a b) (VP c))", "(S d)", "(S (X e f))")]
    assert gr.from_pyg(batch) == gr.batch(trees)
    path.write_text("1\t(S d)\n")
    (sample,) = Expressions(path)
    assert (sample.tokens, sample.y.tolist()) == (["d"], [1])
    with pytest.raises(
        ValueError, match=r"Expressions\.make returned the splits train, but 'test' is asked for"
    ):
        Expressions(path, "test")


def dags() -> list[gr.Structure]:
    """Of three, one and two nodes, with all that DAGs carry."""
    return [
        gr.dag(
            torch.tensor(edges).t(),
            nodes,
            relation=torch.tensor([0, 1, 1][: len(edges)]),
            edge_attr=torch.rand(len(edges), 2),
            edge_weight=torch.rand(len(edges)),
            kind=torch.arange(nodes),
        ).replace(relation_names=("x", "y"), kind_names=("a", "b", "c"))
        for nodes, edges in ((3, [(0, 2), (0, 1), (1, 2)]), (2, [(1, 0)]), (2, [(0, 1), (0, 1)]))
    ]


class Kept(TreeDataset):
    """Whatever is stored."""

    def __init__(self, name: str, samples: Samples) -> None:
        self._samples = samples
        super().__init__("all", {"name": name})

    def make(self) -> dict[str, Samples]:
        return {"all": self._samples}


def test_dags_come_back_with_all_they_carry(check_levels: Callable[[InMemoryDataset], None]) -> None:
    structures = dags()
    values = torch.arange(7.0)
    dataset = Kept("dags", store(structures, {"x": values}, per_edge={"length": torch.arange(6.0)}))
    check_levels(dataset)
    assert [gr.from_pyg(sample) for sample in dataset] == structures
    assert [sample.x.tolist() for sample in dataset] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [sample.length.tolist() for sample in dataset] == [[0, 1, 2], [3], [4, 5]]
    (batch,) = DataLoader(dataset, batch_size=3)
    assert gr.from_pyg(batch) == gr.batch(structures)
    pairs = Kept("pairs", store(structures[:2] * 2, structures_per_sample=2))
    assert [gr.from_pyg(sample).num_edges for sample in pairs] == [4, 4]


@pytest.mark.parametrize("form", ["structures", "rows"])
def test_no_samples_are_a_data_set(form: str) -> None:
    none = store([], {"label": torch.zeros(0)}, {"text": [], "y": torch.zeros(0, dtype=torch.long)})
    dataset = Kept(form, none)
    assert len(dataset) == 0
    assert list(dataset) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"per_node": {"x": torch.zeros(6)}},
            r"x must be a tensor with a row for each of the 7 nodes, got \[6\]",
        ),
        ({"per_node": {"x": [0] * 7}}, r"x must be a tensor with a row for each of the 7 nodes, got list"),
        (
            {"per_edge": {"w": torch.tensor(1)}},
            r"w must be a tensor with a row for each of the 6 edges, got \[\]",
        ),
        (
            {"per_sample": {"y": torch.zeros(4)}},
            r"y must have as many values for each of the 3 samples, got 4 in all",
        ),
        (
            {"per_sample": {"text": ["a"] * 6}},
            r"text must have as many values for each of the 3 samples, got 6",
        ),
        ({"per_node": {"node_type": torch.zeros(7)}}, r"node_type is what the structures carry already"),
        ({"per_node": {"level": torch.zeros(7)}}, r"level is what the structures carry already"),
        (
            {"per_node": {"my_index": torch.zeros(7, 2)}},
            r"PyG joins what is named my_index by its last dimension",
        ),
        (
            {"structures_per_sample": 2},
            r"expected 2 structures for each sample, got 3 in all, which leaves 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store(dags(), **given)


def test_graphs_that_are_none_are_refused() -> None:
    with pytest.raises(gr.CycleError):
        store([gr.dag([[0, 1], [1, 0]], 2)])
    with pytest.raises(
        ValueError, match=r"structures of one graph each, got 1 with 2 graphs: give each graph as"
    ):
        store([gr.chains([2, 3])])
    with pytest.raises(TypeError, match="batch takes structures"):
        store([gr.chain(2), parse_brackets("(0 a)")])  # pyright: ignore[reportArgumentType]


def test_classes_of_one_name_have_caches_of_their_own() -> None:
    def another() -> type[Few]:
        class Few(TreeDataset):
            """Like the other one, but in another place."""

            def __init__(self, count: int) -> None:
                super().__init__("all", {"count": count, "per": 1})

            def make(self) -> dict[str, Samples]:
                return {"all": store([gr.chain(5)])}

        return Few  # pyright: ignore[reportReturnType]

    assert Few(2)[0].num_nodes == 1
    assert another()(2)[0].num_nodes == 5
