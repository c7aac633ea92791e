"""Turing machines inside a recurrent network: the computing power of the SRN, step by step.

    python examples/computation/turing.py    # seconds; writes runs/turing/turing.png

H. Siegelmann and E. Sontag showed that a recurrent network of finitely many saturated-linear units with rational
weights computes whatever a Turing machine computes. Here the table of a machine becomes the weights of such a network
(`turing_compiler`), which is then an `SRNCell` that graphrec runs over a chain (`turing_network`); each step's state,
tape and head are read off its units and compared with a plain simulator's (`turing_machines`).

The digits of a number store the tape. An infinite tape needs infinitely many digits; float64 has 53 bits, which hold 26
cells on each side of the head with two symbols. The 4-state busy beaver halts well within that. The 5-state one, which
would run for 47,176,870 steps, needs a 27th cell in step 202: there the network stops with an error. With fractions
instead of float64, and the same weights and equations, it continues.

"Turing computability with neural nets", Applied Mathematics Letters 4, 1991; "On the computational power of neural
nets", Journal of Computer and System Sciences 50, 1995.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from turing_compiler import SIDES, At, Next, Pop, Push, Stack, Top, Unit
from turing_machines import (
    ADDITION,
    BUSY_BEAVER_4,
    BUSY_BEAVER_5,
    PALINDROMES,
    Configuration,
    Machine,
    simulate,
)
from turing_network import TapeFull, TuringNetwork

RUNS = {
    "4-state busy beaver": (BUSY_BEAVER_4, ""),
    "unary addition of 4 and 3": (ADDITION, "1111+111"),
    "palindrome? abbaabba": (PALINDROMES, "abbaabba"),
    "palindrome? abbaabab": (PALINDROMES, "abbaabab"),
    "5-state busy beaver": (BUSY_BEAVER_5, ""),
}
STEPS = 1000  # the most with fractions
SHOWN = 700  # of the 5-state busy beaver, in the picture
COLOURS = {"L": "#0072B2", "R": "#D55E00"}  # Okabe and Ito's
NAMES = {"L": "left of the head", "R": "right of the head"}
INK, FAINT = "#39424C", "#E3E8ED"


def follow(machine: Machine, tape: str, configurations: Iterable[Configuration]) -> str:
    """How a run of a network ends, compared with the plain simulator at every step.

    Raises:
        RuntimeError: a configuration differs from the simulator's.
    """
    step, last = -1, None
    try:
        for step, (last, plain) in enumerate(zip(configurations, simulate(machine, tape), strict=False)):
            if last != plain:
                raise RuntimeError(f"step {step}: the network is in {last}, the machine in {plain}.")
    except TapeFull as full:
        return f"step {step}, then TapeFull: step {full.step} needs cell {full.cells + 1} on one side"
    assert last is not None
    if last.state not in machine.halting:
        return f"step {step}, and could go on"
    return f"step {step}, halts in state {last.state}, cells that are not blank: {len(last.tape)}"


def cells_held(configurations: Iterable[Configuration]) -> Tensor:
    """`[steps, 2]`: how many visited cells there are left and right of the head."""
    held, first, last = [], 0, 0
    for configuration in configurations:
        first, last = min(first, configuration.head), max(last, configuration.head)
        held.append((configuration.head - first, last - configuration.head))
    return torch.tensor(held)


def label(unit: Unit) -> str:
    """A unit's name, in matplotlib's mathematics."""
    match unit:
        case At(state, symbol):
            return f"{state} reads {symbol}"
        case Stack(side):
            return f"$s^{side}$"
        case Next(state):
            return f"next {state}"
        case Push(side):
            return f"push$^{side}$"
        case Pop(side, k):
            return f"pop$^{side}_{k}$"
        case Top(side, k):
            return f"top$^{side}_{k}$"


def draw() -> Figure:
    """The tape, the units and the stacks of the 4-state busy beaver; how many cells the 5-state one needs."""
    fig = Figure((12.5, 13), dpi=130, layout="constrained")
    panels: Any = fig.subfigures(2, 1, height_ratios=(3.6, 1))
    above, below = panels
    network = TuringNetwork(BUSY_BEAVER_4)
    configurations = list(network.run())
    states = torch.tensor(list(islice(network.states(), 2 * len(configurations))))
    tape, units, stacks = above.subplots(1, 3, sharey=True, width_ratios=(1.1, 1.6, 1.2))
    draw_tape(configurations, tape)
    draw_units(network, states, units)
    draw_stacks(network, states[::2], stacks)
    tape.set_ylabel("step of the machine")
    draw_cells(below.subplots())
    return fig


def draw_tape(configurations: list[Configuration], ax: Any) -> None:
    """A row for each step: ones are dark, and the head shows its state."""
    places = [place for c in configurations for place in (*c.tape, c.head)]
    first, last = min(places), max(places)
    for step, c in enumerate(configurations):
        for place in c.tape:
            ax.add_patch(_square(place, step, INK))
        ax.add_patch(_square(c.head, step, "#E69F00"))
        ax.text(c.head, step, c.state, ha="center", va="center", fontsize=5.5, color="black")
    ax.set(xlim=(first - 0.7, last + 0.7), xlabel="place on the tape", ylim=(len(configurations) - 0.3, -0.7))
    ax.set_title("The tape, decoded\n(dark: 1; the head with its state)", fontsize=10)
    ax.set_xticks(range(first, last + 1, 2))
    ax.set_facecolor("#F6F8FA")


def _square(x: float, y: float, colour: str) -> Any:
    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white", lw=0.3)


def draw_units(network: TuringNetwork, states: Tensor, ax: Any) -> None:
    """Two rows for each step of the machine, the configuration and its change; a column for each unit."""
    rows = len(states) / 2
    ax.imshow(
        states.numpy(), aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest",
        extent=(-0.5, len(network.units) - 0.5, rows - 0.5, -0.5),
    )  # fmt: skip
    configuration = sum(isinstance(unit, At | Stack) for unit in network.units)
    ax.axvline(configuration - 0.5, color=INK, lw=0.8, ls=":")
    ax.set_xticks(
        range(len(network.units)), [label(unit) for unit in network.units], rotation=90, fontsize=7.5
    )
    ax.set_title(
        "All units of the network, 0 to 1\n(two rows a step: configuration, then change)", fontsize=10
    )


def draw_stacks(network: TuringNetwork, states: Tensor, ax: Any) -> None:
    """The values of both stacks, over the intervals in which they can be."""
    for top, (begin, end) in {"0 on top": (0.25, 0.5), "1 on top": (0.75, 1.0)}.items():
        ax.axvspan(begin, end, color=FAINT, lw=0, zorder=0)
        ax.text((begin + end) / 2, -1.2, top, ha="center", fontsize=8, color=INK)
    ax.text(0, -1.2, "empty", ha="center", fontsize=8, color=INK)
    for side in SIDES:
        values = states[:, network.units.index(Stack(side))]
        ax.plot(values, range(len(values)), color=COLOURS[side], lw=0.4, alpha=0.5)
        ax.plot(values, range(len(values)), "o", ms=2.6, color=COLOURS[side], label=NAMES[side])
    ax.set(xlim=(-0.08, 1.04), xticks=(0, 0.25, 0.5, 0.75, 1), xticklabels=("0", "1/4", "1/2", "3/4", "1"))
    ax.set_xlabel("value of the stack")
    ax.set_title("The stacks, fractions in base 4\nwith the digits 1 and 3", fontsize=10, pad=16)


def draw_cells(ax: Any) -> None:
    """How many cells the 5-state busy beaver needs on each side, and where float64 has no more."""
    network = TuringNetwork(BUSY_BEAVER_5)
    held = cells_held(islice(network.run(exact=True), SHOWN + 1))
    done = int((held > network.cells).any(dim=1).nonzero()[0])
    for column, side in enumerate(SIDES):
        ax.plot(held[:, column], color=COLOURS[side], lw=1.2, label=NAMES[side])
    ax.axhline(network.cells, color=INK, lw=0.9, ls="--")
    ax.axvline(done, color=INK, lw=0.9, ls="--")
    ax.text(3, network.cells + 0.8, f"{network.cells} cells, what float64 holds", fontsize=8.5, color=INK)
    ax.text(done + 4, 46, f"step {done}: float64 ends,\nfractions go on", fontsize=8.5, color=INK)
    ax.set(xlim=(0, SHOWN), ylim=(0, 56), xlabel="step of the machine", ylabel="cells")
    ax.set_title("5-state busy beaver: cells on both sides of the head", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))


def main(argv: list[str] | None = None) -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--out", type=Path, default=Path("runs", "turing"), help="folder of the results")
    folder: Path = flags.parse_args(argv).out
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, (machine, tape) in RUNS.items():
        network = TuringNetwork(machine)
        lines += [
            f"{name}: {len(network.units)} units, base {network.base}, in float64 {network.cells} cells on each side",
            f"    float64:   {follow(machine, tape, network.run(tape))}",
        ]
        exact = islice(network.run(tape, exact=True), STEPS + 1)
        lines.append(f"    fractions: {follow(machine, tape, exact)}")
    print("\n".join(lines))
    (folder / "results.txt").write_text("\n".join([*lines, ""]))
    draw().savefig(folder / "turing.png")


if __name__ == "__main__":
    main()
