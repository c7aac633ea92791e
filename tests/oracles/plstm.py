"""pLSTM (Pöppel et al., 2025): the recurrence of one edge, and the network as a sum over all paths."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, sigmoid, tanh

from .recursion import Inbox, State


def plstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Equation (5): C_e = sum_{e'} T_{ee'} C_{e'} + k v^T for each head; the source gate is in v."""
    H, K, V, slots = cell.heads, cell.keys, cell.values, cell.arity or 1
    T, k, v = x[: slots * H].view(slots, H), x[slots * H :][: H * K].view(H, K), x[-H * V :].view(H, V)
    heads = []
    for head in range(H):
        C = torch.outer(k[head], v[head])
        for slot, (before,) in inbox:
            C = C + T[slot, head] * before.view(H, K, V)[head]
        heads.append(C)
    return (torch.stack(heads).flatten(),)


def plstm_alike(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """The same with one transition for all e'."""
    return plstm(cell, x, [(0, before) for _, before in inbox])


def plstm_by_paths(
    model: Any, x: Tensor, edges: list, pairs: set[tuple[int, int]], features: Tensor | None = None
) -> Tensor:
    """Equation (7): h of a node is the sum over all paths of edges that end in it, of mark, transitions and source.

    Args:
        model: where the weights are.
        x: `[N, D]`.
        edges: `(source, target, slot)` of each.
        pairs: which edge (its number) goes on as which one.
        features: `[E, F]`, of the edges.
    """
    heads, slots = model.heads, model.arity or 1

    def linear(layer: Any, node: int, *shape: int) -> Tensor:
        return (layer.weight @ x[node] + layer.bias).view(*shape)

    def kind(e: int) -> int:
        return edges[e][2] if model.arity else 0

    def of_features(e: int, part: int) -> Tensor:
        return model.edge.weight.chunk(3)[part] @ features[e] if features is not None else x.new_zeros(heads)

    def source_gate(e: int) -> Tensor:
        return sigmoid(linear(model.source, edges[e][0], slots, heads)[kind(e)] + of_features(e, 0))

    def mark_gate(e: int) -> Tensor:
        return sigmoid(linear(model.mark, edges[e][1], slots, heads)[kind(e)] + of_features(e, 2))

    def transition(before: int, e: int) -> Tensor:
        node = edges[e][0]
        if model.mode == "D":
            logits = linear(model.transition, node, slots, slots, heads)[kind(e), kind(before)]
            return tanh(5 * (logits + of_features(e, 1)))
        share = {}
        for other in range(len(edges)):
            if edges[other][0] == node:
                angle = linear(model.angle, node, slots, heads)[kind(other)] if model.angle else 0
                share[other] = torch.exp(angle + of_features(other, 1))
        return tanh(5 * linear(model.transition, node, heads)) * share[e] / sum(share.values())

    q, k, v = (
        [linear(layer, node, heads, -1) for node in range(len(x))]
        for layer in (model.query, model.key, model.value)
    )
    h = [
        sigmoid(linear(model.direct, n, heads, 1)) * (q[n] * k[n]).sum(1, True) * v[n] for n in range(len(x))
    ]

    def follow(first: int, e: int, gates: Tensor) -> None:
        begin, end = edges[first][0], edges[e][1]
        h[end] = h[end] + (mark_gate(e) * gates * (q[end] * k[begin]).sum(1)).unsqueeze(1) * v[begin]
        for before, after in pairs:
            if before == e:
                follow(first, after, gates * transition(e, after))

    for e in range(len(edges)):
        follow(e, e, source_gate(e))
    return torch.stack(h).flatten(1)
