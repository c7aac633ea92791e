"""Rows of positions and rows of nodes: which row is whose, with gradients, and what is refused."""

import pytest
import torch

import graphrec as gr

LENGTHS = [3, 0, 1, 4]
BUILDERS = [gr.balanced, gr.prefix_scan]


def positions_by_hand(s):
    """The first nodes of each graph, as many as its sequence is long."""
    first = torch.bincount(s.graph, minlength=s.num_graphs).cumsum(0) - torch.bincount(s.graph, minlength=4)
    return [int(start) + t for start, length in zip(first, LENGTHS, strict=True) for t in range(length)]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_rows_stand_at_the_positions_and_others_are_zero(build, shape):
    s = build(LENGTHS)
    x = 1 + torch.arange(8).view(-1, *[1] * len(shape)).expand(-1, *shape)
    put = gr.to_positions(x, s)
    assert put.dtype == torch.long
    assert torch.equal(put[positions_by_hand(s)], x)
    assert int((put == 0).view(s.num_nodes, -1).all(1).sum()) == s.num_nodes - 8
    others = torch.full(shape, -1)
    assert torch.equal(gr.to_positions(x, s, others), torch.where(put == 0, -1, put))


def test_prefixes_are_read_in_order():
    s = gr.prefix_scan(LENGTHS)
    h = torch.randn(s.num_nodes, 2)
    size = torch.bincount(s.graph, minlength=4).tolist()
    parts = h.split(size)
    expected = [part[len(part) - length :] for part, length in zip(parts, LENGTHS, strict=True)]
    assert torch.equal(gr.from_prefixes(h, s), torch.cat(expected))
    assert torch.equal(gr.from_prefixes(h, gr.to_pyg(s)), torch.cat(expected))


@pytest.mark.parametrize("build", BUILDERS)
def test_gradients_reach_rows_and_the_row_of_the_others(build):
    s = build(LENGTHS)
    x = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    others = torch.randn(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, others: gr.to_positions(x, s, others), (x, others))
    batched = torch.func.vmap(lambda x: gr.to_positions(x, s))(torch.stack([x, 2 * x]))
    assert torch.equal(batched[1], gr.to_positions(2 * x, s))


def test_rows_without_values():
    s = gr.prefix_scan(LENGTHS)
    x = gr.to_positions(torch.zeros(8, 2, device="meta"), s)
    assert x.shape == (s.num_nodes, 2)
    assert gr.from_prefixes(x, s).shape == (8, 2)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_nothing_at_all(lengths):
    x = torch.zeros(0, 2, requires_grad=True)
    for build in BUILDERS:
        s = build(lengths)
        h = gr.TreeLSTM(2, 3, arity=2)(gr.to_positions(x, s), s)
        assert h.shape == (0, 3)
        assert gr.readout.root(h, s).shape == (len(lengths), 3)
    gr.from_prefixes(h, s).sum().backward()


S = gr.balanced([3, 2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: gr.to_positions(torch.zeros(8, 2), S),
            r"expected 5, the sum of the lengths, got shape \[8, 2\]",
        ),
        (lambda: gr.to_positions(torch.tensor(1.0), S), r"one row per position: expected 5"),
        (lambda: gr.to_positions(torch.zeros(5, 2), S, torch.zeros(3)), r"shape \[2\] as .* got \[3\]"),
        (lambda: gr.to_positions(torch.zeros(5, 2), S, torch.zeros(5, 2)), r"shape \[2\] as .* got \[5, 2\]"),
        (
            lambda: gr.to_positions(torch.zeros(5, 2), gr.chain(5)),
            r"'position', as graphrec.balanced or graphrec.prefix_scan makes them, got no names of kinds",
        ),
        (
            lambda: gr.from_prefixes(torch.zeros(8, 2), S),
            r"'prefix', as graphrec.prefix_scan makes them, got kinds position, up",
        ),
        (lambda: gr.from_prefixes(torch.zeros(5, 2), gr.prefix_scan([5])), r"one row per node: expected 15"),
    ],
)
def test_other_rows_and_structures_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_structure_is_refused():
    with pytest.raises(TypeError, match="expected PyG Data, HeteroData or Batch, got list"):
        gr.to_positions(torch.zeros(2, 2), [1, 1])


def test_another_dtype_of_the_others_is_refused():
    """As a parameter has it, where x was computed under autocast."""
    with pytest.raises(
        TypeError, match=r"others must be torch\.bfloat16 on cpu .* got torch\.float32 on cpu"
    ):
        gr.to_positions(torch.zeros(5, 2, dtype=torch.bfloat16), S, torch.zeros(2))
