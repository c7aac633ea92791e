"""A cell's own `forward`, called for one node at a time, with an inbox written down plainly: the loop's oracle.

What is called for single nodes knows no level, no batch and no numbering, whatever the cell does.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..cell import OF_EDGES, Cell, Inbox, Own
from ..structure import Structure
from .recursion import Received, State, in_rounds, recursion


class OneNodeInbox(Inbox):
    """The inbox of one node, each method as its docstring says it, and nothing faster.

    Args:
        structure: which the run is over.
        like: a tensor of the dtype wanted.
        fields: what the sources send, `[e, ...]` each.
        of_edges: what the edges carry.
        received: the messages, by slot.
        node: the number of the node.
    """

    num_nodes: int
    num_edges: int

    def __init__(
        self,
        structure: Structure,
        like: Tensor,
        fields: dict[str, Tensor],
        of_edges: Any,
        received: list[Received],
        node: int,
    ) -> None:
        self._fields, self._of_sources = (*fields, *OF_EDGES), tuple(fields)
        self._fetch = lambda name: fields[name] if name in fields else of_edges(name)
        self._with_grad = torch.is_grad_enabled()
        self._structure, self._one_like, self._received, self._node = structure, like, received, node
        self._total = None
        self.num_nodes, self.num_edges = 1, len(received)

    @property
    def structure(self) -> Structure:
        return self._structure

    @property
    def target(self) -> Tensor:
        return torch.zeros(self.num_edges, dtype=torch.long)

    @property
    def slot(self) -> Tensor:
        return torch.tensor([message.slot for message in self._received], dtype=torch.long)

    @property
    def degree(self) -> Tensor:
        return torch.tensor([self.num_edges])

    @property
    def is_loop(self) -> Tensor | None:
        s = self._structure
        if not bool((s.source == s.target).any()):
            return None
        return torch.tensor(
            [m.edge is not None and int(s.source[m.edge]) == self._node for m in self._received],
            dtype=torch.bool,
        )

    @property
    def message_mask(self) -> None:
        return None

    @property
    def relation(self) -> Tensor:
        relation = self._structure.relation
        if relation is None:
            raise ValueError("the cell reads inbox.relation, but the structure has none.")
        found = [0 if m.edge is None else int(relation[m.edge]) for m in self._received]
        return torch.tensor(found, dtype=torch.long)

    def has(self, name: str) -> bool:
        return getattr(self._structure, name) is not None

    def sum(self, values: Tensor) -> Tensor:
        return values.sum(0, keepdim=True)

    sum_unmasked = sum

    def sum_of(self, name: str, weight: Tensor | None = None) -> Tensor:
        values = getattr(self, name)
        return self.sum(values if weight is None else weight.unsqueeze(-1) * values)

    def sum_by_relation(self, values: Tensor, count: int) -> Tensor:
        relation = self.relation
        return torch.stack([values[relation == number].sum(0) for number in range(count)]).unsqueeze(0)

    def mean(self, values: Tensor) -> Tensor:
        return self.sum(values) / max(self.num_edges, 1)

    def max(self, values: Tensor) -> Tensor:
        return values.amax(0, keepdim=True) if self.num_edges else values.sum(0, keepdim=True)

    def softmax(self, scores: Tensor) -> Tensor:
        return torch.softmax(scores, 0)

    def softmax_with_own(self, scores: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        shape = torch.broadcast_shapes(scores.shape[1:], own.shape[1:])
        both = torch.cat([scores.expand(-1, *shape), own.expand(-1, *shape)]).softmax(0)
        return both[:-1], both[-1:]

    def by_slot(self, values: Tensor, count: int) -> Tensor:
        slots = [message.slot for message in self._received]
        if len({*slots}) < len(slots) or any(slot >= count for slot in slots):
            raise ValueError(f"{count} slots, but edges fill {slots}: each needs one of its own.")
        empty = values.new_zeros(values.shape[1:])
        rows = [values[slots.index(slot)] if slot in slots else empty for slot in range(count)]
        return torch.stack(rows).unsqueeze(0) if rows else values.new_zeros(1, 0, *values.shape[1:])

    def to_edges(self, values: Tensor) -> Tensor:
        return values.expand(self.num_edges, *values.shape[1:])

    def parts(self) -> Iterator[tuple[int, Inbox]]:
        if self._structure.kind is None:
            raise ValueError("the cell has equations for each kind of node, but the structure has no kinds.")
        yield int(self._structure.kind[self._node]), self

    def of_slot(self, slot: int, count: int) -> Inbox:
        read = functools.cache(lambda name: self.by_slot(getattr(self, name), count)[:, slot])
        fields = {name: read(name) for name in self._of_sources}
        zero = Received(0, ())
        return OneNodeInbox(self._structure, self._one_like, fields, read, [zero], self._node)


class OneNodeAtATime:
    """A cell over a structure, one node after the other; notes on the way what the cell does with what it is given.

    Attributes:
        written: the names of what a step was given and has written into: `"x"`, `"inbox.h"`, `"own.h"`.
        reads_own: whether a step has read its previous state.
    """

    cell: Cell
    structure: Structure
    x: Tensor

    def __init__(self, cell: Cell, structure: Structure, x: Tensor) -> None:
        self.cell, self.structure, self.x = cell, structure, x
        self.written: set[str] = set()
        self.reads_own: bool = False

    def run(self, initial: Any = None) -> State:
        """All nodes once, in dependency order; `initial`: the state of each node's virtual predecessor, or None."""
        begins = self._own_of_all(initial)
        past = self.structure.past

        def update(node: int, inbox: list[Received]) -> State:
            return self._update(node, inbox, begins[node])

        return recursion(
            update, self.structure.num_nodes, self._edges, initial, None if past is None else past.tolist()
        )

    def run_rounds(self, rounds: int, initial: Any = None) -> State:
        """All nodes in every round; `initial`: each node's state in round 0, or None."""
        return in_rounds(self._update, self._edges, rounds, self._own_of_all(initial))

    def _own_of_all(self, initial: Any) -> Any:
        if initial is not None:
            return initial
        from_x = self.cell.initial_from_x(self.x, self.structure)
        if from_x is not None:
            return list(zip(*from_x, strict=True))
        zero = tuple(self.x.new_zeros(shape) for shape in self.cell.shapes())
        return [zero] * self.structure.num_nodes

    @property
    def _edges(self) -> list[tuple[int, int, int]]:
        return edges_of(self.structure)

    def _update(self, node: int, received: list[Received], own: State) -> State:
        cell, given = self.cell, dict[str, Tensor]()

        def keep(name: str, rows: Tensor) -> Tensor:
            given[name] = rows.detach().clone()
            return rows

        states = [cell.State(*(field.unsqueeze(0) for field in message.state)) for message in received]
        sent = [state if cell.Message is None else cell.as_message(state) for state in states]
        fields: tuple[str, ...] = cell.State._fields if cell.Message is None else cell.Message._fields
        mine = cell.State(*(field.unsqueeze(0).clone() for field in own))
        my_message = mine if cell.Message is None else cell.as_message(mine)
        of_sources = {
            name: torch.cat([getattr(message, name) for message in sent or [my_message]])[: len(sent)]
            for name in fields
        }
        of_node = {**my_message._asdict(), **mine._asdict()}
        x = cell.project(self.x[node : node + 1]).clone()
        inbox = OneNodeInbox(
            self.structure, x, of_sources, lambda name: self._of_edges(name, received), received, node
        )
        inbox._fetch = (lambda fetch: lambda name: keep(f"inbox.{name}", fetch(name)))(inbox._fetch)
        before = Own(tuple(of_node), lambda name: keep(f"own.{name}", of_node[name]))
        keep("x", x)
        state = cell(x, inbox, before)
        now = {"x": x} | {f"inbox.{name}": rows for name, rows in vars(inbox).items()}
        now |= {f"own.{name}": rows for name, rows in vars(before).items()}
        self.written |= {name for name, rows in given.items() if not _same(now[name].detach(), rows)}
        self.reads_own |= any(name.startswith("own.") for name in given)
        return tuple(field[0] for field in state)

    def _of_edges(self, name: str, received: list[Received]) -> Tensor:
        """What the edges carry, in the order of the messages; 0 or 1 for the virtual edges of initial states."""
        s, numbers = self.structure, [m.edge for m in received if m.edge is not None]
        if name == "edge_weight":
            rows = None if s.edge_weight is None else s.edge_weight[numbers].to(self.x.dtype)
        else:
            rows = self.cell.edge_rows(s, torch.tensor(sorted(numbers), dtype=torch.long))
        if rows is None:
            raise ValueError(f"the cell reads inbox.{name}, but the structure has none.")
        place = {
            edge: rows[i] for i, edge in enumerate(numbers if name == "edge_weight" else sorted(numbers))
        }
        virtual = rows.new_full(rows.shape[1:], int(name == "edge_weight"))
        found = [virtual if m.edge is None else place[m.edge] for m in received]
        return torch.stack(found) if found else rows


def edges_of(structure: Structure) -> list[tuple[int, int, int]]:
    """`(source, target, slot)` of each."""
    return list(zip(*structure.edge_index.tolist(), structure.slot.tolist(), strict=True))


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())
