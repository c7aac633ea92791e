"""Small random structures of every family, and what their nodes and edges carry."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import torch

import graphrec as gr

RELATIONS = KINDS = 3


class Carried(NamedTuple):
    """What structures carry, which all those of a case do alike."""

    arity: int | None  # slots of a node; None: any number of edges enter it
    attr: tuple[int, ...] | None  # the shape of an edge's features
    weight: bool
    relation: bool
    kind: bool

    @classmethod
    def drawn(cls, random: Random) -> Carried:
        return cls(
            random.choice([None, None, 2, 3]),
            random.choice([None, None, (2,), (), (2, 3)]),
            random.random() < 0.3,
            random.random() < 0.5,
            random.random() < 0.25,
        )


def chain(random: Random, arity: int | None) -> gr.Structure:
    return gr.chain(random.randint(1, 7))


def chains(random: Random, arity: int | None) -> gr.Structure:
    """Some of them empty."""
    return gr.chains([random.randint(0, 5) for _ in range(random.randint(0, 4))] + [random.randint(1, 3)])


def tree(random: Random, arity: int | None) -> gr.Structure:
    count = random.randint(1, 9)
    children, edges = [0] * count, []
    for node in range(1, count):
        above = random.choice([v for v in range(node) if arity is None or children[v] < arity])
        children[above] += 1
        edges.append((node, above))
    return _numbered(random, count, edges, arity)


def dag(random: Random, arity: int | None) -> gr.Structure:
    """Nodes may be shared, isolated, or joined by several edges."""
    count, edges = random.randint(1, 8), []
    for node in range(1, count):
        edges += [(random.randrange(node), node) for _ in range(random.randint(0, arity or 3))]
    return _numbered(random, count, edges, arity)


def hub(random: Random, arity: int | None) -> gr.Structure:
    """One node with many edges, and perhaps others behind it."""
    count = 1 + (arity or random.randint(4, 12))
    edges = [(node, 0) for node in range(1, count)] + [(0, count)] * random.randint(0, 1)
    return _numbered(random, count + 1, edges, arity)


def isolated(random: Random, arity: int | None) -> gr.Structure:
    return gr.dag(torch.zeros(2, 0), random.randint(1, 4))


def lagged(random: Random, arity: int | None) -> gr.Structure:
    """Chains that reach back before their beginning: a part of the past is the initial state's."""
    return gr.lagged([random.randint(1, 5) for _ in range(random.randint(1, 3))], (1, 3)[:arity])


def grid(random: Random, arity: int | None) -> gr.Structure:
    return gr.grid([random.randint(1, 3) for _ in range(random.randint(1, 2))], layers=2)


def forest(random: Random, arity: int | None) -> gr.Structure:
    parts = [random.choice((tree, tree, dag, chain, isolated)) for _ in range(random.randint(2, 12))]
    return gr.batch([part(random, arity) for part in parts])


def cyclic(random: Random, arity: int | None) -> gr.Structure:
    """Any edges: circles, loops, several between two nodes."""
    count, edges = random.randint(1, 6), []
    for node in range(count):
        edges += [(random.randrange(count), node) for _ in range(random.randint(0, arity or 3))]
    return _numbered(random, count, edges, arity)


def cyclics(random: Random, arity: int | None) -> gr.Structure:
    return gr.batch([cyclic(random, arity) for _ in range(random.randint(2, 5))])


Family = Callable[[Random, int | None], gr.Structure]
ACYCLIC: tuple[Family, ...] = (chain, chains, tree, tree, dag, dag, hub, isolated, lagged, grid, forest)
ANY: tuple[Family, ...] = (*ACYCLIC, cyclic, cyclic, cyclic, cyclics)
ALONE: tuple[Family, ...] = (chain, tree, dag, dag, hub, isolated)  # of one graph, without a past


def random_structure(random: Random, carried: Carried, families: tuple[Family, ...]) -> gr.Structure:
    """A structure of one of these families; what it carries are integers here, and zeros for features."""
    s = random.choice(families)(random, carried.arity)
    fields: dict[str, object] = {}
    if carried.relation:
        fields["relation"] = _drawn(random, s.num_edges, RELATIONS)
    if carried.kind:
        fields["kind"] = _drawn(random, s.num_nodes, KINDS)
    return s.replace(**fields) if fields else s


def _drawn(random: Random, count: int, below: int) -> torch.Tensor:
    return torch.tensor([random.randrange(below) for _ in range(count)], dtype=torch.long)


def _numbered(random: Random, count: int, edges: list[tuple[int, int]], arity: int | None) -> gr.Structure:
    """The nodes numbered and the edges listed in any order, with random slots."""
    number = list(range(count))
    random.shuffle(number)
    random.shuffle(edges)
    ends = [(number[source], number[target]) for source, target in edges]
    edge_index = torch.tensor(ends, dtype=torch.long).reshape(-1, 2).t()
    if arity is None:
        return gr.dag(edge_index, count)
    free = [random.sample(range(arity), arity) for _ in range(count)]
    return gr.dag(edge_index, count, slot=torch.tensor([free[v].pop() for _, v in ends], dtype=torch.long))
