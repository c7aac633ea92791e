#!/usr/bin/env bash
# snntorch 1.0.0 (torch 2.13.0): an SLSTM whose input is not as wide as its state has no memory.
#
# Guess: SLSTM(input_size, hidden_size) is a recurrent layer for any two widths; the states that it is given, in the
#   shapes (batch, hidden_size) of its documentation, are those that it starts from.
# Seen: a state whose shape is not that of the input is replaced by zeros before it is read. It is checked against the
#   input, not against (batch, hidden_size): with different widths every state of the right shape goes, and each step
#   begins anew. With equal widths all is well. No error, no warning; the same with init_hidden=True.
# Why it matters: widths differ in the example of the class's own documentation. The net trains, on one step at a time:
#   what came before reaches neither the output nor a gradient.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check snntorch==1.0.0 torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" -W error - <<'PY'
import snntorch as snn
import torch

torch.manual_seed(0)
batch, steps, width = 4, 3, 5
seen = {}
for inputs in (width, 2):
    layer = snn.SLSTM(inputs, width)
    x = torch.randn(steps, batch, inputs, requires_grad=True)

    syn, mem = torch.randn(batch, width), torch.randn(batch, width)
    right_mem, right_syn = layer.lstm_cell(x[0], (mem, syn))
    _, new_syn, new_mem = layer(x[0], syn, mem)
    starts_from_state = torch.allclose(new_syn, right_syn) and torch.allclose(new_mem, right_mem)

    for t in range(steps):
        _, syn, mem = layer(x[t], syn, mem)
    mem.sum().backward()
    reached = x.grad.abs().sum((1, 2)) > 0

    last, owner = torch.randn(batch, inputs), snn.SLSTM(inputs, width, init_hidden=True, output=True)
    fresh = owner(last)[2].detach()
    remembers = not torch.allclose(owner(last)[2], fresh)

    seen[inputs] = starts_from_state, reached.tolist(), remembers
    print(f"{inputs} inputs, {width} units: starts from the given state: {starts_from_state}")
    print("  steps that the gradient of the last state reaches:", reached.tolist())
    print("  remembers with init_hidden=True:", remembers)
assert seen == {width: (True, [True, True, True], True), 2: (False, [False, False, True], False)}
PY
