"""Weight gradients, deferred: one product per weight after the reverse sweep, instead of one per step.

While a sweep runs, the parameters of the cell are replaced by stand-ins. A stand-in that multiplies an input
(`nn.Linear`, `x @ W`, `x @ W.T`) computes with the detached weight, so that autograd follows the input only,
and notes on the tape the input and the place in the graph where the gradient of the result will pass by. The
reverse sweep asks autograd for the gradient there, and the weight's own gradient is made from all steps at
once. In any other use the stand-in is an ordinary leaf, whose gradient is added up step by step.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from .before import own_attributes
from .zero import NotSweepable, Zero, rebuilt

_turns: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_making_a_turn = threading.Lock()


def turn(cell: nn.Module) -> threading.RLock:
    """To be held while a cell runs with gradients: its parameters are then replaced for all threads."""
    with _making_a_turn:
        return _turns.setdefault(cell, threading.RLock())


class Product(NamedTuple):
    """`result = factor @ weight` (or its transpose), `+ bias`, at one step."""

    weight: int  # its number on the tape
    bias: int | None
    transposed: bool  # whether the weight is used as in nn.Linear, [out, in]
    factor: Tensor
    version: int  # of the factor when it was noted
    result: GradientEdge


class Tape:
    """The parameters of a cell during one sweep, and what was done with them."""

    def __init__(self, cell: nn.Module) -> None:
        if any(isinstance(p, StandIn) for p in cell.parameters()):
            raise NotSweepable("the cell runs inside a step of another cell, whose tape notes its products")
        if any(is_lazy(p) for p in cell.parameters()):
            raise NotSweepable("the widths of some weights are found in this run")
        self.parameters = [p for p in cell.parameters() if p.requires_grad]
        self.products: list[Product] = []  # of the step that is being recorded
        self.leaves: dict[int, Tensor] = {}  # parameters that are used other than as factors
        self.constants: list[Tensor] = []  # factors that need no gradient themselves
        self._cell = cell
        self._number = {id(p): i for i, p in enumerate(self.parameters)}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """The cell's parameters are stand-ins while this lasts."""
        stand_ins = [StandIn.of(self, i, p.detach(), False) for i, p in enumerate(self.parameters)]
        replaced: list[tuple[nn.Module, str, nn.Parameter]] = []
        for module in self._cell.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None and id(parameter) in self._number:
                    replaced.append((module, name, parameter))
        try:
            for module, name, parameter in replaced:
                module._parameters[name] = stand_ins[self._number[id(parameter)]]  # type: ignore[assignment]
            yield
        finally:
            for module, name, parameter in replaced:
                module._parameters[name] = parameter

    def leaf(self, number: int) -> Tensor:
        """A parameter as an ordinary leaf of autograd's graph, the same one for all steps."""
        if number not in self.leaves:
            self.leaves[number] = self.parameters[number].detach().requires_grad_()
        return self.leaves[number]

    def follow(self, factor: Tensor) -> Tensor:
        """The factor as autograd must see it for the product to get a place in its graph."""
        if not factor.requires_grad:
            factor = factor.detach().requires_grad_()
            self.constants.append(factor)
        return factor

    def note(
        self, weight: StandIn, bias: StandIn | None, transposed: bool, factor: Tensor, result: Tensor
    ) -> None:
        """Remember a product for `Gradients.add`."""
        number = None if bias is None else bias.number
        edge = get_gradient_edge(result)
        self.products.append(
            Product(weight.number, number, transposed, factor.detach(), factor._version, edge)
        )


class Gradients:
    """The gradients of a tape's parameters, collected during a reverse sweep and multiplied out at its end."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._of_leaf: dict[int, Tensor] = {}
        self._of_product: dict[tuple[int, int | None, bool], list[tuple[Tensor, Tensor]]] = defaultdict(list)

    def add(self, product: Product, grad: Tensor) -> None:
        """The gradient that has arrived at a product's result."""
        if product.factor._version != product.version:
            raise RuntimeError(
                "the cell changed the input of a product in place after multiplying it, so the weight's gradient "
                "cannot be computed: write x = x + y instead of x += y."
            )
        key = (product.weight, product.bias, product.transposed)
        self._of_product[key].append((product.factor, grad))

    def add_leaf(self, number: int, grad: Tensor) -> None:
        """The gradient that has arrived at a parameter used other than as a factor."""
        self._add(number, grad)

    def total(self) -> list[Tensor | None]:
        """One gradient per parameter of the tape, None where it was not used."""
        for (weight, bias, transposed), pairs in self._of_product.items():
            grad = torch.cat([_flat(g) for _, g in pairs])
            factor = torch.cat([_flat(x) for x, _ in pairs]).to(grad.dtype)
            self._add(weight, grad.t() @ factor if transposed else factor.t() @ grad)
            if bias is not None:
                self._add(bias, grad.sum(0))
        return [self._of_leaf.get(i) for i in range(len(self._tape.parameters))]

    def _add(self, number: int, grad: Tensor) -> None:
        grad = grad.to(self._tape.parameters[number].dtype)
        self._of_leaf[number] = grad if number not in self._of_leaf else self._of_leaf[number] + grad


