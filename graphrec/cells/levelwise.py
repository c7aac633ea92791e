"""Any convolution of PyG as a cell: on a DAG, level by level."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch_geometric.nn import GINConv, GraphConv, MessagePassing, SAGEConv
from torch_geometric.nn.aggr import Aggregation, MeanAggregation, SumAggregation

from ..cell import Inbox
from ..structure import Structure
from ..structure.features import EdgeFeatures
from .aggregation import taking_no_messages
from .convolutions import Convolution, NodeState

# What a convolution may take of edges, and the structure's names for it.
_OF_EDGES = {"edge_attr": "edge_attr", "edge_weight": "edge_weight", "edge_type": "relation"}


class ConvCell(Convolution):
    """A `torch_geometric.nn.MessagePassing` layer whose nodes read what the layer made of their sources.

        h_v = after(conv(x_v, {h_u : u → v}))

    In each step the layer runs on a small graph: the nodes of the level with their input x, a node for each message
    with the state h of its source, and the edges between them; or on a pair of sources and targets where the layer
    accepts one, so that it makes no rows for messages. Of `GraphConv`, `SAGEConv` and `GINConv` with sums or means,
    the inbox makes these, so that they run as programs. This computes what a loop over masks does,
    `h[level] = conv(h, edge_index[:, target in level])[level]`, for every layer in which a node's result depends on
    its own row, its sources' and their edges; where the layer normalises by degrees (`GCNConv`), these count the
    edges into the level. A level without messages, which PyG's LSTM, GRU and median do not accept, aggregates zero.
    (PyG's LSTM and GRU pad each node's messages to the largest number in the level.)

    Args:
        conv: the layer. `edge_attr`, `edge_weight` and `edge_type` are given from the structure's edge attributes,
            weights and relations where the layer takes them; without weights, edge attributes of one number per edge
            serve as weights.
        after: a module applied to the layer's result, such as `nn.Tanh()`: most layers end in a sum,
            and several levels of sums are no more than one.

    Raises:
        TypeError: not a `MessagePassing`, or one that needs more arguments than these.
        ValueError: a layer that keeps its edges (`cached=True`) or sends against them.

    Shapes: x `[N, H]`; State `h` `[N, H]`: the layer keeps the width.
    """

    def __init__(self, conv: MessagePassing, after: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = conv
        self.after = after
        self.takes: dict[str, bool] = _check_conv(conv)
        self.reads_edges: Any = tuple(name for name in self.takes if name != "edge_type")
        self.takes_pairs: bool = _takes_pairs(conv)

    def initialize(self, x: Tensor, s: Structure) -> None:
        """The state has the width of x."""
        if x.dim() != 2:
            raise ValueError(f"x must have shape [{s.num_nodes}, H] for a convolution, got {tuple(x.shape)}.")
        self.hidden: int = x.shape[1]
        if any(isinstance(parameter, UninitializedParameter) for parameter in self.conv.parameters()):
            with torch.no_grad():  # a lazy layer infers its widths from a node without edges
                given = self._of_edges(lambda name: None if (rows := getattr(s, name)) is None else rows[:0])
                self.conv(x[:1], s.edge_index[:, :0], **given)

    def shapes(self) -> list[tuple[int, ...]]:
        """The width of the last run's input."""
        if not hasattr(self, "hidden"):
            raise ValueError(
                "a ConvCell is as wide as its input, which it learns in its first run: it cannot be one of several "
                "cells before that. Use graphrec.Levelwise, or layers of PyG in torch_geometric.nn.Sequential."
            )
        return super().shapes()

    def check(self, structure: Structure) -> None:
        """Refuse edges that do not carry what the layer needs, or carry more than it takes."""
        reads = "edge_attr" in self.takes or ("edge_weight" in self.takes and structure.edge_weight is None)
        if reads and isinstance(structure.edge_attr, EdgeFeatures):
            raise ValueError(
                f"{type(self.conv).__name__} takes one tensor of edges' features, but these are of another width in "
                f"each relation: leave them out with s.replace(edge_attr=None), or use a cell with edges, the widths."
            )
        given = self._of_edges(lambda name: getattr(structure, name))
        missing = [_OF_EDGES[name] for name, needed in self.takes.items() if needed and name not in given]
        if missing:
            raise ValueError(
                f"{type(self.conv).__name__} needs {missing[0]}, but the structure has none: build it with "
                f"{missing[0]}=...."
            )
        if "edge_weight" in given and given["edge_weight"].numel() != structure.num_edges:
            assert structure.edge_attr is not None
            raise ValueError(
                f"{type(self.conv).__name__} takes one weight per edge, but edge_attr has shape "
                f"{tuple(structure.edge_attr.shape)}: give edge_weight, or none with s.replace(edge_attr=None)."
            )

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        if _sums_rows(self.conv) and inbox.message_mask is None:
            given = self._of_edges(lambda name: getattr(inbox, name) if inbox.has(name) else None)
            forward: Any = type(self.conv).forward
            rows = forward(_BesideInbox(self.conv, inbox), (inbox.h, own.h), None, **given)
        else:
            rows = self._on_small_graph(inbox, own)
        if self.after is not None:
            rows = self.after(rows)
        if rows.shape[1:] != own.h.shape[1:]:
            raise ValueError(
                f"{type(self.conv).__name__} turns width {own.h.shape[1]} into {tuple(rows.shape[1:])}, but level by "
                f"level it reads what it has made itself: make it with equal widths, heads counted."
            )
        return self.State(rows)

    def _on_small_graph(self, inbox: Inbox, own: Any) -> Tensor:
        """What the layer makes of the level's nodes, and of a node for each message."""
        n, e = inbox.num_nodes, inbox.num_edges
        sources = torch.arange(n, n + e, device=own.h.device)
        given = self._of_edges(lambda name: getattr(inbox, name) if inbox.has(name) else None)
        # The level's own rows are among the sources too, for layers that add an edge from each node to itself.
        rows = torch.cat([own.h, inbox.h])
        edges = torch.stack([sources, inbox.target])
        conv = taking_no_messages(self.conv)
        with _explained(conv, inbox.message_mask):
            return conv((rows, own.h) if self.takes_pairs else rows, edges, **given)[:n]

    def _of_edges(self, find: Callable[[str], Tensor | None]) -> dict[str, Tensor]:
        """What the layer takes of edges, by its own names, where `find` looks up ours."""
        given = {name: find(_OF_EDGES[name]) for name in self.takes}
        if "edge_weight" in given:
            weight = find("edge_attr") if given["edge_weight"] is None else given["edge_weight"]
            given["edge_weight"] = None if weight is None else weight.flatten()
        return {name: values for name, values in given.items() if values is not None}


