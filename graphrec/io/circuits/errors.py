"""How the readers of circuits report errors."""

from __future__ import annotations


def fault(source: str, place: str, what: str, mend: str) -> ValueError:
    """An error in a circuit's file.

    Args:
        source: the file, or "" where the text came without one.
        place: `line 3`, counted from 1, or `byte 17`, counted from 0.
        what: what was expected, and what came.
        mend: what to do.
    """
    return ValueError(f"{source}, {place}: {what}. {mend}." if source else f"{place}: {what}. {mend}.")


def quoted(text: str) -> str:
    """A text in quotes, cut where it is long."""
    return repr(text) if len(text) <= 80 else f"{text[:80]!r}… ({len(text)} characters)"
