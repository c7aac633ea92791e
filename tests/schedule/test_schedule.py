"""Schedules: what they print, when they are equal, and that they are made once."""

import pytest
import torch

import graphrec as gr
from graphrec.schedule import derived, pair_csr, with_initial


def test_printing():
    s = gr.tree("(3 (2 It) (4 (2 's) (4 good)))")
    assert str(gr.schedule(s)) == (
        "Schedule(async, nodes=5, edges=4, steps=3)\n"
        "  level   0: 0 edges → nodes 0 1 2\n"
        "  level   1: 2 edges → node 3\n"
        "  level   2: 2 edges → node 4"
    )
    assert str(gr.schedule(s, "sync", rounds=2)) == (
        "Schedule(sync, rounds=2, nodes=5, edges=4, steps=2)\n"
        "  round   0: 4 edges → nodes 0 1 2 3 4\n"
        "  round   1: 4 edges → nodes 0 1 2 3 4"
    )


def test_printing_leaves_out_the_middle_of_what_is_long():
    assert str(gr.schedule(gr.chain(1000))) == (
        "Schedule(async, nodes=1000, edges=999, steps=1000)\n"
        "  level   0: 0 edges → node 0\n"
        + "".join(f"  level   {k}: 1 edge → node {k}\n" for k in range(1, 8))
        + "  … 991 more steps …\n"
        "  level 999: 1 edge → node 999"
    )
    assert str(gr.schedule(gr.chains([1] * 20))) == (
        "Schedule(async, nodes=20, edges=0, steps=1)\n"
        "  level   0: 0 edges → nodes 0 1 2 3 4 5 6 7 8 9 10 11 … (20)"
    )


@pytest.mark.parametrize("form", [repr, "{:}".format])
def test_one_line(form):
    plan = gr.schedule(gr.chains([2, 3]))
    assert form(plan).startswith("Schedule(async, nodes=5, edges=3, steps=3)")


def test_a_schedule_is_made_once():
    s = gr.chain(3)
    assert gr.schedule(s) is gr.schedule(s)
    assert gr.schedule(s, "sync", 2) is gr.schedule(s, mode="sync", rounds=2)
    assert gr.schedule(s, "sync", 2) is not gr.schedule(s, "sync", 3)
    assert gr.schedule(s) is not gr.schedule(s.reverse())
    assert gr.schedule(s.reverse()) is gr.schedule(s.reverse())
    assert with_initial(gr.schedule(s)) is with_initial(gr.schedule(s))


SAME = [
    (gr.chain(3), gr.tree(parents=[1, 2, -1])),
    (gr.chain(3), gr.tree(parents=[-1, 0, 1])),
    (gr.chains([3, 1]), gr.batch([gr.chain(3), gr.chain(1)])),
    (gr.tree("(X a b)"), gr.tree(parents=[2, 2, -1])),
    (gr.tree("(X a b)"), gr.dag([[0, 1], [2, 2]])),
    (gr.dag([[0, 1, 0], [1, 2, 2]]), gr.dag([[1, 2, 1], [2, 0, 0]])),  # renumbered
]

DIFFERENT = [
    gr.chain(3),
    gr.chain(4),
    gr.chains([3, 1]),
    gr.chains([2, 2]),
    gr.tree("(X a b)"),
    gr.tree("(X a (Y b c))"),
    gr.tree("(X (Y b c) a)"),
    gr.dag([[0, 0], [1, 1]]),
    gr.chain(3).replace(slot=torch.tensor([0, 1])),
    gr.chain(3).replace(relation=torch.tensor([0, 0])),
    gr.chain(3).replace(relation=torch.tensor([0, 1])),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_equal_schedules(one, other):
    assert gr.schedule(one) == gr.schedule(other)
    assert with_initial(gr.schedule(one)) == with_initial(gr.schedule(other))


def test_unequal_schedules():
    plans = [gr.schedule(s) for s in DIFFERENT]
    plans += [gr.schedule(gr.chain(3), "sync", 3), gr.schedule(gr.chain(3), "sync", 2)]
    plans += [with_initial(gr.schedule(gr.chain(3)))]
    for i, one in enumerate(plans):
        for j, other in enumerate(plans):
            assert (one == other) == (i == j), (one, other)
    assert plans[0] != "a schedule"


def test_steps_can_be_counted_indexed_and_sliced():
    steps = gr.schedule(gr.chain(4)).steps
    assert len(steps) == 4
    assert [step.number for step in steps] == [0, 1, 2, 3]
    assert steps[-1] == steps[3]
    assert [step.number for step in steps[1:3]] == [1, 2]
    with pytest.raises(IndexError, match="there are 4 steps, got index 4"):
        steps[4]


def test_what_is_derived_has_a_name_of_its_own():
    with pytest.raises(ValueError, match="define it at the top of its module"):
        derived(lambda plan: plan.num_nodes)


def test_edges_of_a_pair_are_kept_for_each_number_of_targets():
    plan = gr.schedule(gr.dag([[3, 3], [0, 1]], 4), "sync", 1)
    assert [pair_csr(plan, targets).num_sources for targets in (2, 3, 2)] == [2, 1, 2]
