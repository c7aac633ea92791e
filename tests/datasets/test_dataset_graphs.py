"""PyG's MUTAG and Cora, by small files and, where they are, by the published ones."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch_geometric.datasets import Planetoid, TUDataset
from torch_geometric.loader import DataLoader

import graphrec as gr
from graphrec.datasets import cora, mutag, stratified_folds

# Two molecules: C-N=O, and C and F, bound aromatically.
MUTAG = {
    "A": "1, 2\n2, 1\n2, 3\n3, 2\n4, 5\n5, 4\n",
    "edge_labels": "1\n1\n2\n2\n0\n0\n",
    "graph_indicator": "1\n1\n1\n2\n2\n",
    "graph_labels": "1\n-1\n",
    "node_labels": "0\n1\n2\n0\n3\n",
}


def molecules(folder: Path, **changed: str) -> Path:
    """A folder with files such as those of MUTAG."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**MUTAG, **changed}.items():
        (folder / f"MUTAG_{name}.txt").write_text(text)
    return folder


def test_molecules_have_kinds_and_relations(tmp_path: Path) -> None:
    molecules(tmp_path / "MUTAG" / "raw")
    first, second = dataset = mutag(tmp_path)
    assert isinstance(dataset, TUDataset)
    assert first.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert (first.node_type.tolist(), first.edge_type.tolist()) == ([0, 1, 2], [1, 1, 2, 2])
    assert (second.node_type.tolist(), second.edge_type.tolist()) == ([0, 3], [0, 0])
    assert torch.equal(first.x, torch.eye(4)[:3])
    assert torch.equal(first.edge_attr, torch.eye(3)[[1, 1, 2, 2]])
    assert (first.y.tolist(), second.y.tolist()) == ([1], [0])
    structure = gr.from_pyg(next(iter(DataLoader(dataset, batch_size=2))))
    assert structure.num_graphs == 2
    assert structure.kind is not None
    assert structure.kind.tolist() == [0, 1, 2, 0, 3]
    assert structure.relation is not None
    assert structure.relation.tolist() == [1, 1, 2, 2, 0, 0]


def test_subsets_have_them_too(tmp_path: Path) -> None:
    (molecule,) = mutag(molecules(tmp_path))[1:]
    assert (molecule.node_type.tolist(), molecule.edge_type.tolist()) == ([0, 3], [0, 0])


def test_a_transform_is_applied_to_each_molecule(tmp_path: Path) -> None:
    dataset = mutag(
        molecules(tmp_path), transform=lambda data: data.update({"kinds": data.node_type.tolist()})
    )
    assert [molecule.kinds for molecule in dataset] == [[0, 1, 2], [0, 3]]


@pytest.mark.parametrize("place", ["", "raw", "MUTAG", "MUTAG/raw"])
def test_folders_given_are_found_and_not_written_to(tmp_path: Path, place: str, cache: Path) -> None:
    folder = molecules(tmp_path / "given" / place)
    before = sorted(path for path in (tmp_path / "given").rglob("*"))
    folder.chmod(0o555)
    assert len(mutag(tmp_path / "given")) == 2
    folder.chmod(0o755)
    assert sorted(path for path in (tmp_path / "given").rglob("*")) == before
    assert len(list((cache / "processed" / "MUTAG").glob("*/MUTAG/processed/data.pt"))) == 1


def test_the_environment_names_a_folder_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    molecules(tmp_path / "MUTAG" / "raw")
    monkeypatch.setenv("GRAPHREC_DATA", str(tmp_path))
    assert len(mutag()) == 2


def test_changed_files_are_read_again(tmp_path: Path) -> None:
    assert mutag(molecules(tmp_path))[1].y.tolist() == [0]
    assert mutag(molecules(tmp_path, graph_labels="-1\n1\n"))[1].y.tolist() == [1]


def test_files_that_are_missing_or_malformed_are_named(tmp_path: Path) -> None:
    molecules(tmp_path, edge_labels="1\n1\n2\nx\n0\n0\n")
    with pytest.raises(
        ValueError, match=rf"PyG cannot read the files of MUTAG \(ValueError: .* replace those in {tmp_path}"
    ):
        mutag(tmp_path)
    (tmp_path / "MUTAG_edge_labels.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"MUTAG_edge_labels\.txt in .*, which holds: MUTAG_A\.txt, .*Place"
    ):
        mutag(tmp_path)
    pytest.importorskip("scipy")
    with pytest.raises(FileNotFoundError, match=r"ind\.cora\.x in .*, which holds: MUTAG_A\.txt"):
        cora(tmp_path)


def test_without_files_pyg_downloads_them(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TUDataset, "url", str(tmp_path))
    with pytest.raises(
        ConnectionError, match=r"PyG could not download MUTAG .*name their folder with root=\.\.\."
    ):
        mutag()
    molecules(tmp_path / "content" / "MUTAG")
    shutil.make_archive(str(tmp_path / "MUTAG"), "zip", tmp_path / "content")
    assert len(mutag()) == 2
    (tmp_path / "MUTAG.zip").unlink()
    assert len(mutag()) == 2
    (cache / "MUTAG" / "raw" / "MUTAG_edge_labels.txt").unlink()
    with pytest.raises(ValueError, match=r"raw lacks MUTAG_edge_labels\.txt: delete .*MUTAG to have them"):
        mutag()


def test_cora_is_not_downloaded_where_there_is_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy")
    monkeypatch.setattr(Planetoid, "url", str(tmp_path))
    with pytest.raises(ConnectionError, match=r"PyG could not download Cora"):
        cora()


def test_cora_needs_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"install scipy"):
        cora()


def test_pickles_that_are_none_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    for part in ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index"):
        (tmp_path / f"ind.cora.{part}").write_bytes(pickle.dumps([1])[:-1])
    with pytest.raises(ValueError, match=r"PyG cannot read the files of Cora \("):
        cora(tmp_path)


def test_the_published_molecules_are_read_in_full(real_data: Callable[[str], Path]) -> None:
    dataset = mutag(real_data("MUTAG/raw/MUTAG_A.txt"))
    assert len(dataset) == 188
    assert dataset.y.bincount().tolist() == [63, 125]
    assert dataset.node_type.bincount().tolist() == [2395, 345, 593, 12, 1, 23, 2]
    assert dataset.edge_type.bincount().tolist() == [4708, 2008, 724, 2]
    for molecule in dataset:
        structure = gr.from_pyg(molecule)
        assert structure.kind is not None
        assert structure.relation is not None
        assert torch.equal(structure.kind, molecule.x.argmax(1))
        assert torch.equal(structure.relation, molecule.edge_attr.argmax(1))
    for train, test in stratified_folds(dataset.y):
        assert len(train) + len(test) == 188
        assert dataset[test].y.sum().item() in (12, 13)


def test_the_published_papers_are_read_in_full(real_data: Callable[[str], Path]) -> None:
    pytest.importorskip("scipy")
    (papers,) = cora(real_data("Cora/raw/ind.cora.x"))
    assert papers.x.shape == (2708, 1433)
    assert papers.edge_index.shape == (2, 10556)
    assert papers.y.bincount().tolist() == [351, 217, 418, 818, 426, 298, 180]
    masks = (papers.train_mask, papers.val_mask, papers.test_mask)
    assert [mask.sum().item() for mask in masks] == [140, 500, 1000]
    assert not (masks[0] & masks[1] | masks[1] & masks[2] | masks[0] & masks[2]).any()
    assert papers.y[papers.train_mask].bincount().tolist() == [20] * 7
    assert gr.from_pyg(papers).num_edges == 10556
