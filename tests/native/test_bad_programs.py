"""What is no program is refused: roughly by every call, exactly by the check that tests use."""

import re
from pathlib import Path

import numpy as np
import pytest

from graphrec import cprogram as cp
from graphrec.cprogram import GLOBAL, IN_EDGES, NODES, NONE, OUT_EDGES, SUM, TILE_IN_EDGES, TILE_NODES, Op
from tests.native.case import Call, Case, Structure, chain, micro, outer, product, register

HEADER = Path(cp.__file__).parent / "csrc" / "program.h"
BAD_PROGRAM = 2


def case_of(instructions, operations, indices=(), gradients=()):
    """Three nodes in a row; buffer 0: 4 columns; 1: of edges; 2 and 3: of tiles; 4: a sum; 5: a row for all."""
    structure = Structure(3, np.array([[0, 1], [1, 2]]), [0, 1, 2], [1, 2, 3], [0, 0, 0], [0, 1, 2], [0, 3])
    case = Case(np.float64, structure)
    case.add(GLOBAL, 4, np.zeros((1, 3, 4)))
    case.add(GLOBAL, 4, np.zeros((1, 2, 4)))
    case.add(TILE_NODES, 4)
    case.add(TILE_IN_EDGES, 4)
    case.add(SUM, 4, np.zeros(4))
    case.add(GLOBAL, 4, np.zeros((1, 1, 4)))
    case.weights.append(np.zeros((4, 4)))
    for numbers in indices:
        case.index(np.array(numbers))
    case.programs.append((instructions, operations))
    case.gradients += gradients
    return case


def of_nodes(buffer, column=0, index=0, split=0):
    return (buffer, column, index, split)


def one(op, d, *operands, rows=NODES, width=4, k=0, indices=()):
    return case_of([chain(rows, width, 0, 1)], [micro(op, d, *operands, k=k)], indices)


X, EDGES, TILE, EDGE_TILE, TOTAL, ROW = (of_nodes(b) for b in range(6))
GRADIENT = np.zeros((4, 4))
BY_CHECK = {
    "columns": one(Op.COPY, X, of_nodes(0, 1)),
    "a row that is not there": one(Op.COPY, TILE, of_nodes(0, 0, 1), indices=[[0, 3, 1]]),
    "a negative row": one(Op.COPY, TILE, of_nodes(0, 0, 1), indices=[[0, -1, 1]]),
    "edges by nodes": one(Op.COPY, X, EDGE_TILE),
    "nodes by edges": one(Op.COPY, EDGES, TILE, rows=IN_EDGES),
    "another node's row of a tile": one(Op.COPY, EDGES, of_nodes(2, 0, 1), rows=IN_EDGES, indices=[[0, 2]]),
    "an operand is missing": one(Op.ADD, X, X),
    "a register without a value": one(Op.COPY, X, register(0)),
    "k does not divide": one(Op.SUM_EACH, TILE, X, k=3),
    "a sum is read": one(Op.COPY, X, TOTAL),
    "a sum is overwritten": one(Op.COPY, TOTAL, X),
    "a maximum over all": one(Op.ACCUMULATE_MAX, TOTAL, X),
    "rows written to one": one(Op.COPY, ROW, X),
    "pieces of rows": one(Op.COPY, X, of_nodes(0, 0, 1, 2), indices=[[0, 1, 2]]),
    "a product over out-edges": case_of([product(OUT_EDGES, 1, 0, 0, 1, 0)], []),
    "a product into a sum": case_of([product(NODES, 0, 0, 0, 4, 0)], []),
    "a product in place": case_of([product(NODES, 0, 0, 0, 0, 0)], []),
    "outer products of a sum": case_of([outer(NODES, 4, 0, 0, 0, 4, 4)], []),
    "outer products of edges as of nodes": case_of([outer(NODES, 1, 0, 0, 0, 4, 4)], []),
    "outer products that reach beyond a row": case_of([outer(NODES, 0, 0, 0, 2, 4, 4)], []),
    "a gradient of a tile": case_of([], [], gradients=[(NODES, 0, 2, 0, 4, 0, 0, 4, GRADIENT)]),
    "a gradient of edges as of nodes": case_of([], [], gradients=[(NODES, 0, 1, 0, 4, 0, 0, 4, GRADIENT)]),
    "an index reads what is written": case_of(
        [chain(NODES, 4, 0, 2)],
        [micro(Op.COPY, X, TILE), micro(Op.COPY, register(0), of_nodes(0, 0, 1))],
        [[0, 1, 2]],
    ),
}
BY_EVERY_CALL = {
    "no such operation": one(99, X, X),
    "no such buffer": one(Op.COPY, X, of_nodes(9)),
    "no such index": one(Op.COPY, X, of_nodes(0, 0, 3)),
    "no such kind of rows": one(Op.COPY, X, X, rows=7),
    "no such weight": case_of([product(NODES, 0, 0, 5, 2, 0)], []),
    "no such buffer of a product": case_of([product(NODES, 11, 0, 0, 2, 0)], []),
    "outer products into no sum": case_of([outer(NODES, 0, 0, 0, 0, 4, 0)], []),
    "outer products over out-edges": case_of([outer(OUT_EDGES, 1, 0, 1, 0, 4, 4)], []),
    "outer products of another width than the sum's": case_of([outer(NODES, 0, 0, 0, 0, 3, 4)], []),
    "k is zero": one(Op.REPEAT_ALL, X, TILE, k=0),
}


