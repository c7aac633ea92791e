"""The interface between equations and engine."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from ..structure.checks import as_count
from .edges import project_rows
from .weights import Resettable

if TYPE_CHECKING:
    from ..engine.inbox import Inbox
    from ..structure import Structure

# What an inbox has of its own; a state's fields must be called otherwise.
_RESERVED = frozenset(
    (
        *("num_nodes", "num_edges", "structure", "target", "slot", "relation", "degree", "is_loop", "has"),
        *("edge_attr", "edge_weight", "message_mask", "sum", "sum_of", "sum_unmasked", "sum_by_relation"),
        *("mean", "max", "softmax", "softmax_with_own", "to_edges", "slots", "by_slot", "parts", "of_slot"),
        *("renamed", "replaced", "shown_by", "read_by"),
    )
)


class Fused(NamedTuple):
    """A cell as one of torch's recurrent operators, with its weights in torch's layout.

    Attributes:
        operator: `"rnn_tanh"`, `"rnn_relu"`, `"lstm"` or `"gru"`.
        w_ih, w_hh: `[gates * H, D]` and `[gates * H, H]`.
        b_ih, b_hh: `[gates * H]`, or None.
    """

    operator: str
    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None

    def weights(self) -> list[Tensor]:
        """As torch's operators take them: with two biases or none."""
        b_ih, b_hh = self.b_ih, self.b_hh
        if b_ih is None and b_hh is None:
            return [self.w_ih, self.w_hh]
        b_ih = torch.zeros_like(b_hh) if b_ih is None else b_ih  # type: ignore[arg-type]
        return [self.w_ih, self.w_hh, b_ih, torch.zeros_like(b_ih) if b_hh is None else b_hh]

    def has_shapes(self, inputs: int, hidden: int) -> bool:
        """Whether the weights are those of a cell of these widths."""
        rows = {"lstm": 4, "gru": 3}.get(self.operator, 1) * hidden
        biases = (self.b_ih, self.b_hh)
        return (
            self.w_ih.shape == (rows, inputs)
            and self.w_hh.shape == (rows, hidden)
            and all(bias is None or bias.shape == (rows,) for bias in biases)
        )


