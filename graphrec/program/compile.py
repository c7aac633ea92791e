"""From a recording to programs: what each sort of nodes computes, forwards and in reverse, and its memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from .codes import ZERO, Codes, Value
from .record import Record, replay
from .recording import Recording, Sort
from .reverse import Reverse, SumGradient, WeightGradient
from .symbols import EDGE, NODE, Columns
from .values import Builder, Pushing

# Of loads: what is read again where it is wanted, and is never kept.
LOADS = frozenset(("load", "gather", "previous", "captured", "const"))
# What is another way to read its operand.
VIEWS = frozenset(("to_edges", "from_index"))
# What costs less to do again than to keep.
AGAIN = frozenset(("repeat_each", "repeat_all"))


class Wanted(NamedTuple):
    """Of what a run's gradient is wanted.

    Attributes:
        x: of the input.
        initial: of which fields of the initial state.
        edges: of these, `"edge_attr"` and `"edge_weight"`.
        captured: of each captured tensor.
    """

    x: bool
    initial: tuple[str, ...]
    edges: tuple[str, ...]
    captured: tuple[bool, ...]

    @property
    def anything(self) -> bool:
        """Whether there is a reverse at all."""
        return self.x or bool(self.initial) or bool(self.edges) or any(self.captured)


@dataclass(eq=False)
class Part:
    """What is computed for the nodes of one sort.

    Attributes:
        b: holds its values, in the order of computation.
        split: values before this number belong to the forward program.
        stores: the codes that the forward program puts into memory, by the name of the memory.
        reverse_stores: the same of the reverse program.
        reverse_adds: what it adds to memory that rounds share.
        weights, sums: the gradients of captured tensors.
    """

    b: Builder
    split: int = 0
    stores: dict[str, Codes] = field(default_factory=dict)
    reverse_stores: dict[str, Codes] = field(default_factory=dict)
    reverse_adds: dict[str, Codes] = field(default_factory=dict)
    weights: list[WeightGradient] = field(default_factory=list)
    sums: list[SumGradient] = field(default_factory=list)

    def operands(self, value: Value) -> Iterator[Value]:
        """The values that a value reads."""
        for ref in value.args:
            yield ref.value
        for codes in (value.a, value.bias):
            if codes is not None:
                yield from self.values_in(codes)

    def values_in(self, codes: Codes) -> Iterator[Value]:
        """Each value that codes read, once."""
        flat = codes[codes != ZERO].reshape(-1)
        for number in dict.fromkeys(((flat >> 32) & 0xFFFFFFF).tolist()):
            yield self.b.values[number]

    def needed(self, roots: list[Value], given: Any = None) -> list[Value]:
        """What must be computed for these, in order; values for which `given` holds are there already."""
        seen: dict[int, Value] = {}
        waiting = list(roots)
        while waiting:
            value = waiting.pop()
            if value.number in seen:
                continue
            seen[value.number] = value
            if given is None or not given(value) or value.op in VIEWS or value.op in AGAIN:
                waiting.extend(self.operands(value))
        return [seen[number] for number in sorted(seen)]

    @property
    def kept(self) -> list[Value]:
        """The forward program's values that the reverse program reads."""
        gradients = [codes for weight in self.weights for codes in (weight.a, weight.g)]
        gradients += [one.g for one in self.sums]
        roots = [*self.reverse_stores.values(), *self.reverse_adds.values(), *gradients]
        values = [value for codes in roots for value in self.values_in(codes)]
        found = self.needed(values, lambda value: value.number < self.split)
        return [v for v in found if v.number < self.split and v.op not in (LOADS | VIEWS | AGAIN)]


@dataclass(eq=False)
class CellProgram:
    """The programs of a cell.

    Attributes:
        parts: by sort of nodes.
        boundary: for rows whose state is given, which send what the others send; None where nothing is made of it.
        project: of x alone, once for all rounds; None in async mode.
        widths: of each memory, by name.
        edge_rows: the names of those that have a row per edge; all others have one per node.
        pulled: which memory of sources gradients come back to along their out-edges.
        read_before: which memory a round reads of the round before it, of its own node.
        is_sync: the mode.
        wanted: what the reverse gives.
        has_kinds: as in the recording.
    """

    parts: dict[Sort, Part]
    boundary: Part
    project: Part | None
    widths: dict[str, int]
    edge_rows: set[str]
    pulled: tuple[str, ...]
    read_before: tuple[str, ...]
    is_sync: bool
    wanted: Wanted
    has_kinds: bool


