"""What the operators do: `graphrec::run`, its reverse, and `graphrec::sinks`; `graphrec.registered` declares them.

What differs from run to run is a tensor: the rows, and who depends on whom. All else is in the program, a text (see
`graphrec.program.written`), so that a graph which contains the operator is complete. It can be saved (`torch.export`,
AOTInductor), and runs in any process that has imported a graphrec which reads the text's version, natively or in
PyTorch; the model's own code is not needed there. Transforms that the operator has no rule for are refused, not
dropped: forward mode with an error of its own, `torch.func.grad` with torch's. Models themselves never enter it then.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ....engine.rules import rule_in_force
from ....operators import must_be_plain
from ....schedule import schedule
from ....schedule import sinks as sinks_of_plan
from ..runner import Programs, plain_gradients
from .kept import keep, kept
from .runs import read_once, runner_of, structure_of


def run(program: str, rows: list[Tensor], *given: Any) -> tuple[Tensor, Tensor]:
    """The state of all nodes after a run.

    Args:
        program: what is run, see `graphrec.program.written`.
        rows: x `[N, D]`, the initial state's fields, what edges carry, the captured tensors.
        given: edge_index, slot, relation, kind, graph, past and num_graphs as in `graphrec.Structure`; whether over the
            structure's reverse.

    Returns:
        The fields of the state side by side, `[N, W]`, and `[1]` uint8, which keeps the run for its reverse.

    Raises:
        ValueError, TypeError, CycleError: as `graphrec.run`; in forward mode, for which there is no rule.
    """
    if rule_in_force() is not None:
        raise ValueError(
            f"{rule_in_force()} does not differentiate a compiled or exported program, whose gradients are autograd's: "
            f"call the model itself."
        )
    if forward_ad._current_level >= 0:  # (torch would drop the tangent without a word)
        raise ValueError(
            "a compiled or exported program has no forward-mode derivatives (torch.func.jvp, jacfwd, forward_ad): call "
            "the model itself, whose plain loop has them."
        )
    *structure, num_graphs, backward = given
    written, x = read_once(program), rows[0]
    if not len(x):
        return x.new_empty(0, _width(program)), _nothing(x, int(written.keeps))
    if written.keeps:
        rows = [row if lasts else row.clone() for row, lasts in zip(rows, written.lasting, strict=True)]
    runner = runner_of(program, rows, structure, num_graphs, backward, written.keeps)
    fields, done = runner.forwards(rows)
    # (A copy, in which compilers may do as they like.)
    state = fields[0].clone() if len(fields) == 1 else torch.cat(fields, 1)
    return state, keep((runner, done)) if written.keeps else _nothing(x)


def run_fake(program: str, rows: list[Tensor], edge_index: Tensor, *structure: Any) -> tuple[Tensor, Tensor]:
    """What `run` returns, without values."""
    x, keeps = rows[0], read_once(program).keeps
    return x.new_empty(x.shape[0], _width(program)), _nothing(x, int(keeps))


def run_backward(program: str, rows: list[Tensor], *given: Any) -> list[Tensor]:
    """The gradients of the rows of which they are wanted; see `run`.

    Args:
        given: what `run` was given; the gradient of the state, `[N, W]`; and the memory that `run` has kept. Where
            that is lost (a copy, another process) or used up, the run is done again.
    """
    *structure, num_graphs, backward, grad, memory = given
    written = read_once(program)
    wanted = [row for row, is_wanted in zip(rows, written.wanted, strict=True) if is_wanted]
    if not len(rows[0]):
        return [torch.zeros_like(row, memory_format=torch.contiguous_format) for row in wanted]
    found = kept(memory)
    if found is None or found[1].is_spent:
        found = _again(program, rows, structure, num_graphs, backward)
    runner, done = found
    found = runner.backwards(done, _fields_of(grad, program))
    made: list[Tensor] = []
    for row, gradient, is_wanted in zip(rows, found, written.wanted, strict=True):
        if is_wanted:
            gradient = torch.zeros_like(row) if gradient is None else gradient
            made.append(_apart(gradient.reshape(row.shape), [*rows, grad, *made]))
    return made


def run_backward_fake(program: str, rows: list[Tensor], *others: Any) -> list[Tensor]:
    """What `run_backward` returns, without values."""
    wanted = read_once(program).wanted
    return [row.new_empty(row.shape) for row, is_wanted in zip(rows, wanted, strict=True) if is_wanted]


def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """What `differentiate` needs of a run."""
    program, rows, *structure, num_graphs, backward = inputs
    ctx.program, ctx.num_graphs, ctx.backward = program, num_graphs, backward
    ctx.count = len(rows)
    ctx.save_for_backward(*rows, *structure, output[1])


def differentiate(ctx: Any, grad: Tensor, _: Any) -> tuple[Any, ...]:
    """The gradients of the inputs of `run`."""
    *saved, memory = ctx.saved_tensors
    rows, structure = saved[: ctx.count], saved[ctx.count :]
    wanted = read_once(ctx.program).wanted
    if any(needed and not known for needed, known in zip(ctx.needs_input_grad[1], wanted, strict=True)):
        raise RuntimeError(
            "a gradient is asked for of a tensor that required none when the program was traced: trace it again."
        )
    if must_be_plain([grad]):
        runner = runner_of(ctx.program, rows, structure, ctx.num_graphs, ctx.backward)
        gradients = plain_gradients(runner, rows, wanted, _fields_of(grad, ctx.program))
    else:
        found = iter(
            torch.ops.graphrec.run_backward(
                ctx.program, rows, *structure, ctx.num_graphs, ctx.backward, grad, memory
            )
        )
        gradients = [next(found) if is_wanted else None for is_wanted in wanted]
    return None, gradients, *[None] * (len(structure) + 2)


def run_vmap(info: Any, in_dims: Any, program: str, rows: list[Tensor], *structure: Any) -> Any:
    """One after another, all over one structure."""
    _check_is_one(in_dims[2:8])
    made = [
        torch.ops.graphrec.run(program, _sample(rows, in_dims[1], number), *structure)
        for number in range(info.batch_size)
    ]
    states, memories = zip(*made, strict=True)
    return (torch.stack(states), torch.stack(memories)), (0, 0)


def run_backward_vmap(info: Any, in_dims: Any, program: str, rows: list[Tensor], *others: Any) -> Any:
    """One after another, all over one structure."""
    *structure, grad, _ = others
    _check_is_one(in_dims[2:8])
    samples = []
    for number in range(info.batch_size):
        of_grad = grad if in_dims[-2] is None else grad.select(in_dims[-2], number)
        none = _nothing(grad)
        samples.append(
            torch.ops.graphrec.run_backward(
                program, _sample(rows, in_dims[1], number), *structure, of_grad, none
            )
        )
    made = [torch.stack(of_row) for of_row in zip(*samples, strict=True)]
    return made, [0] * len(made)


def sinks(
    edge_index: Tensor, graph: Tensor | None, num_nodes: int, num_graphs: int, backward: bool
) -> Tensor:
    """`[G]` long: the one sink of each graph, -1 for a graph without nodes; see `run`.

    Raises:
        ValueError: a graph with nodes, but with none or several.
    """
    structure = structure_of((edge_index, None, None, None, graph, None), num_nodes, num_graphs, backward)
    return sinks_of_plan(schedule(structure, "sync", 1)).checked().node.clone()


def sinks_fake(edge_index: Tensor, graph: Any, num_nodes: int, num_graphs: int, backward: bool) -> Tensor:
    """What `sinks` returns, without values."""
    return edge_index.new_empty(num_graphs)


def _again(program: str, rows: Sequence[Tensor], *structure: Any) -> tuple[Programs, Any]:
    runner = runner_of(program, rows, *structure)
    return runner, runner.forwards(rows)[1]


def _nothing(like: Tensor, size: int = 0) -> Tensor:
    """`[size]` uint8 on the host, as what `keep` returns, which keeps nothing."""
    return like.new_zeros(size, dtype=torch.uint8, device="cpu")


def _widths(program: str) -> list[int]:
    return [prod(shape) for shape in read_once(program).shapes]


def _width(program: str) -> int:
    return sum(_widths(program))


def _fields_of(grad: Tensor, program: str) -> list[Tensor]:
    return list(grad.split(_widths(program), 1))


def _check_is_one(in_dims: Any) -> None:
    if any(dim is not None for dim in in_dims):
        raise ValueError(
            "the structure differs from sample to sample of torch.func.vmap: one structure serves all of them; put "
            "different ones side by side with graphrec.batch."
        )


def _sample(rows: list[Tensor], in_dims: Any, number: int) -> list[Tensor]:
    dims = [None] * len(rows) if in_dims is None else in_dims
    return [row if dim is None else row.select(dim, number) for row, dim in zip(rows, dims, strict=True)]


def _apart(tensor: Tensor, others: Sequence[Tensor]) -> Tensor:
    """The tensor, contiguous, in memory that none of the others has: operators may not return what they were given."""
    tensor = tensor.contiguous()
    memory = tensor.untyped_storage().data_ptr()
    is_shared = any(other.untyped_storage().data_ptr() == memory for other in others)
    return tensor.clone() if is_shared and memory else tensor