class Cell(Resettable):
    """How one node's state follows from its input and its inbox.

    A subclass sets `State`, a NamedTuple type of `[N, ·]` tensors, and `self.hidden`, their width, and writes
    `forward`. It knows nothing of order, levels, batches or time; write it as its paper does, in plain PyTorch.

    Attributes:
        State: the type of the state, e.g. `namedtuple("State", "h c")`.
        hidden: H, the width of each field of the state; see `shapes`.
        inputs: D, the width of x, or None if the cell does not care; of cells that have `show_pair` also a pair, the
            widths of sources and of targets.
        arity: how many slots a node has, or None if any number of edges may enter it.
        edges: the width of edge_attr, or of that of each relation (a list or a dictionary; None: it has none), or
            None if the cell does not care.
        reads_edges: what else the equations read of edges, of `"edge_attr"` and `"edge_weight"`, in a tuple; None: it
            is not said. What is given in a call and no cell of a model reads is refused where all of them say.
        begins_with_x: whether the input is the state of round 0; see `before`.
        constants: the names of the state's fields that every step hands on as it got them; at a fixed point there is
            nothing to be found of these.
        relations: how many relations there are, or None if the cell does not care.
        Shown: the type of what nodes show to their targets, or None if that is their state; see `show`.
        recurrent_layers: the names of the layers that multiply the predecessor's h, for those who would mask it
            there; see `graphrec.VariationalDropout`.
        elementwise: whether the step is one of `hidden` units that do not see each other: unit u of the new state
            depends on unit u of the sources' states alone, and on rows u, H + u, 2 H + u and so on of each weight; see
            `graphrec.learning.RTRL`.
    """

    State: Any
    Shown: Any = None
    hidden: int
    inputs: Any = None  # an int, a pair of them or None; Any, for those that look it up
    arity: Any = None  # an int or None; Any, so that cells with slots can say int
    edges: Any = None  # as arity
    reads_edges: Any = None  # a tuple of names or None
    relations: Any = None
    begins_with_x: bool = False
    constants: tuple[str, ...] = ()
    recurrent_layers: tuple[str, ...] = ()
    elementwise: bool = False

    def __init__(self, inputs: int | None = None, hidden: int | None = None) -> None:
        super().__init__()
        if inputs is not None:
            self.inputs = as_count("inputs", inputs)
        if hidden is not None:
            self.hidden = as_count("hidden", hidden, 1)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """One step; see `forward`."""
        if len(args) + len(kwargs) < 3:  # a structure, where an inbox and a state are wanted
            raise TypeError(
                f"{type(self).__name__} is a cell, one step of a run, which the engine calls with (x, inbox, own): "
                f"graphrec.Recursive(cell) makes a model of it, and graphrec.run(cell, schedule, x) runs it."
            )
        return super().__call__(*args, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls) and "reads_edges" not in vars(cls):
            cls.reads_edges = None  # other equations, of which those before them have not spoken
        fields = {
            field
            for kind in (getattr(cls, "State", None), cls.Shown)
            for field in getattr(kind, "_fields", ())
        }
        taken = _RESERVED.intersection(fields)
        if taken:
            raise TypeError(
                f"{cls.__name__}.State has a field {min(taken)!r}, which inboxes use themselves: rename it."
            )

    def project(self, x: Tensor) -> Tensor:
        """`[N, D] → [N, ·]`: all that needs no neighbour, done once for all nodes before the sweep."""
        return x

    def project_edges(self, edge_attr: Any) -> Any:
        """`[E, ...] → [E, ...]`: all that needs the edges' features alone, done once before the sweep.

        Where `edges` has a width for each relation, edge_attr is a `graphrec.EdgeFeatures`; see `PerRelation`.
        """
        return edge_attr

    def edge_rows(self, s: Structure) -> Tensor | None:
        """`[E, ...]`: what `project_edges` makes of a structure's features, or None where it is given none."""
        return project_rows(self, s)

    def before(self, x: Tensor, s: Structure) -> Any:
        """The state before the run where none is given, a State of `[N, ·]` tensors; None: zero.

        For cells in whose equations the input is the state of round 0, as in graph convolutions; in async mode it is
        `own`. It may have other widths than the state where there is only one round.
        """
        return None

    def show(self, state: Any) -> Any:
        """What nodes show to their targets, a Shown, from their state, whose fields are read by name.

        For products that each node can do once, however many edges leave it. Inbox and `own` have the fields of Shown.
        """
        return state

    def show_pair(self, x_source: Tensor, x_target: Tensor | None) -> tuple[Any, Any]:
        """What sources show, and what targets know of themselves, where a round goes from one set of nodes to another.

        Args:
            x_source, x_target: `[S, D]` and `[n, D']`, or None where targets have no rows of their own.

        Returns:
            Two named tuples, whose fields inbox and `own` then have; None in the second for what targets lack.

        Raises:
            TypeError: the cell is no layer between two sets of nodes.
        """
        raise TypeError(
            f"{type(self).__name__} is no layer from one set of nodes to another, (x_source, x_target): take SAGECell, "
            f"GINCell, GATCell or GATv2Cell, or define show_pair."
        )

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step: the new state of n nodes.

        Args:
            x: `[n, ·]`, their rows of what `project` returned.
            inbox: the states of their sources, over e edges; see `graphrec.Inbox`.
            own: a State, their previous state: zeros or the given initial state in async mode, the last
                round's in sync mode.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward(x, inbox, own).")

    def fused(self) -> Fused | None:
        """The operator of torch that this cell is on chains, if it is one; engines may then use that."""
        return None

    def check(self, structure: Structure) -> None:
        """Raise ValueError if the structure is none for this cell; called before a run."""

    def initialize(self, x: Tensor, s: Structure) -> None:
        """What a cell that was not told all widths learns from its input; called before a run, after `check`."""

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of one node's row of each field of the state; by default `(hidden,)` for all."""
        if not hasattr(self, "hidden"):
            raise AttributeError(
                f"{type(self).__name__} does not say how wide its state is: set self.hidden, or define shapes()."
            )
        return [(self.hidden,)] * len(self.State._fields)


def is_plain(cell: Cell, kind: type[Cell]) -> bool:
    """Whether a cell computes what its class says: it is of no subclass, its parts are linear layers, no hooks."""
    if type(cell) is not kind or _is_changed(cell):
        return False
    for part in cell._modules.values():
        if type(part) is not nn.Linear or _is_changed(part):
            return False
    return not (torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks)


def _is_changed(part: nn.Module) -> bool:
    return bool(
        any(name in part.__dict__ for name in ("forward", "project"))
        or part._compiled_call_impl is not None
        or part._forward_hooks
        or part._forward_pre_hooks
        or part._backward_hooks
        or part._backward_pre_hooks
    )


def with_shown(cell: Cell, state: Any) -> Any:
    """A state as a cell's `own`: with the fields of what its nodes show beside its own."""
    if cell.Shown is None:
        return state
    return SimpleNamespace(**{**cell.show(state)._asdict(), **state._asdict()})


def check_shows_its_state(cell: Any) -> None:
    """Raise unless a cell can be a part of one whose nodes have other things to show."""
    check_cell(cell)
    if cell.Shown is not None or cell.begins_with_x or cell.edges is not None:
        raise ValueError(
            f"{type(cell).__name__} is a cell for graphs (it begins with x, shows something else than its state, or "
            f"reads edge attributes), and cannot be a part of another cell: stack models instead (graphrec.Stacked, "
            f"graphrec.GNN)."
        )


def check_cell(cell: Any) -> None:
    """Raise unless this is a cell."""
    if not isinstance(cell, Cell):
        raise TypeError(f"expected a graphrec.Cell, got {type(cell).__name__}.")


def edges_read(cells: Iterable[Cell]) -> set[str] | None:
    """What cells read of edges, of `"edge_attr"` and `"edge_weight"`; None where one of them does not say."""
    found: set[str] = set()
    for cell in cells:
        if cell.reads_edges is None:
            return None
        found.update(cell.reads_edges, () if cell.edges is None else ("edge_attr",))
    return found
