"""Sums along edges and softmax over inboxes in C++ are those of PyTorch, on every instruction set."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from graphrec.operators import CSR, edges, inbox_softmax, send_and_sum

from ..tolerances import assert_close

DTYPES = (torch.float32, torch.float64)
# Narrow and wide heads, odd ones, and more numbers in a row than fit a strip.
SHAPES = ((1, 1), (1, 5), (1, 64), (1, 70), (2, 3), (3, 2), (8, 8), (4, 6), (5, 1), (2, 40), (20, 4), (70, 3))


def _graph(nodes: int = 40, sources: int = 33, count: int = 300) -> CSR:
    """One node receives many edges, some none, the last node none."""
    draw = torch.Generator().manual_seed(0)
    target = torch.cat(
        [torch.full((count // 2,), 3), torch.randint(nodes - 5, (count // 2,), generator=draw)]
    )
    target = target.sort().values
    source = torch.randint(sources, (len(target),), generator=draw)
    offsets = torch.searchsorted(target, torch.arange(nodes))
    return CSR(source, target, offsets, sources)


def _rows(*shape: int, dtype: torch.dtype, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def _plainly(rows, weight, csr):
    sent = weight.unsqueeze(-1) * rows[csr.source]
    return sent.new_zeros(len(csr.offsets), *sent.shape[1:]).index_add(0, csr.target, sent)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("heads", "width"), SHAPES)
def test_sums_and_their_gradients(edges_library, heads, width, dtype):
    csr = _graph()
    rows, weight = _rows(33, heads, width, dtype=dtype), _rows(300, heads, dtype=dtype)
    upstream = _rows(40, heads, width, dtype=dtype, seed=2).detach()
    found, wanted = send_and_sum(rows, csr, weight), _plainly(rows, weight, csr)
    grads = [torch.autograd.grad(sums, [rows, weight], upstream) for sums in (found, wanted)]
    for one, other in zip([found, *grads[0]], [wanted, *grads[1]], strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("with_own", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (8,), (40,), (2, 5)])
def test_softmax_and_its_gradients(edges_library, shape, dtype, with_own):
    csr = _graph()
    scores, own = _rows(300, *shape, dtype=dtype), _rows(40, *shape, dtype=dtype) if with_own else None
    given = [scores] if own is None else [scores, own]
    made = inbox_softmax(scores, own, csr.offsets, csr.target)
    assert made is not None
    found = [part for part in made if part is not None]
    wanted = _softmax_plainly(scores, own, csr)
    upstream = [_rows(*part.shape, dtype=dtype, seed=2).detach() for part in wanted]
    grads = [torch.autograd.grad(parts, given, upstream) for parts in (found, wanted)]
    for one, other in zip([*found, *grads[0]], [*wanted, *grads[1]], strict=True):
        assert_close(one, other)


def _softmax_plainly(scores, own, csr):
    weight, own_weight = torch.exp(scores), None if own is None else torch.exp(own)
    total = weight.new_zeros(len(csr.offsets), *weight.shape[1:]).index_add(0, csr.target, weight)
    if own_weight is None:
        return [weight / total[csr.target]]
    return [weight / (total + own_weight)[csr.target], own_weight / (total + own_weight)]


def test_second_derivatives(edges_library):
    csr = _graph(nodes=8, sources=4, count=12)
    rows, weight = _rows(4, 2, 3, dtype=torch.float64), _rows(12, 2, dtype=torch.float64)
    own = _rows(8, 2, dtype=torch.float64)

    def step(rows, weight, own):
        share, of_own = inbox_softmax(weight, own, csr.offsets, csr.target) or ()
        return send_and_sum(rows, csr, share), of_own

    assert torch.autograd.gradgradcheck(step, (rows, weight, own))


def test_many_gradients_at_once(edges_library):
    csr = _graph()
    rows, weight = _rows(33, 2, 3, dtype=torch.float64), _rows(300, 2, dtype=torch.float64)
    own, upstream = _rows(40, 2, dtype=torch.float64), torch.randn(4, 40, 2, 3, dtype=torch.float64)
    share, _ = inbox_softmax(weight, own, csr.offsets, csr.target) or ()
    for inputs in ((rows, weight), (rows,), (weight,)):
        sums = send_and_sum(rows, csr, share)
        found = torch.autograd.grad(sums, inputs, upstream, retain_graph=True, is_grads_batched=True)
        for number, grad in enumerate(upstream):
            wanted = torch.autograd.grad(sums, inputs, grad, retain_graph=True)
            for one, other in zip(found, wanted, strict=True):
                assert_close(one[number], other)


def test_nan_and_infinity_stay_in_their_inbox(edges_library):
    csr = _graph()
    scores = _rows(300, 2, dtype=torch.float32).detach().clone()
    scores[200, 0], scores[10, 1] = float("nan"), float("inf")
    share, _ = inbox_softmax(scores, None, csr.offsets, csr.target) or ()
    for edge, column in ((200, 0), (10, 1)):
        same = csr.target == csr.target[edge]
        assert share[edge, column].isnan()
        assert not share[~same, column].isnan().any()
    scores[:] = -float("inf")
    scores[0] = 0
    share, _ = inbox_softmax(scores, torch.zeros(40, 2), csr.offsets, csr.target) or ()
    assert torch.equal(share[1:], torch.zeros_like(share[1:]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_are_the_same_for_any_number_of_threads(edges_library, dtype, monkeypatch):
    csr = _graph(nodes=5000, sources=4000, count=40_000)
    rows, weight = _rows(4000, 4, 8, dtype=dtype), _rows(40_000, 4, dtype=dtype)
    upstream = _rows(5000, 4, 8, dtype=dtype, seed=2).detach()

    def everything():
        share, _ = inbox_softmax(weight, None, csr.offsets, csr.target) or ()
        sums = send_and_sum(rows, csr, share)
        return [share, sums, *torch.autograd.grad(sums, [rows, weight], upstream)]

    one = everything()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert all(map(torch.equal, everything(), one))


def test_other_numbers_are_left_to_torch(edges_library):
    csr = _graph()
    half = torch.randn(300, 2, dtype=torch.bfloat16)
    assert inbox_softmax(half, None, csr.offsets, csr.target) is None
    own = torch.zeros(csr.offsets.shape[0], 1)  # another shape than the scores', which have as many numbers
    assert inbox_softmax(torch.zeros(len(csr.target)), own, csr.offsets, csr.target) is None
    assert edges.library_for(torch.ones(2, device="meta")) is None
    assert edges.library_for(torch.ones(2, dtype=torch.long)) is None
    with FlopCounterMode(display=False):
        assert edges.library_for(torch.ones(2)) is None
    assert torch.func.vmap(lambda x: torch.tensor(edges.library_for(x) is None))(torch.ones(2)).all()
