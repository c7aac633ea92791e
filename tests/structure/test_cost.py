"""What making and batching many small structures costs, counted in operations."""

import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import graphrec as gr

MAKE = {
    "chain": lambda: gr.chain(1),
    "dag": lambda: gr.dag([[], []], 1),
    "parents": lambda: gr.tree(parents=[-1]),
    "brackets": lambda: gr.tree("(a b)"),
    "edges": lambda: gr.dag([[0, 1], [2, 2]], 3, edge_attr=torch.zeros(2, 1), relation=torch.tensor([0, 1])),
}


class Operations(TorchDispatchMode):
    """How many operations of torch there are while this lasts."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def calls(function):
    """How many functions are called, of Python and of C."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_batch_is_joined_at_once(make):
    """No operation of torch for a member, and few calls of Python."""

    def operations(count):
        members = [make() for _ in range(count)]
        with Operations() as found:
            gr.batch(members)
        return found.count

    assert operations(200) == operations(20)
    few, many = [make() for _ in range(20)], [make() for _ in range(120)]
    per_member = (calls(lambda: gr.batch(many)) - calls(lambda: gr.batch(few))) / 100
    assert per_member < 30


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_small_structure_takes_few_operations(make):
    with Operations() as found:
        make()
    assert found.count <= 20
    assert calls(make) <= 150
