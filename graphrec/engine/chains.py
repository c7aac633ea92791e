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

# Far beyond what any gate's argument comes to, and far from overflow.
_SHUT = 1e30
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
        return self._leave(self._operator(self._enter(), self.fused.w_ih)[0])

    def state(self) -> tuple[Tensor, ...]:
        """h and c, `[N, H]` each."""
        h = self.h()
        return h, self._memory(h)

    def sequence(self) -> tuple[Tensor, list[Tensor]]:
        """h, and h and c where each graph ends."""
        x, w_ih = self._enter(), self.fused.w_ih
        if not self.chains.are_equally_long:
            x, w_ih = self._with_a_stop(x, w_ih)
        outputs, memories = self._operator(x, w_ih)
        h, ends = self._leave(outputs), self.plan.ends.node.clamp(min=0)
        widths = [width for _, width in self.chains.blocks.shapes[1:]]
        ended = [c[0, width:] for c, width in zip(memories, [*widths, 0], strict=True)]
        c = torch.cat(ended[::-1]).index_select(0, self.chains.chain[ends])
        return h, [h.index_select(0, ends), _first_only(c)]

    def _with_a_stop(self, x: Tensor, w_ih: Tensor) -> tuple[Tensor, Tensor]:
        """One input more, which is 1 in padding: it opens the forget gate and shuts the input gate.

        So c stays what it was where the chain ended.
        """
        hidden = self.fused.w_hh.shape[1]
        stop = w_ih.new_zeros(4 * hidden, 1)
        stop[:hidden], stop[hidden : 2 * hidden] = -_SHUT, _SHUT
        padding = self.chains.blocks.is_padding.to(x.dtype).unsqueeze(1)
        return torch.cat([x, padding], dim=1), torch.cat([w_ih, stop], dim=1)

    def _operator(self, x: Tensor, w_ih: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """For each block h at its rows, and c behind it, `[1, ·, H]`."""
        _, _, w_hh, *biases = self.fused
        biases = [bias for bias in biases if bias is not None]
        if len(biases) == 1:  # torch has two or none
            biases.append(torch.zeros_like(biases[0]))
        weights, training = [w_ih, w_hh, *biases], torch.is_grad_enabled()
        state = [field.unsqueeze(0) for field in self._before()]
        outputs, memories, begin = [], [], 0
        for steps, width in self.chains.blocks.shapes:
            if outputs:
                state = [field[:, :width] for field in state]
            rows = x[begin : begin + steps * width].view(steps, width, -1)
            output, *state = torch.lstm(rows, state, weights, bool(biases), 1, 0.0, training, False, False)
            outputs.append(output.view(steps * width, -1))
            memories.append(state[1])
            begin += steps * width
        return outputs, memories

    def _before(self) -> Sequence[Tensor]:
        """h and c before each chain."""
        if self.initial:
            return self.initial
        zero = self.x.new_zeros(self.chains.num_chains, self.fused.w_hh.shape[1])
        return zero, zero

    @property
    def _is_in_order(self) -> bool:
        return self.chains.regular is not None and self.chains.regular[0] == self.chains.num_chains

    def _enter(self) -> Tensor:
        """x at all rows of the blocks."""
        return self.x if self._is_in_order else _move(self.x, self.chains.blocks.node, self.chains.blocks.row)

    def _leave(self, outputs: list[Tensor]) -> Tensor:
        """From the blocks into the caller's order."""
        rows = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        if self._is_in_order:
            return _first_only(rows)
        return _move(rows, self.chains.blocks.row, self.chains.blocks.node)

    def _memory(self, h: Tensor) -> Tensor:
        """c of all nodes, from h: all gates at once, then c_t = f_t * c_{t-1} + i_t * g_t."""
        chains, fused, layout = self.chains, self.fused, Layout(self.chains, as_numbered=False)
        before, initial = self._before()
        x, h = (_move(rows, chains.node, chains.place) for rows in (self.x, h))
        earlier = torch.cat([before, h.index_select(0, chains.before)])
        gates = x @ fused.w_ih[: 3 * h.shape[1]].t() + earlier @ fused.w_hh[: 3 * h.shape[1]].t()
        for bias in (fused.b_ih, fused.b_hh):
            gates = gates if bias is None else gates + bias[: 3 * h.shape[1]]
        i, f, g = gates.chunk(3, dim=-1)
        c = Scan.apply(layout, torch.sigmoid(f), torch.sigmoid(i) * torch.tanh(g), initial)
        return _move(c, chains.place, chains.node)


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


def _move(rows: Tensor, there: Tensor, back: Tensor) -> Tensor:
    """`rows[there]`, where `back` is the place of each row that counts: rows named again in `there` are padding."""
    return _Moved.apply(rows, there, back) if rows.requires_grad else rows.index_select(0, there)


class _Moved(torch.autograd.Function):
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
