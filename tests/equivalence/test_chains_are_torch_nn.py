"""On chains, cells are `torch.nn`'s layers: the SRN is `RNN`, LSTM and Tree-LSTM are `LSTM`, the GRU is `GRU`.

After copying the weights (sequence cells have torch's layout, with none, one or both of its biases; a Tree-LSTM's
gates stand in the order i, o, u, f of Tai et al. where torch has i, f, g, o), batches of sequences of different
lengths, packed for torch and side by side for graphrec, have the same outputs and the same gradients of the
inputs, of all weights, and of the initial state. The initial state is the state of a virtual predecessor of the
first node, which is what h0 and c0 are in torch: one row per sequence.

`torch.nn.GRU` resets after the matrix product, Cho et al. (2014), whom the Tree-GRU follows, before it; so
there the equations stand in place of `torch.nn`.
"""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, sigmoid, tanh
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close, assert_close
from tests.trials import gradients, trial

lengths_of_sequences = st.lists(st.integers(1, 6), min_size=1, max_size=4)
initial_states = st.sampled_from([None, "per graph"])


def run_torch(net, run):
    """A trial's inputs through a net of `torch.nn`: outputs in the order of nodes, and the final states."""
    lengths = torch.bincount(run.structure.graph).tolist()
    packed = pack_sequence(run.x.split(lengths), enforce_sorted=False)
    initial = None
    if run.initial is not None:
        initial = tuple(field[None] for field in run.initial)
        initial = initial if isinstance(net, nn.LSTM) else initial[0]
    outputs, final = net(packed, initial)
    return torch.cat(unpack_sequence(outputs)), final


def last_of_each(values, structure):
    return gr.readout.last(values, structure)


def initial_state_of(run):
    return {} if run.initial is None else {f"initial {name}": t for name, t in run.initial._asdict().items()}


LAYERS = {
    "RNN, tanh": (lambda d, h, n: gr.SRNCell(d, h, "tanh", biases=n), nn.RNN),
    "RNN, relu": (lambda d, h, n: gr.SRNCell(d, h, "relu", biases=n), partial(nn.RNN, nonlinearity="relu")),
    "LSTM": (lambda d, h, n: gr.LSTMCell(d, h, biases=n), nn.LSTM),
    "GRU": (lambda d, h, n: gr.GRUCell(d, h, biases=n), nn.GRU),
}


@pytest.mark.parametrize("biases", [0, 1, 2])
@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=12)
@given(lengths=lengths_of_sequences, inputs=strategies.sizes, hidden=strategies.sizes, initial=initial_states)
def test_cells_are_the_layers_of_torch(name, biases, lengths, inputs, hidden, initial):
    make, layer = LAYERS[name]
    run = trial(lambda d, h: make(d, h, biases), gr.chains(lengths), initial, inputs=inputs, hidden=hidden)
    net = layer(inputs, hidden, bias=biases > 0, batch_first=True).double()
    weights = {
        "W": (run.cell.input.weight, net.weight_ih_l0),
        "U": (run.cell.recurrent.weight, net.weight_hh_l0),
    }
    if biases > 0:
        weights["b"] = (run.cell.input.bias, net.bias_ih_l0)
        torch.nn.init.zeros_(net.bias_hh_l0)
    if biases > 1:
        weights["d"] = (run.cell.recurrent.bias, net.bias_hh_l0)
    with torch.no_grad():
        for ours, theirs in weights.values():
            theirs.copy_(ours)

    outputs, final = run_torch(net, run)
    last = final if isinstance(final, tuple) else (final,)
    expected = outputs, *(field[0] for field in last)
    inputs_of_both = {"x": run.x, **initial_state_of(run)}
    expected_gradients = gradients(expected, inputs_of_both | {name: w for name, (_, w) in weights.items()})
    for backend in (None, "loop"):  # as the engine likes, which may be torch's own; and the equations
        with gr.running_on(backend):
            state = run.run()
        actual = state.h, *(last_of_each(field, run.structure) for field in state)
        for ours, theirs in zip(actual, expected, strict=True):
            assert_close(ours, theirs)
        of_ours = gradients(actual, inputs_of_both | {name: w for name, (w, _) in weights.items()})
        assert_all_close(of_ours, expected_gradients)


