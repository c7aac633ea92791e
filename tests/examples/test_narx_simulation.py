"""A NARX network in place of a fully connected one: every state against the equations, and what it takes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import graphrec as gr
from tests.tolerances import assert_close

# The activations once more, in numpy.
ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "CLAMP": lambda z: np.minimum(np.maximum(z, 0), 1),
    "CLAMP_BOTH_SIGNS": lambda z: np.minimum(np.maximum(z, -1), 1),
    "HALF_TANH": lambda z: np.where(z > 0, np.tanh(z), 0),
}


def one_step(network: gr.SRNCell, name: str, x: Tensor, u: Tensor) -> Tensor:
    """f(A x + B u + c) unit by unit, of the network's weights."""
    a, b, c = (
        w.detach().numpy() for w in (network.recurrent.weight, network.input.weight, network.input.bias)
    )
    z = [
        sum(a[i, j] * x[j].item() for j in range(len(x)))
        + sum(b[i, j] * u[j].item() for j in range(len(u)))
        + c[i]
        for i in range(len(x))
    ]
    return torch.from_numpy(ACTIVATIONS[name](np.array(z)))


def loop(network: gr.SRNCell, name: str, u: Tensor, start: Tensor) -> Tensor:
    """x(1) to x(T), `[T, N]`."""
    states = [start]
    for row in u:
        states.append(one_step(network, name, states[-1], row))
    return torch.stack(states[1:])


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("units", [1, 2, 3, 7])
@pytest.mark.parametrize("inputs", [1, 3])
def test_every_state_is_that_of_the_fully_connected_network(example, name, units, inputs):
    f = getattr(example, name)
    network = example.random_network(inputs, units, f, seed=units)
    u, start = example.random_case(inputs, units, f, 60, seed=inputs)
    expected = loop(network, name, u, start)
    assert expected.std(dim=0).max() > 0.1  # the network does something
    simulation = example.Simulation(network)
    with torch.no_grad():
        assert_close(simulation.states(simulation(u, start)), expected)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_each_step_is_right_whatever_the_weights(example, name, data):
    f = getattr(example, name)
    units = data.draw(st.integers(1, 4))
    network = gr.SRNCell(1, units, activation=f).double()
    numbers = st.floats(-4, 4, allow_subnormal=False)
    with torch.no_grad():
        for p in network.parameters():
            drawn = data.draw(st.lists(numbers, min_size=p.numel(), max_size=p.numel()))
            p.copy_(p.new_tensor(drawn).reshape(p.shape))
    shares = data.draw(st.lists(st.floats(0, 1, allow_subnormal=False), min_size=units, max_size=units))
    start = f.low + (f.high - f.low) * torch.tensor(shares, dtype=torch.float64)
    u = torch.tensor(data.draw(st.lists(st.sampled_from([-1.0, 0.3, 1.0]), min_size=1, max_size=6)))
    u = u.double().unsqueeze(1)
    simulation = example.Simulation(network)
    with torch.no_grad():
        x = torch.cat([start[None], simulation.states(simulation(u, start))])
    for before, row, after in zip(x[:-1], u, x[1:], strict=True):
        assert_close(after, one_step(network, name, before, row))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_it_is_a_narx_network_that_hears_its_own_output(example, name):
    f = getattr(example, name)
    network = example.random_network(2, 3, f, seed=0)
    u, start = example.random_case(2, 3, f, 20, seed=1)
    simulation = example.Simulation(network)
    cell = simulation.narx.cell
    assert (cell.exogenous, cell.hidden, cell.outputs) == (2, 4, 1)
    assert (cell.input_lags, cell.output_lags) == (0, 6)
    with torch.no_grad():
        y = simulation(u, start)
    # The same by hand: a tapped delay line, one hidden layer, one output.
    w0, b, w, v, c = (
        t.detach().numpy()
        for t in (
            cell.input.weight,
            cell.input.bias,
            cell.past.weight,
            cell.output.weight,
            cell.output.bias,
        )
    )
    emitted = [f.marker, *(start - f.low).tolist()]
    for row in u.numpy():
        for _ in range(4):
            line = np.array((emitted[::-1] + [0.0] * 6)[:6])
            emitted.append((v @ ACTIVATIONS[name](w0 @ row + w @ line + b) + c).item())
    assert_close(y.flatten(), torch.tensor(emitted, dtype=torch.float64))


