"""Streams cut into episodes: the chains from one beginning to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..structure import Structure, chains


@dataclass(frozen=True)
class Episodes:
    """The episodes of B streams over M steps, stream after stream.

    Attributes:
        structure: their chains, numbered as the rows of `[B, M, D]`.
        stream: `[G]` long, the stream of each episode.
        goes_on: `[G]` bool, whether it has begun in an earlier call.
        last_of: `[B]` long, the last episode of each stream.
    """

    structure: Structure
    stream: Tensor
    goes_on: Tensor
    last_of: Tensor

    @classmethod
    def of(cls, begins: Tensor) -> Episodes:
        """Args: begins: `[B, M]` bool, the steps at which a stream begins again."""
        cuts = begins.clone()
        cuts[:, 0] = True
        at = cuts.flatten().nonzero().flatten()
        lengths = torch.diff(at, append=at.new_tensor([cuts.numel()]))
        stream = torch.div(at, cuts.shape[1], rounding_mode="floor")
        return cls(
            chains(lengths.cpu()).to(begins.device),
            stream,
            ~begins.flatten()[at],
            cuts.sum(dim=1).cumsum(0) - 1,
        )

    @property
    def count(self) -> int:
        """G."""
        return len(self.stream)

    def begin_with(self, carried: Any, first: Any) -> Any:
        """The initial State of the episodes: `[B, ·]` carried over from the last call, or else the first, `[G, ·]`."""
        fields = []
        for previous, initial in zip(carried, first, strict=True):
            goes_on = self.goes_on.view(-1, *[1] * (initial.dim() - 1))
            fields.append(torch.where(goes_on, previous.index_select(0, self.stream), initial))
        return type(first)(*fields)

    def last(self, final: Any) -> list[Tensor]:
        """The fields of a State `[G, ·]` at the end of each stream, `[B, ·]`."""
        return [field.index_select(0, self.last_of) for field in final]
