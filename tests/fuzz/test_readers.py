"""The readers on what searches begin with and have found, on cuts and on small changes of it; and their memory."""

import random
import tracemalloc
from pathlib import Path

import pytest

from tests.fuzz.readers import READERS

CORPORA = Path(__file__).parent / "corpora"
FILES = sorted(path.relative_to(CORPORA).as_posix() for path in CORPORA.glob("*/*"))
CHANGED = 20  # times


def test_every_reader_has_a_corpus_and_every_corpus_a_reader():
    assert {Path(file).parent.name for file in FILES} == set(READERS)


@pytest.mark.parametrize("file", FILES)
def test_what_was_found_is_mended(file):
    """In memory that is in proportion to the bytes; the constant is that of the standard library's and torch's own."""
    data, reader = (CORPORA / file).read_bytes(), READERS[Path(file).parent.name]
    reader.check(data)  # what is imported and remembered at the first time
    tracemalloc.start()
    reader.check(data)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 8_000_000 + 10_000 * len(data)


@pytest.mark.parametrize("file", FILES)
def test_cuts_and_changes(file):
    data, reader = (CORPORA / file).read_bytes(), READERS[Path(file).parent.name]
    rng = random.Random(file)
    for _ in range(CHANGED):
        begin, end = sorted(rng.choices(range(len(data) + 1), k=2))
        part = rng.choice([b"", data[:end], bytes([rng.randrange(256)]), data[end : end + 9]])
        reader.check(data[:begin] + part + data[end:])
