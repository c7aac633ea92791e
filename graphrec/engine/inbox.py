"""What a cell sees of its neighbours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..schedule import Part, Schedule, Step
from .edge_rows import OF_EDGES
from .looked import Fetch, Looked
from .segments import segment_sum, spread
from .slots import slot_fault

if TYPE_CHECKING:
    from ..cells.cell import Cell
    from ..structure import Structure

Total = Callable[[str, Tensor | None], Tensor]


class Inbox(Looked):
    """The messages that n nodes receive over e edges in one step, sorted by receiving node and slot.

    The states of the sources are attributes named as in the cell's `State`, `inbox.h` of shape `[e, H]`, and
    `inbox.edge_attr` `[e, ...]` are the edges' own features, `inbox.edge_weight` `[e]` their weights (1 for the
    virtual edge of an initial state). The methods gather one row per edge into one row
    per node; where an inbox is empty, the result is zero.

    A result may share memory with an argument: where every node receives one edge, a sum is the values
    themselves. So write `m = m + x`, not `m += x`.

    Attributes:
        num_nodes, num_edges: n and e.
    """

    def __init__(
        self,
        plan: Schedule,
        step: Step,
        fields: tuple[str, ...],
        fetch: Fetch,
        like: Tensor,
        part: Part | None = None,
        total: Total | None = None,
    ) -> None:
        super().__init__((*fields, *OF_EDGES), fetch)
        self._of_sources = fields
        self._total = total
        self._plan = plan
        self._step = step
        self._like = like
        # A part's nodes and edges are counted from its own first, the plan counts them from the step's.
        self._first_node = part.nodes.start if part else 0
        self._first_edge = part.edges.start if part else 0
        slots = part or plan
        self._num_slots, self._distinct_slots = slots.num_slots, slots.distinct_slots
        self.num_nodes = step.nodes.stop - step.nodes.start
        self.num_edges = step.edges.stop - step.edges.start

    @property
    def structure(self) -> Structure:
        """What the run is over."""
        return self._plan.structure

    @property
    def target(self) -> Tensor:
        """`[e]` long: the receiving node of each edge, counted from 0 in this inbox."""
        target = self._plan.target[self._step.edges]
        return target - self._first_node if self._first_node else target

    @property
    def slot(self) -> Tensor:
        """`[e]` long: which argument of its target each edge fills."""
        return self._plan.slot[self._step.edges]

    @property
    def degree(self) -> Tensor:
        """`[n]` long: how many edges each node receives."""
        return self._plan.degree[self._step.nodes]

    @property
    def is_loop(self) -> Tensor | None:
        """`[e]` bool: whether an edge leaves the node that it enters; None where no edge of the structure does."""
        return None if self._plan.is_loop is None else self._plan.is_loop[self._step.edges]

    @property
    def message_mask(self) -> Tensor | None:
        """`[e]`: what an explainer multiplies each message by, or None; sums, means, maxima and slots are masked."""
        mask = self._plan.message_mask
        return None if mask is None else mask[self._step.edges]

    @property
    def relation(self) -> Tensor:
        """`[e]` long: the type of each edge."""
        if self._plan.relation is None:
            raise ValueError(
                "the cell reads inbox.relation, but the structure has none: build it with relation=...."
            )
        return self._plan.relation[self._step.edges]

    def has(self, name: str) -> bool:
        """Whether the structure has `"edge_attr"`, `"edge_weight"` or `"relation"`."""
        return getattr(self._plan.structure, name) is not None

    def sum(self, values: Tensor) -> Tensor:
        """`[e, ...] → [n, ...]`: over each node's inbox."""
        return self.sum_unmasked(self._masked(values))

    def sum_unmasked(self, values: Tensor) -> Tensor:
        """`[e, ...] → [n, ...]`: the same of what is no message, and so none of what an explainer masks."""
        degree = self._step.degree
        if values.dtype == torch.bool:
            values = values.long()  # as torch's own sum does
        if degree == 0 and not values.is_floating_point():
            return values.new_zeros(self.num_nodes, *values.shape[1:])
        if degree == 0:
            return self._zeros(self.num_nodes, *values.shape[1:])
        if degree == 1:
            return values
        if degree is not None:
            return values.reshape(self.num_nodes, degree, *values.shape[1:]).sum(1)
        return self._sum_ragged(values)

    def sum_of(self, name: str, weight: Tensor | None = None) -> Tensor:
        """`[n, ...]`: the sum over each node's inbox of a field of it, which needs no row per edge where rounds run.

        Args:
            name: of the field, `[e, H]`, or `[e, K, H]` where there are K weights.
            weight: what each row is multiplied by, `[e]` or `[e, K]`.
        """
        if self._total is not None and self._plan.edge_mask is None:
            return self._total(name, weight)
        values = getattr(self, name)
        return self.sum(values if weight is None else weight.unsqueeze(-1) * values)

    def sum_by_relation(self, values: Tensor, count: int) -> Tensor:
        """`[e, ...] → [n, count, ...]`: over each node's inbox, the edges of each relation apart."""
        if self.num_edges == 0:
            return self._zeros(self.num_nodes, count, *values.shape[1:])
        values = self._masked(values)
        place = self.target * count + self.relation
        sums = values.new_zeros(self.num_nodes * count, *values.shape[1:]).index_add(0, place, values)
        return sums.view(self.num_nodes, count, *values.shape[1:])

    def mean(self, values: Tensor) -> Tensor:
        """`[e, ...] → [n, ...]`: over each node's inbox."""
        return self._over_count(self.sum(values))

    def max(self, values: Tensor) -> Tensor:
        """`[e, ...] → [n, ...]`: over each node's inbox; where values tie, they share the gradient equally."""
        return self._max(self._masked(values))

    def _max(self, values: Tensor) -> Tensor:
        degree = self._step.degree
        if degree == 0:
            return self._zeros(self.num_nodes, *values.shape[1:])
        if degree is not None:
            return values.reshape(self.num_nodes, degree, *values.shape[1:]).amax(1)
        index = self.target.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
        empty = values.new_zeros(self.num_nodes, *values.shape[1:])
        return empty.scatter_reduce(0, index, values, "amax", include_self=False)

    def softmax(self, scores: Tensor) -> Tensor:
        """`[e, ...] → [e, ...]`: weights that sum to one over each node's inbox."""
        if self.num_edges == 0:
            return scores
        weight = torch.exp(scores - self.to_edges(self._max(scores.detach())))
        return weight / self.to_edges(self.sum_unmasked(weight))

    def softmax_with_own(self, scores: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """`[e, ...], [n, ...] → [e, ...], [n, ...]`: weights that sum to one over each node's inbox and itself."""
        if self.num_edges == 0:
            return scores, torch.ones_like(own)
        received = (self.degree > 0).view(-1, *[1] * (own.dim() - 1))
        highest, top = self._max(scores.detach()), own.detach()
        top = torch.where(received, torch.maximum(highest, top), top)
        weight, own_weight = torch.exp(scores - self.to_edges(top)), torch.exp(own - top)
        total = self.sum_unmasked(weight) + own_weight
        return weight / self.to_edges(total), own_weight / total

    def slots(self, count: int) -> Tensor:
        """`[n, count, H]`: the sources' `h` by slot, zero where a slot is empty. See `by_slot` for other fields."""
        return self.by_slot(self.h, count)

    def by_slot(self, values: Tensor, count: int) -> Tensor:
        """`[e, ...] → [n, count, ...]`: the row of each edge put into its slot, zero where a slot is empty."""
        if self._num_slots > count or not self._distinct_slots:
            raise ValueError(slot_fault(self._plan, count))
        shape = (self.num_nodes, count, *values.shape[1:])
        if self.num_edges == 0:
            return self._zeros(*shape)
        values = self._masked(values)
        if self._step.degree == count:  # all slots are full, and an inbox is sorted by slot
            return values.reshape(shape)
        flat = values.new_zeros(self.num_nodes * count, *values.shape[1:])
        return flat.index_copy(0, self.target * count + self.slot, values).view(shape)

    def to_edges(self, values: Tensor) -> Tensor:
        """`[n, ...] → [e, ...]`: to each edge the row of its receiving node."""
        degree = self._step.degree
        if degree == 0:
            return values[:0]
        if degree == 1:
            return values
        if degree is not None:
            return values.unsqueeze(1).expand(-1, degree, *values.shape[1:]).flatten(0, 1)
        return self._to_edges_ragged(values)

    def parts(self) -> Iterator[tuple[int, Inbox]]:
        """The kinds of the n nodes, which stand side by side in ascending order, and the inbox of each kind's."""
        step, plan = self._step, self._plan
        parts = plan.parts[step.number if plan.mode == "async" else 0]
        sizes = [part.edges.stop - part.edges.start for part in parts]
        # Cut up at once: a slice for each kind would cost the whole inbox for each on the way back.
        cut = functools.cache(lambda name: getattr(self, name).split(sizes))
        for number, part in enumerate(parts):
            smaller = step._replace(
                nodes=slice(step.nodes.start + part.nodes.start, step.nodes.start + part.nodes.stop),
                edges=slice(step.edges.start + part.edges.start, step.edges.start + part.edges.stop),
                degree=part.degree,
            )

            def fetch(name: str, number: int = number) -> Tensor:
                return cut(name)[number]

            yield part.kind, type(self)(plan, smaller, self._of_sources, fetch, self._like, part)

    def of_slot(self, slot: int, count: int) -> Inbox:
        """What comes in by one of `count` slots: one message for each of the n nodes, zero where the slot is empty."""

        def fetch(name: str) -> Tensor:
            return self.by_slot(getattr(self, name), count)[:, slot]

        one_each = self._step._replace(edges=slice(0, self.num_nodes), degree=1)
        return _OneEach(self._plan, one_each, self._of_sources, fetch, self._like)

    def renamed(self, names: dict[str, str]) -> Inbox:
        """The same inbox with fields of these names only, `{new: old}`, for a cell that knows them by the new ones."""
        return self._with_fields(tuple(names), lambda name: getattr(self, names.get(name, name)))

    def shown_by(self, cell: Cell) -> Inbox:
        """The inbox of what the sources show if they follow this cell, where the fields are those of their states."""
        if cell.Shown is None:
            return self
        shown = functools.cache(lambda: cell.show(self))
        return self._with_fields(
            cell.Shown._fields, lambda name: getattr(self if name in OF_EDGES else shown(), name)
        )

    def read_by(self, cell: Cell, of_edges: Callable[[Tensor], Tensor] | None = None) -> Inbox:
        """The inbox as a cell reads it that is a part of another: with what it lets the sources and the edges show.

        Args:
            cell: the cell.
            of_edges: from `edge_attr` as it is here to what the cell reads; by default its `project_edges`.
        """
        project = cell.project_edges if of_edges is None else of_edges
        other = self.shown_by(cell)
        return other._with_fields(
            other._of_sources,
            lambda name: project(self.edge_attr) if name == "edge_attr" else getattr(other, name),
        )

    def _with_fields(self, names: tuple[str, ...], fetch: Fetch) -> Inbox:
        other = self._copy()
        for name in self._fields:
            other.__dict__.pop(name, None)
        other._fields, other._of_sources, other._fetch = (*names, *OF_EDGES), names, fetch
        other._with_grad = torch.is_grad_enabled()
        return other

    def replaced(self, **fields: Tensor) -> Inbox:
        """The same inbox with other values, `[e, ...]`, in some of its fields."""
        other = self._copy()
        for name, value in fields.items():
            if name not in self._fields or value.shape[0] != self.num_edges:
                raise ValueError(
                    f"replaced takes fields of the inbox ({', '.join(self._fields)}) with {self.num_edges} rows, got "
                    f"{name} with shape {tuple(value.shape)}."
                )
            other.__dict__[name] = value
        return other

    def _copy(self) -> Inbox:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._total = None  # it knows the fields as they were
        return other

    def _masked(self, values: Tensor) -> Tensor:
        """`[e, ...]`: what reaches the nodes of what edges bring; see `Schedule.masked`."""
        mask = self.message_mask
        if mask is None or not values.is_floating_point():
            return values
        return values * mask.to(values.dtype).view(-1, *[1] * (values.dim() - 1))

    def _over_count(self, total: Tensor) -> Tensor:
        degree = self._step.degree
        if degree is not None:
            return total if degree < 2 else total / degree
        count = self.degree.clamp(min=1)
        return total / count.view(-1, *[1] * (total.dim() - 1))

    def _sum_ragged(self, values: Tensor) -> Tensor:
        return segment_sum(values, self._first_of_node, self.target)

    def _to_edges_ragged(self, values: Tensor) -> Tensor:
        return spread(values, self._first_of_node, self.target)

    @property
    def _first_of_node(self) -> Tensor:
        first = self._plan.first_edge[self._step.nodes]
        return first - self._first_edge if self._first_edge else first

    def _zeros(self, *shape: int) -> Tensor:
        return self._like.new_zeros(shape)


class _OneEach(Inbox):
    """A message for each node, whether an edge brought it or not."""

    @property
    def target(self) -> Tensor:
        return torch.arange(self.num_nodes, device=self._like.device)

    @property
    def slot(self) -> Tensor:
        return torch.zeros_like(self.target)

    @property
    def degree(self) -> Tensor:
        return torch.ones_like(self.target)

    @property
    def relation(self) -> Tensor:
        raise ValueError("what comes in by one slot has no relation: read it from the whole inbox.")

    def _masked(self, values: Tensor) -> Tensor:
        return values  # it was masked in the whole inbox

    def by_slot(self, values: Tensor, count: int) -> Tensor:
        one = values.unsqueeze(1)
        return (
            one if count == 1 else torch.cat([one, torch.zeros_like(one).repeat_interleave(count - 1, 1)], 1)
        )
