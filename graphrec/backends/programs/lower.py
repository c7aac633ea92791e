"""A cell's programs for the native executor: instructions, buffers, and the gradients of weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...cprogram import CHAIN, IN_EDGES, NODES
from ...program.compile import CellProgram, Part
from ...program.recording import Sort
from ...program.reverse import WeightGradient
from ...program.symbols import EDGE
from .assemble import Assembler
from .buffers import Buffers, Indices
from .placement import Placement
from .postponed import Code, postpone
from .pulls import pull_forms
from .units import Weights, block_of, sides_of

# Numbers of a weight's gradient that stay in the second cache beside all that a tile reads and writes.
_SMALL = 2**16


@dataclass(frozen=True)
class WeightJob:
    """The gradient of a block of a captured tensor.

    Attributes:
        captured, offset, down, across: which block: its first number, and the steps to the next row and column.
        rows, program: see `csrc/program.h`.
        a, a_column, k, g, g_column, n: its operands.
    """

    captured: int
    offset: int
    down: int
    across: int
    rows: int
    program: int
    a: int
    a_column: int
    k: int
    g: int
    g_column: int
    n: int


@dataclass(frozen=True, eq=False)
class SumJob:
    """The gradient of some numbers of a captured tensor: which sum, and where it belongs."""

    name: Any
    captured: int
    columns: np.ndarray


@dataclass(frozen=True, eq=False)
class OuterJob:
    """The gradient of a block of a captured tensor that the sweep has summed up: which sum, and where it belongs.

    Attributes:
        name: of the sum.
        captured, offset, stride: where: the first number, and the step from row to row.
        rows, columns: of the block as it lies there.
    """

    name: Any
    captured: int
    offset: int
    stride: int
    rows: int
    columns: int


@dataclass
class Lowered:
    """What the executor runs for some of the rows: the boundary, what is projected once, or the nodes by sort.

    Attributes:
        sorts: the number of each sort's program.
        forward, reverse: the code of each.
        weight_jobs, sum_jobs, outer_jobs: the gradients.
    """

    sorts: dict[Sort, int]
    forward: list[Code]
    reverse: list[Code]
    weight_jobs: list[WeightJob]
    sum_jobs: list[SumJob]
    outer_jobs: list[OuterJob]


@dataclass
class NativeProgram:
    """A cell's programs, ready to be run.

    Attributes:
        program: what they were made of.
        nodes, boundary, project: the code.
        buffers, indices: what they read and write.
        weights: the blocks of captured tensors that products read.
        late: what is run after the reverse of nodes, by sort; see `postponed`.
        row_by_row: the buffers whose rows are those of nodes, and are read or written each by its own node alone.
        node_by_node: the same, and those that others read by a node's number.
        places: which memory takes the place of which, by what `lifetimes.places` has been told.
    """

    program: CellProgram
    nodes: Lowered
    boundary: Lowered
    project: Lowered | None
    buffers: Buffers
    indices: Indices
    weights: Weights
    late: list[Code]
    row_by_row: set[int]
    node_by_node: set[int]
    places: dict[Any, Any] = field(default_factory=dict)


def lower(program: CellProgram) -> NativeProgram:
    """The code of a cell's programs."""
    buffers, indices, weights = Buffers(), Indices(), Weights()
    pulls, factors = pull_forms(program), {}

    def lowered(parts: dict[Any, Part]) -> Lowered:
        made = Lowered({sort: number for number, sort in enumerate(parts)}, [], [], [], [], [])
        placements = [
            Placement(program, sort, part, buffers, indices, pulls, factors, _along(program, part))
            for sort, part in parts.items()
        ]
        for placement in placements:
            if placement.part.b.has_edges:
                placement.find_factors()
        for number, placement in enumerate(placements):
            made.forward.append(Assembler(placement, "forward", weights).assemble())
            made.reverse.append(Assembler(placement, "reverse", weights).assemble())
            made.weight_jobs.extend(_weight_jobs(placement, number))
            made.sum_jobs.extend(_sum_jobs(placement))
            made.outer_jobs.extend(_outer_jobs(placement))
        return made

    nodes = lowered(dict(program.parts))
    boundary = lowered({"boundary": program.boundary})
    project = None if program.project is None else lowered({"project": program.project})
    of_rows = _read_by_node(nodes, *([] if project is None else [project]), count=len(buffers.specs))
    late: list[Code] = []
    if not program.is_sync:
        lasting = [
            {
                (job.g, job.g_column + column)
                for job in nodes.weight_jobs
                if job.program == number
                for column in range(job.n)
            }
            for number in range(len(nodes.reverse))
        ]
        late = postpone(nodes.reverse, lasting, buffers, [block[4] for block in weights.blocks])
    return NativeProgram(program, nodes, boundary, project, buffers, indices, weights, late, *of_rows)


