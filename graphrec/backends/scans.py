"""Linear recurrences: factors and terms of all nodes at once, and then the states."""

from __future__ import annotations

import math
from collections import namedtuple
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch
from torch import Tensor
from torch.nn.modules import module as torch_module

from .. import clib
from ..cell import Cell, Inbox
from ..cells.affine import AffineCell
from ..cells.plain import is_changed
from ..engine.boundary import Boundary, gather_edges, project
from ..engine.validate import Context
from ..operators import move, recurrence
from ..program.recording import Recording
from ..schedule import as_one_step, recurrence_edges, without_edges
from .growth import warn_of_growth
from .programs import NativePrograms, Programs
from .request import Request
from .runner import Runner

# With so many numbers on a level a program in C++ is as fast, which keeps factors and terms in the cache; and where
# factors are no rows of nodes, so that there are only terms.
_WIDE, _WIDE_OF_TERMS = 512, 4096
# And with so many the loop is, without the library.
_WIDE_IN_PYTORCH = 2**15


class Scans(Runner):
    """Affine cells in async mode.

    Args:
        run, x, initial: as in `Runner`.
        gates: a program that computes factors and terms of all nodes; None: torch's operations do.
    """

    name = "scans"

    def __init__(self, run: Context, x: Tensor, initial: list[Tensor], gates: Programs | None) -> None:
        super().__init__(run, x, initial)
        self.gates = gates

    @classmethod
    def describe(cls) -> str:
        """What it runs, and with what."""
        how = (
            "in few passes in PyTorch" if clib.why_not() else "in C++ on a CPU, else in few passes in PyTorch"
        )
        return f"affine cells: factors and terms of all nodes at once, then the states, {how}"

    @classmethod
    def is_for(cls, cell: Cell) -> bool:
        """Affine ones."""
        return isinstance(cell, AffineCell)

    @classmethod
    def gains_nothing(cls, request: Request) -> str | None:
        """A program in C++ is as fast on wide levels."""
        if (reason := super().gains_nothing(request)) is not None:
            return reason
        run = request.run
        wide = run.plan.num_nodes * math.prod(run.shapes[0]) // max(len(run.plan.steps), 1)
        if NativePrograms.missing() or NativePrograms.refuses(request.x):
            is_wide = wide >= _WIDE_IN_PYTORCH and request.x.is_cpu
            return f"levels are {wide} numbers wide, and steps over them are no slower" if is_wide else None
        if wide < _WIDE:
            return None
        if not isinstance(request.recording, Recording):
            return None
        is_wide = wide >= _WIDE_OF_TERMS or _gates_of(run.cell, request) is not None
        return f"levels are {wide} numbers wide, and a program is no slower" if is_wide else None

    @classmethod
    def take(cls, request: Request) -> Scans | str:
        """The run; or why not."""
        run = request.run
        if not isinstance(run.cell, AffineCell):
            return f"{type(run.cell).__name__} is no graphrec.AffineCell"
        if run.plan.mode != "async":
            return "it runs in rounds"
        reason = _more_than_affine(run.cell) or request.unusual or request.not_at_once
        return reason or cls(run, request.x, request.initial, _gates_of(run.cell, request))

    def state(self) -> tuple[Tensor, ...]:
        """`[N, H]`."""
        cell, run, edges = self.run.cell, self.run, recurrence_edges(self.plan)
        assert isinstance(cell, AffineCell)
        factor, term = self._at_once(cell) if self.gates is None else self.gates.state()
        dtype = torch.promote_types(torch.promote_types(factor.dtype, term.dtype), run.dtype)
        factor, term = factor.to(dtype), term.to(dtype)
        given = Boundary(run, self.x, self.initial).rows()[0].to(dtype)
        h = recurrence(factor, term, given, edges, cell.has_edge_factor)
        warn_of_growth(cell, factor, h, self.plan)
        return (h.to(run.dtype),)

    def _at_once(self, cell: AffineCell) -> tuple[Tensor, Tensor]:
        """Factors, of nodes or edges, and terms `[N, H]`."""
        rows, count = project(cell, self.x), self.plan.num_nodes
        term = cell.checked_term(rows)
        _check_count(cell, "term", term, count, "node")
        term = term.expand(count, *term.shape[1:])
        if not cell.has_edge_factor:
            factor = cell.checked_factor(rows)
            _check_count(cell, "factor", factor, count, "node")
            return factor, term
        plan = as_one_step(self.plan)

        def fetch(name: str) -> Tensor:
            return gather_edges(self.run.of_edges, name, plan.edge)

        rows = rows if plan.is_identity else move(rows, plan.perm, plan.inv_perm)
        factor = cell.checked_edge_factor(rows, Inbox(plan, plan.steps[0], (), fetch, rows))
        _check_count(cell, "edge_factor", factor, plan.num_edges, "edge")
        return factor, term


def _check_count(cell: AffineCell, name: str, rows: Tensor, count: int, of: str) -> None:
    if rows.shape[0] not in (count, 1):
        raise ValueError(
            f"{type(cell).__name__}.{name} must return one row for each of {count} {of}s, or one for all, got "
            f"{rows.shape[0]}."
        )


def _more_than_affine(cell: AffineCell) -> str | None:
    """Why a step may be more than the factor and the term say, if so."""
    kind = type(cell)
    if kind.forward is not AffineCell.forward or kind.__call__ is not Cell.__call__:
        return f"{kind.__name__} has a step of its own"
    if cell.Message is not None or len(cell.State._fields) > 1:
        return f"{kind.__name__} has more than one field in its state or messages"
    has_hooks = torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks
    return "the cell is changed: a hook, or a method of its own" if has_hooks or is_changed(cell) else None


# ------------------------------------------------------------------------------------- factors and terms by a program


class _Gates:
    """Of an affine cell: one that hands out the factor and the term as its state."""

    State = namedtuple("State", "factor term")
    shapes: Any

    def forward(self: Any, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step, which reads no neighbours."""
        return self.State(self.checked_factor(x), self.checked_term(x))


# For each cell the same object as `_Gates`: it has the cell's very attributes, under another class.
_GATES: WeakKeyDictionary[AffineCell, Any] = WeakKeyDictionary()


# For each class of cells that of such objects; it goes with them, so that a class is not kept alive.
_CLASSES: WeakValueDictionary[type[AffineCell], Any] = WeakValueDictionary()


def _gates_class(kind: type[AffineCell]) -> Any:
    def shapes(self: Any) -> list[tuple[int, ...]]:
        return kind.shapes(self)[:1] * 2

    found = _CLASSES.get(kind)
    if found is None:
        found = _CLASSES[kind] = type(kind.__name__, (_Gates, kind), {"shapes": shapes})
    return found


def _gates_of(cell: Any, request: Request) -> Programs | None:
    """A program that computes factors and terms of all nodes as one level; None: there is none."""
    if cell.has_edge_factor or NativePrograms.missing() or NativePrograms.refuses(request.x):
        return None
    gates: Any = _GATES.get(cell)
    kind = _gates_class(type(cell))
    if type(gates) is not kind or gates.__dict__ is not cell.__dict__:
        gates = _GATES[cell] = object.__new__(kind)
        object.__setattr__(gates, "__dict__", cell.__dict__)
    run = Context(gates, without_edges(request.run.plan), None, request.run.dtype)
    taken = NativePrograms.take(Request(run, request.x, []))
    return None if isinstance(taken, str) else taken
