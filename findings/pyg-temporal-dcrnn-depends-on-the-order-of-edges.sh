#!/usr/bin/env bash
# torch-geometric-temporal 0.56.2 (torch-geometric 2.8.1, torch 2.13.0): DCRNN's states depend on the order of edges.
#
# Guess: edge_index lists edges in any order, with edge_weight in the same order; a graph net gives the same result for
#   all of them.
# Seen: DConv, the diffusion convolution in DCRNN, takes the edges of the walk against their direction from a dense
#   matrix, and so sorted, but the factors 1/in-degree of this walk in the order of edge_index and at the other end. The
#   factors meet the wrong edges, in a directed graph also when edge_index is sorted. The walk along the edges is right.
# Why it matters: the walk against the direction is what sets this model apart, and the road networks that it is made
#   for are directed. What is computed is no diffusion and changes with how a loader lists the edges. Where all degrees
#   are equal, as on the ring of a small test, nothing shows.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
# Without its dependencies: torch-sparse, which other modules of the package import, has to be compiled. The module at
# hand does not need it and is loaded from its file.
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torch-geometric==2.8.1 numpy==2.4.6
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps torch-geometric-temporal==0.56.2

"$work/venv/bin/python" -W ignore - <<'PY'
import importlib.util
import sys
from importlib.metadata import files

import torch

path = next(f for f in files("torch-geometric-temporal") if f.parts[-2:] == ("recurrent", "dcrnn.py"))
spec = importlib.util.spec_from_file_location("dcrnn", path.locate())
sys.modules["dcrnn"] = dcrnn = importlib.util.module_from_spec(spec)
spec.loader.exec_module(dcrnn)

torch.manual_seed(0)
edges = torch.tensor([[0, 0, 0, 1, 2, 3, 3], [1, 2, 3, 2, 3, 0, 1]])  # sorted by source, then by target
weight = torch.ones(edges.shape[1])
x = torch.randn(4, 3)
shuffled = torch.randperm(edges.shape[1])
out_degree, in_degree = (torch.bincount(ends, minlength=4).float() for ends in edges)


def walk(values, source, target, degree):
    """One step of diffusion: each node hands its value, over its degree, to its targets."""
    return torch.zeros_like(values).index_add(0, target, values[source] / degree[source, None])


def only(direction):
    """DConv with two powers whose result is one step of the walk in one direction."""
    layer = dcrnn.DConv(3, 3, K=2, bias=True)
    layer.weight.zero_()[direction, 1] = torch.eye(3)
    return layer


with torch.no_grad():
    net = dcrnn.DCRNN(3, 5, K=2)
    change = (net(x, edges, weight) - net(x, edges[:, shuffled], weight[shuffled])).abs().max().item()
    print(f"DCRNN: the same edges in another order change its states by {change:.3f}")
    along, against = walk(x, *edges, out_degree), walk(x, *edges.flip(0), in_degree)
    forward = torch.allclose(only(0)(x, edges, weight), along, atol=1e-6)
    backward = torch.allclose(only(1)(x, edges, weight), against, atol=1e-6)
    print("edges sorted, DConv is the walk along their direction:", forward, "and against it:", backward)
assert change > 1e-2 and forward and not backward
PY
