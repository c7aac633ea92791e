#!/usr/bin/env bash
# torch-geometric 2.8.1 (torch 2.13.0): to make a plain MessagePassing takes explanations from all layers made later.
#
# Guess: `MessagePassing()` makes an object, and no other class behaves differently for it. (One makes it for its hooks
#   and defaults, or to look at its attributes.)
# Seen: the first object of a class replaces the class's `propagate` by a generated one. Here that class is the base of
#   all layers: a layer whose own class has its first object afterwards keeps, for explanations and for
#   `decomposed_layers`, what was generated for the base, which takes no node features and looks at no mask. The
#   explanation is a TypeError about an argument that is right; plain calls of the layer still work.
# Why it matters: a line in one place, which has nothing to do with explanations, breaks them in all others, and only
#   for layers that were made after it: a test that passes alone fails in the suite.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch-geometric==2.8.1 torch==2.13.0 numpy==2.4.6

cat >"$work/explained.py" <<'PY'
import sys

import torch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GCNConv, MessagePassing, SAGEConv

x, edge_index = torch.randn(4, 3), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])


def explains(layer):
    explainer = Explainer(
        layer,
        GNNExplainer(epochs=3),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node"},
    )
    try:
        return explainer(x, edge_index).edge_mask.shape == (4,)
    except TypeError as error:
        print(f"  {type(layer).__name__}: {error}")
        return False


made_before = SAGEConv(3, 2)
if sys.argv[1] == "plain":
    MessagePassing()
made_later = GCNConv(3, 2)
made_later(x, edge_index)
print(explains(made_before), explains(made_later))
PY

cd "$work"
echo "a layer made before and one made later, without a plain MessagePassing between them:"
venv/bin/python -W ignore explained.py none | tee without
echo "with one:"
venv/bin/python -W ignore explained.py plain | tee with
[ "$(tail -1 without)" = "True True" ] && [ "$(tail -1 with)" = "True False" ] || { echo "changed"; exit 1; }
