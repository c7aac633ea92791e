"""Dates in many forms: right by another reader, the same every time, no day in two splits."""

import datetime
import re
from collections.abc import Callable
from typing import Any

import pytest
from data.dates import CHARACTERS, FIRST, FORMATS, LAST, Dates, write_date
from torch_geometric.data import InMemoryDataset
from torch_geometric.loader import DataLoader

import graphrec as gr

# What `datetime.strptime` calls the fields; those that it does not know are made into others by `plainer`.
DIRECTIVES = {
    "{y}": "%Y", "{yy}": "%y", "{m}": "%m", "{mm}": "%m", "{mon}": "%b", "{month}": "%B", "{roman}": "%m",
    "{d}": "%d", "{dd}": "%d", "{nth}": "%d", "{ordinal}": "%d", "{wd}": "%a", "{weekday}": "%A",
}  # fmt: skip
ROMAN = {"i": 1, "v": 5, "x": 10}
UNITS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16,
    "seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30,
}  # fmt: skip
TENS = {"twenty": 20, "thirty": 30}


def roman(text: str) -> int:
    """A digit before a larger one is taken away."""
    values = [ROMAN[letter] for letter in text]
    return sum(-v if v < max(values[i:]) else v for i, v in enumerate(values))


def plainer(text: str, template: str) -> str:
    """Ordinals and Roman numerals as numbers, in lower case."""
    text = text.lower()
    if "{nth}" in template:
        text = re.sub(r"(\d)(st|nd|rd|th)\b", r"\1", text)
    if "{roman}" in template:
        text = re.sub(r"[ivx]+", lambda found: str(roman(found[0])), text)
    if "{ordinal}" in template:
        ordinal = rf"\b(?:({'|'.join(TENS)})-)?({'|'.join(UNITS)})\b"
        text = re.sub(ordinal, lambda found: str(TENS.get(found[1], 0) + UNITS[found[2]]), text)
    return text


def read(text: str, template: str) -> datetime.date:
    """The day that a text in a known format means, and its weekday checked."""
    directives = template.lower()
    for field, directive in DIRECTIVES.items():
        directives = directives.replace(field, directive)
    day = datetime.datetime.strptime(plainer(text, template), directives).date()
    if "weekday" in template or "wd" in template:
        assert day.strftime("%A" if "weekday" in template else "%a").lower() in text.lower()
    return day


def said(dataset: Dates, symbols: list[int]) -> str:
    return "".join(dataset.classes[symbol] for symbol in symbols)


def test_another_reader_finds_the_same_days() -> None:
    dataset = Dates("train", 1000)
    for sample in dataset:
        assert "".join(dataset.vocabulary[token] for token in sample.token.tolist()) == sample.text
        *iso, end = sample.y.tolist()
        assert end == dataset.end
        assert read(sample.text, dataset.formats[int(sample.format)]).isoformat() == said(dataset, iso)
    assert set(dataset.format.tolist()) == set(range(len(FORMATS)))
    letters = [sample.text for sample in dataset if re.search("[A-Za-z]{3}", sample.text)]
    for is_so in (str.isupper, str.islower):
        assert 0.15 < sum(map(is_so, letters)) / len(letters) < 0.4


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{y}-{mm}-{dd}", "2003-02-01"),
        ("{d}.{m}.{yy}", "1.2.03"),
        ("{m}/{d}/{y}", "2/1/2003"),
        ("{d}.{roman}.{y}", "1.II.2003"),
        ("{wd}, {dd} {mon} {yy}", "Sat, 01 Feb 03"),
        ("{weekday} the {ordinal} of {month}, {y}", "Saturday the first of February, 2003"),
        ("{month} {nth}, {y}", "February 1st, 2003"),
    ],
)
def test_a_day_by_hand(template: str, text: str) -> None:
    assert write_date(datetime.date(2003, 2, 1), template) == text


