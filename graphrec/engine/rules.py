"""The rule by which runs are differentiated, where the caller gave one; see `graphrec.learning`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_rule: ContextVar[Any] = ContextVar("rule", default=None)


def rule_in_force() -> Any:
    """The rule to which the next run is handed, or None: plain autograd."""
    return _rule.get()


@contextmanager
def differentiated_by(rule: Any) -> Iterator[None]:
    """In this context every run is handed to the rule; None: to none, as for the runs that a rule does itself."""
    token = _rule.set(rule)
    try:
        yield
    finally:
        _rule.reset(token)
