"""Equations of one node, and the rules over chains and trees of such nodes, written down literally: whole Jacobians by
autograd, one node after the other, no engine.

What the recurrent layers of a cell read of a node's sources is an argument of its own, `read`, beside what is kept of
them, `kept`, by forget gates and update gates. Both are the states of the k sources, `[k, K]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, sigmoid, tanh
from torch.autograd.functional import jacobian

import graphrec as gr

Weights = dict[str, Tensor]
Equations = Callable[[Weights, Tensor, Tensor, Tensor], Tensor]  # (weights, x [D], read, kept) -> state [K]


def srn(w: Weights, x: Tensor, read: Tensor, kept: Tensor) -> Tensor:
    return tanh(w["input.weight"] @ x + w["input.bias"] + w["recurrent.weight"] @ read.sum(0))


def lstm(w: Weights, x: Tensor, read: Tensor, kept: Tensor) -> Tensor:
    (h, _), (_, c) = read.sum(0).chunk(2), kept.sum(0).chunk(2)
    i, f, g, o = (w["input.weight"] @ x + w["input.bias"] + w["recurrent.weight"] @ h).chunk(4)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return torch.cat([sigmoid(o) * tanh(c), c])


def gru(w: Weights, x: Tensor, read: Tensor, kept: Tensor) -> Tensor:
    x_r, x_z, x_n = (w["input.weight"] @ x + w["input.bias"]).chunk(3)
    u_r, u_z, u_n = (w["recurrent.weight"] @ read.sum(0) + w["recurrent.bias"]).chunk(3)
    z = sigmoid(x_z + u_z)
    return (1 - z) * tanh(x_n + sigmoid(x_r + u_r) * u_n) + z * kept.sum(0)


def tree_lstm(w: Weights, x: Tensor, read: Tensor, kept: Tensor) -> Tensor:
    (h, _), (_, c) = read.chunk(2, dim=1), kept.chunk(2, dim=1)
    x_i, x_o, x_u, x_f = (w["input.weight"] @ x + w["input.bias"]).chunk(4)
    u_i, u_o, u_u = (w["iou.weight"] @ h.sum(0)).chunk(3)
    f = sigmoid(x_f + h @ w["forget.weight"].T)
    c = sigmoid(x_i + u_i) * tanh(x_u + u_u) + (f * c).sum(0)
    return torch.cat([sigmoid(x_o + u_o) * tanh(c), c])


def tree_gru(w: Weights, x: Tensor, read: Tensor, kept: Tensor) -> Tensor:
    x_z, x_r, x_n = (w["input.weight"] @ x + w["input.bias"]).chunk(3)
    z = sigmoid(x_z + w["update.weight"] @ read.sum(0))
    r = sigmoid(x_r + read @ w["reset.weight"].T)
    n = tanh(x_n + w["candidate.weight"] @ (r * read).sum(0))
    return z * kept.sum(0) + (1 - z) * n


def outward(s: gr.Structure) -> Iterator[tuple[int, list[int]]]:
    """Each node with its sources, these first."""
    for node in sorted(range(s.num_nodes), key=gr.levels(s).tolist().__getitem__):
        yield node, s.source[s.target == node].tolist()


def states(equations: Equations, w: Weights, s: gr.Structure, x: Tensor, width: int) -> list[Tensor]:
    """`[K]` of every node."""
    found: dict[int, Tensor] = {}
    for node, sources in outward(s):
        come = stacked([found[source] for source in sources], x, width)
        found[node] = equations(w, x[node], come, come)
    return [found[node] for node in range(s.num_nodes)]


def stacked(rows: list[Tensor], x: Tensor, width: int) -> Tensor:
    return torch.stack(rows) if rows else x.new_zeros(0, width)


def of_rule(
    rule: Any, equations: Equations, w: Weights, s: gr.Structure, x: Tensor, grad: Tensor, units: int
) -> Weights:
    """sum_v dL/dstate_v S_v, where S_v = sum_u J_u S_u + dstate_v/dtheta has the Jacobians J_u that a rule keeps.

    Args:
        rule: RTRL, which keeps them whole; SnAp1, the part of each unit in itself; EProp, that of what is kept.
        grad: dL/dstate, `[N, K]`.
        units: H.
    """
    width, flat = grad.shape[1], torch.cat([part.flatten() for part in w.values()])
    unit = torch.arange(width) % units
    is_own = (unit[:, None] == unit).to(x.dtype)
    S: dict[int, Tensor] = {}
    state: dict[int, Tensor] = {}
    for node, sources in outward(s):
        come = stacked([state[source] for source in sources], x, width)

        def step(flat: Tensor, read: Tensor, kept: Tensor, node: int = node) -> Tensor:
            return equations(by_name(flat, w), x[node], read, kept)

        of_flat, of_read, of_kept = jacobian(step, (flat, come, come))
        whole = of_read + of_kept
        J = {"RTRL": whole, "SnAp1": whole * is_own[:, None], "EProp": of_kept}[type(rule).__name__]
        S[node] = of_flat + sum(J[:, number] @ S[source] for number, source in enumerate(sources))
        state[node] = step(flat, come, come)
    return by_name(sum(grad[node] @ S[node] for node in S), w)


def by_name(flat: Tensor, like: Weights) -> Weights:
    parts = flat.split([part.numel() for part in like.values()])
    return {name: part.view(like[name].shape) for name, part in zip(like, parts, strict=True)}


def truncated(
    depth: int, equations: Equations, w: Weights, s: gr.Structure, x: Tensor, width: int
) -> list[Tensor]:
    """The states after so many rounds from themselves as constants: what h hops can see."""
    found = [state.detach() for state in states(equations, w, s, x, width)]
    sources = dict(outward(s))
    for _ in range(depth):
        come = [stacked([found[u] for u in sources[node]], x, width) for node in range(s.num_nodes)]
        found = [equations(w, x[node], each, each) for node, each in enumerate(come)]
    return found
