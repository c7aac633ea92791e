"""Delay networks over lag edges are convolutions, recursions and simple recurrent networks.

- A TDNN layer that sees K inputs is a causal `torch.nn.Conv1d` of width K: one weight per lag, zeros before the
  beginning. It waits for nothing, so one sync round that begins with u = x computes what async mode does.
- A NARX network that is told the true outputs (series-parallel) waits for nothing either; one that is told none
  (parallel) goes on from its own, and one that is told the first few goes on from those. With its hidden layer for
  an output, and one lag, it is the simple recurrent network.
- An autoregressive process that is left alone is a power of its companion matrix.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close, assert_close
from tests.trials import Trial, gradients, trial

lengths_of_sequences = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@settings(max_examples=15)
@given(
    lengths=lengths_of_sequences,
    inputs=strategies.sizes,
    hidden=strategies.sizes,
    width=st.integers(2, 5),
    mode=st.sampled_from(["async", "sync"]),
)
def test_tdnn_is_a_causal_convolution(lengths, inputs, hidden, width, mode):
    def make(inputs, hidden):
        return gr.TDNNCell(inputs, hidden, lags=width - 1)

    s = gr.lagged(lengths, width - 1)
    run = trial(make, s, mode=mode, rounds=1 if mode == "sync" else None, inputs=inputs, hidden=hidden)
    if mode == "sync":
        run.initial = run.cell.State(h=torch.zeros(s.num_nodes, hidden, dtype=torch.float64), u=run.x)
    conv = nn.Conv1d(inputs, hidden, width).double()
    now, past = run.cell.input, run.cell.past
    with torch.no_grad():
        conv.weight[:, :, -1] = now.weight  # torch's last is the latest input
        conv.weight[:, :, :-1] = past.weight.unflatten(1, (width - 1, inputs)).transpose(1, 2).flip(2)
        conv.bias.copy_(now.bias)

    padded = [nn.functional.pad(x.t(), (width - 1, 0)) for x in run.x.split(lengths)]
    expected = torch.cat([torch.tanh(conv(x)).t() for x in padded])
    state = run.run()
    assert_close(state.h, expected)
    assert torch.equal(state.u, run.x)
    ours = gradients((state.h,), {"x": run.x, "W_0": now.weight, "W": past.weight, "b": now.bias})
    theirs = gradients((expected,), {"x": run.x, "W": conv.weight, "b": conv.bias})
    theirs["W_0"] = theirs["W"][:, :, -1]
    theirs["W"] = theirs["W"][:, :, :-1].flip(2).transpose(1, 2).flatten(1)
    assert_all_close(ours, {name: theirs[name] for name in ours})


def test_lags_of_a_tdnn_need_not_follow_each_other():
    """Every second input: a dilated convolution."""
    s = gr.lagged([9, 2], [2, 4])
    run = trial(lambda d, h: gr.TDNNCell(d, h, lags=2, activation="linear"), s)
    conv = nn.Conv1d(3, 2, 3, dilation=2).double()
    W_2, W_4 = run.cell.past.weight.chunk(2, dim=1)
    with torch.no_grad():
        conv.weight.copy_(torch.stack([W_4, W_2, run.cell.input.weight], dim=2))
        conv.bias.copy_(run.cell.input.bias)
    padded = [nn.functional.pad(x.t(), (4, 0)) for x in run.x.split([9, 2])]
    assert_close(run.run().h, torch.cat([conv(x).t() for x in padded]))


D, H, Y = 3, 4, 2


def narx_trial(lengths, input_lags, output_lags, known):
    """A NARX network over sequences whose true outputs stand in x; `known` says after how many it is on its own."""
    s = gr.lagged(lengths, max(input_lags, output_lags))
    run = trial(lambda d, h: gr.NARXCell(d, h, Y, input_lags, output_lags), s, inputs=D, hidden=H)
    time = torch.cat([torch.arange(length) for length in lengths])
    told = (time < known).double()[:, None]
    x = torch.cat([run.x.detach()[:, :-1], told], dim=1).requires_grad_()
    return Trial(run.cell, s, x)


def narx_by_hand(run, lengths):
    """y of every node, sequence after sequence and step after step."""
    cell = run.cell
    W = cell.past.weight[:, : D * cell.input_lags].split(D, dim=1) if cell.input_lags else ()
    U = cell.past.weight[:, D * cell.input_lags :].split(Y, dim=1)
    outputs = []
    for rows in run.x.split(lengths):
        seen = []
        for t, (u, true, known) in enumerate(zip(*rows.split([D, Y, 1], dim=1), strict=True)):
            a = cell.input.weight @ u + cell.input.bias
            for k in range(1, min(t, cell.input_lags) + 1):
                a = a + W[k - 1] @ rows[t - k, :D]
            for k in range(1, min(t, cell.output_lags) + 1):
                a = a + U[k - 1] @ seen[t - k]
            y = cell.output.weight @ torch.tanh(a) + cell.output.bias
            outputs.append(y)
            seen.append(true if known else y)
    return torch.stack(outputs)


@pytest.mark.parametrize(("input_lags", "output_lags"), [(0, 1), (1, 1), (2, 3), (3, 1), (0, 2)])
@pytest.mark.parametrize("known", [0, 2, 100], ids=["parallel", "warm start", "series-parallel"])
def test_narx_by_hand(input_lags, output_lags, known):
    lengths = [5, 1, 3]
    run = narx_trial(lengths, input_lags, output_lags, known)
    y, expected = run.run().y, narx_by_hand(run, lengths)
    assert_close(y, expected)
    assert_all_close(gradients((y,), run.inputs), gradients((expected,), run.inputs))


@pytest.mark.parametrize(("input_lags", "output_lags"), [(0, 1), (2, 3), (3, 1)])
def test_narx_that_is_told_everything_needs_one_round(input_lags, output_lags):
    run = narx_trial([5, 1, 3], input_lags, output_lags, known=100)
    u, true, _ = run.x.split([D, Y, 1], dim=1)
    before = run.cell.State(y=torch.zeros_like(true), seen=true, u=u)
    at_once = Trial(run.cell, run.structure, run.x, before, mode="sync", rounds=1)
    one, other = at_once.run(), run.run()
    assert_all_close(one._asdict(), other._asdict())
    assert_all_close(gradients(tuple(one), run.inputs), gradients(tuple(other), run.inputs))


@settings(max_examples=15)
@given(lengths=lengths_of_sequences, inputs=strategies.sizes, hidden=strategies.sizes)
def test_narx_that_feeds_back_its_hidden_layer_is_srn(lengths, inputs, hidden):
    srn = trial(gr.SRNCell, gr.chains(lengths), "per graph", inputs=inputs, hidden=hidden)
    narx = gr.NARXCell(inputs, hidden, hidden, input_lags=0, output_lags=1).double()
    with torch.no_grad():
        narx.input.load_state_dict(srn.cell.input.state_dict())
        narx.past.weight.copy_(srn.cell.recurrent.weight)
        narx.output.weight.copy_(torch.eye(hidden))
        narx.output.bias.zero_()
    x = torch.cat([srn.x, srn.x.new_zeros(len(srn.x), hidden + 1)], dim=1)
    h0 = srn.initial.h
    before = narx.State(y=h0, seen=h0, u=h0.new_zeros(len(h0), inputs))
    y = Trial(narx, gr.lagged(lengths, 1), x, before).run().y
    assert_close(y, srn.run().h)
    inputs_of_both = {"x": srn.x, "h0": h0}
    ours = gradients((y,), inputs_of_both | {"U": narx.past.weight})
    assert_all_close(ours, gradients((srn.run().h,), inputs_of_both | {"U": srn.cell.recurrent.weight}))


@pytest.mark.parametrize("lags", [1, 2, 4])
def test_a_process_that_is_left_alone_is_a_power_of_its_companion_matrix(lags):
    """z_t = C z_{t-1} + (b, 0, …) for z_t = (y_t, …, y_{t-K+1}); before the beginning all y are the initial one."""
    lengths = [6, 0, 9, 1]
    run = trial(lambda d, h: gr.ARCell(h, lags), gr.lagged(lengths, lags), "per graph", hidden=Y)
    run.x = torch.zeros_like(run.x)
    A, b = run.cell.past.weight.detach().numpy(), run.cell.past.bias.detach().numpy()
    C = np.eye(lags * Y, k=-Y)
    C[:Y] = A
    C_and_b = np.block([[C, np.eye(lags * Y, Y) @ b[:, None]], [np.zeros((1, lags * Y)), np.ones((1, 1))]])
    expected = [
        (np.linalg.matrix_power(C_and_b, t + 1) @ np.array([*np.tile(y0, lags), 1]))[:Y]
        for y0, length in zip(run.initial.seen.detach().numpy(), lengths, strict=True)
        for t in range(length)
    ]
    state = run.run()
    assert_close(state.y, torch.tensor(np.array(expected)))
    assert torch.equal(state.seen, state.y)


def test_a_process_that_is_told_its_past_predicts_one_step():
    """y_t = b + sum_k A_k true_{t-k}: a matrix product with the true values shifted, zeros before the beginning."""
    lengths = [6, 0, 9, 1]
    run = trial(lambda d, h: gr.ARCell(h, 3), gr.lagged(lengths, [1, 2, 5]), hidden=Y)
    true = run.x.detach()[:, :Y]
    run.x = torch.cat([true, torch.ones(len(true), 1)], dim=1).double()
    rows = [np.concatenate([np.zeros((5, Y)), part.numpy()]) for part in true.split(lengths)]
    shifted = np.concatenate([np.hstack([part[5 - k : len(part) - k] for k in (1, 2, 5)]) for part in rows])
    expected = shifted @ run.cell.past.weight.detach().numpy().T + run.cell.past.bias.detach().numpy()
    state = run.run()
    assert_close(state.y, torch.tensor(expected))
    assert torch.equal(state.seen, true)
    at_once = Trial(run.cell, run.structure, run.x, run.cell.State(true * 0, true), mode="sync", rounds=1)
    assert_close(at_once.run().y, torch.tensor(expected))
