"""Every operation over every kind of rows and operands, against numpy."""

import itertools

import numpy as np
import pytest
import torch

from graphrec.cprogram import GLOBAL, IN_EDGES, NODES, OUT_EDGES, SUM, TILE_IN_EDGES, TILE_NODES, Op
from tests.native.case import Call, Case, Structure, chain, micro, register
from tests.native.interpreter import ACCUMULATING, ARITY, NARROW_FIRST, RESHAPING, Interpreter
from tests.tolerances import assert_close

TRIALS = 12
POSITIVE = (Op.LOG, Op.SQRT, Op.RSQRT, Op.LOG1P, Op.RECIPROCAL, Op.DIV)
OF_INTEGERS = (Op.GREATER, Op.GREATER_EQUAL, Op.EQUAL, Op.GREATER_IMM, Op.LESS_IMM, Op.EQUAL_IMM, Op.SELECT,
               Op.SIGN, Op.MAXIMUM, Op.MINIMUM, Op.MAX_IMM, Op.MIN_IMM, Op.RELU_GRAD, Op.ACCUMULATE_MAX)  # fmt: skip


class Trial:
    """One operation with random operands: a program that brings them to their places, runs it, and brings back d."""

    def __init__(self, op: Op, seed: int):
        self.random = random = np.random.default_rng([op, seed])
        self.op = op
        nodes, edges = random.integers(1, 130), random.integers(0, 300)
        ends = random.integers(0, nodes, (2, edges))
        ends = ends[:, np.argsort(ends[1], kind="stable")]
        self.s = Structure(nodes, ends, [0], [nodes], [0], [0], [0, 1])
        self.case = Case(random.choice([np.float32, np.float64]), self.s)
        self.kind = int(random.choice([NODES, IN_EDGES, OUT_EDGES]))
        self.rows = nodes if self.kind == NODES else edges
        own = [np.arange(nodes), ends[1], ends[0][self.s.by_source]][self.kind]  # each row's node
        self.own_node = self.case.index(own)
        self.k = int(random.integers(1, 9)) if op in (*RESHAPING, Op.ACCUMULATE_SCALED) else 0
        self.width = (
            int(random.integers(1, 71)) if not self.k else self.k * int(random.integers(1, 71 // self.k))
        )
        self.instructions, self.operations = [], []
        self.registers = 0

    def numbers(self, *shape):
        if self.op in OF_INTEGERS:
            return self.random.integers(-2, 3, shape).astype(float)
        values = self.random.normal(size=shape)
        return np.abs(values) + 0.1 if self.op in POSITIVE else values

    def chain(self, kind, width, *operations):
        first = len(self.operations)
        self.operations += operations
        self.instructions.append(chain(kind, width, first, len(self.operations)))

    def buffer(self, rows, columns, gap=None):
        """Numbers of some columns among others, and the first of them."""
        before, after = (0, 0) if gap == 0 else self.random.integers(0, 4, 2)
        numbers = self.numbers(1, max(rows, 2), columns + before + after)
        return self.case.add(GLOBAL, numbers.shape[2], numbers), int(before)

    def split(self, columns, unique):
        """A buffer whose rows are several pieces, and an index of them."""
        split = int(self.random.integers(1, 4))
        b, column = self.buffer(self.rows, columns * split)
        pieces = max(self.rows, 2) * split
        index = (
            self.random.permutation(pieces)[: self.rows]
            if unique
            else self.random.integers(0, pieces, self.rows)
        )
        return (b, column, self.case.index(index), split)

    def operand(self, columns):
        """One that is read, and operations of the same chain that must come before."""
        ways = ["own", "row", "index", "split", "register", "tile"]
        way = self.random.choice(ways if columns == self.width else ways[:4])
        if way == "row":
            return (self.case.add(GLOBAL, columns, self.numbers(1, 1, columns)), 0, 0, 0), []
        if way == "index":
            index = self.case.index(self.random.integers(0, 5, self.rows))
            return (*self.buffer(5, columns), index, 0), []
        if way == "split":
            return self.split(columns, unique=False), []
        own = (*self.buffer(self.rows, columns), 0, 0)
        if way == "register":
            self.registers += 1
            there = register(self.registers)
            return there, [micro(Op.COPY, there, own)]
        if way == "tile":
            if self.kind == IN_EDGES and self.random.random() < 0.5:
                there, kind = (self.case.add(TILE_IN_EDGES, columns + 1), 1, 0, 0), IN_EDGES
            else:
                own = (*self.buffer(self.s.rows, columns), 0, 0)
                b, kind = self.case.add(TILE_NODES, columns + 2), NODES
                there = (b, 2, self.own_node, 0)
            self.chain(kind, columns, micro(Op.COPY, (*there[:2], 0, 0), own))
            return there, []
        return own, []

    def destination(self, columns):
        """One that is written, and what begins the chain, what follows it in the chain, what comes after the chain."""
        ways = ["own", "split", "index", "register", "tile"] + (
            ["sum"] if self.op in (Op.ACCUMULATE, Op.ACCUMULATE_PRODUCT, Op.ACCUMULATE_SCALED) else []
        )
        way = self.random.choice(ways)
        if way == "sum":
            return (self.case.add(SUM, columns + 3, np.zeros(columns + 3)), 2, 0, 0), [], [], []
        if way == "index":
            unique = self.op not in ACCUMULATING
            rows = max(self.rows, 2)
            index = (
                self.random.permutation(rows)[: self.rows]
                if unique
                else np.sort(self.random.integers(0, 3, self.rows))
            )
            return (*self.buffer(rows, columns), self.case.index(index), 0), [], [], []
        if way == "split":
            return self.split(columns, self.op not in ACCUMULATING), [], [], []
        own = (*self.buffer(self.rows, columns), 0, 0)
        start = [micro(Op.SET, register(0), imm=-1.5)]
        if way == "register" and columns == self.width:
            return register(0), start, [micro(Op.COPY, own, register(0))], []
        if way == "tile" and self.kind == NODES:
            b = (self.case.add(TILE_NODES, columns + 1), 1, 0, 0)
            return b, [], [], [(columns, micro(Op.SET, b, imm=0.5)), (columns, micro(Op.COPY, own, b))]
        return own, [], [], []

    def build(self):
        op, k, width = self.op, self.k, self.width
        narrow = width // k if k else width
        repeats = op in NARROW_FIRST
        operands = [self.operand(narrow if repeats and not q else width) for q in range(ARITY[op])]
        before = list(itertools.chain.from_iterable(more for _, more in operands))
        d, start, more, after = self.destination(narrow if op in RESHAPING and not repeats else width)
        if after:
            self.chain(self.kind, after[0][0], after[0][1])
        imm = float(self.random.integers(-2, 3)) if op in OF_INTEGERS else float(self.random.normal())
        self.chain(
            self.kind, width, *start, *before, micro(op, d, *(o for o, _ in operands), k=k, imm=imm), *more
        )
        if after:
            self.chain(self.kind, after[1][0], after[1][1])
        self.case.programs.append((self.instructions, self.operations))
        return self.case


@pytest.mark.parametrize("op", Op)
def test_operation(library, op):
    for seed in range(TRIALS):
        case = Trial(op, seed).build()
        call, expected = Call(case), Interpreter(case)
        assert call.check(library) == ""
        assert call.sweep(library) == 0
        expected.sweep()
        for q, (one, other) in enumerate(zip(call.results(), expected.results(), strict=True)):
            assert_close(
                torch.from_numpy(one), torch.from_numpy(other.astype(case.dtype)), f"seed {seed}, buffer {q}"
            )