# Layers whose messages are the sources' rows, times the edges' weights where they take some.
_SUMS: tuple[type[MessagePassing], ...] = (GraphConv, SAGEConv, GINConv)
# What they may do with these. (`aggr` is a name alone, and the module may have been replaced.)
_AGGREGATIONS: tuple[type[Aggregation], ...] = (SumAggregation, MeanAggregation)


def _sums_rows(conv: Any) -> bool:
    """Whether a layer sums, or averages, its sources' rows and nothing else: as PyG wrote it, and unobserved."""
    return (
        type(conv) in _SUMS
        and type(conv.aggr_module) in _AGGREGATIONS
        and not conv.explain
        and conv.decomposed_layers == 1
        and vars(conv).keys().isdisjoint(("forward", "propagate", "message", "aggregate", "update"))
        and "forward" not in vars(conv.aggr_module)
        and not any(map(_has_hooks, (conv, conv.aggr_module)))
    )


def _has_hooks(module: nn.Module) -> bool:
    return any(value for name, value in vars(module).items() if name.endswith("_hooks"))


class _BesideInbox:
    """Such a layer for its own `forward`, with the inbox's sums in place of `propagate`: no row is copied.

    So programs can record it, too, which PyG's ways from edges to sums do not let them.
    """

    def __init__(self, conv: Any, inbox: Inbox) -> None:
        self._conv, self._inbox = conv, inbox

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conv, name)

    def propagate(self, _: None, x: tuple[Any, Any], size: None, edge_weight: Any = None) -> Any:
        """The sums over inboxes of the rows that x has for messages."""
        messages = x[0] if edge_weight is None else edge_weight.unsqueeze(-1) * x[0]
        is_mean = type(self._conv.aggr_module) is MeanAggregation
        return (self._inbox.mean if is_mean else self._inbox.sum)(messages)


@contextmanager
def _explained(conv: Any, mask: Tensor | None) -> Iterator[None]:
    """In this context a layer that is being explained has the mask of these messages, instead of all edges'."""
    if not conv.explain or mask is None:
        yield
        return
    of_all = conv._edge_mask, conv._loop_mask, conv._apply_sigmoid
    conv._parameters.pop("_edge_mask", None)  # while an explainer learns the mask it is a parameter there
    conv._edge_mask, conv._loop_mask, conv._apply_sigmoid = mask, mask.new_ones(len(mask)).bool(), False
    try:
        yield
    finally:
        del conv._edge_mask
        conv._edge_mask, conv._loop_mask, conv._apply_sigmoid = of_all


def _takes_pairs(conv: MessagePassing) -> bool:
    """Whether a layer declares that it takes rows of sources and of targets, `(x_source, x_target)`."""
    try:
        accepted = typing.get_type_hints(conv.forward).get("x")
    except NameError:  # annotated with what only type checkers import
        return False
    return any(typing.get_origin(kind) is tuple for kind in (accepted, *typing.get_args(accepted)))


def _check_conv(conv: Any) -> dict[str, bool]:
    """What the layer takes of edges, and whether it requires it."""
    name = type(conv).__name__
    if not isinstance(conv, MessagePassing):
        raise TypeError(f"expected a layer of torch_geometric.nn (MessagePassing), got {name}.")
    if getattr(conv, "cached", False):
        raise ValueError(
            f"{name} keeps its first edges (cached=True), but every level has others: cached=False."
        )
    if conv.flow != "source_to_target":
        raise ValueError(
            f"{name} sends against the edges (flow={conv.flow!r}): run it over the reverse, graphrec.Reversed."
        )
    first, *others = inspect.signature(conv.forward).parameters.values()
    known = {"edge_index", *_OF_EDGES}
    missing = [
        p.name
        for p in others
        if p.default is p.empty and p.name not in known and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if first.name != "x" or missing or "edge_index" not in {p.name for p in others}:
        wants = ", ".join([first.name, *(p.name for p in others if p.default is p.empty)])
        raise TypeError(
            f"expected a layer that is called as conv(x, edge_index), with edge_attr, edge_weight or edge_type where "
            f"it takes them, but {name} wants {wants}."
        )
    # Layers with edge_dim=None have no weights for features, though they accept some. And PyG gives edge_type a default
    # where a layer requires it all the same.
    known = [name for name in _OF_EDGES if name != "edge_attr" or getattr(conv, "edge_dim", 0) is not None]
    return {p.name: p.default is p.empty or p.name == "edge_type" for p in others if p.name in known}
