"""Schedules made by C are those made by torch, in every attribute; where C refuses, torch's errors are raised."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec as gr
from graphrec import clib
from graphrec.operators import CSR
from graphrec.schedule import out_edges, round_csr, with_initial
from graphrec.structure import native
from tests import strategies
from tests.fuzz.schedules import assert_same, both, no_library

pytestmark = pytest.mark.skipif(clib.library() is None, reason="there is no native library")

acyclic = strategies.acyclic()
anything = strategies.graphs() | acyclic
carrying = strategies.carrying_all(anything)


@given(s=acyclic | strategies.carrying_all(acyclic), initial=st.booleans())
def test_levels_and_async_schedules(s, initial):
    assert_same(*both(gr.levels, s))
    assert_same(*both(lambda s: with_initial(gr.schedule(s)) if initial else gr.schedule(s), s))
    assert_same(*both(lambda s: gr.schedule(s.reverse()), s))
    assert_same(*both(lambda s: out_edges(with_initial(gr.schedule(s)) if initial else gr.schedule(s)), s))


@given(s=anything | carrying)
def test_sync_schedules_and_their_edges(s):
    plan, expected = both(lambda s: gr.schedule(s, "sync", 2), s)
    assert_same(plan, expected)

    def edges(s):
        csr: CSR = round_csr(gr.schedule(s, "sync", 1))
        return csr, csr.perm, csr.transposed, csr.transposed.perm

    assert_same(*both(edges, s))


@given(s=anything | carrying, initial=st.booleans())
def test_iterated_and_ordered_schedules(s, initial):
    def iterated(s):
        plan = gr.schedule(s, cycles="iterate", rounds=2)
        return with_initial(plan) if initial else plan

    assert_same(*both(iterated, s))
    assert_same(*both(lambda s: out_edges(iterated(s)), s))
    assert_same(*both(lambda s: gr.schedule(s, order=gr.colouring, rounds=2), s))


@given(s=anything)
def test_default_slots(s):
    assert_same(*both(lambda s: gr.dag(s.edge_index, s.num_nodes), s))


def test_kinds_slots_and_relations_of_many_bits():
    torch.manual_seed(0)
    edges = torch.randint(300, (2, 5000))
    kind = torch.randint(-(2**62), 2**62, (7,))[torch.randint(7, (300,))]
    s = gr.dag(
        edges, 300, slot=torch.randint(2**31 - 1, (5000,)), kind=kind, relation=torch.randint(9, (5000,))
    )
    assert_same(*both(lambda s: gr.schedule(s, "sync", 1), s))
    s = gr.dag(edges.sort(0).values[:, edges[0] != edges[1]], 300, kind=kind)
    assert_same(*both(gr.schedule, s))


def test_a_cycle_is_named_as_torch_names_it():
    s = gr.dag([[0, 1, 2, 3, 4], [1, 2, 1, 4, 0]])
    with pytest.raises(gr.CycleError) as found:
        gr.schedule(s)
    with no_library(), pytest.raises(gr.CycleError) as expected:
        gr.schedule(s)
    assert str(found.value) == str(expected.value)


def test_edges_that_are_overwritten_with_nonsense_do_not_reach_beyond_the_memory():
    s = gr.dag([[0, 1], [1, 2]])
    s.edge_index[0, 0] = 7  # a structure is immutable, but its tensors are not
    with pytest.raises((IndexError, RuntimeError)):
        gr.schedule(s, "sync", 1)
    assert native.longest_paths(*s.edge_index, 3) is None
    assert native.default_slots(s.edge_index, 3) is None
    assert native.transpose(*s.edge_index, 3) is None


def test_numbers_that_are_not_contiguous():
    pairs = torch.tensor([[0, 2], [1, 2], [2, 3]])
    s = gr.dag(pairs.t(), 4)
    assert_same(*both(gr.schedule, s))


def test_what_c_cannot_read_is_left_to_torch():
    numbers = torch.tensor([0, 1])
    assert native.longest_paths(numbers.int(), numbers.int(), 2) is None
    assert native.order(numbers.to("meta"), None) is None
    assert native.order(numbers, None).perm.tolist() == [0, 1]
