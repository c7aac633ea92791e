"""Names of relations and kinds as one text, which PyG and networkx carry along without taking it for something else."""

from __future__ import annotations

import json
from typing import Any

from ..structure.written import shown


def read_names(what: str, text: Any) -> list[str]:
    """The names that `json.dumps` wrote.

    Args:
        what: whose names these are, for errors.
        text: what was written.

    Raises:
        ValueError: anything else.
    """
    try:
        names = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"{what} must be a list of names as json.dumps writes it, got {shown(text)}: mend it, or leave it out."
        )
    return names
