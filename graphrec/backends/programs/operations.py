"""The operations of a program while it is made, and how they read what others have made."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ...program.codes import Ref, Value
from ...program.symbols import NODE, NotRecordable
from .buffers import Home
from .placement import Placement
from .units import NO_INDEX, OUT, Operand, Unit


class Operations:
    """Operations, and who makes what; see `Assembler`, which says what they are.

    Attributes:
        units: the operations.
        makers: those that make each value, and codes that lie side by side.
    """

    p: Placement
    direction: str

    def __init__(self, placement: Placement, direction: str) -> None:
        self.p, self.direction = placement, direction
        self.units: list[Unit] = []
        self.makers: dict[Any, list[Unit]] = defaultdict(list)
        self._made = 0

    def _unit(
        self,
        op: str,
        rows: str,
        width: int,
        to: Operand,
        reads: list[Operand],
        imm: float = 0.0,
        k: int = 0,
        makes: Any = None,
    ) -> Unit:
        unit = Unit(op, rows, width, to, reads, imm, k)
        self.units.append(unit)
        if isinstance(makes, Value):
            self.makers[makes.number].append(unit)
        elif makes is not None:
            self.makers[makes].append(unit)
        return unit

    def _operand(self, ref: Ref, rows: str) -> Operand:
        """How an operation over rows of a kind reads a piece."""
        pieces = list(self.p.runs(ref.codes))
        if len(pieces) != 1 or pieces[0][2] is None:
            raise NotRecordable("an operand in several pieces")
        ref = pieces[0][2]
        value, column, index = ref.value, ref.column, NO_INDEX
        if ref.step == 0 and ref.width > 1 and value.op != "const":
            return self._spread(Ref(value, column, 1, 1), rows, ref.width)
        if ref.step != 1 and ref.width > 1 and value.op != "const":
            return self._every(ref, rows)
        if value.op == "to_edges":
            (of,) = value.args
            inner = self._operand(Ref(of.value, of.column + column * of.step, of.step, ref.width), NODE)
            assert inner.index == NO_INDEX
            return Operand(
                inner.value, inner.column, inner.home, ("out target" if rows == OUT else "target", 0)
            )
        if value.op == "from_index" and not ref.is_whole:
            # (Which of a row's pieces is read follows from how wide the read is.)
            whole = self._copied(Ref(value, 0, 1, value.width), rows)
            return Operand(whole, column, None)
        if value.op == "from_index":
            (of,) = value.args
            home = self.p.together(of.value.a, NODE)
            index = (f"{'out' if rows == OUT else 'target'} {value.field} {value.count}", value.count)
            operand = Operand(of.value, column, home, index)
            return operand
        if value.op in ("load", "gather", "previous"):
            index = ("source", 0) if value.op == "gather" else NO_INDEX
            if rows == OUT:
                index = ("out edge", 0)
            return Operand(None, column, Home(self.p.load(value), 0), index)
        if value.op == "captured":
            return Operand(None, column, Home(self.p.captured(value.count), 0))
        if rows == OUT:
            index = ("out edge", 0)
        home = self.p.home.get(value.number)
        if home is None and self.direction == "reverse":
            home = self.p.partly.get(value.number)
        return Operand(value, column, home, index)

    def _new(self, rows: str, width: int, op: str) -> Value:
        """A value that the program alone has; no two have one number, though one is made while another is."""
        self._made += 1
        return Value(-self._made, rows, width, op)

    def _copied(self, ref: Ref, rows: str) -> Value:
        """A value of rows as they are, of what is read by an index."""
        key = ("copied", ref.key, rows)
        if not self.makers.get(key):
            made = self._new(rows, ref.width, "copied")
            to = Operand(made, 0, None)
            self._unit("COPY", rows, ref.width, to, [self._operand(ref, rows)], makes=key)
            self.makers[made.number] = self.makers[key]
        made = self.makers[key][0].to.value
        assert made is not None
        return made

    def _spread(self, ref: Ref, rows: str, width: int) -> Operand:
        """One column for several."""
        key = ("spread", ref.key, rows, width)
        if not self.makers.get(key):
            made = self._new(rows, width, "spread")
            self._unit(
                "REPEAT_EACH",
                rows,
                width,
                Operand(made, 0, None),
                [self._operand(ref, rows)],
                k=width,
                makes=key,
            )
            self.makers[made.number] = self.makers[key]
        return Operand(self.makers[key][0].to.value, 0, None)

    def _every(self, ref: Ref, rows: str) -> Operand:
        """Columns that do not stand side by side."""
        if ref.step < 0 or (ref.width * ref.step) + ref.column > ref.value.width + ref.step - 1:
            raise NotRecordable("columns are read backwards")
        key = ("every", ref.key, rows)
        if not self.makers.get(key):
            made = self._new(rows, ref.width, "every")
            for number in range(ref.width):
                one = self._operand(Ref(ref.value, ref.column + number * ref.step, 1, 1), rows)
                self._unit("COPY", rows, 1, Operand(made, number, None), [one], makes=key)
            self.makers[made.number] = self.makers[key]
        return Operand(self.makers[key][0].to.value, 0, None)
