"""A NARX network that simulates a fully connected recurrent network, though only its one output is fed back.

    python examples/computation/narx_simulation.py --out FOLDER    # seconds; writes narx_simulation.png

The fully connected network has N units, x(t) = f(A x(t-1) + B u(t) + c). The activation f must be bounded and
saturated on one side: f(z) = low for all z <= knee, and low <= f(z) <= high above. The NARX network has N + 1 hidden
units with the same f and one linear output; it sees its last 2N outputs and the present input. It emits one
number per tick, in cycles of N + 1 ticks, and each cycle is one step of the fully connected network:

    tick of a cycle    0         1             2                N
    y                  marker    x_1(t) - low  x_2(t) - low  …  x_N(t) - low        marker = 2 (high - low)

States minus low lie between 0 and high - low, so no state is mistaken for the marker. Hidden unit i computes
x_i(t) at the tick k that is i ticks after the marker; x_j(t-1) was emitted N + 1 + i - j ticks ago:

    h_i(k) = f(sum_j a_ij y(k - (N+1+i-j)) + sum_j b_ij u_j + c_i + low sum_j a_ij  +  g_i (y(k-i) - marker))

The gate, which is the last term, vanishes at that tick, and A x + B u + c is left. At all other ticks
y(k-i) <= high - low, so the gate is -g_i (high - low) or less. With g_i as large as

    g_i (high - low) = c_i + low sum_j a_ij + marker sum_j max(a_ij, 0) + largest |u| sum_j |b_ij| - knee

the unit is then at or below the knee, saturated, whatever the taps hold. Hidden unit N + 1 emits the marker again,
N + 1 ticks after the last one, and the output is the sum of all, of which one unit at most is not saturated:

    h_{N+1}(k) = f(on + g (y(k-N-1) - marker)),  g (high - low) = on - knee
    y(k)       = sum_i (h_i(k) - low) + marker (h_{N+1}(k) - low) / (f(on) - low)

H. Siegelmann, B. Horne and C. Giles, "Computational capabilities of recurrent NARX neural networks", IEEE Trans.
Systems, Man, and Cybernetics B 27, 1997. An activation f that is saturated on the right is used as -f(-z), with the
signs of all states reversed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import narx_pictures
import torch
from torch import Tensor, nn

import graphrec as gr


@dataclass(frozen=True)
class Saturated:
    """A bounded activation that is saturated on the left: f(z) = low for all z <= knee, low <= f(z) <= high above.

    Args:
        function: f, elementwise.
        low, high, knee: as above.
        on: where f is not saturated, for the marker's unit. In exact arithmetic any such place will do. But each
            cycle multiplies the marker's round-off by 2 (on - knee) f'(on) / (f(on) - low), which must be less than
            1: f must be nearly flat there.

    Raises:
        ValueError: f is not so.
    """

    function: Callable[[Tensor], Tensor]
    low: float
    high: float
    knee: float
    on: float

    def __post_init__(self) -> None:
        below = self.knee - torch.tensor([0.0, 1.0, 1e3, 1e6], dtype=torch.float64)
        if not self.function(below).eq(self.low).all():
            raise ValueError(
                f"the activation must be {self.low} at {self.knee} and everywhere below, got "
                f"{self.function(below).tolist()} at {below.tolist()}: one that only comes near it, such as tanh, "
                f"cannot be switched off."
            )
        if not self.low < self.at_on <= self.high:
            raise ValueError(
                f"the activation must be above {self.low} and at most {self.high} at on = {self.on}, "
                f"got {self.at_on}."
            )
        if not self.factor < 1:
            raise ValueError(
                f"the activation must be nearly flat at on = {self.on}, got a slope by which each cycle multiplies "
                f"the marker's round-off by {self.factor:.3g}: give a larger on."
            )

    def __call__(self, z: Tensor) -> Tensor:
        """f(z)."""
        return self.function(z)

    @property
    def at_on(self) -> float:
        """f(on)."""
        return self.function(torch.tensor(self.on, dtype=torch.float64)).item()

    @property
    def factor(self) -> float:
        """By what each cycle multiplies the marker's round-off."""
        slope = torch.func.grad(self.function)(torch.tensor(self.on, dtype=torch.float64)).item()
        return 2 * (self.on - self.knee) * slope / (self.at_on - self.low)

    @property
    def marker(self) -> float:
        """What the NARX network emits at the beginning of a cycle."""
        return 2 * (self.high - self.low)


