"""Universal approximation, measured: how well SRNs of growing width follow two dynamical systems.

    python examples/computation/approximation.py            # minutes
    python examples/computation/approximation.py --quick    # two widths, few epochs: seconds

It is a theorem that an SRN with enough units approximates any dynamical system arbitrarily well over a finite time. It
does not say how many units are enough, nor whether training finds the weights. Here networks of 4 to 64 units, three of
each size, learn Van der Pol's oscillator (a limit cycle, sampled every 0.1 units of time) and Lorenz's system (chaos,
every 0.02) from 1,536 trajectories of 40 steps, each with its own initial state. 128 others choose the epoch, and the
errors are measured on another 128.

A network reads the state y_{t-1} and predicts y_t: one step. In a rollout it is given eleven states and then reads its
own predictions, over three periods of the cycle (20 units of time), or three Lyapunov times (3.3 units), in each of
which a small error in Lorenz's system grows e-fold. Errors are roots of mean squares, where each coordinate has been
scaled to mean 0 and standard deviation 1 over the training set. The error of a rollout is that over its first period
or Lyapunov time; it is lost when its error exceeds 0.5.

K. Funahashi and Y. Nakamura, "Approximation of dynamical systems by continuous time recurrent neural networks", Neural
Networks 6 (1993); A. Schäfer and H. Zimmermann, "Recurrent neural networks are universal approximators", ICANN 2006.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

sys.path.append(str(Path(__file__).parents[1]))  # where the examples keep what they share

import common
import learning
import numpy as np
import torch
from dynamics import LORENZ, VAN_DER_POL, System, trajectories
from forecaster import Forecaster
from series import LOST, Predictor, as_batch, window
from torch import Tensor
from torch_geometric.data import Data

WIDTHS = (4, 8, 16, 32, 64)
SEEDS = 3
WARM = 10  # known states that a network reads before its errors count, or before it runs freely
LEARNT = 30  # states to learn in a trajectory
UNITS = 3  # how long a rollout is, in periods or Lyapunov times
SHOWN = 20  # and how long one is in the picture
RATE = 1e-2  # of learning


class Errors(NamedTuple):
    """Of one network: one step ahead, of rollouts over one unit, and after how many units these are lost."""

    one_step: float
    rollout: float
    lost: float


class Task(NamedTuple):
    """The data of a system; states are scaled by those of the training set.

    Attributes:
        samples: trajectories for training and for choosing the epoch.
        tested: `[G, 1 + WARM + rollout, C]`, trajectories for the errors.
        shown: `[1, 1 + WARM + rollout, C]`, one for the picture.
    """

    samples: learning.Samples
    tested: Tensor
    shown: Tensor


def load(system: System, quick: bool) -> Task:
    """All trajectories, each from an initial state of its own."""
    unit = system.unit_steps
    train, val, tested, shown = (
        trajectories(system, count, WARM + steps, seed)
        for seed, (count, steps) in enumerate(
            [(64 if quick else 1536, LEARNT), (128, LEARNT), (128, UNITS * unit), (1, SHOWN * unit)]
        )
    )
    mean, std = train.mean(dim=(0, 1)), train.std(dim=(0, 1))
    train, val, tested, shown = (((y - mean) / std).float() for y in (train, val, tested, shown))
    held_out = stretches(val)
    return Task(learning.Samples(stretches(train), held_out, held_out, batch_size=32), tested, shown)


def stretches(y: Tensor) -> list[Data]:
    """A sample from each trajectory `[G, steps + 1, C]`."""
    return [window(one[:, :0], one, 1, len(one) - 1, WARM) for one in y]


def learn(run: common.Run, system: System, task: Task, hidden: int, seed: int) -> Forecaster:
    """A trained network with `hidden` units."""

    def build() -> Predictor:
        torch.manual_seed(seed)
        return Predictor(Forecaster(task.tested.shape[2], hidden), lr=RATE)

    name = f"{system.name.lower().replace(' ', '_')}_{hidden}_{seed}"
    # The falling step size ends the training.
    return run.fit(name, build, task.samples, patience=run.args.epochs, monitor="val_error").network


def measure(network: Forecaster, tested: Tensor, unit: int) -> Errors:
    """The errors on held-out trajectories; a period or Lyapunov time has `unit` steps."""
    batch, true = as_batch(stretches(tested)), tested[:, 1 + WARM :]
    with torch.no_grad():
        one_step = network(batch)[~batch.warm].view_as(true) - true
        free = network.rollout(tested[:, : 1 + WARM], true.shape[1]) - true
    return Errors(root_mean_square(one_step), root_mean_square(free[:, :unit]), steps_until_lost(free) / unit)


def root_mean_square(error: Tensor) -> float:
    return error.square().mean().sqrt().item()


def steps_until_lost(error: Tensor) -> float:
    """On average over rollouts `[G, T, C]`, until the root mean square over coordinates exceeds `LOST`."""
    lost = error.square().mean(dim=2).sqrt() > LOST
    steps = torch.where(lost.any(dim=1), lost.int().argmax(dim=1), error.shape[1])
    return steps.double().mean().item()


class Measured(NamedTuple):
    """The results for one system: the errors of all networks by width, and rollouts of a small and of a large one."""

    system: System
    task: Task
    errors: dict[int, list[Errors]]
    rollouts: dict[int, Tensor]

    def medians(self, name: str) -> list[float]:
        """Over the seeds, for each width."""
        return [median(getattr(errors, name) for errors in of_width) for of_width in self.errors.values()]


def examine(run: common.Run, system: System) -> Measured:
    """Train and measure networks of all widths."""
    task = load(system, run.args.quick)
    measured = Measured(system, task, {}, {})
    widths = (4, 16) if run.args.quick else WIDTHS
    for hidden in widths:
        networks = [
            learn(run, system, task, hidden, run.args.seed + number)
            for number in range(1 if run.args.quick else SEEDS)
        ]
        measured.errors[hidden] = [measure(network, task.tested, system.unit_steps) for network in networks]
        if hidden in (widths[1], widths[-1]):
            with torch.no_grad():
                known = task.shown[:, : 1 + WARM]
                measured.rollouts[hidden] = networks[0].rollout(known, SHOWN * system.unit_steps)[0]
    return measured


def draw(results: list[Measured]) -> Any:
    """A row per system: errors against width, and in phase space a long rollout of a small and of a large network."""
    fig = common.figure(11.5, 6.8)
    for axes, measured in zip(fig.subplots(2, 3), results, strict=True):
        draw_errors(axes[0], measured)
        for ax, (hidden, y) in zip(axes[1:], measured.rollouts.items(), strict=False):
            draw_portrait(ax, measured, hidden, y)
    return fig


def draw_errors(ax: Any, measured: Measured) -> None:
    """A dot for each network, and a line through the medians."""
    widths = list(measured.errors)
    unit = measured.system.unit.removesuffix("s")
    labels = {"one_step": "one step", "rollout": f"rollout, over one {unit}"}
    for (name, label), colour in zip(labels.items(), common.COLOURS, strict=False):
        for hidden, errors in measured.errors.items():
            ax.plot([hidden] * len(errors), [getattr(e, name) for e in errors], ".", color=colour, alpha=0.5)
        ax.plot(widths, measured.medians(name), color=colour, lw=1.8, label=label)
    ax.set(xscale="log", yscale="log", ylim=(5e-4, 3), xlabel="units", ylabel="error, standard deviations")
    ax.set_xticks(widths, map(str, widths), minor=False)
    ax.minorticks_off()
    ax.grid(axis="y", color="#E6E9EC")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(measured.system.name, loc="left", fontsize=11, fontweight="bold")
    ax.legend(frameon=False, fontsize=8, loc="lower left")


def draw_portrait(ax: Any, measured: Measured, hidden: int, y: Tensor) -> None:
    """The first and the last coordinate: the true ones in grey, and the network's."""
    true = measured.task.shown[0, WARM:]
    ax.plot(true[:, 0], true[:, -1], color="#C3C9CF", lw=2.5, label="the system")
    ax.plot(y[:, 0], y[:, -1], color=common.COLOURS[3], lw=0.9, label="rollout")
    ax.plot(true[0, 0], true[0, -1], "o", color="black", ms=4, label="last known state")
    last = {2: "v", 3: "z"}[true.shape[1]]
    ax.set(xlabel="x", ylabel=last, xlim=(-3, 3), ylim=(-3, 3.9))
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(f"{hidden} units, {SHOWN} {measured.system.unit}", loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="upper center", ncols=3, columnspacing=1.0)


