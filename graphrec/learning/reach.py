"""How a rule's gradients of each parameter of a model differ from the true ones, reported before training."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.utils._pytree import tree_leaves

from ..engine.rules import differentiated_by


class Reach(NamedTuple):
    """How a rule's gradients differ from the true ones; printed as a table.

    Attributes:
        exact: the names of the parameters whose gradients are the true ones.
        inexact: the others that the rule reaches, with what is wrong with their gradients, in words.
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


class WayBack:
    """What a rule puts in place of a run's derivatives: the `task` of a node of autograd's graph."""

    def behind(self, into: list[Any], wrong: str) -> list[tuple[Any, str]]:
        """The inputs of the run, and in words what is wrong with the gradients there; empty: nothing.

        Args:
            into: the nodes behind this one, one for each input.
            wrong: what is wrong with the gradients of the run's states.
        """
        raise NotImplementedError(f"{type(self).__name__} has no behind(into, wrong).")


_WRONG = "graphrec.learning.reach"


def say_wrong(output: Tensor, wrong: str) -> None:
    """Note for `reach` what is wrong with the gradients of all that a tensor has been computed from."""
    if output.grad_fn is not None:
        notes: Any = output.grad_fn.metadata  # a dictionary, which torch's stubs have as a method
        notes[_WRONG] = wrong


def reach(rule: Any, model: nn.Module, s: Any, x: Tensor, **given: Any) -> Reach:
    """See `Rule.reach`."""
    with torch.enable_grad(), differentiated_by(rule):
        outputs = tree_leaves(model(x, s, **given))
    found: dict[Tensor, set[str]] = {}
    seen: set[tuple[Any, str]] = set()
    ahead: list[tuple[Any, str]] = [
        (get_gradient_edge(part).node, "")
        for part in outputs
        if isinstance(part, Tensor) and part.requires_grad
    ]
    while ahead:  # from the outputs to the parameters, noting what is on the way
        node, wrong = ahead.pop()
        if node is None or (node, wrong) in seen:
            continue
        seen.add((node, wrong))
        wrong = wrong or node.metadata.get(_WRONG, "")
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found.setdefault(leaf, set()).add(wrong)
            continue
        into = [source for source, _ in node.next_functions]
        task = getattr(node, "task", None)
        if isinstance(task, WayBack):
            ahead += task.behind(into, wrong)
        else:
            ahead += [(source, wrong) for source in into]
    return _sorted(model, found)


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
