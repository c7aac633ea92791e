"""Padded tensors, packed sequences and lists come in and go out without loss."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence, pad_sequence

import graphrec as gr

lengths = st.lists(st.integers(0, 5), min_size=1, max_size=4).filter(any)
full_lengths = st.lists(st.integers(1, 5), min_size=1, max_size=4)


def members_of(sizes):
    rows = torch.arange(2.0 * sum(sizes)).view(-1, 2).requires_grad_()
    return rows, list(rows.split(sizes))


@given(sizes=lengths)
def test_lists(sizes):
    rows, members = members_of(sizes)
    x, s = gr.from_list(members)
    assert s == gr.chains(sizes)
    assert torch.equal(x, rows)
    assert all(map(torch.equal, gr.to_list(x, s), members))


@pytest.mark.parametrize("batch_first", [True, False])
@given(sizes=lengths)
def test_padded(batch_first, sizes):
    rows, members = members_of(sizes)
    padded = pad_sequence(members, batch_first=batch_first, padding_value=-1.0)
    x, s = gr.from_padded(padded, sizes, batch_first)
    assert s == gr.chains(sizes)
    assert torch.equal(x, rows)
    back, found = gr.to_padded(x, s, batch_first, padding_value=-1.0)
    assert torch.equal(back, padded)
    assert found.tolist() == sizes
    (back * back.detach()).sum().backward()
    assert torch.equal(rows.grad, rows)  # padding passes no gradient, and nothing is passed twice


@given(sizes=full_lengths, sort=st.booleans())
def test_packed(sizes, sort):
    sizes = sorted(sizes, reverse=True) if sort else sizes
    rows, members = members_of(sizes)
    packed = pack_sequence(members, enforce_sorted=sort)
    x, s = gr.from_packed(packed)
    assert s == gr.chains(sizes)
    assert torch.equal(x, rows)
    like = gr.to_packed(x, s, like=packed)
    assert torch.equal(like.data, packed.data)
    again, t = gr.from_packed(gr.to_packed(x, s))
    assert t == s
    assert torch.equal(again, rows)


@given(sizes=lengths, shuffle=st.randoms(use_true_random=False))
def test_nodes_in_any_order_come_out_in_the_order_of_the_chain(sizes, shuffle):
    s = gr.chains(sizes)
    number = list(range(s.num_nodes))
    shuffle.shuffle(number)
    number = torch.tensor(number)
    graph = torch.empty_like(s.graph)
    graph[number] = s.graph
    shuffled = gr.dag(number[s.edge_index], s.num_nodes).replace(graph=graph, num_graphs=len(sizes))
    rows, members = members_of(sizes)
    x = torch.empty_like(rows).index_copy(0, number, rows)
    assert all(map(torch.equal, gr.to_list(x, shuffled), members))
    assert torch.equal(gr.to_padded(x, shuffled)[0], pad_sequence(members, batch_first=True))


def test_a_reversed_chain_comes_out_from_its_end():
    x, s = gr.from_list([torch.tensor([[1.0], [2.0], [3.0]])])
    assert gr.to_list(x, s.reverse())[0].flatten().tolist() == [3, 2, 1]


def test_batches_of_one_shape_share_their_structure():
    assert gr.from_padded(torch.zeros(2, 3, 1)).s is gr.from_padded(torch.ones(2, 3, 1)).s


def test_a_structure_made_in_inference_mode_can_be_trained_on():
    x, model = torch.ones(7, 3, 1), gr.Sequences(gr.GRU(1, 2))
    with torch.inference_mode():
        seen = model(x)[0]
    h = model(x)[0]
    h.sum().backward()
    assert torch.equal(h, seen)
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


tree = gr.tree("(a (b c) d)")
REFUSED = {
    "a tree": (lambda: gr.to_list(torch.zeros(tree.num_nodes, 1), tree), "batch of chains"),
    "a chain through two graphs": (
        lambda: gr.to_padded(
            torch.zeros(3, 1), dataclasses.replace(gr.chain(3), graph=torch.tensor([0, 1, 1]), num_graphs=2)
        ),
        "batch of chains",
    ),
    "isolated nodes": (
        lambda: gr.to_list(torch.zeros(3, 1), gr.dag(torch.zeros(2, 0, dtype=torch.long), 3)),
        "batch of chains",
    ),
    "lags": (lambda: gr.to_padded(torch.zeros(3, 1), gr.lagged([3], 2)), "batch of chains"),
    "too few rows": (lambda: gr.to_padded(torch.zeros(2, 1), gr.chain(3)), "expected 3"),
    "too little time": (
        lambda: gr.to_padded(torch.zeros(3, 1), gr.chain(3), time=2),
        "does not fit into time=2",
    ),
    "an empty sequence, packed": (
        lambda: gr.to_packed(torch.zeros(3, 1), gr.chains([3, 0])),
        "number 1 has no nodes",
    ),
    "packed like something else": (
        lambda: gr.to_packed(torch.zeros(3, 1), gr.chain(3), like=pack_sequence([torch.zeros(2, 1)])),
        "lengths of s",
    ),
    "lengths too many": (lambda: gr.from_padded(torch.zeros(2, 3, 1), [1, 2, 3]), "expected 2, got 3"),
    "lengths too long": (
        lambda: gr.from_padded(torch.zeros(2, 3, 1), [1, 4]),
        "sequence 1 cannot have length 4",
    ),
    "negative lengths": (lambda: gr.from_padded(torch.zeros(2, 3, 1), [1, -4]), "sequence 1 cannot have"),
    "a vector": (lambda: gr.from_padded(torch.zeros(3)), r"padded tensor \[B, T, ...\], got \(3,\)"),
    "no sequences": (lambda: gr.from_list([]), "at least one sequence"),
    "rows of different widths": (
        lambda: gr.from_list([torch.zeros(2, 3), torch.zeros(2, 4)]),
        r"the first has \[3\], number 1 has \[4\]",
    ),
}


@pytest.mark.parametrize(("attempt", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()


@pytest.mark.parametrize("lengths", [[1.5, 2], ["a", 2]])
def test_lengths_that_are_no_whole_numbers(lengths):
    with pytest.raises(TypeError, match="lengths must be whole numbers"):
        gr.from_padded(torch.zeros(2, 3, 1), lengths)


def test_things_that_are_no_sequences():
    with pytest.raises(TypeError, match="use from_padded"):
        gr.from_list(torch.zeros(2, 3))
    with pytest.raises(TypeError, match="PackedSequence, got Tensor"):
        gr.from_packed(torch.zeros(2, 3))
    with pytest.raises(TypeError, match="like must be a PackedSequence, got str"):
        gr.to_packed(torch.zeros(3, 1), gr.chain(3), like="packed")
    with pytest.raises(TypeError, match="got int at 1"):
        gr.from_list([torch.zeros(2), 3])


def test_lists_of_arrays_and_nested_tensors():
    arrays = [np.arange(6.0).reshape(3, 2), np.ones((1, 2), ">f8"), np.arange(4.0).reshape(2, 2)[::-1]]
    arrays[0].flags.writeable = False
    tensors = [torch.tensor(array.tolist(), dtype=torch.float64) for array in arrays]
    x, s = gr.from_list(arrays)
    assert torch.equal(x, torch.cat(tensors))
    assert s == gr.chains([3, 1, 2])
    x, s = gr.from_list(torch.nested.nested_tensor(tensors, layout=torch.jagged))
    assert torch.equal(x, torch.cat(tensors))
    assert s == gr.chains([3, 1, 2])
    x, _ = gr.from_list([arrays[1]])
    x[0] = 7.0
    assert arrays[1][0, 0] == 1.0  # nothing is shared
