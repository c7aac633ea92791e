"""Dates as people write them, to be turned into ISO form."""

from __future__ import annotations

import datetime
import random
import string
from collections.abc import Callable, Sequence

import torch
from torch_geometric.data import Data

from graphrec.datasets import Samples, TreeDataset, store

from .chains import chain_rows
from .corpus import SPLITS

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
    *("eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth"),
    *("eighteenth", "nineteenth", "twentieth", "twenty-first", "twenty-second", "twenty-third"),
    *("twenty-fourth", "twenty-fifth", "twenty-sixth", "twenty-seventh", "twenty-eighth"),
    *("twenty-ninth", "thirtieth", "thirty-first"),
)
ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")

FORMATS = (
    "{y}-{mm}-{dd}",
    "{y}/{mm}/{dd}",
    "{y}{mm}{dd}",
    "{d}.{m}.{y}",
    "{dd}.{mm}.{yy}",
    "{d}.{roman}.{y}",
    "{m}/{d}/{y}",
    "{mm}/{dd}/{yy}",
    "{d}-{mon}-{y}",
    "{dd}{mon}{yy}",
    "{d} {month} {y}",
    "{nth} {mon} {y}",
    "{month} {d}, {y}",
    "{mon}. {nth}, {y}",
    "{mon} {d} '{yy}",
    "{y}, {month} {d}",
    "{wd} {mon} {d} {y}",
    "{wd}, {dd} {mon} {yy}",
    "{weekday}, {d} {month} {y}",
    "{month} {nth}, {y} ({weekday})",
    "the {nth} of {month} {y}",
    "{weekday} the {ordinal} of {month}, {y}",
)
CASES = (str, str, str.lower, str.upper)  # how a date is written, drawn evenly

CHARACTERS = tuple(" '(),-./" + string.digits + string.ascii_letters)
SYMBOLS = ("<start>", "<end>", "-", *string.digits)

FIRST, LAST = datetime.date(1969, 1, 1), datetime.date(2068, 12, 31)
_DAYS = (LAST - FIRST).days + 1
_NEEDED = (("y", "yy"), ("m", "mm", "mon", "month", "roman"), ("d", "dd", "nth", "ordinal"))


