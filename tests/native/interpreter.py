"""What programs mean, in numpy: slow and plain, one operation after the other over all rows of a stretch."""

from __future__ import annotations

import numpy as np
from scipy import special

from graphrec.cprogram import CHAIN, GLOBAL, NO_OPERAND, NODES, OUTER, PRODUCT, SUM, TILE_NODES, Op
from tests.native.case import Case, copies


def relu_grad(a, b):
    return np.where(b <= 0, 0, a)


def softplus(a):
    return np.where(a > 20, a, np.log1p(np.exp(np.minimum(a, 21))))


UNARY = {
    Op.COPY: lambda a, s: a,
    Op.NEG: lambda a, s: -a,
    Op.ADD_IMM: lambda a, s: a + s,
    Op.MUL_IMM: lambda a, s: a * s,
    Op.RSUB_IMM: lambda a, s: s - a,
    Op.RECIPROCAL: lambda a, s: 1 / a,
    Op.SQUARE: lambda a, s: a * a,
    Op.SQRT: lambda a, s: np.sqrt(a),
    Op.RSQRT: lambda a, s: 1 / np.sqrt(a),
    Op.ABS: lambda a, s: np.abs(a),
    Op.SIGN: lambda a, s: np.nan_to_num(np.sign(a), nan=0),
    Op.MAX_IMM: lambda a, s: np.maximum(a, s),
    Op.MIN_IMM: lambda a, s: np.minimum(a, s),
    Op.EXP: lambda a, s: np.exp(a),
    Op.LOG: lambda a, s: np.log(a),
    Op.SIGMOID: lambda a, s: 1 / (1 + np.exp(-a)),
    Op.TANH: lambda a, s: np.tanh(a),
    Op.SIN: lambda a, s: np.sin(a),
    Op.COS: lambda a, s: np.cos(a),
    Op.ERF: lambda a, s: special.erf(a),
    Op.SOFTPLUS: lambda a, s: softplus(a),
    Op.EXPM1: lambda a, s: np.expm1(a),
    Op.LOG1P: lambda a, s: np.log1p(a),
    Op.GREATER_IMM: lambda a, s: a > s,
    Op.LESS_IMM: lambda a, s: a < s,
    Op.EQUAL_IMM: lambda a, s: a == s,
}
OF_SEVERAL = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.MUL: lambda a, b: a * b,
    Op.DIV: lambda a, b: a / b,
    Op.FMA: lambda a, b, c: a * b + c,
    Op.FNMA: lambda a, b, c: c - a * b,
    Op.MAXIMUM: np.maximum,
    Op.MINIMUM: np.minimum,
    Op.GREATER: lambda a, b: a > b,
    Op.GREATER_EQUAL: lambda a, b: a >= b,
    Op.EQUAL: lambda a, b: a == b,
    Op.SELECT: lambda a, b, c: np.where(a != 0, b, c),
    Op.SIGMOID_GRAD: lambda a, b: a * b * (1 - b),
    Op.TANH_GRAD: lambda a, b: a * (1 - b * b),
    Op.RELU_GRAD: relu_grad,
}
RESHAPING = {  # of [rows, columns read] and k
    Op.REPEAT_EACH: lambda a, k: np.repeat(a, k, axis=1),
    Op.REPEAT_ALL: lambda a, k: np.tile(a, (1, k)),
    Op.SUM_EACH: lambda a, k: a.reshape(len(a), a.shape[1] // k, k).sum(2),
    Op.SUM_ALL: lambda a, k: a.reshape(len(a), k, a.shape[1] // k).sum(1),
    Op.EVERY: lambda a, k: a[:, ::k],
}
ACCUMULATING = {
    Op.ACCUMULATE: (np.add, lambda a: a),
    Op.ACCUMULATE_PRODUCT: (np.add, lambda a, b: a * b),
    Op.ACCUMULATE_MAX: (np.maximum, lambda a: a),
    Op.ACCUMULATE_SCALED: (np.add, lambda a, b: a * b),
}
NARROW_FIRST = (Op.REPEAT_EACH, Op.REPEAT_ALL, Op.ACCUMULATE_SCALED)
ARITY = {op: f.__code__.co_argcount for op, f in OF_SEVERAL.items() if hasattr(f, "__code__")}
ARITY |= {Op.MAXIMUM: 2, Op.MINIMUM: 2, Op.ACCUMULATE: 1, Op.ACCUMULATE_PRODUCT: 2, Op.ACCUMULATE_MAX: 1}
ARITY[Op.ACCUMULATE_SCALED] = 2
ARITY |= dict.fromkeys([*UNARY, *RESHAPING], 1) | {Op.SET: 0}


class Interpreter:
    """Runs a case in `dtype` (float64 by default), on copies of its numbers."""

    def __init__(self, case: Case, dtype=np.float64):
        self.case, self.dtype = case, dtype
        rows, edges = case.structure.rows, case.structure.num_edges
        self.numbers = []
        for b, numbers in zip(case.buffers, copies(case.buffers), strict=True):
            if b.place == GLOBAL and b.later is not None:
                self.numbers.append(self.numbers[b.later][1:])
            elif b.place == GLOBAL:
                self.numbers.append(numbers.astype(dtype))
            elif b.place == SUM:
                self.numbers.append(np.zeros((1, 1, b.width), dtype))
            else:  # a tile's rows are addressed by the same numbers: here all of them are there
                self.numbers.append(
                    np.full((1, rows if b.place == TILE_NODES else edges, b.width), np.nan, dtype)
                )
        self.totals = [g[-1].astype(dtype) for g in case.gradients]

    def sweep(self, reverse: bool = False) -> None:
        s = self.case.structure
        for p in range(len(s.part) - 1)[:: -1 if reverse else 1]:
            for r in range(s.rounds)[:: -1 if reverse else 1]:
                for i in range(s.part[p], s.part[p + 1])[:: -1 if reverse else 1]:
                    if s.program[i] >= 0:
                        self.run(self.case.programs[s.program[i]], s.first[i], s.last[i], r)

    def run(self, program: tuple, first: int, last: int, round: int) -> None:
        instructions, operations = program
        for kind, rows, width, begin, end, a, a_col, weight, c, c_col, i, i_col in instructions:
            own = np.arange(*self.case.structure.first_of(rows)[[first, last]])
            if kind == PRODUCT:
                w = self.case.weights[weight].astype(self.dtype)
                k, n = w.shape
                left = self.read((a, a_col, 0, 0), own, k, round)
                add = self.read((i, i_col, 0, 0), own, n, round) if i >= 0 else 0
                self.write((c, c_col, 0, 0), own, left @ w + add, round)
            elif kind == OUTER:
                columns = self.case.buffers[c].width // width
                left = self.read((a, a_col, 0, 0), own, columns, round)
                right = self.read((i, i_col, 0, 0), own, width, round)
                self.numbers[c][0, 0] += (left.T @ right).reshape(-1)
            else:
                assert kind == CHAIN
                self.registers = {}
                for operation in operations[begin:end]:
                    self.operate(*operation, own, width, round)

    def operate(self, op, k, imm, d, a, b, c, own, width, round) -> None:
        op = Op(op)
        narrow = width // k if k else width
        widths = (narrow if op in NARROW_FIRST else width, width, width)
        given = zip((a, b, c)[: ARITY[op]], widths, strict=False)
        read = [self.read(o, own, columns, round) for o, columns in given]
        with np.errstate(all="ignore"):
            if op == Op.SET:
                self.write(d, own, np.full((len(own), width), imm, self.dtype), round)
            elif op in UNARY:
                self.write(d, own, UNARY[op](read[0], np.float64(imm)), round)
            elif op in OF_SEVERAL:
                self.write(d, own, OF_SEVERAL[op](*read), round)
            elif op in RESHAPING:
                self.write(d, own, RESHAPING[op](read[0], k), round)
            else:
                combine, value = ACCUMULATING[op]
                if op == Op.ACCUMULATE_SCALED:
                    read[0] = np.repeat(read[0], k, axis=1)
                numbers, where = self.at(d, own, width, round)
                combine.at(numbers, where, value(*read))

    def at(self, operand: tuple, own: np.ndarray, columns: int, round: int) -> tuple:
        """An array of rows, and which of its elements an operand is."""
        buffer, column, index, split = operand
        row = self.case.indices[index][own].astype(np.int64) if index else own
        shift = np.zeros_like(row)
        if index and split:
            row, shift = row // split, row % split * columns
        if buffer < 0:
            width = max(columns, self.registers[buffer].shape[1]) if buffer in self.registers else columns
            old = self.registers.get(buffer)
            new = np.full((len(own), width), np.nan, self.dtype)
            if old is not None:
                new[:, : old.shape[1]] = old
            numbers = self.registers[buffer] = new
            row = np.arange(len(own))
        else:
            numbers = self.numbers[buffer]
            numbers = numbers[round if len(numbers) > 1 else 0]
            if len(numbers) == 1:
                row = np.zeros_like(row)
        return numbers, (row[:, None], column + shift[:, None] + np.arange(columns))

    def read(self, operand, own, columns, round):
        assert operand[0] != NO_OPERAND
        numbers, where = self.at(operand, own, columns, round)
        return numbers[where]

    def write(self, operand, own, values, round):
        numbers, where = self.at(operand, own, values.shape[1], round)
        numbers[where] = values

    def weight_gradients(self) -> None:
        s = self.case.structure
        for (rows, program, a, a_col, m, b, b_col, n, _), total in zip(
            self.case.gradients, self.totals, strict=True
        ):
            for r in range(s.rounds):
                for first, last, its in zip(s.first, s.last, s.program, strict=True):
                    if its < 0 or program not in (-1, its):
                        continue
                    own = np.arange(*(s.first_of(rows)[[first, last]] if rows != NODES else (first, last)))
                    total[:m, :n] += self.read((a, a_col, 0, 0), own, m, r).T @ self.read(
                        (b, b_col, 0, 0), own, n, r
                    )

    def results(self) -> list[np.ndarray]:
        pairs = zip(self.case.buffers, self.numbers, strict=True)
        found = [
            n[..., : b.width] if b.place == GLOBAL else n[0, 0] for b, n in pairs if b.place in (GLOBAL, SUM)
        ]
        return found + self.totals
