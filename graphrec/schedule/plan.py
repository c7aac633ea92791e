"""The compiled schedule: one list of steps, whatever the structure and the mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import count
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ..operators import FixedPoint
from ..structure import Structure
from ..structure.arcs import MOST, arcs, table
from ..structure.outside import made_outside, outside


class Step(NamedTuple):
    """One step of the loop: a contiguous range of positions is updated from a contiguous range of inbox edges.

    All numbers are host integers, so that a run never waits for a device.
    """

    number: int
    nodes: slice  # the positions updated; also their rows in x
    edges: slice  # their inbox: these edges of the schedule
    degree: int | None  # how many edges each node here receives, if all receive equally many


# Of the levels of a schedule, each a host integer.
Numbers = list[int] | Tensor


class _HostIntegers:
    """As a list, which is read fast, and as a tensor: each is made of the other when first asked for.

    A schedule may have a million levels, and never be run step by step.
    """

    def __init__(self, numbers: Numbers) -> None:
        self._tensor = numbers.cpu() if isinstance(numbers, Tensor) else None
        self._list = None if isinstance(numbers, Tensor) else numbers

    @property
    def as_tensor(self) -> Tensor:
        if self._tensor is None:
            with outside():
                self._tensor = torch.tensor(self._list, dtype=torch.long)
        return self._tensor

    @property
    def as_list(self) -> list[int]:
        if self._list is None:
            with outside():
                self._list = self.as_tensor.tolist()
        return self._list

    def __len__(self) -> int:
        return len(self._tensor if self._list is None else self._list)  # type: ignore[arg-type]


class Steps(Sequence[Step]):
    """The steps of a schedule, made on demand: a chain of a million nodes has a million."""

    def __init__(
        self,
        nodes: Numbers,
        edges: Numbers,
        fewest: Numbers,
        most: Numbers,
        boundary: int,
        rounds: int | None,
    ) -> None:
        # Where the positions and the inbox edges of each level begin; how many edges a node of it receives.
        self._bounds_of_nodes, self._bounds_of_edges = _HostIntegers(nodes), _HostIntegers(edges)
        self._fewest, self._most = _HostIntegers(fewest), _HostIntegers(most)
        self._boundary = boundary
        self._rounds = rounds

    def __len__(self) -> int:
        return len(self._fewest) if self._rounds is None else self._rounds

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} steps, got index {index}.")
        return self._step(index % len(self))

    def __iter__(self) -> Iterator[Step]:
        if self._rounds is not None:  # every step repeats the same level
            return (self._step(number) for number in range(self._rounds))
        nodes, edges = (map(slice, bounds, bounds[1:]) for bounds in (self.node_bounds, self.edge_bounds))
        each = zip(self._fewest.as_list, self._most.as_list, strict=True)
        degrees = (fewest if fewest == most else None for fewest, most in each)
        return map(Step, count(), nodes, edges, degrees)

    def _step(self, number: int) -> Step:
        level = number if self._rounds is None else 0
        nodes, edges, fewest = self.node_bounds, self.edge_bounds, self._fewest.as_list[level]
        return Step(
            number,
            slice(nodes[level], nodes[level + 1]),
            slice(edges[level], edges[level + 1]),
            fewest if fewest == self._most.as_list[level] else None,
        )

    def part(self, first: int, last: int, boundary: int) -> Steps:
        """The levels from one to another, counted from the first one, behind other boundary rows (async mode)."""
        nodes, edges = (bounds[first : last + 1] for bounds in (self.nodes, self.edges))
        fewest, most = (numbers.as_tensor[first:last] for numbers in (self._fewest, self._most))
        return Steps(nodes - nodes[0], edges - edges[0], fewest, most, boundary, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Steps) and self._content() == other._content()

    def _content(self) -> tuple[Any, ...]:
        numbers = (self._bounds_of_nodes, self._bounds_of_edges, self._fewest, self._most)
        return *(each.as_list for each in numbers), self._boundary, self._rounds

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    @property
    def row_bounds(self) -> list[int]:
        """Where the boundary rows begin, and then the rows of each level (async mode)."""
        return [0, *(self._boundary + n for n in self.node_bounds)]

    @property
    def node_bounds(self) -> list[int]:
        """Where the positions of each level begin."""
        return self._bounds_of_nodes.as_list

    @property
    def edge_bounds(self) -> list[int]:
        """Where the inbox edges of each level begin."""
        return self._bounds_of_edges.as_list

    @property
    def nodes(self) -> Tensor:
        """`node_bounds` as a tensor of the host."""
        return self._bounds_of_nodes.as_tensor

    @property
    def edges(self) -> Tensor:
        """`edge_bounds` as a tensor of the host."""
        return self._bounds_of_edges.as_tensor


class Cycles(NamedTuple):
    """What is iterated.

    Attributes:
        rounds: how many times, or until when.
        steps: for each step whether it is iterated.
        component: `[N]`, the strongly connected component of each position.
    """

    rounds: int | FixedPoint
    steps: tuple[bool, ...]
    component: Tensor


class Cache(dict[str, Any]):
    """Results derived from a schedule, by the name of the function that computed them; see `derived`."""

    def look_up(self, name: str, compute: Callable[[Schedule], Any], plan: Schedule) -> Any:
        """The function's value for the schedule, computed once."""
        if name not in self:
            self[name] = self.derive(name, compute, plan)
        return self[name]

    def derive(self, name: str, compute: Callable[[Schedule], Any], plan: Schedule) -> Any:
        """The same, computed now."""
        with outside():
            return compute(plan)


