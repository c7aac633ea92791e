"""Where the nodes of a page stand: each connected part by what it is, and all parts side by side in rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from ..schedule import CycleError, levels
from ..structure import Structure, dag
from .layered import Routes, route
from .layout import tidy
from .spring import spring

ASPECT = 1.6  # width to height of a page
LEVEL_GAP = (1.5, 80.0)  # between levels, where neighbours on a level are 1 apart
NONE = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)


def arrange(structure: Structure) -> Routes:
    """Right and down, for each node and bend of a structure, about 1 apart.

    Chains run from left to right, long ones there and back; trees read upwards have their root on top, those
    read downwards on the left; other DAGs stand by levels from left to right (`route`); graphs with cycles by `spring`.
    """
    incoming, outgoing = (
        torch.bincount(ends, minlength=structure.num_nodes) for ends in (structure.target, structure.source)
    )
    most_in, most_out = (int(count.max()) if len(count) else 0 for count in (incoming, outgoing))
    try:
        level = levels(structure)
    except CycleError:
        return _pack(structure, _apart(structure, spring))
    if most_in <= 1 and most_out <= 1:
        return _pack(structure, _lines(structure, level))
    if most_out <= 1:
        return _pack(structure, tidy(structure) * torch.tensor([1.0, -1.0]), levels_on=1)
    if most_in <= 1:
        at = tidy(structure.reverse()) * torch.tensor([1.0, -1.0])
        return _pack(structure, at.flip(1), levels_on=0)
    found = route(level, structure.source, structure.target)
    return _pack(structure, Routes(found.at.flip(1), found.bends.flip(1), found.edge), levels_on=0)


def parts_of(structure: Structure) -> np.ndarray:
    """`[N]`: the number of the connected part of each node; parts are numbered as their first nodes are."""
    count = structure.num_nodes
    source, target = structure.edge_index.numpy(force=True)
    links = coo_array((np.ones(len(source)), (source, target)), shape=(count, count))
    return connected_components(links, directed=False)[1]


def _lines(structure: Structure, level: Tensor) -> Tensor:
    """Chains from left to right, long ones in lines that run there and back; there are as many as fill a page."""
    longest = int(level.max()) + 1 if len(level) else 1
    length = min(longest, max(12, int((2 * ASPECT * structure.num_nodes) ** 0.5)))
    line, place = level // length, level % length
    return torch.stack([torch.where(line % 2 == 1, length - 1 - place, place), 2 * line], dim=1).float()


def _apart(structure: Structure, place: Callable[[Structure], Tensor]) -> Tensor:
    """Each connected part placed by itself."""
    part = torch.from_numpy(parts_of(structure))
    at = torch.zeros(structure.num_nodes, 2)
    nodes = torch.argsort(part, stable=True)
    number = torch.empty_like(nodes)
    sizes = torch.bincount(part)
    number[nodes] = torch.arange(len(nodes)) - torch.repeat_interleave(torch.cumsum(sizes, 0) - sizes, sizes)
    by_part = torch.argsort(part[structure.source], stable=True)
    edges = number[structure.edge_index[:, by_part]]
    counts = torch.bincount(part[structure.source], minlength=len(sizes)).tolist()
    for members, own in zip(nodes.split(sizes.tolist()), edges.split(counts, dim=1), strict=True):
        at[members] = place(dag(own, len(members)))
    return at


def _pack(structure: Structure, found: Tensor | Routes, levels_on: int | None = None) -> Routes:
    """The connected parts side by side in rows, which together fill a page.

    Where levels are on an axis, each part is stretched along it, within limits, until it fills a page and no stripe.
    """
    routes = found if isinstance(found, Routes) else Routes(found, *NONE)
    if not structure.num_nodes:
        return routes
    part = parts_of(structure)
    every = torch.cat([routes.at, routes.bends]).numpy()
    of = np.concatenate([part, part[structure.source.numpy(force=True)[routes.edge.numpy()]]])
    count = part.max() + 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, of, every)
    np.maximum.at(high, of, every)
    stretch = np.ones((count, 2))
    if levels_on is not None:
        wide, tall = (high - low + 1.0).T
        fitting = wide / tall / ASPECT if levels_on else tall * ASPECT / wide
        stretch[:, levels_on] = fitting.clip(*LEVEL_GAP)
        stretch[:, 1 - levels_on] = (LEVEL_GAP[0] / fitting).clip(1.0, 2.0)
    size = (high - low) * stretch + 2.0
    width = max(size[:, 0].max(), (ASPECT * size.prod(axis=1).sum()) ** 0.5)
    corner, right, top, bottom = np.zeros((count, 2)), 0.0, 0.0, 0.0
    for number, (wide, tall) in enumerate(size.tolist()):
        if right and right + wide > width:
            right, top = 0.0, bottom
        corner[number] = right, top
        right, bottom = right + wide, max(bottom, top + tall)
    placed = torch.from_numpy((every - low[of]) * stretch[of] + corner[of]).float()
    return Routes(placed[: structure.num_nodes], placed[structure.num_nodes :], routes.edge)
