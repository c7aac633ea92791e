"""Random graphs scheduled by the C library: against sorting by hand, against PyTorch, and laid out for the executor."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest import mock

import numpy as np
import torch

import graphrec as gr
from graphrec.backends.programs import native_parts
from graphrec.backends.programs.native_layout import Layout
from graphrec.schedule import out_edges, round_csr, segments, with_initial
from graphrec.schedule.plan import Steps
from graphrec.structure import native
from tests.fuzz.structures import ACYCLIC, ANY, Carried, random_structure

# ---------------------------------------------------------------------------------------------- by hand


def random_edges(random: np.random.Generator) -> tuple[int, np.ndarray]:
    """A number of nodes, and edges; about every fourth graph names nodes that are not there."""
    nodes, edges = int(random.integers(1, 9)), int(random.integers(0, 14))
    beyond = int(random.integers(4) == 0)
    ends = random.integers(-beyond, nodes + beyond, (2, edges))
    return nodes, np.sort(ends, 0) if random.integers(2) else ends


def longest_paths(nodes: int, ends: np.ndarray) -> list[int] | None:
    """`[N]`, None where there is a cycle."""
    level = [0] * nodes
    for _ in range(nodes + 1):
        before = list(level)
        for source, target in ends.T.tolist():
            level[target] = max(level[target], level[source] + 1)
        if level == before:
            return level
    return None


def check_sorted(seed: int) -> Counter[str]:
    """One case: levels, orders, inboxes, transposed edges and out-edges of one graph."""
    random = np.random.default_rng(seed)
    nodes, ends = random_edges(random)
    edges = ends.shape[1]
    source, target = torch.from_numpy(ends)
    slots = native.default_slots(torch.from_numpy(ends), nodes)
    found = native.longest_paths(source, target, nodes)
    if edges and not (ends.min() >= 0 and ends.max() < nodes):
        assert slots is None
        assert found is None
        return Counter(cases=1)
    sources, targets = ends.tolist()
    assert slots is not None
    assert slots.tolist() == [targets[:e].count(targets[e]) for e in range(edges)]
    by_source = native.transpose(source, target, nodes)
    assert by_source is not None
    assert by_source.perm.tolist() == sorted(range(edges), key=lambda e: sources[e])
    assert by_source.first.tolist() == [sum(u < v for u in sources) for v in range(nodes)]
    level = longest_paths(nodes, ends)
    assert (None if found is None else found.tolist()) == level
    if level is None or found is None:
        return Counter(cases=1)
    kind = random.integers(-3, 3, nodes)
    order = native.order(found, torch.from_numpy(kind))
    assert order is not None
    assert order.bounds is not None
    perm = sorted(range(nodes), key=lambda v: (level[v], kind[v]))
    assert order.perm.tolist() == perm
    slot = random.integers(0, 3, edges)
    given = (source, target, torch.from_numpy(slot), None, None)
    table = native.inboxes(order.bounds, nodes, order.inv_perm, *given)
    assert table is not None
    place = {v: p for p, v in enumerate(perm)}
    inbox = sorted(range(edges), key=lambda e: (place[targets[e]], slot[e]))
    assert table.edge.tolist() == inbox
    assert table.source.tolist() == [place[sources[e]] for e in inbox]
    pairs = [(targets[e], int(slot[e])) for e in inbox]
    assert table.distinct_slots == (len(set(pairs)) == len(pairs))
    rows = torch.cat([torch.zeros(1, dtype=torch.long), order.bounds])
    out = native.out_edges(rows, table.edge_bounds, table.source)
    assert out is not None
    sent = sorted(range(edges), key=lambda i: level[sources[inbox[i]]])
    begins = order.bounds.tolist()
    positions = [place[sources[inbox[i]]] for i in sent]
    expected = [p - begins[level[perm[p]]] for p in positions]
    assert out.row.tolist() == expected
    assert int(out.length.sum()) == edges
    return Counter(cases=1)


# ---------------------------------------------------------------------------------------------- by PyTorch


@contextmanager
def no_library() -> Iterator[None]:
    with mock.patch.object(native, "_functions", return_value=None):
        yield


def assert_same(one: Any, other: Any, name: str = "") -> None:
    """Two values are the same, whatever they consist of."""
    assert type(one) is type(other), name
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, name
        assert torch.equal(one, other), name
    elif isinstance(one, Steps):
        assert one == other, name
    elif dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            if field.name not in ("cache", "structure"):
                assert_same(getattr(one, field.name), getattr(other, field.name), field.name)
    elif isinstance(one, tuple):
        assert len(one) == len(other), name
        for a, b in zip(one, other, strict=True):
            assert_same(a, b, name)
    else:
        assert one == other, name


def both(make: Callable[[gr.Structure], Any], s: gr.Structure) -> tuple[Any, Any]:
    """What is made of a structure that knows nothing yet, by C and by torch."""
    found = make(s.replace())
    with no_library():
        return found, make(s.replace())


def check_schedules(seed: int) -> Counter[str]:
    """One case: the schedule of one structure, in one mode, and what is derived from it."""
    random = Random(seed)
    torch.manual_seed(seed)
    carried = Carried.drawn(random)
    way = random.choice(["async", "async", "initial", "reverse", "sync", "iterate"])
    families = ANY if way in ("sync", "iterate") else ACYCLIC
    s = random_structure(random, carried, families)
    if way == "reverse":
        s = s.reverse()
    count = random.randint(1, 4)

    def made(s: gr.Structure) -> Any:
        if way == "sync":
            plan = gr.schedule(s, "sync", 2)
            csr: Any = round_csr(plan)
            return plan, csr, csr.perm, csr.transposed, csr.transposed.perm
        plan = gr.schedule(s, cycles="iterate", rounds=2) if way == "iterate" else gr.schedule(s)
        plan = with_initial(plan) if way == "initial" else plan
        return plan, out_edges(plan), segments(plan)

    found, expected = both(made, s)
    assert_same(found, expected)
    if way != "iterate" and s.num_nodes:
        check_layout(found[0], count, carried.kind and random.random() < 0.5)
    return Counter(cases=1)


# ---------------------------------------------------------------------------------------------- for the executor


def check_layout(plan: gr.Schedule, count: int, has_kinds: bool) -> None:
    """Every node in one stretch, of its part, level and kind; every edge at its target and at its source."""
    with mock.patch.object(native_parts, "FEW_NODES", 0):
        layout, s = Layout(plan, count, has_kinds), plan.structure
    perm, inv_perm, edge = layout.order.nodes, layout.order.back, layout.order.edge
    node = (
        list(range(s.num_nodes)) if perm is None else perm.tolist()
    )  # of each row, and the row of each node
    row = list(range(s.num_nodes)) if inv_perm is None else inv_perm.tolist()
    assert [row[v] for v in node] == list(range(s.num_nodes))
    level = gr.levels(s).tolist() if plan.mode == "async" else [0] * s.num_nodes
    part_of: dict[int, int] = {}
    end = 0
    for part, of_level, (kind, _), first, last in layout.stretches:
        assert first == end < last
        end = last
        for v in node[first:last]:
            part_of[v] = part
            assert level[v] == of_level
            assert not has_kinds or s.kind is None or int(s.kind[v]) == kind
    assert end == s.num_nodes
    assert layout.stage == sorted(layout.stage)
    assert max(part_of.values(), default=0) < len(layout.stage)
    for u, v in s.edge_index.t().tolist() if plan.mode == "async" else []:
        of = part_of[u], part_of[v]
        assert of[0] == of[1] or layout.stage[of[0]] < layout.stage[of[1]]
    order = [(part, of_level) for part, of_level, *_ in layout.stretches]
    assert order == sorted(order)
    source, target = layout.source.tolist(), layout.target.tolist()
    assert target == sorted(target)
    assert layout.in_first.tolist() == [sum(t < r for t in target) for r in range(s.num_nodes + 1)]
    for at, e in enumerate(edge.tolist()):
        if 0 <= e < s.num_edges:  # (others come from a virtual predecessor)
            u, v = s.edge_index[:, e].tolist()
            assert (source[at], target[at]) == (row[u], row[v])
    assert layout.out_node.tolist() == [source[e] for e in layout.out_edge.tolist()] == sorted(source)
