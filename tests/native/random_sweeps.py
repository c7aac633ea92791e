"""Random forests, DAGs and rounds, and random programs over them: well-formed, bounded, of no meaning."""

from __future__ import annotations

import itertools

import numpy as np

from graphrec.cprogram import GLOBAL, IN_EDGES, NODES, OUT_EDGES, SUM, TILE_IN_EDGES, TILE_NODES, Op
from tests.native.case import Case, Structure, chain, micro, outer, product, register

PARAMETERS = 3  # rows for all nodes


def random_dags(
    random: np.random.Generator,
    parts: int,
    programs: int,
    most: int,
    hub: bool = False,
    stages: int = 1,
) -> Structure:
    """Some DAGs, level by level; the first level of each runs program 0, the others' nodes are split among the rest.

    Args:
        most: nodes of a level.
        hub: whether the last node of each part has some hundred in-edges.
        stages: how many stages the parts are of; a node may have sources in earlier stages.
    """
    rows, edges, earlier = 0, [], 0
    s = {"first": [], "last": [], "program": [], "level": [], "part": [0]}
    stage = [part * stages // parts for part in range(parts)]
    for part in range(parts):
        begin = rows
        if part and stage[part] > stage[part - 1]:
            earlier = rows
        for level in range(random.integers(1, 7)):
            nodes = int(random.integers(1, most + 1))
            targets = np.repeat(np.arange(rows, rows + nodes), random.integers(0, 4, nodes) if level else 0)
            if hub and level:
                targets = np.concatenate([targets, np.full(700, rows + nodes - 1)])
            sources = random.integers(begin - earlier, rows, len(targets)) if level else targets
            edges.append(np.stack([np.where(sources < begin, sources - (begin - earlier), sources), targets]))
            ends = [rows, rows + nodes]
            if level and programs > 2:
                ends.insert(1, rows + int(random.integers(0, nodes + 1)))
            for q, (first, last) in enumerate(itertools.pairwise(ends)):
                s["first"].append(first)
                s["last"].append(last)
                s["program"].append(min(q + 1, programs - 1) if level else 0)
                s["level"].append(level)
            rows += nodes
        s["part"].append(len(s["first"]))
    return Structure(rows, np.concatenate(edges, axis=1), **s, stage=stage)


def random_rounds(random: np.random.Generator, parts: int, rounds: int) -> Structure:
    """Some graphs with edges of all directions, each one stretch, in rounds."""
    sizes = random.integers(1, 90, parts)
    first = np.concatenate([[0], np.cumsum(sizes)])
    edges = []
    for begin, end in itertools.pairwise(first):
        ends = random.integers(begin, end, (2, int(2 * (end - begin))))
        edges.append(ends[:, np.argsort(ends[1], kind="stable")])
    return Structure(
        int(first[-1]), np.concatenate(edges, axis=1), list(first[:-1]), list(first[1:]),
        [0] * parts, [0] * parts, list(range(parts + 1)), rounds,
    )  # fmt: skip


class RandomSweep:
    """Programs that read states of earlier rows (or of the last round) and write their own state."""

    def __init__(
        self, seed: int, dtype, structure: Structure, reverse: bool = False, threads_share: bool = False
    ):
        self.random = np.random.default_rng(seed)
        self.case = case = Case(dtype, structure)
        self.s, self.reverse = structure, reverse
        self.rounds = structure.rounds
        self.widths = [int(w) for w in self.random.integers(1, 40, 3)]
        source, target = structure.edges
        if reverse:  # what is read comes by the edges that leave, from later rows
            source, target = target[structure.by_source], source[structure.by_source]
        self.edge_kind = OUT_EDGES if reverse else IN_EDGES
        self.source, self.target = case.index(source), case.index(target)
        shape = (self.rounds + 1,) if self.rounds > 1 else (1,)
        self.states = []  # read, written
        for width in self.widths[:2]:
            numbers = np.zeros((*shape, structure.rows, width + int(self.random.integers(0, 3))))
            numbers[...] = self.random.normal(size=numbers.shape)
            b = case.add(GLOBAL, width, numbers)
            later = case.a_round_later(b) if self.rounds > 1 else b
            self.states.append((later, b, width) if reverse else (b, later, width))
        self.kept = [self.rows_of(structure.rows) for _ in range(2)]
        self.of_edges = [self.rows_of(structure.num_edges) for _ in range(2)]
        self.parameters = [self.rows_of(1) for _ in range(PARAMETERS)]
        self.sums = []
        for width in self.widths[:2]:
            self.sums.append((case.add(SUM, width, np.full(width, np.nan)), width))
        (_, _, n), (_, k), (_, m), (_, q) = self.states[0], self.kept[0], *self.of_edges
        self.outer = [case.add(SUM, size, np.full(size, np.nan)) for size in (k * n, m * q)]
        for _ in range(max(structure.program) + 1):
            self.build()
        if not reverse:
            self.add_gradients()

    def rows_of(self, rows: int) -> tuple[int, int]:
        width = int(self.random.choice(self.widths))
        return self.case.add(GLOBAL, width, self.random.normal(size=(1, max(rows, 1), width)) * 0.5), width

    def weight(self, k: int, n: int) -> int:
        w = self.random.normal(size=(n, k + 1)).astype(self.case.dtype) / np.sqrt(k).astype(self.case.dtype)
        self.case.weights.append(w[:, :k].T)
        return len(self.case.weights) - 1

    def chain(self, kind: int, width: int, *operations: tuple) -> None:
        first = len(self.operations)
        self.operations += operations
        self.instructions.append(chain(kind, width, first, len(self.operations)))

    def values(self, width: int) -> list[tuple]:
        """Operands over nodes of this width."""
        own = [(b, w) for b, w in self.kept + self.tiles if w == width]
        own += [(b, w) for b, w in self.parameters if w == width]
        return [(b, 0, 0, 0) for b, _ in own]

    def tile(self, width: int) -> int:
        self.tiles.append((self.case.add(TILE_NODES, width), width))
        return self.tiles[-1][0]

    def build(self) -> None:
        self.instructions, self.operations, self.tiles = [], [], []
        for read, _, width in self.states:
            self.gather(read, width)
        for _ in range(3):
            random = self.random
            step = random.choice([self.elementwise, self.product, self.edge_product, self.reshape])
            step()
        for number, (_, written, width) in enumerate(self.states):
            operand = self.pick(width)
            here = (written, 0, 0, 0)
            total = self.sums[number]
            self.chain(
                NODES, width, micro(Op.TANH, register(0), operand), micro(Op.COPY, here, register(0)),
                micro(Op.ACCUMULATE, (total[0], 0, 0, 0), register(0)),
                micro(Op.ACCUMULATE_PRODUCT, (total[0], 0, 0, 0), register(0), operand),
            )  # fmt: skip
        self.add_outer()
        self.case.programs.append((self.instructions, self.operations))

    def add_outer(self) -> None:
        (_, written, n), (b, _) = self.states[0], self.kept[0]
        self.instructions.append(outer(NODES, b, 0, written, 0, n, self.outer[0]))
        (a, _), (b, n) = self.of_edges
        self.instructions.append(outer(IN_EDGES, a, 0, b, 0, n, self.outer[1]))

    def pick(self, width: int) -> tuple:
        found = self.values(width)
        if not found:
            b = self.tile(width)
            self.chain(NODES, width, micro(Op.SET, (b, 0, 0, 0), imm=0.3))
            found = [(b, 0, 0, 0)]
        return found[self.random.integers(len(found))]

    def gather(self, read: int, width: int) -> None:
        """Sums, weighted sums or maxima over the states that come in."""
        there = (self.tile(width), 0, self.target, 0)
        way = self.random.integers(3)
        self.chain(NODES, width, micro(Op.SET, (*there[:2], 0, 0), imm=-2.0 if way == 2 else 0.0))
        state = (read, 0, self.source, 0)
        if way == 0:
            operations = [micro(Op.ACCUMULATE, there, state)]
        elif way == 1:
            factor = register(0)
            operations = [
                micro(Op.SIGMOID, factor, state),
                micro(Op.ACCUMULATE_PRODUCT, there, state, factor),
            ]
        else:
            operations = [micro(Op.ACCUMULATE_MAX, there, state)]
        self.chain(self.edge_kind, width, *operations)

    def elementwise(self) -> None:
        width = int(self.random.choice(self.widths))
        a, b, c = (self.pick(width) for _ in range(3))
        here = (self.tile(width), 0, 0, 0)
        r = [register(q) for q in range(3)]
        self.chain(
            NODES, width, micro(Op.SIGMOID, r[0], a), micro(Op.SUB, r[1], b, r[0]), micro(Op.FMA, r[2], r[0], r[1], c),
            micro(Op.TANH, here, r[2]),
        )  # fmt: skip

    def product(self) -> None:
        k, n = (int(w) for w in self.random.choice(self.widths, 2))
        a = self.pick(k)
        add = self.pick(n)
        if a[0] in [b for b, _ in self.parameters]:
            return
        c = self.tile(n)
        self.instructions.append(product(NODES, a[0], 0, self.weight(k, n), c, 0, add[0], 0))
        self.chain(NODES, n, micro(Op.TANH, (c, 0, 0, 0), (c, 0, 0, 0)))

    def edge_product(self) -> None:
        """Of what edges hold and what comes by them, through a tile of edges, summed over the nodes."""
        if self.reverse:
            return
        read, _, k = self.states[self.random.integers(len(self.states))]
        n = int(self.random.choice(self.widths))
        tile, to = self.case.add(TILE_IN_EDGES, k), self.case.add(TILE_IN_EDGES, n)
        there = (self.tile(n), 0, self.target, 0)
        self.chain(NODES, n, micro(Op.SET, (*there[:2], 0, 0)))
        self.chain(IN_EDGES, k, micro(Op.COPY, (tile, 0, 0, 0), (read, 0, self.source, 0)))
        self.instructions.append(product(IN_EDGES, tile, 0, self.weight(k, n), to, 0))
        factors = [b for b, w in self.of_edges if w == n]
        factor = (factors[0], 0, 0, 0) if factors else (to, 0, 0, 0)
        kept = [b for b, w in self.of_edges[1:] if w == n and b not in factors[:1]]
        keep = [micro(Op.COPY, (kept[0], 0, 0, 0), register(0))] if kept else []
        self.chain(
            IN_EDGES, n, micro(Op.TANH, register(0), (to, 0, 0, 0)), *keep,
            micro(Op.ACCUMULATE_PRODUCT, there, register(0), factor),
        )  # fmt: skip

    def reshape(self) -> None:
        width, k = int(self.random.choice(self.widths)), int(self.random.integers(1, 5))
        a = self.pick(width)
        wide, back = self.tile(width * k), self.tile(width)
        repeat, total = [(Op.REPEAT_EACH, Op.SUM_ALL), (Op.REPEAT_ALL, Op.SUM_EACH)][self.random.integers(2)]
        self.chain(
            NODES, width * k, micro(repeat, (wide, 0, 0, 0), a, k=k),
            micro(total, (back, 0, 0, 0), (wide, 0, 0, 0), k=k),
        )  # fmt: skip
        self.chain(NODES, width, micro(Op.TANH, (back, 0, 0, 0), (back, 0, 0, 0)))

    def add_gradients(self) -> None:
        for program in (-1, 0):
            (_, written, n), (b, k) = self.states[0], self.kept[0]
            self.case.gradients.append(
                (NODES, program, b, 0, k, written, 0, n, np.zeros((k, n + 2), self.case.dtype))
            )
            (a, m), (b, n) = self.of_edges
            self.case.gradients.append(
                (IN_EDGES, program, a, 0, m, b, 0, n, np.ones((m, n), self.case.dtype))
            )