def compile_cell(
    recording: Recording,
    wanted: Wanted,
    fields: dict[str, tuple[int, ...]],
    before: dict[str, tuple[int, ...]],
    x_shape: tuple[int, ...],
    **how: Any,
) -> CellProgram:
    """The programs of a recording.

    Args:
        recording: of the cell.
        wanted: which gradients.
        fields: the shape of each field of the state.
        before: the same of the initial state, where there is one.
        x_shape: of a row of x.
        how: `dtype`, and `grain`, see `Builder`; `is_one_round`: there is one round, and no other that reads it.
    """
    return _Compiler(recording, wanted, fields, before, x_shape, **how).program()


class _Compiler:
    def __init__(
        self,
        recording: Recording,
        wanted: Wanted,
        fields: dict[str, tuple[int, ...]],
        before: dict[str, tuple[int, ...]],
        x_shape: tuple[int, ...],
        dtype: torch.dtype,
        grain: int | None,
        is_one_round: bool,
    ) -> None:
        self.is_one_round = is_one_round
        self.recording, self.wanted, self.fields, self.x_shape = recording, wanted, fields, x_shape
        self.dtype, self.grain = dtype, grain
        self.is_sync = recording.project is not None
        # What is read of the initial state, where the new one has another shape (in one round).
        self.first = {name: shape for name, shape in before.items() if shape != tuple(fields[name])}
        self.pushing = None if recording.has_kinds else Pushing()
        self.shapes = [tuple(tensor.shape) for tensor in recording.captured]
        self.widths = {f"state.{name}": math.prod(shape) for name, shape in fields.items()}
        self.widths |= {f"first.{name}": math.prod(shape) for name, shape in self.first.items()}
        self.widths["degree"] = 1
        self.edge_rows: set[str] = set()
        self.message_widths = self._message_widths()

    # -------------------------------------------------------------------------------------------- forwards

    def program(self) -> CellProgram:
        parts = {sort: Part(self._builder(sort[1])) for sort in self.recording.steps}
        for sort, part in parts.items():
            self._step(part, self.recording.steps[sort])
        boundary = Part(self._builder(False))
        for name in map(self._given, self.fields):
            boundary.stores[name] = boundary.b.load(name, NODE, self.widths[name])
        read = {
            (value.op, value.field)
            for part in parts.values()
            for value in part.b.values
            if value.op in ("gather", "previous")
        }
        self.pulled = tuple(sorted({name for op, name in read if op == "gather"}))
        self.read_before = tuple(sorted({name for op, name in read if op == "previous"}))
        self.sends_first = boundary
        for part in (*parts.values(), boundary):
            self._send(part)
            part.split = len(part.b.values)
        project = None
        if self.recording.project is not None:
            project = Part(self._builder(False))
            (rows,) = self._replay(project, self.recording.project)
            project.stores["projected"] = rows.array.reshape(-1)
            self.widths["projected"] = rows.array.size
            project.split = len(project.b.values)
        if self.wanted.anything:
            self._find_carrying([*parts.values(), boundary])
            for part in (*parts.values(), boundary):
                self._reverse(part, is_boundary=part is boundary)
            if project is not None:
                self._reverse_projection(project)
        return CellProgram(
            parts,
            boundary,
            project,
            self.widths,
            self.edge_rows,
            self.pulled,
            self.read_before,
            self.is_sync,
            self.wanted,
            self.recording.has_kinds,
        )

    def _builder(self, has_edges: bool) -> Builder:
        return Builder(self.dtype, self.grain, has_edges, self.pushing, self.shapes)

    def _replay(self, part: Part, record: Record, state: dict[str, Codes] | None = None) -> list[Columns]:
        captured = [
            Columns(None, value.codes.reshape(shape), self.dtype)
            for value, shape in zip(part.b.captured, self.shapes, strict=True)
        ]

        def given(name: str, rows: str, shape: tuple[int, ...]) -> Columns:
            if state is not None:
                return Columns(rows, state[name].reshape(shape), self.dtype)
            codes = self._load(part.b, name, rows, math.prod(shape))
            return Columns(rows, codes.reshape(shape), self.dtype)

        return replay(record, part.b, given, captured)

    def _load(self, b: Builder, name: str, rows: str, width: int) -> Codes:
        """What a record calls an input, from memory."""
        kind, _, of = name.partition(".")
        op = "load"
        if kind == "sent":
            op, name = "gather", self._memory(of)
        elif kind == "own" and self.is_sync:
            op, name = "previous", self._memory(of)
        elif rows == EDGE:
            self.edge_rows.add(name)
        self.widths.setdefault(name, width)
        return b.load(name, rows, width, op)

    def _memory(self, of: str) -> str:
        """Where what nodes send lies."""
        return f"sent.{of}" if of in self.message_widths else self._given(of)

    def _given(self, of: str) -> str:
        """Where the state lies that a step reads."""
        return f"first.{of}" if of in self.first else f"state.{of}"

    def _message_widths(self) -> dict[str, int]:
        if self.recording.message is None:
            return {}
        part = Part(Builder(self.dtype, self.grain, False, None, self.shapes))
        state = {f"state.{name}": np.full(self.widths[self._given(name)], ZERO) for name in self.fields}
        made = self._replay(part, self.recording.message, state)
        return dict(zip(self.recording.message_fields, (columns.array.size for columns in made), strict=True))

    def _step(self, part: Part, record: Record) -> None:
        for name, columns in zip(self.fields, self._replay(part, record), strict=True):
            part.stores[f"state.{name}"] = np.ascontiguousarray(columns.array).reshape(-1)

    def _sends(self, part: Part) -> bool:
        """Whether anybody reads what a part makes: after the only round nobody does."""
        return part is self.sends_first or not self.is_one_round

    def _send(self, part: Part) -> None:
        """What others read of these nodes, beside their state."""
        made = {name: codes for name, codes in part.stores.items() if name.startswith(("state.", "first."))}
        if not self._sends(part):
            return
        if self.recording.message is not None:
            state = {f"state.{name}": made[self._given(name)] for name in self.fields}
            columns = self._replay(part, self.recording.message, state)
            for name, rows in zip(self.recording.message_fields, columns, strict=True):
                made[f"sent.{name}"] = np.ascontiguousarray(rows.array).reshape(-1)
        for name in (*self.pulled, *self.read_before):
            if name in made:
                part.stores[name] = made[name]
                self.widths[name] = made[name].size
        for pushed in self.pushing.products.values() if self.pushing is not None else ():
            start, stop = pushed.columns
            a, weight = made[pushed.of][start:stop], pushed.weight
            there = a != ZERO
            result = np.full(weight.shape[1], ZERO) if pushed.bias is None else pushed.bias
            if there.any():
                result = part.b.multiplied(NODE, a[there], weight[there], pushed.bias)
            part.stores[pushed.field] = made[pushed.field] = result  # (of which another may be made)
            self.widths[pushed.field] = weight.shape[1]

    # -------------------------------------------------------------------------------------------- in reverse

    def _find_carrying(self, parts: list[Part]) -> None:
        """Which memory depends on anything whose gradient is wanted: perhaps only through what other nodes send."""
        self.carrying: set[str] = set()
        found = -1
        while found < len(self.carrying):
            found = len(self.carrying)
            for part in parts:
                r = Reverse(part.b, self._wants)
                self.carrying |= {name for name, codes in part.stores.items() if r.any_needs(codes)}

    def _wants(self, value: Value) -> bool:
        if value.op == "captured":
            return self.wanted.captured[value.count]
        if value.op in ("gather", "previous"):
            return value.field in self.carrying
        name = value.field
        if name == "x":
            return self.wanted.x
        if name.startswith(("own.", "state.", "first.")):
            return name.partition(".")[2] in self.wanted.initial
        return name == "projected" or name in self.wanted.edges

    def _reverse(self, part: Part, is_boundary: bool) -> None:
        b, r = part.b, Reverse(part.b, self._wants)
        forward = b.values[: part.split]
        # The gradient of the result comes from outside; in rounds also from the round that followed.
        for name in self.fields:
            memory = f"state.{name}"
            if is_boundary and (not self.is_sync or name in self.first):
                continue
            if memory not in self.carrying:
                continue
            outside = f"back.{memory}" if self.is_sync else f"grad.{memory}"
            r.add(part.stores[memory], self._gradient(b, outside, self.widths[memory]))
        for name in self.read_before if self._sends(part) else ():
            if not name.startswith("state.") and name in part.stores and name in self.carrying:
                r.add(part.stores[name], self._gradient(b, f"back.{name}", self.widths[name]))
        for name in self.pulled if self._sends(part) else ():
            if name in part.stores and name in self.carrying:
                r.add(part.stores[name], self._pull(b, name))
        r.run(forward)
        self._collect(part, r, is_boundary)

    def _gradient(self, b: Builder, name: str, width: int) -> Codes:
        self.widths.setdefault(name, width)
        return b.load(name, NODE, width)

    def _pull(self, b: Builder, name: str) -> Codes:
        """The sum of what has come back along the edges that leave a node."""
        self.widths.setdefault(f"edge.{name}", self.widths[name])
        self.edge_rows.add(f"edge.{name}")
        return b.pull(f"edge.{name}", self.widths[name])

    def _collect(self, part: Part, r: Reverse, is_boundary: bool) -> None:
        b = part.b
        loads = {(v.op, v.field): v for v in b.values[: part.split] if v.op in ("load", "gather", "previous")}

        def of(op: str, name: str) -> Codes:
            value = loads.get((op, name))
            return np.full(self.widths[name], ZERO) if value is None else r.of(value)

        if is_boundary:
            for name in self.wanted.initial:
                given = self._given(name)
                part.reverse_stores[f"d.initial.{name}"] = of("load", given)
                self.widths[f"d.initial.{name}"] = self.widths[given]
        else:
            if b.has_edges:
                for name in filter(self.carrying.__contains__, self.pulled):
                    part.reverse_stores[f"edge.{name}"] = of("gather", name)
            names = (
                [f"state.{name}" for name in self.fields if name not in self.first] if self.is_sync else []
            )
            for name in filter(self.carrying.__contains__, dict.fromkeys((*names, *self.read_before))):
                part.reverse_stores[f"back.{name}"] = of("previous", name)
            if self.wanted.x and not self.is_sync:
                part.reverse_stores["d.x"] = (
                    of("load", "x") if "x" in self.widths else np.full(math.prod(self.x_shape), ZERO)
                )
                self.widths["d.x"] = math.prod(self.x_shape)
            if self.is_sync and self.wanted_projection:
                part.reverse_adds["d.projected"] = of("load", "projected")
                self.widths["d.projected"] = self.widths["projected"]
            if self.wanted.initial:
                for name in self.wanted.initial:
                    if f"own.{name}" in self.widths:
                        part.reverse_stores[f"d.own.{name}"] = of("load", f"own.{name}")
                        self.widths[f"d.own.{name}"] = self.widths[f"own.{name}"]
            for name in self.wanted.edges:
                if name in self.widths and b.has_edges:
                    into = part.reverse_adds if self.is_sync else part.reverse_stores
                    into[f"d.{name}"] = of("load", name)
                    self.widths[f"d.{name}"] = self.widths[name]
                    self.edge_rows.add(f"d.{name}")
        part.weights, part.sums = r.weights, r.sums

    @property
    def wanted_projection(self) -> bool:
        return self.wanted.x or any(self.wanted.captured)

    def _reverse_projection(self, part: Part) -> None:
        r = Reverse(part.b, self._wants)
        r.add(part.stores["projected"], self._gradient(part.b, "d.projected", self.widths["projected"]))
        r.run(part.b.values[: part.split])
        if self.wanted.x:
            loads = [v for v in part.b.values[: part.split] if v.op == "load"]
            if loads and (r.of(loads[0]) != ZERO).any():
                part.reverse_stores["d.x"] = r.of(loads[0])
                self.widths["d.x"] = math.prod(self.x_shape)
        part.weights, part.sums = r.weights, r.sums
