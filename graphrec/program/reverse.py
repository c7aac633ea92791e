"""Reverse-mode differentiation of values: the gradient of each, as other values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .codes import DETACHED, ZERO, Codes, Value, even_blocks
from .symbols import NODE, NotRecordable
from .values import Builder


class WeightGradient(NamedTuple):
    """The gradient of a block of a captured tensor: the sum over rows of a ⊗ g.

    Attributes:
        weight: `[K, N]` codes of the block.
        a, g: `[K]` and `[N]` codes of what was multiplied, and of the result's gradient.
        rows: of both.
    """

    weight: Codes
    a: Codes
    g: Codes
    rows: str


class SumGradient(NamedTuple):
    """The gradient of some numbers of a captured tensor: the sum over rows of g.

    Attributes:
        of: `[n]` codes of the numbers.
        g: `[n]` codes of their gradient in each row.
        rows: of g.
    """

    of: Codes
    g: Codes
    rows: str


class Reverse:
    """Gradients are seeded by `add`, brought back by `run`, and read by `of`.

    Args:
        b: where values are made.
        wanted: whether a load, or a captured tensor, needs a gradient.
    """

    b: Builder

    def __init__(self, b: Builder, wanted: Callable[[Value], bool]) -> None:
        self.b, self._wanted = b, wanted
        self._gradient: dict[int, Codes] = {}
        self._needs: dict[int, bool] = {}
        self._rows = NODE
        self.weights: list[WeightGradient] = []
        self.sums: list[SumGradient] = []

    def of(self, value: Value) -> Codes:
        """The gradient of a value so far."""
        return self._gradient.get(value.number, np.full(value.width, ZERO))

    def needs(self, value: Value) -> bool:
        """Whether a value depends on anything whose gradient is wanted."""
        found = self._needs.get(value.number)
        if found is None:
            if value.op in ("load", "gather", "previous", "captured", "const"):
                found = value.op != "const" and self._wanted(value)
            else:
                found = any(self.needs(ref.value) for ref in value.args if not ref.detached)
                for codes in (value.a, value.weight, value.bias):
                    found = found or (codes is not None and self.any_needs(codes))
            self._needs[value.number] = found
        return found

    def any_needs(self, codes: Codes) -> bool:
        """Whether any of these columns does."""
        flat = codes.reshape(-1)
        firsts = flat[np.flatnonzero(np.diff(flat >> 32, prepend=-2))]
        return any(code != ZERO and not code & DETACHED and self.needs(self.b.value(code)) for code in firsts)

    def add(self, target: Codes, gradient: Codes) -> None:
        """Add a gradient to what codes stand for."""
        for start, stop, (ref, g) in self.b.runs(target.reshape(-1), gradient.reshape(-1)):
            if ref is None or g is None or ref.detached or not self.needs(ref.value):
                continue
            of, piece = ref.codes, gradient.reshape(-1)[start:stop]
            if ref.step == 0 and ref.width > 1:  # one column, read by many
                of, piece = of[:1], self.b.sum_over(piece, (0,)).reshape(1)
            if ref.value.rows is None:
                self.sums.append(SumGradient(of, piece, self._rows))
                continue
            total = self._gradient.setdefault(ref.value.number, np.full(ref.value.width, ZERO))
            columns = (of & 0xFFFFFFFF).astype(np.int64)
            total[columns] = self.b.ew("add", total[columns], piece)

    def run(self, values: Sequence[Value]) -> None:
        """Bring the gradients of values, in the order in which they were computed, back to their operands."""
        for value in reversed(values):
            g = self._gradient.get(value.number)
            if g is not None and (g != ZERO).any() and self.needs(value):
                self._undo(value, g)

    def _undo(self, value: Value, g: Codes) -> None:
        op, y = value.op, value.codes
        self._rows = value.rows or NODE
        if op == "product":
            self._undo_product(value, g)
        elif op in _RULES:
            _RULES[op](self, value, g, y, *(ref.codes for ref in value.args))
        elif op not in _NO_GRADIENT:
            raise NotRecordable(f"{op} has no derivative here")

    def _undo_product(self, value: Value, g: Codes) -> None:
        assert value.a is not None
        assert value.weight is not None
        assert value.rows is not None
        there = g != ZERO
        if value.bias is not None:
            self.add(value.bias[there], g[there])
        weight, g = value.weight[:, there], g[there]
        if self.any_needs(weight) and len(g):
            for start, stop in even_blocks(weight)[1]:
                self.weights.append(WeightGradient(weight[:, start:stop], value.a, g[start:stop], value.rows))
        if self.any_needs(value.a):
            self.add(value.a, self.b.multiplied(value.rows, g, np.ascontiguousarray(weight.T)))


def _rule(*names: str):
    def register(function):
        for name in names:
            _RULES[name] = function
        return function

    return register


_RULES: dict = {}
_NO_GRADIENT = frozenset(
    (
        "load",
        "gather",
        "previous",
        "sign",
        "greater",
        "greater_equal",
        "equal",
        "greater_imm",
        "less_imm",
        "equal_imm",
    )
)


def _one_operand(name: str, back: Callable) -> None:
    """back(ew, g, y, x, value): the gradient of the only operand x of y."""

    def rule(r: Reverse, value: Value, g: Codes, y: Codes, x: Codes) -> None:
        r.add(x, back(r.b.ew, g, y, x, value))

    _RULES[name] = rule


for _name, _back in {
    "neg": lambda ew, g, y, x, v: ew("neg", g),
    "add_imm": lambda ew, g, y, x, v: g,
    "mul_imm": lambda ew, g, y, x, v: ew("mul_imm", g, imm=v.imm),
    "rsub_imm": lambda ew, g, y, x, v: ew("neg", g),
    "reciprocal": lambda ew, g, y, x, v: ew("neg", ew("mul", g, ew("square", y))),
    "square": lambda ew, g, y, x, v: ew("mul_imm", ew("mul", g, x), imm=2.0),
    "sqrt": lambda ew, g, y, x, v: ew("mul_imm", ew("div", g, y), imm=0.5),
    "rsqrt": lambda ew, g, y, x, v: ew("mul_imm", ew("mul", g, ew("mul", y, ew("square", y))), imm=-0.5),
    "abs": lambda ew, g, y, x, v: ew("mul", g, ew("sign", x)),
    # (Where x is the bound itself, clamp passes the gradient, and relu does not.)
    "relu": lambda ew, g, y, x, v: ew("relu_grad", g, y),
    "max_imm": lambda ew, g, y, x, v: ew("mul", g, ew("greater_equal", x, _number(v.imm, x, ew))),
    "min_imm": lambda ew, g, y, x, v: ew("mul", g, ew("greater_equal", _number(v.imm, x, ew), x)),
    "exp": lambda ew, g, y, x, v: ew("mul", g, y),
    "log": lambda ew, g, y, x, v: ew("div", g, x),
    "sigmoid": lambda ew, g, y, x, v: ew("sigmoid_grad", g, y),
    "tanh": lambda ew, g, y, x, v: ew("tanh_grad", g, y),
    "sin": lambda ew, g, y, x, v: ew("mul", g, ew("cos", x)),
    "cos": lambda ew, g, y, x, v: ew("neg", ew("mul", g, ew("sin", x))),
    "erf": lambda ew, g, y, x, v: ew(
        "mul_imm", ew("mul", g, ew("exp", ew("neg", ew("square", x)))), imm=1.1283791670955126
    ),
    "softplus": lambda ew, g, y, x, v: ew("mul", g, ew("sigmoid", x)),
    "expm1": lambda ew, g, y, x, v: ew("mul", g, ew("add_imm", y, imm=1.0)),
    "log1p": lambda ew, g, y, x, v: ew("div", g, ew("add_imm", x, imm=1.0)),
}.items():
    _one_operand(_name, _back)


def _number(value: float, like: Codes, ew: Callable) -> Codes:
    return np.broadcast_to(ew.__self__.const(value), like.shape)  # type: ignore[attr-defined]


@_rule("add")
def _add(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes, b: Codes) -> None:
    r.add(a, g)
    r.add(b, g)


@_rule("sub")
def _sub(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes, b: Codes) -> None:
    r.add(a, g)
    r.add(b, r.b.ew("neg", g))


@_rule("mul")
def _mul(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes, b: Codes) -> None:
    if r.any_needs(a):
        r.add(a, r.b.ew("mul", g, b))
    if r.any_needs(b):
        r.add(b, r.b.ew("mul", g, a))


@_rule("div")
def _div(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes, b: Codes) -> None:
    share = r.b.ew("div", g, b)
    r.add(a, share)
    if r.any_needs(b):
        r.add(b, r.b.ew("neg", r.b.ew("mul", share, y)))


@_rule("maximum", "minimum")
def _extreme(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes, b: Codes) -> None:
    first, second = (a, b) if value.op == "maximum" else (b, a)
    both = r.b.ew("mul_imm", r.b.ew("equal", a, b), imm=0.5)
    for of, share in ((first, r.b.ew("greater", a, b)), (second, r.b.ew("greater", b, a))):
        r.add(of, r.b.ew("mul", g, r.b.ew("add", share, both)))


@_rule("select")
def _select(r: Reverse, value: Value, g: Codes, y: Codes, condition: Codes, a: Codes, b: Codes) -> None:
    zero = np.full(g.shape, ZERO)
    r.add(a, r.b.ew("select", condition, g, zero))
    r.add(b, r.b.ew("select", condition, zero, g))


@_rule("sum_each")
def _sum_each(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes) -> None:
    r.add(a, np.repeat(g, value.count))


@_rule("sum_all")
def _sum_all(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes) -> None:
    r.add(a, np.tile(g, value.count))


@_rule("repeat_each")
def _repeat_each(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes) -> None:
    r.add(a, r.b.sum_over(g.reshape(-1, value.count), (1,)))


@_rule("repeat_all")
def _repeat_all(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes) -> None:
    r.add(a, r.b.sum_over(g.reshape(value.count, -1), (0,)))


@_rule("segment_sum")
def _segment_sum(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes) -> None:
    r.add(a, r.b.to_edges(g))


@_rule("segment_max")
def _segment_max(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes) -> None:
    b = r.b
    highest = b.ew("equal", a, b.to_edges(y))
    count = b.ew("max_imm", b.from_edges("segment_sum", highest), imm=1.0)
    r.add(a, b.ew("mul", highest, b.to_edges(b.ew("div", g, count))))


@_rule("to_edges")
def _to_edges(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes) -> None:
    r.add(a, r.b.from_edges("segment_sum", g))


@_rule("by_index")
def _by_index(r: Reverse, value: Value, g: Codes, y: Codes, a: Codes) -> None:
    r.add(a, r.b.from_index(value.field, g.reshape(value.count, -1)))
