#!/usr/bin/env bash
# torch 2.13.0: within torch.func.vmap a tensor whose gradient will be asked for says requires_grad=False.
#
# Guess: a function that asks x.requires_grad is told the same within vmap as outside of it.
# Seen: the product of a sample and a weight that requires grad has requires_grad=False within vmap, and the batch of
#   products that comes out has requires_grad=True. The weight itself, which is no batch, says True.
# Why it matters: who computes only the gradients that are wanted (an operator, a kernel, a program compiled for
#   them) leaves out those of all earlier layers, and training goes on with wrong ones, without a word. The tensor
#   behind the wrapper must be asked (torch._C._functorch.get_unwrapped).
# Ends with 0 while this is so.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import torch

told = []


def layer(x, weight):
    product = x * weight
    told.append((weight.requires_grad, product.requires_grad))
    return product


weight = torch.ones(3, requires_grad=True)
products = torch.func.vmap(layer, (0, None))(torch.randn(2, 3), weight)
print("within vmap: weight", told[0][0], "product", told[0][1])
print("outside:     product", products.requires_grad)
sys.exit(not (told == [(True, False)] and products.requires_grad))
PY
