"""A program's values: what is computed for each row of nodes or of edges, and how it simplifies itself."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from .codes import COLUMN, DETACHED, JUMP, SHIFT, VALUE, ZERO, Codes, Ref, Value, even_blocks, is_stretch
from .symbols import EDGE, NODE, NotRecordable

# What an elementwise operation makes of numbers.
_NUMPY: dict[str, Any] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "add_imm": np.add,
    "mul_imm": np.multiply,
    "rsub_imm": lambda x, imm: imm - x,
    "reciprocal": np.reciprocal,
    "square": np.square,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "abs": np.abs,
    "sign": np.sign,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "max_imm": np.maximum,
    "relu": lambda x: np.maximum(x, 0),
    "min_imm": np.minimum,
    "exp": np.exp,
    "log": np.log,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "erf": math.erf,
    "softplus": lambda x: np.logaddexp(x, 0),
    "expm1": np.expm1,
    "log1p": np.log1p,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
    "greater_imm": np.greater,
    "less_imm": np.less,
    "equal_imm": np.equal,
    "select": lambda c, x, y: np.where(c, x, y),
    "sigmoid_grad": lambda g, y: g * y * (1 - y),
    "tanh_grad": lambda g, y: g * (1 - y * y),
    "relu_grad": lambda g, y: g * (y > 0),
}
# A zero as an operand of these gives zero: as the first, or as the second.
_ZERO_FIRST = frozenset(
    (
        *(
            "mul",
            "div",
            "neg",
            "mul_imm",
            "square",
            "sqrt",
            "abs",
            "sign",
            "tanh",
            "relu",
            "sin",
            "erf",
            "expm1",
        ),
        *("log1p", "sigmoid_grad", "tanh_grad", "relu_grad"),
    )
)
_WITH_NUMBER = {  # operations whose second operand is one number for all rows
    "add": ("add_imm", lambda c: c),
    "sub": ("add_imm", lambda c: -c),
    "mul": ("mul_imm", lambda c: c),
    "div": ("mul_imm", lambda c: 1 / c),
    "maximum": ("max_imm", lambda c: c),
    "minimum": ("min_imm", lambda c: c),
    "greater": ("greater_imm", lambda c: c),
    "equal": ("equal_imm", lambda c: c),
}
# More pieces than these of an operand that repeats itself are made a value of their own.
_FEW = 8
# Sums of so few columns are additions, unless they are sums of neighbours for several columns at once.
_SHORT = 4


class Pushed(NamedTuple):
    """A product that every source computes once for all its targets.

    Attributes:
        field: where it is kept.
        of: the field it multiplies, and which columns.
        weight, bias: codes of captured tensors.
    """

    field: str
    of: str
    columns: tuple[int, int]
    weight: Codes
    bias: Codes | None


class Pushing:
    """Products that are done where rows are fewest: at the source."""

    def __init__(self) -> None:
        self.products: dict[Any, Pushed] = {}

    def field(self, of: str, start: int, stop: int, weight: Codes, bias: Codes | None) -> str:
        """Where the product of some columns of a field with a weight is kept."""
        key = (of, start, stop, weight.shape, weight.tobytes(), None if bias is None else bias.tobytes())
        if key not in self.products:
            name = f"pushed.{len(self.products)}"
            self.products[key] = Pushed(name, of, (start, stop), weight, bias)
        return self.products[key].field


class Builder:
    """Makes values: the side of operations that compiles.

    Args:
        dtype: of the rows.
        grain: where possible, values are as wide, so that operations on them can follow each other row by row.
        has_edges: whether there are any; if not, all that comes along them is zero.
        pushing: the products that sources do; None: none.
        captured: the shapes of the captured tensors.
    """

    dtype: torch.dtype

    grain: int | None
    has_edges: bool
    pushing: Pushing | None

    def __init__(
        self,
        dtype: torch.dtype,
        grain: int | None,
        has_edges: bool,
        pushing: Pushing | None,
        captured: Sequence[tuple[int, ...]],
    ) -> None:
        self.dtype, self.grain, self.has_edges, self.pushing = dtype, grain, has_edges, pushing
        self.values: list[Value] = []
        self._known: dict[Any, Value] = {}
        self.captured: list[Value] = [
            self._new(None, math.prod(shape), "captured", count=i) for i, shape in enumerate(captured)
        ]

    # -------------------------------------------------------------------------------------------- values

    def _new(self, rows: str | None, width: int, op: str, args: Sequence[Ref] = (), **more: Any) -> Value:
        value = Value(len(self.values), rows, width, op, args, **more)
        self.values.append(value)
        return value

    def _once(
        self, key: Any, rows: str | None, width: int, op: str, args: Sequence[Ref] = (), **more: Any
    ) -> Value:
        """The same value for the same key."""
        if key not in self._known:
            self._known[key] = self._new(rows, width, op, args, **more)
        return self._known[key]

    def value(self, code: Any) -> Value:
        """Of a code."""
        return self.values[(int(code) >> SHIFT) & VALUE]

    def load(self, field: str, rows: str, width: int, op: str = "load") -> Codes:
        """Memory of the run; `op` is load, gather (of each edge's source) or previous (of the round before)."""
        if rows == EDGE and not self.has_edges:
            return np.full(width, ZERO)
        return self._once((op, field, rows), rows, width, op, field=field).codes

    def pull(self, field: str, width: int) -> Codes:
        """The sum of the rows of the edges that leave each node."""
        return self._once(("pull", field), NODE, width, "pull", field=field).codes

    def const(self, value: float) -> Codes:
        """A number."""
        return np.array(ZERO) if value == 0 else self._number(value)

    def _number(self, value: float) -> Codes:
        return self._once(("const", repr(value)), None, 1, "const", imm=float(value)).codes[0]

    # -------------------------------------------------------------------------------------------- pieces

    def runs(self, *arrays: Codes, grain: int | None = None) -> Iterator[tuple[int, int, list[Ref | None]]]:
        """Stretches in which every array reads a value's columns with even steps: start, stop, and the pieces.

        None is zero.
        """
        flat = [array.reshape(-1) for array in arrays]
        size = flat[0].size
        if (not grain or size <= grain) and all(map(is_stretch, flat)):  # (most are)
            yield 0, size, [self._ref(codes) for codes in flat]
            return
        step = np.stack([np.diff(codes) for codes in flat])
        step[np.stack([(codes[1:] >> SHIFT) != (codes[:-1] >> SHIFT) for codes in flat])] = JUMP
        goes_on = (step[:, 1:] == step[:, :-1]).all(0)
        ends = [*np.flatnonzero(~goes_on).tolist(), size - 2]
        start = 0
        while start < size:
            stop = start + 1
            if stop < size and not (step[:, start] == JUMP).any():
                stop = ends[bisect_left(ends, start)] + 2
                if stop == start + 2 and not ((step[:, start] == 0) | (step[:, start] == 1)).all():
                    stop = start + 1  # two columns apart are no stretch
            if grain and stop - start > grain and start % grain == 0:
                stop = start + grain
            yield start, stop, [self._ref(codes[start:stop]) for codes in flat]
            start = stop

    def _ref(self, codes: Codes) -> Ref | None:
        first = int(codes[0])
        if first == ZERO:
            return None
        step = int(codes[1]) - first if codes.size > 1 else 1
        return Ref(self.value(first), first & COLUMN, step, codes.size, bool(first & DETACHED))

    # -------------------------------------------------------------------------------------------- elementwise

    def ew(self, op: str, *arrays: Codes, imm: float | None = None) -> Codes:
        """An elementwise operation, of broadcast operands."""
        if op == "detach":
            return np.where(arrays[0] == ZERO, ZERO, arrays[0] | DETACHED)
        arrays = tuple(np.broadcast_arrays(*arrays))
        arrays = tuple(self._unrepeated(array) for array in arrays)
        out = np.full(arrays[0].shape, ZERO, np.int64)
        flat = out.reshape(-1)
        for start, stop, refs in self.runs(*arrays, grain=self.grain):
            flat[start:stop] = self._piece(op, refs, stop - start, imm)
        return flat.reshape(out.shape)

    def _unrepeated(self, array: Codes) -> Codes:
        """An array of many pieces that repeat one another as a value of its own."""
        if array.ndim < 2:
            return array
        is_wide = array.shape[-1] > 1 and array.size > array.shape[-1]
        if self.grain is not None and is_wide and (array == array[..., :1]).all():
            made = self._repeated(array[..., 0].reshape(-1), array.shape[-1], "repeat_each")
            if made is not None:
                return made.reshape(array.shape)
        if array.size <= _FEW:
            return array
        flat = np.ascontiguousarray(array).reshape(-1)
        step = np.diff(flat)
        if np.count_nonzero(step[1:] != step[:-1]) < 2 * _FEW:
            return array
        for axis in range(array.ndim):
            if array.shape[axis] > 1 and (array == np.take(array, [0], axis)).all():
                rest = np.take(array, 0, axis)
                inner = math.prod(array.shape[axis + 1 :])
                if axis == 0:
                    made = self._repeated(rest.reshape(-1), array.shape[0], "repeat_all")
                elif inner == 1:
                    made = self._repeated(rest.reshape(-1), array.shape[axis], "repeat_each")
                else:
                    continue
                if made is not None:
                    return made.reshape(array.shape)
        return array

    def _repeated(self, codes: Codes, count: int, op: str) -> Codes | None:
        pieces = list(self.runs(codes))
        if len(pieces) != 1 or pieces[0][2][0] is None or pieces[0][2][0].value.rows is None:
            return None
        ref = pieces[0][2][0]
        return self._once(
            (op, ref.key, ref.detached, count), ref.value.rows, ref.width * count, op, [ref], count=count
        ).codes

    def _piece(self, op: str, refs: list[Ref | None], width: int, imm: float | None) -> Codes:
        """One operation on a piece of each operand, simplified."""
        zero = np.full(width, ZERO)
        is_zero = [ref is None for ref in refs]
        numbers = [0.0 if ref is None else ref.value.imm if ref.value.op == "const" else None for ref in refs]
        if all(number is not None for number in numbers):
            with np.errstate(all="ignore"):
                folded = _NUMPY[op](*numbers, *([] if imm is None else [imm]))
            return np.broadcast_to(self.const(float(folded)), width)
        if (op in _ZERO_FIRST and is_zero[0]) or (op == "mul" and is_zero[1]):
            return zero
        if op in ("add", "sub") and is_zero[1]:
            return _of(refs[0])
        if op == "add" and is_zero[0]:
            return _of(refs[1])
        if op == "sub" and is_zero[0]:
            return self._piece("neg", refs[1:], width, None)
        if op == "select" and numbers[0] is not None:
            chosen = refs[1] if numbers[0] else refs[2]
            return zero if chosen is None else chosen.codes
        if op in ("mul_imm", "add_imm") and imm == (op == "mul_imm"):
            return _of(refs[0])
        if op == "mul_imm" and imm == 0:
            return zero
        if (
            len(refs) == 2
            and numbers[1] is not None
            and op in _WITH_NUMBER
            and not (op == "div" and numbers[1] == 0)
        ):
            op, of = _WITH_NUMBER[op]
            return self._piece(op, refs[:1], width, of(numbers[1]))
        if len(refs) == 2 and numbers[0] is not None:
            if op in ("add", "mul", "maximum", "minimum", "equal"):
                return self._piece(op, refs[::-1], width, imm)
            if op == "sub":
                return self._piece("rsub_imm", refs[1:], width, numbers[0])
            if op == "greater":
                return self._piece("less_imm", refs[1:], width, numbers[0])
        # What is left of zeros and numbers are operands like others.
        made = [self._ref(np.broadcast_to(self._number(0.0), width)) if ref is None else ref for ref in refs]
        return self._computed(op, [ref for ref in made if ref is not None], width, imm)

    def _computed(self, op: str, refs: list[Ref], width: int, imm: float | None) -> Codes:
        kinds = {ref.value.rows for ref in refs} - {None}
        if len(kinds) > 1:  # what is made of the cell's own tensors alone counts as nodes'
            if not self.has_edges:
                return np.full(width, ZERO)
            refs = [self._at_edges(ref) if ref.value.rows == NODE else ref for ref in refs]
        rows = EDGE if EDGE in kinds else NODE
        key = (op, imm, width, *((*ref.key, ref.detached) for ref in refs))
        return self._once(key, rows, width, op, refs, imm=imm).codes

    def _at_edges(self, ref: Ref) -> Ref:
        made = self._ref(self.to_edges(ref.codes))
        assert made is not None
        return made

    # -------------------------------------------------------------------------------------------- over columns

    def sum_over(self, array: Codes, axes: tuple[int, ...]) -> Codes:
        """Without some axes, over which sums are taken."""
        kept = [axis for axis in range(array.ndim) if axis not in axes]
        shape = tuple(array.shape[axis] for axis in kept)
        count = math.prod(array.shape[axis] for axis in axes)
        if not count:
            return np.full(shape, ZERO)
        last = np.transpose(array, [*kept, *axes]).reshape(-1, count)  # [rest, count]
        is_short = count <= _SHORT
        ways = [("sum_each", last.reshape(-1)), ("sum_all", last.T.reshape(-1))]
        for op, flat in (
            ways[: 1 if is_short else 2] if count > 1 and not (is_short and len(last) == 1) else ()
        ):
            pieces = list(self.runs(flat))
            if len(pieces) == 1 and (ref := pieces[0][2][0]) is not None and ref.step == 1:
                return self._sum(op, ref, count).reshape(shape)
        if not is_short and len(last) <= 64:
            return np.concatenate([self._sum_of_line(line) for line in last]).reshape(shape)
        total = last[:, 0]
        for column in last.T[1:]:
            total = self.ew("add", total, column)
        return total.reshape(shape)

    def _sum_of_line(self, line: Codes) -> Codes:
        total = np.full(1, ZERO)
        for _, _, (ref,) in self.runs(line):
            if ref is not None:
                part = self._sum("sum_each", ref, ref.width) if ref.step == 1 else self._scaled(ref)
                total = self.ew("add", total, part)
        return total

    def _sum(self, op: str, ref: Ref, count: int) -> Codes:
        if ref.value.rows is None:
            raise NotRecordable(
                "a sum over the columns of a tensor of the cell's own, which torch can do before"
            )
        return self._once(
            (op, ref.key, ref.detached, count), ref.value.rows, ref.width // count, op, [ref], count=count
        ).codes

    def _scaled(self, ref: Ref) -> Codes:
        """The sum of one column that is repeated."""
        if ref.step != 0:
            total = ref.codes[:1]
            for code in ref.codes[1:]:
                total = self.ew("add", total, np.array([code]))
            return total
        return self.ew("mul_imm", ref.codes[:1], imm=float(ref.width))

    # -------------------------------------------------------------------------------------------- along edges

    def from_edges(self, op: str, array: Codes) -> Codes:
        """Each node's sum or largest value over its edges; zero where there are none."""
        out = self._rowwise(op, array, NODE)
        if op == "segment_max" and self.has_edges:
            some = self.ew("greater", self.load("degree", NODE, 1)[0], self.const(0.0))
            return self.ew("select", some, out, self.const(0.0))
        return out

    def to_edges(self, array: Codes) -> Codes:
        """To each edge the row of its target."""
        return self._rowwise("to_edges", array, EDGE)

    def _rowwise(self, op: str, array: Codes, rows: str) -> Codes:
        out = np.full(array.shape, ZERO, np.int64)
        if not self.has_edges:
            return out
        flat = out.reshape(-1)
        for start, stop, (ref,) in self.runs(array, grain=self.grain):
            if ref is None:
                continue
            # (What has no rows, or is taken for nodes', is made of the cell's own tensors: the same for all edges.)
            if ref.value.rows is None or ref.value.rows == rows == NODE:
                if op == "segment_sum":  # as many times as there are edges
                    flat[start:stop] = self.ew("mul", ref.codes, self.load("degree", NODE, 1)[0])
                else:
                    flat[start:stop] = ref.codes
                continue
            key = (op, ref.key, ref.detached)
            flat[start:stop] = self._once(key, rows, ref.width, op, [ref]).codes
        return out

    def by_index(self, name: str, array: Codes, count: int) -> Codes:
        """The rows of a node's edges side by side, by slot or (summed) by relation: `[...] → [count, ...]`."""
        out = np.full((count, *array.shape), ZERO, np.int64)
        if not self.has_edges:
            return out
        flat = out.reshape(count, -1)
        for start, stop, (ref,) in self.runs(array):
            if ref is None:
                continue
            if ref.value.rows != EDGE:
                raise NotRecordable("a tensor without rows is put into slots")
            key = ("by_index", name, ref.key, ref.detached, count)
            made = self._once(key, NODE, count * ref.width, "by_index", [ref], count=count, field=name)
            flat[:, start:stop] = made.codes.reshape(count, ref.width)
        return out

    def from_index(self, name: str, array: Codes) -> Codes:
        """The reverse: `[count, ...] → [...]`, to each edge the row in its slot or of its relation."""
        count = len(array)
        flat = array.reshape(count, -1)
        out = np.full(flat.shape[1], ZERO, np.int64)
        for start, stop, refs in self.runs(*flat):
            if all(ref is None for ref in refs):
                continue
            whole = self._once(
                ("beside", flat[:, start:stop].tobytes()),
                NODE,
                count * (stop - start),
                "beside",
                a=flat[:, start:stop].reshape(-1).copy(),
            )
            ref = Ref(whole, 0, 1, whole.width)
            out[start:stop] = self._once(
                ("from_index", name, ref.key),
                EDGE,
                stop - start,
                "from_index",
                [ref],
                count=count,
                field=name,
            ).codes
        return out.reshape(array.shape[1:])

    # -------------------------------------------------------------------------------------------- products

    def product(self, rows: str, a: Codes, weight: Codes, bias: Codes | None) -> Codes:
        """`[K] × [K, N] → [N]`; what sources or targets alone decide is multiplied there."""
        width = weight.shape[1]
        total = np.full(width, ZERO) if bias is None else np.broadcast_to(bias, (width,)).copy()
        pieces = list(self.runs(a))
        here = np.zeros(len(a), bool)
        for start, stop, (ref,) in pieces:
            if ref is None:
                continue
            if ref.value.op == "gather" and ref.step == 1 and self.pushing is not None and not ref.detached:
                alone = len(pieces) == 1 and bias is not None
                field = self.pushing.field(
                    ref.value.field,
                    ref.column,
                    ref.column + ref.width,
                    weight[start:stop],
                    bias if alone else None,
                )
                made = self.load(field, EDGE, width, "gather")
                if alone:
                    return made
                total = self.ew("add", total, made)
            elif ref.value.op == "to_edges" and ref.step == 1 and not ref.detached:
                (of,) = ref.value.args
                source = Ref(
                    of.value, of.column + ref.column * of.step, of.step, ref.width, of.detached
                ).codes
                total = self.ew(
                    "add", total, self.to_edges(self.multiplied(NODE, source, weight[start:stop], None))
                )
            else:
                here[start:stop] = True
        if not here.any():
            return total
        if bias is not None and here.sum() == sum(
            stop - start for start, stop, (ref,) in pieces if ref is not None
        ):
            return self.multiplied(rows, a[here], weight[here], total)
        return self.ew("add", total, self.multiplied(rows, a[here], weight[here], None))

    def multiplied(self, rows: str, a: Codes, weight: Codes, bias: Codes | None = None) -> Codes:
        """A product, done here, with a block of one captured tensor; with an irregular one, as several."""
        if not a.size or not weight.shape[1]:
            return np.full(weight.shape[1], ZERO) if bias is None else bias
        down, across = even_blocks(weight)
        if len(across) > 1:
            return np.concatenate(
                [
                    self.multiplied(rows, a, weight[:, s:t], None if bias is None else bias[s:t])
                    for s, t in across
                ]
            )
        if len(down) > 1:
            total = bias
            for s, t in down:
                part = self.multiplied(rows, a[s:t], weight[s:t], None)
                total = part if total is None else self.ew("add", total, part)
            return total  # type: ignore[return-value]
        if self.value(weight.flat[0]).rows is not None:
            raise NotRecordable("a product of rows with rows")
        key = ("product", rows, a.tobytes(), weight.tobytes(), None if bias is None else bias.tobytes())
        kinds = {self.value(code).rows for code in a[np.flatnonzero(np.diff(a, prepend=a[0] - 2) != 1)]} - {
            None
        }
        if len(kinds) > 1:
            raise NotRecordable("rows of nodes and rows of edges meet in one product")
        made = self._once(
            key, kinds.pop() if kinds else rows, weight.shape[1], "product", a=a, weight=weight, bias=bias
        )
        return made.codes


def _of(ref: Ref | None) -> Codes:
    assert ref is not None
    return ref.codes
