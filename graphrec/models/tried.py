"""Whether a call of a model can be traced: it is tried on tensors without values, before dynamo enters it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad

from ..cell import Cell
from ..program.purity import Traces
from .compiled import INTEGERS, OF_STRUCTURE, PARTS, compute, models
from .settings import written_settings

_functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]

_OWN_TENSOR = (
    "a cell reads a tensor that is neither parameter nor buffer of the model: register_buffer makes it one"
)

# The call is tried on a structure of so many nodes, edges and graphs.
_NODES, _EDGES, _GRAPHS = 5, 4, 2
_ROWS = {"edge_index": (2, _EDGES), "kind": (_NODES,), "graph": (_NODES,), "past": (_NODES,)}


def try_call(model: Any, number: int, form: tuple[Any, ...], inputs: Sequence[Any]) -> str:
    """The model's key, its settings, where its final states' types are found, with `PARTS` between; or `!` and why not.

    Args:
        model, number: the model; its number becomes the key.
        form: see `compute`.
        inputs: the tensors, as `compiled` describes them.
    """
    transforms = {level.key() for level in _functorch.get_interpreter_stack() or []}
    if transforms - {_functorch.TransformType.Vmap} or forward_ad._current_level >= 0:
        return "!transforms of torch.func and forward-mode derivatives run in the plain loop"
    traces = Traces(model, list(model.modules()))
    try:
        settings = written_settings(model)
        states = _try(model, form, inputs)
        types = [_where(model, state) for state in states]
    except Exception as error:  # whatever it is, the plain call does it, or says it better
        return f"!{_OWN_TENSOR if 'convert all Tensors to FakeTensors' in str(error) else error}"
    finally:
        found = traces.remove()
    if found is not None:
        return f"!{found}"
    models[str(number)] = model
    return PARTS.join([str(number), settings, *types])


def _try(model: Any, form: tuple[Any, ...], inputs: Sequence[Any]) -> list[Any]:
    with FakeTensorMode() as mode:
        tensors = [
            *model.named_parameters(remove_duplicate=False),
            *model.named_buffers(remove_duplicate=False),
        ]
        weights = {name: mode.from_tensor(tensor) for name, tensor in tensors}
        names = ("x", *OF_STRUCTURE, *[""] * (len(inputs) - 1 - len(OF_STRUCTURE)))
        made = [_stand_in(name, described) for name, described in zip(names, inputs, strict=True)]
        return compute(model, form, _GRAPHS, made, weights)[1]


def _stand_in(name: str, described: Any) -> Any:
    if described is None:
        return None
    widths, dtype, device = described
    if name in INTEGERS:
        shape = _ROWS.get(name, (_EDGES,))
        if widths != len(shape):
            raise ValueError(f"{name} must have {len(shape)} dimensions, got {widths}.")
        return torch.empty(shape, dtype=dtype, device=device)
    if not isinstance(widths, tuple):
        raise TypeError(f"{name or 'the initial state'} must hold floating-point numbers, got {dtype}.")
    rows = _EDGES if name.startswith("edge_") else _NODES
    return torch.empty(rows, *widths, dtype=dtype, device=device)


def _where(model: nn.Module, state: Any) -> str:
    for path, part in model.named_modules():
        if isinstance(part, Cell) and getattr(part, "State", None) is type(state):
            return f"{path}:{len(state)}"
    raise ValueError(f"no cell of {type(model).__name__} has a state of type {type(state).__name__}.")
