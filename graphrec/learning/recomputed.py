"""Backpropagation by blocks of steps, each of which is run a second time for its gradient.

Forwards, a block leaves nothing but the states that later blocks read. Backwards, the last block first, it is run again
from such states, with gradients; those of the states it has read are added to what the blocks before it receive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from ..backends import choose, running_on
from ..backends.runner import forced
from ..cell import Cell
from ..engine.boundary import gather_edges
from ..engine.rules import differentiated_by
from ..engine.validate import Context, validate
from ..program.purity import Watched
from ..schedule import Block, Schedule, blocks_of
from ..structure.outside import is_autocast
from .first_order import check_first_order, check_untransformed
from .random_state import drawn_again, random_state

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
    if any(isinstance(part, _BatchNorm) and _is_of_batch(part) for part in cell.modules()):
        raise ValueError(
            f"{name} runs {type(cell).__name__} block by block, twice, and batch normalisation in training would see "
            f"the rows of a block and count them twice: use layer normalisation, cell.eval(), or BPTT()."
        )
    run, fields = validate(cell, plan, x, initial)
    return cell.State(*_ByBlocks(name, run, [x, *fields, *run.of_edges.values()], size).state())


def _is_of_batch(part: _BatchNorm) -> bool:
    return part.training or part.running_mean is None


class _ByBlocks:
    """A run.

    Args:
        name: of the rule.
        run: the run.
        given: x, the fields of the initial state (or nothing), and what edges carry.
        size: how many steps a block has.
    """

    def __init__(self, name: str, run: Context, given: list[Tensor], size: int) -> None:
        self.name, self.run, self.given = name, run, given
        self.blocks, self._num_kept = blocks_of(run.plan, size)
        self.has_initial = len(given) > 1 + len(run.of_edges)
        self.has_own = self.has_initial and (run.each_its_own or given[1].shape[0] > 1)
        self.around = _Surroundings(run.cell, given[0].device)
        self.num_given = len(given)
        self.drawn: dict[int, Tensor] = {}  # where random numbers stood, for blocks that draw some

    def state(self) -> tuple[Tensor, ...]:
        """The fields of the state, `[N, ...]`, in the caller's numbering."""
        with torch.no_grad():
            made, kept, read = self._forwards([tensor.detach() for tensor in self.given])
        # (Also those that torch's functions are not given one by one, as in compiled parts.)
        self._read = set(read)
        read |= {id(weight): weight for weight in self.run.cell.parameters() if weight.requires_grad}
        self.captured = list(read.values())
        return _Recomputed.apply(self, made, kept, *self.given, *self.captured)

    # ------------------------------------------------------------------------------------------------- forwards

    def _forwards(self, given: list[Tensor]) -> tuple[list[Tensor], list[Tensor], dict[int, Tensor]]:
        """The state; the rows that later blocks read; the tensors with gradients that the cell has read, by id."""
        x, shapes, device = given[0], self.run.shapes, given[0].device
        made = [x.new_empty(self.run.plan.num_nodes, *shape) for shape in shapes]
        kept = [x.new_empty(self._num_kept, *shape) for shape in shapes]
        watched, in_loop = Watched(self.run.cell), False
        with _Reads() as reads:
            for number, block in enumerate(self.blocks):
                stood = random_state(device)
                runner = choose(*self._task(block, self._enter(block, given, kept)))
                for field, rows, whole in zip(runner.state(), kept, made, strict=True):
                    rows[block.kept] = field.index_select(0, block.leaving)
                    if block.is_shown:
                        whole[block.nodes] = field
                in_loop |= runner.name == "loop"
                if not torch.equal(stood, random_state(device)):
                    self.drawn[number] = stood
        if self.around.is_autocast:
            torch.clear_autocast_cache()  # (weights cast without a gradient)
        change = watched.change() if in_loop else None
        if change is not None:
            raise ValueError(
                f"{self.name} runs each block of steps twice, and {change}, so that the second run would be another "
                f"one: use BPTT(), which runs them once."
            )
        return made, kept, reads.noted

    def _task(self, block: Block, tensors: list[Tensor]) -> tuple[Context, Tensor, list[Tensor]]:
        """A block's run, as backends take it."""
        plan = block.plan
        x, initial, edges = self._apart(tensors)
        every = torch.arange(plan.boundary.shape[0] + plan.num_nodes, device=plan.device)
        of_boundary, own = every.split([plan.boundary.shape[0], plan.num_nodes])
        if plan.mode == "sync":
            own = of_boundary  # (a round's own state is that of the round before)
        elif not self.has_own:
            own = own[:1].expand(plan.num_nodes)
        cell, dtype = self.run.cell, self.run.dtype
        task = Context(cell, plan, own, dtype, boundary_row=of_boundary) if initial else Context(cell, plan, None, dtype)
        task.__dict__["of_edges"] = dict(zip(self.run.of_edges, edges, strict=True))
        return task, x, initial

    def _apart(self, tensors: list[Any]) -> tuple[Any, list[Any], list[Any]]:
        """x, the initial state, and what edges carry, of a run or a block."""
        count = len(tensors) - len(self.run.of_edges)
        return tensors[0], tensors[1:count], tensors[count:]

    def _enter(self, block: Block, given: list[Tensor], kept: list[Tensor]) -> list[Tensor]:
        """The same three of a block. Its initial state has a row for each boundary row, and then those of its nodes."""
        x, initial, edges = self._apart(given)
        made = [_rows(x, block.nodes)]
        if self.has_initial or block.plan.boundary.shape[0]:
            initial = initial or [x.new_zeros(1, *shape) for shape in self.run.shapes]
            of_given, own = self._rows_of_initial(block)
            for field, rows in zip(initial, kept, strict=True):
                parts = [field.index_select(0, of_given), rows[block.read], field.index_select(0, own)]
                made.append(torch.cat(parts))
        for name, rows in zip(self.run.of_edges, edges, strict=True):
            made.append(gather_edges({name: rows}, name, block.edge))
        return made

    def _rows_of_initial(self, block: Block) -> tuple[Tensor, Tensor]:
        """Which rows of the initial state a block reads of others, and which are its nodes' own."""
        row, is_async = self.run.initial_row, block.plan.mode == "async"
        if not self.has_own or row is None:  # there is one
            return torch.zeros_like(block.given), block.given.new_zeros(int(is_async))
        return row[block.given], row[block.nodes] if is_async else block.given[:0]

    # ------------------------------------------------------------------------------------------------ backwards

    def backwards(self, given: list[Tensor], kept: list[Tensor], grads: Gradients, needed: Sequence[bool]) -> Gradients:
        """The gradients of what was given, and of the captured tensors, from those of the state."""
        given = [tensor.detach() for tensor in given]
        of_given, of_captured = needed[: len(given)], needed[len(given) :]
        total: list[Tensor | None] = [
            torch.zeros_like(tensor) if is_needed else None for tensor, is_needed in zip(given, of_given, strict=True)
        ]
        total += [None] * len(of_captured)
        received = [torch.zeros_like(rows) for rows in kept]
        # A tensor that was computed from others stands for itself: what lies behind it is autograd's.
        captured = [t if t.is_leaf else t.detach().requires_grad_() for t in self.captured]
        wanted = [number for number, is_needed in enumerate(of_captured) if is_needed]
        with self.around.restored(), _ReadsAgain(self.captured, captured) as reads:
            for number in reversed(range(len(self.blocks))):
                block = self.blocks[number]
                errors = self._errors(block, grads, received)
                if all(error is None for error in errors):
                    continue
                tensors = self._enter(block, given, kept)
                is_read = len(block.given) < block.plan.boundary.shape[0]
                for tensor, is_needed in zip(tensors, self._needs(of_given, is_read), strict=False):
                    tensor.requires_grad_(is_needed)
                with torch.enable_grad(), drawn_again(given[0].device, self.drawn.get(number)):
                    state = choose(*self._task(block, tensors)).state()
                ends = [(s, e) for s, e in zip(state, errors, strict=True) if e is not None and s.requires_grad]
                begins = [tensor for tensor in tensors if tensor.requires_grad] + [captured[n] for n in wanted]
                found = iter(
                    torch.autograd.grad([s for s, _ in ends], begins, [e for _, e in ends], allow_unused=True)
                    if ends and begins
                    else [None] * len(begins)
                )
                self._add(block, [next(found) if t.requires_grad else None for t in tensors], total, received)
                for n, gradient in zip(wanted, found, strict=True):
                    total[len(given) + n] = _sum(total[len(given) + n], gradient)
        self._check_read_again(reads.noted)
        return total

    def _check_read_again(self, noted: dict[int, Tensor]) -> None:
        missing = self._read - noted.keys()
        if missing:
            raise RuntimeError(
                f"{self.name} runs {type(self.run.cell).__name__} again in the backward pass, where it does not read "
                f"{len(missing)} of the tensors that it has read in the first run: its weights have been replaced since "
                f"(as torch.func.functional_call does until it returns). Call backward before, or use BPTT()."
            )

    def _needs(self, of_given: Sequence[bool], is_read: bool) -> list[bool]:
        """Which of a block's tensors need gradients."""
        x, initial, edges = self._apart(list(of_given))
        return [x, *(is_read or need for need in initial or [False] * len(self.run.shapes)), *edges]

    def _errors(self, block: Block, grads: Gradients, received: list[Tensor]) -> list[Tensor | None]:
        """The gradients of a block's states: of the result, and from the blocks that have read them."""
        errors: list[Tensor | None] = []
        for grad, rows in zip(grads, received, strict=True):
            error = _rows(grad, block.nodes) if grad is not None and block.is_shown else None
            if len(block.leaving):
                if error is None:
                    error = rows.new_zeros(block.plan.num_nodes, *rows.shape[1:])
                error = error.index_add(0, block.leaving, rows[block.kept])
            errors.append(error)
        return errors

    def _add(self, block: Block, found: Gradients, total: list[Tensor | None], received: list[Tensor]) -> None:
        """Add the gradients of a block's tensors where they belong."""
        x, initial, edges = self._apart(list(found))
        of_x, of_initial, of_edges = self._apart(total[: len(self.given)])
        _add_rows(of_x, block.nodes, x)
        of_given, own = self._rows_of_initial(block)
        last = block.plan.boundary.shape[0]
        for number, gradient in enumerate(initial):
            if gradient is not None:
                _add_rows(received[number], block.read, gradient[len(of_given) : last])
                if self.has_initial:
                    _add_rows(of_initial[number], of_given, gradient[: len(of_given)])
                    _add_rows(of_initial[number], own, gradient[last:])
        for whole, gradient in zip(of_edges, edges, strict=True):
            if gradient is not None:
                real = (block.edge >= 0).nonzero().flatten()
                _add_rows(whole, block.edge[real], gradient[real])


