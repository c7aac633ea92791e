"""Which nodes a node depends on, and over how many hops."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from ..structure import Structure


class Ancestors:
    """Looks up the ancestors of nodes in a structure without cycles, by scipy."""

    def __init__(self, s: Structure) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        source, target = s.edge_index.cpu().numpy()
        size = (s.num_nodes, s.num_nodes)
        self._against = coo_array((np.ones(len(source)), (target, source)), shape=size).tocsr()
        _, self._component = connected_components(self._against, directed=False)

    def apart(self, nodes: Tensor) -> list[Tensor]:
        """The nodes in groups, in which no two have a common ancestor: each is of another connected part.

        As many groups as there are of these nodes in the part that has the most.
        """
        groups: dict[int, list[int]] = defaultdict(list)
        seen: dict[int, int] = defaultdict(int)
        for node in nodes.tolist():
            part = int(self._component[node])
            groups[seen[part]].append(node)
            seen[part] += 1
        return [torch.tensor(group) for group in groups.values()]

    def of(self, group: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The ancestors of a group's nodes, including themselves: pairs of target and ancestor, and the hops.

        Hops are the edges of the shortest path. All `[P]` long.
        """
        from scipy.sparse.csgraph import dijkstra

        hops = dijkstra(self._against, indices=group.numpy(), unweighted=True, min_only=True)
        ancestor = np.isfinite(hops).nonzero()[0]
        target_in = np.zeros(self._component.max() + 1, dtype=np.int64)
        target_in[self._component[group]] = group
        target = target_in[self._component[ancestor]]
        return torch.from_numpy(target), torch.from_numpy(ancestor), torch.from_numpy(hops[ancestor]).long()