def table(measured: Measured) -> str:
    """A row per width: medians over the seeds."""
    unit, tested = measured.system.unit, measured.task.tested
    still = root_mean_square(tested[:, 1 + WARM :] - tested[:, WARM:-1])
    header = [measured.system.name, "weights", "one step", "rollout", f"lost after, of {UNITS} {unit}"]
    rows: list[list[object]] = [["no change", 0, f"{still:.5f}", "", ""]]
    medians = zip(*map(measured.medians, Errors._fields), strict=True)
    for hidden, (one_step, rollout, lost) in zip(measured.errors, medians, strict=True):
        weights = sum(w.numel() for w in Forecaster(tested.shape[2], hidden).parameters())
        rows.append([f"{hidden} units", weights, f"{one_step:.5f}", rollout, f"{lost:.2f}"])
    return common.table(header, rows)


def falls(measured: Measured) -> str:
    """How fast the error of one step falls with the width, fitted to the logarithms of the medians."""
    power = np.polyfit(np.log(list(measured.errors)), np.log(measured.medians("one_step")), 1)[0]
    return f"{measured.system.name}: the error of one step falls as (units)^{power:.2f}."


def main(argv: list[str] | None = None) -> None:
    run = common.start(common.parser(__doc__, name="approximation", epochs=24), argv)
    results = [examine(run, system) for system in (VAN_DER_POL, LORENZ)]
    draw(results).savefig(run.folder / "approximation.png")
    run.finish("\n\n".join([*map(table, results), "\n".join(map(falls, results))]))


if __name__ == "__main__":
    main()