def test_one_unit_at_most_is_not_saturated(example):
    outcome = example.compare(5, steps=40)
    for tick, h in enumerate(outcome.hidden):
        place = tick % 6  # the marker, then x_1, …
        allowed = 5 if place == 0 else place - 1
        assert not h[torch.arange(6) != allowed].any()
        if place == 0:
            assert h[allowed] == 1
    assert outcome.y[:, 0].eq(2).all()
    assert outcome.y[:, 1:].lt(2).all()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_smaller_gates_are_not_enough(example, share):
    # Both units excite each other: nothing but the gate keeps them quiet when it is not their turn.
    network = gr.SRNCell(1, 2, activation=example.CLAMP).double()
    with torch.no_grad():
        network.recurrent.weight.copy_(torch.tensor([[0.4, 0.5], [0.5, 0.4]]))
        network.input.weight.zero_()
        network.input.bias.zero_()
    u, start = torch.zeros(10, 1).double(), torch.tensor([1.0, 0.9]).double()
    expected = loop(network, "CLAMP", u, start)
    simulation = example.Simulation(network)
    with torch.no_grad():
        assert_close(simulation.states(simulation(u, start)), expected)
        gate = simulation.narx.cell.past.weight.diagonal()[:2]
        simulation.narx.cell.input.bias[:2] += (1 - share) * gate * 2
        gate *= share
        wrong = simulation.states(simulation(u, start))
    assert (wrong - expected).abs().max() > 0.1


def half_tanh(example, on: float):
    return example.Saturated(lambda z: z.relu().tanh(), low=0, high=1, knee=0, on=on)


def test_the_marker_stays_over_a_long_run(example):
    f = half_tanh(example, on=1.5)
    assert (example.compare(1, f, steps=600).y[:, 0] - f.marker).abs().max() < 1e-14


def test_round_off_of_the_marker_is_multiplied_by_the_factor(example):
    f = half_tanh(example, on=1.5)
    cell = example.Simulation(example.random_network(1, 2, f, seed=0)).narx.cell
    y = torch.tensor(f.marker, dtype=torch.float64, requires_grad=True)
    taps = torch.zeros(4).double().index_put((torch.tensor(2),), y)  # the marker of three ticks ago
    cell.output(f(cell.past(taps) + cell.input.bias)).sum().backward()
    assert y.grad is not None
    assert_close(y.grad, y.new_tensor(f.factor))
    assert_close(y.grad, y.new_tensor(2 * 1.5 * (1 - np.tanh(1.5) ** 2) / np.tanh(1.5)))
    with pytest.raises(
        ValueError, match=r"nearly flat at on = 0\.5, got a slope .* by 1\.7: give a larger on"
    ):
        half_tanh(example, on=0.5)


def test_no_steps_are_no_states(example):
    simulation = example.Simulation(example.random_network(2, 3, example.CLAMP, seed=0))
    y = simulation(torch.zeros(0, 2).double(), torch.full((3,), 0.5).double())
    assert y.tolist() == [[2.0, 0.5, 0.5, 0.5]]
    assert simulation.states(y).shape == (0, 3)


def test_what_cannot_be_simulated_is_refused(example):
    with pytest.raises(ValueError, match=r"must be -1 at -3 and everywhere below.*such as tanh, cannot"):
        example.Saturated(torch.tanh, low=-1, high=1, knee=-3, on=3)
    with pytest.raises(ValueError, match=r"above 0 and at most 1 at on = -1, got 0\.0"):
        example.Saturated(lambda z: z.clamp(0, 1), low=0, high=1, knee=0, on=-1)
    with pytest.raises(
        TypeError, match=r"activation must be a Saturated.*make the cell with activation=CLAMP"
    ):
        example.Simulation(gr.SRNCell(2, 3))
    for biases in (0, 2):
        with pytest.raises(ValueError, match="one bias: make the cell with biases=1"):
            example.Simulation(gr.SRNCell(2, 3, example.CLAMP, biases=biases))
    simulation = example.Simulation(gr.SRNCell(2, 3, example.CLAMP), largest_input=0.5)
    u, start = torch.zeros(4, 2), torch.zeros(3)
    for large in (0.75, -0.75, torch.nan):
        with pytest.raises(ValueError, match=r"no input may exceed 0\.5"):
            simulation(torch.full((4, 2), large), start)
    with pytest.raises(ValueError, match="start must lie between 0 and 1"):
        simulation(u, start - 0.1)


def test_the_example_writes_its_picture(example, tmp_path, capsys):
    example.main(["--out", str(tmp_path)])
    assert " 20            21           40              21 " in capsys.readouterr().out
    assert (tmp_path / "narx_simulation.png").stat().st_size > 10_000
