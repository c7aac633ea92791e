"""The Stanford Sentiment Treebank, by its drawn look-alike and, where it is, by itself."""

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.loader import DataLoader

import graphrec as gr
from graphrec.datasets import SST, sst


def write_brackets(sample: Data, vocabulary: list[str]) -> str:
    """The line that a sample was read from."""
    children: list[list[int]] = [[] for _ in range(sample.num_nodes or 0)]
    for child, parent in sample.edge_index.t().tolist():
        children[parent].append(child)
    texts: list[str] = []
    for node, (token, label) in enumerate(zip(sample.token.tolist(), sample.y.tolist(), strict=True)):
        inside = " ".join(texts[child] for child in children[node]) or vocabulary[token]
        texts.append(f"({label} {inside})")
    return texts[-1]


def trees_of(folder: Path, **files: str) -> Path:
    """A folder with tree files."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_samples_read_back_as_the_lines_of_the_file(samples: Path) -> None:
    dataset = SST(samples)
    lines = (samples / "sst" / "train.txt").read_text().splitlines()
    assert [write_brackets(sample, dataset.vocabulary) for sample in dataset] == lines


def test_levels_and_slots_are_those_of_each_tree(
    samples: Path, check_levels: Callable[[InMemoryDataset], None]
) -> None:
    check_levels(SST(samples, "dev"))


def test_a_tiny_tree_by_hand(tmp_path: Path) -> None:
    folder = trees_of(tmp_path, train="(3 (2 It) (4 (2 's) (4 good)))\n(2 It)\n", dev="(1 (2 It) (0 stinks))")
    dataset = SST(folder)
    assert dataset.vocabulary == ["", "<unknown>", "It", "'s", "good"]
    assert dataset.classes == ["very negative", "negative", "neutral", "positive", "very positive"]
    tree, word = dataset
    assert tree.token.tolist() == [2, 3, 4, 0, 0]
    assert tree.y.tolist() == [2, 2, 4, 4, 3]
    assert tree.edge_index.tolist() == [[0, 1, 2, 3], [4, 3, 3, 4]]
    assert tree.slot.tolist() == [0, 0, 1, 1]
    assert (word.token.tolist(), word.y.tolist(), word.num_nodes) == ([2], [2], 1)


def test_words_outside_the_training_trees_are_unknown(tmp_path: Path) -> None:
    folder = trees_of(tmp_path, train="(3 (2 It) (4 rocks))\n(2 It)", dev="(1 (2 It) (0 stinks))")
    assert SST(folder, "dev")[0].token.tolist() == [2, 1, 0]
    rare_left_out = SST(folder, min_count=2)
    assert rare_left_out.vocabulary == ["", "<unknown>", "It"]
    assert rare_left_out[0].token.tolist() == [2, 1, 0]


def test_a_no_break_space_is_part_of_a_word(tmp_path: Path) -> None:
    folder = trees_of(tmp_path, train="(2 (2 8\u00a01\\/2) (2 weeks))")
    assert SST(folder).vocabulary[2:] == ["8\u00a01/2", "weeks"]


def test_changed_files_are_read_again(tmp_path: Path) -> None:
    assert SST(trees_of(tmp_path, train="(3 a)"))[0].y.tolist() == [3]
    assert SST(trees_of(tmp_path, train="(4 a)"))[0].y.tolist() == [4]


def test_folders_given_are_not_written_to(tmp_path: Path) -> None:
    folder = trees_of(tmp_path / "sst", train="(3 a)")
    SST(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["train.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["sst"]


def test_a_model_reads_a_batch(samples: Path) -> None:
    dataset = SST(samples)
    batch = next(iter(DataLoader(dataset, batch_size=16)))
    structure = gr.from_pyg(batch)
    assert structure.num_graphs == 16
    together = gr.schedule(structure)
    alone = [gr.schedule(gr.from_pyg(sample)) for sample in dataset[:16]]
    assert len(list(together.steps)) == max(len(list(plan.steps)) for plan in alone)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("(3 (2 a) (5 b))", r"expected a label from 0 to 4 at position 10, got '5'"),
        ("(3 (nan a) (2 b))", r"at position 4, got 'nan'"),
        ("(3 (2.0 a) (2 b))", r"at position 4, got '2\.0'"),
        ("(3 (2 a) (-1 b))", r"at position 10, got '-1'"),
        ("((2 a) (2 b))", r"at position 1, got ''"),
        ("(3 (2 a) b)", r"got a word without its own bracket"),
        ("word", r"got a word without its own bracket"),
        ("(3 (2 a) (2 b) (2 c))", r"expected two parts in every bracket"),
        ("(3 (2 (2 a) (2 b)))", r"expected two parts in every bracket"),
        ("(3 (2 a) (2 b)", r"malformed brackets at position 0: '\(' is never closed"),
        ("(3 (2 a) (2 b)))", r"malformed brackets at position 15"),
        ("(3 (2 a) (2))", r"malformed brackets at position 9"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    folder = trees_of(tmp_path, train=f"(2 fine)\n{line}\n")
    with pytest.raises(ValueError, match=rf"train\.txt, line 2: .*{message}"):
        SST(folder)


def test_a_split_whose_file_is_missing_is_refused(tmp_path: Path) -> None:
    folder = trees_of(tmp_path, train="(2 a)", dev="(2 a)")
    with pytest.raises(
        FileNotFoundError, match=r"test\.txt in .*, which holds: dev\.txt, train\.txt\. Place"
    ):
        SST(folder, "test")
    (folder / "train.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"train\.txt .* holds: dev\.txt\. Every split takes its vocabulary"
    ):
        SST(folder, "dev")
    with pytest.raises(ValueError, match=r"split must be one of train, dev, test, got 'val'"):
        SST(folder, "val")


@pytest.fixture
def archive(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[[Path], str]
) -> Path:
    """An archive such as the official one, at the address that SST downloads."""
    path = tmp_path / "trees.zip"
    with zipfile.ZipFile(path, "w") as content:
        for split in ("train", "dev", "test"):
            content.write(samples / "sst" / f"{split}.txt", f"trees/{split}.txt")
    monkeypatch.setattr(sst, "URL", f"{serve(tmp_path)}/trees.zip")
    monkeypatch.setattr(sst, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_without_files_the_archive_is_fetched_once(archive: Path, samples: Path, cache: Path) -> None:
    assert len(SST()) == 120
    assert sorted(path.name for path in (cache / "sst").iterdir()) == ["dev.txt", "test.txt", "train.txt"]
    archive.unlink()
    assert len(SST(split="test")) == 40
    assert (cache / "sst" / "dev.txt").read_bytes() == (samples / "sst" / "dev.txt").read_bytes()


def test_without_files_and_network_the_error_says_what_to_do(archive: Path, cache: Path) -> None:
    archive.unlink()
    with pytest.raises(
        ConnectionError, match=r"could not download trees\.zip from http:.*name its folder with root=\.\.\."
    ):
        SST()
    shutil.rmtree(cache)


@pytest.mark.slow
def test_the_real_treebank_is_read_in_full(real_data: Callable[[str], Path]) -> None:
    root = real_data("sst/train.txt")
    train = SST(root)
    assert len(train) == 8544
    assert len(train.vocabulary) - 2 == 18280
    (batch,) = DataLoader(train, batch_size=len(train))
    sizes = batch.ptr[1:] - batch.ptr[:-1]
    assert int(sizes.sum()) == 318582
    assert bool((sizes % 2 == 1).all()), "binary trees have an odd number of nodes"
    assert batch.y[batch.ptr[1:] - 1].bincount().tolist() == [1092, 2218, 1624, 2322, 1288]
    real_data("sst/dev.txt")
    dev = SST(root, "dev")
    assert len(dev) == 1101
    assert dev.vocabulary == train.vocabulary


@pytest.mark.parametrize("min_count", [0, -5, float("nan"), 1.5])
def test_a_count_that_is_none_is_refused(samples: Path, min_count: float) -> None:
    with pytest.raises(ValueError, match=r"min_count must be a whole number, 1 or more, got"):
        SST(samples, min_count=min_count)  # pyright: ignore[reportArgumentType]


def test_a_word_of_the_treebank_may_look_like_the_unknown_one(tmp_path: Path) -> None:
    dataset = SST(trees_of(tmp_path, train="(3 (2 <unknown>) (2 b))\n"))
    assert dataset.vocabulary == ["", "<unknown>", "b"]
    assert dataset[0].token.tolist() == [1, 2, 0]


def test_a_folder_in_the_environment_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAPHREC_DATA", str(tmp_path / "typo"))
    with pytest.raises(FileNotFoundError, match=r"GRAPHREC_DATA names the folder .*typo, which is not there"):
        SST()
