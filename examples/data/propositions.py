"""Propositional formulas and the seven relations between them, by truth tables.

A formula is a text, `( a ( and ( not b ) ) )`. A truth table over v variables is an integer of 2^v bits, one for
each world: in world w, variable i is true if bit i of w is 1.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from graphrec.datasets.logic import CONNECTIVES
from graphrec.io import parse_brackets

VARIABLES = tuple("abcdef")


def every_world(variables: int) -> int:
    """The truth table of what is always true."""
    return (1 << 2**variables) - 1


def truth_table(formula: str, variables: Sequence[str] = VARIABLES) -> int:
    """The worlds in which a formula over these variables is true.

    Raises:
        ValueError: malformed brackets, or no formula.
    """
    tables = {name: _table(place, len(variables)) for place, name in enumerate(variables)}
    tree = parse_brackets(formula, labels=False)
    children: list[list[int]] = [[] for _ in tree.parent]
    for node, above in enumerate(tree.parent[:-1]):
        children[above].append(node)
    # Of each node its table, its connective, or a connective together with the right operand's table.
    values: list[int | str | tuple[str, int]] = []
    for node, token in enumerate(tree.token):
        match [values[child] for child in children[node]]:
            case [] if token in tables:
                values.append(tables[token])
            case [] if token in CONNECTIVES:
                values.append(token)
            case ["not", int(operand)]:
                values.append(every_world(len(variables)) ^ operand)
            case ["and" | "or" as connective, int(operand)]:
                values.append((connective, operand))
            case [int(left), ("and", int(right))]:
                values.append(left & right)
            case [int(left), ("or", int(right))]:
                values.append(left | right)
            case _:
                raise ValueError(f"expected a formula, got {formula!r}")
    if not isinstance(values[-1], int):
        raise ValueError(f"expected a formula, got {formula!r}")
    return values[-1]


def _table(place: int, variables: int) -> int:
    """The worlds in which the variable at this place is true: 2^place in a row are, as many before them are not."""
    width = 2 ** (place + 1)
    table = every_world(place) << width // 2
    while width < 2**variables:
        table |= table << width
        width *= 2
    return table


def relation(left: int, right: int, variables: int = len(VARIABLES)) -> str:
    """Which of the seven relations of MacCartney's natural logic holds between two truth tables."""
    both, only_left, only_right = bool(left & right), bool(left & ~right), bool(right & ~left)
    neither = (left | right) != every_world(variables)
    match both, only_left, only_right, neither:
        case True, False, False, True:
            return "="  # equivalence
        case True, False, True, True:
            return "<"  # entailment
        case True, True, False, True:
            return ">"  # reverse entailment
        case False, True, True, False:
            return "^"  # negation: exhaustive exclusion
        case False, True, True, True:
            return "|"  # alternation: non-exhaustive exclusion
        case True, True, True, False:
            return "v"  # cover: exhaustive non-exclusion
        case _:
            return "#"  # independence: anything else


def draw_pairs(count: int, size: int, rng: random.Random) -> list[tuple[str, str, str]]:
    """`count` different pairs as (relation, left, right), the larger formula with `size` operators.

    Formulas that are always or never true are left out, as in the published data.
    """
    pairs: dict[tuple[str, str], str] = {}
    while len(pairs) < count:
        variables = rng.sample(VARIABLES, 3)  # among all six, nearly all pairs would be independent
        sides = [_draw(size, variables, rng), _draw(rng.randint(0, size), variables, rng)]
        rng.shuffle(sides)
        left, right = (truth_table(side) for side in sides)
        if not {left, right} & {0, every_world(len(VARIABLES))}:
            pairs[sides[0], sides[1]] = relation(left, right)
    return [(label, *pair) for pair, label in pairs.items()]


def _draw(operators: int, variables: list[str], rng: random.Random) -> str:
    """A formula with so many operators: variables, joined and negated in any order until one part is left."""
    negations = sum(rng.random() < 1 / 3 for _ in range(operators))
    parts = [rng.choice(variables) for _ in range(operators - negations + 1)]
    while negations or len(parts) > 1:
        place = rng.randrange(len(parts))
        if negations and (len(parts) == 1 or rng.random() < 1 / 3):
            parts[place] = f"( not {parts[place]} )"
            negations -= 1
        elif place:
            left, right = parts[place - 1 : place + 1]
            parts[place - 1 : place + 1] = [f"( {left} ( {rng.choice(('and', 'or'))} {right} ) )"]
    return parts[0]
