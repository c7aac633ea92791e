"""Strongly connected components: which nodes depend on themselves, and how the components depend on each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..structure import Structure
from ..structure.outside import outside
from .levels import longest_paths

if TYPE_CHECKING:
    from scipy.sparse import coo_matrix


class Components(NamedTuple):
    """The strongly connected components of a structure.

    Attributes:
        component: `[N]` long, the component of each node.
        is_cyclic: `[N]` bool, whether the node depends on itself.
        level: `[N]` long, the step in which the node's component is updated. Components of a step do not depend on
            each other, and either all of them are cyclic or none.
        any: whether there is a cycle at all.
    """

    component: Tensor
    is_cyclic: Tensor
    level: Tensor
    any: bool


def components(structure: Structure) -> Components:
    """In dependency order; computed once per structure.

    Tarjan, *Depth-first search and linear graph algorithms*, SIAM J. Comput. 1 (1972), by scipy.
    """
    if "components" not in structure.cache:
        with outside():
            structure.cache["components"] = _components(structure)
    return structure.cache["components"]


def adjacency(structure: Structure) -> coo_matrix:
    """The edges as a scipy matrix, `[N, N]`: from the row's node to the column's."""
    from scipy.sparse import coo_matrix

    source, target = structure.edge_index.cpu().numpy()
    size = structure.num_nodes
    return coo_matrix((np.ones(len(source), dtype=bool), (source, target)), shape=(size, size))


def _components(structure: Structure) -> Components:
    from scipy.sparse.csgraph import connected_components

    source, target = structure.edge_index.cpu().numpy()
    count, component = connected_components(adjacency(structure), directed=True, connection="strong")
    component = component.astype(np.int64)
    cyclic = np.bincount(component, minlength=count) > 1
    cyclic[component[source[source == target]]] = True
    between = component[source] != component[target]
    before, after = (torch.from_numpy(component[end[between]]) for end in (source, target))
    level = longest_paths(before, after, count).numpy()
    # Within a level the acyclic ones come first, in a step of their own: they are updated once.
    steps = (2 * level + cyclic)[component]
    _, steps = np.unique(steps, return_inverse=True)
    found = (component, cyclic[component], steps.astype(np.int64))
    return Components(
        *(torch.from_numpy(part).to(structure.device) for part in found), any=bool(cyclic.any())
    )
