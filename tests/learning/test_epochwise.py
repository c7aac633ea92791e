"""The lecture's rule: the mean of copies of the weights, one for each step, is one step on the mean loss."""

from __future__ import annotations

import torch
from torch import nn

import graphrec as gr
from graphrec.learning import BPTT
from tests.tolerances import assert_close

T, D, H, Y, RATE = 5, 3, 4, 2, 0.3


def test_the_mean_over_the_copies_is_one_step_on_the_mean_loss():
    """h_k = tanh(W_a^(k) h_{k-1} + W_b^(k) x_k), y_k = W_c^(k) h_k; every copy makes its own SGD step on all losses."""
    cell = gr.SRNCell(D, H, biases=0).double()
    model = gr.SequenceToLabels(gr.Recursive(cell), H, Y).double()
    nn.init.zeros_(model.output.bias).requires_grad_(False)
    weights = {"a": cell.recurrent.weight, "b": cell.input.weight, "c": model.output.weight}
    x, wanted = torch.randn(T, D).double(), torch.randn(T, Y).double()

    copies = {name: [w.detach().clone().requires_grad_() for _ in range(T)] for name, w in weights.items()}
    h, total = torch.zeros(H).double(), torch.zeros(()).double()
    for k in range(T):
        h = torch.tanh(copies["a"][k] @ h + copies["b"][k] @ x[k])
        total = total + (copies["c"][k] @ h - wanted[k]).pow(2).sum()
    total.backward()
    for each in copies.values():
        torch.optim.SGD(each, RATE).step()

    sgd = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], RATE)
    BPTT().gradients(model, gr.chain(T), x, lambda y: (y - wanted).pow(2).sum(dim=1).mean())
    sgd.step()
    for name, weight in weights.items():
        # At the first step W_a multiplies zero: its copy stays as it was, and counts in the mean.
        assert_close(torch.stack(copies[name]).mean(0).detach(), weight.detach(), f"W_{name}")
