"""What making and batching many small structures costs, counted in operations."""

import pytest
import torch

import graphrec as gr
from tests.counting import calls

MAKE = {
    "chain": lambda: gr.chain(1),
    "dag": lambda: gr.dag([[], []], 1),
    "parents": lambda: gr.tree(parents=[-1]),
    "brackets": lambda: gr.tree("(a b)"),
    "edges": lambda: gr.dag([[0, 1], [2, 2]], 3, edge_attr=torch.zeros(2, 1), relation=torch.tensor([0, 1])),
}


def operations(function):
    """How many operations of torch there are. (Structures are made outside any dispatch mode, which sees none.)"""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        function()
    return sum(event.name.startswith("aten::") for event in found.events())


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_batch_is_joined_at_once(make):
    """No operation of torch for a member, and few calls of Python."""
    few, many = [make() for _ in range(20)], [make() for _ in range(120)]
    assert operations(lambda: gr.batch(many)) == operations(lambda: gr.batch(few)) > 0
    per_member = (calls(lambda: gr.batch(many)) - calls(lambda: gr.batch(few))) / 100
    assert per_member < 40


LIMITS = {"chain": 25, "dag": 25, "parents": 35, "brackets": 15, "edges": 75}


@pytest.mark.parametrize("name", MAKE)
def test_a_small_structure_takes_few_operations(name):
    assert 0 < operations(MAKE[name]) <= LIMITS[name]
    assert calls(MAKE[name]) <= 300
