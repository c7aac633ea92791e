"""pytorch-tree-lstm (package `treelstm`): one level at a time, with masks over all nodes and edges."""

from __future__ import annotations

import torch
from torch import Tensor

from .contender import Layer, TorchContender, Unavailable, assign, leaf


class PyTorchTreeLSTM(TorchContender):
    """Its `TreeLSTM` as it is; the evaluation orders are computed beforehand, as its docstrings advise."""

    name = "pytorch-tree-lstm"

    def __init__(self, layer: Layer) -> None:
        try:
            import treelstm
        except ImportError as error:
            raise Unavailable.because("treelstm", error, "pip install pytorch-tree-lstm") from error
        hidden, weights = layer.hidden, layer.weights
        # It splits a level's edges by runs of equal parents, which must come in the order of the nodes.
        child, parent = layer.edge_index[:, torch.argsort(layer.edge_index[1], stable=True)]
        self.adjacency = torch.stack([parent, child], dim=1)
        orders = treelstm.calculate_evaluation_orders(self.adjacency, layer.nodes)
        self.node_order, self.edge_order = map(torch.from_numpy, orders)
        self.x, self.upstream = leaf(layer.x), layer.upstream
        self.model = treelstm.TreeLSTM(layer.x.shape[1], hidden)
        assign(self.model.W_iou.weight, weights.input[: 3 * hidden])
        assign(self.model.W_iou.bias, weights.bias[: 3 * hidden])
        assign(self.model.W_f.weight, weights.input[3 * hidden :])
        assign(self.model.W_f.bias, weights.bias[3 * hidden :])
        assign(self.model.U_iou.weight, weights.iou)
        assign(self.model.U_f.weight, weights.forget)

    def recurrent_weights(self) -> tuple[Tensor, Tensor]:
        return self.model.U_iou.weight, self.model.U_f.weight

    def forward(self) -> Tensor:
        return self.model(self.x, self.node_order, self.adjacency, self.edge_order)[0]
