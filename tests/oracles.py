"""The papers' equations, one node at a time, by plain recursion: what every engine must agree with.

No engine, no batch, no level, nothing imported from graphrec. An `Equations` function takes the cell, to read
its weights from, the node's input x `[D]`, and the states of its sources as a list of `(slot, state)`, each
state a tuple of vectors `[H]`; it returns the node's state. Weights are split into the paper's matrices first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn, sigmoid, tanh

State = tuple[Tensor, ...]
Inbox = list[tuple[int, State]]
Equations = Callable[[Any, Tensor, Inbox], State]


def evaluate(
    equations: Equations,
    cell: nn.Module,
    x: Tensor,
    edges: list,
    initial: list[State] | None = None,
    past: list[int] | None = None,
) -> State:
    """The states of all nodes, `[N, H]` per field, each computed from its sources' by memoised recursion.

    Args:
        equations: the cell's.
        cell: where the weights are.
        x: `[N, D]`.
        edges: `(source, target, slot)` of each.
        initial: for each node the state of its virtual predecessors: those in slots of its past that no edge
            fills, or where there is no past, one in slot 0 if it has no other.
        past: how many slots of each node are its past.
    """
    sources = defaultdict(list)
    for source, target, slot in edges:
        sources[target].append((slot, source))
    known: dict[int, State] = {}

    def state(node: int) -> State:
        if node not in known:
            inbox = [(slot, state(source)) for slot, source in sources[node]]
            if initial is not None:
                filled = {slot for slot, _ in inbox}
                begins = ({0} if not inbox else set()) if past is None else set(range(past[node]))
                inbox = sorted([*inbox, *((slot, initial[node]) for slot in begins - filled)], key=slot_of)
            known[node] = equations(cell, x[node], inbox)
        return known[node]

    return stack([state(node) for node in range(len(x))])


def slot_of(message: tuple[int, State]) -> int:
    return message[0]


def evaluate_rounds(
    equations: Equations, cell: nn.Module, x: Tensor, edges: list, rounds: int, initial: list[State]
) -> State:
    """The states of all nodes after some rounds, in each of which every node reads the round before."""
    states = initial
    for _ in range(rounds):
        inboxes: list[Inbox] = [[] for _ in states]
        for source, target, slot in edges:
            inboxes[target].append((slot, states[source]))
        states = [equations(cell, x[node], inbox) for node, inbox in enumerate(inboxes)]
    return stack(states)


def stack(states: list[State]) -> State:
    """Per node a tuple of vectors, to per field a matrix."""
    return tuple(torch.stack(field) for field in zip(*states, strict=True))


def srn(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Elman (1990): h_t = f(W x_t + U h_{t-1} + b)."""
    W, U, b = cell.input.weight, cell.recurrent.weight, cell.input.bias
    before = inbox[0][1][0] if inbox else zeros(U)
    return (tanh(W @ x + U @ before + b),)


def recnn(cell: Any, x: Tensor, inbox: Inbox, f: Callable[[Tensor], Tensor] = tanh) -> State:
    """Sperduti & Starita (1997): h = f(W x + sum_k U_k h_k + b)."""
    W, b = cell.input.weight, cell.input.bias
    U = slots_of(cell.recurrent.weight)
    return (f(W @ x + sum((U[k] @ h for k, (h,) in inbox), zeros(W)) + b),)


def recnn_logistic(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """The same with the logistic function."""
    return recnn(cell, x, inbox, sigmoid)


def rntn(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Socher et al. (2013): h_k = f([a; b]^T V^[k] [a; b] + U_k [a; b] + W_k x + bias_k)."""
    W, bias, U = cell.input.weight, cell.input.bias, cell.recurrent.weight
    H = len(W)
    children = {k: h for k, (h,) in inbox}
    ab = torch.cat([children.get(0, zeros(W)), children.get(1, zeros(W))])
    V = [cell.tensor.weight[k * 2 * H : (k + 1) * 2 * H] for k in range(H)]  # V^[1] … V^[H], 2H × 2H each
    return (torch.stack([tanh(ab @ V[k] @ ab + U[k] @ ab + W[k] @ x + bias[k]) for k in range(H)]),)


def child_sum_tree_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Tai, Socher & Manning (2015), equations (2) to (8)."""
    W_i, W_o, W_u, W_f = cell.input.weight.chunk(4)
    b_i, b_o, b_u, b_f = cell.input.bias.chunk(4)
    U_i, U_o, U_u = cell.iou.weight.chunk(3)
    U_f = cell.forget.weight
    h_sum = sum((h for _, (h, _) in inbox), zeros(U_f))
    i = sigmoid(W_i @ x + U_i @ h_sum + b_i)
    o = sigmoid(W_o @ x + U_o @ h_sum + b_o)
    u = tanh(W_u @ x + U_u @ h_sum + b_u)
    c = i * u
    for _, (h_k, c_k) in inbox:
        f_k = sigmoid(W_f @ x + U_f @ h_k + b_f)
        c = c + f_k * c_k
    return o * tanh(c), c


def nary_tree_lstm(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Tai, Socher & Manning (2015), equations (9) to (14)."""
    W_i, W_o, W_u, W_f = cell.input.weight.chunk(4)
    b_i, b_o, b_u, b_f = cell.input.bias.chunk(4)
    U_i, U_o, U_u, *U_f = [slots_of(U) for U in cell.recurrent.weight.split(len(W_i))]  # U_f[k][j]
    nothing = zeros(W_i)
    i = sigmoid(W_i @ x + sum((U_i[j] @ h for j, (h, _) in inbox), nothing) + b_i)
    o = sigmoid(W_o @ x + sum((U_o[j] @ h for j, (h, _) in inbox), nothing) + b_o)
    u = tanh(W_u @ x + sum((U_u[j] @ h for j, (h, _) in inbox), nothing) + b_u)
    c = i * u
    for k, (_, c_k) in inbox:
        f_k = sigmoid(W_f @ x + sum((U_f[k][j] @ h for j, (h, _) in inbox), nothing) + b_f)
        c = c + f_k * c_k
    return o * tanh(c), c


def tree_gru(cell: Any, x: Tensor, inbox: Inbox) -> State:
    """Cho et al. (2014), equations (5) to (8), with children's states summed and a reset gate for each."""
    W_z, W_r, W_n = cell.input.weight.chunk(3)
    b_z, b_r, b_n = cell.input.bias.chunk(3)
    U_z, U_r, U_n = cell.update.weight, cell.reset.weight, cell.candidate.weight
    h_sum = sum((h for _, (h,) in inbox), zeros(U_z))
    z = sigmoid(W_z @ x + U_z @ h_sum + b_z)
    kept = zeros(U_z)
    for _, (h_k,) in inbox:
        r_k = sigmoid(W_r @ x + U_r @ h_k + b_r)
        kept = kept + r_k * h_k
    n = tanh(W_n @ x + U_n @ kept + b_n)
    return (z * h_sum + (1 - z) * n,)


def zeros(weight: Tensor) -> Tensor:
    """A vector of zeros, as long as `weight` has rows."""
    return weight.new_zeros(len(weight))


def slots_of(weight: Tensor) -> tuple[Tensor, ...]:
    """A matrix for each slot, from those of all slots side by side."""
    return weight.split(len(weight), dim=1)
