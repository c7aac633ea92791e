"""BPTT that runs blocks of steps a second time has the gradients of BPTT that keeps everything."""

from __future__ import annotations

import pytest
import torch

import graphrec as gr
from graphrec.learning import BPTT
from tests.trials import Trial, trial
from tests.tolerances import assert_all_close
from tests.zoo import ACYCLIC, ALL_CELLS, FAMILIES, GRAPH_CELLS, cases


def by_blocks(run: Trial, size: int) -> dict:
    return run.outcome(lambda: BPTT(recompute=size).run(run.cell, run.plan, run.x, run.given))


def assert_is_bptt(run: Trial, *sizes: int) -> None:
    expected = run.outcome()
    for size in sizes:
        assert_all_close(by_blocks(run, size), expected)


@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, ACYCLIC))
def test_every_cell_on_every_family(case, structure):
    assert_is_bptt(trial(case.make, structure), 1, 2)


@pytest.mark.parametrize("initial", ["per node", "per graph", "for all"])
@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, ACYCLIC))
def test_initial_states(case, structure, initial):
    if case.make(2, 2).begins_with_x: pytest.skip()
    assert_is_bptt(trial(case.make, structure, initial), 2)

@pytest.mark.parametrize(("case", "structure"), cases(ALL_CELLS, FAMILIES))
def test_rounds(case, structure):
    assert_is_bptt(trial(case.make, structure, mode="sync", rounds=5), 2)