@pytest.mark.parametrize("what", BY_CHECK)
def test_check(library, what):
    assert Call(BY_CHECK[what]).check(library)


@pytest.mark.parametrize("what", BY_EVERY_CALL)
def test_every_call(library, what):
    call = Call(BY_EVERY_CALL[what])
    assert call.check(library)
    assert call.sweep(library) == BAD_PROGRAM


def test_message(library):
    said = Call(BY_CHECK["columns"]).check(library)
    assert said == "program 0, instruction 0: buffer 0: columns 1 + 4 of 4"


def test_no_rows(library):
    structure = Structure(0, np.zeros((2, 0), int), [0], [0], [0], [0], [0, 1])
    case = Case(np.float32, structure)
    total = case.add(SUM, 5, np.full(5, np.nan))
    x = case.add(GLOBAL, 5, np.zeros((1, 0, 5)))
    case.programs.append(([chain(NODES, 5, 0, 1)], [micro(Op.ACCUMULATE, of_nodes(total), of_nodes(x))]))
    call = Call(case)
    assert call.check(library) == ""
    assert call.sweep(library, threads=2) == 0
    assert np.array_equal(call.numbers[total], np.zeros(5))  # overwritten by the sum of nothing


def test_numbers_are_those_of_the_header():
    text = re.sub(r"//.*", "", HEADER.read_text())
    enums = {m[1]: m[2] for m in re.finditer(r"enum (\w+) \{(.*?)\}", text, re.DOTALL)}
    names = [name.strip() for name in enums["Op"].split(",")]
    assert names == [*Op.__members__, "NUM_OPS"]
    for name in ("RowKind", "Place", "InstructionKind"):
        for entry in enums[name].split(","):
            constant, value = entry.split("=")
            assert getattr(cp, constant.strip()) == int(value)
    fields = {
        m[1]: re.findall(r"(\w+)(?:,|;)", m[2])
        for m in re.finditer(r"struct (\w+) \{(.*?)\n\};", text, re.DOTALL)
    }
    arrays = {"Buffer": cp.BUFFER, "Weight": cp.WEIGHT, "Operand": cp.OPERAND, "MicroOp": cp.MICRO_OP,
              "Instruction": cp.INSTRUCTION, "Program": cp.PROGRAM, "WeightGradient": cp.WEIGHT_GRADIENT}  # fmt: skip
    assert fields == {name: list(dtype.names) for name, dtype in arrays.items()} | {
        "Structure": [name for name, *_ in cp.Structure._fields_]
    }
    assert NONE[0] == cp.NO_OPERAND == np.iinfo(np.int32).min
