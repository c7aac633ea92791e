"""What models over sequences have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from ..backends import running_on
from ..cell import Cell
from ..engine.rules import differentiated_by, rule_in_force
from ..io import StructureLike, as_structure, rows_by_type
from ..structure import Structure
from ..structure.checks import as_flag
from ..structure.outside import structures_traced
from ..structure.traced import TracedStructure
from ..weights import Resettable
from .calls import of_edges_given, structure_of_call
from .compiled import compilable
from .tried import try_call

Kind = TypeVar("Kind", bound=nn.Module)


class Model(Resettable):
    """A module from inputs and a structure to a row per node, which can also take and return states.

    A subclass writes `compute` and, where it has states, `final`. States are listed as in torch: layer by
    layer, and in each layer first the direction along the edges.

    Attributes:
        num_states: how many states, one per layer and direction.
        runs: the names of all cells and models that it runs over the structure; None: not declared. It tells
            which arguments of a call are read.
    """

    num_states: int = 0
    runs: tuple[str, ...] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "compute" in vars(cls) and "runs" not in vars(cls):
            cls.runs = None  # it may run, or read, other things than its base class

    @compilable
    def forward(
        self,
        x: Tensor | Mapping[str, Tensor] | tuple[Tensor, Tensor | None],
        s: StructureLike | None = None,
        edge_attr: Tensor | None = None,
        initial: Any = None,
        return_states: bool = False,
        edge_weight: Tensor | None = None,
        edge_index: StructureLike | None = None,
        rule: Any = None,
        backend: str | None = None,
    ) -> Any:
        """`[N, D] → [N, H]`, and if `return_states` what `with_states` returns.

        Args:
            x: `[N, D]`; with `HeteroData` also its `x_dict`, in which case the result is such a dictionary; a pair of
                rows for a round from one set of nodes to another, see `graphrec.GNN`.
            s: a Structure, a PyG `Data`, `HeteroData` or `Batch`, or an `edge_index` `[2, E]`.
            edge_attr: `[E, ...]`, with an `edge_index` only; the others carry their own. If the model's cells read
                weights and no features, `[E]` or `[E, 1]` are the weights, as the third argument of PyG's `GCNConv`.
            initial: a list of initial states, one per layer and direction, each as in `graphrec.run`; if there is
                only one, also that alone; None: there are none.
            return_states: whether final states are wanted: for each layer and direction the state, such as `(h, c)`,
                that each graph's one sink has, `[G, H]`: the last node of a chain, the root of a tree.
            edge_weight: `[E]`, likewise.
            edge_index: another name for s, as in PyG's layers.
            rule: how the runs of this call are differentiated, see `graphrec.learning`; None: by autograd, or by the
                rule of an enclosing call.
            backend: what does these runs, as in `graphrec.run`.

        Raises:
            TypeError: no structure, or given by both names; rows and structure the other way round.
            ValueError: features or weights of edges that no cell of the model reads.
        """
        if rule is not None or backend is not None:
            with ExitStack() as around:
                around.enter_context(differentiated_by(rule_in_force() if rule is None else rule))
                around.enter_context(running_on(backend))
                return self(x, s, edge_attr, initial, return_states, edge_weight, edge_index)
        return_states = as_flag("return_states", return_states)
        over = structure_of_call(self, x, s, edge_index)
        if isinstance(x, Mapping):
            types, sizes, x = rows_by_type(x, over)
            found = self(x, over, edge_attr, initial, return_states, edge_weight)
            h = found[0] if return_states else found
            rows = dict(zip(types, h.split(sizes), strict=True))
            return (rows, found[1]) if return_states else rows
        over, edge_attr, edge_weight = of_edges_given(self, x, over, edge_attr, edge_weight)
        if isinstance(x, tuple):
            return self._compute_pair(
                x, over, initial, return_states, edge_attr=edge_attr, edge_weight=edge_weight
            )
        structure = as_structure(over, x, edge_attr, edge_weight)
        with structures_traced() if isinstance(structure, TracedStructure) else nullcontext():
            h, final = self.compute(x, structure, check_initial(self, initial), return_states)
        return (h, final) if return_states else h

    @torch.compiler.assume_constant_result
    def tried_for_programs(self, *call: Any) -> str:
        """Whether torch.compile can trace a call, and how; see `try_call`."""
        return try_call(self, *call)

    def states_given(self, initial: Any) -> list[Any]:
        """The initial states of a call as a list."""
        return check_initial(self, initial)

    def _compute_pair(
        self, x: tuple[Any, ...], s: Any, initial: Any, return_states: bool, **of_edges: Tensor | None
    ) -> Tensor:
        if len(x) != 2:
            raise TypeError(f"expected rows of nodes, or a pair (x_source, x_target), got {len(x)} of them.")
        if initial is not None or return_states:
            raise TypeError("a round from one set of nodes to another has no states.")
        return self.compute_pair(*x, s, **of_edges)

    def compute_pair(
        self, x_source: Tensor, x_target: Tensor | None, edge_index: Any, **of_edges: Tensor | None
    ) -> Tensor:
        """A round from one set of nodes to another; `GNN` defines it.

        Raises:
            TypeError: the model is not one round.
        """
        raise TypeError(
            f"{type(self).__name__} runs over one set of nodes, got a pair of rows (x_source, x_target): a layer from "
            f"one set to another is graphrec.GNN([cell]), a round with a cell."
        )

    def with_states(self, x: Tensor, s: StructureLike, initial: Any = None) -> tuple[Tensor, list[Any]]:
        """The rows `[N, H]`, and the final state of each layer and direction, a State of `[G, H]` tensors.

        A graph's final state is that of its one sink: the last node of a chain, the root of a tree, the one output
        of a DAG. For a graph without nodes the initial state is also the final one. A State is the cell's named tuple,
        such as `(h, c)`; what it is handed to begins with it, `initial=`. Arguments as in `forward`.

        Raises:
            ValueError: a graph with several sinks, or with nodes and no sink.
        """
        return self(x, s, initial=initial, return_states=True)

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """The rows, and the final states if they are wanted (otherwise an empty list)."""
        raise NotImplementedError(f"{type(self).__name__} has no compute(x, s, initial, return_states).")

    def final(self, states: list[Any]) -> Tensor:
        """`[G, H]`: the model's final row for each graph, of both directions if it has two."""
        raise NotImplementedError(f"{type(self).__name__} has no states, and so no final row.")


