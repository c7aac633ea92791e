"""From equations of one node to the states of all, by plain recursion: no engine, no batch, no level.

Nothing here is imported from the rest of graphrec, so that it shares none of its errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

State = tuple[Tensor, ...]


class Message(NamedTuple):
    """The slot that an edge fills, and the state of its source: a vector for each field."""

    slot: int
    state: State


class Received(Message):
    """A message, which unpacks as `slot, state`, and what its edge carries besides.

    Attributes:
        edge: the number of the edge; None: the virtual edge of an initial state.
        edge_attr, edge_weight, relation: of the edge, None where the structure has none.
    """

    edge: int | None = None
    edge_attr: Tensor | None = None
    edge_weight: Tensor | None = None
    relation: Any = None  # a whole number, in a tensor of no dimensions


Inbox = Sequence[Any]  # of messages, or pairs (slot, state), by slot
# A cell's equations for one node: from the cell (its weights), x `[D]` and the inbox to the node's state.
Equations = Callable[[Any, Tensor, Inbox], State]
# The same where all but the node's number and inbox is known.
Update = Callable[[int, list[Received]], State]


def evaluate(
    equations: Equations,
    cell: Any,
    x: Tensor,
    edges: Sequence[tuple[int, int, int]],
    initial: Sequence[State] | None = None,
    past: Sequence[int] | None = None,
) -> State:
    """The states of all nodes, `[N, H]` per field, each computed from its sources' by memoised recursion.

    Args:
        equations: the cell's.
        cell: where the weights are.
        x: `[N, D]`.
        edges: `(source, target, slot)` of each.
        initial: for each node the state of its virtual predecessors: those in slots of its past that no edge
            fills, or where there is no past, one in slot 0 if it has no other.
        past: how many slots of each node are its past.
    """
    return recursion(lambda node, inbox: equations(cell, x[node], inbox), len(x), edges, initial, past)


def evaluate_rounds(
    equations: Equations,
    cell: Any,
    x: Tensor,
    edges: Sequence[tuple[int, int, int]],
    rounds: int,
    initial: Sequence[State],
) -> State:
    """The states of all nodes after some rounds, in each of which every node reads the round before."""
    return in_rounds(lambda node, inbox, _: equations(cell, x[node], inbox), edges, rounds, initial)


def recursion(
    update: Update,
    num_nodes: int,
    edges: Sequence[tuple[int, int, int]],
    initial: Sequence[State] | None = None,
    past: Sequence[int] | None = None,
) -> State:
    """The same for any update of a node."""
    entering = _by_target(num_nodes, edges)
    known: dict[int, State] = {}

    def state(node: int) -> State:
        if node not in known:
            inbox = [_received(slot, state(source), edge) for edge, source, slot in entering[node]]
            if initial is not None:
                filled = {slot for slot, _ in inbox}
                begins = ({0} if not inbox else set()) if past is None else set(range(past[node]))
                inbox += [_received(slot, initial[node], None) for slot in begins - filled]
            known[node] = update(node, sorted(inbox, key=_slot_of))
        return known[node]

    return stack([state(node) for node in range(num_nodes)])


def in_rounds(
    update: Callable[[int, list[Received], State], State],
    edges: Sequence[tuple[int, int, int]],
    rounds: int,
    initial: Sequence[State],
) -> State:
    """The same in rounds, for any update of a node, which is given its previous state besides."""
    entering = _by_target(len(initial), edges)
    states = list(initial)
    for _ in range(rounds):
        inboxes = [[_received(slot, states[u], edge) for edge, u, slot in into] for into in entering]
        states = [
            update(node, sorted(inbox, key=_slot_of), states[node]) for node, inbox in enumerate(inboxes)
        ]
    return stack(states)


def stack(states: Sequence[State]) -> State:
    """Per node a tuple of vectors, to per field a matrix."""
    return tuple(torch.stack(field) for field in zip(*states, strict=True))


def _by_target(num_nodes: int, edges: Sequence[tuple[int, int, int]]) -> list[list[tuple[int, int, int]]]:
    """For each node `(edge, source, slot)` of the edges that enter it, as listed."""
    entering: list[list[tuple[int, int, int]]] = [[] for _ in range(num_nodes)]
    for edge, (source, target, slot) in enumerate(edges):
        entering[target].append((edge, source, slot))
    return entering


def _received(slot: int, state: State, edge: int | None) -> Received:
    message = Received(slot, state)
    message.edge = edge
    return message


def _slot_of(message: Message) -> int:
    return message.slot
