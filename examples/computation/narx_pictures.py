"""The picture of narx_simulation.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from torch import Tensor

if TYPE_CHECKING:
    from narx_simulation import Outcome

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7")  # Okabe and Ito's
MARKER, INK = "#C9CFD6", "#39424C"


def draw(example: Outcome, others: dict[int, Outcome]) -> Figure:
    """The output tick by tick and the hidden unit it comes from; both networks' states; their difference."""
    fig = Figure((11, 10), dpi=160, layout="constrained")
    said, hidden, states, difference = fig.subplots(4, 1, height_ratios=(1.2, 0.9, 1.2, 1.2))
    draw_output(said, example.y[:9])
    draw_hidden(hidden, example.hidden[: 8 * example.y.shape[1]])
    draw_states(states, example.states[:60], example.simulated[:60])
    for colour, (units, outcome) in zip(COLOURS, others.items(), strict=False):
        steps = range(1, len(outcome.difference) + 1)
        difference.semilogy(
            steps, outcome.difference.clamp(min=1e-17).tolist(), color=colour, lw=1.2, label=f"N = {units}"
        )
    difference.axhline(2.0**-52, color=INK, lw=0.8, ls=":")
    difference.set(
        xlabel="step of the fully connected network", ylabel="largest difference", ylim=(1e-17, 1e-9)
    )
    difference.set_title("How far the two are apart (dotted: round-off of 1; zero is drawn at the bottom)")
    for ax in (said, hidden, states, difference):
        ax.title.set(fontsize=10, ha="left", x=0)
        ax.spines[["top", "right"]].set_visible(False)
    for ax in (said, states, difference):
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    return fig


def draw_output(ax: Any, y: Tensor) -> None:
    """y(k) as bars, a colour for each unit of the fully connected network."""
    cycles, ticks = y.shape
    for place in range(ticks):
        colour, label = (COLOURS[place - 1], f"x_{place}") if place else (MARKER, "marker")
        ax.bar(
            [cycle * ticks + place for cycle in range(cycles)],
            y[:, place].tolist(),
            0.85,
            color=colour,
            label=label,
        )
    for cycle in range(1, cycles):
        ax.axvline(cycle * ticks - 0.5, color=INK, lw=0.5, ls=":")
    ax.set(xlim=(-0.5, cycles * ticks - 0.5), xticks=range(0, cycles * ticks, ticks), ylabel="output y(k)")
    ax.set_title(
        f"The output of the NARX network: {ticks} ticks for a step; the first cycle is given, the rest its own"
    )


def draw_hidden(ax: Any, h: Tensor) -> None:
    """The hidden units at the same ticks, of which one at most is not saturated."""
    ticks, units = h.shape
    ax.imshow(
        h.T.numpy(),
        cmap="Blues",
        vmin=0,
        aspect="auto",
        extent=(units - 0.5, units + ticks - 0.5, units - 0.5, -0.5),
    )
    for cycle in range(1, ticks // units + 1):
        ax.axvline(cycle * units - 0.5, color=INK, lw=0.5, ls=":")
    names = [*(f"unit {i} (x_{i})" for i in range(1, units)), f"unit {units} (marker)"]
    ax.set(xlim=(-0.5, units + ticks - 0.5), xticks=range(0, units + ticks, units), xlabel="tick k")
    ax.set_yticks(range(units), names, fontsize=9)
    ax.set_title("Its hidden units at the same ticks: one at most is not saturated at 0; dark is 1")


def draw_states(ax: Any, x: Tensor, simulated: Tensor) -> None:
    """The states of the fully connected network as lines, and those read off the NARX network as circles."""
    steps = range(1, len(x) + 1)
    for unit, colour in zip(range(x.shape[1]), COLOURS, strict=False):
        ax.plot(steps, x[:, unit].tolist(), color=colour, lw=1.2, label=f"x_{unit + 1}")
        ax.plot(steps, simulated[:, unit].tolist(), "o", color=colour, ms=3.5, mfc="none", mew=0.9)
    ax.plot([], [], "o", color=INK, ms=3.5, mfc="none", label="NARX")
    ax.set(xlabel="step t", ylabel="state x(t)", xlim=(0, len(x) + 1))
    ax.set_title(
        "The states of the fully connected network (lines) and those read off the NARX network (circles)"
    )
