#!/usr/bin/env bash
# torch-geometric 2.8.1 (torch 2.13.0): read_txt_array, and so TUDataset and others, drop the last line of a text file
# that does not end in a line feed.
#
# Guess: a file of numbers says the same with and without a line feed behind its last line, as for numpy.loadtxt, csv
#   or pandas.
# Seen: the text is split at line feeds and the last piece thrown away, on the assumption that it is empty. Here an
#   undirected edge loses one of its two directions; no error, no warning.
# Why it matters: editors, scripts with "\n".join and archives made elsewhere leave the line feed out; a lost edge or
#   citation shows in no shape. What is lost is one line of each file, so that files may even stay equally long.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torch-geometric==2.8.1 numpy==2.4.6

for name in WITH WITHOUT; do
    mkdir -p "$work/data/$name/raw"
    printf '1\n1\n1\n' > "$work/data/$name/raw/${name}_graph_indicator.txt"
    printf '0\n' > "$work/data/$name/raw/${name}_graph_labels.txt"
    printf '0\n1\n2\n' > "$work/data/$name/raw/${name}_node_labels.txt"
done
printf '1, 2\n2, 1\n2, 3\n3, 2\n' > "$work/data/WITH/raw/WITH_A.txt"
printf '1, 2\n2, 1\n2, 3\n3, 2' > "$work/data/WITHOUT/raw/WITHOUT_A.txt"

"$work/venv/bin/python" -W ignore - "$work/data" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
from torch_geometric.io import read_txt_array

rows = {}
for name in ("WITH", "WITHOUT"):
    path = Path(sys.argv[1], name, "raw", f"{name}_A.txt")
    rows[name] = len(read_txt_array(str(path), sep=",")), len(np.loadtxt(path, delimiter=","))
    print(f"{name} a line feed at the end: {rows[name][0]} edges by PyG, {rows[name][1]} by numpy")
if rows != {"WITH": (4, 4), "WITHOUT": (3, 4)}:
    sys.exit("changed: expected 4 edges by both, but for 3 by PyG without a line feed at the end.")
PYTHON
