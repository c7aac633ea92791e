"""Series of numbers that are computed from their own past: a driven system, and a chaotic one."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

_ATTEMPTS = 100  # inputs that are drawn until `narma` gives up


def narma(length: int, order: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    """NARMA: a nonlinear system with a long memory, driven by noise, to be identified from input and output.

    y_t = 0.3 y_{t-1} + 0.05 y_{t-1} (y_{t-1} + … + y_{t-n}) + 1.5 u_{t-n+1} u_t + 0.1,  u_t drawn evenly from 0 to 0.5

    Atiya & Parlos, *New results on recurrent network training: unifying the algorithms and accelerating convergence*,
    IEEE Trans. Neural Networks 11 (2000), its tenth-order system: n = 10. Here y_t is the output that u_t
    leads to, there y(k + 1). Both are zero for earlier t. Few inputs drive the output to infinity; where one
    does, others are drawn.

    Args:
        length: T.
        order: n.
        seed: of the random numbers: the same seed, the same series.

    Returns:
        u and y, `[T, 1]` each.

    Raises:
        ValueError: length or order below 1, or hardly an input that the output stays finite with.
    """
    if length < 1 or order < 1:
        raise ValueError(f"length and order must be 1 or more, got {length} and {order}.")
    draw = torch.Generator().manual_seed(seed)
    for _ in range(_ATTEMPTS):
        u = 0.5 * torch.rand(length, generator=draw, dtype=torch.double)
        y = _narma_output(u.tolist(), order)
        if y is not None:
            return u.float().unsqueeze(1), torch.tensor(y, dtype=torch.float).unsqueeze(1)
    raise ValueError(
        f"the output of order {order} grows without bound for nearly every input of length {length}: "
        f"take a lower order."
    )


def _narma_output(u: list[float], order: int) -> list[float] | None:
    """The outputs, or None where they grow without bound."""
    made: list[float] = []
    past = deque([0.0] * order, maxlen=order)
    for t, now in enumerate(u):
        earlier = u[t - order + 1] if t >= order - 1 else 0.0
        y = 0.3 * past[-1] + 0.05 * past[-1] * sum(past) + 1.5 * earlier * now + 0.1
        if y > 10:  # where it stays finite, it stays around 1
            return None
        past.append(y)
        made.append(y)
    return made


def mackey_glass(
    length: int,
    delay: float = 17.0,
    every: float = 1.0,
    start: float = 1.2,
    discard: float = 1000.0,
    step: float = 0.1,
) -> Tensor:
    """The Mackey-Glass series: a number that changes by what it was some time ago, chaotic where that is long.

    dx/dt = 0.2 x(t - τ) / (1 + x(t - τ)^10) - 0.1 x(t)

    Mackey & Glass, *Oscillation and chaos in physiological control systems*, Science 197 (1977), equation (4b). With
    τ = 17, the usual choice, it is weakly chaotic: a small error grows e-fold in about 170 units of time. Solved by
    the Runge-Kutta method of order four; between two steps the past is the cubic through both values and slopes.

    Args:
        length: T, how many values.
        delay: τ.
        every: the time between two values.
        start: x before the beginning.
        discard: how much time passes before the first value, so that the beginning is forgotten.
        step: of the solver. delay, every and discard are whole multiples of it.

    Returns:
        x `[T, 1]`.

    Raises:
        ValueError: length below 1, a time that is no multiple of the step, negative, or zero where that means nothing.
    """
    if length < 1:
        raise ValueError(f"length must be 1 or more, got {length}.")
    if not step > 0:
        raise ValueError(f"step must be greater than 0, got {step}.")
    lag = _steps("delay", delay, step, least=1)
    stride = _steps("every", every, step, least=1)
    skipped = _steps("discard", discard, step, least=0)

    x, slope = [start] * (lag + 1), [0.0] * (lag + 1)  # from -delay to now
    slope[-1] = _change(start, start)
    for n in range(skipped + (length - 1) * stride):
        now, old, next_old = x[-1], x[n], x[n + 1]
        # Where time begins the slope jumps: seen from before, it is zero.
        next_slope = 0.0 if n + 1 == lag else slope[n + 1]
        middle_old = (old + next_old) / 2 + step / 8 * (slope[n] - next_slope)
        one = slope[-1]
        two = _change(now + step / 2 * one, middle_old)
        three = _change(now + step / 2 * two, middle_old)
        four = _change(now + step * three, next_old)
        x.append(now + step / 6 * (one + 2 * two + 2 * three + four))
        slope.append(_change(x[-1], next_old))
    return torch.tensor(x[lag + skipped :: stride], dtype=torch.float).unsqueeze(1)


def _change(now: float, old: float) -> float:
    return 0.2 * old / (1 + old**10) - 0.1 * now


def _steps(name: str, time: float, step: float, least: int) -> int:
    count = round(time / step)
    if count < least or abs(count * step - time) > 1e-6 * step:
        raise ValueError(f"{name} must be a whole multiple of the step {step}, {least} or more, got {time}.")
    return count
