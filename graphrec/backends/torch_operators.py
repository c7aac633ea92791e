"""Torch's own recurrent operators over chains side by side: LSTM, GRU and the simple recurrent network."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from ..engine.boundary import as_numbered
from ..operators import move
from ..schedule import Chains, Schedule, Segments, derived, out_edges, segments, sinks
from .lowered import Lowered
from .request import Request

# In trees, measured against programs: a call costs as much as this many levels, and where the operator is no single
# operation a level as much as so many of its steps.
LEVELS_A_CALL, STEPS_A_LEVEL = 4, 4 / 3


class TorchOperators(Lowered):
    """Blocks of nearly equally long chains, one call of torch's operator for each.

    In trees read downwards the chains are segments. Those of a level begin with the last states of the level before.
    """

    name = "torch"
    about = "the SRN, the GRU and the LSTM over chains and branching chains, with torch's own operators"

    @staticmethod
    def refuses(operator: str, x: Tensor) -> str | None:
        """Nothing apart from what all backends for chains refuse."""
        return None

    @classmethod
    def gains_nothing(cls, request: Request) -> str | None:
        """Few steps; in trees also short segments, and what torch computes by many operations at each step."""
        fused = request.operator
        if request.too_short is not None or isinstance(fused, str):
            return request.too_short
        over = request.chains
        if not isinstance(over, Segments):
            return None
        calls, steps, levels = len(over.blocks.shapes), len(over.counts), len(request.run.plan.steps)
        if LEVELS_A_CALL * calls > levels:
            return f"{calls} calls of torch's {fused.operator} are no faster than {levels} levels"
        if _is_one_operation(fused.operator, request.x):
            return None
        if STEPS_A_LEVEL * levels < steps:
            return f"{steps} steps of segments are no faster than {levels} levels"
        is_program = not isinstance(request.recording, str)
        return f"on a CPU torch runs {fused.operator} operation by operation" if is_program else None

    def h(self) -> Tensor:
        """`[N, H]`."""
        tables, w_ih = self._enter(), self.fused.w_ih
        if self._may_overflow_in_padding() or (self.is_lstm and self._has_padding_before_forks()):
            tables, w_ih = self._with_a_stop(tables, w_ih)
        return self._leave(self._operator(tables, w_ih)[0])

    def state(self) -> tuple[Tensor, ...]:
        """h, and for the LSTM c, `[N, H]` each."""
        h = self.h()
        return (h, self._memory(h)) if self.is_lstm else (h,)

    def sequence(self) -> tuple[Tensor, list[Tensor]]:
        """h, and the state at the sink of each graph."""
        if self.is_lstm and isinstance(self.chains, Chains):
            return self._lstm_sequence(self.chains)
        return super().sequence()

    @property
    def is_lstm(self) -> bool:
        """Whether there is a c, which the operator returns at the end of a block only."""
        return self.fused.operator == "lstm"

    def _lstm_sequence(self, chains: Chains) -> tuple[Tensor, list[Tensor]]:
        tables, w_ih = self._enter(), self.fused.w_ih
        if not chains.are_equally_long:
            tables, w_ih = self._with_a_stop(tables, w_ih)
        outputs, memories = self._operator(tables, w_ih)
        h, c, sink = self._leave(outputs), _at_the_end(memories), sinks(self.plan).node.clamp(min=0)
        return h, [h.index_select(0, sink), c.index_select(0, chains.chain[sink])]

    def _may_overflow_in_padding(self) -> bool:
        """Whether h may grow behind the end of a chain: an infinite h times a gradient of zero is no zero."""
        return self.fused.operator == "rnn_relu" and len(self.chains.blocks.node) > len(self.x)

    def _has_padding_before_forks(self) -> bool:
        """Whether a segment that others begin with may end before its block does."""
        blocks, over = self.chains.blocks, self.chains
        if isinstance(over, Chains):
            return False
        rows = sum(steps * width for steps, width in blocks.shapes[: blocks.bounds[-2]])
        return rows > sum(over.counts[: over.step_bounds[-2]])

    def _with_a_stop(self, tables: list[Tensor], w_ih: Tensor) -> tuple[list[Tensor], Tensor]:
        """One more input, 1 in padding, that opens the forget gate and shuts the input gate, or a rectifier.

        So c keeps the value that it had at the end of the chain, and a rectifier's h is zero.
        """
        hidden = self.fused.w_hh.shape[1]
        shut = torch.finfo(self._dtype).max / 2  # far beyond any gate's argument
        stop = w_ih.new_zeros(len(w_ih), 1)
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
        return _computed_in(self.x)

    def _operator(self, tables: list[Tensor], w_ih: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """For each block h, `[steps, chains, H]`, and the last field of the final state, `[1, chains, H]`."""
        call, device, dtype = getattr(torch, self.fused.operator), self.x.device.type, self._dtype
        weights = [weight.to(dtype) for weight in self.fused._replace(w_ih=w_ih).weights()]
        # Biases, one layer, no dropout, in training, one direction, steps first.
        how = (len(weights) == 4, 1, 0.0, torch.is_grad_enabled(), False, False)
        outputs, last = [], []
        given, before = self._initial_or_zero(), 0
        with torch.autocast(device, enabled=False):
            for level, (begin, end) in enumerate(pairwise(self.chains.blocks.bounds)):
                if level:
                    given = self._handed_on(level, outputs[before:], last[before:])
                state: Any = [field.unsqueeze(0).to(dtype) for field in given]
                for table in tables[begin:end]:
                    if (width := table.shape[1]) < state[0].shape[1]:
                        state = [field[:, :width].contiguous() for field in state]
                    output, *state = call(table.to(dtype), state if self.is_lstm else state[0], weights, *how)
                    outputs.append(output.to(self.x.dtype))
                    last.append(state[-1].to(self.x.dtype))
                before = begin
        return outputs, last

    def _handed_on(self, level: int, outputs: list[Tensor], last: list[Tensor]) -> list[Tensor]:
        """The states with which the segments of a level begin, from what the blocks of the level before have given."""
        row, parent = _read_by_heads(self.plan)[level - 1]
        flat = [output.flatten(0, 1) for output in outputs]
        h = (torch.cat(flat) if len(flat) > 1 else flat[0]).index_select(0, row)
        return [h, _at_the_end(last).index_select(0, parent)] if self.is_lstm else [h]

    def _initial_or_zero(self) -> list[Tensor]:
        """The initial state of each chain, `[B, H]` for each field."""
        if self.initial_state:
            return self.initial_state
        width = self.chains.blocks.shapes[0][1]
        return [self.x.new_zeros(width, self.fused.w_hh.shape[1])] * (1 + self.is_lstm)

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
        if isinstance(self.chains, Segments):
            return self._memory_of_trees(h, self.chains)
        chains = self.chains
        first, c = self._initial_or_zero()
        earlier = torch.cat([first, chains.previous(self.step_by_step(h))])
        forget, add = self._gates(self.step_by_step(self.x), earlier)
        memories = []
        for f_t, add_t in zip(forget.split(chains.counts), add.split(chains.counts), strict=True):
            c = torch.addcmul(add_t, f_t, c[: len(f_t)])
            memories.append(c)
        return self.as_numbered(torch.cat(memories))

    def _gates(self, x: Tensor, earlier: Tensor) -> tuple[Tensor, Tensor]:
        """f_t and i_t * g_t of all nodes, from x and the previous h."""
        fused, gates_of = self.fused, slice(0, 3 * earlier.shape[1])
        gates = x @ fused.w_ih[gates_of].t() + earlier @ fused.w_hh[gates_of].t()
        for bias in (fused.b_ih, fused.b_hh):
            gates = gates if bias is None else gates + bias[gates_of]
        i, f, g = gates.to(self.x.dtype).chunk(3, dim=-1)
        return torch.sigmoid(f), torch.sigmoid(i) * torch.tanh(g)

    def _memory_of_trees(self, h: Tensor, over: Segments) -> Tensor:
        """The same by levels of nodes, which are never more than the steps of all levels of segments."""
        plan, out = self.plan, out_edges(self.plan)
        x, h = (rows if plan.is_identity else move(rows, plan.perm, plan.inv_perm) for rows in (self.x, h))
        # The nodes of the first level are the heads of the first segments.
        first, c = (
            field.index_select(0, over.segment[plan.nodes(plan.steps[0])])
            for field in self._initial_or_zero()
        )
        source = plan.source[plan.steps[0].edges.stop :] - len(plan.boundary)
        forget, add = self._gates(x, torch.cat([first, h.index_select(0, source)]))
        sizes = plan.steps.nodes.diff().tolist()
        memories = []
        for level, (f_t, add_t) in enumerate(zip(forget.split(sizes), add.split(sizes), strict=True)):
            if level and not out.is_whole[level]:
                c = c.index_select(0, out.row[out.bounds[level] : out.bounds[level + 1]])
            c = torch.addcmul(add_t, f_t, c)
            memories.append(c)
        return as_numbered(plan, torch.cat(memories))


def _computed_in(x: Tensor) -> torch.dtype:
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _is_one_operation(operator: str, x: Tensor) -> bool:
    """Whether all steps together are one, there and back: cuDNN's, or oneDNN's on a CPU."""
    of_mkldnn = operator == "lstm" and _computed_in(x) in (torch.float32, torch.bfloat16)
    return not x.is_cpu or (of_mkldnn and torch.backends.mkldnn.is_available())


def _at_the_end(last: list[Tensor]) -> Tensor:
    """`[B, ...]`: of what each block gives at its end, `[1, chains, ...]`, that of the chains which end in it."""
    ends = [of_block[0, later.shape[1] :] for of_block, later in pairwise([*last, last[0][:, :0]])]
    return torch.cat(ends[::-1])


@derived
def _read_by_heads(plan: Schedule) -> list[tuple[Tensor, Tensor]]:
    """For each level of segments but the first what its heads read of the level before.

    Rows of its blocks, counted from their first, and segments, counted from its first; `[heads]` each.
    """
    found = segments(plan)
    assert found is not None
    blocks, begin = found.blocks, found.segment_bounds
    rows = blocks.row[plan.perm[(found.row - len(plan.boundary)).clamp(min=0)]]
    first_row = [0, *accumulate(steps * width for steps, width in blocks.shapes)]
    made = []
    for level in range(1, found.num_levels):
        heads, before = slice(begin[level], begin[level + 1]), first_row[blocks.bounds[level - 1]]
        made.append((rows[heads] - before, found.parent[heads] - begin[level - 1]))
    return made
