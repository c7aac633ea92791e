"""Batches of chains with the cells that torch has operators for: the same numbers by a shorter way.

Where a schedule is nothing but chains side by side and a cell says that it is torch's RNN, GRU or LSTM
(`Cell.fused`), no step needs to be recorded and no inbox to be gathered. The SRN and the GRU run as sweeps whose
reverse is derived by hand; the LSTM runs as torch's own operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..cells.cell import Fused
from ..schedule import Chains, Schedule
from .chain_sweep import GRU, SRN, Layout, Scan, sweep_chains
from .derivatives import check_first_derivatives
from .job import Job

_SWEPT = {"rnn_tanh": SRN(relu=False), "rnn_relu": SRN(relu=True), "gru": GRU()}


def lower(job: Job, x: Tensor, initial: list[Tensor]) -> Lowered | None:
    """The short way for a run, if there is one; arguments as in `sweep`, but for x, which is the caller's."""
    fused = job.cell.fused()
    if fused is None or torch.is_autocast_enabled(x.device.type):
        return None
    # Of other types are stand-ins (the cell runs in a step of another) and whatever else overloads operations.
    tensors = [x, *initial, *(weight for weight in fused[1:] if weight is not None)]
    if any(type(tensor) not in (Tensor, nn.Parameter) or tensor.dtype != x.dtype for tensor in tensors):
        return None
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return None
    chains = job.plan.chains
    if chains is None:
        return None
    if job.initial_row is not None:
        row = job.initial_row[chains.heads]
        initial = [field.index_select(0, row) for field in initial]
    kind = _LSTM if fused.operator == "lstm" else _Swept
    return kind(job.plan, chains, fused, x, initial)


class Lowered:
    """A run over chains.

    Args:
        plan, chains: what is run over.
        fused: with which weights.
        x: `[N, D]`.
        initial: the fields of the state before each chain, `[B, H]` each, or nothing.
    """

    def __init__(
        self, plan: Schedule, chains: Chains, fused: Fused, x: Tensor, initial: Sequence[Tensor]
    ) -> None:
        self.plan, self.chains, self.fused, self.x, self.initial = plan, chains, fused, x, initial

    def h(self) -> Tensor:
        """`[N, H]`: the first field of the state."""
        raise NotImplementedError

    def state(self) -> tuple[Tensor, ...]:
        """All fields of the state."""
        return (self.h(),)

    def sequence(self) -> tuple[Tensor, list[Tensor]]:
        """h, and all fields where each graph ends, `[G, H]` (a graph without nodes has the row of some other)."""
        state = self.state()
        ends = self.plan.ends.node.clamp(min=0)
        return state[0], [field.index_select(0, ends) for field in state]


class _Swept(Lowered):
    """The SRN and the GRU."""

    def h(self) -> Tensor:
        """`[N, H]`."""
        initial = self.initial[0] if self.initial else None
        return sweep_chains(_SWEPT[self.fused.operator], Layout(self.chains), self.x, initial, self.fused)


class _LSTM(Lowered):
    """The LSTM, as torch's operator; it runs over blocks, and tells of the memory cell only what it ends with."""

    def h(self) -> Tensor:
        """`[N, H]`."""
        return self._leave(self._operator()[0])

    def state(self) -> tuple[Tensor, ...]:
        """h and c, `[N, H]` each."""
        h = self.h()
        return h, self._memory(h)

    def sequence(self) -> tuple[Tensor, list[Tensor]]:
        """h, and h and c where each graph ends."""
        if not self.chains.are_equally_long:
            return super().sequence()
        rows, last = self._operator()
        h, ends = self._leave(rows), self.plan.ends.node.clamp(min=0)
        chain = self.chains.place[ends] - (self.chains.node.shape[0] - self.chains.num_chains)
        return h, [h.index_select(0, ends), _first_only(last.index_select(0, chain))]

    def _operator(self) -> tuple[Tensor, Tensor]:
        """h at all rows of the blocks, `[P, H]`, and c behind the last of them."""
        blocks, weights = self.chains.blocks, [weight for weight in self.fused[1:] if weight is not None]
        has_biases = len(weights) > 2
        if len(weights) == 3:  # torch has two or none
            weights.append(torch.zeros_like(weights[2]))
        rows = self.x if self._is_in_order else _Moved.apply(self.x, blocks.node, blocks.row)
        outputs = []
        state = [field.unsqueeze(0) for field in self._before()]
        for piece, (steps, chains) in zip(
            rows.split([steps * chains for steps, chains in blocks.shapes]), blocks.shapes, strict=True
        ):
            given = [field[:, :chains] for field in state]
            output, *state = torch.lstm(
                piece.view(steps, chains, -1),
                given,
                weights,
                has_biases,
                1,
                0.0,
                torch.is_grad_enabled(),
                False,
                False,
            )
            outputs.append(output.flatten(0, 1))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs), state[1].squeeze(0)

    def _before(self) -> Sequence[Tensor]:
        zero = self.x.new_zeros(self.chains.num_chains, self.fused.w_hh.shape[1])
        return self.initial or (zero, zero)

    @property
    def _is_in_order(self) -> bool:
        return self.chains.regular is not None and self.chains.regular[0] == self.chains.num_chains

    def _leave(self, rows: Tensor) -> Tensor:
        """From the blocks into the caller's order."""
        if self._is_in_order:
            return _first_only(rows)
        return _Moved.apply(rows, self.chains.blocks.row, self.chains.blocks.node)

    def _memory(self, h: Tensor) -> Tensor:
        """c of all nodes, from h: all gates at once, then c_t = f_t * c_{t-1} + i_t * g_t."""
        chains, fused, layout = self.chains, self.fused, Layout(self.chains, as_numbered=False)
        before, initial = self._before()
        x, h = (_Moved.apply(rows, chains.node, chains.place) for rows in (self.x, h))
        earlier = torch.cat([before, h.index_select(0, chains.before)])
        gates = x @ fused.w_ih[: 3 * h.shape[1]].t() + earlier @ fused.w_hh[: 3 * h.shape[1]].t()
        for bias in (fused.b_ih, fused.b_hh):
            gates = gates if bias is None else gates + bias[: 3 * h.shape[1]]
        i, f, g = gates.chunk(3, dim=-1)
        c = Scan.apply(layout, torch.sigmoid(f), torch.sigmoid(i) * torch.tanh(g), initial)
        return _Moved.apply(c, chains.place, chains.node)


def _first_only(rows: Tensor) -> Tensor:
    """The same rows, of which a backward pass is not to be differentiated; not the same memory, if there is one."""
    return _Copied.apply(rows) if rows.requires_grad else rows


class _Copied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        """Copy."""
        return rows.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """The gradient as it is."""
        check_first_derivatives(grads)
        return grads[0]


class _Moved(torch.autograd.Function):
    """`rows[there]`, where `back` is the place of each row that counts: rows named again in `there` are padding."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, there: Tensor, back: Tensor) -> Tensor:
        """Gather."""
        ctx.save_for_backward(there, back)
        return rows.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """Gather back; padding has no gradient."""
        check_first_derivatives(grads)
        there, back = ctx.saved_tensors
        (grad,) = grads
        if len(back) > len(there):
            return grad.new_zeros(len(back), *grad.shape[1:]).index_copy_(0, there, grad), None, None
        return grad.index_select(0, back), None, None