def _read_by_node(*programs: Lowered, count: int) -> tuple[set[int], set[int]]:
    """See `row_by_row` and `node_by_node` of `NativeProgram`."""
    by_row, by_node = set(range(count)), set(range(count))
    for lowered in programs:
        for instructions, operations in (*lowered.forward, *lowered.reverse):
            for instruction in instructions:
                chain = operations[instruction["first"] : instruction["last"]]
                is_of_nodes = instruction["rows"] == NODES
                for operand in (chain[name] for name in "abcd"):
                    has_index = operand["index"] != 0
                    by_row.difference_update(operand[has_index | (not is_of_nodes)]["buffer"].tolist())
                    is_in_parts = has_index & (operand["split"] != 0)
                    is_of_edges = ~has_index & (not is_of_nodes)
                    by_node.difference_update(operand[is_in_parts | is_of_edges]["buffer"].tolist())
                if instruction["kind"] != CHAIN and not is_of_nodes:
                    of_edges = {int(instruction[name]) for name in "aci"}
                    by_row, by_node = by_row - of_edges, by_node - of_edges
        for job in lowered.weight_jobs:
            if job.rows != NODES:
                by_row, by_node = by_row - {job.a, job.g}, by_node - {job.a, job.g}
    return by_row, by_node


def _weight_jobs(placement: Placement, number: int) -> list[WeightJob]:
    jobs = []
    for weight in placement.later:
        captured, offset, down, across, k, n = block_of(placement.part.b, weight.weight)
        a, g = (placement.together(codes, weight.rows) for codes in (weight.a, weight.g))
        rows = IN_EDGES if weight.rows == EDGE else NODES
        # The executor adds to matrices whose rows or columns are dense; of others it gets column by column.
        is_dense = down == 1 or across == 1
        for first, width in [(0, n)] if is_dense else [(column, 1) for column in range(n)]:
            place = (captured, offset + first * across, down, across)
            of_a, of_g = (a.buffer, a.column, k), (g.buffer, g.column + first, width)
            jobs.append(WeightJob(*place, rows, number, *of_a, *of_g))
    return jobs


def _along(program: CellProgram, part: Part) -> list[WeightGradient]:
    """The gradients of weights that are best summed up in the sweep: small ones, in rounds.

    There all tiles are whole, and one sum a thread is enough; elsewhere levels may be a few rows, and parts of a forest
    would have sums of their own.
    """
    if not program.is_sync:
        return []
    return [
        weight
        for weight in part.weights
        if weight.weight.size < _SMALL and 1 in block_of(part.b, weight.weight)[2:4]
    ]


def _outer_jobs(placement: Placement) -> list[OuterJob]:
    jobs = []
    for number, weight in enumerate(placement.along):
        captured, offset, down, across, *_ = block_of(placement.part.b, weight.weight)
        shape = [len(side) for side in sides_of(placement.part.b, weight)]
        stride = across if down == 1 else down
        jobs.append(OuterJob(("outer", placement.sort, number), captured, offset, stride, *shape))
    return jobs


def _sum_jobs(placement: Placement) -> list[SumJob]:
    jobs = []
    for number, one in enumerate(placement.part.sums):
        captured = placement.part.b.value(one.of.flat[0]).count
        jobs.append(SumJob(("sum", placement.sort, number), captured, (one.of & 0xFFFFFFFF).astype(np.int64)))
    return jobs
