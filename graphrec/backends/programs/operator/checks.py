"""What a program has no equations for is refused when it runs: only then is it known who depends on whom."""

from __future__ import annotations

from itertools import chain

import torch

from ....program.written import Written
from ....schedule import Schedule, parts, slot_fault


def check_plan(plan: Schedule, written: Written) -> None:
    """Raise ValueError for kinds, slots and relations that the program does not have."""
    for kind, name, count in _counts(written):
        if name == "inbox.by_relation":
            _check_relations(plan, count)
        elif written.has_kinds:
            _check_slots_of_kind(plan, kind, count)
        elif plan.num_slots > count or not plan.distinct_slots:
            raise ValueError(slot_fault(plan, count))
    if written.has_kinds:
        _check_kinds(plan, 1 + max(kind for kind, _ in written.steps))


def _counts(written: Written) -> set[tuple[int, str, int]]:
    """By kind of nodes, how many slots or relations the equations read."""
    return {
        (kind, name, args[0][1])
        for (kind, _), record in written.steps.items()
        for name, *args in record.entries
        if name in ("inbox.by_slot", "inbox.by_relation")
    }


def _check_relations(plan: Schedule, count: int) -> None:
    relation = plan.structure.relation
    if relation is None or not len(relation):
        return
    low, high = (int(number) for number in torch.aminmax(relation))
    if low < 0 or high >= count:
        raise ValueError(
            f"the cell has weights for the relations 0 to {count - 1}, but there is an edge of relation "
            f"{low if low < 0 else high}: make the cell with more relations, or correct the edge."
        )


def _check_kinds(plan: Schedule, count: int) -> None:
    for part in chain.from_iterable(parts(plan)):
        if not 0 <= part.kind < count:
            raise ValueError(
                f"there are cells for the kinds 0 to {count - 1}, but the structure has nodes of kind {part.kind}: "
                f"give a cell for each kind."
            )


def _check_slots_of_kind(plan: Schedule, kind: int, count: int) -> None:
    for part in chain.from_iterable(parts(plan)):
        if part.kind == kind and (part.num_slots > count or not part.distinct_slots):
            raise ValueError(
                f"the cell of kind {kind} has {count} slot{'s' * (count != 1)}, but two edges fill one slot of a node, "
                f"or there is an edge in a higher one: give edges other slots, s.replace(slot=...), or make the cell "
                f"with more."
            )
