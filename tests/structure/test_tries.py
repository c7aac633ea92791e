"""Prefix trees against a dictionary of prefixes; packings, segments and batches of them there and back."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.loader import DataLoader

import graphrec as gr
from tests.tolerances import assert_close

tokens = st.integers(-1, 1)  # few, so that much is shared
sequences = st.lists(st.lists(tokens, max_size=5), max_size=7)
SEQUENCES = [[], [5, 6, 7], [5, 6], [5, 6, 7], [], [5, 8, 6], [9], [5, 6, 7, 5], []]


def assert_same(one, other):
    assert one.structure == other.structure
    assert torch.equal(gr.levels(one.structure), gr.levels(other.structure))
    for name in ("node", "lengths", "counts"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert (one.token is None) == (other.token is None)
    assert one.token is None or torch.equal(one.token, other.token)


def check(trie, members, graphs):
    """`members` are the sequences, `graphs` the graph of each: a node is a prefix, as they first come to it."""
    number, of_row = {}, []
    for graph, member in zip(graphs, members, strict=True):
        for end in range(1, len(member) + 1):
            of_row.append(number.setdefault((graph, *member[:end]), len(number)))
    assert trie.num_nodes == len(number)
    assert trie.node.tolist() == of_row
    assert trie.token.tolist() == [prefix[-1] for prefix in number]
    parent = [number.get(prefix[:-1], -1) for prefix in number]
    assert trie.parent.tolist() == parent
    assert trie.position.tolist() == [len(prefix) - 2 for prefix in number]
    assert trie.structure.graph.tolist() == [prefix[0] for prefix in number]
    assert trie.ends.tolist() == [number.get((g, *m), -1) for g, m in zip(graphs, members, strict=True)]
    assert trie.lengths.tolist() == list(map(len, members))
    assert trie.graph.tolist() == graphs
    assert trie.sequences == gr.chains(list(map(len, members)))
    assert trie.expand(trie.token).tolist() == [token for member in members for token in member]
    # Checked as a caller's structure is, with levels found anew.
    s = gr.dag(
        torch.tensor([(p, v) for v, p in enumerate(parent) if p >= 0], dtype=torch.long).view(-1, 2).t(),
        len(parent),
    )
    assert trie.structure.replace(graph=s.graph, num_graphs=1) == s
    assert torch.equal(gr.levels(trie.structure), gr.levels(s))


@given(sequences)
def test_a_node_is_a_prefix(members):
    trie = gr.trie(members)
    check(trie, members, [0] * len(members))
    assert_same(trie, gr.trie([torch.tensor(member, dtype=torch.int32) for member in members]))
    assert_same(trie, gr.trie([np.array(member, dtype=np.int64) for member in members]))


@pytest.mark.parametrize(
    "members", [SEQUENCES, SEQUENCES[1:-1], [[], []], [], [[3]], [[2**62, -(2**62)], [2**62]]]
)
def test_empty_sequences_and_prefixes_of_others(members):
    check(gr.trie(members), members, [0] * len(members))


@given(st.lists(st.tuples(st.lists(tokens, max_size=3), sequences), max_size=4))
def test_prompts_with_branches(groups):
    prompts, branches = [prompt for prompt, _ in groups], [branch for _, branch in groups]
    members = [prompt + branch for prompt, group in groups for branch in group]
    graphs = [number for number, (_, group) in enumerate(groups) for _ in group]
    trie = gr.Trie.from_branches(prompts, branches)
    check(trie, members, graphs)
    assert trie.counts.tolist() == list(map(len, branches))
    # The same as its prompts alone, side by side.
    alone = [gr.trie([prompt + branch for branch in group]) for prompt, group in groups]
    if alone:
        assert_same(gr.Trie.batch(alone), trie)


def test_a_tensor_is_a_row_of_tokens_per_sequence():
    rows = torch.tensor([[1, 2, 3], [1, 2, 4]])
    assert_same(gr.trie(rows), gr.trie(rows.tolist()))
    assert_same(gr.trie(rows.numpy()), gr.trie(rows.tolist()))


def test_without_common_prefixes_it_is_chains():
    trie = gr.trie([[0, 1], [], [1, 1, 1]])
    chains = gr.chains([2, 0, 3])
    assert trie.structure == chains.replace(graph=torch.zeros(5, dtype=torch.long), num_graphs=1)


@given(sequences)
def test_packings_there_and_back(members):
    trie = gr.trie(members)
    assert_same(gr.Trie.from_parents(trie.parent, trie.token, trie.ends, trie.position), trie)


def test_by_default_a_packing_has_a_sequence_per_leaf():
    trie = gr.Trie.from_parents([-1, 0, 1, 1, 0, -1], position=[0, 1, 2, 2, 1, 0])
    assert trie.ends.tolist() == [2, 3, 4, 5]
    assert trie.node.tolist() == [0, 1, 2, 0, 1, 3, 0, 4, 5]
    assert trie.token is None
    # Equal tokens are not merged, and nodes may be in no sequence.
    trie = gr.Trie.from_parents([-1, 0, 0, 2], token=[4, 5, 5, 6], ends=[1, -1, 1])
    assert (trie.num_nodes, trie.lengths.tolist(), trie.node.tolist()) == (4, [2, 0, 2], [0, 1, 0, 1])
    assert trie.fold(torch.ones(4)).tolist() == [2, 2, 0, 0]
    assert trie.fold(torch.ones(4), "mean").tolist() == [1, 1, 0, 0]


def test_segments():
    # 0 - - (1 -, 2 empty (3 -), 4 -); an empty one at the root, continued; a root that is empty and ends.
    trie = gr.Trie.from_segments([3, 2, 0, 1, 1, 0, 2, 0], [-1, 0, 0, 2, 0, -1, 5, -1], token=range(9))
    assert trie.parent.tolist() == [-1, 0, 1, 2, 3, 2, 2, -1, 7]
    assert trie.ends.tolist() == [4, 5, 6, 8, -1]
    assert trie.lengths.tolist() == [5, 4, 4, 2, 0]
    inner = gr.Trie.from_segments([3, 2, 0], [-1, 0, 0], ends=[0, 1, 2, 0, -1])
    assert inner.ends.tolist() == [2, 4, 2, 2, -1]


@given(st.data())
def test_segments_of_random_lengths(data):
    lengths = data.draw(st.lists(st.integers(0, 3), max_size=6))
    parents = [data.draw(st.integers(-1, i - 1)) for i in range(len(lengths))]
    ends = data.draw(st.none() | st.lists(st.integers(-1, len(lengths) - 1), max_size=5))
    trie = gr.Trie.from_segments(lengths, parents, ends=ends)

    number = iter(range(sum(lengths)))
    own = [[next(number) for _ in range(length)] for length in lengths]
    whole: dict[int, list[int]] = {-1: []}
    for i, parent in enumerate(parents):
        whole[i] = whole[parent] + own[i]
    ends = [i for i in range(len(lengths)) if i not in parents] if ends is None else ends
    assert trie.lengths.tolist() == [len(whole[end]) for end in ends]
    assert trie.node.tolist() == [node for end in ends for node in whole[end]]
    parent = {
        node: path[-2] if len(path) > 1 else -1
        for p in whole.values()
        for path in [p[: k + 1] for k in range(len(p))]
        for node in path[-1:]
    }
    assert trie.parent.tolist() == [parent[node] for node in range(trie.num_nodes)]


@given(sequences, st.sampled_from([(), (1,), (2, 3), (0,)]))
def test_folding_is_the_transpose_of_expanding(members, shape):
    trie = gr.trie(members)
    h = torch.randn(trie.num_nodes, *shape, dtype=torch.float64, requires_grad=True)
    values = torch.randn(trie.num_rows, *shape, dtype=torch.float64, requires_grad=True)
    rows, folded = trie.expand(h), trie.fold(values)
    dense = torch.zeros(trie.num_rows, trie.num_nodes, dtype=torch.float64)
    dense[torch.arange(trie.num_rows), trie.node] = 1
    assert_close(rows, torch.tensordot(dense, h, 1))
    assert_close(folded, torch.tensordot(dense.t(), values, 1))
    assert_close((rows * values).sum(), (h * folded).sum())
    upstream = torch.randn_like(rows)
    assert_close(torch.autograd.grad(rows, h, upstream)[0], trie.fold(upstream))
    upstream = torch.randn_like(folded)
    assert_close(torch.autograd.grad(folded, values, upstream)[0], trie.expand(upstream))
    assert_close(trie.fold(trie.expand(h), "mean"), h)


def test_folding_counts():
    """Sums of whole numbers are long, however small their dtype is."""
    trie = gr.trie([[1, 2]] * 300)
    for dtype in (torch.bool, torch.uint8, torch.int16):
        assert trie.fold(torch.ones(trie.num_rows, dtype=dtype)).tolist() == [300, 300]


def test_folding_nothing():
    trie = gr.trie([[1, 2], [1]])
    nothing = torch.zeros(trie.num_rows, 0, requires_grad=True)
    for values in (nothing, nothing.detach()):
        assert trie.fold(values).shape == (trie.num_nodes, 0)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors(layout):
    members = [torch.tensor(tokens) for tokens in ([1, 2, 3], [1, 2])]
    assert_same(gr.trie(torch.nested.nested_tensor(members, layout=layout)), gr.trie(members))


def test_second_derivatives_and_gradcheck():
    trie = gr.trie(SEQUENCES)
    h = torch.randn(trie.num_nodes, 2, dtype=torch.float64, requires_grad=True)
    values = torch.randn(trie.num_rows, 2, dtype=torch.float64, requires_grad=True)
    for function, given_ in (
        (lambda h: trie.expand(h).pow(3), h),
        (lambda v: trie.fold(v).pow(3), values),
        (lambda v: trie.fold(v, "mean").pow(3), values),
    ):
        assert torch.autograd.gradcheck(function, given_)
        assert torch.autograd.gradgradcheck(function, given_)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.long, torch.complex64])
def test_every_dtype(dtype):
    trie = gr.trie(SEQUENCES)
    ones = torch.ones(trie.num_rows, dtype=dtype)
    count = torch.bincount(trie.node, minlength=trie.num_nodes).to(dtype)
    assert torch.equal(trie.fold(ones), count)
    assert torch.equal(trie.expand(count), count[trie.node])


def test_inside_transforms_and_without_values():
    trie = gr.trie(SEQUENCES)
    h = torch.randn(3, trie.num_nodes, 2)
    many = torch.func.vmap(lambda h: trie.fold(trie.expand(h)))(h)
    assert_close(many, torch.stack([trie.fold(trie.expand(one)) for one in h]))
    _, tangent = torch.func.jvp(trie.expand, (h[0],), (h[1],))
    assert_close(tangent, trie.expand(h[1]))
    assert trie.expand(torch.empty(trie.num_nodes, 2, device="meta")).shape == (trie.num_rows, 2)
    assert trie.fold(torch.empty(trie.num_rows, 2, device="meta")).shape == (trie.num_nodes, 2)
    assert trie.last(torch.empty(trie.num_nodes, 2, device="meta")).shape == (len(SEQUENCES), 2)
    # Made and first used inside a transform, it serves outside.
    found = {}

    def inside(h):
        found["trie"] = gr.trie(torch.tensor([[1, 2], [1, 3]]))
        return found["trie"].expand(h).sum()

    torch.func.vmap(torch.func.grad(inside))(torch.randn(2, 3))
    h = torch.randn(3, requires_grad=True)
    found["trie"].expand(h).sum().backward()
    assert h.grad.tolist() == [2, 1, 1]


def test_padded_and_readouts_of_sequences():
    trie = gr.trie(SEQUENCES)
    h = torch.randn(trie.num_nodes, 2)
    padded, lengths = gr.to_padded(trie.expand(h), trie.sequences)
    assert padded.shape == (9, 4, 2)
    assert torch.equal(lengths, trie.lengths)
    assert torch.equal(padded[3, 2], h[trie.ends[3]])
    assert_close(gr.readout.sum(trie.expand(h), trie.sequences), padded.sum(1))


def test_last_states():
    trie = gr.Trie.from_branches([[1, 2], [], [3]], [[[3], []], [[], [1]], []])
    assert trie.ends.tolist() == [2, 1, -1, 3]
    h = torch.randn(trie.num_nodes, 2)
    nothing = torch.zeros(2)
    assert torch.equal(trie.last(h), torch.stack([h[2], h[1], nothing, h[3]]))
    initial = torch.randn(3, 2)
    assert torch.equal(trie.last(h, initial), torch.stack([h[2], h[1], initial[1], h[3]]))
    assert torch.equal(trie.last(h, initial[:1]), torch.stack([h[2], h[1], initial[0], h[3]]))
    State = gr.LSTMCell.State
    both = trie.last(State(h, 2 * h), State(initial, 3 * initial))
    assert isinstance(both, State)
    assert torch.equal(both.c, torch.stack([2 * h[2], 2 * h[1], 3 * initial[1], 2 * h[3]]))
    assert torch.equal(trie.last(State(h, h)).c, trie.last(h))


def test_batches_by_loaders_of_torch_and_pyg():
    members = [
        gr.trie(SEQUENCES),
        gr.trie([]),
        gr.trie([[1, 1], [1]]),
        gr.Trie.from_branches([[4], [1]], [[[2]], []]),
    ]
    whole = gr.Trie.batch(members)
    assert whole.counts.tolist() == [9, 0, 2, 1, 0]
    assert whole.ends.tolist()[9:] == [8, 7, 10]
    (found,) = torch.utils.data.DataLoader(members, batch_size=4)
    assert_same(found, whole)
    data = [trie.to_pyg() for trie in members[:3]]  # (a sample of PyG is one graph)
    for loader in (DataLoader, gr.DataLoader):
        (found,) = loader(data, batch_size=3)
        assert_same(gr.Trie.from_pyg(found), gr.Trie.batch(members[:3]))
    for trie in (*members, whole):
        assert_same(gr.Trie.from_pyg(trie.to_pyg()), trie)
    bare = gr.Trie.from_parents([-1, 0, 0])
    assert_same(gr.Trie.from_pyg(bare.to_pyg()), bare)
    assert_same(gr.Trie.batch([bare]), bare)
    assert gr.Trie.batch([]).num_rows == 0


def test_copies():
    trie = gr.trie(SEQUENCES)
    trie.expand(torch.randn(trie.num_nodes))
    for other in (copy.deepcopy(trie), pickle.loads(pickle.dumps(trie)), trie.to("cpu")):
        assert_same(other, trie)
    assert repr(trie) == "Trie(sequences=9, rows=16, nodes=7)"


def test_no_loop_over_tokens():
    prompt = list(range(9_900))
    members = [[*prompt, *range(branch, branch + 100)] for branch in range(32)]
    lines = 0

    def count(*_):
        nonlocal lines
        lines += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        trie = gr.trie(members)
        again = gr.Trie.from_parents(trie.parent, trie.token, trie.ends)
    finally:
        sys.settrace(before)
    assert lines < 5_000  # for 320,000 tokens
    assert (trie.num_rows, trie.num_nodes) == (320_000, 9_900 + 32 * 100)
    assert torch.equal(again.node, trie.node)
