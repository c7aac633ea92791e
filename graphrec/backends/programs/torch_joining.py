"""Fewer instructions and less memory: neighbouring columns under one operation, and buffers that share their rows."""

from __future__ import annotations

from typing import Any

from ...program.codes import Value
from .torch_instructions import Buffer, Gradient, Instruction, Operand, Read, Span, TorchPart
from .torch_operations import ELEMENTWISE, WITH_NUMBER


def merged(code: list[Instruction], buffers: list[Buffer]) -> list[Instruction]:
    """The same with neighbouring columns that undergo the same operation taken together."""
    made: list[Instruction] = []
    behind: dict[Any, list[Operand]] = {}  # what keys read
    for one in code:
        if isinstance(one.out, Span):
            place = _place_beside(one, made, behind, buffers)
            if place is not None:
                made[place] = _joined(made[place], one)
                continue
        else:
            behind[one.out] = list(one.operands)
        made.append(one)
    return made


def _place_beside(
    one: Instruction, made: list[Instruction], behind: dict[Any, list[Operand]], buffers: list[Buffer]
) -> int | None:
    """The latest instruction that can do another's work as well as its own, if nothing since stands against it."""
    if (one.op not in ELEMENTWISE and one.op not in WITH_NUMBER) or buffers[one.out.buffer].name is not None:
        return None

    def spans(operand: Any) -> list[Span]:
        if isinstance(operand, Span):
            return [operand]
        return [span for of in behind.get(getattr(operand, "key", None), ()) for span in spans(of)]

    reads = [span for operand in one.operands for span in spans(operand)]
    for place in range(len(made) - 1, -1, -1):
        other = made[place]
        if _are_beside(other, one):
            return place
        of_other = [
            span
            for operand in (other.bias, *other.operands)
            if operand is not None
            for span in spans(operand)
        ]
        writes = [other.out] if isinstance(other.out, Span) else []
        is_read_here = any(isinstance(x, Read) and x.key == other.out for x in one.operands)
        if is_read_here or _touch(writes, [*reads, one.out]) or _touch(of_other, [one.out]):
            return None
    return None


def _are_beside(one: Instruction, other: Instruction) -> bool:
    if (one.op, one.rows, len(one.operands)) != (other.op, other.rows, len(other.operands)):
        return False
    if not isinstance(one.out, Span) or not _follows(one.out, other.out):
        return False
    if one.op in WITH_NUMBER and one.value.imm != other.value.imm:
        return False
    return all(_follows(a, b) for a, b in zip(one.operands, other.operands, strict=True))


def _follows(one: Operand, other: Operand) -> bool:
    """Whether columns are the next ones, or the same single column for all."""
    if type(one) is not type(other) or one[0] != other[0] or one.step != other.step:
        return False
    if one.step == 0 or (isinstance(one, Read) and isinstance(one.key, Value) and one.key.op == "const"):
        return one.step == 0 and one.column == other.column
    return one.step == 1 and other.column == one.column + one.width


def _joined(one: Instruction, other: Instruction) -> Instruction:
    def both(a: Any, b: Any) -> Any:
        return a._replace(width=a.width + b.width)

    operands = [both(a, b) for a, b in zip(one.operands, other.operands, strict=True)]
    return one._replace(out=both(one.out, other.out), operands=operands)


def _touch(some: list[Span], others: list[Span]) -> bool:
    def stop(span: Span) -> int:
        return span.column + (span.width - 1) * max(span.step, 0) + 1

    return any(
        a.buffer == b.buffer and a.column < stop(b) and b.column < stop(a) for a in some for b in others
    )


def merged_sums(gradients: list[Gradient]) -> list[Gradient]:
    """The same, with sums of columns that follow each other taken together."""
    made: list[Gradient] = []
    for new in gradients:
        old = made[-1] if made else new
        of, to = old.of, new.of
        if (
            old.a is None
            and new.a is None
            and _follows(old.g, new.g)
            and old.g.step == 1
            and of.stride == to.stride == (1,)
            and (of.captured, of.offset + of.shape[0]) == (to.captured, to.offset)
        ):
            width = of.shape[0] + to.shape[0]
            made[-1] = Gradient(of._replace(shape=(width,)), None, old.g._replace(width=width))
        else:
            made.append(new)
    return made


def share_buffers(part: TorchPart) -> None:
    """Buffers of one phase share memory if one is used no more when the other begins."""
    for phase, instructions in enumerate(part.phases):
        reads: dict[Any, list[Any]] = {}  # what lies behind each key

        def note(operand: Any, number: int, phase: int = phase, reads: Any = reads) -> None:
            if isinstance(operand, Span):
                buffer = part.buffers[operand.buffer]
                buffer.phases.add(phase)
                buffer.uses = (number if buffer.uses[0] < 0 else buffer.uses[0], number)
            elif isinstance(operand, Read):
                for one in reads.get(operand.key, ()):
                    note(one, number)

        for number, one in enumerate(instructions):
            for operand in (one.out, one.bias, *one.operands):
                note(operand, number)
            if not isinstance(one.out, Span):
                reads[one.out] = list(one.operands)
        if phase == part.last:
            for gradient in part.gradients:
                note(gradient.a, len(instructions))
                note(gradient.g, len(instructions))
    free: list[tuple[int, tuple[Any, ...], int]] = []  # until when, what, and the number
    count = 0
    for buffer in sorted(part.buffers, key=lambda buffer: buffer.uses[0]):
        if buffer.name is None and len(buffer.phases) == 1:
            kind = (*buffer.phases, buffer.rows, buffer.width)
            slot = next((one for one in free if one[1] == kind and one[0] < buffer.uses[0]), None)
            if slot is None:
                slot, count = (0, kind, count), count + 1
            else:
                free.remove(slot)
            buffer.slot = slot[2]
            free.append((buffer.uses[1], kind, buffer.slot))