def _flat(rows: Tensor) -> Tensor:
    """`[..., H] → [·, H]`, of any width, 0 too."""
    return rows.reshape(prod(rows.shape[:-1]), rows.shape[-1])


class StandIn(Tensor):
    """A parameter of the cell while a sweep runs."""

    tape: Tape
    number: int
    detached: Tensor
    turned: bool  # whether this is the parameter's transpose

    @staticmethod
    def of(tape: Tape, number: int, detached: Tensor, turned: bool) -> StandIn:
        """A stand-in for parameter `number`, whose value is `detached`."""
        # It requires grad, so that what does not ask it (a custom autograd.Function) is found by check_all_known.
        self = Tensor._make_subclass(StandIn, detached, True)
        self.tape, self.number, self.detached, self.turned = tape, number, detached, turned
        return self

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        rule = _RULES.get(func)
        if rule is not None and kwargs.keys() <= {"bias"}:
            result = rule(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if getattr(func, "__name__", "") in ("__get__", "dim", "size", "numel"):
            answer = func(*_bare(args, detached=True), **kwargs)
            if not isinstance(answer, Tensor):  # a question about shape or type; .mH and .real are not
                return answer
        return func(*_bare(args), **_bare(kwargs))


def _bare(value: Any, detached: bool = False) -> Any:
    """Stand-ins replaced by ordinary tensors: leaves of the graph, or for questions about shape the values."""
    if isinstance(value, StandIn):
        if detached:
            return value.detached
        leaf = value.tape.leaf(value.number)
        return leaf.t() if value.turned else leaf
    if isinstance(value, tuple | list):
        return rebuilt(value, [_bare(v, detached) for v in value])
    if isinstance(value, dict):
        return {k: _bare(v, detached) for k, v in value.items()}
    return value


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    if not isinstance(weight, StandIn) or isinstance(x, StandIn | Zero) or not torch.is_grad_enabled():
        return NotImplemented
    if weight.detached.dim() != 2:
        return NotImplemented
    if bias is not None and not (isinstance(bias, StandIn) and not bias.turned):
        return NotImplemented
    x = weight.tape.follow(x)
    result = F.linear(x, weight.detached, None if bias is None else bias.detached)
    if x.shape[0]:
        weight.tape.note(weight, bias, not weight.turned, x, result)
    return result


def _matmul(x: Any, weight: Any) -> Any:
    if (
        not isinstance(weight, StandIn)
        or isinstance(x, StandIn | Zero)
        or x.dim() < 2
        or weight.detached.dim() != 2
        or not torch.is_grad_enabled()
    ):
        return NotImplemented
    x = weight.tape.follow(x)
    result = x @ weight.detached
    if x.shape[0]:
        weight.tape.note(weight, None, weight.turned, x, result)
    return result


def _turn(weight: Any, *dims: int) -> Any:
    if weight.detached.dim() != 2 or (dims and {d % 2 for d in dims} != {0, 1}):
        return NotImplemented
    return StandIn.of(weight.tape, weight.number, weight.detached.t(), not weight.turned)


_RULES: dict[Any, Callable[..., Any]] = {F.linear: _linear}
for _func in (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm):
    _RULES[_func] = _matmul
for _func in (
    Tensor.t,
    torch.t,
    Tensor.transpose,
    torch.transpose,
    *(getattr(Tensor, name).__get__ for name in ("T", "mT")),
):
    _RULES[_func] = _turn


def check_none_captured(cell: nn.Module) -> None:
    """Raise `NotSweepable` if the cell keeps a tensor that requires grad and is no parameter of it.

    (`check_all_known` sees what the first steps use; this sees what later ones may.)
    """
    for module in cell.modules():
        if isinstance(module, torch.jit.ScriptModule) or module._compiled_call_impl is not None:
            raise NotSweepable("the cell has a compiled part, whose parameters cannot be replaced")
        if parametrize._cache_enabled and parametrize.is_parametrized(module):
            raise NotSweepable("the cell's weights are made once for several runs")
        for name, value in (own_attributes(module) | module._buffers).items():
            if any(tensor.requires_grad for tensor in _tensors_in(value)):
                raise NotSweepable(f"the cell's {name} requires grad and is none of its parameters")


def _tensors_in(value: Any, depth: int = 4) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif depth and isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors_in(item, depth - 1)


def check_all_known(outputs: list[Tensor], known: list[Tensor]) -> None:
    """Raise `NotSweepable` if a step's results depend on a leaf that the sweep would send no gradient to."""
    known_ids = {id(tensor) for tensor in known}
    waiting = [tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        variable = getattr(node, "variable", None)
        if variable is not None and id(variable) not in known_ids:
            raise NotSweepable(
                f"the cell uses a tensor of shape {tuple(variable.shape)} that is none of its parameters"
            )
        fresh = {function for function, _ in node.next_functions if function is not None} - seen
        seen |= fresh
        waiting.extend(fresh)
