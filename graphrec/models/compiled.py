"""Models under torch.compile: a call becomes one function of tensors, which is traced as operators of graphrec.

Dynamo reads a call up to here. Rows, weights and the integers of the structure are inputs of the graph; what the model
does with them is ordinary Python, which runs when the graph is traced, on tensors without values.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from inspect import signature
from operator import index
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn.utils.stateless import _reparametrize_module

from ..cell import Cell
from ..engine import per_graph, per_node
from ..engine.initial import Initial
from ..io import as_structure
from ..structure import Structure
from ..structure.outside import structures_traced, uncompiled
from ..structure.traced import TracedStructure
from .calls import of_edges_given

Forward = TypeVar("Forward", bound=Callable[..., Any])

_functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
# The tensors of a structure that a program takes, and those of edges.
_INTEGERS = ("edge_index", "slot", "relation", "kind", "graph", "past")

# Attributes that all modules have, and no equation reads.
_OF_MODULES = frozenset(vars(nn.Module()))

_PLAIN = (bool, int, float, str, FunctionType, BuiltinFunctionType, type)

# Models that programs have been traced of; a graph refers to them by their numbers.
_models: WeakValueDictionary[str, nn.Module] = WeakValueDictionary()


def compilable(forward: Forward) -> Forward:
    """A model's forward, that torch.compile traces as one function where it can, and leaves to Python elsewhere."""
    plain = uncompiled(forward)

    @functools.wraps(forward)
    def call(self: Any, x: Any, s: Any = None, *others: Any, **more: Any) -> Any:
        if not torch.compiler.is_dynamo_compiling():
            return plain(self, x, s, *others, **more)
        return _traced(self, plain, x, s, *others, **more)

    return cast(Forward, call)


def _traced(
    model: Any,
    plain: Any,
    x: Any,
    s: Any = None,
    edge_attr: Any = None,
    initial: Any = None,
    return_states: bool = False,
    edge_weight: Any = None,
    edge_index: Any = None,
    rule: Any = None,
    backend: Any = None,
) -> Any:
    """What dynamo reads."""
    over = edge_index if s is None else s
    why = None
    if rule is not None or backend is not None:
        why = "rule and backend are for calls that are not compiled"
    elif not isinstance(x, Tensor) or not isinstance(over, Structure | Tensor) or (
        s is not None and edge_index is not None
    ):
        why = "only rows in one tensor, over a Structure or an edge_index, are compiled"
    if why is None:
        is_structure = isinstance(over, Structure)
        if is_structure:
            integers = [getattr(over, name) for name in _INTEGERS]
            num_graphs = over.num_graphs
            if edge_attr is None and edge_weight is None:
                edge_attr, edge_weight = over.edge_attr, over.edge_weight
        else:
            integers, num_graphs = [over, None, None, None, None, None], 1
        tensors, layout = [], []
        for state in initial if isinstance(initial, list) else [initial]:
            rows, said = _state_as_given(state)
            tensors.extend(rows)
            layout.append(said)
        of_edges = [edge_attr, edge_weight]
        found = model._for_programs(
            id(model), is_structure, _described([x]), _kinds(integers), _described(of_edges),
            _described(tensors), tuple(layout), return_states,
        )
        if found.startswith("!"):
            why = found[1:]
    if why is not None:
        _break(f"graphrec runs {type(model).__name__} outside of the compiled program: {why}")
        return plain(model, x, s, edge_attr, initial, return_states, edge_weight, edge_index, rule, backend)
    weights = dict(model.named_parameters(remove_duplicate=False))
    weights.update(model.named_buffers(remove_duplicate=False))
    key, settings, *types = found.split("|")
    _read(model, settings)
    made = _call(
        key, is_structure, x, integers, num_graphs, of_edges, tensors, tuple(layout), return_states,
        tuple(weights.keys()), list(weights.values()),
    )
    if not return_states:
        return made[0]
    states, first = [], 1
    for part in types:
        path, count = part.split(":")
        states.append(model.get_submodule(path).State(*made[first : first + int(count)]))
        first += int(count)
    return made[0], states


def _state_as_given(state: Any) -> tuple[list[Any], tuple[str, int]]:
    """The tensors of an initial state, and how they were given."""
    whose = "any"
    if isinstance(state, Initial):
        state, whose = state.state, state.rows
    if state is None:
        return [], ("none", 0)
    return ([state] if isinstance(state, Tensor) else list(state)), (whose, 1 if isinstance(state, Tensor) else len(state))


def _kinds(tensors: Sequence[Any]) -> tuple[Any, ...]:
    """Of tensors of integers: how many dimensions they have, their type and device."""
    return tuple(None if tensor is None else (tensor.dim(), tensor.dtype, tensor.device) for tensor in tensors)


def _described(tensors: Sequence[Any]) -> tuple[Any, ...]:
    """What does not depend on how many nodes and edges there are: widths, which are constants, type and device."""
    return tuple(
        None
        if tensor is None
        else (tuple(index(width) for width in tensor.shape[1:]), tensor.dtype, tensor.device)
        for tensor in tensors
    )


