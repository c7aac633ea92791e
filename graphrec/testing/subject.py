"""The cell that is checked, and the runs that claims are tested on."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..backends import running_on
from ..cell import Cell
from ..structure import Structure
from ..structure.checks import as_count, as_list
from .one_node import OneNodeAtATime
from .recursion import Equations
from .structures import ACYCLIC, dressed, structures_for
from .trial import Trial, draw_what_begins_alike, drawn

# What a class is called with, if it takes two widths. (Layer normalisation of two numbers would give 1 and -1; heads
# want an even width.)
INPUTS, HIDDEN = 3, 4


class NotApplicable(Exception):
    """A claim says nothing about this cell, or this structure; the message says why."""


@dataclass
class Subject:
    """A cell in float64, as `check_cell` was given it.

    Attributes:
        cell: a copy of the caller's, with random numbers for parameters that begin as zeros or ones.
        structures: what claims are tested on, the smallest first.
        oracle: the equations for one node; None: the cell's own forward, one node at a time.
        seed: of all random numbers.
        refused: structures that the cell does not take, and what it says.
    """

    cell: Cell
    structures: list[Structure]
    oracle: Equations | None
    seed: int
    refused: list[tuple[Structure, str]] = field(default_factory=list)
    _trials: dict[Any, tuple[Structure, Trial]] = field(default_factory=dict, repr=False)
    _by_loop: dict[int, tuple[Trial, dict[str, Any]]] = field(default_factory=dict, repr=False)

    @cached_property
    def name(self) -> str:
        """The cell's."""
        return type(self.cell).__name__

    @cached_property
    def width(self) -> int:
        """D, how wide x is; a cell that does not say it gets x as wide as its state."""
        cell: Any = self.cell
        return cell.inputs if isinstance(cell.inputs, int) else getattr(cell, "hidden", HIDDEN)

    @cached_property
    def runs_one_round(self) -> bool:
        """Whether x is the first state and has another width than those after it, so that there is one round only."""
        return self.cell.begins_with_x and [(self.width,)] != self.cell.shapes()

    @cached_property
    def rounds(self) -> int:
        """How many rounds a sync run has."""
        return 1 if self.runs_one_round else 3

    @cached_property
    def reads_own(self) -> bool:
        """Whether the equations read the node's own previous state."""
        for s in self.structures:
            if s.num_nodes:
                alone = self.one_node_at_a_time(self.trial(s, mode="sync", rounds=1))
                alone.run_rounds(1)
                if alone.reads_own:
                    return True
        return False

    def trial(
        self,
        s: Structure,
        initial: str | None = None,
        mode: str = "async",
        rounds: int | None = None,
        cell: Cell | None = None,
    ) -> Trial:
        """A run whose x, features and initial state are drawn from the seed."""
        torch.manual_seed(self.seed)
        return drawn(cell or self.cell, s, self.width, initial, mode, rounds)

    def one_node_at_a_time(self, run: Trial) -> OneNodeAtATime:
        """The same run by recursion."""
        return OneNodeAtATime(run.cell, run.structure, run.x)

    def trials(self, s: Structure, initial: Iterable[str | None] = (None, "per graph")) -> list[Trial]:
        """The runs that this cell can do over the structure: in dependency order, and in rounds."""
        found = []
        for mode, rounds in (("async", None), ("sync", self.rounds)):
            if mode == "async" and (self.runs_one_round or not is_acyclic(s)):
                continue
            for given in (None,) if self.runs_one_round else initial:
                key = id(s), given, mode
                if key not in self._trials:  # (the structure is kept, so that no other gets its id)
                    self._trials[key] = s, self.trial(s, given, mode, rounds)
                found.append(self._trials[key][1])
        return found

    def by_loop(self, trial: Trial) -> dict[str, Any]:
        """The outcome of a trial in the loop, which is found once."""
        if id(trial) not in self._by_loop:
            with running_on("loop"):
                self._by_loop[id(trial)] = trial, trial.outcome()
        return self._by_loop[id(trial)][1]


