"""A run that is looking for a backend, and what several of them want to know of it, found out once."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn

from ..cell import Cell, Fused
from ..engine.validate import Context
from ..operators import is_plain_only
from ..program.recording import Recording, record_cell
from ..program.symbols import NotRecordable
from ..schedule import Chains, Segments, chains, segments

# So few steps cost no more than the preparations of a faster way.
FEW_STEPS = 3


class Request:
    """A run.

    Args:
        run: the run.
        x: `[N, D]`, in the caller's numbering.
        initial: per field `[K, ...]` (see `Context.initial_row`), or nothing.
        like: a run of the same cell over nodes of the same sorts, if there is one, whose recording serves this one too.

    Attributes:
        overridden: the standard cell whose equations a subclass may have changed, if that is why it is none of torch's
            operators.
    """

    run: Context
    x: Tensor
    initial: list[Tensor]
    like: Request | None

    def __init__(self, run: Context, x: Tensor, initial: list[Tensor], like: Request | None = None) -> None:
        self.run, self.x, self.initial, self.like = run, x, initial, like
        self.overridden: type[Cell] | None = None

    @cached_property
    def too_short(self) -> str | None:
        """Why nothing is faster than the loop on so few steps; None: there are more."""
        plan = self.run.plan
        steps = len(plan.steps)
        is_short = steps <= FEW_STEPS and plan.device.type == "cpu"
        return f"{steps} steps are no faster there" if is_short else None

    @cached_property
    def operator(self) -> Fused | str:
        """The cell as one of torch's operators on chains; or why it is none."""
        reason = self.unusual
        if reason is not None:
            return reason
        if self.run.plan.mode != "async":
            return "it runs in rounds"
        fused = self.run.cell.fused()
        if fused is None:
            return self._why_not_fused()
        is_cast = torch.is_autocast_enabled(self.x.device.type)
        for tensor in (self.x, *self.initial, *fused[1:]):
            # (A subclass of Tensor may overload operations.)
            if tensor is not None and type(tensor) not in (Tensor, nn.Parameter):
                return f"there is a {type(tensor).__name__} among x, state and weights"
            if tensor is not None and tensor.dtype != self.x.dtype and not is_cast:
                return f"x is {self.x.dtype}, but there is {tensor.dtype} among state and weights"
        # Torch's operators do not check shapes; on wrong ones the equations raise a clear error.
        if not fused.has_shapes(self.x.shape[1], self.run.cell.hidden):
            return "a weight has another shape than the cell's widths say"
        if not self.run.plan.num_nodes:
            return "there are no nodes"
        if self.chains is None:
            return "a node has several sources"
        return fused

    @cached_property
    def chains(self) -> Chains | Segments | None:
        """Chains, or trees read downwards, as chains behind each other; None: nodes have several sources."""
        found = chains(self.run.plan)
        if found is not None:
            return found
        within = segments(self.run.plan)
        return within if within is not None and within.never_joins else None

    @cached_property
    def recording(self) -> Recording | str:
        """The cell recorded; or what of it cannot be."""
        if self.like is not None:
            return self.like.recording
        reason = self.unusual or self.not_programmed
        if reason is not None:
            return reason
        try:
            return record_cell(self.run, self.x, self.initial)
        except NotRecordable as refusal:
            return str(refusal) + (f" ({refusal.line})" if refusal.line else "")

    @property
    def unusual(self) -> str | None:
        """Why the loop alone runs it, if so."""
        plan = self.run.plan
        if plan.edge_mask is not None:
            return "messages are masked"
        if plan.cycles is not None or plan.sweeps is not None:
            return "it runs more than once, or in a given order"
        if is_plain_only(self.x):
            return "a transform of torch.func, a forward-mode derivative, or an input without values"
        return None

    @property
    def not_programmed(self) -> str | None:
        """Why no program runs it, whatever the cell, if so."""
        return self.not_at_once or (
            "autocast is on" if torch.is_autocast_enabled(self.x.device.type) else None
        )

    @property
    def not_at_once(self) -> str | None:
        """Why it is run step by step, whatever the cell, if so."""
        if not self.run.plan.num_nodes:
            return "there are no nodes"
        if torch._C._len_torch_dispatch_stack() or torch.jit.is_tracing():  # pyright: ignore[reportPrivateImportUsage]
            return "a dispatch mode or a tracer watches each operation"
        for tensor in (self.x, *self.initial, *self.run.of_edges.values()):
            if type(tensor) not in (Tensor, nn.Parameter) or tensor.dtype != self.x.dtype:
                return f"there is a {type(tensor).__name__} of {tensor.dtype} among x, state and edges"
        return None

    def _why_not_fused(self) -> str:
        cell = type(self.run.cell)
        kind = next((kind for kind in cell.__mro__ if "fused" in vars(kind)), Cell)
        if kind is Cell:
            return f"{cell.__name__} is not one of torch's operators"
        if kind is cell:
            return "the cell is changed: its activation, a hook, or a part that is not a plain nn.Linear"
        self.overridden = kind
        return f"{cell.__name__} is a subclass of {kind.__name__}, whose equations may differ"
