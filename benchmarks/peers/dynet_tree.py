"""DyNet with autobatching: equations are written per node, DyNet finds what can run together.

Its graph is built anew at every run: that is how DyNet is used, so it is inside the timing. The wheel runs on
one thread. Its own Tree-LSTM builder is not reachable from Python, so the equations are written out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .contender import Contender, Layer, Results, Unavailable

Expression = Any  # a node of DyNet's graph


def _load() -> Any:
    try:
        import dynet_config

        # Read when dynet is imported. Megabytes for values, gradients, parameters, scratch, all taken at once:
        # with autobatching DyNet cannot ask for more later. The largest setting needs about 500 of the first.
        dynet_config.set(mem="768,768,128,128", autobatch=1, random_seed=1)
        import dynet
    except Exception as error:  # compiled for particular Pythons and numpys, which shows in many ways
        raise Unavailable.because("dynet", error, "wheels of dyNET38 end at Python 3.11") from error
    return dynet


class DyNet(Contender):
    """Inputs are rows of a lookup table, as word vectors are in DyNet: so they have gradients too."""

    name = "DyNet, autobatch"

    def __init__(self, layer: Layer) -> None:
        self.dy = dy = _load()
        self.children: list[list[int]] = [[] for _ in range(layer.nodes)]
        for child, parent in layer.edge_index.T.tolist():
            self.children[parent].append(child)
        self.upstream = layer.upstream.T.numpy()
        self.collection = parameters = dy.ParameterCollection()  # owns their memory: must outlive their use
        self.x = parameters.lookup_parameters_from_numpy(layer.x.numpy())
        weights = layer.weights
        # One parameter per gate, i, o, u, f: faster in DyNet than slices of one product.
        self.w = [parameters.parameters_from_numpy(part.numpy()) for part in weights.input.chunk(4)]
        self.b = [parameters.parameters_from_numpy(part.numpy()) for part in weights.bias.chunk(4)]
        recurrent = (*weights.iou.chunk(3), weights.forget)
        self.u = [parameters.parameters_from_numpy(part.numpy()) for part in recurrent]
        self.parameters = [self.x, *self.w, *self.b, *self.u]

    def _graph(self) -> Expression:
        """`[H, N]`: the states of all nodes, as a graph that is not yet run."""
        dy = self.dy
        dy.renew_cg()
        gates = list(zip(self.b[:3], self.w[:3], self.u[:3], strict=True))
        forget = self.u[3]
        h: list[Expression] = []
        c: list[Expression] = []
        for node, children in enumerate(self.children):
            x = self.x[node]
            if children:
                h_sum = dy.esum([h[child] for child in children])
                i, o, u = (dy.affine_transform([b, w, x, r, h_sum]) for b, w, r in gates)
                x_f = dy.affine_transform([self.b[3], self.w[3], x])
                kept = [dy.cmult(dy.logistic(x_f + forget * h[child]), c[child]) for child in children]
                c.append(dy.esum([dy.cmult(dy.logistic(i), dy.tanh(u)), *kept]))
            else:
                i, o, u = (dy.affine_transform([b, w, x]) for b, w, _ in gates)
                c.append(dy.cmult(dy.logistic(i), dy.tanh(u)))
            h.append(dy.cmult(dy.logistic(o), dy.tanh(c[-1])))
        return dy.concatenate_cols(h)

    def train(self) -> None:
        self._train()

    def _train(self) -> Expression:
        for parameter in self.parameters:
            parameter.scale_gradient(0.0)
        h = self._graph()
        # DyNet goes back from a scalar only; this one has the upstream gradient.
        loss = self.dy.sum_elems(self.dy.cmult(h, self.dy.inputTensor(self.upstream)))
        loss.forward()
        loss.backward()
        return h

    def infer(self) -> None:
        self._graph().forward()

    def results(self) -> Results:
        h = torch.from_numpy(self._train().npvalue().T.copy())
        return Results(h, _grad(self.x), torch.cat([_grad(u) for u in self.u[:3]]), _grad(self.u[3]))


def _grad(parameter: Any) -> Tensor:
    return torch.from_numpy(parameter.grad_as_array().copy())
