"""The local gradients of backpropagation: dL/dh and dL/dz of every node, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..cell import Cell
from ..engine.rules import differentiated_by
from ..runs import run
from ..schedule import Schedule
from ..structure.checks import check_layout
from .rule import Rule
from .walk import by_node, check_is_walk, walk

# fmt: off
_ACTIVATIONS: frozenset[Callable[..., Any]] = frozenset((
    torch.tanh, torch.sigmoid, torch.relu, torch.Tensor.tanh, torch.Tensor.sigmoid, torch.Tensor.relu, F.relu, F.gelu,
    F.silu, F.elu, F.selu, F.leaky_relu, F.softplus, F.hardtanh, F.softsign, F.mish,
))
# fmt: on


class LocalRun:
    """One run, whose local gradients can be asked for.

    Attributes:
        names: of the gradients: the fields of the state, and `"z"`, the argument of the cell's activation
            (tanh, logistic, relu, or another of torch's). Where a step has several, these are `"z0"`, `"z1"`, ... as
            the cell computes them.
    """

    def __init__(self, plan: Schedule, tensors: dict[str, list[Tensor]]) -> None:
        self._plan, self._tensors = plan, tensors
        self.names: tuple[str, ...] = tuple(tensors)

    def of(self, loss: Tensor) -> dict[str, Tensor]:
        """By name, the derivatives of one loss by each node's h, c, z, ..., `[N, ·]` in the caller's numbering.

        A node's gradient is the total one: by all paths from it to the loss. You may ask for any number of losses: with
        loss L_t, a function of node t alone, `of(L_t)["z"][k]` is delta_{t,k}. In sync mode `[T, N, ·]`, by round.

        Raises:
            ValueError: nothing in the run, or in the loss, requires a gradient.
        """
        if not isinstance(loss, Tensor):
            raise TypeError(f"loss must be a tensor of one number, got {type(loss).__name__}.")
        check_layout("loss", loss)
        if loss.numel() != 1:
            raise ValueError(f"loss must be one number, got shape {list(loss.shape)}: take its sum or mean.")
        flat = [tensor for rows in self._tensors.values() for tensor in rows]
        asked = [tensor for tensor in flat if tensor.requires_grad]
        if not asked or not loss.requires_grad:
            raise ValueError(
                "there is no gradient to report: neither the cell's parameters nor x require one, or the loss does not "
                "depend on this run."
            )
        grads = torch.autograd.grad(loss, asked, retain_graph=True, allow_unused=True, materialize_grads=True)
        found = iter(grads)
        return {
            name: self._placed([next(found) if t.requires_grad else torch.zeros_like(t) for t in rows])
            for name, rows in self._tensors.items()
        }

    def _placed(self, rows: list[Tensor]) -> Tensor:
        if self._plan.mode == "async":
            return by_node(self._plan, rows)
        return torch.stack([by_node(self._plan, [row]) for row in rows])


class LocalGradients:
    """The runs of a `with` block; see `local_gradients`.

    Attributes:
        runs: a `LocalRun` for each, as they were run: of a stack, layer by layer.
    """

    def __init__(self) -> None:
        self.runs: list[LocalRun] = []

    def of(self, loss: Tensor) -> dict[str, Tensor]:
        """The local gradients of the block's one run; see `LocalRun.of`.

        Raises:
            ValueError: there was no run, or more than one.
        """
        if len(self.runs) != 1:
            raise ValueError(
                f"there are {len(self.runs)} runs: ask one of them, local.runs[i].of(loss)."
                if self.runs
                else "no run took place in the block: call the model in it, and without a rule."
            )
        return self.runs[0].of(loss)


@contextmanager
def local_gradients() -> Iterator[LocalGradients]:
    """In this context, runs keep what local gradients need.

        with graphrec.learning.local_gradients() as local:
            h = model(x, s)
        delta = local.of(loss(h))["z"]      # dL/dz, [N, H]; also ["h"], and ["c"] of an LSTM

    Runs are then done step by step, and keep the graphs of all steps as long as `local` exists. For `gradients` of a
    rule, wrap the call; the loss is then a function of what the model returned within.

    Raises:
        ValueError: when run: cycles that are iterated, several sweeps in a given order.
    """
    local = LocalGradients()
    with differentiated_by(_Recorder(local)):
        yield local


class _Recorder(Rule):
    """Plain autograd, step by step, which records each step's state and activations."""

    def __init__(self, local: LocalGradients) -> None:
        self._local = local

    def run(self, cell: Cell, plan: Schedule, x: Tensor, initial: Any = None) -> Any:
        check_is_walk("local_gradients", plan)
        with differentiated_by(None):
            if not plan.num_nodes:
                state = run(cell, plan, x, initial)
                self._local.runs.append(_recorded(plan, [state], [[]]))
                return state
            states, arguments = [], []
            loop = walk(cell, plan, x, initial, lambda state: state)
            while True:
                with _Arguments() as seen:
                    visit = next(loop, None)
                if visit is None:
                    break
                states.append(visit.state)
                arguments.append(seen.arguments)
        self._local.runs.append(_recorded(plan, states, arguments))
        return cell.State(*(by_node(plan, rows) for rows in map(list, zip(*states, strict=True))))


class _Arguments(TorchFunctionMode):
    """In this context, the argument of every activation is recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _ACTIVATIONS:
            self.arguments.append(args[0] if args else kwargs["input"])
        return func(*args, **(kwargs or {}))


def _recorded(plan: Schedule, states: list[Any], arguments: list[list[Tensor]]) -> LocalRun:
    """The run; activations have names if every step has equally many, with a row per node."""
    fields = {name: [getattr(state, name) for state in states] for name in states[0]._fields}
    is_alike = len(set(map(len, arguments))) == 1
    by_call = map(list, zip(*arguments, strict=True)) if is_alike else []
    sizes = [len(state[0]) for state in states]
    of_nodes = [rows for rows in by_call if [len(z) for z in rows] == sizes]
    names = ["z"] if len(of_nodes) == 1 else [f"z{i}" for i in range(len(of_nodes))]
    return LocalRun(plan, fields | dict(zip(names, of_nodes, strict=True)))
