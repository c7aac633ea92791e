"""Data sets of PyG, by small files and, where they are, by the published ones."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import scipy.sparse
import torch
from torch_geometric.datasets import Planetoid, TUDataset
from torch_geometric.loader import DataLoader

import graphrec as gr
from graphrec.datasets import cora, mutag, planetoid, stratified_folds, tudataset

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
        ValueError,
        match=rf"files of MUTAG \(ValueError: MUTAG_edge_labels\.txt: .*row 3.* Mend those in {tmp_path}",
    ):
        mutag(tmp_path)
    (tmp_path / "MUTAG_edge_labels.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"MUTAG_edge_labels\.txt in .*, which holds: MUTAG_A\.txt, .*Place"
    ):
        mutag(tmp_path)
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
    monkeypatch.setattr(Planetoid, "url", str(tmp_path))
    with pytest.raises(ConnectionError, match=r"PyG could not download Cora"):
        cora()


def test_pickles_that_are_none_are_refused(tmp_path: Path) -> None:
    for part in ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index"):
        (tmp_path / f"ind.cora.{part}").write_bytes(pickle.dumps([1])[:-1])
    with pytest.raises(ValueError, match=r"cannot read the files of Cora \("):
        cora(tmp_path)


# Parts of a data set of four graphs of 3, 2, 1 and 4 nodes, in the forms that published ones have.
FOUR = {
    "A": "1, 2\n2, 1\n2, 3\n3, 2\n4, 5\n5, 4\n7, 8\n8, 7\n9, 10\n10, 9\n",
    "graph_indicator": "1\n1\n1\n2\n2\n3\n4\n4\n4\n4\n",
    "graph_labels": "3\n1\n6\n3\n",
}
LABELS = {"node_labels": "2\n5\n3\n2\n2\n4\n3\n3\n3\n5\n", "edge_labels": "1\n1\n4\n4\n2\n2\n1\n1\n2\n2\n"}
ATTRIBUTES = {
    "node_attributes": "".join(f"{i / 4}, {-i}\n" for i in range(10)),
    "edge_attributes": "".join(f"{i * 1.5}\n" for i in range(10)),
}
PAIRS = {"node_labels": "".join(f"{i % 3}, {5 + i % 2}\n" for i in range(10))}


def tu(folder: Path, name: str, *parts: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        for key, text in part.items():
            (folder / f"{name}_{key}.txt").write_text(text)
    return folder


@pytest.mark.parametrize(
    "parts",
    [(), (LABELS,), (ATTRIBUTES,), (LABELS, ATTRIBUTES), (PAIRS,), (ATTRIBUTES, PAIRS)],
    ids=["bare", "labels", "attributes", "both", "pairs of labels", "attributes and pairs"],
)
def test_graphs_of_any_folder_are_those_of_pyg(tmp_path: Path, parts: tuple[dict[str, str], ...]) -> None:
    raw = tu(tmp_path / "pyg" / "FOUR" / "raw", "FOUR", FOUR, *parts)
    theirs = TUDataset(str(tmp_path / "pyg"), "FOUR", use_node_attr=True, use_edge_attr=True)
    ours = tudataset(raw)
    assert len(ours) == len(theirs) == 4
    assert ours.num_classes == 3
    for one, other in zip(ours, theirs, strict=True):
        assert one.num_nodes == other.num_nodes
        for key, value in other.to_dict().items():
            assert torch.equal(torch.as_tensor(one[key]), torch.as_tensor(value)), key
        labels = next((part["node_labels"] for part in parts if "node_labels" in part), "")
        assert ("node_type" in one) == (labels == LABELS["node_labels"])
        assert ("edge_type" in one) == (LABELS in parts)
    if LABELS in parts:
        assert [graph.node_type.tolist() for graph in ours] == [[0, 3, 1], [0, 0], [2], [1, 1, 1, 3]]
        assert ours[0].edge_type.tolist() == [0, 0, 3, 3]
    (batch,) = DataLoader(ours, batch_size=4)
    assert gr.from_pyg(batch).num_nodes == 10


def test_the_last_graphs_and_lines_are_read_too(tmp_path: Path) -> None:
    # Two graphs without edges at the end, no line feed behind the last line, and a byte-order mark.
    indicator = FOUR["graph_indicator"] + "5\n6\n6"
    labels = FOUR["graph_labels"] + "6\n1"
    tu(
        tmp_path,
        "SIX",
        {"A": "\ufeff" + FOUR["A"].rstrip(), "graph_indicator": indicator, "graph_labels": labels},
    )
    dataset = tudataset(tmp_path)
    assert [graph.num_nodes for graph in dataset] == [3, 2, 1, 4, 1, 2]
    assert [graph.num_edges for graph in dataset] == [4, 2, 0, 4, 0, 0]
    assert dataset.y.tolist() == [1, 0, 2, 1, 2, 0]


def test_one_graph_and_no_edges_are_data_sets_too(tmp_path: Path) -> None:
    (graph,) = tudataset(
        tu(tmp_path / "one", "ONE", {"A": "1, 2\n", "graph_indicator": "1\n1\n", "graph_labels": "7\n"})
    )
    assert (graph.edge_index.tolist(), graph.y.tolist()) == ([[0], [1]], [0])
    bare = {
        "A": "",
        "graph_indicator": "1\n2\n",
        "graph_labels": "0\n1\n",
        "node_labels": "0\n1\n",
        "edge_labels": "",
    }
    assert [graph.num_edges for graph in tudataset(tu(tmp_path / "bare", "BARE", bare))] == [0, 0]


def test_nodes_need_not_be_listed_graph_by_graph(tmp_path: Path) -> None:
    mixed = {"A": "1, 3\n3, 1\n2, 4\n", "graph_indicator": "1\n2\n1\n2\n", "graph_labels": "0\n1\n"}
    first, second = tudataset(tu(tmp_path, "MIXED", mixed, {"node_labels": "0\n1\n2\n3\n"}))
    assert (first.edge_index.tolist(), first.node_type.tolist()) == ([[0, 1], [1, 0]], [0, 2])
    assert (second.edge_index.tolist(), second.node_type.tolist()) == ([[0], [1]], [1, 3])


def test_an_edge_that_is_listed_twice_is_one(tmp_path: Path) -> None:
    twice = {"A": "1, 2\n2, 1\n1, 2\n2, 2\n", "graph_indicator": "1\n1\n", "graph_labels": "0\n"}
    (graph,) = tudataset(tu(tmp_path, "TWICE", twice, {"edge_labels": "0\n1\n0\n1\n"}))
    assert (graph.edge_index.tolist(), graph.edge_attr.tolist()) == ([[0, 1], [1, 0]], [[1, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"TWICE_A\.txt lists an edge twice, with different labels"):
        tudataset(tu(tmp_path, "TWICE", {"edge_labels": "0\n1\n1\n1\n"}))


@pytest.mark.parametrize(
    ("part", "text", "message"),
    [
        ("A", "1, 11\n", r"FOUR_A\.txt names a node that is none of the 10"),
        ("A", "0, 1\n", r"FOUR_A\.txt names a node that is none of the 10"),
        ("A", "1, 2\n1, 4\n", r"FOUR_A\.txt, line 2: an edge between two graphs"),
        ("graph_labels", "1\n2\n3\n", r"names graphs from 1 to 4, but there are labels of 3"),
        ("node_labels", "1\n", r"FOUR_node_labels\.txt has 1 lines, but there are 10 nodes"),
        ("edge_attributes", "1\n", r"FOUR_edge_attributes\.txt has 1 lines, but there are 10 edges"),
    ],
)
def test_graphs_that_cannot_be_are_refused(tmp_path: Path, part: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"cannot read the files of FOUR \(ValueError: .*{message}"):
        tudataset(tu(tmp_path, "FOUR", FOUR, {part: text}))


@pytest.mark.parametrize("place", ["", "raw", "FOUR", "FOUR/raw"])
def test_a_data_set_is_found_by_its_files(tmp_path: Path, place: str) -> None:
    tu(tmp_path / place, "FOUR", FOUR)
    assert tudataset(tmp_path).name == tudataset(tmp_path, "FOUR").name == "FOUR"
    with pytest.raises(
        FileNotFoundError, match=r"form of TUDataset, OTHER_graph_indicator\.txt and others, in"
    ):
        tudataset(tmp_path, "OTHER")


def test_of_several_data_sets_one_is_named(tmp_path: Path) -> None:
    tu(tmp_path / "a" / "raw", "FOUR", FOUR)
    tu(tmp_path / "b", "OTHER", FOUR)
    with pytest.raises(
        ValueError, match=r"holds several data sets, FOUR, OTHER: name the folder of one with root="
    ):
        tudataset(tmp_path)
    assert tudataset(tmp_path, "OTHER").name == tudataset(tmp_path / "b").name == "OTHER"
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*/c: correct root=\.\.\."):
        tudataset(tmp_path / "c")


def papers(folder: Path, name: str, tested: list[int], known: int, train: int = 6) -> Path:
    """Files such as Planetoid's: `known` papers, and those tested, of three subjects and with five words."""
    draw = torch.Generator().manual_seed(0)
    count = max(tested) + 1
    x = torch.randint(2, (count, 5), generator=draw).float().numpy()
    y = torch.eye(3)[torch.randint(3, (count,), generator=draw)].numpy()
    graph = {i: [] for i in range(count)}
    for i in [*range(known), *tested]:
        graph[i] += [(i + 1) % known, i, (i + 1) % known]  # twice, and a loop
    parts = {"x": scipy.sparse.csr_matrix(x[:train]), "allx": scipy.sparse.csr_matrix(x[:known])}
    parts |= {"tx": scipy.sparse.csr_matrix(x[tested]), "y": y[:train], "ally": y[:known], "ty": y[tested]}
    folder.mkdir(parents=True, exist_ok=True)
    for part, value in (parts | {"graph": graph}).items():
        (folder / f"ind.{name}.{part}").write_bytes(pickle.dumps(value))
    (folder / f"ind.{name}.test.index").write_text("".join(f"{i}\n" for i in tested))
    return folder


