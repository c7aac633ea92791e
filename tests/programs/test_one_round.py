"""One round is the loop's, but for cells with gates on many nodes."""

from __future__ import annotations

import pytest
import torch

import graphrec as gr
from graphrec import clib
from tests.tolerances import assert_close

pytestmark = [
    pytest.mark.chooses,
    pytest.mark.skipif(clib.library() is None, reason="there is no native library"),
]


def _ring(nodes: int) -> gr.Structure:
    node = torch.arange(nodes)
    return gr.dag(torch.stack([node, (node + 1) % nodes]), nodes)


@pytest.mark.parametrize(
    ("cell", "nodes", "backend"),
    [
        (gr.GGNNCell, 2**13, "native"),
        (gr.GGNNCell, 2**10, "loop"),
        (gr.GINCell, 2**13, "loop"),
        (gr.ChildSumTreeLSTMCell, 2**12, "native"),
    ],
)
def test_who_runs_one_round(cell, nodes, backend):
    (choice,) = gr.explain(gr.GNN([cell(32, 32)]), _ring(nodes))
    assert choice.backend == backend


def test_both_do_the_same():
    s, draw = _ring(2**13), torch.Generator().manual_seed(0)
    model = gr.GNN([gr.GGNNCell(32, 32), gr.GGNNCell(32, 32)]).double()
    x = torch.randn(s.num_nodes, 32, dtype=torch.float64, generator=draw, requires_grad=True)
    inputs = [x, *model.parameters()]
    found = [torch.autograd.grad(model(x, s, backend=name).sin().sum(), inputs) for name in (None, "loop")]
    for one, other in zip(*found, strict=True):
        assert_close(one, other)
