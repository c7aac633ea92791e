"""DGL 1.1.3: message passing by frontiers of nodes, in two formulations.

DGL's own example leaves the input out of the forget gate; here it is in, as in the paper and in all other
contenders. Both formulations are kinder to DGL than its example: frontiers are found once, not at every
call; leaves are done at once, outside the propagation; and (h, c) is one feature, because DGL copies a whole
feature for every frontier that writes to it.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from .contender import Layer, TorchContender, Unavailable, assign, leaf

Batch = Any  # DGL's view of the edges or nodes at hand


def load() -> Any:
    """The package.

    Raises:
        Unavailable: it is not there or does not load.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")  # unset, dgl makes itself a folder in the home folder
    try:
        import dgl
    except Exception as error:  # dgl's compiled parts fail in their own ways, depending on torch and Python
        raise Unavailable.because("dgl", error, "wheels of 1.1.3 end at Python 3.11") from error
    return dgl


class _Cell(nn.Module):
    def __init__(self, layer: Layer) -> None:
        super().__init__()
        inputs, hidden = layer.x.shape[1], layer.hidden
        self.input = nn.Linear(inputs, 4 * hidden)
        self.iou = nn.Linear(hidden, 3 * hidden, bias=False)
        self.forget = nn.Linear(hidden, hidden, bias=False)
        assign(self.input.weight, layer.weights.input)
        assign(self.input.bias, layer.weights.bias)
        assign(self.iou.weight, layer.weights.iou)
        assign(self.forget.weight, layer.weights.forget)


class _DGL(TorchContender):
    def __init__(self, layer: Layer) -> None:
        dgl = load()
        child, parent = layer.edge_index
        self.graph = dgl.graph((child, parent), num_nodes=layer.nodes)
        self.leaves, *self.frontiers = dgl.topological_nodes_generator(self.graph)
        self.hidden = layer.hidden
        self.x, self.upstream, self.model = leaf(layer.x), layer.upstream, _Cell(layer)

    def recurrent_weights(self) -> tuple[Tensor, Tensor]:
        return self.model.iou.weight, self.model.forget.weight

    def forward(self) -> Tensor:
        graph, hidden = self.graph, self.hidden
        with graph.local_scope():
            projected = self.model.input(self.x)
            graph.ndata["iou"], graph.ndata["f"] = projected[:, : 3 * hidden], projected[:, 3 * hidden :]
            graph.ndata["state"] = self.x.new_zeros(graph.num_nodes(), 2 * hidden)
            graph.apply_nodes(lambda nodes: self._state(nodes.data["iou"], None), self.leaves)
            self._propagate()
            return graph.ndata["state"][:, :hidden]

    def _propagate(self) -> None:
        raise NotImplementedError

    @staticmethod
    def _state(iou: Tensor, remembered: Tensor | None) -> dict[str, Tensor]:
        i, o, u = iou.chunk(3, dim=1)
        c = torch.sigmoid(i) * torch.tanh(u)
        if remembered is not None:
            c = c + remembered
        return {"state": torch.cat([torch.sigmoid(o) * torch.tanh(c), c], dim=1)}


class DGLMailbox(_DGL):
    """The reduce function sees the children's states in a mailbox, and computes the whole cell."""

    name = "dgl, mailbox"

    def _propagate(self) -> None:
        self.graph.prop_nodes(self.frontiers, lambda edges: {"child": edges.src["state"]}, self._reduce)

    def _reduce(self, nodes: Batch) -> dict[str, Tensor]:
        h, c = nodes.mailbox["child"].chunk(2, dim=2)  # [n, children, H]
        f = torch.sigmoid(nodes.data["f"].unsqueeze(1) + self.model.forget(h))
        return self._state(nodes.data["iou"] + self.model.iou(h.sum(1)), (f * c).sum(1))


class DGLSum(_DGL):
    """Forget gates on the edges, and DGL's own sum to add messages up."""

    name = "dgl, sum"

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.sum = load().function.sum("message", "state")

    def _propagate(self) -> None:
        self.graph.prop_nodes(self.frontiers, self._message, self.sum, self._apply)

    def _message(self, edges: Batch) -> dict[str, Tensor]:
        h, c = edges.src["state"].chunk(2, dim=1)
        f = torch.sigmoid(edges.dst["f"] + self.model.forget(h))
        return {"message": torch.cat([h, f * c], dim=1)}

    def _apply(self, nodes: Batch) -> dict[str, Tensor]:
        h_sum, remembered = nodes.data["state"].chunk(2, dim=1)
        return self._state(nodes.data["iou"] + self.model.iou(h_sum), remembered)
