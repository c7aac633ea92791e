"""The sink of each graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .derived import derived
from .plan import Schedule


class Sinks(NamedTuple):
    """The nodes that no edge leaves.

    Attributes:
        node: `[G]`, the sink of each graph (of several, the one with the highest number), or -1.
        everywhere: whether every graph has one.
        odd: a graph with nodes but not exactly one sink, or -1.
        odd_sinks: how many it has.
    """

    node: Tensor
    everywhere: bool
    odd: int
    odd_sinks: int = 0

    def checked(self) -> Sinks:
        """Itself.

        Raises:
            ValueError: a graph with nodes but not exactly one sink.
        """
        if self.odd >= 0:
            raise ValueError(
                f"a final state is that of the one node that no edge leaves, but graph {self.odd} has {self.odd_sinks} "
                f"of them: give each part a graph of its own (as graphrec.episodes does for rollouts with resets), use "
                "a readout of all nodes (or of all such nodes, graphrec.readout.ends), or run without asking for "
                "states."
            )
        return self


@derived
def sinks(plan: Schedule) -> Sinks:
    """The sinks of a schedule's structure."""
    structure = plan.structure
    out_degree = torch.bincount(structure.source, minlength=structure.num_nodes)
    found = (out_degree == 0).nonzero().flatten()
    node = torch.full((structure.num_graphs,), -1, device=structure.device)
    node = node.scatter_reduce(0, structure.graph[found], found, "amax")
    count = torch.bincount(structure.graph[found], minlength=structure.num_graphs)
    wanted = torch.bincount(structure.graph, minlength=structure.num_graphs).clamp(max=1)
    odd = (count != wanted).nonzero().flatten()
    first, of_first = (int(odd[0]), int(count[odd[0]])) if len(odd) else (-1, 0)
    return Sinks(node, bool((node >= 0).all()), first, of_first)
