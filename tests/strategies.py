"""Random structures for hypothesis: chains, trees, DAGs, graphs with cycles, and batches of them.

Where a strategy takes an arity, edges fill distinct slots below it, and some slots stay empty; without one,
any number of edges may enter a node.
"""

from __future__ import annotations

import torch
from hypothesis import strategies as st

import graphrec as gr

sizes = st.integers(1, 4)  # of D and of H


@st.composite
def chains(draw, max_graphs=4, max_length=6):
    """A batch of sequences; some may be empty, not all."""
    lengths = draw(st.lists(st.integers(0, max_length), min_size=1, max_size=max_graphs).filter(any))
    return gr.chains(lengths)


@st.composite
def trees(draw, arity=None, max_nodes=10):
    """A tree, its nodes in any order."""
    count = draw(st.integers(1, max_nodes))
    children = [0] * count
    edges = []
    for node in range(1, count):
        # Node 0 is the root; every other node hangs below an earlier one that has room.
        above = draw(st.sampled_from([v for v in range(node) if arity is None or children[v] < arity]))
        children[above] += 1
        edges.append((node, above))
    return draw(_structures(count, edges, arity))


@st.composite
def dags(draw, arity=None, max_nodes=8):
    """An acyclic structure; nodes may be shared, isolated, or joined by several edges."""
    count = draw(st.integers(1, max_nodes))
    edges = []
    for node in range(1, count):
        most = 3 if arity is None else arity
        edges += [(source, node) for source in draw(st.lists(st.integers(0, node - 1), max_size=most))]
    return draw(_structures(count, edges, arity))


@st.composite
def graphs(draw, arity=None, max_nodes=6):
    """Any directed graph: cycles, self-loops, several edges between two nodes."""
    count = draw(st.integers(1, max_nodes))
    edges = []
    for node in range(count):
        most = 3 if arity is None else arity
        edges += [(source, node) for source in draw(st.lists(st.integers(0, count - 1), max_size=most))]
    return draw(_structures(count, edges, arity))


def acyclic(arity=None):
    """Whatever async mode takes and a cell of this arity."""
    if arity == 1:
        return chains() | dags(arity=1)
    return chains() | trees(arity) | dags(arity)


@st.composite
def batches(draw, of, max_members=4):
    """The members of a batch, and the batch."""
    members = draw(st.lists(of, min_size=1, max_size=max_members))
    return members, gr.batch(members)


@st.composite
def carrying_all(draw, of):
    """A structure with every field that one may carry."""
    s = draw(of)
    words = st.lists(st.none() | st.text(max_size=3), min_size=s.num_nodes, max_size=s.num_nodes)
    tokens, labels = draw(words.filter(any)), draw(words.filter(any))
    return s.replace(
        relation=torch.randint(3, (s.num_edges,)),
        relation_names=("a", "b", "c"),
        edge_attr=torch.randn(s.num_edges, 2),
        edge_weight=torch.rand(s.num_edges),
        kind=torch.randint(3, (s.num_nodes,)),
        past=torch.randint(3, (s.num_nodes,)),
        tokens=tuple(tokens),
        labels=tuple(labels),
    )


@st.composite
def _structures(draw, count, edges, arity):
    """The edges listed and the nodes numbered in any order, with random slots."""
    edges = draw(st.permutations(edges))
    number = draw(st.permutations(range(count)))
    edge_index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t()
    edge_index = torch.tensor(number)[edge_index]
    if arity is None:
        return gr.dag(edge_index, count)
    free = [draw(st.permutations(range(arity))) for _ in range(count)]
    slot = torch.tensor([free[target].pop() for target in edge_index[1].tolist()], dtype=torch.long)
    return gr.dag(edge_index, count, slot=slot)


def nothing():
    """No graphs, graphs without nodes, nodes without edges."""
    return st.sampled_from(
        [gr.chains([]), gr.chains([0, 0]), gr.dag(torch.zeros(2, 0), 0), gr.dag(torch.zeros(2, 0), 3)]
    )


def structures(arity=None, cyclic=True):
    """Of every family, also none and batches; some carry all that structures may carry."""
    one = nothing() | acyclic(arity) | (graphs(arity) if cyclic else st.nothing())
    return one | batches(one, max_members=3).map(lambda drawn: drawn[1]) | carrying_all(acyclic(arity))


def rows(count, *shape):
    """Numbers for so many nodes, or edges."""
    return st.builds(torch.randn, st.just((count, *shape)))


@st.composite
def with_rows(draw, of, width=2):
    """A structure, and a row for each of its nodes."""
    s = draw(of)
    return s, draw(rows(s.num_nodes, width))