class _Surroundings:
    """What a run depends on beside its arguments, put back for a second run.

    Attributes:
        is_autocast: whether autocast is on.
    """

    def __init__(self, cell: Cell, device: torch.device) -> None:
        kind = device.type
        self.is_autocast = is_autocast(device)
        self._autocast: dict[str, Any] = {"device_type": kind, "enabled": self.is_autocast}
        if self.is_autocast:
            self._autocast["dtype"] = torch.get_autocast_dtype(kind)
        self._backend = forced.get()
        self._training = [(part, part.training) for part in cell.modules()]

    @contextmanager
    def restored(self) -> Iterator[None]:
        """In this context all is as it was."""
        now = [(part, part.training) for part, _ in self._training]
        with running_on(self._backend), differentiated_by(None), torch.autocast(**self._autocast):
            try:
                _set_training(self._training)
                yield
            finally:
                _set_training(now)


def _set_training(modes: list[tuple[torch.nn.Module, bool]]) -> None:
    for part, is_training in modes:
        part.training = is_training


class _Reads(TorchFunctionMode):
    """In this context the tensors are noted that torch's functions are given, have gradients, and were made elsewhere.

    Without gradients nothing that is made in it has any.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args = tuple(map(self._seen, args))
        return func(*args, **{name: self._seen(value) for name, value in (kwargs or {}).items()})

    def _seen(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.note(value)
        if type(value) in (tuple, list):
            return type(value)(map(self._seen, value))
        return value

    def note(self, tensor: Tensor) -> Tensor:
        """What functions are given for it: itself."""
        # (A cell that turns gradients on for itself has some of its own.)
        if tensor.requires_grad and not torch.is_grad_enabled():
            self.noted[id(tensor)] = tensor
        return tensor


class _ReadsAgain(_Reads):
    """The same for tensors that were noted before, in whose place functions are given others."""

    def __init__(self, before: list[Tensor], instead: list[Tensor]) -> None:
        super().__init__()
        self._instead = {id(tensor): other for tensor, other in zip(before, instead, strict=True)}

    def note(self, tensor: Tensor) -> Tensor:
        """What functions are given for it."""
        other = self._instead.get(id(tensor))
        if other is None:
            return tensor
        self.noted[id(tensor)] = tensor
        return other


class _Recomputed(torch.autograd.Function):
    """The state that a run has made; in the backward pass the run is done again."""

    @staticmethod
    def forward(ctx: Any, task: _ByBlocks, made: list[Tensor], kept: list[Tensor], *inputs: Tensor) -> Any:
        ctx.set_materialize_grads(False)
        ctx.task, ctx.num_inputs = task, len(inputs)
        ctx.save_for_backward(*inputs, *kept)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        task, saved = ctx.task, list(ctx.saved_tensors)  # (this refuses what was written into since)
        check_first_order(task.name, grads)
        inputs, kept = saved[: ctx.num_inputs], saved[ctx.num_inputs :]
        needed = ctx.needs_input_grad[3:]
        return None, None, None, *task.backwards(inputs[: task.num_given], kept, grads, needed)


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
