"""Automata in the states of a network: all strings as a tree, the automaton extracted from them, and its picture."""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import torch
from data.automaton import Automaton
from torch import Tensor

import graphrec as gr

INK, FAINT, FILL = "#39424C", "#9AA5B1", "#D6EAF5"


def prefix_tree(length: int, symbols: int = 2) -> tuple[gr.Structure, Tensor]:
    """All strings of up to `length` symbols as one structure: a node for each, with an edge from its longest prefix.

    Each node has one predecessor, so cells for chains run on it unchanged, and visit each prefix once.

    Returns:
        the structure, whose node v, followed by symbol a, is node `symbols * v + 1 + a`; node 0 is the empty
        string. The last symbol of each node but that `[N - 1]`.
    """
    node = torch.arange(1, sum(symbols**k for k in range(length + 1)))
    before, symbol = (node - 1) // symbols, (node - 1) % symbols
    edges = torch.stack([before, node])
    return gr.dag(edges, len(node) + 1, slot=torch.zeros_like(node)), symbol


def answers(automaton: Automaton, length: int) -> Tensor:
    """`[N]` bool: the automaton's answer to each string, in the order of `prefix_tree`."""
    step = torch.tensor(automaton.step)
    accepts = torch.tensor([state in automaton.accepting for state in range(len(step))])
    states = [torch.tensor([0])]
    for _ in range(length):
        states.append(step[states[-1]].flatten())
    return accepts[torch.cat(states)]


def extract(h: Tensor, accepted: Tensor, parts: int, symbols: int = 2) -> Automaton | None:
    """The automaton that a network has learnt, extracted from its state space.

    The range of each neuron is cut into equal parts, and states in the same cell of that grid count as one. The
    search begins at the empty string and follows all symbols, from each cell for the first string that has led
    there: it is the method of C. Giles, C. Miller, D. Chen, H. Chen, G. Sun and Y. Lee, "Learning and Extracting
    Finite State Automata with Second-Order Recurrent Neural Networks", Neural Computation 4, 1992.

    Args:
        h: `[N, H]`, the states after each string of a `prefix_tree`, from 0 to 1.
        accepted: `[N]` bool, the network's answers.
        parts: of each neuron's range.

    Returns:
        the automaton, as found, not yet the minimal one; None where the strings are too short to follow.
    """
    grid = (h * parts).long().clamp(0, parts - 1)
    cell = grid.unique(dim=0, return_inverse=True)[1].tolist()
    state_of = {cell[0]: 0}
    first = [0]  # by state, the first string that led there
    step = []
    for string in first:
        after = range(symbols * string + 1, symbols * string + 1 + symbols)
        if after[-1] >= len(cell):
            return None
        for longer in after:
            if cell[longer] not in state_of:
                state_of[cell[longer]] = len(first)
                first.append(longer)
        step.append(tuple(state_of[cell[longer]] for longer in after))
    return Automaton(tuple(step), frozenset(state for state, v in enumerate(first) if accepted[v]))