@dataclass(frozen=True, eq=False)
class Schedule:
    """When each node of a structure is updated, compiled for the engine's one loop.

    Nodes are renumbered: node `perm[p]` has position p, so that the nodes of a step are contiguous and their new
    states are written as one slice. A step reads rows: first *boundary rows*, states that exist when the loop begins,
    then a row for each node of each step.

    - async: a step is a topological level, a node's inbox holds the states of its sources. There are boundary rows
      only if the run is given initial states: see `with_initial`. Within a level nodes are sorted by kind.
    - sync: a step is a round over all nodes, an inbox holds its sources' states of the previous round. The boundary
      rows are round 0.
    - async with `cycles`: the nodes of some steps are iterated, and their inboxes also hold states of the same step.
    - async in a given order: the boundary rows hold the previous states of sources that are updated later.

    It is data only. What is derived from it (out-edges, chains, sinks) is computed by functions of it,
    `derived`, which keep their results in `cache`.

    Attributes:
        structure: what was scheduled.
        mode, rounds: `"async"` and None, or `"sync"` and T.
        perm, inv_perm: `[N]`, the node at each position, and the position of each node.
        source: `[E]`, for each inbox edge the row of its source (in sync mode: in the previous round).
        target: `[E]`, for each inbox edge its target's position, counted from its step's first.
        edge: `[E]`, the structure's edge behind each inbox edge (-1: the virtual edge of an initial state).
        slot, relation: `[E]`, as in the structure; inboxes are sorted by target and slot.
        boundary: the nodes that the boundary rows belong to.
        steps: the list that the engine's loop runs through.
        num_slots: one more than the highest slot.
        distinct_slots: whether no two edges fill the same slot of the same node.
        is_identity: whether every node has its own number as its position.
        first_edge: `[N]`, the first inbox edge of each position, counted from its step's first.
        cycles: what is iterated, or None.
        sweeps: how many sweeps there are in a given order, or None.
        edge_mask, message_mask: `[E]`, the factor of each edge's message, by the structure's edges and by inbox edges,
            or None; see `masked`.
    """

    structure: Structure
    mode: str
    rounds: int | None
    perm: Tensor
    inv_perm: Tensor
    source: Tensor
    target: Tensor
    edge: Tensor
    slot: Tensor
    relation: Tensor | None
    boundary: Tensor
    steps: Steps
    num_slots: int
    distinct_slots: bool
    is_identity: bool
    first_edge: Tensor
    cycles: Cycles | None = None
    sweeps: int | None = None
    edge_mask: Tensor | None = None
    message_mask: Tensor | None = None
    cache: Cache = field(default_factory=Cache, init=False)

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.structure.num_nodes

    @property
    def num_edges(self) -> int:
        """The edges of all inboxes; E, and in a schedule with initial states one more for each boundary row."""
        return self.source.shape[0]

    @property
    def num_rows(self) -> int:
        """How many rows there are: those of the boundary, and one for each update."""
        return self.boundary.shape[0] + self.num_nodes * (self.rounds or 1)

    @property
    def device(self) -> torch.device:
        """Where the index tensors live."""
        return self.perm.device

    @property
    def levels(self) -> Sequence[Step]:
        """The steps that differ: all of them in async mode, one round in sync mode."""
        return self.steps if self.rounds is None else self.steps[:1]

    def nodes(self, step: Step) -> Tensor:
        """The nodes, by the structure's numbers, that a step updates."""
        return self.perm[step.nodes] if self.rounds is None else self.perm

    def __eq__(self, other: object) -> bool:
        """Whether the loop does the same on both: the same steps with the same inboxes.

        The caller's numbering, which node stands at which position, is not part of the computation.
        """
        if not isinstance(other, Schedule):
            return NotImplemented
        return (
            self.steps == other.steps
            and self.sweeps == other.sweeps
            and (self.cycles and self.cycles[:2]) == (other.cycles and other.cycles[:2])
            and all(torch.equal(getattr(self, f), getattr(other, f)) for f in ("source", "target", "slot"))
            and torch.equal(self._kinds, other._kinds)
            and (self.relation is None) == (other.relation is None)
            and (
                self.relation is None or other.relation is None or torch.equal(self.relation, other.relation)
            )
        )

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "cache": Cache()}  # what is derived is derived again where it is wanted

    @property
    def _kinds(self) -> Tensor:
        """`[N]`: the kind at each position; where there are none, all are of one."""
        kind = self.structure.kind
        return torch.zeros_like(self.perm) if kind is None else kind[self.perm]

    def __repr__(self) -> str:
        mode = self.mode if self.rounds is None else f"{self.mode}, rounds={self.rounds}"
        if self.cycles is not None:
            mode += f", cycles iterated, rounds={self.cycles.rounds}"
        if self.sweeps is not None:
            mode += f", in a given order, sweeps={self.sweeps}"
        return f"Schedule({mode}, nodes={self.num_nodes}, edges={self.num_edges}, steps={len(self.steps)})"

    @made_outside
    def __str__(self) -> str:
        """One line per step: which nodes it updates, and from how many edges."""
        lines = [repr(self)]
        for step in self.steps:
            if step.number == 8 and len(self.steps) > 10:
                lines.append(f"  … {len(self.steps) - 9} more steps …")
                step = self.steps[-1]
                lines.append(self._describe(step))
                break
            lines.append(self._describe(step))
        return "\n".join(lines)

    def _describe(self, step: Step) -> str:
        nodes = self.nodes(step)
        names = " ".join(map(str, nodes[:12].tolist())) + (f" … ({len(nodes)})" if len(nodes) > 12 else "")
        edges = step.edges.stop - step.edges.start
        what = "level" if self.rounds is None else "round"
        again = ", iterated" if self.cycles is not None and self.cycles.steps[step.number] else ""
        line = f"  {what} {step.number:>3}: {edges} edge{'s' * (edges != 1)} → node{'s' * (len(nodes) != 1)} {names}"
        return line + again

    @made_outside
    def _repr_html_(self) -> str:
        """For notebooks: the summary, the first steps, and up to 40 nodes in the order of their updates."""
        shown = [*self.steps[:8], *self.steps[max(8, len(self.steps) - 1) :]]
        rows: list[tuple[object, ...]] = [
            (step.number, len(self.nodes(step)), step.edges.stop - step.edges.start) for step in shown
        ]
        left = len(self.steps) - len(shown)
        if left > 0:
            rows.insert(8, ("…", f"{left} more", ""))
        unit = "level" if self.rounds is None else "round"
        text = f"<p><code>{escape(repr(self))}</code></p>" + table(rows, (unit, "nodes", "edges"))
        if self.rounds is not None or not 0 < self.num_nodes <= MOST:
            return text
        level = torch.repeat_interleave(torch.arange(len(self.steps)), self.steps.nodes.diff()).tolist()
        names = [str(node) for node in self.perm.tolist()]
        source, target = self.inv_perm[self.structure.edge_index].tolist()
        return text + arcs(source, target, names, level)


def check_schedule(plan: Any) -> None:
    """Raise unless this is a schedule."""
    if not isinstance(plan, Schedule):
        raise TypeError(
            f"expected a Schedule, got {type(plan).__name__}: make one with graphrec.schedule(s)."
        )
