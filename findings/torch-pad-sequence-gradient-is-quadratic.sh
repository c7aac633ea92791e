#!/usr/bin/env bash
# torch 2.13.0: the gradient through pad_sequence costs the number of sequences times the size of the padded tensor.
#
# Guess: pad_sequence copies each sequence to its place, so forwards and backwards take time in proportion to the padded
#   tensor, as torch.stack does for sequences of one length.
# Seen: forwards, yes. Each copy is a write into a view, for each of which autograd copies the whole gradient of the
#   padded tensor. For 10, 100 and 1,000 sequences of 20 rows the backward pass writes 12, 102 and 1,002 numbers for each
#   number of the input; torch.stack of the same sequences makes views alone. Nothing is said, and results are right.
# Why it matters: rollouts of reinforcement learning are cut at resets into pieces, padded, and trained on. At 128 x 128
#   steps of width 256 with 3 % resets the backward pass of an LSTM on them took 26 s, and 2.8 s if the same padded tensor
#   is made by one index_copy.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6

"$work/venv/bin/python" - <<'PY'
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils._python_dispatch import TorchDispatchMode


class Written(TorchDispatchMode):
    """Counts the numbers of all results that are tensors of their own, and no views."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {arg.untyped_storage().data_ptr() for arg in args if isinstance(arg, torch.Tensor)}
        if isinstance(result, torch.Tensor) and result.untyped_storage().data_ptr() not in given:
            self.count += result.numel()
        return result


def written(join, sequences):
    """By the backward pass, for each number of the input."""
    x = torch.randn(20 * sequences, 8, requires_grad=True)
    loss = join(x.split(20)).sum()
    with Written() as mode:
        loss.backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    return mode.count / x.numel()


padded = {count: written(pad_sequence, count) for count in (10, 100, 1000)}
stacked = {count: written(torch.stack, count) for count in (10, 100, 1000)}
print("pad_sequence:", padded)
print("torch.stack: ", stacked)
assert all(numbers > count for count, numbers in padded.items())
assert all(numbers < 3 for numbers in stacked.values())
PY
