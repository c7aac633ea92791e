"""A cell whose state includes what it emits."""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ..cell import Cell, Inbox
from .wrapping import Wrapping, check_sends_its_state


class EmittingCell(Wrapping):
    """A chain cell over word vectors that emits a word, which its successor may take as input: a decoder.

        w_t = given_t where one is given, else emitted_{t-1}
        s_t = cell(w_t, s_{t-1}),  logits_t = output(h_t),  emitted_t = embed(argmax logits_t)

    Sutskever, Vinyals & Le, *Sequence to sequence learning with neural networks*, NIPS 2014, equation (1), reading
    its own most likely words.

    Args:
        cell: the recurrent cell.
        embed: tokens to word vectors `[V, E]`.
        output: h to logits `[V]`.

    Shapes: x `[N, E + 1]`: a word vector, and 1 where it is the input, 0 where the emitted word is. State: the
    cell's, and `emitted` `[N, E]`, `logits` `[N, V]`.
    """

    embed: nn.Embedding
    output: nn.Module

    def __init__(self, cell: Cell, embed: nn.Embedding, output: nn.Module) -> None:
        super().__init__(cell)
        check_sends_its_state(cell)
        if not isinstance(embed, nn.Embedding) or not isinstance(output, nn.Module):
            got = f"{type(embed).__name__} and {type(output).__name__}"
            raise TypeError(f"expected embed, a torch.nn.Embedding, and output, a module, got {got}.")
        self.inputs: Any = embed.embedding_dim + 1
        self.embed, self.output = embed, output

    @property
    def State(self) -> Any:
        """The cell's fields, the emitted vector and the logits."""
        return _state_type(self.cell.State._fields)

    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the cell's fields, of a word vector, and of the logits."""
        return [*self.cell.shapes(), (self.embed.embedding_dim,), (self.embed.num_embeddings,)]

    def project(self, x: Tensor) -> Tensor:
        """x itself: each step decides which word is its input."""
        return x

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step."""
        given, is_given = x.split([self.embed.embedding_dim, 1], dim=-1)
        word = torch.where(is_given > 0, given, inbox.sum(inbox.emitted))
        names = self.cell.State._fields
        previous = self.cell.State(*(getattr(own, name) for name in names))
        after = self.cell(self.cell.project(word), inbox.renamed({name: name for name in names}), previous)
        logits = self.output(after[0])
        return self.State(*after, self.embed(logits.argmax(-1)), logits)

    def begin(self, state: Any, word: Tensor) -> Any:
        """A whole state `[G, ·]` from the cell's and the vector of the last emitted word."""
        return self.State(*state, word, word.new_zeros(len(word), self.embed.num_embeddings))


@cache
def _state_type(fields: tuple[str, ...]) -> Any:
    return namedtuple("State", [*fields, "emitted", "logits"])