class Dates(TreeDataset):
    """Dates written in many ways, each with its ISO form: `Mon Jan 5th, 1970`, 1970-01-05.

    Drawn here; nobody holds rights in them. The same arguments draw the same samples.

    How it is made:

    - The days are those from 1969 to 2068. They are dealt out to the splits at random: about 80 % train, 10 % val,
      10 % test, so that no day is in two of them, however it is written.
    - A sample is a day of its split and a format, both drawn evenly. Three in four are written with capitals where
      English has them or nowhere, one in four in capitals throughout.
    - No text comes twice.
    - Each text means one day. With slashes the month comes before the day, unless the year is first; with dots the day
      comes first. A year of two digits is the one that POSIX makes of it: 69 to 99 are in the twentieth century, 00
      to 68 in the twenty-first. The weekday is right, and says nothing new.

    Each sample is a `torch_geometric.data.Data` with

    - `edge_index` `[2, N - 1]`, a chain, and `slot` `[N - 1]`, all 0;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`;
    - `token` `[N]` long: the characters, by their index in `vocabulary`;
    - `y` `[11]` long: the ten characters of the ISO form and the end symbol, by their index in `classes`;
    - `format` `[1]` long: by its index in `formats`;
    - `text`: as written.

    Args:
        split: `"train"`, `"val"` or `"test"`.
        size: how many samples.
        seed: of the random numbers. Another one deals the days out in another way.
        formats: ways to write a date, with these fields in braces: the year `y` (1970) or `yy` (70), the month `m`
            (1), `mm` (01), `mon` (Jan), `month` (January) or `roman` (I), the day `d` (5), `dd` (05), `nth` (5th) or
            `ordinal` (fifth), and the weekday `wd` (Mon) or `weekday` (Monday).
        transform: applied to each sample when it is taken.

    Raises:
        ValueError: an unknown split, a size below 1, a format with an unknown field or character or without year,
            month or day, or fewer different texts than asked for.
    """

    def __init__(
        self,
        split: str = "train",
        size: int = 20_000,
        seed: int = 0,
        formats: Sequence[str] = FORMATS,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}.")
        if size < 1:
            raise ValueError(f"size must be 1 or more, got {size}.")
        if not formats:
            raise ValueError("formats must name at least one way to write a date, got none.")
        for template in formats:
            _check_format(template)
        self._size, self._seed, self._formats = size, seed, tuple(formats)
        super().__init__(split, {"size": size, "seed": seed, "formats": self._formats}, transform)

    @property
    def formats(self) -> list[str]:
        """What the values of `format` mean."""
        return self.info["formats"]

    @property
    def start(self) -> int:
        """The symbol, in `classes`, that comes before an ISO form."""
        return SYMBOLS.index("<start>")

    @property
    def end(self) -> int:
        """The symbol, in `classes`, that ends an ISO form."""
        return SYMBOLS.index("<end>")

    def make(self) -> dict[str, Samples]:
        drawn = self._draw()
        number = {character: i for i, character in enumerate(CHARACTERS)}
        symbol = {character: i for i, character in enumerate(SYMBOLS)}
        iso = [[*(symbol[c] for c in day.isoformat()), self.end] for day, _ in drawn.values()]
        per_sample = {
            "y": torch.tensor(iso).flatten(),
            "format": torch.tensor([kind for _, kind in drawn.values()]),
            "text": list(drawn),
        }
        per_node = {"token": torch.tensor([number[c] for text in drawn for c in text])}
        info = {"vocabulary": list(CHARACTERS), "classes": list(SYMBOLS), "formats": list(self._formats)}
        return {self.split: store([chain_rows(len(text)) for text in drawn], per_node, per_sample, info)}

    def _draw(self) -> dict[str, tuple[datetime.date, int]]:
        """The texts, each with its day and the number of its format."""
        shuffled = list(range(_DAYS))
        random.Random(self._seed).shuffle(shuffled)
        held_out = _DAYS // 10
        days = {
            "train": shuffled[2 * held_out :],
            "val": shuffled[:held_out],
            "test": shuffled[held_out : 2 * held_out],
        }[self.split]
        rng = random.Random(f"{self.split} {self._seed}")
        drawn: dict[str, tuple[datetime.date, int]] = {}
        for _ in range(20 * self._size):
            day = FIRST + datetime.timedelta(days=rng.choice(days))
            kind = rng.randrange(len(self._formats))
            text = rng.choice(CASES)(write_date(day, self._formats[kind]))
            drawn.setdefault(text, (day, kind))
            if len(drawn) == self._size:
                return drawn
        raise ValueError(
            f"expected {self._size} different texts for the split {self.split!r}, got {len(drawn)} in "
            f"{20 * self._size} draws: ask for fewer, or give more formats."
        )


def write_date(day: datetime.date, template: str) -> str:
    """A day in a format of `Dates`."""
    month, weekday = MONTHS[day.month - 1], WEEKDAYS[day.weekday()]
    return template.format(
        y=day.year,
        yy=f"{day.year % 100:02}",
        m=day.month,
        mm=f"{day.month:02}",
        mon=month[:3],
        month=month,
        roman=ROMAN[day.month - 1],
        d=day.day,
        dd=f"{day.day:02}",
        nth=f"{day.day}{_suffix(day.day)}",
        ordinal=ORDINALS[day.day - 1],
        wd=weekday[:3],
        weekday=weekday,
    )


def _suffix(number: int) -> str:
    return "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _check_format(template: str) -> None:
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
        strange = sorted(set(write_date(FIRST, template)) - set(CHARACTERS))
    except (ValueError, LookupError) as error:
        raise ValueError(
            f"expected a format with fields such as {{y}}, {{month}} and {{d}}, got {template!r} ({error})."
        ) from error
    if strange:
        raise ValueError(
            f"expected a format of letters, digits, blanks and '(),-./, got {template!r} with {strange[0]!r}."
        )
    for one_of in _NEEDED:
        if fields.isdisjoint(one_of):
            raise ValueError(
                f"expected a format with one of the fields {', '.join(one_of)}, got {template!r}: the date would be "
                f"open."
            )
