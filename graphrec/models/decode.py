"""Decoding: three ways to choose what a decoder emits, all by `steps`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..cells.emitting import EmittingCell
from ..runs import steps
from ..schedule import schedule
from ..structure import chains
from ..structure.checks import as_count

Pick = Callable[[Tensor], Tensor]  # `[G, V] → [G]`: logits to tokens
_AT_ONCE = 32  # nodes of a sequence that are laid out before its length is known


def choose(
    cell: EmittingCell, state: Any, first: Tensor, end: int, limit: int, pick: Pick
) -> list[list[int]]:
    """Emit one token after another in each of G sequences, until it ends.

    Args:
        cell: the decoder.
        state: the initial state of the cell within, `[G, ·]`.
        first: `[G]` long, the token that the first node is given.
        end: the token that ends a sequence; it is not among those returned.
        limit: the largest number of tokens.
        pick: chooses a token.

    Returns:
        The tokens of each sequence.
    """
    if not len(first):
        return []
    emitted: list[Tensor] = []
    is_open = torch.ones_like(first, dtype=torch.bool)
    decoder = _Decoder(cell, state, first, limit)
    for logits in decoder:
        tokens = torch.where(is_open, pick(logits), end)
        emitted.append(tokens)
        is_open = is_open & (tokens != end)
        if not bool(is_open.any()):
            break
        decoder.emit(tokens)
    return _until_end(torch.stack(emitted, 1), end)


def search(
    cell: EmittingCell, state: Any, first: Tensor, end: int, limit: int, width: int
) -> list[list[int]]:
    """Beam search: at every node the `width` most likely beginnings of each sequence are kept.

    The score of a sequence is the sum of its tokens' log-probabilities, `end` included, without a correction
    for length. Graves, *Sequence transduction with recurrent neural networks* (2012), section 2.6; Sutskever,
    Vinyals & Le, *Sequence to sequence learning with neural networks*, NIPS 2014, section 3.2. Arguments as in
    `choose`; the best sequence of each graph is returned.
    """
    graphs = len(first)
    if not graphs:
        return []
    beam = torch.arange(graphs, device=first.device).repeat_interleave(width)
    state = type(state)(*(field.index_select(0, beam) for field in state))
    decoder = _Decoder(cell, state, first[beam], limit)
    first_of_graph = torch.arange(graphs, device=first.device).unsqueeze(1) * width
    # At first all beams of a graph are equal: only one of them counts.
    score = torch.full((graphs, width), -torch.inf, device=first.device)
    score[:, 0] = 0
    is_open = torch.ones_like(beam, dtype=torch.bool)
    emitted = first.new_zeros(graphs * width, 0)
    for logits in decoder:
        logs = torch.log_softmax(logits.float(), -1)
        ended = torch.full_like(logs, -torch.inf)
        ended[:, end] = 0  # an ended sequence repeats the end symbol, at no cost
        logs = torch.where(is_open.unsqueeze(1), logs, ended)
        tokens = logs.shape[1]
        score, best = (score.view(-1, 1) + logs).view(graphs, -1).topk(width, dim=1)
        row = (first_of_graph + torch.div(best, tokens, rounding_mode="floor")).flatten()
        token = (best % tokens).flatten()
        emitted = torch.cat([emitted[row], token.unsqueeze(1)], dim=1)
        is_open = is_open[row] & (token != end)
        if not bool(is_open.any()):
            break
        decoder.emit(token, row)
    return _until_end(emitted[first_of_graph.squeeze(1)], end)


def check_decoding(tokens: int, end: Any, limit: Any, width: int = 1) -> None:
    """Raise unless decoding will end."""
    if end is None or not 0 <= as_count("end", end) < tokens:
        raise ValueError(
            f"a decoder needs an end symbol, one of its tokens 0 to {tokens - 1}, got end={end!r}."
        )
    if limit is None or as_count("limit", limit) < 1:
        raise ValueError(
            f"a decoder needs a limit, how many tokens it may emit at most (1 or more), got {limit!r}."
        )
    if as_count("width", width) < 1:
        raise ValueError(f"a beam must have a width of 1 or more, got {width}.")


def sampler(temperature: float | None, generator: torch.Generator | None) -> Pick:
    """Draws tokens with the probabilities softmax(logits / temperature); without a temperature takes the likeliest."""
    if temperature is None:
        return greedy
    if not temperature > 0:
        raise ValueError(
            f"temperature must be above 0 (or None, for the likeliest token), got {temperature}."
        )

    def pick(logits: Tensor) -> Tensor:
        return torch.multinomial(torch.softmax(logits / temperature, -1), 1, generator=generator).squeeze(1)

    return pick


def greedy(logits: Tensor) -> Tensor:
    """The likeliest token."""
    return logits.argmax(-1)


class _Decoder:
    """The logits of one node after another; between two nodes `emit` is told which tokens were chosen."""

    def __init__(self, cell: EmittingCell, state: Any, first: Tensor, limit: int) -> None:
        self._cell, self._limit = cell, limit
        self._state = cell.begin(state, cell.embed(first))

    def __iter__(self) -> Iterator[Tensor]:
        # A stretch at a time: the limit may be far above the number of tokens that are emitted.
        for begin in range(0, self._limit, _AT_ONCE):
            yield from self._stretch(min(_AT_ONCE, self._limit - begin))

    def emit(self, tokens: Tensor, rows: Tensor | None = None) -> None:
        """Take the chosen tokens, for the sequences that are now in these rows (by default their own)."""
        state = self._state
        if rows is not None:
            state = type(state)(*(field.index_select(0, rows) for field in state))
        self._state = state._replace(emitted=self._cell.embed(tokens))

    def _stretch(self, length: int) -> Iterator[Tensor]:
        word = self._state.emitted
        plan = schedule(chains([length] * len(word)).to(word.device))
        nothing = word.new_zeros(plan.num_nodes, word.shape[1] + 1)
        loop = steps(self._cell, plan, nothing, self._state)
        visit = next(loop)
        for number in range(length):
            self._state = visit.state
            yield visit.state.logits
            if number < length - 1:
                visit = loop.send(self._state)


def _until_end(tokens: Tensor, end: int) -> list[list[int]]:
    rows = tokens.tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]
