"""Torch's own recurrent operators over chains side by side: LSTM, GRU and the simple recurrent network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..schedule import sinks
from ..sparse import move
from .layout import Layout
from .lowered import Lowered
from .scan import Scan

# Far beyond what any gate's argument comes to, and far from overflow.
_SHUT = 1e30


class TorchOperators(Lowered):
    """Blocks of nearly equally long chains, one call of torch's operator for each."""

    name = "torch"

    @staticmethod
    def refuses(operator: str, x: Tensor) -> str | None:
        """Nothing beside what no backend for chains takes."""
        return None

    def h(self) -> Tensor:
        """`[N, H]`."""
        return self._leave(self._operator(self._enter(), self.fused.w_ih)[0])

    def state(self) -> tuple[Tensor, ...]:
        """h, and for the LSTM c, `[N, H]` each."""
        h = self.h()
        return (h, self._memory(h)) if self.is_lstm else (h,)

    def sequence(self) -> tuple[Tensor, list[Tensor]]:
        """h, and the state where each graph ends."""
        return self._lstm_sequence() if self.is_lstm else super().sequence()

    @property
    def is_lstm(self) -> bool:
        """Whether there is a c, of which the operator tells at the end of a block alone."""
        return self.fused.operator == "lstm"

    def _lstm_sequence(self) -> tuple[Tensor, list[Tensor]]:
        tables, w_ih = self._enter(), self.fused.w_ih
        if not self.chains.are_equally_long:
            tables, w_ih = self._with_a_stop(tables, w_ih)
        outputs, memories = self._operator(tables, w_ih)
        h, ends = self._leave(outputs), sinks(self.plan).node.clamp(min=0)
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
        """For each block h, `[steps, chains, H]`, and the last field of the state behind it, `[1, chains, H]`."""
        call, dtype = getattr(torch, self.fused.operator), self._dtype
        weights = [weight.to(dtype) for weight in self.fused._replace(w_ih=w_ih).weights()]
        state: Any = [field.to(dtype) for field in self._initial_state()]
        outputs, last = [], []
        with torch.autocast(self.x.device.type, enabled=False):
            for table in tables:
                if (width := table.shape[1]) < state[0].shape[1]:
                    state = [field[:, :width].contiguous() for field in state]
                given = state if self.is_lstm else state[0]
                output, *state = call(
                    table.to(dtype),
                    given,
                    weights,
                    len(weights) == 4,
                    1,
                    0.0,
                    torch.is_grad_enabled(),
                    False,
                    False,
                )
                outputs.append(output.to(self.x.dtype))
                last.append(state[-1].to(self.x.dtype))
        return outputs, last

    @property
    def _dtype(self) -> torch.dtype:
        device = self.x.device.type
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.x.dtype

    def _initial_state(self) -> list[Tensor]:
        """The state before each chain, `[1, B, H]` for each field."""
        if self.initial:
            return [field.unsqueeze(0) for field in self.initial]
        return [self.x.new_zeros(1, self.chains.num_chains, self.fused.w_hh.shape[1])] * (1 + self.is_lstm)

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
        before, initial = (field[0] for field in self._initial_state())
        x, h = (move(rows, chains.perm, chains.inv_perm) for rows in (self.x, h))
        earlier = torch.cat([before, h.index_select(0, chains.predecessor)])
        gates = x @ fused.w_ih[: 3 * h.shape[1]].t() + earlier @ fused.w_hh[: 3 * h.shape[1]].t()
        for bias in (fused.b_ih, fused.b_hh):
            gates = gates if bias is None else gates + bias[: 3 * h.shape[1]]
        i, f, g = gates.to(self.x.dtype).chunk(3, dim=-1)
        c = Scan.apply(layout, torch.sigmoid(f), torch.sigmoid(i) * torch.tanh(g), initial)
        return move(c, chains.inv_perm, chains.perm)