def subject(
    cell: Cell | Callable[..., Cell],
    structures: Iterable[Structure] | None,
    oracle: Equations | None,
    seed: int,
) -> Subject:
    """What `check_cell` was given, made ready.

    Raises:
        TypeError: what is given, or made, is no cell.
        ValueError: the cell takes none of the structures.
    """
    torch.manual_seed(as_count("seed", seed))
    made = _made(cell).double()
    draw_what_begins_alike(made)
    _choose_mode(made)
    given = structures_for(made) if structures is None else as_list("structures", structures)
    for s in given:
        if not isinstance(s, Structure):
            raise TypeError(
                f"structures must be a list of graphrec structures, got {type(s).__name__} in it."
            )
    found = Subject(made, sorted(given, key=lambda s: s.num_nodes + s.num_edges), oracle, seed)
    takes: list[Structure] = []
    for s in found.structures:
        try:
            for run in found.trials(s, initial=(None,)):
                with torch.no_grad(), running_on("loop"):
                    run.run()
        except ValueError as refusal:
            found.refused.append((s, str(refusal)))
        else:
            takes.append(s)
    if not takes:
        said = found.refused[0][1] if found.refused else "there are none"
        raise ValueError(
            f"{found.name} runs over none of the structures, so that nothing can be checked ({said}). Give it some "
            f"that it takes, check_cell(cell, structures=[...])."
        )
    found.structures = takes
    return found


def is_acyclic(s: Structure) -> bool:
    """Whether every node can be run after its sources."""
    from ..schedule import CycleError, levels

    try:
        levels(s)
    except CycleError:
        return False
    return True


def _made(cell: Any) -> Cell:
    if not isinstance(cell, Cell):
        cell = _called(cell)
    if any(map(is_lazy, cell.parameters())):
        raise ValueError(
            f"{type(cell).__name__} has weights that its first call makes: run it once, and check the instance."
        )
    return copy.deepcopy(cell)


def _called(cell: Any) -> Cell:
    if not callable(cell) or isinstance(cell, nn.Module):
        got = f"a {type(cell).__name__}" if isinstance(cell, nn.Module) else repr(cell)
        raise TypeError(
            f"check_cell takes a graphrec.Cell, its class or a function that makes it, got {got}."
        )
    name = getattr(cell, "__name__", type(cell).__name__)
    arguments = (INPUTS, HIDDEN) if _takes_two(cell) else ()
    try:
        made = cell(*arguments)
    except TypeError as error:
        raise TypeError(
            f"{name}({', '.join(map(str, arguments))}) does not make a cell ({error}): give an instance, "
            f"check_cell({name}(...)), or a function without arguments that makes one."
        ) from error
    if not isinstance(made, Cell):
        raise TypeError(f"{name} made a {type(made).__name__}, which is no graphrec.Cell.")
    return made


def _takes_two(make: Callable[..., Any]) -> bool:
    """Whether a class or function can be called with two arguments, D and H."""
    try:
        inspect.signature(make).bind(INPUTS, HIDDEN)
    except (TypeError, ValueError):
        return False
    return True


def _choose_mode(cell: Cell) -> None:
    """Training, unless the cell is random there, as with dropout."""
    cell.train()
    s = dressed(cell, ACYCLIC[0](cell.arity))
    try:
        first, second = (_some_state(cell, s) for _ in range(2))
    except ValueError:  # a structure that the cell does not take: claims will tell
        return
    if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        cell.eval()


def _some_state(cell: Cell, s: Structure) -> tuple[Tensor, ...]:
    made = Subject(cell, [s], None, 0)
    run = made.trial(s, mode="sync", rounds=1)
    torch.manual_seed(torch.seed())
    with torch.no_grad(), running_on("loop"):
        return tuple(run.run())
