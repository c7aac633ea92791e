"""From operations in their order to the instructions of the native executor."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...cprogram import CHAIN, INSTRUCTION, MICRO_OP, NONE, OUTER, PRODUCT, TILE_IN_EDGES, TILE_NODES, Op
from ...program.codes import Value
from ...program.compile import Part
from ...program.symbols import EDGE, NODE, NotRecordable
from .buffers import Buffers, Home
from .placement import Placement
from .units import NO_INDEX, OUT, ROWS, Operand, Unit, Weights, block_of


class Emission:
    """The code of one program of a part.

    Args:
        placement: of the part.
        direction: `"forward"` or `"reverse"`.
        weights: of all programs.
        units: the program's operations.
        makers: the operations that make each value.
        wanted: the values that are copied or added to memory in the end.
    """

    p: Placement
    direction: str
    weights: Weights
    units: list[Unit]
    makers: dict[Any, list[Unit]]

    def __init__(
        self,
        placement: Placement,
        direction: str,
        weights: Weights,
        units: list[Unit],
        makers: dict[Any, list[Unit]],
        wanted: set[int],
    ) -> None:
        self.p: Placement = placement
        self.part: Part = placement.part
        self.buffers: Buffers = placement.buffers
        self.direction, self.weights = direction, weights
        self.units, self.makers, self._wanted = units, makers, wanted

    def code(self, order: list[list[Unit]]) -> tuple[np.ndarray, np.ndarray]:
        where = {unit: number for number, group in enumerate(order) for unit in group}
        self._need_memory(where)
        instructions, operations = [], []
        for group in order:
            unit = group[0]
            if unit.op == "PRODUCT":
                instructions.append(self._product_code(unit))
                continue
            if unit.op == "OUTER":
                a, b, c = (self._memory(operand) for operand in (*unit.reads, unit.to))
                what = (OUTER, ROWS[unit.rows], unit.width, 0, 0)
                instructions.append((*what, a.buffer, a.column, 0, c.buffer, c.column, b.buffer, b.column))
                continue
            first = len(operations)
            self._chain_code(group, operations)
            instructions.append(
                (CHAIN, ROWS[unit.rows], unit.width, first, len(operations), 0, 0, 0, 0, 0, 0, 0)
            )
        return np.array(instructions, INSTRUCTION), np.array(operations, MICRO_OP)

    def _need_memory(self, where: dict[Unit, int]) -> None:
        """Which values pass from one instruction to another, and so need memory of the tile."""
        self.in_memory: set[int] = set()
        for unit in self.units:
            if unit.to.value is not None and (
                unit.op == "PRODUCT" or unit.to.index != NO_INDEX or unit.to.column
            ):
                self.in_memory.add(unit.to.value.number)
            for operand in unit.reads:
                value = operand.value
                if value is None:
                    continue
                makers = self.makers.get(value.number, [])
                elsewhere = any(where[one] != where[unit] for one in makers)
                if unit.op == "PRODUCT" or operand.index != NO_INDEX or elsewhere or operand.column:
                    self.in_memory.add(value.number)
            if unit.op in ("SUM_EACH", "SUM_ALL") and unit.to.value is not None:
                self.in_memory.add(unit.to.value.number)

    def _memory(self, operand: Operand) -> Home:
        home = operand.home
        if home is None:
            value = operand.value
            assert value is not None
            if value.rows == OUT:
                raise NotRecordable("rows of out-edges have no memory")
            place = TILE_IN_EDGES if value.rows == EDGE else TILE_NODES
            name = ("tile", self.p.sort, self.direction, value.number)
            home = Home(self.buffers.number(name, value.width, place, value.rows or NODE), 0)
        return Home(home.buffer, home.column + operand.column)

    def _product_code(self, unit: Unit) -> tuple[int, ...]:
        value = unit.product
        assert value is not None
        assert value.weight is not None
        low, high = self._columns_read(value)
        a, c = self._memory(unit.reads[0]), self._memory(unit.to)
        weight = self.weights.number(block_of(self.part.b, value.weight[:, low:high]))
        i, i_column = -1, 0
        if unit.bias is not None:
            home = self._memory(unit.bias)
            i, i_column = home.buffer, home.column + low
        what = (PRODUCT, ROWS[unit.rows], high - low, 0, 0)
        return (*what, a.buffer, a.column, weight, c.buffer, c.column + low, i, i_column)

    def _columns_read(self, value: Value) -> tuple[int, int]:
        """Of a product, what anybody reads."""
        if value.number in self.p.home or value.number in self._wanted:
            return 0, value.width
        low, high = value.width, 0
        for unit in self.units:
            for operand in unit.reads:
                if operand.value is value:
                    low = min(low, operand.column)
                    high = max(
                        high,
                        operand.column + (unit.product.width if unit.product is not None else unit.width),
                    )
        low = max(low, 0)
        return (low, min(high, value.width)) if low < high else (0, value.width)

    def _chain_code(self, group: list[Unit], operations: list[Any]) -> None:
        last: dict[int, int] = {}
        for number, unit in enumerate(group):
            for operand in unit.reads:
                if operand.value is not None:
                    last[operand.value.number] = number
        registers: dict[int, int] = {}
        free: list[int] = []
        highest = 0

        def take() -> int:
            nonlocal highest
            if not free:
                free.append(highest)
                highest += 1
            return free.pop()

        for number, unit in enumerate(group):
            codes, temporary = [], []
            for operand in unit.reads:
                value = operand.value
                if value is not None and value.op == "const":
                    register = take()
                    temporary.append(register)
                    operations.append((Op.SET, 0, value.imm, (-1 - register, 0, 0, 0), NONE, NONE, NONE))
                    codes.append((-1 - register, 0, 0, 0))
                elif value is not None and value.number in registers:
                    codes.append((-1 - registers[value.number], 0, 0, 0))
                else:
                    codes.append(self._code(operand))
            for operand in unit.reads:
                value = operand.value
                if value is not None and last.get(value.number) == number and value.number in registers:
                    free.append(registers.pop(value.number))
            free.extend(temporary)
            to = unit.to
            if to.value is not None and to.home is None and to.value.number not in self.in_memory:
                register = take()
                registers[to.value.number] = register
                code: tuple[int, ...] = (-1 - register, 0, 0, 0)
            else:
                code = self._code(to)
            codes += [NONE] * (3 - len(codes))
            operations.append((Op[unit.op], unit.k, unit.imm, code, *codes))

    def _code(self, operand: Operand) -> tuple[int, int, int, int]:
        home = self._memory(operand)
        name, split = operand.index
        return (home.buffer, home.column, self.p.indices.number(name) if name else 0, split)