CLAMP = Saturated(lambda z: z.clamp(0, 1), low=0, high=1, knee=0, on=2)
CLAMP_BOTH_SIGNS = Saturated(lambda z: z.clamp(-1, 1), low=-1, high=1, knee=-1, on=2)
HALF_TANH = Saturated(lambda z: z.relu().tanh(), low=0, high=1, knee=0, on=20)  # saturated on one side only


class Simulation(nn.Module):
    """A NARX network that simulates a fully connected one; see above.

    Args:
        network: of D inputs and N units, with a bias and a `Saturated` activation.
        largest_input: no |u_j(t)| may exceed this.

    Attributes:
        narx: of D inputs, N + 1 hidden units and one output, with no input lags and 2N output lags.

    Raises:
        TypeError: the activation is no `Saturated`.
        ValueError: the network has no bias, or two.
    """

    def __init__(self, network: gr.SRNCell, largest_input: float = 1.0) -> None:
        super().__init__()
        if not isinstance(network.activation, Saturated):
            raise TypeError(
                f"the network's activation must be a Saturated, got {network.activation!r}: make the cell with "
                f"activation=CLAMP, say."
            )
        if network.input.bias is None or network.recurrent.bias is not None:
            raise ValueError("the network must have one bias: make the cell with biases=1.")
        self.f, self.units, self.largest_input = network.activation, network.hidden, largest_input
        self.narx = gr.NARX(network.inputs, self.units + 1, 1, 0, 2 * self.units, self.f)
        self.narx.to(network.input.weight)
        self._program(network.recurrent.weight, network.input.weight, network.input.bias)

    @torch.no_grad()
    def _program(self, a: Tensor, b: Tensor, c: Tensor) -> None:
        f, n, narx = self.f, self.units, self.narx.cell
        on = c.new_tensor([f.on])
        bias = c + f.low * a.sum(dim=1)
        largest = bias + f.marker * a.clamp(min=0).sum(dim=1) + self.largest_input * b.abs().sum(dim=1)
        gate = (torch.cat([largest, on]) - f.knee).clamp(min=0) / (f.high - f.low)

        narx.input.weight.copy_(torch.cat([b, torch.zeros_like(b[:1])]))
        narx.input.bias.copy_(torch.cat([bias, on]) - gate * f.marker)
        past = narx.past.weight.zero_()  # column k - 1 holds the weights of y(t - k)
        for i in range(n):
            past[i, i + 1 : i + 1 + n] = a[i].flip(0)
        past.diagonal().copy_(gate)
        narx.output.weight.fill_(1)
        narx.output.weight[0, n] = f.marker / (f.at_on - f.low)
        narx.output.bias.copy_(-f.low * narx.output.weight.sum(dim=1))

    def forward(self, u: Tensor, start: Tensor) -> Tensor:
        """The NARX network's free run after a given first cycle.

        Args:
            u: `[T, D]`, the inputs; each is held for a whole cycle.
            start: `[N]`, the state x(0), the first cycle's outputs.

        Returns:
            `[T + 1, N + 1]`, the outputs y by cycle: the marker, then x(t) - low.

        Raises:
            ValueError: an input above `largest_input`, or a start outside of what f can be.
        """
        f, ticks, cycles = self.f, self.units + 1, len(u) + 1
        if not (u.abs() <= self.largest_input).all():
            raise ValueError(
                f"no input may exceed {self.largest_input}, for which the gates are made, got "
                f"{u.abs().max().item():.4g}: scale the inputs, or give a larger largest_input."
            )
        if not ((start >= f.low) & (start <= f.high)).all():
            raise ValueError(f"the start must lie between {f.low} and {f.high}, got {start.tolist()}.")
        held = torch.cat([u.new_zeros(1, u.shape[1]), u]).repeat_interleave(ticks, dim=0)
        given = u.new_full((cycles, ticks), torch.nan)  # unknown outputs are not read
        given[0] = torch.cat([start.new_tensor([f.marker]), start - f.low])
        known = torch.arange(cycles * ticks) < ticks
        y = self.narx(held, gr.chain(cycles * ticks), given.reshape(-1, 1), known)
        return torch.cat([given[:1], y.reshape(cycles, ticks)[1:]])

    def states(self, y: Tensor) -> Tensor:
        """`[T + 1, N + 1]` outputs to the states x(1) to x(T), `[T, N]`."""
        return y[1:, 1:] + self.f.low