def draw(automaton: Automaton, ax: Any) -> None:
    """States as circles on a ring, the start marked by an arrow, accepting states by a second line.

    States from which nothing is ever accepted, and the steps to them, are drawn faintly.
    """
    from matplotlib.patches import Circle

    count = len(automaton.step)
    radius = 0.28
    at = _places(automaton, 0.78)
    circles = []
    for state, place in enumerate(at):
        ink = FAINT if _is_dead(automaton, state) else INK
        accepting = state in automaton.accepting
        circles.append(Circle(place, radius, facecolor=FILL if accepting else "white", edgecolor=ink, lw=1.5))
        ax.add_patch(circles[-1])
        if accepting:
            ax.add_patch(Circle(place, 0.78 * radius, facecolor="none", edgecolor=ink, lw=1.0))
    pairs = {(state, after) for state, row in enumerate(automaton.step) for after in row}
    for state, after in sorted(pairs):
        ink = FAINT if _is_dead(automaton, after) else INK
        symbols = [str(symbol) for symbol, to in enumerate(automaton.step[state]) if to == after]
        if state == after:
            # Away from the others, but beside the arrow of the start, which comes in from the left.
            angle = math.atan2(at[state][1], at[state][0]) if state and count > 1 else 0.6 * math.pi
            middle = _draw_loop(ax, at[state], angle, radius, ink)
        else:
            bend = 0.3 if (after, state) in pairs else 0.12
            middle = _draw_arc(ax, circles[state], circles[after], bend, ink)
        white = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none"}
        ax.text(*middle, ", ".join(symbols), ha="center", va="center", color=ink, fontsize=9, bbox=white)
    _draw_arrow(ax, ink=INK, posA=(at[0][0] - 0.75, at[0][1]), posB=(at[0][0] - radius, at[0][1]))
    wide = max(2.2, 1.4 - at[0][0])
    ax.set(xlim=(-wide, wide), ylim=(-0.86 * wide, 0.86 * wide), aspect="equal")
    ax.set_axis_off()


def _places(automaton: Automaton, half_gap: float) -> list[tuple[float, float]]:
    """Places on a ring: the start on the left, the others in the order with the shortest steps."""
    count = len(automaton.step)
    if count == 1:
        return [(0.0, 0.0)]
    ring = half_gap / math.sin(math.pi / count)
    turns = [math.pi - 2 * math.pi * i / count for i in range(count)]
    corners = [(ring * math.cos(turn), ring * math.sin(turn)) for turn in turns]
    others = range(1, count)
    orders = permutations(others) if count < 8 else [tuple(others)]

    def length(order: tuple[int, ...]) -> float:
        at = dict(zip((0, *order), corners, strict=True))
        return sum(math.dist(at[state], at[to]) for state, row in enumerate(automaton.step) for to in {*row})

    best = min(orders, key=length)
    at = dict(zip((0, *best), corners, strict=True))
    return [at[state] for state in range(count)]


def _is_dead(automaton: Automaton, state: int) -> bool:
    """Whether no string leads from the state to an accepting one."""
    reached = [state]
    for now in reached:
        reached += [after for after in dict.fromkeys(automaton.step[now]) if after not in reached]
    return not automaton.accepting.intersection(reached)


def _draw_arc(ax: Any, start: Any, end: Any, bend: float, ink: str) -> tuple[float, float]:
    """An arrow between two circles, bent to the right; returns its middle."""
    (x, y), (to_x, to_y) = start.center, end.center
    style = f"arc3,rad={bend}"
    _draw_arrow(ax, ink, posA=(x, y), posB=(to_x, to_y), patchA=start, patchB=end, connectionstyle=style)
    return (x + to_x + bend * (to_y - y)) / 2, (y + to_y - bend * (to_x - x)) / 2


def _draw_loop(
    ax: Any, at: tuple[float, float], angle: float, radius: float, ink: str
) -> tuple[float, float]:
    """An arrow from a circle to itself, on the side that the angle says; returns a place beyond its tip."""
    from matplotlib.path import Path

    around = ((-0.5, 1.0), (-0.55, 3.0), (0.55, 3.0), (0.5, 1.0))  # angle from the middle, distance in radii
    points = [
        (at[0] + far * radius * math.cos(angle + turn), at[1] + far * radius * math.sin(angle + turn))
        for turn, far in around
    ]
    _draw_arrow(ax, ink, path=Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]))
    far = 2.9 * radius
    return at[0] + far * math.cos(angle), at[1] + far * math.sin(angle)


def _draw_arrow(ax: Any, ink: str, **way: Any) -> None:
    from matplotlib.patches import FancyArrowPatch

    ax.add_patch(
        FancyArrowPatch(**way, arrowstyle="-|>", mutation_scale=10, color=ink, lw=1.3, shrinkA=0, shrinkB=0)
    )
