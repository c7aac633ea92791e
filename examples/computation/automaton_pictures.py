"""The picture of automaton_network.py: how far signals are apart, against the gain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from automaton_gain import Bounds
    from automaton_network import Failure, Finding, Reading

HIGH, LOW, FAILS, STABLE, FAN_IN, INK = "#0072B2", "#E69F00", "#D55E00", "#009E73", "#8A6FB0", "#39424C"


class Curves(NamedTuple):
    """Of one automaton: its gains, and by gain what was measured and what the bounds are."""

    finding: Finding
    readings: dict[float, Reading]
    bounds: dict[float, Bounds | None]


def draw(curves: dict[str, Curves], failed: Failure, funnels: dict[int, Finding]) -> Figure:
    """Four automata's signals against the gain; a string that fails; the gain against the fan-in."""
    fig = Figure((13, 8), dpi=160, layout="constrained")
    panels = fig.subplots(2, 3).ravel()
    for ax, (name, curve) in zip(panels, curves.items(), strict=False):
        draw_signals(ax, name, curve)
    draw_failure(panels[4], failed)
    draw_gains(panels[5], funnels)
    for ax in panels:
        ax.spines[["top", "right"]].set_visible(False)
    fig.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    return fig


def draw_signals(ax: Any, name: str, curve: Curves) -> None:
    """The smallest high and the largest low signal, measured and bounded, and the three gains."""
    found, gains = curve.finding, list(curve.readings)
    ax.axvspan(gains[0], found.fails, color=FAILS, alpha=0.12, lw=0, label="misjudges a string")
    ax.axvline(found.stable, color=STABLE, lw=1.5, label="stable from here on, by its own bounds")
    ax.axvline(found.by_fan_in, color=FAN_IN, lw=1.5, ls=(0, (4, 2)), label="stable from here on, by fan-in")
    for side, colour, words in (("high", HIGH, "smallest high signal"), ("low", LOW, "largest low signal")):
        measured = [getattr(reading, side) for reading in curve.readings.values()]
        ax.plot(gains, measured, "o-", color=colour, ms=3, lw=1, label=f"{words}, measured")
        extreme = "min" if side == "high" else "max"
        bound = {g: getattr(getattr(b, side), extreme)().item() for g, b in curve.bounds.items() if b}
        ax.plot(list(bound), list(bound.values()), color=colour, lw=1.4, ls=":", label=f"{words}, bound")
    ax.axhline(0.5, color=INK, lw=0.6)
    ax.set(xlim=(gains[0], gains[-1]), ylim=(0, 1), xlabel="gain", ylabel="signal")
    ax.set_title(name, fontsize=10, loc="left")


def draw_failure(ax: Any, failed: Failure) -> None:
    """The signal that must be high along one string, for a gain that fails and one that is stable."""
    places = range(len(failed.symbols))
    for colour, (gain, signal) in zip((FAILS, STABLE), failed.signals.items(), strict=True):
        ax.plot(places, signal, "o-", color=colour, ms=2.5, lw=1, label=f"gain {gain:.2f}")
    for place, symbol in zip(places, failed.symbols, strict=True):
        ax.text(place, -0.05, str(symbol), fontsize=6, ha="center", va="bottom", color=INK)
    ax.axhline(0.5, color=INK, lw=0.6)
    ax.axvline(failed.place, color=FAILS, lw=0.8, ls=":", label="lost from here on")
    ax.set(ylim=(-0.06, 1), xticks=[], xlabel="symbols read", ylabel="signal that must be high")
    ax.set_title("parity, a part of one string (its symbols below)", fontsize=10, loc="left")
    ax.legend(frameon=False, loc="lower left")


def draw_gains(ax: Any, funnels: dict[int, Finding]) -> None:
    """The three gains against the number of states."""
    fan_in = [states - 1 for states in funnels]
    for field, colour, mark, label in (
        ("by_fan_in", FAN_IN, "s--", "enough, by fan-in"),
        ("stable", STABLE, "o-", "enough, by its own bounds"),
        ("fails", FAILS, "v-", "misjudges a string"),
    ):
        gains = [getattr(found, field) for found in funnels.values()]
        ax.semilogx(fan_in, gains, mark, color=colour, ms=5, lw=1.2, label=label, base=2)
    ax.set_xticks(fan_in, [str(number) for number in fan_in])
    ax.minorticks_off()
    ax.set(xlabel="fan-in: states that one symbol leads to the same one", ylabel="gain")
    ax.set_title("funnels: all states but one lead to the same", fontsize=10, loc="left")
    ax.legend(frameon=False, loc="upper left")
