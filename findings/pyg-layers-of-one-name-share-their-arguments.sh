#!/usr/bin/env bash
# torch-geometric 2.8.1 (torch 2.13.0): of two layers of one name in one module, the second gets the arguments of the first.
#
# Guess: a class is what it is defined as. A layer that is defined anew under its old name, as in a cell of a notebook
#   that was corrected and run again, or in two functions that each make one, has its own `message` and what that asks
#   for.
# Seen: `propagate` is generated from the names of the arguments of `message` when a class has its first object, and
#   looked up under the names of module and class. The second class gets the first one's: an argument of its `message`
#   with a default is never given, without a word. (Without a default it is a TypeError about a missing argument.)
# Why it matters: the mistake that one has just corrected, here weights of edges that `message` left out, goes on until
#   the process is started anew; loss curves tell nothing of it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch-geometric==2.8.1 torch==2.13.0 numpy==2.4.6

cat >"$work/layers.py" <<'PY'
import sys

import torch
from torch_geometric.nn import MessagePassing


def forgetful():
    class Weighted(MessagePassing):
        def forward(self, x, edge_index, weight):
            return self.propagate(edge_index, x=x, weight=weight)

        def message(self, x_j):
            return x_j

    return Weighted()


def corrected():
    class Weighted(MessagePassing):
        def forward(self, x, edge_index, weight):
            return self.propagate(edge_index, x=x, weight=weight)

        def message(self, x_j, weight=None):
            return x_j if weight is None else x_j * weight.unsqueeze(-1)

    return Weighted()


x, edge_index, weight = torch.ones(3, 1), torch.tensor([[0, 1], [2, 2]]), torch.tensor([10.0, 20.0])
if sys.argv[1] == "after":
    assert forgetful()(x, edge_index, weight)[2].item() == 2
print(f"{corrected()(x, edge_index, weight)[2].item():g}")
PY

cd "$work"
alone=$(venv/bin/python -W ignore layers.py alone)
after=$(venv/bin/python -W ignore layers.py after)
echo "the corrected layer sums 1 · 10 and 1 · 20 to $alone, and to $after where the other one was made before"
[ "$alone" = 30 ] && [ "$after" = 2 ] || { echo "changed"; exit 1; }
