"""In which order operations are done, and which of them follow each other row by row."""

from __future__ import annotations

from ...program.symbols import NotRecordable
from .units import NO_INDEX, Unit

# What is an instruction of its own.
_ALONE = ("PRODUCT", "OUTER")


def grouped(units: list[Unit]) -> list[list[Unit]]:
    """Products one by one, and other operations in chains, as long as possible."""
    left, done, order = list(units), set(), []
    while left:
        ready = next((u for u in left if u.op in _ALONE and u.after <= done), None)
        if ready is not None:
            order.append([ready])
            done.add(ready)
            left.remove(ready)
            continue
        best: list[Unit] = []
        for key in dict.fromkeys((u.rows, u.width) for u in left if u.op not in _ALONE):
            chain = _chain([u for u in left if (u.rows, u.width) == key and u.op not in _ALONE], done)
            best = chain if len(chain) > len(best) else best
        if not best:
            raise NotRecordable("operations wait for each other")
        order.append(best)
        done.update(best)
        chosen = set(best)
        left = [u for u in left if u not in chosen]
    return order


def _chain(units: list[Unit], done: set[Unit]) -> list[Unit]:
    chain: list[Unit] = []
    inside: set[Unit] = set()
    grows = True
    while grows:
        grows = False
        for unit in units:
            if unit in inside:
                continue
            waits = unit.after - done
            if waits <= inside and all(_row_by_row(one, unit) for one in waits):
                chain.append(unit)
                inside.add(unit)
                grows = True
    return chain


def _row_by_row(before: Unit, after: Unit) -> bool:
    """Whether an operation may follow another in one chain: it reads its rows as they are."""
    if before.to.index != NO_INDEX:
        return False
    if before.op in ("SUM_EACH", "SUM_ALL") or after.op in ("REPEAT_EACH", "REPEAT_ALL"):
        return False
    made = before.to.value
    for operand in after.reads:
        reads_it = (made is not None and operand.value is made) or (
            operand.home is not None
            and before.to.home is not None
            and operand.home.buffer == before.to.home.buffer
        )
        if reads_it and operand.index != NO_INDEX:
            return False
    return True
