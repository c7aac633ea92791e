"""Models over sequences are torch's layers: same weights, containers, values, gradients, initial and final states."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import graphrec as gr
from tests.tolerances import assert_all_close, assert_close
from tests.trials import gradients

KINDS = [nn.RNN, nn.LSTM, nn.GRU]
layouts = {
    "kind": st.sampled_from(KINDS),
    "layers": st.integers(1, 3),
    "both": st.booleans(),
    "bias": st.booleans(),
}


def as_tuple(state):
    return state if isinstance(state, tuple) else (state,)


def initial_for(net, batch, hidden=4):
    directions = 2 if net.bidirectional else 1
    state = torch.randn(net.num_layers * directions, batch, hidden, dtype=torch.float64, requires_grad=True)
    return (state, state.detach().sin().requires_grad_()) if isinstance(net, nn.LSTM) else state


def values_and_gradients(output, state, x, initial, model):
    """Everything that two computations must agree in; weights in torch's order."""
    rows = output.data if isinstance(output, PackedSequence) else output
    values = {"output": rows, **{f"final {i}": field for i, field in enumerate(as_tuple(state))}}
    inputs = {"x": x} | {
        f"initial {i}": t for i, t in enumerate(() if initial is None else as_tuple(initial))
    }
    inputs |= {f"weight {i}": weight for i, weight in enumerate(in_torchs_order(model))}
    return values | gradients(tuple(values.values()), inputs)


def projection(cell):
    return [cell.projection.weight] if isinstance(cell, gr.ProjectedLSTMCell) else []


def in_torchs_order(model):
    if isinstance(model, nn.RNNBase):
        return [weight for layer in model.all_weights for weight in layer]
    cells = [m for m in model.modules() if isinstance(m, gr.Cell)]
    parts = [
        (c.input.weight, c.recurrent.weight, c.input.bias, c.recurrent.bias, *projection(c)) for c in cells
    ]
    return [weight for part in parts for weight in part if weight is not None]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
