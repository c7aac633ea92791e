#!/usr/bin/env bash
# pytorch-tree-lstm 0.1.3 (torch 2.13.0): the order in which a tree's edges are listed decides whose child is whose.
#
# Guess: a tree is a set of (parent, child) pairs; the Child-Sum Tree-LSTM gives the same states for any listing of
#   them. The documentation asks only that the edges and their steps be listed in the same order.
# Seen: of the nodes that are computed in one step, inputs are taken in the order of the nodes and sums over children in
#   the order in which parents come in the list. Of the 720 listings of a tree with 6 edges, 120 give its states, 120
#   other states without a word (children of one node are summed into another), 480 an error about sizes.
# Why it matters: a parser or a traversal from the leaves lists edges in an order of its own. Every listing that keeps
#   children of a node together, and so raises no error, computes something; half of them another tree.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pytorch-tree-lstm==0.1.3 torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" - <<'PY'
from collections import Counter
from itertools import permutations

import torch
from treelstm import TreeLSTM, calculate_evaluation_orders

torch.manual_seed(0)
net, x = TreeLSTM(3, 4), torch.randn(7, 3)
edges = [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6)]


def by_hand(node):
    """(h, c) of a node after Tai, Socher & Manning 2015, by recursion, with the weights of the net."""
    children = [by_hand(child) for parent, child in edges if parent == node]
    iou = net.W_iou(x[node]) + sum(net.U_iou(h) for h, c in children)
    i, o, u = iou.chunk(3)
    kept = sum(torch.sigmoid(net.W_f(x[node]) + net.U_f(h)) * c for h, c in children)
    c = torch.sigmoid(i) * torch.tanh(u) + kept
    return torch.sigmoid(o) * torch.tanh(c), c


def outcome(listing):
    node_order, edge_order = map(torch.as_tensor, calculate_evaluation_orders(listing, len(x)))
    try:
        h, _ = net(x, node_order, torch.tensor(listing), edge_order)
    except RuntimeError:
        return "error"
    return "same" if torch.allclose(h, right, atol=1e-6) else "other"


with torch.no_grad():
    right = torch.stack([by_hand(node)[0] for node in range(len(x))])
    seen = Counter(outcome(list(listing)) for listing in permutations(edges))
print("states of one tree under all listings of its edges:", dict(seen))
assert seen == {"same": 120, "other": 120, "error": 480}
PY
