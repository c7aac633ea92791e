"""Parts of a structure that threads run side by side: its graphs, or the subtrees below (or above) a narrow top."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...schedule import Schedule, levels

# So few nodes are hardly worth a second thread, and parts make more and smaller tiles of them.
FEW_NODES = 512
# So many of one level are worth a barrier after it.
WIDE = 64
# Of what levels cost, parts must cost this at most: where levels are wide, one tree gains nothing by them.
GAIN = 0.8


class Parts(NamedTuple):
    """Which nodes are run one after another by one thread, and which of these parts side by side.

    Attributes:
        of: `[N]`, the part of each node of the structure.
        stage: of each part. Parts of one stage do not depend on each other, but on those of earlier ones.
    """

    of: Tensor
    stage: list[int]


def parts(plan: Schedule, count: int) -> Parts | None:
    """As many parts of about as many nodes; None where threads had better share each level."""
    s = plan.structure
    if count < 2 or plan.mode == "sync":
        return None
    if s.num_graphs > 1:
        if bool((s.graph[s.source] != s.graph[s.target]).any()):
            return None
        sizes = torch.bincount(s.graph, minlength=s.num_graphs)
        return Parts(_shared_out(sizes, count)[s.graph], [0] * count)
    if s.num_nodes < FEW_NODES or not s.num_edges or plan.cycles is not None or plan.sweeps is not None:
        return None
    if int(torch.bincount(s.target).max()) == 1:
        return _by_subtrees(levels(s), s.source, s.target, count, top_is_first=True)
    if int(torch.bincount(s.source).max()) == 1:
        return _by_subtrees(levels(s.reverse()), s.target, s.source, count, top_is_first=False)
    return None


def _by_subtrees(
    depth: Tensor, parent: Tensor, child: Tensor, count: int, top_is_first: bool
) -> Parts | None:
    """The nodes of little depth as one stage, the subtrees below them, shared out, as the other."""
    nodes, width = len(depth), torch.bincount(depth)
    # What it costs, in nodes one after another: threads share the levels that are worth it.
    shared = torch.where(width < WIDE, width, torch.div(width, count, rounding_mode="floor") + 1)
    best, found = GAIN * int(shared.sum()), None
    cuts = [(width >= wanted).nonzero().flatten()[:1] for wanted in (count, 4 * count)]
    pointer = torch.arange(nodes, device=depth.device)
    pointer[child] = parent
    for cut in torch.cat(cuts).unique().tolist():
        root = torch.where(depth > cut, pointer, torch.arange(nodes, device=depth.device))
        for _ in range((len(width) - cut).bit_length()):
            root = root[root]
        below = depth >= cut
        sizes = torch.bincount(root[below], minlength=nodes)
        part = torch.where(below, _shared_out(sizes, count)[root] + 1, 0)
        cost = nodes - int(sizes.sum()) + int(torch.bincount(part, minlength=2)[1:].max())
        if cost < best:
            best, found = cost, part
    if found is None:
        return None
    if top_is_first:
        return Parts(found, [0] + [1] * count)
    return Parts((found - 1) % (count + 1), [0] * count + [1])


def _shared_out(sizes: Tensor, count: int) -> Tensor:
    """`[G]`, the part of each of what has these sizes: the largest first, forwards and backwards in turn."""
    order = torch.argsort(sizes, descending=True, stable=True)
    turn = torch.arange(len(order), device=sizes.device) % (2 * count)
    part = torch.empty_like(order)
    part[order] = torch.where(turn < count, turn, 2 * count - 1 - turn)
    return part