@given(layers=st.integers(1, 3), both=st.booleans(), bias=st.booleans(), begins=st.booleans())
def test_projections(layers, both, bias, begins):
    net = nn.LSTM(3, 4, layers, bias=bias, bidirectional=both, proj_size=2).double()
    ours = gr.from_torch(net)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    initial = (initial_for(net, 2, 2)[0], initial_for(net, 2, 4)[1]) if begins else None
    assert_all_close(
        values_and_gradients(*ours(x, initial), x, initial, ours),
        values_and_gradients(*net(x, initial), x, initial, net),
    )
    assert_all_close(gr.to_torch(ours).state_dict(), net.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_dict_of_torchs_layer_is_loaded(kind):
    """By itself and as a part of a larger module; and that of our own still is."""
    options = {"num_layers": 2, "bidirectional": True}
    net, other = kind(3, 4, **options), kind(3, 4, **options)
    ours, x = gr.from_torch(net), torch.randn(5, 2, 3)
    ours.load_state_dict(other.state_dict())
    assert_close(ours(x)[0], other(x)[0])
    whole, theirs = nn.ModuleDict({"rnn": ours}), nn.ModuleDict({"rnn": net})
    whole.load_state_dict(theirs.state_dict())
    assert_close(ours(x)[0], net(x)[0])
    whole.load_state_dict(whole.state_dict())
    with pytest.raises(RuntimeError, match="size mismatch"):
        ours.load_state_dict(kind(3, 5, **options).state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        ours.load_state_dict(kind(3, 4).state_dict())


def test_one_bias_is_the_sum_of_torchs_two():
    net, ours = nn.LSTM(3, 4, batch_first=True), gr.Sequences(gr.LSTM(3, 4))
    ours.load_state_dict(net.state_dict())
    x = torch.randn(2, 5, 3)
    assert_close(ours(x)[0], net(x)[0])


def test_the_initial_state_goes_by_torchs_name():
    net = nn.GRU(3, 4)
    x, h = torch.randn(5, 2, 3), torch.randn(1, 2, 4)
    assert_close(gr.from_torch(net)(x, hx=h)[0], net(x, hx=h)[0])


@pytest.mark.parametrize("batch_first", [True, False])
@given(**layouts, sizes=st.tuples(st.integers(1, 3), st.integers(1, 5)), begins=st.booleans())
def test_padded_tensors(batch_first, kind, layers, both, bias, sizes, begins):
    net = kind(3, 4, layers, bias=bias, bidirectional=both, batch_first=batch_first).double()
    ours = gr.from_torch(net)
    x = torch.randn(*(sizes if batch_first else sizes[::-1]), 3, dtype=torch.float64, requires_grad=True)
    initial = initial_for(net, sizes[0]) if begins else None
    assert_all_close(
        values_and_gradients(*ours(x, initial), x, initial, ours),
        values_and_gradients(*net(x, initial), x, initial, net),
    )


@given(**layouts, lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4), sort=st.booleans())
def test_packed_sequences(kind, layers, both, bias, lengths, sort):
    net = kind(3, 4, layers, bias=bias, bidirectional=both).double()
    ours = gr.from_torch(net)
    lengths = sorted(lengths, reverse=True) if sort else lengths
    x = torch.randn(len(lengths), max(lengths), 3, dtype=torch.float64, requires_grad=True)
    initial = initial_for(net, len(lengths))
    theirs, ourselves = (
        model(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=sort), initial)
        for model in (net, ours)
    )
    for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        mine, other = getattr(ourselves[0], name), getattr(theirs[0], name)
        assert (mine is None and other is None) or torch.equal(mine, other)
    assert_all_close(
        values_and_gradients(*ourselves, x, initial, ours), values_and_gradients(*theirs, x, initial, net)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_lists_and_lengths(kind):
    net = kind(3, 4, 2, bidirectional=True, batch_first=True).double()
    ours = gr.from_torch(net)
    members = [torch.randn(t, 3, dtype=torch.float64) for t in (2, 5, 1)]
    packed = pack_sequence(members, enforce_sorted=False)
    expected, final = net(packed)
    expected = nn.utils.rnn.unpack_sequence(expected)
    outputs, states = ours(members)
    padded, same_states = ours(nn.utils.rnn.pad_sequence(members, batch_first=True), lengths=[2, 5, 1])
    for b, (output, other) in enumerate(zip(outputs, expected, strict=True)):
        assert_all_close(
            {"list": output, "padded": padded[b, : len(other)]}, {"list": other, "padded": other}
        )
        assert not padded[b, len(other) :].any()
    for i, state in enumerate(as_tuple(final)):
        assert_all_close(
            {"list": as_tuple(states)[i], "padded": as_tuple(same_states)[i]},
            {"list": state, "padded": state},
        )


@pytest.mark.parametrize("kind", KINDS)
def test_one_sequence_without_a_batch(kind):
    net = kind(3, 4, 2).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    state = torch.randn(2, 4, dtype=torch.float64)
    initial = (state, state.cos()) if kind is nn.LSTM else state
    output, final = gr.from_torch(net)(x, initial)
    expected, expected_final = net(x, initial)
    assert_all_close(
        {"output": output} | {str(i): t for i, t in enumerate(as_tuple(final))},
        {"output": expected} | {str(i): t for i, t in enumerate(as_tuple(expected_final))},
    )


@given(**layouts)
def test_weights_there_and_back_are_the_same_bits(kind, layers, both, bias):
    net = kind(3, 4, layers, bias=bias, bidirectional=both, dropout=0.25 if layers > 1 else 0.0)
    back = gr.to_torch(gr.from_torch(net))
    assert type(back) is kind
    for name in (
        "num_layers",
        "bias",
        "bidirectional",
        "dropout",
        "batch_first",
        "input_size",
        "hidden_size",
    ):
        assert getattr(back, name) == getattr(net, name)
    assert back.state_dict().keys() == net.state_dict().keys()
    assert all(torch.equal(back.state_dict()[name], weight) for name, weight in net.state_dict().items())


def test_relu_training_mode_and_frozen_weights_are_taken_over():
    net = nn.RNN(3, 4, nonlinearity="relu").eval().requires_grad_(False)
    ours = gr.from_torch(net)
    assert not ours.training
    assert not any(p.requires_grad for p in ours.parameters())
    back = gr.to_torch(ours)
    assert back.nonlinearity == "relu"
    assert not back.training
    assert not any(p.requires_grad for p in back.parameters())


@pytest.mark.parametrize("make", [gr.SRN, gr.LSTM, gr.GRU])
def test_a_model_made_here_goes_to_torch(make):
    model = gr.Stacked([gr.Bidirectional(make(3, 4), make(3, 4)), gr.Bidirectional(make(8, 4), make(8, 4))])
    x = torch.randn(2, 5, 3)
    assert_all_close({"output": gr.Sequences(model)(x)[0]}, {"output": gr.to_torch(model.eval())(x)[0]})


def test_empty_sequences_end_as_they_began():
    model = gr.Sequences(gr.Stacked([gr.LSTM(3, 4), gr.LSTM(4, 4)]))
    h0, c0 = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    output, (h, c) = model(torch.randn(3, 5, 3), (h0, c0), lengths=[2, 0, 5])
    assert torch.equal(h[:, 1], h0[:, 1])
    assert torch.equal(c[:, 1], c0[:, 1])
    assert not output[1].any()
    _, (h, c) = model(torch.randn(3, 5, 3), lengths=torch.tensor([2, 0, 5]))
    assert not h[:, 1].any()


def test_states_that_differ_in_kind_stay_a_list():
    model = gr.Sequences(gr.Stacked([gr.LSTM(3, 4), gr.GRU(4, 5)]))
    _, states = model([torch.randn(2, 3)])
    assert [type(state) for state in states] == [gr.LSTMCell.State, gr.GRUCell.State]


@pytest.mark.parametrize("part", ["input", "recurrent"])
def test_one_bias_does_for_torchs_two(part):
    cell = gr.LSTMCell(3, 4, biases=2).double()
    getattr(cell, part).bias = None
    x = torch.randn(5, 3, dtype=torch.float64)
    net = gr.to_torch(gr.Recursive(cell))
    assert_all_close({"h": net(x.unsqueeze(0))[0][0]}, {"h": gr.Recursive(cell)(x, gr.chain(5))})


def hooked(model):
    model.register_forward_hook(lambda module, inputs, h: 2 * h)
    return model


REFUSED = {
    "half an initial state": (
        lambda: gr.Sequences(gr.LSTM(3, 4))(torch.zeros(1, 2, 3), (torch.zeros(1, 1, 4), None)),
        TypeError,
        r"as torch has them.*got \['Tensor', 'NoneType'\]",
    ),
    "an empty initial state": (
        lambda: gr.Sequences(gr.LSTM(3, 4))(torch.zeros(1, 2, 3), ()),
        TypeError,
        "as torch has them",
    ),
    "a layer whose rows are changed": (
        lambda: gr.to_torch(hooked(gr.GRU(3, 4))),
        TypeError,
        "torch has layers of",
    ),
    "a GRU of two biases into one of one": (
        lambda: gr.Sequences(gr.Recursive(gr.GRUCell(3, 4, biases=1))).load_state_dict(
            nn.GRU(3, 4).state_dict()
        ),
        ValueError,
        "bias_hh_l0 has no place in a GRUCell of one bias: make it with biases=2",
    ),
    "a cell of torch's": (lambda: gr.from_torch(nn.LSTMCell(3, 4)), TypeError, "torch.nn.RNN, LSTM or GRU"),
    "a cell that torch has not": (
        lambda: gr.to_torch(gr.Recursive(gr.PeepholeLSTMCell(3, 4))),
        TypeError,
        "torch has layers of .* got PeepholeLSTMCell",
    ),
    "a logistic SRN": (lambda: gr.to_torch(gr.SRN(3, 4, "logistic")), TypeError, "tanh or relu"),
    "directions that are summed": (
        lambda: gr.to_torch(gr.Bidirectional(gr.GRU(3, 4), gr.GRU(3, 4), "sum")),
        TypeError,
        "side by side, got Bidirectional",
    ),
    "layers of different cells": (
        lambda: gr.to_torch(gr.Stacked([gr.LSTM(3, 4), gr.GRU(4, 4)])),
        ValueError,
        "one cell, hidden size and number of directions",
    ),
    "layers of different widths": (
        lambda: gr.to_torch(gr.Stacked([gr.GRU(3, 4), gr.GRU(4, 5)])),
        ValueError,
        "layer 1 has",
    ),
    "layers that do not fit": (
        lambda: gr.to_torch(gr.Stacked([gr.GRU(3, 4), gr.GRU(5, 4)])),
        ValueError,
        "layer 1 must take inputs of width 4",
    ),
    "a step module": (
        lambda: gr.to_torch(gr.Recursive(gr.StepCell(nn.GRUCell(3, 4)))),
        TypeError,
        "got StepCell",
    ),
    "no model": (lambda: gr.Sequences(nn.Linear(3, 4)), TypeError, "model with states, got Linear"),
    "initial states of the wrong shape": (
        lambda: gr.Sequences(gr.GRU(3, 4))(torch.zeros(2, 5, 3), torch.zeros(1, 3, 4)),
        ValueError,
        r"\[1, 2, H\].*got \(1, 3, 4\)",
    ),
    "lengths for a list": (
        lambda: gr.Sequences(gr.GRU(3, 4))([torch.zeros(2, 3)], lengths=[2]),
        ValueError,
        "knows its own",
    ),
    "inputs of the wrong width": (
        lambda: gr.Sequences(gr.GRU(3, 4))(torch.zeros(2, 5, 4)),
        ValueError,
        r"\[10, 3\] for this cell",
    ),
}


@pytest.mark.parametrize(("attempt", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt()


def test_weights_are_loaded_whatever_hooks_do():
    net = nn.LSTM(3, 5)
    ours = gr.from_torch(nn.LSTM(3, 5))
    ours.model.register_forward_pre_hook(lambda *_: None)
    ours.load_state_dict(net.state_dict())
    x = torch.randn(4, 2, 3)
    assert_close(ours(x)[0], net(x)[0])


@pytest.mark.parametrize("left_out", ["weight_ih_l0", "bias_ih_l0"])
@pytest.mark.parametrize("biases", [1, 2])
def test_parts_of_a_state_dict_are_loaded(left_out, biases):
    """A bias of two that are one here says nothing by itself."""
    state = {name: value for name, value in nn.LSTM(3, 5).state_dict().items() if name != left_out}
    ours = gr.Sequences(gr.Recursive(gr.LSTMCell(3, 5, biases=biases)))
    found = ours.load_state_dict(state, strict=False)
    assert_close(ours.model.cell.recurrent.weight, state["weight_hh_l0"])
    assert len(found.missing_keys) == 1
    assert found.unexpected_keys == (["bias_hh_l0"] if biases == 1 and left_out == "bias_ih_l0" else [])
