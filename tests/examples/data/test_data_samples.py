"""The drawn data files: as their cards say, and drawn anew to the byte."""

import re
from hashlib import sha256
from pathlib import Path

import pytest
from data.samples import draw

from graphrec.datasets import SST, ListOps, Logic

FOLDERS = ("listops", "logic", "sst")


def test_drawing_anew_gives_the_same_bytes(samples: Path, tmp_path: Path) -> None:
    drawn = {path.relative_to(tmp_path): path.read_bytes() for path in draw(tmp_path)}
    kept = [path for folder in FOLDERS for path in (samples / folder).iterdir() if path.name != "README.md"]
    assert drawn == {path.relative_to(samples): path.read_bytes() for path in kept}


@pytest.mark.parametrize("folder", FOLDERS)
def test_cards_have_the_checksums_of_all_files(samples: Path, folder: str) -> None:
    card = (samples / folder / "README.md").read_text()
    written = {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", card, re.MULTILINE)}
    files = [path for path in (samples / folder).iterdir() if path.name != "README.md"]
    assert written == {path.name: sha256(path.read_bytes()).hexdigest() for path in files}
    for heading in ("**Source**", "**Licence**", "python -m data.samples"):
        assert heading in card


def test_loaders_read_what_is_drawn(samples: Path) -> None:
    assert [len(SST(samples, split)) for split in ("train", "dev", "test")] == [120, 40, 40]
    assert [len(Logic(samples, split)) for split in ("train", "test")] == [172, 44]
    assert len(ListOps("sample.tsv", samples)) == 200


def test_splits_have_nothing_in_common(samples: Path) -> None:
    sentences = [
        set((samples / "sst" / f"{s}.txt").read_text().splitlines()) for s in ("train", "dev", "test")
    ]
    assert len(set.union(*sentences)) == 200
    for size in range(5):
        pairs = [set((samples / "logic" / f"{s}{size}").read_text().splitlines()) for s in ("train", "test")]
        assert not set.intersection(*pairs)


def test_only_data_lies_in_the_data_folder(samples: Path) -> None:
    assert not list(samples.rglob("*.py"))
