#!/usr/bin/env bash
# torch-geometric 2.8.1 (torch 2.13.0): the numbers of a sparse adjacency matrix weigh messages in some layers, and are
# dropped in others, whatever the layer does with edge_weight.
#
# Guess: SAGEConv and GATConv take no edge_weight, so that a sparse matrix only says where edges are; the two ways to give
#   a layer its graph, edge_index and a transposed sparse matrix, give the same result.
# Seen: SAGEConv multiplies by the matrix as it is, so that its "mean" is the sum of weighted rows over the number of
#   neighbours; GATConv reads where the entries are and drops their numbers. Neither says so.
# Why it matters: ToSparseTensor() puts edge_weight into the matrix by default. Applying it, advertised as a way to save
#   memory, changes what SAGEConv computes on weighted graphs and not what GATConv computes.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torch-geometric==2.8.1 numpy==2.4.6

"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, SAGEConv
from torch_geometric.transforms import ToSparseTensor

torch.manual_seed(0)
edge_index = torch.tensor([[0, 1, 2, 0], [3, 3, 3, 1]])
weight = torch.tensor([0.5, 2.0, 3.0, 1.5])
data = Data(torch.randn(4, 3), edge_index, edge_weight=weight)
sparse = ToSparseTensor()(data.clone()).adj_t


def mean_of_weighted(conv):
    total = torch.zeros(4, 3).index_add(0, edge_index[1], weight[:, None] * data.x[edge_index[0]])
    degree = torch.bincount(edge_index[1], minlength=4).clamp(min=1)[:, None]
    return conv.lin_l(total / degree) + conv.lin_r(data.x)


sage, gat = SAGEConv(3, 4), GATConv(3, 4)
with torch.no_grad():
    same = {name: torch.allclose(conv(data.x, sparse), conv(data.x, edge_index), atol=1e-6)
            for name, conv in (("SAGEConv", sage), ("GATConv", gat))}
    weighed = torch.allclose(sage(data.x, sparse), mean_of_weighted(sage), atol=1e-6)
print("edge_index and sparse matrix agree:", same)
print("SAGEConv with the matrix is the weighted sum over the count of neighbours:", weighed)
assert same == {"SAGEConv": False, "GATConv": True} and weighed
PY
