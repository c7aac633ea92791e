"""The executor in PyTorch: a program level by level, with the gradients of weights as one product each at the end."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from ...program.compile import CellProgram, Part
from ...program.symbols import EDGE
from ...program.values import Codes
from ...schedule import Schedule, degree, is_loop
from .evaluate import Evaluation
from .levels import Level, boundary, levels, levels_by_kind


class TorchExecution:
    """One run of a program; its memory lives as long as it does.

    Args:
        program: of the cell.
        plan: the schedule.
        inputs: x, the initial state, edges' features: by name, by position or by inbox edge, two-dimensional.
        captured: the captured tensors, flat.
    """

    def __init__(
        self,
        program: CellProgram,
        plan: Schedule,
        inputs: dict[str, Tensor],
        captured: list[Tensor],
        like: Tensor,
    ) -> None:
        self.program, self.plan, self.captured, self.like = program, plan, captured, like
        self.rows = dict(inputs)
        self.levels = (levels_by_kind if program.has_kinds else levels)(plan)
        self.offset = 0 if program.is_sync else plan.boundary.shape[0]
        self.history: list[dict[str, Tensor]] = []
        self.made: dict[Any, dict[int, Tensor]] = {}
        self._weights: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        self._sums: dict[tuple[int, int], Tensor] = {}
        self._parts: dict[int, Part] = {}

    # -------------------------------------------------------------------------------------------- forwards

    def forward(self, initial: dict[str, Tensor]) -> dict[str, Tensor]:
        """The memory `state.*` of all nodes, `[N, w]`, from that of the boundary rows."""
        program = self.program
        if program.project is not None:
            self.rows["projected"] = self._run(program.project, self._whole, "project")["projected"]
        sent = self._run(program.boundary, boundary(self.plan), "boundary", initial)
        if program.is_sync:
            for number in range(self.plan.rounds or 1):
                self.before = sent
                self.history.append(sent)
                sent = self._joined(
                    [self._run(program.parts[v.sort], v, (number, i)) for i, v in enumerate(self.levels[0])]
                )
            return sent
        names = next(iter(program.parts.values())).stores
        self.sent = {
            name: self.like.new_empty(self.offset + self.plan.num_nodes, program.widths[name])
            for name in names
        }
        for name, rows in sent.items():
            self.sent[name][: self.offset] = rows
        for number, level in enumerate(self.levels):
            for i, view in enumerate(level):
                for name, rows in self._run(program.parts[view.sort], view, (number, i)).items():
                    self.sent[name][self.offset + view.nodes.start : self.offset + view.nodes.stop] = rows
        return {name: rows[self.offset :] for name, rows in self.sent.items()}

    @property
    def _whole(self) -> Level:
        """All nodes, without edges."""
        none = self.plan.source[:0]
        nodes = slice(0, self.plan.num_nodes)
        return Level((0, False), nodes, slice(0, 0), nodes, slice(0, 0), none, none, none, 0, none, none, 0)

    def _joined(self, parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        if len(parts) == 1:
            return parts[0]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _run(
        self, part: Part, view: Level, key: Any, given: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        reader = _Reader(self, view, given)
        evaluation = Evaluation(part, self.captured, reader)
        roots = [value for codes in part.stores.values() for value in part.values_in(codes)]
        evaluation.compute(part.needed(roots))
        kept = {value.number for value in part.kept}
        self.made[key] = {number: rows for number, rows in evaluation.made.items() if number in kept}
        return {name: evaluation.read(codes) for name, codes in part.stores.items()}

    # -------------------------------------------------------------------------------------------- in reverse

    def backward(self, grads: dict[str, Tensor], initial: dict[str, Tensor]) -> dict[str, Tensor]:
        """The memory `d.*`, and the gradients of captured tensors, `captured.0`, …, from those of the state."""
        program, plan = self.program, self.plan
        like, count = self.like, plan.num_nodes
        for name in program.widths:
            if name.startswith("edge."):
                self.rows[name] = like.new_zeros(plan.num_edges, program.widths[name])
            elif name in ("d.x",) or name.startswith("d.own.") or name == "d.projected":
                self.rows[name] = like.new_zeros(count, program.widths[name])
            elif name in ("d.edge_attr", "d.edge_weight"):
                self.rows[name] = like.new_zeros(plan.num_edges, program.widths[name])
        if program.is_sync:
            self._backward_rounds(grads)
        else:
            for name, rows in grads.items():
                self.rows[f"grad.{name}"] = rows
            for number in range(len(self.levels) - 1, -1, -1):
                for i, view in enumerate(self.levels[number]):
                    self._undo(program.parts[view.sort], view, (number, i))
        found = self._undo(program.boundary, boundary(plan), "boundary", initial)
        if program.project is not None:
            self._undo(program.project, self._whole, "project")
        found |= {name: rows for name, rows in self.rows.items() if name.startswith("d.")}
        for number, gradient in self._captured_gradients().items():
            found[f"captured.{number}"] = gradient
        return found

    def _backward_rounds(self, grads: dict[str, Tensor]) -> None:
        program = self.program
        back = {f"back.{name}": rows for name, rows in grads.items()}
        for number in range((self.plan.rounds or 1) - 1, -1, -1):
            for name in program.widths:
                if name.startswith("back.") and name not in back:
                    back[name] = self.like.new_zeros(self.plan.num_nodes, program.widths[name])
            self.rows |= back
            self.before = self.history[number]
            parts = [
                self._undo(program.parts[view.sort], view, (number, i))
                for i, view in enumerate(self.levels[0])
            ]
            # What comes back along edges is read by the round before; until then nothing has come back to it.
            edges = {
                name: torch.cat([part[name] for part in parts])
                for name in parts[0]
                if name.startswith("edge.")
            }
            self.rows |= edges
            back = {
                name: torch.cat([part[name] for part in parts])
                for name in parts[0]
                if name.startswith("back.")
            }
        self.rows = {name: rows for name, rows in self.rows.items() if not name.startswith("back.")} | back

    def _undo(
        self, part: Part, view: Level, key: Any, given: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        made = self.made.pop(key, {})
        evaluation = Evaluation(part, self.captured, _Reader(self, view, given, key), made)
        jobs = [codes for weight in part.weights for codes in (weight.a, weight.g)] + [
            one.g for one in part.sums
        ]
        stores = {**part.reverse_stores, **part.reverse_adds}
        roots = [value for codes in (*stores.values(), *jobs) for value in part.values_in(codes)]
        evaluation.compute(part.needed(roots, lambda value: value.number in made))
        self._parts[id(part)] = part
        for number, weight in enumerate(part.weights):
            self._weights[id(part), number].append(
                (
                    evaluation.read(weight.a, weight.rows == EDGE),
                    evaluation.read(weight.g, weight.rows == EDGE),
                )
            )
        for number, one in enumerate(part.sums):
            total = evaluation.read(one.g, one.rows == EDGE).sum(0)
            self._sums[id(part), number] = self._sums.get((id(part), number), 0) + total
        local = {}
        for name, codes in part.reverse_stores.items():
            rows = evaluation.read(codes, name in self.program.edge_rows)
            if name in self.rows and not (self.program.is_sync and name.startswith(("edge.", "back."))):
                self.rows[name][view.edges if name in self.program.edge_rows else view.nodes] = rows
            else:
                local[name] = rows
        for name, codes in part.reverse_adds.items():
            self.rows[name][view.edges if name in self.program.edge_rows else view.nodes] += evaluation.read(
                codes, name in self.program.edge_rows
            )
        return local

    def _captured_gradients(self) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}

        def of(part: Part, codes: Codes) -> tuple[int, Tensor]:
            number = part.b.value(codes.flat[0]).count
            if number not in found:
                found[number] = torch.zeros_like(self.captured[number])
            return number, found[number]

        for (which, number), pairs in self._weights.items():
            part = self._parts[which]
            weight = part.weights[number].weight
            a, g = (torch.cat(rows) if len(rows) > 1 else rows[0] for rows in zip(*pairs, strict=True))
            _, flat = of(part, weight)
            block = Evaluation(
                part,
                [
                    flat if i == part.b.value(weight.flat[0]).count else one
                    for i, one in enumerate(self.captured)
                ],
                None,
            ).block(weight)
            block += a.t() @ g
        for (which, number), total in self._sums.items():
            part = self._parts[which]
            codes = part.sums[number].of
            for start, stop, (ref,) in part.b.runs(codes):
                assert ref is not None
                _, flat = of(part, ref.codes)
                flat.index_add_(
                    0, torch.from_numpy(ref.codes & 0xFFFFFFFF).to(flat.device), total[start:stop]
                )
        return found


class _Reader:
    """What an evaluation reads of its level."""

    def __init__(
        self, run: TorchExecution, view: Level, given: dict[str, Tensor] | None, key: Any = None
    ) -> None:
        self.run, self.view, self.given = run, view, given
        self.like, self.nodes, self.edges = run.like, view.num_nodes, len(view.source)
        self.sum_edges, self.max_edges, self.to_edges = view.sum_edges, view.max_edges, view.to_edges

    def load(self, op: str, field: str) -> Tensor:
        run, view = self.run, self.view
        if op == "gather":
            rows = run.before[field] if run.program.is_sync else run.sent[field]
            return rows.index_select(0, view.source)
        if op == "previous":
            return run.before[field][view.nodes]
        if self.given is not None and field in self.given:
            return self.given[field]
        if field == "degree":
            return degree(run.plan)[view.nodes].to(run.like.dtype).unsqueeze(1)
        if field in ("slot", "relation", "is_loop"):
            numbers = is_loop(run.plan) if field == "is_loop" else getattr(run.plan, field)
            return numbers[view.edges].to(run.like.dtype).unsqueeze(1)
        return run.rows[field][view.edges if field in run.program.edge_rows else view.nodes]

    def index(self, name: str, count: int) -> Tensor:
        return self.view.target * count + getattr(self.run.plan, name)[self.view.edges]

    def pull(self, field: str) -> Tensor:
        return self.view.pull(self.run.rows[field])
