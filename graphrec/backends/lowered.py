"""What backends for chains have in common."""

from __future__ import annotations

from torch import Tensor

from ..cell import Fused
from ..engine.validate import Context
from ..operators import move, rows_or_zero
from ..schedule import Chains, Segments
from .request import Request
from .runner import Runner


class Lowered(Runner):
    """A run over chains; arguments as in `Runner`, the chains, and the cell as torch's operator.

    Attributes:
        initial_state: the fields of the initial state of each chain that begins without another, `[B, H]` each, or
            nothing.
    """

    chains: Chains | Segments
    fused: Fused

    def __init__(
        self, run: Context, x: Tensor, initial: list[Tensor], chains: Chains | Segments, fused: Fused
    ) -> None:
        super().__init__(run, x, initial)
        self.chains, self.fused, self.initial_state = chains, fused, initial
        if run.initial_row is None:
            return
        if isinstance(chains, Segments):
            self.initial_state = self._initial_of_segments(chains, run.initial_row)
            return
        row = run.initial_row[chains.heads]
        if run.boundary_row is not None and len(
            run.boundary_row
        ):  # (each head has one inbox edge, the first ones)
            row = run.boundary_row[run.plan.source[run.plan.inv_perm[chains.heads]]]
        self.initial_state: list[Tensor] = [field.index_select(0, row) for field in initial]

    def _initial_of_segments(self, segments: Segments, initial_row: Tensor) -> list[Tensor]:
        """Of the boundary row that each segment of the first level reads, zero for those that read none."""
        boundary = self.plan.boundary
        if not len(boundary):
            return []
        of_boundary = initial_row[boundary] if self.run.boundary_row is None else self.run.boundary_row
        read = segments.row[: segments.segment_bounds[1]]
        row = of_boundary[read.clamp(min=0)].masked_fill(read < 0, -1)
        return [rows_or_zero(field, row) for field in self.initial]

    @classmethod
    def take(cls, request: Request) -> Lowered | str:
        """The run; or why not."""
        fused = request.operator
        if isinstance(fused, str):
            return fused
        reason = cls.refuses(fused.operator, request.x)
        if reason is not None:
            return reason
        assert request.chains is not None
        return cls(request.run, request.x, request.initial, request.chains, fused)

    @staticmethod
    def refuses(operator: str, x: Tensor) -> str | None:
        """Why not, apart from what all backends for chains refuse; None: it is accepted."""
        raise NotImplementedError

    def state(self) -> tuple[Tensor, ...]:
        """The state of cells with one field."""
        return (self.h(),)

    def step_by_step(self, rows: Tensor) -> Tensor:
        """`[N, ...]`, from the caller's numbering to the chains' steps; maybe the same tensor."""
        return rows if self.chains.is_identity else move(rows, self.chains.perm, self.chains.inv_perm)

    def as_numbered(self, rows: Tensor) -> Tensor:
        """`[N, ...]`, back to the caller's numbering, as a tensor that the caller may write into."""
        if self.chains.is_identity:
            return rows.clone() if rows.requires_grad else rows
        return move(rows, self.chains.inv_perm, self.chains.perm)
