"""The languages of Tomita: strings of zeros and ones, and whether a small automaton accepts them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch_geometric.data import Data

from graphrec.datasets import Samples, TreeDataset, store

from .automaton import Automaton
from .chains import chain_rows

VOCABULARY = ("", "0", "1")
CLASSES = ("rejected", "accepted")

# By grammar, their smallest automata: the steps of each state on 0 and on 1, and which states accept.
_AUTOMATA = {
    1: Automaton(((1, 0), (1, 1)), frozenset({0})),
    2: Automaton(((1, 2), (1, 1), (0, 1)), frozenset({0})),
    3: Automaton(((0, 1), (2, 0), (3, 4), (2, 1), (4, 4)), frozenset({0, 1, 3})),
    4: Automaton(((1, 0), (2, 0), (3, 0), (3, 3)), frozenset({0, 1, 2})),
    5: Automaton(((1, 2), (0, 3), (3, 0), (2, 1)), frozenset({0})),
    6: Automaton(((1, 2), (2, 0), (0, 1)), frozenset({0})),
    7: Automaton(((0, 1), (2, 1), (2, 3), (4, 3), (4, 4)), frozenset({0, 1, 2, 3})),
}


class Tomita(TreeDataset):
    """Strings of zeros and ones, drawn evenly from inside and outside one of Tomita's seven languages.

    | grammar | language |
    |---|---|
    | 1 | 1* |
    | 2 | (10)* |
    | 3 | no odd run of 1s with an odd run of 0s right behind it |
    | 4 | no 000 |
    | 5 | an even number of 0s and an even number of 1s |
    | 6 | the numbers of 0s and of 1s differ by a multiple of 3 |
    | 7 | 0*1*0*1* |

    Source: M. Tomita, "Dynamic construction of finite-state automata from examples using hill-climbing", Annual
    Conference of the Cognitive Science Society 1982. Strings are drawn here; nobody holds rights in them.

    Half of the strings of each length are in the language, drawn evenly from all of that length that are; where a
    length has strings of one kind only, all are of that kind. Every second one of the others is a string of the
    language with one symbol changed (where that can lead outside), since evenly drawn ones are often wrong all over.
    A string may come more than once: some languages have but one of each length.

    Each sample is a chain, a `torch_geometric.data.Data` with

    - `edge_index` `[2, E]`, from each symbol to the next;
    - `slot` `[E]`, all 0;
    - `level`, `level_reversed` `[N]`, see `graphrec.transforms.AddLevels`;
    - `token` `[N]` long: 0 for the first node, which stands for the empty string, then 1 for a zero and 2 for a
      one: indices into `vocabulary`;
    - `y` `[N]` long: whether the string as far as this node is in the language, 0 or 1, see `classes`.

    Args:
        grammar: 1 to 7.
        lengths: how many symbols the strings have.
        per_length: how many strings of each length.
        seed: of the random numbers: the same seed, the same strings.
        transform: applied to each sample when it is taken.

    Attributes:
        automaton: the smallest automaton that accepts the language, an `Automaton`.

    Raises:
        ValueError: an unknown grammar, no lengths or a negative one, or per_length below 1.
    """

    def __init__(
        self,
        grammar: int,
        lengths: Sequence[int] = range(1, 17),
        per_length: int = 80,
        seed: int = 0,
        transform: Callable[[Data], Data] | None = None,
    ) -> None:
        if grammar not in _AUTOMATA:
            raise ValueError(f"grammar must be 1 to {len(_AUTOMATA)}, got {grammar!r}.")
        if not len(lengths) or min(lengths) < 0:
            raise ValueError(
                f"lengths must be one or more numbers of symbols, 0 or more, got {list(lengths)}."
            )
        if per_length < 1:
            raise ValueError(f"per_length must be 1 or more, got {per_length}.")
        self.automaton = _AUTOMATA[grammar]
        self._lengths, self._per_length, self._seed = list(lengths), per_length, seed
        key = {"grammar": grammar, "lengths": self._lengths, "per_length": per_length, "seed": seed}
        super().__init__("drawn", key, transform)

    def make(self) -> dict[str, Samples]:
        rng = random.Random(self._seed)
        strings = [string for length in self._lengths for string in self._draw(length, rng)]
        chains = [chain_rows(1 + len(string)) for string in strings]
        token = [token for string in strings for token in (0, *(1 + symbol for symbol in string))]
        accepting = self.automaton.accepting
        y = [int(state in accepting) for string in strings for state in self.automaton.path(string)]
        per_node = {"token": torch.tensor(token), "y": torch.tensor(y)}
        info = {"vocabulary": list(VOCABULARY), "classes": list(CLASSES)}
        return {self.split: store(chains, per_node, {}, info)}

    def _draw(self, length: int, rng: random.Random) -> list[list[int]]:
        """As many strings of one length as asked for."""
        half = self._per_length // 2
        inside = self.automaton.draw(length, True, self._per_length - half, rng)
        outside = self.automaton.draw(length, False, half, rng)
        if not inside or not outside:
            return self.automaton.draw(length, bool(inside), self._per_length, rng)
        for i in range(0, half, 2):
            outside[i] = self._spoilt(inside[i], rng) or outside[i]
        return inside + outside

    def _spoilt(self, string: list[int], rng: random.Random) -> list[int] | None:
        """The string with one symbol changed such that it is no longer in the language, if one can do that."""
        for index in rng.sample(range(len(string)), len(string)):
            changed = [*string[:index], 1 - string[index], *string[index + 1 :]]
            if not self.automaton.accepts(changed):
                return changed
        return None
