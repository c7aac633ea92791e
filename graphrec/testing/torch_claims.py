"""What torch's own tools find of a cell: finite differences, dtypes, transforms, the compiler, copies."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.autograd.gradcheck import GradcheckError
from torch.func import functional_call, grad, jvp, vmap
from torch.overrides import TorchFunctionMode

from ..backends import running_on
from ..models import Recursive
from ..structure import Structure
from ..weights import paths_of_weights
from .subject import NotApplicable, Subject, is_acyclic
from .tolerances import GRADCHECK, assert_all_close, assert_close
from .trial import Trial

# Dynamo asks tensors that are no leaves for .grad, and torch warns it of that.
NO_LEAF = "The .grad attribute of a Tensor that is not a leaf"
# Some of torch's operators are run once for each sample, as its own GRU cell.
ONE_BY_ONE = "There is a performance drop because we have not yet implemented the batching rule"

# What some of torch's operators cannot, its own LSTM cell and its checkpoints among them.
UNKNOWN_TO_TORCH = ("Batching rule not implemented", "don't yet support saved tensor hooks")


def gradients(subject: Subject, s: Structure) -> None:
    """The gradients are those that finite differences find, in everything that requires grad."""
    for trial in subject.trials(s, initial=("per graph",)):
        _check(gradcheck, trial, "the gradients are not those of finite differences")


def second_derivatives(subject: Subject, s: Structure) -> None:
    """So are the gradients of gradients."""
    for trial in subject.trials(s, initial=("per graph",)):
        try:
            _check(gradgradcheck, trial, "the second derivatives are not those of finite differences")
        except RuntimeError as error:
            if "once_differentiable" not in str(error):
                raise
            raise NotApplicable(
                "a torch.autograd.Function in the cell says that it is differentiable once"
            ) from None


def dtypes(subject: Subject, s: Structure) -> None:
    """The state has the dtype and the widths that were asked for, and nothing on the way is of lower precision."""
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        for trial in subject.trials(s, initial=(None,)):
            run = _as_dtype(trial, dtype)
            with (
                _returned(run.cell) as states,
                _Narrowed(dtype) as narrowed,
                running_on("loop"),
                torch.no_grad(),
            ):
                run.run()
            for state in states:
                for name, rows in state._asdict().items():
                    assert rows.dtype == dtype, (
                        f"forward returns {name} of {rows.dtype} where x and weights are {dtype}: is there a tensor "
                        f"that cell.to(dtype) does not reach (register_buffer), or a .float()?"
                    )
            assert not narrowed.where, (
                f"{dtype} becomes {narrowed.what} in {narrowed.where}: what is computed there has fewer digits than "
                f"asked for"
            )


def transforms(subject: Subject, s: Structure) -> None:
    """torch.func: vmap over samples, gradients per sample, and forward-mode derivatives are those of single runs."""
    try:
        _transforms(subject, s)
    except RuntimeError as error:
        if not any(said in str(error) for said in UNKNOWN_TO_TORCH):
            raise
        raise NotApplicable(f"torch.func cannot do it: {str(error).splitlines()[0]}") from None


def _transforms(subject: Subject, s: Structure) -> None:
    net, x = _summed(subject, s)
    weights = {
        name: parameter.detach() for name, parameter in net.named_parameters() if parameter.requires_grad
    }

    paths = paths_of_weights(net)

    def loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        placed = {path: weights[name] for path, name in paths.items() if name in weights}
        return functional_call(net, placed, (x,), tie_weights=False)

    many = torch.stack([x, 2 * x, -x]).detach()
    with running_on("loop"):
        alone = [_gradients(net, one) for one in many]
        values = torch.stack([net(one) for one in many]).detach()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ONE_BY_ONE)
        assert_close(vmap(net)(many).detach(), values, "vmap over x")
        per_sample = vmap(grad(loss), (None, 0))(weights, many) if weights else {}
    if weights:
        for number, expected in enumerate(alone):
            found = {name: rows[number] for name, rows in per_sample.items()}
            assert_all_close(found, {name: expected[name] for name in found})
    direction = torch.randn_like(x)
    (slope,) = torch.autograd.grad(net(given := x.detach().requires_grad_()), given, allow_unused=True)
    expected = (torch.zeros_like(x) if slope is None else slope) * direction
    forwards = jvp(lambda x: loss(weights, x), (x.detach(),), (direction,))[1]
    assert_close(forwards, expected.sum(), "the forward-mode derivative")


def compiled(subject: Subject, s: Structure) -> None:
    """torch.compile of a model of the cell: the same values and gradients."""
    net, x = _summed(subject, s)
    x = x.detach()
    expected = {"value": net(x).detach(), **_gradients(net, x)}
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", NO_LEAF)
        around = torch.compile(net, backend="eager")
        found = {"value": around(x).detach(), **_gradients(around, x, net)}
    assert_all_close(found, expected)


def copies(subject: Subject, s: Structure) -> None:
    """A deep copy, and a cell that has loaded its state_dict, compute the same."""
    other = copy.deepcopy(subject.cell)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(subject.cell.state_dict())
    for again in (copy.deepcopy(subject.cell), other):
        for trial in subject.trials(s, initial=(None,)):
            with running_on("loop"):
                expected, found = trial.run(), subject.trial(s, None, trial.mode, trial.rounds, again).run()
            for name, rows in expected._asdict().items():
                assert_close(getattr(found, name).detach(), rows.detach(), name)


class _Summed(nn.Module):
    """A number of all states, so that a program around the model has something to compile."""

    def __init__(self, subject: Subject, s: Structure) -> None:
        super().__init__()
        in_rounds = subject.runs_one_round or not is_acyclic(s)
        self.model = Recursive(subject.cell, "sync", subject.rounds) if in_rounds else Recursive(subject.cell)
        self.s = s

    def forward(self, x: Tensor) -> Tensor:
        h = self.model(x, self.s)
        return torch.tanh(h).square().sum() + h.sum()


def _summed(subject: Subject, s: Structure) -> tuple[_Summed, Tensor]:
    trial = subject.trial(s)
    plain = trial.structure
    for name in ("edge_attr", "edge_weight"):
        if isinstance(rows := getattr(plain, name), Tensor):
            plain = plain.replace(**{name: rows.detach()})
    return _Summed(subject, plain), trial.x.detach()


def _gradients(call: Any, x: Tensor, net: nn.Module | None = None) -> dict[str, Any]:
    named = {name: p for name, p in (net or call).named_parameters() if p.requires_grad}
    value = call(x)
    if not named or not value.requires_grad:
        return dict.fromkeys(named)
    return dict(zip(named, torch.autograd.grad(value, list(named.values()), allow_unused=True), strict=True))


def _check(check: Any, trial: Trial, what: str) -> None:
    if not trial.inputs:
        raise NotApplicable("nothing requires a gradient")
    with running_on("loop"):
        if not any(rows.requires_grad for rows in trial.run()):
            raise NotApplicable("the state depends on nothing that requires a gradient")
        try:
            # The checks perturb the inputs where they are, so the run need not be handed them.
            check(trial.run, tuple(trial.inputs.values()), **GRADCHECK, fast_mode=True)
        except GradcheckError as error:
            raise AssertionError(f"{what} (inputs are {', '.join(trial.inputs)}): {error}") from None


def _as_dtype(trial: Trial, dtype: torch.dtype) -> Trial:
    s = trial.structure
    for name in ("edge_attr", "edge_weight"):
        rows = getattr(s, name)
        if isinstance(rows, Tensor) and rows.is_floating_point():
            s = s.replace(**{name: rows.detach().to(dtype)})
    cell = copy.deepcopy(trial.cell).to(dtype)
    return Trial(cell, s, trial.x.detach().to(dtype), None, trial.mode, trial.rounds)


@contextmanager
def _returned(cell: nn.Module) -> Iterator[list[Any]]:
    """All that forward returns meanwhile. (The engine casts states to the dtype of x.)"""
    states: list[Any] = []
    handle = cell.register_forward_hook(lambda cell, given, state: states.append(state))
    try:
        yield states
    finally:
        handle.remove()


class _Narrowed(TorchFunctionMode):
    """Looks for the line that turns numbers of this dtype into some of fewer digits."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.where, self.what = dtype, "", ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if not self.where and isinstance(found, Tensor) and found.is_floating_point():
            given = [arg for arg in args if isinstance(arg, Tensor) and arg.is_floating_point()]
            if any(
                arg.dtype == self.dtype and torch.finfo(found.dtype).eps > torch.finfo(arg.dtype).eps
                for arg in given
            ):
                self.what, self.where = str(found.dtype), _line_of_cell()
        return found


def _line_of_cell() -> str:
    """Where the equations are that have called torch."""
    frame: Any = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals["__name__"].partition(".")[0] == "torch":
        frame = frame.f_back
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
