"""Finite groups of permutations: their elements and products."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import permutations

_MOST = 1000  # elements
_NAME = re.compile(r"([ZSA])([1-9][0-9]*)")

Permutation = tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """A group of permutations; element 0 leaves everything where it is.

    Attributes:
        name: Z2, S3, A5, … .
        elements: as permutations p of 0, 1, …, which take i to p[i], in ascending order.
        product: `product[a][b]`: the number of "first a, then b", which takes i to q[p[i]].
    """

    name: str
    elements: tuple[Permutation, ...]
    product: tuple[tuple[int, ...], ...]


def group(name: str) -> Group:
    """A group by its name.

    | name | elements | |
    |---|---|---|
    | Zn | n | sums modulo n: element k shifts by k; Z2 is parity |
    | Sn | n! | all permutations of n things |
    | An | n! / 2 | the even ones |

    Raises:
        ValueError: another name, or more than 1,000 elements.
    """
    found = _NAME.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(
            f"group must be Z, S or A with a number, such as Z2 (parity), Z5, S3, S5 or A5, got {name!r}."
        )
    kind, n = found[1], int(found[2])
    if n > _MOST or (kind != "Z" and n > 6):
        raise ValueError(f"group must have at most {_MOST:,} elements, got {name}.")
    if kind == "Z":
        elements = [tuple((i + k) % n for i in range(n)) for k in range(n)]
        return Group(name, tuple(elements), tuple(tuple((a + b) % n for b in range(n)) for a in range(n)))
    elements = [p for p in permutations(range(n)) if kind == "S" or is_even(p)]
    number = {p: i for i, p in enumerate(elements)}
    return Group(name, tuple(elements), tuple(tuple(number[then(p, q)] for q in elements) for p in elements))


def then(p: Permutation, q: Permutation) -> Permutation:
    """First p, then q."""
    return tuple(q[i] for i in p)


def is_even(p: Permutation) -> bool:
    """Whether an even number of swaps makes it."""
    return sum(p[i] > p[j] for j in range(len(p)) for i in range(j)) % 2 == 0
