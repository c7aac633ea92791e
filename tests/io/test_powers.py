"""Chebyshev polynomials and powers of random walks are those of dense matrices, and PyG's convolution."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.nn import ChebConv

import graphrec as gr
from tests.tolerances import assert_close


@st.composite
def weighted(draw, both_ways=False):
    """A graph with weights; some nodes without edges, loops, edges that are there twice, weights of 0."""
    size = draw(st.integers(0, 5))
    nodes = st.integers(0, size - 1)
    ends = draw(st.lists(st.tuples(nodes, nodes), max_size=8)) if size else []
    weight = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=len(ends), max_size=len(ends)))
    if both_ways:
        ends, weight = ends + [(v, u) for u, v in ends], weight * 2
    edge_index = torch.tensor(ends, dtype=torch.long).view(-1, 2).t()
    return gr.dag(edge_index, size, edge_weight=torch.tensor(weight, dtype=torch.double))


def dense(s):
    """W `[N, N]`, W_ij the weight of i → j."""
    matrix = torch.zeros(s.num_nodes, s.num_nodes, dtype=torch.double)
    return matrix.index_put((s.source, s.target), s.edge_weight, accumulate=True)


def matrices(s):
    """A matrix for each relation, which multiplies a column of states: row v is what v receives."""
    count = len(s.relation_names)
    found = torch.zeros(count, s.num_nodes, s.num_nodes, dtype=torch.double)
    return found.index_put((s.relation, s.target, s.source), s.edge_weight.double(), accumulate=True)


@settings(max_examples=30)
@given(weighted(), st.integers(1, 4))
def test_diffusion(s, k):
    W = dense(s)
    found = gr.diffusion(s, k)
    walks = []
    for matrix in (W, W.t()):
        degree = matrix.sum(1, keepdim=True)
        walks.append(torch.where(degree > 0, matrix / degree, 0 * matrix))
    powers = [torch.linalg.matrix_power(walk, n) for walk in walks for n in range(1, k)]
    assert_close(matrices(found), torch.stack([torch.eye(s.num_nodes, dtype=torch.double), *powers]))
    assert found.relation_names[0] == "I"
    assert len(found.relation_names) == 2 * k - 1


@settings(max_examples=30)
@given(weighted(both_ways=True), st.integers(1, 4), st.sampled_from([2.0, 1.5]))
def test_chebyshev_is_pygs(s, k, largest):
    """Also an oracle: the polynomials are those of the recurrence, on the Laplacian that PyG computes."""
    found = matrices(gr.chebyshev(s, k, largest))
    size = s.num_nodes
    conv = ChebConv(size, size, k, bias=False).double()
    for n in range(k if size else 0):
        for number, lin in enumerate(conv.lins):
            lin.weight.data = torch.eye(size, dtype=torch.double) * (number == n)
        bound = torch.tensor(largest, dtype=torch.double)
        one = torch.eye(size, dtype=torch.double)
        assert_close(found[n], conv(one, s.edge_index, s.edge_weight, lambda_max=bound).detach())


def test_chebyshev_by_hand():
    """Two nodes: L~ swaps them, with a minus, and T_2 = 2 L~^2 - 1 is the identity."""
    s = gr.chebyshev(gr.dag([[0, 1, 1], [1, 0, 1]], 2), 3)
    swap = torch.tensor([[0.0, -1.0], [-1.0, 0.0]], dtype=torch.double)
    one = torch.eye(2, dtype=torch.double)
    assert_close(matrices(s), torch.stack([one, swap, one]))
    assert s.relation_names == ("T_0", "T_1", "T_2")
    assert s.num_edges == 6  # what is zero is no edge
    assert s.edge_weight.dtype == torch.float32


def test_of_a_batch_is_a_batch_of_them():
    graphs = [gr.dag([[0, 1], [1, 0]], 2), gr.dag([[0, 1, 2, 1], [1, 0, 1, 2]], 3)]
    for make in (gr.chebyshev, gr.diffusion):
        together, alone = make(gr.batch(graphs), 3), gr.batch([make(g, 3) for g in graphs])
        assert torch.equal(matrices(together), matrices(alone))
        assert torch.equal(together.graph, alone.graph)


RING = gr.dag([[0, 1, 2], [1, 2, 0]], 3)
REFUSED = {
    "k": (lambda: gr.diffusion(RING, 0), "k must be 1 or more"),
    "one way": (lambda: gr.chebyshev(RING, 2), "undirected graph.*nodes 0 and 1|undirected graph.*nodes"),
    "another weight back": (
        lambda: gr.chebyshev(gr.dag([[0, 1], [1, 0]], 2, edge_weight=torch.tensor([1.0, 2.0])), 2),
        "nodes 0 and 1 differ|nodes 1 and 0 differ",
    ),
    "negative": (
        lambda: gr.diffusion(RING.replace(edge_weight=torch.tensor([1.0, -1.0, 1.0])), 2),
        "got -1.0 for edge 1",
    ),
    "nan": (
        lambda: gr.diffusion(RING.replace(edge_weight=torch.tensor([1.0, 1.0, torch.nan])), 2),
        "got nan for edge 2",
    ),
    "relations": (lambda: gr.diffusion(RING.replace(relation=torch.tensor([0, 1, 0])), 2), "have relation"),
    "features": (lambda: gr.diffusion(RING.replace(edge_attr=torch.ones(3, 2)), 2), "have edge_attr"),
    "learnt": (
        lambda: gr.diffusion(RING.replace(edge_weight=torch.ones(3, requires_grad=True)), 2),
        "require grad",
    ),
    "eigenvalue": (lambda: gr.chebyshev(RING, 2, 0.0), "largest must be a number above 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()


def test_another_thing_is_refused():
    with pytest.raises(TypeError, match=r"graphrec\.dag"):
        gr.diffusion(torch.zeros(2, 0), 2)
