"""The example on approximation: data against Taylor series, rollouts against a plain loop, errors by hand."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tolerances import assert_close

EXAMPLES = Path(__file__).parents[2] / "examples"


def product(a, b, k):
    """The k-th Taylor coefficient of a product."""
    return sum(a[i] * b[k - i] for i in range(k + 1))


def van_der_pol(s, k):
    """The Taylor coefficient k + 1 of x and v, from those up to k."""
    x, v = s
    square = [product(x, x, i) for i in range(k + 1)]
    return v[k] / (k + 1), (v[k] - product(square, v, k) - x[k]) / (k + 1)


def lorenz(s, k):
    x, y, z = s
    return (
        10 * (y[k] - x[k]) / (k + 1),
        (28 * x[k] - product(x, z, k) - y[k]) / (k + 1),
        (product(x, y, k) - 8 / 3 * z[k]) / (k + 1),
    )


def by_taylor_series(coefficients, start, interval, steps, order=18, parts=4):
    """`[C, n] → [steps + 1, C, n]`: each interval in some parts, in each of which the solution is a polynomial."""
    states = [start]
    for _ in range(steps):
        now = states[-1]
        for _ in range(parts):
            series = [[coordinate] for coordinate in now]
            for k in range(order):
                for one, new in zip(series, coefficients(series, k), strict=True):
                    one.append(new)
            h = interval / parts
            now = np.stack([sum(c * h**k for k, c in enumerate(one)) for one in series])
        states.append(now)
    return np.stack(states)


@pytest.mark.parametrize(("name", "coefficients"), [("VAN_DER_POL", van_der_pol), ("LORENZ", lorenz)])
def test_trajectories_are_solutions(example, name, coefficients):
    system = getattr(example, name)
    y = example.trajectories(system, 5, 40, seed=0)
    again = by_taylor_series(coefficients, y[:, 0].t().numpy(), system.interval, 40)
    assert_close(y, torch.from_numpy(again).permute(2, 0, 1))


def test_the_period_of_the_cycle(example):
    system = example.VAN_DER_POL._replace(settle=50.0)
    [y] = example.trajectories(system, 1, 3000, seed=0)
    x = y[:, 0].numpy()
    up = np.flatnonzero((x[:-1] < 0) & (x[1:] >= 0))
    crossings = (up - x[up] / (x[up + 1] - x[up])) * system.interval
    period = (crossings[-1] - crossings[0]) / (len(crossings) - 1)
    assert f"{period:.3f}" == "6.663" == str(system.unit_time)


def test_the_lyapunov_time(example):
    """A small error grows e-fold in one, in the mean over the attractor."""
    system, steps = example.LORENZ, 400
    start = example.trajectories(system, 200, 0, seed=0)[:, 0].t().numpy()
    # The first direction that comes has to turn towards the one that grows, for which it has half of the time.
    near = by_taylor_series(
        lorenz, np.concatenate([start, start + 1e-7], axis=1), system.interval, steps, 8, 1
    )
    apart = np.linalg.norm(near[:, :, :200] - near[:, :, 200:], axis=1)
    rate = np.log(apart[steps] / apart[steps // 2]).mean() / (system.interval * steps / 2)
    assert rate == pytest.approx(1 / system.unit_time, abs=0.05)


def test_tasks(example):
    for system in (example.VAN_DER_POL, example.LORENZ):
        task = example.load(system, quick=True)
        y = torch.cat(
            [sample.y for sample in task.samples.train] + [s.before[:1] for s in task.samples.train]
        )
        assert y.mean(dim=0).abs().max() < 1e-5
        assert (
            y.std(dim=0) - 1
        ).abs().max() < 1e-2  # the standard deviation within trajectories and between them
        starts = [
            {tuple(sample.before[0].tolist()) for sample in task.samples.train},
            {tuple(sample.before[0].tolist()) for sample in task.samples.val},
            {tuple(row) for row in task.tested[:, 0].tolist()},
        ]
        assert [len(part) for part in starts] == [64, 128, 128]
        assert not any(one & other for one, other in combinations(starts, 2))
        steps = task.tested.shape[1] - 1 - example.WARM
        assert steps * system.interval == pytest.approx(3 * system.unit_time, rel=0.01)


def test_stretches(example):
    y = torch.randn(2, 1 + example.WARM + 3, 2)
    for sample, one in zip(example.stretches(y), y, strict=True):
        assert torch.equal(sample.before, one[:-1])
        assert torch.equal(sample.y, one[1:])
        assert torch.equal(sample.y[~sample.warm], one[1 + example.WARM :])


def test_a_rollout_is_the_plain_loop(example):
    network, known, steps = example.Forecaster(3, 5).double(), torch.randn(4, 7, 3).double(), 6
    W, U = network.read.cell.input.weight, network.read.cell.recurrent.weight
    b, V, c = network.read.cell.input.bias, network.output.weight, network.output.bias
    for found, one in zip(network.rollout(known, steps), known, strict=True):
        h, said = torch.zeros(5).double(), []
        for y in one:
            h = torch.tanh(W @ y + U @ h + b)
        for _ in range(steps):
            said.append(V @ h + c)
            h = torch.tanh(W @ said[-1] + U @ h + b)
        assert_close(found, torch.stack(said))


def test_a_rollout_begins_with_the_prediction_of_one_step(example):
    network, y = example.Forecaster(2, 5).double(), torch.randn(3, 1 + example.WARM + 4, 2).double()
    batch = example.as_batch(example.stretches(y))
    one_step = network(batch)[~batch.warm].view(3, 4, 2)
    free = network.rollout(y[:, : 1 + example.WARM], 4)
    assert_close(free[:, 0], one_step[:, 0])
    assert not torch.allclose(free[:, 1:], one_step[:, 1:])


def test_errors_by_hand(example):
    """Of a network that always says 1: its hidden units say nothing."""
    network = example.Forecaster(1, 3).double()
    with torch.no_grad():
        network.output.weight.zero_()
        network.output.bias.fill_(1.0)
    true = torch.tensor([[1.0, 1.4, 1.0, 4.0], [1.0, 1.0, 1.0, 1.0]]).double()
    tested = torch.cat([torch.zeros(2, 1 + example.WARM).double(), true], dim=1)[..., None]
    errors = example.measure(network, tested, unit=2)
    assert errors.one_step == pytest.approx(((0.4**2 + 3**2) / 8) ** 0.5)
    assert errors.rollout == pytest.approx((0.4**2 / 4) ** 0.5)
    assert errors.lost == (3 + 4) / 2 / 2  # the first at its fourth step, the second not at all


def test_the_power_of_the_fall(example):
    def errors(hidden, factor):
        return example.Errors(factor * 3.0 * hidden**-1.5, 0.0, 0.0)

    by_width = {hidden: [errors(hidden, f) for f in (0.5, 1, 9)] for hidden in (4, 8, 16)}
    measured = example.Measured(example.LORENZ, None, by_width, {})
    assert measured.medians("one_step") == [3.0 * hidden**-1.5 for hidden in (4, 8, 16)]
    assert example.falls(measured).endswith("^-1.50.")


def test_a_tiny_run(example, tmp_path, capsys):
    example.main(["--quick", "--epochs", "2", "--out", str(tmp_path / "run")])
    said = (tmp_path / "run" / "results.txt").read_text()
    assert said in capsys.readouterr().out
    assert said.count("16 units") == 2
    assert (tmp_path / "run" / "approximation.png").stat().st_size > 10_000


@pytest.mark.slow
def test_learns_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("computation/approximation.py", tmp_path / name) for name in ("a", "b")]
    assert said[0] == said[1]
    for table in said[0].split("\n\n")[:2]:
        small, large = (float(line[10:].split()[1]) for line in table.splitlines()[3:])
        assert large < small / 2
