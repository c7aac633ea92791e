"""Draws the small data files in the top-level folder `datasets`: examples and tests then need no download.

    PYTHONPATH=examples python -m data.samples [folder]

rewrites them, the same bytes each time.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from .listops import ListOpsGenerator
from .propositions import draw_pairs

SEED = 0
LISTOPS = ListOpsGenerator(200, SEED, operators=("MIN", "MAX", "FIRST", "LAST"), max_depth=6, max_args=3)
LOGIC_PAIRS = {0: (12, 4), 1: (40, 10), 2: (40, 10), 3: (40, 10), 4: (40, 10)}  # size: train, test
SST_SENTENCES = {"train": 120, "dev": 40, "test": 40}

_NOUNS = ("film", "story", "cast", "music", "ending", "dialogue")
_ADJECTIVES = {
    "dreadful": 0, "unbearable": 0, "dull": 1, "clumsy": 1, "long": 2, "quiet": 2,
    "pleasant": 3, "clever": 3, "splendid": 4, "moving": 4,
}  # fmt: skip

Phrase = tuple[int, str]  # a sentiment from 0 to 4, and the words: brackets, or the one word


def draw(folder: Path) -> list[Path]:
    """Write all files below a folder; returns their paths."""
    texts = {"listops/sample.tsv": LISTOPS.lines()}
    texts |= _logic(random.Random(SEED)) | _sst(random.Random(SEED))
    for name, lines in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return [folder / name for name in texts]


def _logic(rng: random.Random) -> dict[str, list[str]]:
    texts = {}
    for size, (train, test) in LOGIC_PAIRS.items():
        lines = ["\t".join(pair) for pair in draw_pairs(train + test, size, rng)]
        texts[f"logic/train{size}"], texts[f"logic/test{size}"] = lines[:train], lines[train:]
    return texts


def _sst(rng: random.Random) -> dict[str, list[str]]:
    drawn: dict[str, None] = {}
    while len(drawn) < sum(SST_SENTENCES.values()):
        sentiment, sentence = _sentence(rng)
        drawn[f"({sentiment} ({sentiment} {sentence}) (2 .))"] = None
    lines = iter(drawn)
    return {f"sst/{split}.txt": [next(lines) for _ in range(count)] for split, count in SST_SENTENCES.items()}


def _sentence(rng: random.Random) -> Phrase:
    clause = _clause(rng)
    if rng.random() < 0.3:
        # What comes after "but" is what the writer thinks.
        second = _clause(rng)
        return _join(_join(clause, (2, "but"), clause[0]), second, second[0])
    return clause


def _clause(rng: random.Random) -> Phrase:
    noun: Phrase = (2, rng.choice(_NOUNS))
    if rng.random() < 0.4:
        adjective = _adjective(rng)
        noun = _join(adjective, noun, adjective[0])
    subject = _join((2, "the"), noun, noun[0])
    opinion = _adjective(rng)
    predicate = _join((2, "is"), opinion, opinion[0])
    both = 2 + (subject[0] - 2) + (predicate[0] - 2)
    return _join(subject, predicate, min(4, max(0, both)))


def _adjective(rng: random.Random) -> Phrase:
    word = rng.choice(list(_ADJECTIVES))
    phrase: Phrase = (_ADJECTIVES[word], word)
    if rng.random() < 0.3:
        stronger = {0: 0, 1: 0, 2: 2, 3: 4, 4: 4}
        phrase = _join((2, "very"), phrase, stronger[phrase[0]])
    if rng.random() < 0.3:
        phrase = _join((2, "not"), phrase, 4 - phrase[0])
    return phrase


def _join(left: Phrase, right: Phrase, sentiment: int) -> Phrase:
    return sentiment, f"({left[0]} {left[1]}) ({right[0]} {right[1]})"


if __name__ == "__main__":
    for written in draw(Path(sys.argv[1] if len(sys.argv) > 1 else "datasets")):
        print(written)
