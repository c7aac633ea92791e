"""Torch's own recurrent operators over chains side by side: LSTM, GRU and the simple recurrent network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..operators import move
from ..schedule import sinks
from .lowered import Lowered


class TorchOperators(Lowered):
    """Blocks of nearly equally long chains, one call of torch's operator for each."""

    name = "torch"
    about = "the SRN, the GRU and the LSTM over chains, with torch's own operators"

    @staticmethod
    def refuses(operator: str, x: Tensor) -> str | None:
        """Nothing apart from what all backends for chains refuse."""
        return None

    def h(self) -> Tensor:
        """`[N, H]`."""
        return self._leave(self._operator(self._enter(), self.fused.w_ih)[0])

    def state(self) -> tuple[Tensor, ...]:
        """h, and for the LSTM c, `[N, H]` each."""
        h = self.h()
        return (h, self._memory(h)) if self.is_lstm else (h,)

    def sequence(self) -> tuple[Tensor, list[Tensor]]:
        """h, and the state at the sink of each graph."""
        return self._lstm_sequence() if self.is_lstm else super().sequence()

    @property
    def is_lstm(self) -> bool:
        """Whether there is a c, which the operator returns at the end of a block only."""
        return self.fused.operator == "lstm"

    def _lstm_sequence(self) -> tuple[Tensor, list[Tensor]]:
        tables, w_ih = self._enter(), self.fused.w_ih
        if not self.chains.are_equally_long:
            tables, w_ih = self._with_a_stop(tables, w_ih)
        outputs, memories = self._operator(tables, w_ih)
        widths = [width for _, width in self.chains.blocks.shapes[1:]]
        finals = [c[0, width:] for c, width in zip(memories, [*widths, 0], strict=True)]
        h, c, sink = self._leave(outputs), torch.cat(finals[::-1]), sinks(self.plan).node.clamp(min=0)
        return h, [h.index_select(0, sink), c.index_select(0, self.chains.chain[sink])]

    def _with_a_stop(self, tables: list[Tensor], w_ih: Tensor) -> tuple[list[Tensor], Tensor]:
        """One more input, 1 in padding, that opens the forget gate and shuts the input gate.

        So c keeps the value that it had at the end of the chain.
        """
        hidden = self.fused.w_hh.shape[1]
        shut = torch.finfo(self._dtype).max / 2  # far beyond any gate's argument
        stop = w_ih.new_zeros(4 * hidden, 1)
        stop[:hidden], stop[hidden : 2 * hidden] = -shut, shut
        padding = self._tables(self.chains.blocks.is_padding.unsqueeze(1))
        stopped = [
            torch.cat([table.masked_fill(ended, 0), ended.to(table.dtype)], dim=-1)
            for table, ended in zip(tables, padding, strict=True)
        ]
        return stopped, torch.cat([w_ih, stop], dim=1)

    @property
    def _dtype(self) -> torch.dtype:
        """In which the operator computes."""
        device = self.x.device.type
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.x.dtype

    def _operator(self, tables: list[Tensor], w_ih: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """For each block h, `[steps, chains, H]`, and the last field of the final state, `[1, chains, H]`."""
        call, device, dtype = getattr(torch, self.fused.operator), self.x.device.type, self._dtype
        weights = [weight.to(dtype) for weight in self.fused._replace(w_ih=w_ih).weights()]
        state: Any = [field.unsqueeze(0).to(dtype) for field in self._initial_or_zero()]
        # Biases, one layer, no dropout, in training, one direction, steps first.
        how = (len(weights) == 4, 1, 0.0, torch.is_grad_enabled(), False, False)
        outputs, last = [], []
        with torch.autocast(device, enabled=False):
            for table in tables:
                if (width := table.shape[1]) < state[0].shape[1]:
                    state = [field[:, :width].contiguous() for field in state]
                output, *state = call(table.to(dtype), state if self.is_lstm else state[0], weights, *how)
                outputs.append(output.to(self.x.dtype))
                last.append(state[-1].to(self.x.dtype))
        return outputs, last

    def _initial_or_zero(self) -> list[Tensor]:
        """The initial state of each chain, `[B, H]` for each field."""
        if self.initial_state:
            return self.initial_state
        return [self.x.new_zeros(self.chains.num_chains, self.fused.w_hh.shape[1])] * (1 + self.is_lstm)

    def _enter(self) -> list[Tensor]:
        """x for each block, `[steps, chains, D]`."""
        blocks = self.chains.blocks
        in_place = self.chains.is_identity and len(blocks.node) == len(self.x)
        return self._tables(self.x if in_place else move(self.x, blocks.node, blocks.row))

    def _leave(self, tables: list[Tensor]) -> Tensor:
        """`[N, H]`, from the blocks to the caller's numbering, as a tensor that the caller may write into."""
        blocks, rows = self.chains.blocks, torch.cat([table.flatten(0, 1) for table in tables])
        in_place = self.chains.is_identity and len(rows) == len(self.x)
        return rows if in_place else move(rows, blocks.row, blocks.node)

    def _tables(self, rows: Tensor) -> list[Tensor]:
        """The rows of each block, `[steps, chains, ...]`."""
        shapes = self.chains.blocks.shapes
        parts = rows.split([steps * width for steps, width in shapes])
        return [part.reshape(*shape, part.shape[-1]) for part, shape in zip(parts, shapes, strict=True)]

    def _memory(self, h: Tensor) -> Tensor:
        """c of all nodes, from h: all gates at once, then c_t = f_t * c_{t-1} + i_t * g_t."""
        chains, fused, gates_of = self.chains, self.fused, slice(0, 3 * h.shape[1])
        first, c = self._initial_or_zero()
        x, earlier = self.step_by_step(self.x), torch.cat([first, chains.previous(self.step_by_step(h))])
        gates = x @ fused.w_ih[gates_of].t() + earlier @ fused.w_hh[gates_of].t()
        for bias in (fused.b_ih, fused.b_hh):
            gates = gates if bias is None else gates + bias[gates_of]
        i, f, g = gates.to(self.x.dtype).chunk(3, dim=-1)
        forget, add = torch.sigmoid(f), torch.sigmoid(i) * torch.tanh(g)
        memories = []
        for f_t, add_t in zip(forget.split(chains.counts), add.split(chains.counts), strict=True):
            c = torch.addcmul(add_t, f_t, c[: len(f_t)])
            memories.append(c)
        return self.as_numbered(torch.cat(memories))
