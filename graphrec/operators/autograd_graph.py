"""The graph that autograd has recorded, read from its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor


def graph_from(*roots: Any) -> Iterator[Any]:
    """All nodes of autograd's graph behind these, and these."""
    waiting = [root for root in roots if root is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)


def leaves_behind(*roots: Any) -> dict[Tensor, None]:
    """The leaves at which that graph ends, each once."""
    return dict.fromkeys(node.variable for node in graph_from(*roots) if hasattr(node, "variable"))
