"""TDNN, NARX and AR as models: convolutions, both forms, free runs, least squares."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import graphrec as gr
from tests.counting import Count
from tests.tolerances import assert_all_close
from tests.trials import gradients

lengths = st.lists(st.integers(0, 6), min_size=1, max_size=3).filter(any)


def causal(convolution, x):
    """`[T, D] → [T, H]`"""
    window = convolution.kernel_size[0]
    return convolution(nn.functional.pad(x.t(), (window - 1, 0)))[:, : len(x)].t()


@given(sizes=lengths, window=st.integers(2, 8))
def test_a_tdnn_is_a_stack_of_causal_convolutions(sizes, window):
    model = gr.Stacked([gr.TDNN(3, 4, window), gr.TDNN(4, 2, 2)]).double()
    convolutions = [nn.Conv1d(3, 4, window).double(), nn.Conv1d(4, 2, 2).double()]
    for layer, convolution in zip(model.layers, convolutions, strict=True):
        # torch: [H, D, K], the newest input last; here: the newest first, then lag 1, 2, …
        by_lag = [layer.cell.input.weight, *layer.cell.past.weight.split(layer.cell.seen, dim=1)]
        convolution.weight.data.copy_(torch.stack(by_lag[::-1], dim=2))
        convolution.bias.data.copy_(layer.cell.input.bias)
    s = gr.chains(sizes)
    x = torch.randn(s.num_nodes, 3, dtype=torch.float64, requires_grad=True)
    first, second = convolutions
    expected = torch.cat(
        [torch.tanh(causal(second, torch.tanh(causal(first, part)))) for part in x.split(sizes) if len(part)]
    )
    h = model(x, s)
    biases = [layer.cell.input.bias for layer in model.layers]
    assert_all_close(
        {"h": h} | gradients((h,), {"x": x, "b1": biases[0], "b2": biases[1]}),
        {"h": expected} | gradients((expected,), {"x": x, "b1": first.bias, "b2": second.bias}),
    )


def test_a_tdnn_computes_all_nodes_at_once():
    model = gr.TDNN(3, 4, 3)

    def products(length):
        with Count() as count, torch.no_grad():
            model(torch.zeros(length, 3), gr.chain(length))
        return len(count.products)

    assert products(10) == products(1000)


def narx_by_hand(cell, x, y, known, past):
    """One sequence, node by node."""
    D, Y, inputs, seen, outputs = cell.exogenous, cell.outputs, [], [], []
    W0, b, V, c = cell.input.weight, cell.input.bias, cell.output.weight, cell.output.bias
    W, U = cell.past.weight.split([cell.input_lags * D, cell.output_lags * Y], dim=1)
    for t in range(len(x)):
        h = W0 @ x[t] + b
        for k in range(1, cell.input_lags + 1):
            h = h + W[:, (k - 1) * D : k * D] @ (inputs[t - k] if t >= k else past[0])
        for k in range(1, cell.output_lags + 1):
            h = h + U[:, (k - 1) * Y : k * Y] @ (seen[t - k] if t >= k else past[1])
        out = V @ torch.tanh(h) + c
        inputs.append(x[t])
        outputs.append(out)
        seen.append(y[t] if known[t] else out)
    return torch.stack(outputs)


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    lags=st.tuples(st.integers(0, 3), st.integers(1, 3)),
    form=st.sampled_from(["series-parallel", "parallel", "both"]),
    begins=st.booleans(),
)
def test_narx_in_both_forms(sizes, lags, form, begins):
    model = gr.NARX(2, 3, 2, *lags).double()
    s = gr.chains(sizes)
    count = s.num_nodes
    x, y = (torch.randn(count, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    known = {
        "series-parallel": torch.ones(count, dtype=torch.bool),
        "parallel": torch.zeros(count, dtype=torch.bool),
        "both": torch.rand(count) < 0.5,
    }[form]
    past = (
        tuple(torch.randn(len(sizes), 2, dtype=torch.float64) for _ in range(2))
        if begins
        else (torch.zeros(len(sizes), 2, dtype=torch.float64),) * 2
    )
    actual = model(
        x,
        s,
        None if form == "parallel" else y,
        known if form == "both" else None,
        past if begins else None,
    )
    parts = zip(x.split(sizes), y.split(sizes), known.split(sizes), *past, strict=True)
    expected = torch.cat([narx_by_hand(model.cell, *part[:3], part[3:]) for part in parts])
    inputs = {"x": x, "y": y, **dict(model.named_parameters())}
    assert_all_close(
        {"y": actual} | gradients((actual,), inputs), {"y": expected} | gradients((expected,), inputs)
    )


def test_what_is_not_known_may_be_anything():
    model = gr.NARX(1, 3, 1, 1, 2)
    x, y = torch.randn(4, 1), torch.randn(4, 1)
    known = torch.tensor([True, True, False, False])
    unknown = y.masked_fill(~known.unsqueeze(1), float("nan"))
    assert torch.equal(model(x, gr.chain(4), y, known), model(x, gr.chain(4), unknown, known))


def test_least_squares_finds_the_process_that_made_the_series():
    generator = np.random.default_rng(0)
    A = np.array([[[0.5, 0.1], [-0.2, 0.3]], [[-0.3, 0.0], [0.1, 0.2]]])  # A_1, A_2
    b = np.array([0.2, -0.1])
    sizes = [40, 1, 60]
    series = []
    for size in sizes:
        y = [generator.normal(size=2), generator.normal(size=2)]
        while len(y) < size:
            y.append(b + A[0] @ y[-1] + A[1] @ y[-2])
        series += y[:size]
    y, s = torch.tensor(np.array(series)), gr.chains(sizes)
    model = gr.AR(2, 2).double().fit(y, s)
    assert_all_close(
        {"A": model.cell.past.weight.detach(), "b": model.cell.past.bias.detach()},
        {"A": torch.tensor(np.concatenate(A, axis=1)), "b": torch.tensor(b)},
    )
    # One step ahead it is right wherever all the past is there; and so, run freely, forever after.
    settled = torch.cat([torch.arange(size) >= 2 for size in sizes])
    known = ~settled
    assert_all_close({"y": model(y, s)[settled]}, {"y": y[settled]})
    assert_all_close({"y": model(y, s, known)[settled]}, {"y": y[settled]})


def test_least_squares_is_numpys_on_noise():
    y = torch.randn(50, 1, dtype=torch.float64)
    model = gr.AR(1, 3).double().fit(y, gr.chain(50))
    series = y.flatten().numpy()
    design = np.stack([series[2:-1], series[1:-2], series[:-3], np.ones(47)], axis=1)
    found = np.linalg.lstsq(design, series[3:], rcond=None)[0]
    actual = torch.cat([model.cell.past.weight.flatten(), model.cell.past.bias]).detach()
    assert_all_close({"coefficients": actual}, {"coefficients": torch.tensor(found)})


narx, x3 = gr.NARX(1, 2, 1, 1, 1), torch.zeros(3, 1)
REFUSED = {
    "a window of one": (lambda: gr.TDNN(3, 4, 1), ValueError, "window must be 2 or more"),
    "no output lags": (lambda: gr.NARX(1, 2, 1, 1, 0), ValueError, "output_lags must be 1 or more, got 0"),
    "no lags": (lambda: gr.AR(1, 0), ValueError, "lags must be 1 or more, got 0"),
    "half a lag": (lambda: gr.NARX(1, 2, 1, 1.5, 1), TypeError, "input_lags must be a whole number, got 1.5"),
    "half a past": (lambda: narx(x3, gr.chain(3), past=(x3[:1],)), TypeError, "pair of tensors"),
    "a past that is no pair": (lambda: narx(x3, gr.chain(3), past=x3), TypeError, "pair of tensors"),
    "outputs of the wrong shape": (
        lambda: narx(x3, gr.chain(3), torch.zeros(3, 2)),
        ValueError,
        r"y must have shape \[3, 1\].*got \(3, 2\)",
    ),
    "inputs of the wrong width": (
        lambda: narx(torch.zeros(3, 2), gr.chain(3)),
        ValueError,
        r"x must have shape \[3, 1\], got \(3, 2\)",
    ),
    "outputs of another dtype": (
        lambda: narx(x3, gr.chain(3), x3.double()),
        TypeError,
        "y must be torch.float32 as x is, got torch.float64",
    ),
    "a past for another number of sequences": (
        lambda: narx(x3, gr.chain(3), past=(torch.zeros(2, 1), torch.zeros(1, 1))),
        ValueError,
        r"the past input must have shape \[1, 1\], got \(2, 1\)",
    ),
    "a fit to a series of another width": (
        lambda: gr.AR(2, 1).fit(torch.zeros(5, 1), gr.chain(5)),
        ValueError,
        r"y must have shape \[5, 2\], got \(5, 1\)",
    ),
    "known without outputs": (
        lambda: narx(x3, gr.chain(3), known=torch.ones(3, dtype=torch.bool)),
        ValueError,
        "give y, too",
    ),
    "known that is no truth": (
        lambda: narx(x3, gr.chain(3), x3, torch.ones(3)),
        TypeError,
        r"bool tensor of shape \[3\], got torch.float32",
    ),
    "lags over a tree": (
        lambda: narx(torch.zeros(3, 1), gr.dag([[0, 1], [2, 2]], 3)),
        ValueError,
        "one predecessor at most, but node 2 has 2",
    ),
    "too short to fit": (
        lambda: gr.AR(1, 3).fit(torch.zeros(5, 1), gr.chain(5)),
        ValueError,
        "at least 4 nodes with 3 predecessors, got 2",
    ),
    "a TDNN with a state": (
        lambda: gr.TDNN(1, 2, 2)(x3, gr.chain(3), initial=[x3]),
        ValueError,
        "TDNN has no states, and so takes no initial ones",
    ),
}


@pytest.mark.parametrize(("attempt", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt()
