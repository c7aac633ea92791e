"""Runs the network of a Turing machine, in float64 by graphrec or exactly, and reads configurations off its units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import torch
from torch import Tensor
from turing_compiler import (
    SIDES,
    At,
    Push,
    Stack,
    Unit,
    compile_table,
    decode,
    digit_base,
    encode,
    exact_cells,
)
from turing_machines import Configuration, Machine

import graphrec as gr

BLOCK = 256  # nodes of a chain; the network runs chain after chain until it halts


class TapeFull(ArithmeticError):
    """A machine needs more cells on one side of its head than float64 computes with exactly.

    Attributes:
        step: the first step of the machine after which there would be too many; 0 where the input is too long.
        side: of the head, "L" or "R".
        cells: how many there may be.
    """

    def __init__(self, step: int, side: str, cells: int, base: int) -> None:
        where = "left" if side == "L" else "right"
        when = f"step {step} of the machine needs" if step else "the input needs"
        super().__init__(
            f"{when} more than {cells} cells on the {where} of the head, digits in base {base}, and float64 computes "
            f"exactly with no more of them: run with exact=True, which takes fractions of any length."
        )
        self.step, self.side, self.cells = step, side, cells


def saturated_linear(z: Tensor) -> Tensor:
    """σ: z between 0 and 1, 0 below, 1 above."""
    return z.clamp(0, 1)


class TuringNetwork:
    """The recurrent network that goes through the configurations of a Turing machine; see `turing_compiler`.

    Args:
        machine: what to compile.

    Attributes:
        cell: the network, an SRN in float64 with D inputs and H units.
        units: what its H units are; the first D are the configuration, which the inputs set.
        base: B, of the digits of stacks.
        cells: how many cells there may be on each side of the head for float64 to be exact.
    """

    def __init__(self, machine: Machine) -> None:
        sums = compile_table(machine)
        self.machine = machine
        self.units: list[Unit] = list(sums)
        self.base = digit_base(machine)
        self.cells = exact_cells(self.base)
        self._number = {unit: i for i, unit in enumerate(self.units)}
        self._inputs = sum(isinstance(unit, At | Stack) for unit in self.units)

        weight = torch.zeros(len(sums), len(sums), dtype=torch.float64)
        bias = torch.zeros(len(sums), dtype=torch.float64)
        for i, row in enumerate(sums.values()):
            bias[i] = row.bias
            for source, value in row.weights.items():
                weight[i, self._number[source]] = value
        self.cell = gr.SRNCell(self._inputs, len(sums), activation=saturated_linear).double()
        with torch.no_grad():
            self.cell.recurrent.weight.copy_(weight)
            self.cell.input.weight.zero_().diagonal().copy_(1 - bias[: self._inputs])  # an input of 1 makes 1
            self.cell.input.bias.copy_(bias)

    def run(self, tape: str = "", exact: bool = False) -> Iterator[Configuration]:
        """The configurations that the network goes through, from the first to the halt, if there is one.

        Args:
            tape: the input; the head is on its first symbol.
            exact: compute with fractions, by the same equations, in place of float64.

        Raises:
            ValueError: a symbol of the tape that is none of the machine's. Nothing has been done then.
            TapeFull: the input, or a step of the machine, needs more cells than float64 computes with exactly.
        """
        return self._configurations(self.states(tape, exact), exact)

    def states(self, tape: str = "", exact: bool = False) -> Iterator[Sequence[float | Fraction]]:
        """The states of the network, h_1, h_2, …, endlessly, of H units each; arguments as of `run`.

        Only the input is checked: past a step for which `run` raises TapeFull the states in float64 are wrong.
        """
        machine = self.machine
        machine.check(tape)
        if len(tape) - 1 > self.cells and not exact:
            raise TapeFull(0, "R", self.cells, self.base)
        read = At(machine.start, tape[:1] or machine.blank)
        right = encode([machine.symbols.index(symbol) for symbol in tape[1:]], self.base)
        first = {read: Fraction(1), Stack("R"): right}
        x = [first.get(unit, Fraction(0)) for unit in self.units[: self._inputs]]
        return self._fractions(x) if exact else self._floats(x)

    def _floats(self, first: list[Fraction]) -> Iterator[list[float]]:
        """h_t for x_1 = first and no other input, by graphrec, block after block."""
        plan = gr.schedule(gr.chain(BLOCK))
        x = torch.zeros(BLOCK, self._inputs, dtype=torch.float64)
        x[0] = torch.tensor([float(value) for value in first], dtype=torch.float64)
        h = x.new_zeros(1, len(self.units))
        while True:
            with torch.no_grad():
                h = gr.run(self.cell, plan, x, h[-1:]).h
            yield from h.tolist()
            x = torch.zeros_like(x)

    def _fractions(self, first: list[Fraction]) -> Iterator[list[Fraction]]:
        """The same, by the equation h_t = σ(W x_t + U h_{t-1} + b) with the cell's weights as fractions."""
        weights = torch.cat([self.cell.input.weight, self.cell.recurrent.weight], dim=1).tolist()
        bias = [Fraction(b) for b in self.cell.input.bias.tolist()]
        rows = [[(j, Fraction(w)) for j, w in enumerate(row) if w] for row in weights]
        x, h, zero, one = first, [Fraction(0)] * len(rows), Fraction(0), Fraction(1)
        while True:
            xh = [*x, *h]
            z = [sum((w * xh[j] for j, w in row if xh[j]), b) for row, b in zip(rows, bias, strict=True)]
            h = [min(max(value, zero), one) for value in z]
            yield h
            x = [zero] * len(x)

    def _configurations(
        self, states: Iterator[Sequence[float | Fraction]], exact: bool
    ) -> Iterator[Configuration]:
        head = 0
        # A step of the machine is two of the network, so that states are taken in pairs.
        for step, (configuration, change) in enumerate(zip(states, states, strict=False), 1):
            state, symbol = self._read(configuration)
            stacks = {side: decode(configuration[self._number[Stack(side)]], self.base) for side in SIDES}
            yield Configuration(state, head, self._tape(head, stacks["L"], symbol, stacks["R"]))
            if state in self.machine.halting:
                return
            pushed = next(side for side in SIDES if change[self._number[Push(side)]] > 0)
            if len(stacks[pushed]) == self.cells and not exact:
                raise TapeFull(step, pushed, self.cells, self.base)
            head += 1 if pushed == "L" else -1

    def _read(self, configuration: Sequence[float | Fraction]) -> tuple[str, str]:
        """The state of the control, and the symbol under the head."""
        [at] = [unit for unit, i in self._number.items() if isinstance(unit, At) and configuration[i] == 1]
        return at.state, at.symbol

    def _tape(self, head: int, left: list[int], symbol: str, right: list[int]) -> dict[int, str]:
        """The cells that are not blank, by place."""
        symbols = self.machine.symbols
        cells = {head: symbol}
        cells |= {head - i: symbols[a] for i, a in enumerate(left, 1)}
        cells |= {head + i: symbols[a] for i, a in enumerate(right, 1)}
        return {place: symbol for place, symbol in cells.items() if symbol != self.machine.blank}
