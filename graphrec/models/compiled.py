"""Models under torch.compile: a call becomes one function of tensors, which is traced as operators of graphrec.

Dynamo reads a call up to `_traced_call`, which it leaves in its graph: rows, weights and the integers of the structure
are inputs. What the model does with them is ordinary Python, run when the graph is traced, on tensors without values.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from inspect import signature
from operator import index
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn
from torch.nn.utils.stateless import _reparametrize_module

from ..engine import per_graph, per_node
from ..engine.initial import Initial
from ..program.symbols import NotRecordable
from ..structure import Structure
from ..structure.outside import structures_traced, uncompiled
from ..structure.traced import TracedStructure
from .calls import of_edges_given
from .settings import look_at_settings

Forward = TypeVar("Forward", bound=Callable[..., Any])

# The tensors of a structure, in the order in which a graph has them; x stands before them, initial states behind.
INTEGERS = ("edge_index", "slot", "relation", "kind", "graph", "past")
OF_STRUCTURE = (*INTEGERS, "edge_attr", "edge_weight")

# Between what is said of a call that can be traced.
PARTS = "\x1c"

# Models that graphs refer to, by number.
models: WeakValueDictionary[str, nn.Module] = WeakValueDictionary()

_UNUSUAL = "rule, backend, pairs of rows and PyG's containers are for calls outside of compiled programs"


def compilable(forward: Forward) -> Forward:
    """A model's forward that torch.compile traces as one function where it can, and leaves to Python elsewhere.

    With `fullgraph=True` the error says why it cannot.
    """
    plain = uncompiled(forward)

    @functools.wraps(forward)
    def call(self: Any, x: Any, s: Any = None, *others: Any, **more: Any) -> Any:
        if not torch.compiler.is_dynamo_compiling():
            return plain(self, x, s, *others, **more)
        return _read_by_dynamo(self, plain, x, s, *others, **more)

    return cast(Forward, call)


def _read_by_dynamo(
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
    over = edge_index if s is None else s
    is_one = (s is None) != (edge_index is None) and rule is None and backend is None
    inputs, form, found = [], (), f"!{_UNUSUAL}"
    # (Tuples of types, and the method before the call: torch 2.6 traces no unions, and would trace into the method.)
    if is_one and isinstance(x, Tensor) and isinstance(over, (Structure, Tensor)):
        states, layout = _flat(initial)
        inputs = [x, *_parts(over, edge_attr, edge_weight), *states]
        form = (isinstance(over, Structure), layout, return_states)
        ask = model.tried_for_programs
        found = ask(id(model), form, _described(inputs))
    if found.startswith("!"):
        _break(f"graphrec runs {type(model).__name__} outside of the compiled program: {found[1:]}")
        return plain(model, x, s, edge_attr, initial, return_states, edge_weight, edge_index, rule, backend)
    key, settings, *types = found.split(PARTS)
    look_at_settings(model, settings)
    weights = dict(model.named_parameters(remove_duplicate=False))
    weights.update(model.named_buffers(remove_duplicate=False))
    num_graphs = over.num_graphs if isinstance(over, Structure) else 1
    made = _traced_call(key, form, num_graphs, inputs, tuple(weights.keys()), list(weights.values()))
    if not return_states:
        return made[0]
    states, first = [], 1
    for part in types:
        path, _, count = part.rpartition(":")
        states.append(model.get_submodule(path).State(*made[first : first + int(count)]))
        first += int(count)
    return made[0], states


def _parts(over: Any, edge_attr: Any, edge_weight: Any) -> list[Any]:
    if isinstance(over, Tensor):
        return [over, *[None] * (len(INTEGERS) - 1), edge_attr, edge_weight]
    if edge_attr is None and edge_weight is None:
        edge_attr, edge_weight = over.edge_attr, over.edge_weight
    return [*[getattr(over, name) for name in INTEGERS], edge_attr, edge_weight]


def _flat(initial: Any) -> tuple[list[Any], tuple[tuple[str, int], ...]]:
    """The tensors of initial states; and for each state whose rows it has ("none": there is none), and how many."""
    tensors, layout = [], []
    for state in initial if isinstance(initial, list) else [initial]:
        whose = "none" if state is None else "any"
        if isinstance(state, Initial):
            state, whose = state.state, state.rows
        fields = [] if state is None else [state] if isinstance(state, Tensor) else list(state)
        tensors.extend(fields)
        layout.append((whose, len(fields)))
    return tensors, tuple(layout)


def _described(inputs: Sequence[Any]) -> tuple[Any, ...]:
    """What does not depend on how many nodes and edges there are: widths (of integers: dimensions), type and device."""
    return tuple(
        None
        if tensor is None
        else (
            tuple(index(width) for width in tensor.shape[1:]) if tensor.is_floating_point() else tensor.dim(),
            tensor.dtype,
            tensor.device,
        )
        for tensor in inputs
    )


@torch.compiler.allow_in_graph
def _traced_call(
    key: str,
    form: tuple[Any, ...],
    num_graphs: int,
    inputs: list[Tensor | None],
    names: tuple[str, ...],
    weights: list[Tensor],
) -> tuple[Tensor, ...]:
    try:
        h, states = compute(models[key], form, num_graphs, inputs, dict(zip(names, weights, strict=True)))
    except NotRecordable as error:
        raise RuntimeError(
            f"{type(models[key]).__name__} has changed since it was compiled, to what no program has: {error}. "
            f"torch.compiler.reset() lets it be compiled anew."
        ) from error
    return (h, *(field for state in states for field in state))


def compute(
    model: Any, form: tuple[Any, ...], num_graphs: Any, inputs: Sequence[Any], weights: dict[str, Any]
) -> tuple[Tensor, list[Any]]:
    """What a call returns, and the final states if they are wanted, of tensors that stand for others.

    Args:
        model, weights: the model, and what stands for its parameters and buffers.
        form: whether over a Structure (or an edge_index), the layout of the initial states, whether final ones are
            wanted.
        num_graphs: G.
        inputs: x, the parts of the structure, the fields of the initial states.
    """
    is_structure, layout, return_states = form
    x, fields = inputs[0], iter(inputs[1 + len(OF_STRUCTURE) :])
    parts: dict[str, Any] = dict(zip(OF_STRUCTURE, inputs[1:], strict=False))
    if not is_structure:
        of_edges = parts["edge_attr"], parts["edge_weight"]
        _, parts["edge_attr"], parts["edge_weight"] = of_edges_given(model, x, parts["edge_index"], *of_edges)
    initial = [_state(whose, [next(fields) for _ in range(count)]) for whose, count in layout]
    given = model.states_given(None if initial == [None] else initial)
    with structures_traced(), _reparametrize_module(model, _by_one_path(model, weights)):
        s = TracedStructure.of(x.shape[0], num_graphs, parts)
        return model.compute(x, s, given, return_states)


def _by_one_path(model: nn.Module, weights: dict[str, Any]) -> dict[str, Any]:
    """Without the second path of a module that has two, whose weights would not be put back."""
    paths = dict(model.named_modules())
    return {name: weight for name, weight in weights.items() if name.rpartition(".")[0] in paths}


def _state(whose: str, fields: list[Tensor]) -> Any:
    if whose == "any":
        return fields
    return None if whose == "none" else per_graph(fields) if whose == "graph" else per_node(fields)


if "msg" in signature(torch._dynamo.graph_break).parameters:
    _break: Callable[[str], Any] = torch._dynamo.graph_break
else:  # (before torch 2.7)
    _break = lambda msg: torch._dynamo.graph_break()  # noqa: E731
