"""Reversing a structure twice is the identity, and a reversed run is a run over edges that were listed so."""

import pytest
import torch
from hypothesis import given

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close
from tests.trials import Trial, trial
from tests.zoo import FAMILIES, family

structures = strategies.chains() | strategies.trees() | strategies.dags() | strategies.graphs()


@given(structure=structures)
def test_reversed_twice_is_itself(structure):
    assert structure.reverse().reverse() is structure
    assert torch.equal(structure.reverse().edge_index, structure.edge_index.flip(0))


@pytest.mark.parametrize("build", FAMILIES)
def test_reversal_turns_edges_and_keeps_all_else(build):
    s = family(build, None)
    s = s.replace(labels=tuple(f"node {v}" for v in range(s.num_nodes)))
    r = s.reverse()
    assert torch.equal(r.source, s.target)
    assert torch.equal(r.target, s.source)
    for name in ("num_nodes", "num_graphs", "tokens", "labels"):
        assert getattr(r, name) == getattr(s, name)
    for name in ("slot", "relation", "edge_attr", "edge_weight", "kind", "past", "graph"):
        assert getattr(r, name) is getattr(s, name)


@given(structure=strategies.chains() | strategies.trees() | strategies.dags())
def test_levels_of_the_reverse_are_known_or_computed_alike(structure):
    bare = gr.dag(structure.edge_index.flip(0), structure.num_nodes)
    assert torch.equal(gr.levels(structure.reverse()), gr.levels(bare))


@given(structure=strategies.trees())
def test_a_reversed_run_goes_top_down(structure):
    run = trial(gr.ChildSumTreeLSTMCell, structure)
    turned = gr.dag(structure.edge_index.flip(0), structure.num_nodes)
    assert_all_close(
        Trial(run.cell, structure.reverse(), run.x).outcome(),
        Trial(run.cell, turned, run.x).outcome(),
    )
