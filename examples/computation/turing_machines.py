"""Turing machines as tables, some machines worth running, and a plain simulator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Rule(NamedTuple):
    """What a machine does in one step: the symbol that it writes, the head's move ("L" or "R"), the next state."""

    write: str
    move: str
    state: str


class Configuration(NamedTuple):
    """The full configuration of a machine between two steps.

    Attributes:
        state: of the control.
        head: the place of the head; 0 is where it began.
        tape: the cells that are not blank, by place.
    """

    state: str
    head: int
    tape: dict[int, str]


@dataclass(frozen=True)
class Machine:
    """A deterministic Turing machine with one tape, which is infinite in both directions.

    Args:
        symbols: of the tape, one character each; the first is the blank.
        start: the state in which it begins, its head on the first symbol of its input.
        halting: the states in which it stops, which have no rules.
        table: for each other state and each symbol that may be read in it, (write, move, next state); see `Rule`.

    Raises:
        ValueError: a table with a gap, or with a name that is not there.
    """

    symbols: str
    start: str
    halting: tuple[str, ...]
    table: Mapping[str, Mapping[str, tuple[str, str, str]]]

    def __post_init__(self) -> None:
        if not self.symbols or len({*self.symbols}) < len(self.symbols):
            raise ValueError(f"symbols must be distinct, the blank first, got {self.symbols!r}.")
        if self.start not in self.states:
            raise ValueError(f"the machine starts in {self.start!r}, {self._no_state()}")
        for state, rules in self.table.items():
            if state in self.halting:
                raise ValueError(
                    f"state {state!r} is a halting one and has rules: take out one or the other."
                )
            for symbol in dict.fromkeys([*self.symbols, *rules]):
                where = f"state {state!r} reading {symbol!r}"
                if symbol not in rules:
                    raise ValueError(
                        f"the table has no rule for {where}: add (write, move, next), for instance to a halting state."
                    )
                write, move, following = rules[symbol]
                for name in (symbol, write):
                    if name not in self.symbols or len(name) != 1:
                        raise ValueError(f"{where}: {name!r} is none of the symbols {self.symbols!r}.")
                if move not in ("L", "R"):
                    raise ValueError(f"{where}: expected the move 'L' or 'R', got {move!r}.")
                if following not in self.states:
                    raise ValueError(f"{where}: the next state is {following!r}, {self._no_state()}")

    @classmethod
    def from_text(cls, text: str) -> Machine:
        """A machine over 0 (blank) and 1 in the busy beavers' notation.

        Args:
            text: for states A, B, … a group each, joined by `_`: what to do on 0 and on 1, such as `1RB`, that is
                write, move and next state; state Z halts.
        """
        groups = text.split("_")
        if not all(re.fullmatch("([01][LR][A-Z]){2}", group) for group in groups):
            raise ValueError(f"expected groups such as 1RB0LZ, joined by '_', got {text!r}.")
        table = {
            chr(ord("A") + number): {"0": (group[0], group[1], group[2]), "1": (group[3], group[4], group[5])}
            for number, group in enumerate(groups)
        }
        return cls("01", "A", ("Z",), table)

    @property
    def rules(self) -> dict[tuple[str, str], Rule]:
        """The rule for each state and symbol read."""
        return {
            (state, symbol): Rule(*rule) for state, row in self.table.items() for symbol, rule in row.items()
        }

    @property
    def blank(self) -> str:
        """What is in a cell that was never written."""
        return self.symbols[0]

    @property
    def states(self) -> tuple[str, ...]:
        """Those with rules, then the halting ones."""
        return (*self.table, *self.halting)

    def check(self, tape: str) -> None:
        """Raise ValueError if there is a symbol on the tape that is none of the machine's."""
        for place, symbol in enumerate(tape):
            if symbol not in self.symbols:
                raise ValueError(
                    f"the tape has {symbol!r} at place {place}, and the machine's symbols are {self.symbols!r}."
                )

    def _no_state(self) -> str:
        return f"which is no state: give its rules in the table, or name it among {self.halting} as halting."


def simulate(machine: Machine, tape: str = "") -> Iterator[Configuration]:
    """The configurations that a machine goes through, the first one included; endless if it does not halt.

    Raises:
        ValueError: an unknown symbol on the tape.
    """
    machine.check(tape)
    return _simulate(machine, tape)


def _simulate(machine: Machine, tape: str) -> Iterator[Configuration]:
    cells = {place: symbol for place, symbol in enumerate(tape) if symbol != machine.blank}
    state, head = machine.start, 0
    yield Configuration(state, head, dict(cells))
    while state not in machine.halting:
        write, move, state = machine.table[state][cells.pop(head, machine.blank)]
        if write != machine.blank:
            cells[head] = write
        head += 1 if move == "R" else -1
        yield Configuration(state, head, dict(cells))


# The busy beavers: of all machines with 4 or 5 states that halt on the empty tape, those that write the most ones.
# A. Brady, "The determination of the value of Rado's noncomputable function Σ(k) for four-state Turing machines",
# Mathematics of Computation 40, 1983: 107 steps, 13 ones. H. Marxen and J. Buntrock, "Attacking the Busy Beaver 5",
# Bulletin of the EATCS 40, 1990: 47,176,870 steps, 4,098 ones; that no other runs longer was proved in 2024.
BUSY_BEAVER_4 = Machine.from_text("1RB1LB_1LA0LC_1RZ1LD_1RD0RA")
BUSY_BEAVER_5 = Machine.from_text("1RB1LC_1RC1RB_1RD0LE_1LA1LD_1RZ0LA")

# 11+111 becomes 11111: the plus becomes a one, and the last one is erased.
ADDITION = Machine(
    "_1+",
    "first",
    ("done", "malformed"),
    {
        "first": {"1": ("1", "R", "first"), "+": ("1", "R", "second"), "_": ("_", "L", "malformed")},
        "second": {"1": ("1", "R", "second"), "_": ("_", "L", "last"), "+": ("+", "L", "malformed")},
        "last": {"1": ("_", "L", "done"), "_": ("_", "L", "malformed"), "+": ("+", "L", "malformed")},
    },
)

# Erases a letter at the beginning and an equal one at the end, until none is left.
PALINDROMES = Machine(
    "_ab",
    "first",
    ("yes", "no"),
    {
        "first": {"a": ("_", "R", "have a"), "b": ("_", "R", "have b"), "_": ("_", "R", "yes")},
        "have a": {"a": ("a", "R", "have a"), "b": ("b", "R", "have a"), "_": ("_", "L", "want a")},
        "have b": {"a": ("a", "R", "have b"), "b": ("b", "R", "have b"), "_": ("_", "L", "want b")},
        "want a": {"a": ("_", "L", "back"), "b": ("b", "L", "no"), "_": ("_", "R", "yes")},
        "want b": {"b": ("_", "L", "back"), "a": ("a", "L", "no"), "_": ("_", "R", "yes")},
        "back": {"a": ("a", "L", "back"), "b": ("b", "L", "back"), "_": ("_", "R", "first")},
    },
)
