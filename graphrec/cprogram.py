"""The structs and numbers of `csrc/program.h`, as numpy dtypes (what comes in arrays) and ctypes structures."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_int64, c_void_p
from enum import IntEnum, auto

import numpy as np

NODES, IN_EDGES, OUT_EDGES = range(3)  # kinds of rows
GLOBAL, TILE_NODES, TILE_IN_EDGES, SUM = range(4)  # where a buffer lies
PRODUCT, CHAIN, OUTER = range(3)  # kinds of instructions
FLOATS, DOUBLES, FLOATS_BY_BF16 = range(3)  # what numbers are
NO_OPERAND = -(2**31)
NONE = (NO_OPERAND, 0, 0, 0)  # the operand that is none


class Op(IntEnum):
    """Elementwise operations; their equations stand in the header."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[int]) -> int:
        return count

    COPY = auto()
    SET = auto()
    REPEAT_EACH = auto()
    REPEAT_ALL = auto()
    SUM_EACH = auto()
    SUM_ALL = auto()
    EVERY = auto()
    ADD = auto()
    SUB = auto()
    MUL = auto()
    DIV = auto()
    FMA = auto()
    FNMA = auto()
    NEG = auto()
    ADD_IMM = auto()
    MUL_IMM = auto()
    RSUB_IMM = auto()
    RECIPROCAL = auto()
    SQUARE = auto()
    SQRT = auto()
    RSQRT = auto()
    ABS = auto()
    SIGN = auto()
    MAXIMUM = auto()
    MINIMUM = auto()
    MAX_IMM = auto()
    MIN_IMM = auto()
    EXP = auto()
    LOG = auto()
    SIGMOID = auto()
    TANH = auto()
    SIN = auto()
    COS = auto()
    ERF = auto()
    SOFTPLUS = auto()
    EXPM1 = auto()
    LOG1P = auto()
    GREATER = auto()
    GREATER_EQUAL = auto()
    EQUAL = auto()
    GREATER_IMM = auto()
    LESS_IMM = auto()
    EQUAL_IMM = auto()
    SELECT = auto()
    SIGMOID_GRAD = auto()
    TANH_GRAD = auto()
    RELU_GRAD = auto()
    ACCUMULATE = auto()
    ACCUMULATE_PRODUCT = auto()
    ACCUMULATE_MAX = auto()
    ACCUMULATE_SCALED = auto()


# Pointers in arrays are addresses: who fills them in keeps what they point to alive.
OPERAND = np.dtype([("buffer", "i4"), ("column", "i4"), ("index", "i4"), ("split", "i4")])
MICRO_OP = np.dtype(
    [("op", "i4"), ("k", "i4"), ("imm", "f8"), ("d", OPERAND), ("a", OPERAND), ("b", OPERAND), ("c", OPERAND)]
)
INSTRUCTION = np.dtype(
    [
        (name, "i4")
        for name in [
            "kind",
            "rows",
            "width",
            "first",
            "last",
            "a",
            "a_column",
            "weight",
            "c",
            "c_column",
            "i",
            "i_column",
        ]
    ]
)
BUFFER = np.dtype(
    [("base", "u8"), ("stride", "i8"), ("round", "i8"), ("place", "i4"), ("width", "i4"), ("order", "u8")]
)
WEIGHT = np.dtype([("w", "u8"), ("row", "i8"), ("column", "i8"), ("k", "i4"), ("n", "i4")])
PROGRAM = np.dtype([("instructions", "u8"), ("operations", "u8"), ("count", "i8")])
WEIGHT_GRADIENT = np.dtype(
    [(name, "i4") for name in ["rows", "program", "a", "a_column", "m", "b", "b_column", "n"]]
    + [("c", "u8"), ("c_stride", "i8")]
)


class Structure(ctypes.Structure):
    """A structure: counts, stretches by part, and the edges of rows."""

    _fields_ = (
        [(name, c_int64) for name in ["rows", "in_edges", "out_edges", "rounds", "parts", "stretches"]]
        + [
            (name, c_void_p)
            for name in [
                "part",
                "stage",
                "first",
                "last",
                "level",
                "program",
                "in_first",
                "out_first",
                "indices",
            ]
        ]
        + [("num_indices", c_int64)]
    )


def declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """The library with the types of its functions' arguments and results, as `csrc/interface.cpp` has them."""
    structure = ctypes.POINTER(Structure)
    array = [c_void_p, c_int64]
    library.graphrec_version.restype = c_int
    library.graphrec_isa.restype = c_char_p
    library.graphrec_has_bf16.restype = c_int
    library.graphrec_sweep.argtypes = [c_int, structure, *array, *array, *array, c_int, c_int]
    library.graphrec_weight_gradients.argtypes = [c_int, structure, *array, *array, c_int]
    # graphrec_check: as the sweep, then the rows of each buffer, weight gradients, and room for a message
    library.graphrec_check.argtypes = [structure, *array, *array, *array, c_void_p, *array, c_void_p, c_int64]
    return library