def run_inner(
    model: nn.Module, x: Tensor, s: Structure, initial: list[Any], return_states: bool
) -> tuple[Tensor, list[Any]]:
    """The same for any module that is called as `model(x, s)`; one that is not a `Model` has no states."""
    if not count_states(model):
        return model(x, s), []
    if return_states:
        return model(x, s, initial=initial, return_states=True)
    # Passed only where there are some, so that a subclass with its own forward(x, s) can be a part.
    return (model(x, s) if all(state is None for state in initial) else model(x, s, initial=initial)), []


def check_model(model: Any) -> Any:
    """A module that is called as `model(x, s)`.

    Raises:
        TypeError: not a module, or a cell, which is one step of a model.
    """
    if isinstance(model, Cell):
        raise TypeError(
            f"expected a model, got the cell {type(model).__name__}, which is one step of one: "
            f"graphrec.Recursive(cell) makes a model of it."
        )
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected a model (torch.nn.Module), got {type(model).__name__}.")
    return model


def count_states(model: nn.Module) -> int:
    """How many states a module has."""
    return model.num_states if isinstance(model, Model) else 0


def is_as_written(
    model: nn.Module, kind: type[Kind], methods: Sequence[str] = ("forward", "compute", "_task")
) -> TypeGuard[Kind]:
    """Whether a model computes what its class says: no subclass overrides these methods, no hook changes the rows."""
    return (
        isinstance(model, kind)
        and all(getattr(type(model), name, None) is getattr(kind, name, None) for name in methods)
        and not (model._forward_hooks or model._forward_pre_hooks)
    )


def check_initial(model: Model, initial: Any) -> list[Any]:
    """The initial states as a list, one per layer and direction, with None for each that is not given."""
    if initial is None:
        return [None] * model.num_states
    if model.num_states == 1 and not (isinstance(initial, list) and len(initial) == 1):
        return [initial]
    if not model.num_states and initial != []:
        raise ValueError(f"{type(model).__name__} has no states, and so takes no initial ones.")
    is_state = hasattr(initial, "_fields") or (
        isinstance(initial, tuple) and len(initial) == model.num_states
    )
    if is_state and all(isinstance(field, Tensor) for field in initial):
        raise ValueError(
            f"{type(model).__name__} takes a list of {model.num_states} initial states, one per layer and direction, "
            f"got the fields of one: [state, ...], or [tensor, ...] where states have one field."
        )
    if not isinstance(initial, list | tuple) or len(initial) != model.num_states:
        got = f"{len(initial)} of them" if isinstance(initial, list | tuple) else type(initial).__name__
        raise ValueError(
            f"{type(model).__name__} takes a list of {model.num_states} initial states, one per layer and direction, "
            f"got {got}."
        )
    return list(initial)
