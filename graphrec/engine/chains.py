"""Batches of chains with the cells that torch has operators for: the same numbers by a shorter way.

Where a schedule is nothing but chains side by side and a cell says that it is torch's RNN, GRU or LSTM
(`Cell.fused`), no step needs to be recorded and no inbox to be gathered. The SRN and the GRU run as sweeps whose
reverse is derived by hand; the LSTM runs as torch's own operator.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..cells.cell import Fused
from ..schedule import Chains, Schedule
from .chain_sweep import GRU, SRN, Layout, Scan, sweep_chains
from .job import Job
from .segments import move

# Far beyond what any gate's argument comes to, and far from overflow.
_SHUT = 1e30
_SWEPT = {"rnn_tanh": SRN(relu=False), "rnn_relu": SRN(relu=True), "gru": GRU()}


def lower(job: Job, x: Tensor, initial: list[Tensor]) -> Lowered | None:
    """The short way for a run, if there is one; arguments as in `sweep`, but for x, which is the caller's."""
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return None
    fused = job.cell.fused()
    if fused is None or torch.is_autocast_enabled(x.device.type):
        return None
    for tensor in (x, *initial, *fused[1:]):
        # Of other types are stand-ins (the cell runs in a step of another) and whatever else overloads operations.
        if tensor is not None and (type(tensor) not in (Tensor, nn.Parameter) or tensor.dtype != x.dtype):
            return None
    # Torch's operators trust the shapes that they are given; what is wrong with others, the equations say.
    if not fused.has_shapes(x.shape[1], job.cell.hidden):
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
        tables, w_ih = self._enter(), self.fused.w_ih
        if not self.chains.are_equally_long:
            tables, w_ih = self._with_a_stop(tables, w_ih)
        outputs, memories = self._operator(tables, w_ih)
        h, ends = self._leave(outputs), self.plan.ends.node.clamp(min=0)
        widths = [width for _, width in self.chains.blocks.shapes[1:]]
        ended = [c[0, width:] for c, width in zip(memories, [*widths, 0], strict=True)]
        c = torch.cat(ended[::-1]).index_select(0, self.chains.chain[ends])
        return h, [h.index_select(0, ends), c]

    def _with_a_stop(self, tables: list[Tensor], w_ih: Tensor) -> tuple[list[Tensor], Tensor]:
        """One input more, which is 1 in padding: it opens the forget gate and shuts the input gate.

        So c stays what it was where the chain ended.
        """
        hidden = self.fused.w_hh.shape[1]
        stop = w_ih.new_zeros(4 * hidden, 1)
        stop[:hidden], stop[hidden : 2 * hidden] = -_SHUT, _SHUT
        padding = self._tables(self.chains.blocks.is_padding.unsqueeze(1))
        stopped = [
            torch.cat([table.masked_fill(ended, 0), ended.to(table.dtype)], dim=-1)
            for table, ended in zip(tables, padding, strict=True)
        ]
        return stopped, torch.cat([w_ih, stop], dim=1)

    def _operator(self, tables: list[Tensor], w_ih: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """For each block h, `[steps, chains, H]`, and c behind it, `[1, chains, H]`."""
        weights, training = self.fused._replace(w_ih=w_ih).weights(), torch.is_grad_enabled()
        h, c = self._before()
        outputs, memories = [], []
        for table in tables:
            if (width := table.shape[1]) < h.shape[1]:
                h, c = h[:, :width], c[:, :width]
            output, h, c = torch.lstm(
                table, [h, c], weights, len(weights) == 4, 1, 0.0, training, False, False
            )
            outputs.append(output)
            memories.append(c)
        return outputs, memories

    def _before(self) -> list[Tensor]:
        """h and c before each chain, `[1, B, H]` each."""
        if self.initial:
            return [field.unsqueeze(0) for field in self.initial]
        return [self.x.new_zeros(1, self.chains.num_chains, self.fused.w_hh.shape[1])] * 2

    def _enter(self) -> list[Tensor]:
        """x for each block, `[steps, chains, D]`."""
        if self.chains.regular is None:
            return self._tables(move(self.x, self.chains.blocks.node, self.chains.blocks.row))
        (along, across), time, count = self.chains.regular, len(self.chains.counts), self.chains.num_chains
        if across == 1:
            table = self.x.reshape(time, count, -1)
        else:
            table = self.x.reshape(count, time, -1).transpose(0, 1)
        return [table if along > 0 else table.flip(0)]

    def _leave(self, tables: list[Tensor]) -> Tensor:
        """`[N, H]`, from the blocks into the caller's order."""
        if self.chains.regular is None:
            rows = torch.cat([table.flatten(0, 1) for table in tables])
            return move(rows, self.chains.blocks.row, self.chains.blocks.node)
        (along, across), (table,) = self.chains.regular, tables
        table = table if along > 0 else table.flip(0)
        table = table if across == 1 else table.transpose(0, 1)
        # Autograd keeps what the operator has returned, and the caller may write into his.
        rows = (
            table.clone(memory_format=torch.contiguous_format) if table.requires_grad else table.contiguous()
        )
        return rows.view(-1, rows.shape[-1])

    def _tables(self, rows: Tensor) -> list[Tensor]:
        """The rows of each block, `[steps, chains, ...]`."""
        shapes = self.chains.blocks.shapes
        parts = rows.split([steps * width for steps, width in shapes])
        return [part.view(*shape, -1) for part, shape in zip(parts, shapes, strict=True)]

    def _memory(self, h: Tensor) -> Tensor:
        """c of all nodes, from h: all gates at once, then c_t = f_t * c_{t-1} + i_t * g_t."""
        chains, fused, layout = self.chains, self.fused, Layout(self.chains, as_numbered=False)
        before, initial = (field[0] for field in self._before())
        x, h = (move(rows, chains.node, chains.place) for rows in (self.x, h))
        earlier = torch.cat([before, h.index_select(0, chains.before)])
        gates = x @ fused.w_ih[: 3 * h.shape[1]].t() + earlier @ fused.w_hh[: 3 * h.shape[1]].t()
        for bias in (fused.b_ih, fused.b_hh):
            gates = gates if bias is None else gates + bias[: 3 * h.shape[1]]
        i, f, g = gates.chunk(3, dim=-1)
        c = Scan.apply(layout, torch.sigmoid(f), torch.sigmoid(i) * torch.tanh(g), initial)
        return move(c, chains.place, chains.node)