def test_ordinals_by_hand() -> None:
    days = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 20: "20th"}
    days |= {21: "21st", 22: "22nd", 23: "23rd", 30: "30th", 31: "31st"}
    for day, nth in days.items():
        assert write_date(datetime.date(2001, 1, day), "{nth}") == nth
    assert write_date(datetime.date(2001, 1, 31), "{ordinal}") == "thirty-first"


def test_no_text_means_two_days() -> None:
    meant: dict[str, datetime.date] = {}
    # Years whose last two digits are also a month and a day.
    days = [FIRST + datetime.timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    for day in [day for day in days if day.year in (1969, 2010, 2011, 2012)]:
        for template in FORMATS:
            for text in {write_date(day, template), write_date(day, template).lower()}:
                assert meant.setdefault(text, day) == day


def test_two_digits_are_years_as_posix_has_them() -> None:
    assert (FIRST.year, LAST.year) == (1969, 2068)
    for year in range(1969, 2069):
        assert datetime.datetime.strptime(write_date(datetime.date(year, 1, 1), "{yy}"), "%y").year == year


def test_no_day_is_in_two_splits() -> None:
    splits = (Dates(split, 2000).y.view(2000, 11).tolist() for split in ("train", "val", "test"))
    days = [set(map(tuple, rows)) for rows in splits]
    assert all(len(some) > 1000 for some in days)
    assert not days[0] & days[1]
    assert not days[0] & days[2]
    assert not days[1] & days[2]


def test_no_text_comes_twice() -> None:
    # There are 3652 days in a split, and nothing but numbers to write.
    texts = [sample.text for sample in Dates("val", 3500, formats=["{y}{mm}{dd}"])]
    assert len(set(texts)) == len(texts) == 3500


def test_the_same_seed_draws_the_same_dates() -> None:
    def texts(**options: Any) -> list[str]:
        return [sample.text for sample in Dates("val", **options)]

    assert texts(size=50) == texts(size=50)
    assert texts(size=100)[:50] == texts(size=50)
    assert texts(size=50) != texts(size=50, seed=1)
    # Not only for one run of Python: these have been drawn before.
    assert texts(size=3) == ["Aug 19 '35", "July 13th, 2065 (Monday)", "mon sep 20 1993"]


def test_a_batch_has_the_dates_one_after_another(check_levels: Callable[[InMemoryDataset], None]) -> None:
    dataset = Dates("test", 8)
    check_levels(dataset)
    (batch,) = DataLoader(dataset, batch_size=8)
    sizes = [len(sample.text) for sample in dataset]
    assert gr.schedule(gr.from_pyg(batch)) == gr.schedule(gr.chains(sizes))
    assert batch.y.view(8, 11).tolist() == [sample.y.tolist() for sample in dataset]
    assert (dataset.start, dataset.end) == (0, 1)
    assert dataset.vocabulary == list(CHARACTERS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, r"split must be one of train, val, test, got 'dev'"),
        ({"size": 0}, r"size must be 1 or more, got 0"),
        ({"formats": []}, r"at least one way to write a date, got none"),
        ({"formats": ["{y}-{mm}"]}, r"one of the fields d, dd, nth, ordinal, got '\{y\}-\{mm\}'"),
        ({"formats": ["{d}. {month}"]}, r"one of the fields y, yy, got"),
        ({"formats": ["{y}-{mm}-{dd}", "{y} {week}"]}, r"fields such as .*, got '\{y\} \{week\}' \('week'\)"),
        ({"formats": ["{y-{mm}-{dd}"]}, r"fields such as .*, got '\{y-\{mm\}-\{dd\}'"),
        ({"formats": ["{}-{mm}-{dd}"]}, r"fields such as"),
        ({"formats": ["{y}年{m}月{d}"]}, r"letters, digits, blanks and .*, got .* with '年'"),
        (
            {"split": "val", "size": 3653, "formats": ["{y}{mm}{dd}"]},
            r"expected 3653 different texts .*, got 3652",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dates(**{"size": 10, **options})
