#!/usr/bin/env bash
# torch 2.13.0: `torch.func.functional_call` leaves a module changed where one layer stands in it under two names.
#
# Guess: functional_call replaces weights for the time of the call, as its documentation says; a layer that is used twice,
#   `self.decode = self.encode`, is an ordinary way to share weights, and tied weights are handled (`tie_weights=True`).
# Seen: after the call the module has the replaced weights, no longer as parameters: it computes something else,
#   an optimizer made before trains tensors that the module no longer has, and nothing is said. A
#   parameter under two names of one module, or of two, is put back.
# Why it matters: gradients per sample, ensembles and meta-learning call it to leave the module alone; here they damage
#   it. Known as pytorch/pytorch#164759.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from torch import nn
from torch.func import functional_call


class Twice(nn.Module):
    def __init__(self, share):
        super().__init__()
        self.encode = nn.Linear(2, 2)
        if share == "layer":
            self.decode = self.encode
        else:
            self.decode = nn.Linear(2, 2)
            self.decode.weight, self.decode.bias = self.encode.weight, self.encode.bias

    def forward(self, x):
        return self.decode(torch.tanh(self.encode(x)))


def is_as_before(module):
    x = torch.ones(1, 2)
    before, weights = module(x), list(module.parameters())
    functional_call(module, {name: 2 * weight.detach() for name, weight in module.named_parameters()}, (x,))
    now = list(module.parameters())
    return torch.equal(module(x), before) and [id(weight) for weight in now] == [id(weight) for weight in weights]


assert is_as_before(Twice("weights"))
changed = Twice("layer")
assert not is_as_before(changed)
assert not any(isinstance(weight, nn.Parameter) for weight in changed.parameters())
print("weights that two layers share are put back; those of one layer under two names stay replaced")
PY
