"""Backpropagation by blocks of steps, each of which is run a second time for its gradient.

Forwards, a block leaves nothing but the states that later blocks read. Backwards, the last block first, it is run again
from such states, with gradients; those of the states it has read are added to what the blocks before it receive.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ..backends import Programs, Request, choose
from ..cell import Cell
from ..engine.boundary import gather_edges
from ..engine.validate import Context, validate
from ..program.purity import Watched
from ..program.recording import sorts_within
from ..schedule import Block, Schedule, blocks_of
from .first_order import check_first_order, check_untransformed
from .layers import BATCH_NORMS
from .second_run import Reads, ReadsAgain, Surroundings, drawn_again, random_state

Gradients = Sequence[Tensor | None]


def run_by_blocks(name: str, cell: Cell, plan: Schedule, x: Tensor, initial: Any, size: int) -> Any:
    """As `graphrec.run`, with the same gradients.

    Args:
        name: of the rule, for errors.
        cell, plan, x, initial: as in `graphrec.run`; the schedule has more than `size` steps.
        size: how many steps a block has.
    """
    check_untransformed(name, x)
    if plan.edge_mask is not None:
        raise ValueError(
            f"{name} runs blocks of a schedule, which have no masks of edges: leave out the rule, model(x, s)."
        )
    if any(isinstance(part, BATCH_NORMS) and _is_of_batch(part) for part in cell.modules()):
        raise ValueError(
            f"{name} runs {type(cell).__name__} block by block, twice, and batch normalisation in training would see "
            f"the rows of a block and count them twice: use layer normalisation, cell.eval(), or BPTT()."
        )
    run, fields = validate(cell, plan, x, initial)
    of_edges = list(run.of_edges.values())
    by_blocks = _ByBlocks(name, run, size, fields)
    return cell.State(*by_blocks.state([x, *(fields or by_blocks.zero(x)), *of_edges]))


def _is_of_batch(part: Any) -> bool:
    return part.training or part.running_mean is None


class _ByBlocks:
    """A run. Its tensors are x, the fields of the initial state (without one: a row of zeros), and what edges carry.

    Args:
        name: of the rule.
        run: the run.
        size: how many steps a block has.
        initial: the fields of the initial state, or nothing.
    """

    def __init__(self, name: str, run: Context, size: int, initial: list[Tensor]) -> None:
        self.name, self.run = name, run
        self.blocks, self._num_kept = blocks_of(run.plan, size)
        self._row = run.initial_row if initial and (run.each_its_own or initial[0].shape[0] > 1) else None
        self._drawn: dict[int, Tensor] = {}  # where random numbers stood, for blocks that draw some

    def zero(self, x: Tensor) -> list[Tensor]:
        """An initial state of zeros, with a row for all nodes."""
        return [x.new_zeros(1, *shape) for shape in self.run.shapes]

    def state(self, given: list[Tensor]) -> tuple[Tensor, ...]:
        """The fields of the state, `[N, ...]`, in the caller's numbering."""
        cell = self.run.cell
        self._around = Surroundings(cell, given[0].device)
        with torch.no_grad():
            made, kept, read = self._forwards([tensor.detach() for tensor in given])
        self._read = set(read)
        # (Parts that are compiled read weights without giving them to functions one by one.)
        read |= {id(weight): weight for weight in cell.parameters() if weight.requires_grad}
        self._captured = list(read.values())
        return _Recomputed.apply(self, made, kept, *given, *self._captured)

    def _forwards(self, given: list[Tensor]) -> tuple[list[Tensor], list[Tensor], dict[int, Tensor]]:
        """The state; the rows that later blocks read; the tensors with gradients that the cell has read, by id."""
        x, shapes, device = given[0], self.run.shapes, given[0].device
        made = [x.new_empty(self.run.plan.num_nodes, *shape) for shape in shapes]
        kept = [x.new_empty(self._num_kept, *shape) for shape in shapes]
        self._watched, is_recorded = Watched(self.run.cell), True
        reads, recorded = Reads(), {}
        for number, block in enumerate(self.blocks):
            stood = random_state(device)
            fields, is_program = self._run(block, self._enter(block, given, kept), reads, recorded)
            for field, rows, whole in zip(fields, kept, made, strict=True):
                rows[block.kept] = field.index_select(0, block.leaving)
                if block.is_shown:
                    whole[block.nodes] = field
            is_recorded &= is_program
            if not torch.equal(stood, random_state(device)):
                self._drawn[number] = stood
        if self._around.is_autocast:
            torch.clear_autocast_cache()  # (weights cast without a gradient)
        change = None if is_recorded else self._watched.change()
        if change is None and reads.has_generator:
            change = f"{type(self.run.cell).__name__} draws random numbers from a generator of its own"
        if change is not None:
            raise ValueError(
                f"{self.name} runs each block of steps twice, and {change}, so that the second run would be another "
                f"one: use BPTT(), which runs them once."
            )
        return made, kept, reads.noted

    def backwards(
        self, given: list[Tensor], kept: list[Tensor], grads: Gradients, needed: Sequence[bool]
    ) -> Gradients:
        """The gradients of the run's and of the captured tensors, from those of the state."""
        given = [tensor.detach() for tensor in given]
        of_given, of_captured = needed[: len(given)], needed[len(given) :]
        total = [
            torch.zeros_like(t) if is_needed else None for t, is_needed in zip(given, of_given, strict=True)
        ]
        received = [torch.zeros_like(rows) for rows in kept]
        # Where a tensor was computed from others, what lies behind it is autograd's.
        # (One that was frozen since has its gradient, as in autograd.)
        captured = [
            t if t.is_leaf and t.requires_grad else t.detach().requires_grad_() for t in self._captured
        ]
        weights = [t for t, is_needed in zip(captured, of_captured, strict=True) if is_needed]
        of_weights: list[Tensor | None] = [None] * len(weights)
        reads, recorded = ReadsAgain(self._captured, captured), {}
        with self._around.restored():
            self._check_unchanged()
            for number in reversed(range(len(self.blocks))):
                block = self.blocks[number]
                errors = self._errors(block, grads, received)
                tensors = self._enter(block, given, kept)
                x, initial, edges = self._apart(list(of_given))
                for tensor, is_needed in zip(tensors, [x, *(True for _ in initial), *edges], strict=True):
                    tensor.requires_grad_(is_needed)
                with torch.enable_grad(), drawn_again(given[0].device, self._drawn.get(number)):
                    fields, is_program = self._run(block, tensors, reads, recorded)
                found = _gradients(
                    fields, errors, [t for t in tensors if t.requires_grad] + weights, is_program
                )
                self._add(block, [next(found) if t.requires_grad else None for t in tensors], total, received)
                of_weights = [_sum(one, other) for one, other in zip(of_weights, found, strict=True)]
        self._check_read_again(reads.noted)
        rest = iter(of_weights)
        return *total, *(next(rest) if is_needed else None for is_needed in of_captured)

    # ------------------------------------------------------------------------------------------------ one block

    def _run(
        self, block: Block, tensors: list[Tensor], reads: Reads, recorded: dict[Any, Request]
    ) -> tuple[tuple[Tensor, ...], bool]:
        """The state of a block, and whether it was made by a program."""
        plan = block.plan
        x, initial, edges = self._apart(tensors)
        every = torch.arange(plan.boundary.shape[0] + plan.num_nodes, device=plan.device)
        of_boundary, own = every.split([plan.boundary.shape[0], plan.num_nodes])
        if plan.mode == "sync":
            own = of_boundary  # (the own state of a round is that of the round before)
        elif self._row is None:
            own = own[:1].expand(plan.num_nodes)
        run = Context(self.run.cell, plan, own, self.run.dtype, boundary_row=of_boundary)
        run.__dict__["of_edges"] = dict(zip(self.run.of_edges, edges, strict=True))
        # Nodes of the same sorts have the same program: the cell is recorded once for all of these blocks.
        like = recorded.setdefault(sorts_within(plan), Request(run, x, initial))
        with reads:
            runner = choose(run, x, initial, like)
        is_program = isinstance(runner, Programs)
        with nullcontext() if is_program else reads:
            return runner.state(), is_program

    def _enter(self, block: Block, given: list[Tensor], kept: list[Tensor]) -> list[Tensor]:
        """A block's tensors. Its initial state has a row for each boundary row, and then those of its nodes."""
        x, initial, edges = self._apart(given)
        of_given, own = self._rows_of_initial(block)
        made = [_rows(x, block.nodes).detach()]
        for field, rows in zip(initial, kept, strict=True):
            made.append(
                torch.cat([field.index_select(0, of_given), rows[block.read], field.index_select(0, own)])
            )
        for name, rows in zip(self.run.of_edges, edges, strict=True):
            made.append(gather_edges({name: rows}, name, block.edge))
        return made

    def _rows_of_initial(self, block: Block) -> tuple[Tensor, Tensor]:
        """The rows of the initial state that a block reads of others, and those that its nodes have."""
        is_async = block.plan.mode == "async"
        if self._row is None:  # there is one for all
            return torch.zeros_like(block.given), block.given.new_zeros(int(is_async))
        return self._row[block.given], self._row[block.nodes] if is_async else block.given[:0]

    def _errors(self, block: Block, grads: Gradients, received: list[Tensor]) -> list[Tensor | None]:
        """The gradients of a block's states: those of the result, and from the blocks that have read them."""
        errors: list[Tensor | None] = []
        for grad, rows in zip(grads, received, strict=True):
            error = _rows(grad, block.nodes) if grad is not None and block.is_shown else None
            if len(block.leaving):
                if error is None:
                    error = rows.new_zeros(block.plan.num_nodes, *rows.shape[1:])
                error = error.index_add(0, block.leaving, rows[block.kept])
            errors.append(error)
        return errors

    def _add(self, block: Block, found: Gradients, total: Gradients, received: list[Tensor]) -> None:
        """Add the gradients of a block's tensors where they belong."""
        x, initial, edges = self._apart(list(found))
        of_x, of_initial, of_edges = self._apart(list(total))
        _add_rows(of_x, block.nodes, x)
        of_given, own = self._rows_of_initial(block)
        first, last = len(of_given), block.plan.boundary.shape[0]
        for rows, whole, gradient in zip(received, of_initial, initial, strict=True):
            if gradient is not None:
                _add_rows(rows, block.read, gradient[first:last])
                _add_rows(whole, of_given, gradient[:first])
                _add_rows(whole, own, gradient[last:])
        for whole, gradient in zip(of_edges, edges, strict=True):
            if gradient is not None:
                real = (block.edge >= 0).nonzero().flatten()
                _add_rows(whole, block.edge[real], gradient[real])

    def _apart(self, tensors: list[Any]) -> tuple[Any, list[Any], list[Any]]:
        """What there is for x, for the fields of the initial state, and for what edges carry."""
        count = 1 + len(self.run.fields)
        return tensors[0], tensors[1:count], tensors[count:]

    def _check_unchanged(self) -> None:
        change = self._watched.change_by_others()
        if change is not None:
            raise RuntimeError(
                f"{self.name} runs {type(self.run.cell).__name__} again in the backward pass, but {change} since the "
                f"first run (torch.func.functional_call replaces weights until it returns). Call backward before "
                f"that, or use BPTT()."
            )

    def _check_read_again(self, noted: dict[int, Tensor]) -> None:
        missing = self._read - noted.keys()
        if missing:
            raise RuntimeError(
                f"{self.name} runs {type(self.run.cell).__name__} again in the backward pass, where it does not "
                f"read {len(missing)} of the tensors that it has read in the first run: they have been replaced "
                f"since, or are made by the cell while it turns gradients on. Call backward before that, or use "
                f"BPTT()."
            )


