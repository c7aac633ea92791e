#!/usr/bin/env bash
# torchrl 0.14.1 (tensordict 0.14.3, torch 2.13.0): what is_init resets a recurrent module to depends on the mode.
#
# Guess: a rollout made step by step (recurrent mode off) and the same rollout run as one sequence for the loss
#   (recurrent mode on) give the same outputs: both are told by is_init where a new trajectory begins.
# Seen: step by step, is_init replaces the state that came in by zeros. In recurrent mode the sequence is split there,
#   and each piece begins with the state stored at that step, which in a loop that passes states on is the last one of
#   the trajectory before. LSTMModule and GRUModule, backends "pad" and "scan" alike; no warning.
# Why it matters: the state leaks over the end of an episode in training alone, so that ratios of new to old
#   probabilities are off before any update of the weights. Zeros stored at resets hide the difference (a primer in the
#   environment stores them by default); data from a loop of one's own, as here, show it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    torchrl==0.14.1 tensordict==0.14.3 torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" -W ignore - <<'PY'
import torch
from tensordict import TensorDict
from torchrl.modules import GRUModule, LSTMModule, set_recurrent_mode

torch.manual_seed(0)
steps, reset = 6, 3
x = torch.randn(1, steps, 2)
is_init = torch.zeros(1, steps, 1, dtype=torch.bool)
is_init[:, [0, reset]] = True


def step_by_step(module, fields):
    """The outputs, and the rollout with the state that came into each step."""
    state = {field: torch.zeros(1, 1, 3) for field in fields}
    inputs, outputs = [], []
    for t in range(steps):
        inputs.append(TensorDict({"x": x[:, t], "is_init": is_init[:, t], **state}, [1]))
        result = module(inputs[-1].clone())
        outputs.append(result["y"])
        state = {field: result["next", field] for field in fields}
    return torch.stack(outputs, 1), torch.stack(inputs, 1)


def difference(kind, fields, backend):
    keys = {"in_keys": ["x", *fields], "out_keys": ["y", *(("next", field) for field in fields)]}
    module = kind(input_size=2, hidden_size=3, recurrent_backend=backend, **keys)
    with torch.no_grad(), set_recurrent_mode(False):
        outputs, rollout = step_by_step(module, fields)
    zeroed = rollout.clone()
    for field in fields:
        zeroed[field][:, reset] = 0
    with torch.no_grad(), set_recurrent_mode(True):
        return [(module(data)["y"] - outputs).abs().amax(-1)[0] for data in (rollout, zeroed)]


for kind, fields in ((LSTMModule, ("h", "c")), (GRUModule, ("h",))):
    for backend in ("pad", "scan"):
        stored, zeroed = difference(kind, fields, backend)
        print(f"{kind.__name__}, {backend}: outputs differ at the steps by", [round(d, 4) for d in stored.tolist()])
        assert (stored[:reset] < 1e-6).all() and (stored[reset:] > 1e-3).all()
        assert (zeroed < 1e-6).all(), "with zeros stored at the reset, both modes agreed"
PY
