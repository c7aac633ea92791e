"""DGL 1.1.3: a graph convolution in dependency order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .dgl_tree import load


def in_order(conv: Any, edges: Tensor, num_nodes: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """The two ways in which DGL runs `GraphConv`, W_1 x_v + W_2 sum h_u, over a DAG, by name.

    As it is written in DGL's guide, `prop_nodes_topo`, which finds the frontiers at every call; and kinder,
    `prop_nodes` over frontiers found once. Messages and sums are DGL's built-in ones.

    Raises:
        Unavailable: DGL is not there or does not load.
    """
    dgl = load()
    graph = dgl.graph((edges[0], edges[1]), num_nodes=num_nodes)
    frontiers = dgl.topological_nodes_generator(graph)
    copy, add = dgl.function.copy_u("h", "message"), dgl.function.sum("message", "sum")

    def update(nodes: Any) -> dict[str, Tensor]:
        return {"h": nodes.data["x"] + conv.lin_rel(nodes.data["sum"])}

    def run(x: Tensor, walk: Callable[[], None]) -> Tensor:
        with graph.local_scope():
            graph.ndata["x"], graph.ndata["h"] = conv.lin_root(x), torch.zeros_like(x)
            graph.ndata["sum"] = torch.zeros_like(x)
            walk()
            return graph.ndata["h"]

    return {
        "dgl, prop_nodes_topo": lambda x: run(
            x, lambda: dgl.prop_nodes_topo(graph, copy, add, apply_node_func=update)
        ),
        "dgl, frontiers made before": lambda x: run(
            x, lambda: graph.prop_nodes(frontiers, copy, add, update)
        ),
    }
