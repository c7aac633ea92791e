#!/usr/bin/env bash
# torch 2.13.0: a full backward hook on nn.LSTM sees the gradient of the output, and never that of the final states.
#
# Guess: register_full_backward_hook calls a hook when gradients of what a layer returned have been computed, with an
#   entry for each part of it. The documentation has None for entries that are no tensors; nn.RNN, nn.GRU and nn.LSTM
#   return tensors only.
# Seen: the LSTM returns (output, (h_n, c_n)), and the inner tuple is passed over. If the loss reads h_n alone, as a
#   classifier of sequences does, the weights get gradients and the hook is not called at all. If it reads the output as
#   well, the hook is called with the output's part only. The RNN and the GRU report both. No error, no warning.
# Why it matters: records of the gradient flow and attribution methods are built on this hook. Of an LSTM that
#   classifies they show nothing; of an encoder whose state feeds a decoder they show a part as if it were all.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" - <<'PY'
import torch
from torch import nn

losses = {
    "output": lambda output, state: output.sum(),
    "state": lambda output, state: state.sum(),
    "both": lambda output, state: output.sum() + state.sum(),
}


def reported(layer, loss):
    """For each call of the hook, whether there was a gradient for each entry of what the layer returns."""
    calls = []
    layer.register_full_backward_hook(lambda module, of_inputs, of_outputs: calls.append(of_outputs))
    output, state = layer(torch.randn(5, 2, 3, requires_grad=True))
    loss(output, state[0] if isinstance(state, tuple) else state).backward()
    assert all(weight.grad.abs().sum() > 0 for weight in layer.parameters())
    return [[gradient is not None for gradient in call] for call in calls]


torch.manual_seed(0)
seen = {}
for kind in (nn.RNN, nn.GRU, nn.LSTM):
    for name, loss in losses.items():
        seen[kind.__name__, name] = reported(kind(3, 4), loss)
        print(f"{kind.__name__}, loss of {name}: calls of the hook, gradients in each:", seen[kind.__name__, name])

full = {"output": [[True, False]], "state": [[False, True]], "both": [[True, True]]}
lstm = {"output": [[True, False]], "state": [], "both": [[True, False]]}
expected = {"RNN": full, "GRU": full, "LSTM": lstm}
assert all(seen[kind, name] == expected[kind][name] for kind, name in seen)
PY
