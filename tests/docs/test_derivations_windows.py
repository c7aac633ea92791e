"""docs/derivations.md, 6-1: time-delay, convolutional and recurrent networks as forms of each other."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import graphrec as gr
from tests.tolerances import assert_close

T, D, H, K = 9, 2, 3, 4


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.double)


def taps(cell: gr.TDNNCell) -> list[Tensor]:
    """W_0 … W_{K-1}"""
    return [cell.input.weight.detach(), *cell.past.weight.detach().split(cell.seen, dim=1)]


def past(x: Tensor, t: int, k: int) -> Tensor:
    """x_{t-k}, counted from 0; zero before the beginning."""
    return x[t - k] if t >= k else torch.zeros_like(x[0])


def test_a_tdnn_layer():
    """(1.1)"""
    model, x = gr.TDNN(D, H, window=K).double(), random(T, D)
    W, b = taps(model.cell), model.cell.input.bias.detach()
    by_hand = [torch.tanh(sum(W[k] @ past(x, t, k) for k in range(K)) + b) for t in range(T)]
    assert_close(model(x, gr.chain(T)), torch.stack(by_hand))


def test_a_tdnn_layer_is_a_convolution():
    """(1.2), literally and by torch."""
    model, x = gr.TDNN(D, H, window=K).double(), random(T, D)
    h, W, b = model(x, gr.chain(T)), taps(model.cell), model.cell.input.bias.detach()
    C = [W[K - 1 - j] for j in range(K)]
    by_hand = [torch.tanh(sum(C[j] @ past(x, t, K - 1 - j) for j in range(K)) + b) for t in range(T)]
    assert_close(h, torch.stack(by_hand))

    conv = nn.Conv1d(D, H, K).double()
    with torch.no_grad():
        conv.weight.copy_(torch.stack(C, dim=2))
        conv.bias.copy_(b)
    padded = nn.functional.pad(x.t(), (K - 1, 0))
    assert_close(h, torch.tanh(conv(padded)).t())


@pytest.mark.parametrize(("widths", "dilations"), [([2, 2, 2], [1, 2, 4]), ([3, 2], [1, 1]), ([4], [2])])
def test_how_far_a_stack_sees(widths, dilations):
    """(1.3): the inputs by which the derivative of the last output is not zero."""
    length = 12

    def top(x: Tensor) -> Tensor:
        for width, dilation in zip(widths, dilations, strict=True):
            lagged = gr.lagged([length], [dilation * k for k in range(1, width)])
            cell = gr.TDNNCell(D, D, width - 1).double()
            x = gr.run(cell, gr.schedule(lagged), x).h
        return x[-1].sum()

    x = random(length, D).requires_grad_()
    (of_x,) = torch.autograd.grad(top(x), x)
    seen = [t for t in range(length) if of_x[t].any()]
    R = 1 + sum((width - 1) * dilation for width, dilation in zip(widths, dilations, strict=True))
    assert length - seen[0] == R
    if min(dilations) == 1:  # no gaps
        assert len(seen) == R


def linear_srn(size: float) -> gr.SRNCell:
    cell = gr.SRNCell(D, H, "linear").double()
    with torch.no_grad():
        cell.recurrent.weight *= size / torch.linalg.matrix_norm(cell.recurrent.weight, 2)
    return cell


def test_a_linear_rnn_is_a_long_convolution():
    """(1.4)"""
    cell, x, h_0 = linear_srn(1.2), random(T, D), random(1, H)
    h = gr.run(cell, gr.schedule(gr.chain(T)), x, h_0).h
    W, U, b = cell.input.weight, cell.recurrent.weight, cell.input.bias
    power = torch.linalg.matrix_power
    for t in range(1, T + 1):  # x_t is x[t - 1]
        kernel = sum(power(U, k) @ (W @ x[t - k - 1] + b) for k in range(t))
        assert_close(h[t - 1], power(U, t) @ h_0[0] + kernel)


def test_an_rnn_that_forgets_is_nearly_a_tdnn():
    """(1.5), with the window run by the engine as a TDNN."""
    size, length = 0.7, 60
    cell, x = linear_srn(size), random(length, D)
    W, U, b = cell.input.weight.detach(), cell.recurrent.weight.detach(), cell.input.bias.detach()
    h = gr.run(cell, gr.schedule(gr.chain(length)), x).h.detach()
    largest, errors = (x @ W.t() + b).norm(dim=1).max(), []
    for window in (2, 5, 10, 20):
        # The bias stands in each term of the sum: it is an input that is 1 from the beginning on.
        tdnn = gr.TDNN(D + 1, H, window, "linear").double()
        kernel = [torch.linalg.matrix_power(U, k) @ torch.cat([W, b[:, None]], dim=1) for k in range(window)]
        with torch.no_grad():
            tdnn.cell.input.weight.copy_(kernel[0])
            tdnn.cell.input.bias.zero_()
            tdnn.cell.past.weight.copy_(torch.cat(kernel[1:], dim=1))
        windowed = tdnn(torch.cat([x, torch.ones_like(x[:, :1])], dim=1), gr.chain(length))
        errors.append((h - windowed).norm(dim=1).max())
        assert errors[-1] <= size**window / (1 - size) * largest
    assert all(later < earlier / 2 for earlier, later in pairwise(errors))


def test_a_tdnn_is_an_rnn_with_a_shift_register():
    """(1.6)"""
    model, x = gr.TDNN(D, H, window=K).double(), random(T, D)
    S = torch.zeros(K * D, K * D).double()
    S[D:, :-D] = torch.eye((K - 1) * D)
    assert not torch.linalg.matrix_power(S, K).any()
    assert torch.linalg.matrix_power(S, K - 1).any()
    register = gr.SRNCell(D, K * D, "linear", biases=0).double()
    with torch.no_grad():
        register.recurrent.weight.copy_(S)
        register.input.weight.copy_(torch.eye(K * D, D))
    s = gr.run(register, gr.schedule(gr.chain(T)), x).h
    h = torch.tanh(s @ torch.cat(taps(model.cell), dim=1).t() + model.cell.input.bias)
    assert_close(h, model(x, gr.chain(T)))


def test_weights():
    """(1.7)"""
    count = {cell: sum(w.numel() for w in cell.parameters()) for cell in (gr.TDNN(D, H, K), gr.SRN(D, H))}
    assert list(count.values()) == [K * D * H + H, (D + H) * H + H]


def test_steps_that_wait_for_each_other():
    """(1.8)"""
    lags = gr.lagged([T], range(1, K))
    assert len(gr.schedule(lags, "sync", 1).steps) == 1
    assert len(gr.schedule(gr.chain(T)).steps) == T
    cell, x = gr.TDNNCell(D, H, K - 1).double(), random(T, D)
    round_0 = cell.State(h=torch.zeros(T, H).double(), u=x)
    at_once = gr.run(cell, gr.schedule(lags, "sync", 1), x, gr.per_node(round_0))
    assert_close(at_once.h, gr.run(cell, gr.schedule(lags), x).h)
