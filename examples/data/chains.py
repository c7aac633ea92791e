"""Sequences as trees without branches, the form in which data sets are stored."""

from __future__ import annotations

from graphrec.structure import TreeRows


def chain_rows(length: int) -> TreeRows:
    """A chain of `length` nodes, 1 or more: each is the only child of the next."""
    nothing: list[str | None] = [None] * length
    return TreeRows([*range(1, length), -1], [0] * length, nothing, nothing)
