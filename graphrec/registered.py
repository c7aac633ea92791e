"""The operators that compiled and exported programs contain, as torch must know them before it loads such a program.

So they are registered when graphrec is imported. What they do (`backends/programs/operator/operators.py`) is imported
when one of them is first called.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from torch.library import custom_op

_STRUCTURE = (
    "Tensor edge_index, Tensor? slot, Tensor? relation, Tensor? kind, Tensor? graph, Tensor? past, "
    "SymInt num_graphs, bool backward"
)


def _deferred(name: str) -> Callable[..., Any]:
    """A function of the module that does the work, by its name: nothing else here may import what runs a cell."""

    def call(*args: Any, **kwargs: Any) -> Any:
        operators = import_module("graphrec.backends.programs.operator.operators")
        return getattr(operators, name)(*args, **kwargs)

    return call


def _registered(name: str, schema: str) -> Any:
    made = custom_op(f"graphrec::{name}", _deferred(name), mutates_args=(), schema=schema)
    made.register_fake(_deferred(f"{name}_fake"))
    return made


_run = _registered("run", f"(str program, Tensor[] rows, {_STRUCTURE}) -> (Tensor, Tensor)")
_run.register_autograd(_deferred("differentiate"), setup_context=_deferred("setup_context"))
_run.register_vmap(_deferred("run_vmap"))

_registered(
    "run_backward", f"(str program, Tensor[] rows, {_STRUCTURE}, Tensor grad, Tensor memory) -> Tensor[]"
).register_vmap(_deferred("run_backward_vmap"))

_registered(
    "sinks",
    "(Tensor edge_index, Tensor? graph, SymInt num_nodes, SymInt num_graphs, bool backward) -> Tensor",
)
