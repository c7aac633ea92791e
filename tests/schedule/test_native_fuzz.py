"""The C scheduler on many small random graphs, some of them nonsense, against sorting by hand."""

import numpy as np
import pytest
import torch

from graphrec import clib
from graphrec.structure import native

pytestmark = pytest.mark.skipif(clib.library() is None, reason="there is no native library")


def random_edges(random):
    """A number of nodes, and edges; about every fourth graph names nodes that are not there."""
    nodes, edges = int(random.integers(1, 9)), int(random.integers(0, 14))
    beyond = int(random.integers(4) == 0)
    ends = random.integers(-beyond, nodes + beyond, (2, edges))
    return nodes, np.sort(ends, 0) if random.integers(2) else ends


def longest_paths(nodes, ends):
    """`[N]`, None where there is a cycle."""
    level = [0] * nodes
    for _ in range(nodes + 1):
        before = list(level)
        for source, target in ends.T:
            level[target] = max(level[target], level[source] + 1)
        if level == before:
            return level
    return None


def check(random):
    nodes, ends = random_edges(random)
    edges = ends.shape[1]
    source, target = torch.from_numpy(ends)
    slots = native.default_slots(torch.from_numpy(ends), nodes)
    found = native.longest_paths(source, target, nodes)
    if edges and not (ends.min() >= 0 and ends.max() < nodes):
        assert slots is None
        assert found is None
        return
    assert slots.tolist() == [ends[1, :e].tolist().count(ends[1, e]) for e in range(edges)]
    by_source = native.transpose(source, target, nodes)
    assert by_source.perm.tolist() == sorted(range(edges), key=lambda e: ends[0, e])
    assert by_source.first.tolist() == [int((ends[0] < v).sum()) for v in range(nodes)]
    level = longest_paths(nodes, ends)
    assert (None if found is None else found.tolist()) == level
    if level is None:
        return
    kind = random.integers(-3, 3, nodes)
    order = native.order(found, torch.from_numpy(kind))
    perm = sorted(range(nodes), key=lambda v: (level[v], kind[v]))
    assert order.perm.tolist() == perm
    slot = random.integers(0, 3, edges)
    given = (source, target, torch.from_numpy(slot), None, None)
    table = native.inboxes(order.bounds, nodes, order.inv_perm, *given)
    inbox = sorted(range(edges), key=lambda e: (perm.index(ends[1, e]), slot[e]))
    assert table.edge.tolist() == inbox
    assert table.source.tolist() == [perm.index(ends[0, e]) for e in inbox]
    pairs = [(ends[1, e], slot[e]) for e in inbox]
    assert table.distinct_slots == (len(set(pairs)) == len(pairs))
    rows = torch.cat([torch.zeros(1, dtype=torch.long), order.bounds])
    out = native.out_edges(rows, table.edge_bounds, table.source)
    sent = sorted(range(edges), key=lambda i: level[ends[0, inbox[i]]])
    begins = order.bounds.tolist()
    of_level = [level[ends[0, inbox[i]]] for i in sent]
    positions = [perm.index(ends[0, inbox[i]]) for i in sent]
    assert out.row.tolist() == [p - begins[k] for p, k in zip(positions, of_level, strict=True)]
    assert int(out.length.sum()) == edges


def test_a_thousand():
    random = np.random.default_rng(0)
    for _ in range(1000):
        check(random)


@pytest.mark.slow
def test_a_hundred_thousand():
    random = np.random.default_rng(1)
    for _ in range(100_000):
        check(random)
