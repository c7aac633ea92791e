#!/usr/bin/env bash
# torch-geometric 2.8.1 (torch 2.13.0): TUDataset leaves out the graphs at the end that have no edges.
#
# Guess: a data set has as many graphs as its files list labels for.
# Seen: where the slices of the edges end, PyG counts edges per graph with bincount, which ends at the last graph that
#   has an edge. The length of a data set is taken from these slices, so that the graphs behind are not there: no
#   error, and their labels are still in `y`. Graphs without edges in the middle are read.
# Why it matters: a single atom or an isolated node is a graph, too; folds are cut and means are taken over fewer
#   samples than the paper's, and labels of the whole data set no longer belong to its graphs one by one.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torch-geometric==2.8.1 numpy==2.4.6

mkdir -p "$work/data/TINY/raw"
cd "$work/data/TINY/raw"
# Four graphs, of 2, 1, 2 and 1 nodes; the second and the last have no edges.
printf '1\n1\n2\n3\n3\n4\n' > TINY_graph_indicator.txt
printf '1, 2\n2, 1\n4, 5\n5, 4\n' > TINY_A.txt
printf '0\n1\n0\n1\n' > TINY_graph_labels.txt
printf '0\n0\n1\n0\n1\n1\n' > TINY_node_labels.txt

"$work/venv/bin/python" -W ignore - "$work/data" <<'PYTHON'
import sys

from torch_geometric.datasets import TUDataset

dataset = TUDataset(sys.argv[1], "TINY")
print(f"graphs listed: 4; graphs in the data set: {len(dataset)}; labels in it: {dataset.y.numel()}")
if (len(dataset), dataset.y.numel()) != (3, 4):
    sys.exit("changed: expected 3 graphs, the last one being left out, and 4 labels.")
PYTHON
