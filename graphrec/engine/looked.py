"""What a cell looks up while it runs: fields that cost nothing until they are read."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Fetch = Callable[[str], Tensor]


class Looked:
    """Attributes that are looked up when first read, so that what a cell does not read costs nothing."""

    def __init__(self, fields: tuple[str, ...], fetch: Fetch) -> None:
        self._fields = fields
        self._fetch = fetch
        self._with_grad = torch.is_grad_enabled()

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(f"no field {name!r} here, there are {', '.join(self._fields)}.")
        # What is fetched is kept, for others too: it must not lack a gradient because a cell looks without one first.
        with torch.set_grad_enabled(self._with_grad):
            value = self._fetch(name)
        self.__dict__[name] = value
        return value


class Own(Looked):
    """The nodes' previous state: zeros or the given initial state in async, the last round's in sync."""

    def __iter__(self):
        return (getattr(self, name) for name in self._fields)

    def __getitem__(self, index: int) -> Tensor:
        return getattr(self, self._fields[index])
