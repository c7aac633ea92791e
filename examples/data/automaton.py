"""Deterministic finite automata: what they accept, the smallest one, and strings drawn from what they accept."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Automaton:
    """A deterministic finite automaton over the symbols 0, 1, …; it starts in state 0.

    Args:
        step: `step[state][symbol]`, the next state.
        accepting: the states in which a string that ends there is accepted.

    Raises:
        ValueError: no state, a state without a step for each symbol, or a state that is not there.
    """

    step: tuple[tuple[int, ...], ...]
    accepting: frozenset[int]

    def __post_init__(self) -> None:
        states = range(len(self.step))
        if not states or len({len(row) for row in self.step}) > 1:
            raise ValueError(f"step must have a row per state, with a state per symbol, got {self.step}.")
        missing = sorted(
            {state for row in self.step for state in row}.union(self.accepting).difference(states)
        )
        if missing:
            raise ValueError(f"states must be 0 to {len(self.step) - 1}, as step has rows, got {missing[0]}.")

    def path(self, string: Sequence[int]) -> list[int]:
        """The states that a string leads through: the start, and one after each symbol."""
        states = [0]
        for symbol in string:
            states.append(self.step[states[-1]][symbol])
        return states

    def accepts(self, string: Sequence[int]) -> bool:
        """Whether the string is in the automaton's language."""
        return self.path(string)[-1] in self.accepting

    def minimal(self) -> Automaton:
        """The smallest automaton of the same language, its states numbered as a breadth-first search finds them.

        Two automata have the same language just when their minimal ones are equal. By refinement, as in E. Moore,
        "Gedanken-experiments on Sequential Machines", Automata Studies, 1956: states are apart when one accepts
        and the other does not, and when a symbol leads to states that are apart.
        """
        part = [int(state in self.accepting) for state in range(len(self.step))]
        parts = len(set(part))
        while True:
            signs = [(part[state], *(part[after] for after in row)) for state, row in enumerate(self.step)]
            number = {sign: i for i, sign in enumerate(dict.fromkeys(signs))}
            part = [number[sign] for sign in signs]
            if len(number) == parts:
                break
            parts = len(number)
        found = {part[0]: 0}  # parts by their new numbers; those out of reach get none
        members = [0]  # of each found part a state
        for state in members:
            for after in self.step[state]:
                if part[after] not in found:
                    found[part[after]] = len(members)
                    members.append(after)
        return Automaton(
            tuple(tuple(found[part[after]] for after in self.step[state]) for state in members),
            frozenset(new for new, state in enumerate(members) if state in self.accepting),
        )

    def draw(self, length: int, accepted: bool, count: int, rng: random.Random) -> list[list[int]]:
        """Strings of a length that are accepted (or rejected), each such string with the same probability.

        Returns:
            `count` strings; none where there is no such string.
        """
        # ways[k][state]: how many strings of k symbols lead from the state to where they should
        ways = [[int((state in self.accepting) == accepted) for state in range(len(self.step))]]
        for _ in range(length):
            ways.append([sum(ways[-1][after] for after in row) for row in self.step])
        if not ways[length][0]:
            return []
        strings = []
        for _ in range(count):
            state, string = 0, []
            for left in range(length, 0, -1):
                pick = rng.randrange(ways[left][state])
                for symbol, after in enumerate(self.step[state]):
                    if pick < ways[left - 1][after]:
                        string.append(symbol)
                        state = after
                        break
                    pick -= ways[left - 1][after]
            strings.append(string)
        return strings