@pytest.mark.parametrize(
    ("name", "tested"),
    [("PubMed", [512, 510, 513, 511]), ("CiteSeer", [514, 510, 513, 517])],
    ids=["without gaps", "with gaps"],
)
def test_papers_of_any_folder_are_those_of_pyg(tmp_path: Path, name: str, tested: list[int]) -> None:
    raw = papers(tmp_path / "pyg" / name / "raw", name.lower(), tested, 510)
    (theirs,) = Planetoid(str(tmp_path / "pyg"), name)
    dataset = planetoid(raw)
    assert dataset.name == name
    for key, value in theirs.to_dict().items():
        assert torch.equal(dataset[0][key], value), key
    assert [dataset[0][f"{part}_mask"].sum().item() for part in ("train", "val", "test")] == [6, 500, 4]
    # The same under a name of one's own, where PyG reads no gaps.
    (own,) = planetoid(papers(tmp_path / "own", "mine", tested, 510))
    assert all(torch.equal(own[key], value) for key, value in theirs.to_dict().items())


def test_where_papers_are_few_fewer_validate(tmp_path: Path) -> None:
    (data,) = planetoid(papers(tmp_path, "few", [21, 23], 20))
    masks = [data[f"{part}_mask"].nonzero().flatten().tolist() for part in ("train", "val", "test")]
    assert masks == [list(range(6)), list(range(6, 20)), [21, 23]]
    assert data.x[[20, 22]].abs().sum() == 0
    assert data.num_nodes == 24


def test_citations_of_no_paper_are_refused(tmp_path: Path) -> None:
    papers(tmp_path, "few", [20], 20)
    (tmp_path / "ind.few.graph").write_bytes(pickle.dumps({0: [21]}))
    with pytest.raises(ValueError, match=r"ind\.few\.graph names a paper that is none of the 21"):
        planetoid(tmp_path)


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
    (papers,) = cora(real_data("Cora/raw/ind.cora.x"))
    assert papers.x.shape == (2708, 1433)
    assert papers.edge_index.shape == (2, 10556)
    assert papers.y.bincount().tolist() == [351, 217, 418, 818, 426, 298, 180]
    masks = (papers.train_mask, papers.val_mask, papers.test_mask)
    assert [mask.sum().item() for mask in masks] == [140, 500, 1000]
    assert not (masks[0] & masks[1] | masks[1] & masks[2] | masks[0] & masks[2]).any()
    assert papers.y[papers.train_mask].bincount().tolist() == [20] * 7
    assert gr.from_pyg(papers).num_edges == 10556