@torch.compiler.allow_in_graph
def _call(
    key: str,
    is_structure: bool,
    x: Tensor,
    integers: list[Tensor | None],
    num_graphs: int,
    of_edges: list[Tensor | None],
    tensors: list[Tensor],
    layout: tuple[tuple[str, int], ...],
    return_states: bool,
    names: tuple[str, ...],
    weights: list[Tensor],
) -> tuple[Tensor, ...]:
    """What the graph contains, and is traced through."""
    model = _models[key]
    with structures_traced(), _reparametrize_module(model, dict(zip(names, weights, strict=True))):
        h, states = _computed(
            model, is_structure, x, integers, num_graphs, of_edges, tensors, layout, return_states
        )
    return (h, *(field for state in states for field in state))


def _computed(
    model: Any,
    is_structure: bool,
    x: Tensor,
    integers: Sequence[Any],
    num_graphs: Any,
    of_edges: Sequence[Any],
    tensors: Sequence[Tensor],
    layout: Sequence[Any],
    return_states: bool,
) -> tuple[Tensor, list[Any]]:
    edge_attr, edge_weight = of_edges
    if not is_structure:
        _, edge_attr, edge_weight = of_edges_given(model, x, integers[0], edge_attr, edge_weight)
    parts = dict(zip(_INTEGERS, integers, strict=True), edge_attr=edge_attr, edge_weight=edge_weight)
    s = TracedStructure.of(x.shape[0], num_graphs, parts)
    rows, initial = iter(tensors), []
    for whose, count in layout:
        state = [next(rows) for _ in range(count)]
        declared = {"graph": per_graph, "node": per_node}.get(whose)
        initial.append(None if whose == "none" else state if declared is None else declared(state))
    none = len(initial) == 1 and initial[0] is None
    return model.compute(x, s, model.states_given(None if none else initial), return_states)


def describe(
    model: Any,
    number: int,
    is_structure: bool,
    x: Any,
    integers: Any,
    of_edges: Any,
    tensors: Any,
    layout: Any,
    return_states: bool,
) -> str:
    """The key of a model, and where its final states' types are found, if its calls can be traced; or "!" and why not.

    The call is tried on tensors without values.
    """
    transforms = {level.key() for level in _functorch.get_interpreter_stack() or []}
    if transforms - {_functorch.TransformType.Vmap} or forward_ad._current_level >= 0:
        return "!transforms of torch.func and forward-mode derivatives run in the plain loop"
    if [part[0] for part in integers if part is not None] != [2] + [1] * (len(integers) - 1 - integers.count(None)):
        return "!an edge_index has shape [2, E]"
    sizes = {"edge_index": (2, 4), "slot": (4,), "relation": (4,), "kind": (5,), "graph": (5,), "past": (5,)}
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def rows(described: Any, count: int) -> Any:
        if described is None:
            return None
        shape, dtype, device = described
        return torch.empty(count, *shape, dtype=dtype, device=device)

    try:
        with mode, structures_traced():
            weights = {
                name: mode.from_tensor(tensor)
                for name, tensor in (
                    *model.named_parameters(remove_duplicate=False),
                    *model.named_buffers(remove_duplicate=False),
                )
            }
            named = zip(_INTEGERS, integers, strict=True)
            made = [
                None if part is None else torch.empty(sizes[name], dtype=part[1], device=part[2])
                for name, part in named
            ]
            with _reparametrize_module(model, weights):
                _, states = _computed(
                    model,
                    is_structure,
                    rows(x[0], 5),
                    made,
                    2 if is_structure else 1,
                    [rows(part, 4) for part in of_edges],
                    [rows(part, 5) for part in tensors],
                    layout,
                    return_states,
                )
    except Exception as error:  # whatever it is, the plain call does it, or says it better
        return f"!{error}"
    key = str(number)
    _models[key] = model
    return "|".join([key, _settings(model), *(_where(model, state) for state in states)])


def _settings(model: nn.Module) -> str:
    """The names of all that a recorded cell may depend on beside tensors: numbers, texts and functions of modules."""
    said = []
    for path, part in model.named_modules():
        names = [name for name, value in vars(part).items() if name == "training" or _is_setting(name, value)]
        said.append(f"{path}:{','.join(names)}")
    return ";".join(said)


def _is_setting(name: str, value: Any) -> bool:
    if name in _OF_MODULES:
        return False
    if isinstance(value, tuple | list):
        return all(_is_setting("", part) for part in value)
    return value is None or isinstance(value, _PLAIN)


def _read(model: nn.Module, settings: str) -> None:
    """Read these, so that dynamo compiles again when one of them is another."""
    seen = set()
    for part in settings.split(";"):
        path, names = part.split(":")
        module = model.get_submodule(path)
        for name in names.split(","):
            value = getattr(module, name)
            for item in value if isinstance(value, tuple | list) else [value]:
                seen.add(item)  # (so that dynamo wants to know it)


def _where(model: nn.Module, state: Any) -> str:
    for path, part in model.named_modules():
        if isinstance(part, Cell) and getattr(part, "State", None) is type(state):
            return f"{path}:{len(state)}"
    raise ValueError(f"no cell of {type(model).__name__} has a state of type {type(state).__name__}.")


if "msg" in signature(torch._dynamo.graph_break).parameters:
    _break: Callable[[str], Any] = torch._dynamo.graph_break
else:  # (before torch 2.7)

    def _break(msg: str) -> None:
        torch._dynamo.graph_break()
