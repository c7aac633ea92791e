"""What is stored, cached and handed out, for any trees."""

from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

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
