"""Two dynamical systems, one that settles into a cycle and one that is chaotic, as trajectories to learn from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

Array = np.ndarray


class System(NamedTuple):
    """ds/dt = change(s), sampled at equal intervals.

    Attributes:
        change: from states to their derivatives, `[C, n] → [C, n]` for n states with C coordinates.
        low, high: of the box from which initial states are drawn uniformly, C numbers each.
        settle: how much time passes before the first sampled state.
        interval: the time between two states.
        unit, unit_time: the unit in which long times are counted, and its length.
    """

    name: str
    change: Callable[[Array], Array]
    low: tuple[float, ...]
    high: tuple[float, ...]
    settle: float
    interval: float
    unit: str
    unit_time: float

    @property
    def unit_steps(self) -> int:
        """How many intervals a unit has."""
        return round(self.unit_time / self.interval)


def van_der_pol(s: Array) -> Array:
    """x'' = (1 - x²) x' - x, as a system of x and v = x'. Van der Pol, *Philosophical Magazine* 2 (1926), ε = 1."""
    x, v = s
    return np.stack([v, (1 - x**2) * v - x])


def lorenz(s: Array) -> Array:
    """x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z.

    Lorenz, *Deterministic nonperiodic flow*, Journal of the Atmospheric Sciences 20 (1963), equations (25) to (27).
    """
    x, y, z = s
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


# Van der Pol's oscillator is also sampled on its way to the cycle, whose period is 6.663; Lorenz's system only on its
# attractor, where its largest Lyapunov exponent is 0.906 (Sprott, Chaos and Time-Series Analysis, 2003).
VAN_DER_POL = System("Van der Pol", van_der_pol, (-3, -3), (3, 3), 0.0, 0.1, "periods", 6.663)
LORENZ = System("Lorenz", lorenz, (-15, -15, 10), (15, 15, 40), 10.0, 0.02, "Lyapunov times", 1 / 0.906)


def trajectories(system: System, count: int, steps: int, seed: int) -> Tensor:
    """`[count, steps + 1, C]`, float64: trajectories from initial states of their own.

    Initial states are drawn with the seed, and settle first. Solved by a Runge-Kutta method of order eight, whose
    errors per step are held below 1e-12.
    """
    draw = np.random.default_rng(seed)
    start = draw.uniform(system.low, system.high, (count, len(system.low))).T
    times = system.settle + system.interval * np.arange(steps + 1)
    solved = solve_ivp(
        lambda _, s: system.change(s.reshape(start.shape)).ravel(),
        (0, times[-1]),
        start.ravel(),
        method="DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-12,
    )
    return torch.from_numpy(solved.y).view(*start.shape, -1).permute(1, 2, 0)
