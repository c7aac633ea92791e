#!/usr/bin/env bash
# torch 2.13.0: gradients of gradients through `nn.utils.parametrizations.weight_norm` are wrong, without a word.
#
# Guess: a gradient penalty through a layer with weight_norm trains the layer's direction v as the same penalty does
#   through g v / |v| written out: torch's operators have right second derivatives, or refuse to be differentiated twice.
# Seen: values and first derivatives agree. In the second, the norm |v| counts as a constant: those with respect to v are
#   other numbers, some of another sign, while those with respect to g are right. gradgradcheck says so, and nobody else.
# Why it matters: gradient penalties (WGAN-GP), meta-learning and Hessian-vector products of temporal convolutions and
#   recurrent nets, where weight_norm is usual, descend somewhere else.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from torch import nn
from torch.autograd import gradgradcheck
from torch.autograd.gradcheck import GradcheckError

torch.manual_seed(0)
layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2, bias=False)).double()
g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
x = torch.randn(4, 3, dtype=torch.double)


def written_out(g, v):
    return g * v / v.norm(dim=1, keepdim=True)


def loss(weight):
    return torch.tanh(x @ weight.T).square().sum()


def penalty(weight):
    (slope,) = torch.autograd.grad(loss(weight), v, create_graph=True)
    return slope.square().sum()


def gradients(value):
    return torch.autograd.grad(value, [g, v])


torch.testing.assert_close(layer.weight, written_out(g, v))
torch.testing.assert_close(gradients(loss(layer.weight)), gradients(loss(written_out(g, v))))

of_layer, right = gradients(penalty(layer.weight)), gradients(penalty(written_out(g, v)))
torch.testing.assert_close(of_layer[0], right[0])
assert (of_layer[1] - right[1]).abs().max() > 1
assert (of_layer[1] * right[1] < 0).any()

assert gradgradcheck(lambda g, v: torch.tanh(x @ written_out(g, v).T), (g, v))
try:
    gradgradcheck(lambda g, v: torch.tanh(x @ layer.weight.T), (g, v))
except GradcheckError:
    pass
else:
    raise AssertionError("weight_norm has right second derivatives now")
print("the gradient of a penalty with respect to v:\n", of_layer[1], "through weight_norm,\n", right[1], "written out")
PY
