"""Linear recurrences: factors and terms of all nodes at once, and then the states."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.modules import module as torch_module

from .. import clib
from ..cell import Cell, Inbox
from ..cells.affine import AffineCell
from ..cells.plain import is_changed
from ..engine.boundary import Boundary, gather_edges, project
from ..operators import move, recurrence
from ..schedule import as_one_step, recurrence_edges
from .growth import warn_of_growth
from .request import Request
from .runner import Runner


class Scans(Runner):
    """Affine cells in async mode."""

    name = "scans"

    @classmethod
    def describe(cls) -> str:
        """What it runs, and with what."""
        how = (
            "in few passes in PyTorch" if clib.why_not() else "in C++ on a CPU, else in few passes in PyTorch"
        )
        return f"affine cells: factors and terms of all nodes at once, then the states, {how}"

    @classmethod
    def take(cls, request: Request) -> Scans | str:
        """The run; or why not."""
        run = request.run
        if not isinstance(run.cell, AffineCell):
            return f"{type(run.cell).__name__} is no graphrec.AffineCell"
        if run.plan.mode != "async":
            return "it runs in rounds"
        reason = _more_than_affine(run.cell) or request.unusual or request.not_programmed
        return reason or cls(run, request.x, request.initial)

    def state(self) -> tuple[Tensor, ...]:
        """`[N, H]`."""
        cell, edges = self.run.cell, recurrence_edges(self.plan)
        assert isinstance(cell, AffineCell)
        rows = project(cell, self.x)
        term = cell.checked_term(rows)
        factor = self._edge_factor(cell, rows) if cell.has_edge_factor else cell.checked_factor(rows)
        dtype = torch.promote_types(factor.dtype, term.dtype)
        given = Boundary(self.run, self.x, self.initial).rows()[0].to(dtype)
        h = recurrence(factor.to(dtype), term.to(dtype), given, edges, cell.has_edge_factor)
        warn_of_growth(cell, factor, h, self.plan)
        return (h.to(self.run.dtype),)

    def _edge_factor(self, cell: AffineCell, rows: Tensor) -> Tensor:
        """Of all inboxes as those of one step."""
        plan = as_one_step(self.plan)

        def fetch(name: str) -> Tensor:
            return gather_edges(self.run.of_edges, name, plan.edge)

        rows = rows if plan.is_identity else move(rows, plan.perm, plan.inv_perm)
        return cell.checked_edge_factor(rows, Inbox(plan, plan.steps[0], (), fetch, rows))


def _more_than_affine(cell: AffineCell) -> str | None:
    """Why a step may be more than the factor and the term say, if so."""
    kind = type(cell)
    if kind.forward is not AffineCell.forward or kind.__call__ is not Cell.__call__:
        return f"{kind.__name__} has a step of its own"
    if cell.Message is not None or len(cell.State._fields) > 1:
        return f"{kind.__name__} has more than one field in its state or messages"
    has_hooks = torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks
    return "the cell is changed: a hook, or a method of its own" if has_hooks or is_changed(cell) else None