class _Recomputed(torch.autograd.Function):
    """The state that a run has made; in the backward pass the run is done again."""

    @staticmethod
    def forward(ctx: Any, task: _ByBlocks, made: list[Tensor], kept: list[Tensor], *inputs: Tensor) -> Any:
        ctx.set_materialize_grads(False)
        ctx.task, ctx.num_kept = task, len(kept)
        ctx.save_for_backward(*kept, *inputs)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        task, saved = ctx.task, list(ctx.saved_tensors)  # (this refuses what was written into since)
        check_first_order(task.name, grads)
        kept, needed = saved[: ctx.num_kept], ctx.needs_input_grad[3:]
        given = saved[ctx.num_kept : len(saved) - len(task._captured)]
        return None, None, None, *task.backwards(given, kept, grads, needed)


def _gradients(fields: Sequence[Tensor], errors: Gradients, wanted: list[Tensor], is_program: bool) -> Any:
    """An iterator over the gradients of what is wanted."""
    ends = [(f, e) for f, e in zip(fields, errors, strict=True) if e is not None and f.requires_grad]
    if not ends or not wanted:
        return iter([None] * len(wanted))
    states, errors = zip(*ends, strict=True)
    # Of a recorded cell, what it makes of its weights alone is a part of the graphs of all blocks. A graph of the
    # loop's is this block's, and is cleared now: the collector of garbage may come late.
    return iter(torch.autograd.grad(states, wanted, errors, retain_graph=is_program, allow_unused=True))


def _rows(tensor: Tensor, at: Tensor | slice) -> Tensor:
    return tensor[at] if isinstance(at, slice) else tensor.index_select(0, at)


def _add_rows(total: Tensor | None, at: Tensor | slice, rows: Tensor | None) -> None:
    if total is None or rows is None:
        return
    if isinstance(at, slice):
        total[at] += rows
    else:
        total.index_add_(0, at, rows)


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return one if other is None else other if one is None else one + other
