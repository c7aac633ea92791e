"""Which backends this installation has, and why one is missing."""

from __future__ import annotations

from typing import NamedTuple

from .choice import BACKENDS
from .runner import Loop


class Backend(NamedTuple):
    """A backend, as this installation has it.

    Attributes:
        name: as in `backend=` and `explain`.
        about: what it runs, and with what.
        missing: why it is not available here; None: it is.
    """

    name: str
    about: str
    missing: str | None

    def __str__(self) -> str:
        return f"{self.name}: " + (f"not available, {self.missing}" if self.missing else self.about)


class Backends(tuple[Backend, ...]):
    """All backends, the fastest first; prints as one line each."""

    def __repr__(self) -> str:
        return "\n".join(map(str, self))


def backends() -> Backends:
    """Which backends there are, the fastest first, and which of them this installation has.

    What of them runs a given model, `explain` says.
    """
    return Backends(Backend(kind.name, kind.describe(), kind.missing()) for kind in (*BACKENDS, Loop))
