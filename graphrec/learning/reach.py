"""What a rule will do to each parameter of a model, said before training."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..engine.rules import differentiated_by
from .forward import ForwardRule, ForwardRun


class Reach(NamedTuple):
    """How a rule's gradients differ from the true ones; printed as a table.

    Attributes:
        exact: the names of the parameters whose gradients are the true ones.
        inexact: the others that the rule reaches, and in words what is wrong with their gradients.
        unreached: those that it does not reach.
    """

    exact: list[str]
    inexact: dict[str, str]
    unreached: list[str]

    def __str__(self) -> str:
        rows = [(name, "exact") for name in self.exact]
        rows += list(self.inexact.items())
        rows += [(name, "not reached") for name in self.unreached]
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join(f"{name:{width}}  {what}" for name, what in rows)


_BELOW = "biased: below a run, whose input has the gradient of its own node's state alone"
_INITIAL = "biased: behind the initial state of a run, of which the rule follows some paths only"


def reach(rule: ForwardRule, model: nn.Module, s: Any, x: Tensor, **given: Any) -> Reach:
    """See `ForwardRule.reach`."""
    with torch.enable_grad(), differentiated_by(rule):
        tensors = [part for part in _tensors(model(x, s, **given)) if part.requires_grad]
    found: dict[Tensor, set[str]] = {}
    seen: set[tuple[Any, str]] = set()
    ahead = [(part.grad_fn, "") for part in tensors]
    while ahead:  # from the outputs to the parameters, noting what lies on the way
        node, wrong = ahead.pop()
        if node is None or (node, wrong) in seen:
            continue
        seen.add((node, wrong))
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found.setdefault(leaf, set()).add(wrong)
            continue
        into = [source for source, _ in node.next_functions]
        task = getattr(node, "task", None)
        if isinstance(task, ForwardRun):
            ahead += _into_run(task, into, wrong)
        else:
            ahead += [(source, wrong) for source in into]
    return _sorted(model, found)


def _into_run(task: ForwardRun, into: list[Any], wrong: str) -> list[tuple[Any, str]]:
    """The inputs of a run, x, the initial state and the weights, and what is wrong with their gradients."""
    # (What is no tensor has no place among them: the first is x.)
    of, within = into[-(1 + task.num_fields + task.num_weights) :], task.verdict
    initial, weights = of[1 : 1 + task.num_fields], of[1 + task.num_fields :]
    behind = wrong or (_INITIAL if within else "")
    return [
        (of[0], wrong or _BELOW),
        *((source, behind) for source in initial),
        *((source, wrong or within) for source in weights),
    ]


def _sorted(model: nn.Module, found: dict[Tensor, set[str]]) -> Reach:
    exact, inexact, unreached = [], {}, []
    for name, weight in model.named_parameters():
        wrong = sorted(found.get(weight, ()))
        if weight not in found:
            unreached.append(name)
        elif wrong == [""]:
            exact.append(name)
        else:
            inexact[name] = "; ".join(part for part in wrong if part)
    return Reach(exact, inexact, unreached)


def _tensors(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    parts = (
        result.values() if isinstance(result, dict) else result if isinstance(result, list | tuple) else ()
    )
    return [tensor for part in parts for tensor in _tensors(part)]
