"""Decoding: a cell that hears what it has said, and three ways to choose what it says. All of them on `steps`."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ..cells import Cell
from ..engine import steps
from ..schedule import schedule
from ..structure import chains
from ..structure.structure import as_count

Pick = Callable[[Tensor], Tensor]  # `[G, V] → [G]`: logits to tokens


class Speaker(Cell):
    """A chain cell with what it says as part of its state, so that the next node hears it.

    w_t = told_t where told, else said_{t-1};  s_t = cell(w_t, s_{t-1});  logits_t = output(h_t)
    said_t = embed(argmax logits_t)

    Args:
        cell: the recurrent cell, over word vectors.
        embed: tokens to word vectors `[V, E]`.
        output: h to logits `[V]`.

    Shapes: x `[N, E + 1]`: the vector of a word, and 1 where this is what the node hears, 0 where it hears its
    predecessor. State: the cell's, and `said` `[N, E]`, `logits` `[N, V]`.
    """

    def __init__(self, cell: Cell, embed: nn.Embedding, output: nn.Module) -> None:
        super().__init__(embed.embedding_dim + 1)
        self.arity = cell.arity
        self.cell, self.embed, self.output = cell, embed, output

    @property
    def State(self) -> Any:
        """The cell's fields, and what is said."""
        return _state_type(self.cell.State._fields)

    def shapes(self) -> list[tuple[int, ...]]:
        """The cell's, a word vector's, and one number per token."""
        return [*self.cell.shapes(), (self.embed.embedding_dim,), (self.embed.num_embeddings,)]

    def forward(self, x: Tensor, inbox: Any, own: Any) -> Any:
        """One step."""
        told, is_told = x.split([self.embed.embedding_dim, 1], dim=-1)
        word = torch.where(is_told > 0, told, inbox.sum(inbox.said))
        names = self.cell.State._fields
        before = self.cell.State(*(getattr(own, name) for name in names))
        after = self.cell(self.cell.project(word), inbox.renamed({name: name for name in names}), before)
        logits = self.output(after[0])
        return self.State(*after, self.embed(logits.argmax(-1)), logits)

    def begin(self, state: Any, word: Tensor) -> Any:
        """A whole state `[G, ·]` from the cell's and from the word vector that was said last."""
        return self.State(*state, word, word.new_zeros(len(word), self.embed.num_embeddings))


@cache
def _state_type(fields: tuple[str, ...]) -> Any:
    return namedtuple("State", [*fields, "said", "logits"])


def choose(speaker: Speaker, state: Any, first: Tensor, end: int, limit: int, pick: Pick) -> list[list[int]]:
    """Let each of G sequences be spoken, one token after another, until it ends.

    Args:
        speaker: the cell.
        state: its cell's state before the first node, `[G, ·]`.
        first: `[G]` long, the token that the first node hears.
        end: the token that ends a sequence; it is not among those returned.
        limit: how many tokens at most.
        pick: chooses.

    Returns:
        The tokens of each sequence.
    """
    said: list[Tensor] = []
    open_ = torch.ones_like(first, dtype=torch.bool)
    talk = _Talk(speaker, state, first, limit)
    for logits in talk:
        tokens = torch.where(open_, pick(logits), end)
        said.append(tokens)
        open_ = open_ & (tokens != end)
        if not bool(open_.any()):
            break
        talk.say(tokens)
    return _until_end(torch.stack(said, 1), end)


