#!/usr/bin/env bash
# torch 2.13.0: which recurrent layer has gradients per sample under torch.func.vmap, and which can be an ensemble.
#
# Guess: nn.RNN, nn.LSTM and nn.GRU are one family with one calling convention. What vmap does with one of them, it does
#   with all: gradients per sample, vmap(grad(loss)), and an ensemble, vmap over stacked weights, as the tutorials on
#   both have it for other layers.
# Seen (on a CPU): gradients per sample work for the LSTM, which is one fused operator there, and end in an error about
#   shapes in the middle of the backward pass for the RNN and the GRU. An ensemble works for none: "Batching rule not
#   implemented", with no fallback.
# Why it matters: differential privacy, influence functions and Laplace approximations of sequence models are written
#   with an LSTM at hand and break when the cell is exchanged for the simpler one.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" - <<'PY'
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

torch.manual_seed(0)
x = torch.randn(6, 5, 3)


def outcome(attempt):
    try:
        attempt()
    except RuntimeError as error:
        return str(error).split("\n")[0]
    return "works"


seen = {}
for layer in (nn.RNN(3, 4, batch_first=True), nn.LSTM(3, 4, batch_first=True), nn.GRU(3, 4, batch_first=True)):
    weights = dict(layer.named_parameters())

    def loss(weights, sample, layer=layer):
        return functional_call(layer, weights, (sample[None],))[0].pow(2).sum()

    stacked = {name: torch.stack([weight, 2 * weight]) for name, weight in weights.items()}
    name = type(layer).__name__
    seen[name, "per sample"] = outcome(lambda: vmap(grad(loss), (None, 0))(weights, x))
    seen[name, "ensemble"] = outcome(lambda: vmap(lambda w: functional_call(layer, w, (x,))[0])(stacked))

for what, result in seen.items():
    print(*what, "->", result[:90])
assert seen["LSTM", "per sample"] == "works"
assert all("doesn't match the broadcast shape" in seen[name, "per sample"] for name in ("RNN", "GRU"))
assert all("Batching rule not implemented" in seen[name, "ensemble"] for name in ("RNN", "LSTM", "GRU"))
PY
