"""What is in the picture of a gradient flow: a line of medians per model, a band of quantiles, names, a log axis."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

import graphrec as gr
from graphrec import dynamics, viz


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    s = gr.chains([6, 4, 6])
    return torch.randn(s.num_nodes, 2), s


def test_one_model_is_measured_and_drawn(ax, inputs):
    model = gr.SRN(2, 3)
    flow = viz.gradient_flow(model, *inputs, ax, norm="frobenius")
    assert torch.equal(flow.norm, dynamics.gradient_flow(model, *inputs, norm="frobenius").norm)
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(line.get_ydata(), flow.quantile(0.5).numpy())
    (band,) = (c for c in ax.collections if isinstance(c, PolyCollection))
    corners = {(x, y) for x, y in band.get_paths()[0].vertices.tolist()}
    for q in (0.1, 0.9):
        assert corners.issuperset(enumerate(flow.quantile(q).tolist()))
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "Frobenius norm of dh_t/dh_k"
    assert ax.get_legend() is None


def test_several_models_have_a_legend_and_colours_of_their_own(ax, inputs):
    models = {"an SRN": gr.SRN(2, 3), "an LSTM": gr.LSTM(2, 3)}
    flows = viz.gradient_flow(models, *inputs, ax)
    assert list(flows) == list(models)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(models)
    assert len({line.get_color() for line in ax.lines}) == 2
    assert "dh_t/dh_k" in ax.get_ylabel()
    assert "d(h, c)_t/d(h, c)_k" in ax.get_ylabel()


def test_zeros_leave_a_gap(ax):
    s = gr.lagged([7], (1, 2))
    viz.gradient_flow(gr.TDNNCell(2, 3, lags=2), torch.ones(7, 2), s, ax)
    ax.figure.canvas.draw()
    assert ax.get_ylim()[0] > 0


def test_current_axes_are_taken_where_none_are_given(inputs):
    pyplot.switch_backend("agg")
    figure, ax = pyplot.subplots()
    viz.gradient_flow(gr.SRN(2, 3), *inputs)
    assert len(ax.lines) == 1
    pyplot.close(figure)


def test_no_flows_are_refused(ax):
    with pytest.raises(ValueError, match="dictionary of them by name"):
        viz.draw_gradient_flow({}, ax)