def random_network(inputs: int, units: int, f: Saturated, seed: int) -> gr.SRNCell:
    """A fully connected network with normally distributed weights, in float64."""
    generator = torch.Generator().manual_seed(seed)
    network = gr.SRNCell(inputs, units, activation=f).double()
    nn.init.normal_(network.recurrent.weight, std=1.5 / units**0.5, generator=generator)
    nn.init.normal_(network.input.weight, std=0.7, generator=generator)
    nn.init.normal_(network.input.bias, std=0.3, generator=generator)
    return network


def random_case(inputs: int, units: int, f: Saturated, steps: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs `[T, D]` from -1 to 1 and a start `[N]` from low to high, all drawn uniformly."""
    generator = torch.Generator().manual_seed(seed)
    u = 2 * torch.rand(steps, inputs, generator=generator, dtype=torch.float64) - 1
    start = f.low + (f.high - f.low) * torch.rand(units, generator=generator, dtype=torch.float64)
    return u, start


class Outcome(NamedTuple):
    """One simulation: y by cycle, the hidden units at each tick of the free run, and both networks' states."""

    y: Tensor  # [T + 1, N + 1]
    hidden: Tensor  # [T (N + 1), N + 1]
    simulated: Tensor  # [T, N]
    states: Tensor  # [T, N]

    @property
    def difference(self) -> Tensor:
        """`[T]`, the largest difference of any unit at each step."""
        return (self.simulated - self.states).abs().amax(dim=1)


@torch.no_grad()
def compare(units: int, f: Saturated = CLAMP, steps: int = 100, seed: int = 0) -> Outcome:
    """A random fully connected network of two inputs and the NARX network that simulates it."""
    network = random_network(2, units, f, seed)
    u, start = random_case(2, units, f, steps, seed + 1)
    x = gr.run(network, gr.schedule(gr.chain(steps)), u, network.State(start[None])).h
    simulation, hidden = Simulation(network), []
    watch = simulation.narx.cell.output.register_forward_hook(lambda _, h, y: hidden.append(h[0]))
    y = simulation(u, start)
    watch.remove()
    return Outcome(y, torch.cat(hidden)[units + 1 :], simulation.states(y), x)


def main(argv: list[str] | None = None) -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--out", type=Path, default=Path("runs", "narx_simulation"), help="where results go")
    folder = flags.parse_args(argv).out
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = {units: compare(units) for units in (1, 2, 5, 10, 20)}
    lines = ["  N  hidden units  output lags  ticks per step  largest difference, 100 steps"]
    for units, outcome in outcomes.items():
        sizes = f"{units:>3}  {units + 1:>12}  {2 * units:>11}  {units + 1:>14}"
        lines.append(f"{sizes}  {outcome.difference.max().item():>29.1e}")
    narx_pictures.draw(compare(3, seed=3), outcomes).savefig(folder / "narx_simulation.png")
    results = "\n".join(lines)
    print(f"{results}\n\nThe picture is {folder / 'narx_simulation.png'}.")


if __name__ == "__main__":
    main()
