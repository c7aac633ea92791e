"""From equations of one node to the states of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]
Inbox = list[tuple[int, State]]
Equations = Callable[[Any, Tensor, Inbox], State]


def evaluate(
    equations: Equations,
    cell: nn.Module,
    x: Tensor,
    edges: list,
    initial: list[State] | None = None,
    past: list[int] | None = None,
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
    sources = defaultdict(list)
    for source, target, slot in edges:
        sources[target].append((slot, source))
    known: dict[int, State] = {}

    def state(node: int) -> State:
        if node not in known:
            inbox = [(slot, state(source)) for slot, source in sources[node]]
            if initial is not None:
                filled = {slot for slot, _ in inbox}
                begins = ({0} if not inbox else set()) if past is None else set(range(past[node]))
                inbox = sorted([*inbox, *((slot, initial[node]) for slot in begins - filled)], key=slot_of)
            known[node] = equations(cell, x[node], inbox)
        return known[node]

    return stack([state(node) for node in range(len(x))])


def slot_of(message: tuple[int, State]) -> int:
    return message[0]


def evaluate_rounds(
    equations: Equations, cell: nn.Module, x: Tensor, edges: list, rounds: int, initial: list[State]
) -> State:
    """The states of all nodes after some rounds, in each of which every node reads the round before."""
    states = initial
    for _ in range(rounds):
        inboxes: list[Inbox] = [[] for _ in states]
        for source, target, slot in edges:
            inboxes[target].append((slot, states[source]))
        states = [equations(cell, x[node], inbox) for node, inbox in enumerate(inboxes)]
    return stack(states)


def stack(states: list[State]) -> State:
    """Per node a tuple of vectors, to per field a matrix."""
    return tuple(torch.stack(field) for field in zip(*states, strict=True))


def zeros(weight: Tensor) -> Tensor:
    """A vector of zeros, as long as `weight` has rows."""
    return weight.new_zeros(len(weight))


def slots_of(weight: Tensor) -> tuple[Tensor, ...]:
    """A matrix for each slot, from those of all slots side by side."""
    return weight.split(len(weight), dim=1)
