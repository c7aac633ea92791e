"""Architectures of ENAS, by small files and, where it is, by the published one."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.loader import DataLoader

import graphrec as gr
from graphrec.datasets import ENAS, nas


def file_of(folder: Path, *lines: str) -> Path:
    """A folder with a file of architectures."""
    folder.mkdir(exist_ok=True)
    (folder / "final_structures6.txt").write_text("".join(line + "\n" for line in lines))
    return folder


def drawn(count: int, layers: int = 4) -> list[str]:
    draw = random.Random(1)
    return [
        f"{[[draw.randrange(6), *(draw.randrange(2) for _ in range(i))] for i in range(layers)]}, 0.{7000 + number}"
        for number in range(count)
    ]


def write_line(sample: Data) -> str:
    """The line that a sample was read from."""
    layers: list[list[int]] = [
        [kind - 2, *([0] * i)] for i, kind in enumerate(sample.node_type[1:-1].tolist())
    ]
    for source, target in sample.edge_index.t().tolist():
        if target <= len(layers) and source < target - 1:
            layers[target - 1][1 + source] = 1
    return f"{layers}, {sample.y.item():.4f}"


def test_a_tiny_architecture_by_hand(tmp_path: Path) -> None:
    file_of(tmp_path, "[[3], [0, 1]], 0.5", "[[1], [4, 0], [5, 0, 1], [0, 1, 1, 0]], 0.7302")
    dataset = ENAS(tmp_path, burn_in=0)
    assert dataset.kinds == ["input", "output", "conv3", "sep3", "conv5", "sep5", "avg3", "max3"]
    assert (dataset.vocabulary, dataset.classes, dataset.num_classes) == ([], [], 0)
    by_size = {sample.num_nodes: sample for sample in (dataset[0], ENAS(tmp_path, "test", burn_in=0)[0])}
    assert by_size[4].edge_index.tolist() == [[0, 1, 0, 2], [1, 2, 2, 3]]
    sample = by_size[6]
    assert sample.node_type.tolist() == [0, 3, 6, 7, 2, 1]
    # Bit j of layer i is a skip connection from vertex j, of which 0 is the input, into vertex i + 1.
    assert sample.edge_index.tolist() == [[0, 1, 2, 1, 3, 0, 1, 4], [1, 2, 3, 3, 4, 4, 4, 5]]
    assert sample.slot.tolist() == [0, 0, 0, 1, 0, 1, 2, 0]
    assert sample.level.tolist() == [0, 1, 2, 3, 4, 5]
    assert sample.level_reversed.tolist() == [5, 4, 3, 2, 1, 0]
    assert sample.y.tolist() == pytest.approx([0.7302])


def test_the_split_is_that_of_a_shuffle_with_seed_0(tmp_path: Path) -> None:
    lines = drawn(30)
    file_of(tmp_path, *lines)
    expected = lines[7:]
    random.Random(0).shuffle(expected)
    train, test = ENAS(tmp_path, burn_in=7), ENAS(tmp_path, "test", burn_in=7)
    assert [write_line(sample) for sample in train] == expected[:20]
    assert [write_line(sample) for sample in test] == expected[20:]


def test_levels_and_slots_are_those_of_each_graph(
    tmp_path: Path, check_levels: Callable[[InMemoryDataset], None]
) -> None:
    check_levels(ENAS(file_of(tmp_path, *drawn(10), *drawn(10, layers=6)), burn_in=0))


def test_a_batch_runs_as_its_members_do(tmp_path: Path) -> None:
    dataset = ENAS(file_of(tmp_path, *drawn(5), *drawn(5, layers=1)), burn_in=0)
    (batch,) = DataLoader(dataset, batch_size=len(dataset))
    structure = gr.from_pyg(batch)
    assert structure.kind is not None
    assert structure.num_graphs == len(dataset) == 9
    cell = gr.ChildSumTreeLSTMCell(8, 5)
    features = torch.eye(8)
    together = gr.run(cell, gr.schedule(structure), features[batch.node_type]).h
    alone = [gr.run(cell, gr.schedule(gr.from_pyg(one)), features[one.node_type]).h for one in dataset]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path, cache: Path) -> None:
    def accuracies() -> list[float]:
        return [
            round(one.y.item(), 4) for split in ("train", "test") for one in ENAS(tmp_path, split, burn_in=0)
        ]

    file_of(tmp_path, "[[0]], 0.25", "[[0]], 0.25")
    assert accuracies() == [0.25, 0.25]
    assert len(list((cache / "processed" / "ENAS").glob("*/*.pt"))) == 2
    file_of(tmp_path, "[[0]], 0.75", "[[0]], 0.75")
    assert accuracies() == [0.75, 0.75]
    assert [path.name for path in tmp_path.iterdir()] == ["final_structures6.txt"], "nothing is written there"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[[1], [4, 0]]", r"expected layers and accuracy such as .*, got '\[\[1\], \[4, 0\]\]'"),
        ("[[1], [4, 0], 0.7", r"expected layers and accuracy"),
        ("[[1], [4, 0]], 0.7, 0.8", r"expected layers and accuracy"),
        ("[" * 100_000, r"expected layers and accuracy such as .*, got '\[{59}…"),
        ("word", r"expected layers and accuracy"),
        ("[], 0.7", r"expected a list of layers, got \[\]"),
        ("3, 0.7", r"expected a list of layers, got 3"),
        ("[[1], [4]], 0.7", r"expected in layer 1 an operation from 0 to 5 and 1 bits, got \[4\]"),
        ("[[1, 0], [4, 0]], 0.7", r"expected in layer 0 .* and 0 bits, got \[1, 0\]"),
        ("[[1], [6, 0]], 0.7", r"expected in layer 1 an operation from 0 to 5 .*, got \[6, 0\]"),
        ("[[-1]], 0.7", r"got \[-1\]"),
        ("[[1], [4, 2]], 0.7", r"got \[4, 2\]"),
        ("[[1], [4, true]], 0.7", r"got \[4, True\]"),
        ("[[1.0]], 0.7", r"got \[1\.0\]"),
        ("[[]], 0.7", r"expected in layer 0 .*, got \[\]"),
        ("[1], 0.7", r"expected in layer 0 .*, got 1"),
        ("[[1]], NaN", r"expected an accuracy from 0 to 1, got nan"),
        ("[[1]], 73.02", r"expected an accuracy from 0 to 1, got 73\.02"),
        ("[[1]], true", r"expected an accuracy from 0 to 1, got True"),
        ("[[1]], null", r"expected an accuracy from 0 to 1, got None"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    file_of(tmp_path, "[[1]], 0.7", line, "[[1]], 0.7")
    with pytest.raises(ValueError, match=rf"final_structures6\.txt, line 2: .*{message}"):
        ENAS(tmp_path, burn_in=0)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"final_structures6\.txt in .*, which holds: nothing\. Place"
    ):
        ENAS(tmp_path)
    file_of(tmp_path, *drawn(10))
    with pytest.raises(
        ValueError, match=r"at least 2 architectures after the first 1000, got 0: lower burn_in"
    ):
        ENAS(tmp_path)
    with pytest.raises(ValueError, match=r"at least 2 architectures after the first 9, got 1"):
        ENAS(tmp_path, burn_in=9)
    with pytest.raises(ValueError, match=r"split must be one of train, test, got 'dev'"):
        ENAS(tmp_path, "dev")
    for burn_in in (-1, 0.5):
        with pytest.raises(ValueError, match=r"burn_in must be a whole number, 0 or more, got"):
            ENAS(tmp_path, burn_in=burn_in)  # pyright: ignore[reportArgumentType]


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    file_of(tmp_path, *drawn(10))
    other = (tmp_path / "final_structures6.txt").rename(tmp_path / "mine")
    expected = [write_line(sample) for sample in ENAS(file=other, burn_in=0)]
    assert len(expected) == 9
    for given in (ENAS(tmp_path, burn_in=0), ENAS(tmp_path, burn_in=0, file="mine")):
        assert [write_line(sample) for sample in given] == expected
    with pytest.raises(
        FileNotFoundError, match=r"the file yours in .*, which holds: mine\. Correct file=\.\.\."
    ):
        ENAS(tmp_path, file="yours")
    (tmp_path / "README").touch()
    with pytest.raises(
        FileNotFoundError, match=r"holds: README, mine\. .* name another with file=\.\.\., or give"
    ):
        ENAS(tmp_path)
    file_of(tmp_path, *drawn(20))
    assert len(ENAS(tmp_path, burn_in=0)) == 18, "the published name comes first"


def test_without_a_file_it_is_fetched_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, serve: Callable[[Path], str]
) -> None:
    source = file_of(tmp_path, *drawn(10)) / "final_structures6.txt"
    monkeypatch.setattr(nas, "URL", f"{serve(tmp_path)}/{source.name}")
    monkeypatch.setattr(nas, "SHA256", hashlib.sha256(source.read_bytes()).hexdigest())
    assert len(ENAS(burn_in=0)) == 9
    source.unlink()
    assert len(ENAS(split="test", burn_in=0)) == 1
    (cache / "nas" / "final_structures6.txt").unlink()
    with pytest.raises(
        ConnectionError, match=r"could not download final_.* from http:.*name its folder with root=\.\.\."
    ):
        ENAS(burn_in=0)


@pytest.mark.slow
def test_the_published_architectures_are_read_in_full(real_data: Callable[[str], Path]) -> None:
    root = real_data("nas/final_structures6.txt")
    train, test = ENAS(root), ENAS(root, "test")
    assert (len(train), len(test)) == (17118, 1902)
    path = root / "nas" / "final_structures6.txt"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == nas.SHA256
    (batch,) = DataLoader(train, batch_size=len(train))
    assert batch.ptr.diff().unique().tolist() == [8]
    assert batch.level.tolist() == list(range(8)) * len(train)
    assert train.y.double().mean().item() == pytest.approx(0.7363161, abs=1e-6)
    assert train.y.double().std(correction=0).item() == pytest.approx(0.0061347, abs=1e-6)
    # The first sample of each split, as D-VAE's shuffle has them.
    first = ["[[0], [0, 0], [1, 0, 0], [0, 0, 0, 0], [4, 0, 0, 0, 0], [3, 0, 0, 0, 0, 1]], 0.7370"]
    first += ["[[5], [1, 0], [5, 0, 0], [5, 0, 0, 0], [5, 1, 0, 1, 0], [5, 1, 0, 0, 0, 1]], 0.7402"]
    assert [write_line(train[0]), write_line(test[0])] == first
    lines = [write_line(sample) for sample in (*train, *test)]
    expected = [json.loads(f"[{line}]") for line in path.read_text().splitlines()[1000:]]
    assert sorted(lines) == sorted(f"{layers}, {accuracy:.4f}" for layers, accuracy in expected)
    assert len(set(lines)) == len(lines) - 5
    assert len({*lines[: len(train)]} & {*lines[len(train) :]}) == 1
