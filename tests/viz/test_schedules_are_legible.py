"""In a drawn schedule no edge runs through a node that it does not touch: by geometry, on DAGs and real trees."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphrec as gr
from graphrec.viz.draw import _columns, _off_itself
from tests.strategies import dags

TREEBANKS = Path(os.environ.get("GRAPHREC_DATA", "nowhere"), "conllu")  # (tests of examples hide it later)

NEAR = 0.05  # where neighbours in a column are 1 apart, or half as much beside a bend


def nodes_on_edges(plan):
    """How many pairs there are of an edge and a node that is no end of it and lies on its line."""
    routes, source, target, _ = _columns(plan)
    at = routes.at.double()
    found = 0
    for line, u, v in zip(routes.lines(source, target), source.tolist(), target.tolist(), strict=True):
        line = _off_itself(line, bool(at[u, 0] > at[v, 0])).double()
        for a, b in pairwise(line):
            along = (b - a) / max(float((b - a).norm()) ** 2, 1e-12)
            share = ((at - a) @ along).clamp(0, 1)
            distance = (a + share[:, None] * (b - a) - at).norm(dim=1)
            distance[[u, v]] = torch.inf
            found += int((distance < NEAR).sum())
    return found


def test_the_measure_sees_a_node_on_an_edge(monkeypatch):
    s = gr.dag([[0, 0, 1], [2, 1, 2]], 3)
    plan = gr.schedule(s)
    assert nodes_on_edges(plan) == 0
    monkeypatch.setattr("graphrec.viz.routes.MOST_BENDS", 0)  # without bends 0 → 2 lies on 1
    assert nodes_on_edges(plan) == 1


@settings(deadline=None, max_examples=25)
@given(dags())
def test_dags(s):
    assert nodes_on_edges(gr.schedule(s)) == 0


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(1, 3))
def test_rounds(count, rounds):
    s = gr.dag([list(range(count)), [(v * 5 + 1) % count for v in range(count)]], count)
    assert nodes_on_edges(gr.schedule(s, "sync", rounds)) == 0


def test_iterated_cycles_and_given_orders():
    s = gr.dag([[0, 1, 2, 2, 3, 3], [1, 2, 1, 3, 3, 0]], 4)
    assert nodes_on_edges(gr.schedule(s, cycles="iterate", rounds=2)) == 0
    assert nodes_on_edges(gr.schedule(s, order=torch.arange(4))) == 0


def test_the_trees_of_the_readme():
    s = gr.batch([gr.tree("(3 (2 It) (4 (2 's) (4 good)))"), gr.tree("(2 (1 not) (3 bad))")])
    assert nodes_on_edges(gr.schedule(s)) == 0


def heads_in(path, most=None):
    """The heads of each sentence of a CoNLL-U file, -1 for the root; words alone."""
    sentences, heads = [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            number, *_, head = line.split("\t")[:7]
            if number.isdigit():
                heads.append(int(head) - 1)
        elif not line and heads:
            sentences.append(heads)
            heads = []
    return sentences[:most]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_trees_of_sentences(is_reversed):
    files = sorted(TREEBANKS.rglob("*.conllu"))
    if not files:
        pytest.skip("GRAPHREC_DATA names no folder with conllu/*.conllu")
    for path in files:
        for heads in heads_in(path, 20):
            s = gr.tree(parents=heads)
            assert nodes_on_edges(gr.schedule(s.reverse() if is_reversed else s)) == 0
