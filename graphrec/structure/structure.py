"""The structure itself: nodes, edges, and what they carry."""

from __future__ import annotations

import weakref
from dataclasses import MISSING, dataclass, field, fields, replace
from html import escape
from typing import Any, ClassVar

import torch
from torch import Tensor

from .arcs import MOST, arcs
from .checks import (
    MOST_SLOTS,
    as_count,
    as_texts,
    check_edge_index,
    check_ends,
    check_range,
    check_rows,
    check_tensor,
)
from .features import EdgeFeatures, check_features, features_by_relation
from .native import default_slots as count_slots
from .outside import made_outside, outside, unwrapped

# Fields with one row per edge and one row per node; all code that copies a structure goes through these.
EDGE_FIELDS = ("slot", "relation", "edge_attr", "edge_weight")
NODE_FIELDS = ("kind", "past", "graph", "level", "level_reversed")


@dataclass(frozen=True, eq=False)
class Structure:
    """Who depends on whom: N nodes, E edges, G graphs. Immutable; node ids never change.

    Information flows along an edge from source to target (`edge_index[0] → edge_index[1]`, as in PyG): in a
    sequence from one time step to the next, in a tree from child to parent.

    Build one with `chain`, `chains`, `tree`, `dag`, `grid`, `from_networkx`, `from_pyg` or `batch`.

    Attributes:
        num_nodes: N.
        edge_index: `[2, E]` long, source and target of each edge.
        slot: `[E]` long, which argument of its target an edge fills (left or right child, lag). By default the
            edges into a node fill its slots 0, 1, 2, … as they are listed.
        relation: `[E]` long, the type of each edge, or None.
        edge_attr: `[E, ...]`, features of each edge, or None. May require grad. Where the width differs by
            relation, an `EdgeFeatures`, which is made of a list: for each relation a tensor with a row for each of its
            edges, or None where it has no features.
        kind: `[N]` long, the type of each node, or None.
        graph: `[N]` long, the graph of a batch that each node belongs to.
        num_graphs: G.
        tokens, labels: one string or None per node, or None where the source had none.
        level, level_reversed: `[N]` long, each node's topological level in this structure and in its reverse,
            if already known; see `graphrec.transforms.AddLevels`.
        past: `[N]` long, how many slots of each node, from slot 0 on, hold its past (lags; in grids slot 0), or
            None. An initial state fills each of them that no edge fills; where past is None, slot 0 of
            nodes that no edge enters.
        edge_weight: `[E]` floating point, the factor of each edge's messages in cells that weigh them
            (`GCNCell`, `GGNNCell`, layers of PyG that take one), or None. May require grad.
        relation_names, kind_names: what the numbers of `relation` and `kind` mean, one name for each, or None where
            they have no names; a cell can be given their number, `relations=len(s.relation_names)`.
    """

    num_nodes: int
    edge_index: Tensor
    slot: Tensor = None  # type: ignore[assignment]  # if left out, those of `default_slots`
    relation: Tensor | None = None
    edge_attr: Any = None
    kind: Tensor | None = None
    graph: Tensor = None  # type: ignore[assignment]  # if left out, all nodes are in graph 0
    num_graphs: int = 1
    tokens: tuple[str | None, ...] | None = None
    labels: tuple[str | None, ...] | None = None
    level: Tensor | None = None
    level_reversed: Tensor | None = None
    past: Tensor | None = None
    edge_weight: Tensor | None = None
    relation_names: tuple[str, ...] | None = None
    kind_names: tuple[str, ...] | None = None
    # Derived objects, built once: the reverse, and one schedule per mode. None of them refers to this structure, so
    # that all of it is freed when nobody uses it any more.
    cache: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("edge_index", "slot", "relation", *NODE_FIELDS):
            if isinstance(getattr(self, name), Tensor):
                object.__setattr__(self, name, unwrapped(getattr(self, name), name))
        with outside():
            self._check()

    @classmethod
    def counted_out(cls, **given: Any) -> Structure:
        """A structure from fields that need no check, for builders that have computed them."""
        made = object.__new__(cls)
        made.__dict__.update(_DEFAULTS, cache={}, **given)
        return made

    def _check(self) -> None:
        for name in ("num_nodes", "num_graphs"):
            object.__setattr__(self, name, as_count(name, getattr(self, name)))
        check_edge_index(self.edge_index)
        # Counting the slots also tells whether the ends of all edges are nodes.
        slot = count_slots(self.edge_index, self.num_nodes) if self.slot is None else None
        if slot is None:
            check_ends(self.edge_index, self.num_nodes)
        device = self.device
        if isinstance(self.edge_attr, list | tuple):
            check_tensor("relation", self.relation, device)
            object.__setattr__(self, "edge_attr", features_by_relation(self.relation, self.edge_attr))
        for names, rows, what in (
            (EDGE_FIELDS, self.num_edges, "edge"),
            ((*NODE_FIELDS, "tokens", "labels"), self.num_nodes, "node"),
        ):
            for name in names:
                value = getattr(self, name)
                if value is None:
                    continue
                if name in ("tokens", "labels"):
                    value = as_texts(name, value)
                    object.__setattr__(self, name, value)
                else:
                    check_tensor(name, value, device)
                check_rows(name, value, rows, what)
        if isinstance(self.edge_attr, EdgeFeatures):
            check_features(self.edge_attr, self.relation, device)
        check_range("slot", self.slot, MOST_SLOTS)
        check_range("past", self.past, MOST_SLOTS)
        check_range("graph", self.graph, self.num_graphs)
        for name in ("relation", "kind"):
            object.__setattr__(self, f"{name}_names", self._names_of(name))
        if self.slot is None:
            slot = default_slots(self.edge_index[1], self.num_nodes) if slot is None else slot
            object.__setattr__(self, "slot", slot)
        if self.graph is None:
            zeros = torch.zeros(self.num_nodes, dtype=torch.long, device=self.edge_index.device)
            object.__setattr__(self, "graph", zeros)

    def _names_of(self, name: str) -> tuple[str, ...] | None:
        names, numbers = getattr(self, f"{name}_names"), getattr(self, name)
        if names is None or numbers is None:
            return None
        names = as_texts(f"{name}_names", names)
        if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(names):
            raise ValueError(
                f"{name} must hold numbers 0 to {len(names) - 1}, for there are {len(names)} {name}_names, got "
                f"{int(numbers.min())} to {int(numbers.max())}: give {name}_names=None, or all names, with it."
            )
        return names

    @property
    def num_edges(self) -> int:
        """E."""
        return self.edge_index.shape[1]

    @property
    def source(self) -> Tensor:
        """`[E]` long."""
        return self.edge_index[0]

    @property
    def target(self) -> Tensor:
        """`[E]` long."""
        return self.edge_index[1]

    @property
    def device(self) -> torch.device:
        """Where the index tensors live."""
        return self.edge_index.device

    @property
    def known_level(self) -> Tensor | None:
        """`[N]` long: each node's level, if given or already computed; see `graphrec.levels`."""
        return self.level if self.level is not None else self.cache.get("levels")

    @property
    def known_level_reversed(self) -> Tensor | None:
        """`[N]` long: the same in the reverse."""
        reverse = self._known_reverse
        return reverse.known_level if self.level_reversed is None and reverse else self.level_reversed

    def reverse(self) -> Structure:
        """The same nodes and edges with information flowing the other way; everything carried stays as it is.

        While s is in use, `s.reverse().reverse() is s`, so that both directions keep their schedules.
        """
        other = self._known_reverse
        if other is None:
            with outside():
                other = replace(
                    self,
                    edge_index=self.edge_index.flip(0),
                    level=self.level_reversed,
                    level_reversed=self.level,
                )
            other.cache["reverse of"] = weakref.ref(self)
            self.cache["reverse"] = other
        return other

    def alone(self) -> Structure:
        """This structure without its cache, for cached objects to refer to."""
        other = object.__new__(Structure)
        other.__dict__.update(self.__dict__, cache={k: v for k, v in self.cache.items() if k == "levels"})
        return other

    @property
    def _known_reverse(self) -> Structure | None:
        return self.cache.get("reverse") or self.cache.get("reverse of", _nothing)()

    def __getstate__(self) -> dict[str, Any]:
        # Derived objects are derived again when wanted, but for the levels, for which a graph must be walked.
        return {**self.__dict__, "level": self.known_level, "cache": {}}

    def both_ways(self) -> Structure:
        """The same nodes, and every edge twice, the second time reversed.

        The reverse of an edge of relation r has relation R + r, where R is the number of relations (one, if there
        are none), so that cells can distinguish the directions; features and weight are the edge's. Slots are
        recounted. Where relations have names, R is the number of names, and those of reversed edges begin with `rev_`.
        """
        names = self.relation_names
        features = self.edge_attr
        with outside():
            named = torch.zeros_like(self.slot) if self.relation is None else self.relation
            count = len(names) if names else int(named.max()) + 1 if len(named) else 1
            if isinstance(features, EdgeFeatures):  # the last relations may have no edges
                count = max(count, len(features.relations))
            edge_index = torch.cat([self.edge_index, self.edge_index.flip(0)], dim=1)
            relation, slot = torch.cat([named, count + named]), default_slots(edge_index[1], self.num_nodes)
        if isinstance(features, EdgeFeatures):
            features = features.both_ways(count)
        elif features is not None:
            features = torch.cat([features, features])
        return replace(
            self,
            edge_index=edge_index,
            slot=slot,
            relation=relation,
            relation_names=None if names is None else (*names, *(f"rev_{name}" for name in names)),
            edge_attr=features,
            edge_weight=None if self.edge_weight is None else torch.cat([self.edge_weight, self.edge_weight]),
            level=None,
            level_reversed=None,
            past=None,
        )

    def to(self, device: torch.device | str) -> Structure:
        """This structure with its tensors on another device."""
        device = torch.device(device)
        if device == self.device:
            return self
        moved = {
            f.name: getattr(self, f.name).to(device)
            for f in fields(self)
            if isinstance(getattr(self, f.name), Tensor | EdgeFeatures) and f.name != "level"
        }
        known = self.known_level
        return replace(self, **moved, level=None if known is None else known.to(device))

    def replace(self, **changes: Any) -> Structure:
        """A copy with some of what it carries replaced: `s.replace(slot=...)`, `s.replace(edge_attr=...)`."""
        wiring = {"num_nodes", "edge_index"} & changes.keys()
        if wiring:
            raise ValueError(
                f"{sorted(wiring)} cannot be replaced; build a new structure, e.g. with graphrec.dag."
            )
        return replace(self, **changes)

    def __eq__(self, other: object) -> bool:
        """Same nodes, edges and carried values. (Derived values, such as levels, do not count.)"""
        if not isinstance(other, Structure):
            return NotImplemented
        return all(
            _same(getattr(self, f.name), getattr(other, f.name))
            for f in fields(self)
            if f.name not in ("cache", "level", "level_reversed")
        )

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        graphs = "" if self.num_graphs == 1 else f", graphs={self.num_graphs}"
        carried = [
            name
            for name in ("relation", "edge_attr", "edge_weight", "kind", "tokens", "labels")
            if getattr(self, name) is not None
        ]
        return (
            f"Structure(nodes={self.num_nodes}, edges={self.num_edges}{graphs}"
            + (f", with {', '.join(carried)}" if carried else "")
            + ")"
        )

    def _repr_html_(self) -> str:
        """For notebooks: the summary, and up to 40 nodes with their edges as arcs."""
        summary = f"<p><code>{escape(repr(self))}</code></p>"
        if not 0 < self.num_nodes <= MOST or self.num_edges > MOST * MOST:
            return summary
        none = (None,) * self.num_nodes
        pairs = zip(range(self.num_nodes), self.tokens or none, self.labels or none, strict=True)
        texts = [
            str(node) if token is label is None else token or label or "" for node, token, label in pairs
        ]
        source, target = self.edge_index.tolist()
        return summary + arcs(source, target, texts)


def check_structure(value: Any) -> None:
    """Raise TypeError unless it is a structure."""
    if not isinstance(value, Structure):
        raise TypeError(
            f"expected a Structure, got {type(value).__name__}: make one with graphrec.from_pyg or graphrec.dag."
        )


_DEFAULTS = {f.name: f.default for f in fields(Structure) if f.default is not MISSING}


def _nothing() -> None:
    """As a weak reference to nothing."""


@made_outside
def default_slots(target: Tensor, num_nodes: int) -> Tensor:
    """`[E]`: for each edge, how many edges listed earlier enter the same target."""
    if not len(target):
        return target.clone()
    by_target = torch.argsort(target, stable=True)
    degree = torch.bincount(target, minlength=num_nodes)
    first = torch.cumsum(degree, 0) - degree
    slot = torch.empty_like(target)
    slot[by_target] = torch.arange(target.shape[0], device=target.device) - first[target[by_target]]
    return slot


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b)
