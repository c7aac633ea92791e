"""Equations over graphs: of one node, from its own state and those of its neighbours.

Each takes the cell, the node's own h, the list of `Message`s that come in, and the node's in-degree, that of the
neighbour being part of the message.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn, sigmoid, tanh

from .recursion import zeros


class Message(NamedTuple):
    """What comes in by one edge.

    Attributes:
        h: of the source.
        degree: the weights of the edges that enter the source, one to itself among them, added up.
        is_loop: whether the source is the node itself.
        edge_attr, relation, weight: of the edge.
    """

    h: Tensor
    degree: Tensor
    is_loop: bool
    edge_attr: Tensor
    relation: int
    weight: Tensor


GraphEquations = Callable[[Any, Tensor, list[Message], Tensor], Tensor]


def evaluate_graph(
    equations: GraphEquations, cell: nn.Module, own: Tensor, s: Any, order: list[list[int]]
) -> Tensor:
    """h of all nodes, `[N, H]`, which have their turn group after group; before it a node's h is its own.

    Args:
        equations: the cell's.
        cell: where the weights are.
        own: `[N, ·]`, h before the run.
        s: anything with the edges' tensors.
        order: groups of nodes, whose members read what stands before the group's turn; one may come several times.
    """
    weights = own.new_ones(s.num_edges) if s.edge_weight is None else s.edge_weight
    edges = list(
        zip(*s.edge_index.tolist(), s.edge_attr.unbind(), s.relation.tolist(), weights.unbind(), strict=True)
    )
    # A loop is an edge to itself that every node has; where there are some already the last one counts for that.
    degree = [
        last_loop(edges, v, own) + sum(e[4] for e in edges if e[0] != e[1] == v) for v in range(len(own))
    ]
    h = list(own)
    for group in order:
        new = {}
        for node in group:
            inbox = [
                Message(h[u], degree[u], u == v, attr, relation, weight)
                for u, v, attr, relation, weight in edges
                if v == node
            ]
            new[node] = equations(cell, h[node], inbox, degree[node])
        for node, state in new.items():
            h[node] = state
    return torch.stack(h)


def last_loop(edges: list, node: int, like: Tensor) -> Tensor:
    return [like.new_ones(()), *(weight for u, v, _, _, weight in edges if u == v == node)][-1]


def gcn(cell: Any, own: Tensor, inbox: list[Message], degree: Tensor) -> Tensor:
    """Kipf & Welling (2017), equation (2): sum_u a_uv W h_u / sqrt(d_u d_v), a node being its own neighbour."""
    W = cell.lin.weight
    others = (m.weight * (W @ m.h) / (m.degree * degree) ** 0.5 for m in inbox if not m.is_loop)
    loop = [1, *(m.weight for m in inbox if m.is_loop)][-1]
    return sum(others, zeros(W)) + loop * (W @ own) / degree + cell.bias


def sage(cell: Any, own: Tensor, inbox: list[Message], degree: Tensor) -> Tensor:
    """Hamilton, Ying & Leskovec (2017), algorithm 1."""
    mean = sum((m.h for m in inbox), torch.zeros_like(own)) / max(len(inbox), 1)
    return cell.lin_l.weight @ mean + cell.lin_l.bias + cell.lin_r.weight @ own


def gin(cell: Any, own: Tensor, inbox: list[Message], degree: Tensor) -> Tensor:
    """Xu et al. (2019), equation (4.1)."""
    return cell.nn((1 + cell.eps) * own + sum((m.h for m in inbox), torch.zeros_like(own)))


def gat(cell: Any, own: Tensor, inbox: list[Message], degree: Tensor) -> Tensor:
    """Veličković et al. (2018), equations (1) to (5)."""

    def heads(h: Tensor) -> Tensor:
        return (cell.lin.weight @ h).view(cell.heads, -1)

    sources = [own, *(m.h for m in inbox if not m.is_loop)]
    score = torch.stack(
        [
            F.leaky_relu((heads(h) * cell.att_src[0]).sum(-1) + (heads(own) * cell.att_dst[0]).sum(-1), 0.2)
            for h in sources
        ]
    )
    share = torch.softmax(score, 0)
    return sum(a[:, None] * heads(h) for a, h in zip(share, sources, strict=True)).flatten() + cell.bias


def gatv2(cell: Any, own: Tensor, inbox: list[Message], degree: Tensor) -> Tensor:
    """Brody, Alon & Yahav (2022), equation (7)."""

    def heads(layer: nn.Linear, h: Tensor) -> Tensor:
        return layer(h).view(cell.heads, -1)

    sources = [own, *(m.h for m in inbox if not m.is_loop)]
    both = [F.leaky_relu(heads(cell.lin_l, h) + heads(cell.lin_r, own), 0.2) for h in sources]
    share = torch.softmax(torch.stack([(cell.att[0] * z).sum(-1) for z in both]), 0)
    terms = (a[:, None] * heads(cell.lin_l, h) for a, h in zip(share, sources, strict=True))
    return sum(terms).flatten() + cell.bias


def gru(rnn: Any, x: Tensor, h: Tensor) -> Tensor:
    """Cho et al. (2014), with the reset after the product."""
    (W_r, W_z, W_n), (U_r, U_z, U_n) = rnn.weight_ih.chunk(3), rnn.weight_hh.chunk(3)
    (b_r, b_z, b_n), (d_r, d_z, d_n) = rnn.bias_ih.chunk(3), rnn.bias_hh.chunk(3)
    r = sigmoid(W_r @ x + b_r + U_r @ h + d_r)
    z = sigmoid(W_z @ x + b_z + U_z @ h + d_z)
    n = tanh(W_n @ x + b_n + r * (U_n @ h + d_n))
    return (1 - z) * n + z * h


def ggnn(cell: Any, own: Tensor, inbox: list[Message], degree: Tensor) -> Tensor:
    """Li et al. (2016), equations (2) to (6)."""
    m = sum((m.weight * (cell.weight[m.relation].t() @ m.h) for m in inbox), torch.zeros_like(own))
    return gru(cell.rnn, m, own)


def mpnn(cell: Any, own: Tensor, inbox: list[Message], degree: Tensor) -> Tensor:
    """Gilmer et al. (2017), section 5."""
    A = [cell.nn(m.edge_attr).view(len(own), len(own)) for m in inbox]
    return gru(cell.rnn, sum((m.h @ a for a, m in zip(A, inbox, strict=True)), torch.zeros_like(own)), own)


def dag_rnn(cell: Any, x: Tensor, inbox: list) -> tuple[Tensor]:
    """Shuai et al. (2016), equation (3)."""
    total = sum((h for _, (h,) in inbox), zeros(cell.recurrent.weight))
    return (torch.relu(cell.input.weight @ x + cell.input.bias + cell.recurrent.weight @ total),)


def dagnn(cell: Any, x: Tensor, inbox: list) -> tuple[Tensor]:
    """Thost & Chen (2021), equations (5) and (6)."""
    m = zeros(cell.recurrent.weight[: cell.hidden])
    if inbox:
        share = torch.softmax(torch.stack([cell.score.weight[0] @ h for _, (h,) in inbox]), 0)
        m = sum(a * h for a, (_, (h,)) in zip(share, inbox, strict=True))
    return (gru_of(cell, x, m),)


def dvae(cell: Any, x: Tensor, inbox: list) -> tuple[Tensor]:
    """Zhang et al. (2019), equations (2) to (4)."""
    m = zeros(cell.map.weight)
    for _, (h,) in inbox:
        m = m + sigmoid(cell.gate.weight @ h + cell.gate.bias) * (cell.map.weight @ h)
    return (gru_of(cell, x, m),)


def gru_of(cell: Any, x: Tensor, before: Tensor) -> Tensor:
    weights = (cell.input.weight, cell.recurrent.weight, cell.input.bias, cell.recurrent.bias)
    return gru(SimpleNamespace(**dict(zip(GRU_WEIGHTS, weights, strict=True))), x, before)


GRU_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