def torch_order(i_o_u_f):
    """Gates stacked as in Tai et al., to gates stacked as in torch: i, f, g (their u), o."""
    i, o, u, f = i_o_u_f.chunk(4)
    return torch.cat([i, f, u, o])


@given(lengths=lengths_of_sequences, inputs=strategies.sizes, hidden=strategies.sizes, initial=initial_states)
def test_child_sum_tree_lstm_is_torch_lstm(lengths, inputs, hidden, initial):
    run = trial(gr.ChildSumTreeLSTMCell, gr.chains(lengths), initial, inputs=inputs, hidden=hidden)
    cell = run.cell
    net = nn.LSTM(inputs, hidden, batch_first=True).double()
    with torch.no_grad():
        net.weight_ih_l0.copy_(torch_order(cell.input.weight))
        net.weight_hh_l0.copy_(torch_order(torch.cat([cell.iou.weight, cell.forget.weight])))
        net.bias_ih_l0.copy_(torch_order(cell.input.bias))
        net.bias_hh_l0.zero_()

    state = run.run()
    h, c = state.h, last_of_each(state.c, run.structure)
    expected_h, (_, expected_c) = run_torch(net, run)
    assert_all_close({"h": h, "last c": c}, {"h": expected_h, "last c": expected_c[0]})

    ours = {"x": run.x, **initial_state_of(run)}
    actual = gradients((h, c), ours | dict(cell.named_parameters()))
    expected = gradients((expected_h, expected_c[0]), ours | dict(net.named_parameters()))
    of_recurrent = torch.cat(
        [
            zero_if_none(actual["iou.weight"], cell.iou.weight),
            zero_if_none(actual["forget.weight"], cell.forget.weight),
        ]
    )
    assert_all_close(
        {
            **{name: actual[name] for name in ours},
            "W": torch_order(actual["input.weight"]),
            "b": torch_order(actual["input.bias"]),
            "U": torch_order(of_recurrent),
        },
        {
            **{name: expected[name] for name in ours},
            "W": expected["weight_ih_l0"],
            "b": expected["bias_ih_l0"],
            "U": expected["weight_hh_l0"],
        },
    )


def zero_if_none(grad, like):
    return torch.zeros_like(like) if grad is None else grad


def textbook_gru(cell, x, h):
    """Cho et al. (2014), equations (5) to (8), over one sequence."""
    W_z, W_r, W_n = cell.input.weight.chunk(3)
    b_z, b_r, b_n = cell.input.bias.chunk(3)
    states = []
    for x_t in x:
        z = sigmoid(W_z @ x_t + cell.update.weight @ h + b_z)
        r = sigmoid(W_r @ x_t + cell.reset.weight @ h + b_r)
        candidate = tanh(W_n @ x_t + cell.candidate.weight @ (r * h) + b_n)
        h = z * h + (1 - z) * candidate
        states.append(h)
    return torch.stack(states)


@given(lengths=lengths_of_sequences, inputs=strategies.sizes, hidden=strategies.sizes, initial=initial_states)
def test_tree_gru_is_the_textbook_gru(lengths, inputs, hidden, initial):
    run = trial(gr.TreeGRUCell, gr.chains(lengths), initial, inputs=inputs, hidden=hidden)
    first = torch.zeros(len(lengths), hidden, dtype=torch.float64) if initial is None else run.initial.h
    expected = [textbook_gru(run.cell, x, h) for x, h in zip(run.x.split(lengths), first, strict=True)]
    assert_all_close(run.outcome(), run.outcome(lambda: run.cell.State(torch.cat(expected))))
