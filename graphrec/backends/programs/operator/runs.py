"""A run as the operators do it: from a written program and tensors to one that an executor does."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from functools import lru_cache
from itertools import compress
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ....engine.initial import Initial
from ....engine.validate import validate
from ....io.coerce import remembered
from ....program.compile import Wanted
from ....program.recording import Recording
from ....program.written import Written, read
from ....schedule import Schedule, is_loop, schedule
from ....structure import Structure
from ...request import Request
from ...runner import forced
from ..native_runner import NativePrograms
from ..replay import ReplayedCell
from ..runner import Programs, TorchPrograms, look_up
from .checks import check_plan

# The parts of a structure that operators take, in their order.
PARTS = ("edge_index", "slot", "relation", "kind", "graph", "past")

read_once: Any = lru_cache(256)(read)


@lru_cache(256)
def _declared(program: str) -> Any:
    """What the cell of a program has declared."""
    written = read_once(program)
    message = written.message_fields
    return SimpleNamespace(
        State=namedtuple("State", written.fields),
        Message=namedtuple("Message", message) if message else None,
        shapes=lambda: list(written.shapes),
    )


class WrittenCell(ReplayedCell):
    """A cell of a written program.

    Args:
        written, key: the program, and its text.
        captured: the tensors of the cell's own.
        initial: the state that it makes of x, if it does.
    """

    arity: Any
    relations: Any

    def __init__(self, written: Written, key: str, captured: list[Tensor], initial: list[Tensor]) -> None:
        self.recording: Recording = written.recording(captured, key)
        super().__init__(self.recording, _declared(key), captured)
        self.arity, self.relations = written.arity, written.relations
        self._initial = initial if written.initial == "x" else None

    def initial_from_x(self, x: Tensor, s: Structure) -> Any:
        """What the program made of x."""
        return None if self._initial is None else self.State(*self._initial)


def structure_of(
    given: Sequence[Tensor | None], num_nodes: int, num_graphs: int, backward: bool
) -> Structure:
    """The structure of an operator's integers; remembered as long as their `edge_index` is in use, and the same."""
    known = {name: part for name, part in zip(PARTS, given, strict=True) if part is not None}
    made = remembered(
        known,
        (num_nodes, num_graphs),
        lambda copies: Structure(num_nodes, num_graphs=num_graphs, **copies),
    )
    return made.reverse() if backward else made


def runner_of(
    program: str,
    rows: Sequence[Tensor],
    structure: Sequence[Tensor | None],
    num_graphs: int,
    backward: bool,
    keeps: bool = True,
) -> Programs:
    """The run of a written program.

    Args:
        program: the text.
        rows: x, the initial state's fields, what edges carry, the captured tensors.
        structure, num_graphs, backward: see `structure_of`.
        keeps: whether there will be a reverse.

    Raises:
        ValueError, TypeError: as `graphrec.run`.
        CycleError: a cycle, in async mode.
    """
    written = read_once(program)
    count = len(written.fields) if written.initial else 0
    x, initial = rows[0], list(rows[1 : 1 + count])
    edges = list(rows[1 + count : 1 + count + len(written.edges)])
    captured = list(rows[1 + count + len(written.edges) :])
    cell = WrittenCell(written, program, captured, initial)
    plan = schedule(structure_of(structure, len(x), num_graphs, backward), written.mode, written.rounds)
    run, fields = validate(cell, plan, x, _as_given(written.initial, initial))
    run.__dict__["of_edges"] = dict(zip(written.edges, edges, strict=True))
    if program not in run.plan.cache:
        check_plan(run.plan, written)
        _mark_loops(run.plan)
        run.plan.cache[program] = None
    wanted = written.wanted if keeps else [False] * len(rows)
    names = wanted_of(wanted, written.fields[:count], written.edges)
    return programs(Request(run, x, fields), cell.recording, names)


def wanted_of(wanted: Sequence[bool], fields: Sequence[str], edges: Sequence[str]) -> Wanted:
    """Of what a gradient may be asked for, of all rows; fields: of the initial state, edges: what these carry."""
    of_x, *others = wanted
    first = len(fields) + len(edges)
    return Wanted(
        of_x,
        tuple(compress(fields, others[: len(fields)])),
        tuple(compress(edges, others[len(fields) : first])),
        tuple(others[first:]),
    )


def programs(request: Request, recording: Any, wanted: Any) -> Programs:
    """By the fastest executor that takes it, or the one asked for.

    Raises:
        ValueError: none does.
    """
    reasons, asked_for = [], forced.get()
    kinds = [kind for kind in (NativePrograms, TorchPrograms) if asked_for in (None, kind.name)]
    if not kinds:
        raise ValueError(
            f"backend {asked_for!r} does not run compiled or exported programs: leave backend out, or call the model "
            f"itself."
        )
    for kind in kinds:
        reason = kind.missing() or kind.refuses(request.x)
        prepared = reason or look_up(kind, request, recording, wanted)
        if not isinstance(prepared, str):
            return kind(request.run, request.x, request.initial, recording, wanted, prepared)
        reasons.append(f"{kind.name}: {prepared}")
    raise ValueError(f"no executor of programs runs this: {'; '.join(reasons)}.")


def _as_given(whose: str | None, initial: list[Tensor]) -> Any:
    if whose in (None, "x"):
        return None
    return initial if whose == "any" else Initial(initial, whose)


def _mark_loops(plan: Schedule) -> None:
    """Where no edge leaves the node that it enters, programs that ask for such edges are told: none."""
    if is_loop(plan) is None:
        plan.cache[f"{is_loop.__module__}.{is_loop.__qualname__}"] = torch.zeros_like(
            plan.edge, dtype=torch.bool
        )