def search(speaker: Speaker, state: Any, first: Tensor, end: int, limit: int, width: int) -> list[list[int]]:
    """Beam search: the `width` likeliest beginnings of each sequence are kept at every node.

    The score of a sequence is the sum of the logarithms of its tokens' probabilities, `end` included; nothing is
    added for length. Graves, *Sequence transduction with recurrent neural networks* (2012), section 2.5; Sutskever,
    Vinyals & Le, *Sequence to sequence learning with neural networks*, NIPS 2014, section 3.2. Arguments as in
    `choose`; the best sequence of each graph is returned.
    """
    graphs = len(first)
    beam = torch.arange(graphs, device=first.device).repeat_interleave(width)
    talk = _Talk(speaker, type(state)(*(field.index_select(0, beam) for field in state)), first[beam], limit)
    first_of_graph = torch.arange(graphs, device=first.device).unsqueeze(1) * width
    # At first all beams of a graph are the same: only one of them counts.
    score = torch.full((graphs, width), -torch.inf, device=first.device)
    score[:, 0] = 0
    open_ = torch.ones_like(beam, dtype=torch.bool)
    said = first.new_zeros(graphs * width, 0)
    for logits in talk:
        logs = torch.log_softmax(logits.float(), -1)
        ended = torch.full_like(logs, -torch.inf)
        ended[:, end] = 0  # what has ended goes on ending, at no cost
        logs = torch.where(open_.unsqueeze(1), logs, ended)
        tokens = logs.shape[1]
        score, best = (score.view(-1, 1) + logs).view(graphs, -1).topk(width, dim=1)
        row = (first_of_graph + torch.div(best, tokens, rounding_mode="floor")).flatten()
        token = (best % tokens).flatten()
        said = torch.cat([said[row], token.unsqueeze(1)], dim=1)
        open_ = open_[row] & (token != end)
        if not bool(open_.any()):
            break
        talk.say(token, row)
    return _until_end(said[first_of_graph.squeeze(1)], end)


def check_decoding(tokens: int, end: Any, limit: Any, width: int = 1) -> None:
    """Raise unless decoding will come to an end."""
    if end is None or not 0 <= as_count("end", end) < tokens:
        raise ValueError(
            f"a decoder needs an end symbol, one of its tokens 0 to {tokens - 1}, got end={end!r}."
        )
    if limit is None or as_count("limit", limit) < 1:
        raise ValueError(
            f"a decoder needs a limit, how many tokens it may say at most (1 or more), got {limit!r}."
        )
    if as_count("width", width) < 1:
        raise ValueError(f"a beam must have a width of 1 or more, got {width}.")


def sampler(temperature: float, generator: torch.Generator | None) -> Pick:
    """Draws tokens with the probabilities softmax(logits / temperature)."""
    if not temperature > 0:
        raise ValueError(
            f"temperature must be above 0 (use greedy for the likeliest token), got {temperature}."
        )

    def pick(logits: Tensor) -> Tensor:
        return torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator).squeeze(1)

    return pick


def greedy(logits: Tensor) -> Tensor:
    """The likeliest token."""
    return logits.argmax(-1)


class _Talk:
    """The logits of one node after another; between two of them the speaker is told what it has said."""

    def __init__(self, speaker: Speaker, state: Any, first: Tensor, limit: int) -> None:
        self._speaker = speaker
        word = speaker.embed(first)
        plan = schedule(chains([limit] * len(first)).to(first.device))
        silent = word.new_zeros(plan.num_nodes, word.shape[1] + 1)
        self._loop = steps(speaker, plan, silent, speaker.begin(state, word))
        self._sent: Any = None

    def __iter__(self) -> Iterator[Tensor]:
        with torch.no_grad():
            for visit in self._steps():
                self._state = visit.state
                yield visit.state.logits

    def say(self, tokens: Tensor, rows: Tensor | None = None) -> None:
        """These tokens have been said, by the sequences that now stand in these rows (by default their own)."""
        state = self._state
        if rows is not None:
            state = type(state)(*(field.index_select(0, rows) for field in state))
        self._sent = state._replace(said=self._speaker.embed(tokens))

    def _steps(self) -> Iterator[Any]:
        visit = next(self._loop)
        while True:
            yield visit
            try:
                visit = self._loop.send(self._sent)
            except StopIteration:
                return


def _until_end(tokens: Tensor, end: int) -> list[list[int]]:
    rows = tokens.tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]
