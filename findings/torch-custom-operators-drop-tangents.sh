#!/usr/bin/env bash
# torch 2.13.0: an operator made with torch.library.custom_op has a forward-mode derivative of zero.
#
# Guess: where an operator has no rule for a derivative, torch says so, as it does for torch.func.grad of the same one
#   (RuntimeError: "In order to use an autograd.Function with functorch transforms ...").
# Seen: torch.func.jvp and jacfwd return zeros, and under torch.autograd.forward_ad the result has no tangent. There
#   is no error and no warning, and torch.library.opcheck finds everything right.
# Why it matters: a Jacobian, a Hessian-vector product or a sensitivity in which such an operator stands is wrong
#   and finite. There is nothing to register that would give it a tangent; who writes an operator can only look for the
#   forward mode when it is called (torch.autograd.forward_ad._current_level >= 0), and refuse.
# Ends with 0 while this is so.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
from torch.autograd import forward_ad
from torch.func import jacfwd, jvp


@torch.library.custom_op("finding::square", mutates_args=())
def square(x: torch.Tensor) -> torch.Tensor:
    return x * x


square.register_fake(torch.empty_like)
square.register_autograd(
    lambda ctx, grad: 2 * ctx.saved_tensors[0] * grad,
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)

x, direction = torch.tensor([1.0, 2.0, 3.0]), torch.ones(3)
print("opcheck:", set(torch.library.opcheck(square, (x.clone().requires_grad_(),)).values()))
print("right (2 x):                ", (2 * x).tolist())
tangent = jvp(square, (x,), (direction,))[1]
print("torch.func.jvp:             ", tangent.tolist())
jacobian = jacfwd(square)(x)
print("torch.func.jacfwd, diagonal:", jacobian.diagonal().tolist())
with forward_ad.dual_level():
    dual = forward_ad.unpack_dual(square(forward_ad.make_dual(x, direction))).tangent
print("torch.autograd.forward_ad:  ", dual)
sys.exit(not (dual is None and not tangent.any() and not jacobian.any()))
PY
