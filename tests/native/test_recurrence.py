"""Linear recurrences in C++ are those of PyTorch, on every instruction set."""

from __future__ import annotations

import pytest
import torch

import graphrec as gr
from graphrec.operators import recurrences
from graphrec.operators.recurrence_passes import scan
from graphrec.schedule import recurrence_edges, with_initial

from ..tolerances import assert_close

DTYPES = (torch.float32, torch.float64)
# Columns and chunks: fewer and more than a vector has, odd ones.
SHAPES = ((1, 1), (5, 1), (64, 1), (77, 1), (140, 1), (3, 2), (40, 2), (9, 3), (4, 4))


def _edges():
    """A DAG in which numbers neither rise nor fall, with given states."""
    draw = torch.Generator().manual_seed(0)
    ends = torch.randint(40, (2, 90), generator=draw)
    ends = torch.stack([ends.amin(0), ends.amax(0)])[:, ends[0] != ends[1]]
    s = gr.dag(torch.randperm(40, generator=draw)[ends], 40)
    return recurrence_edges(with_initial(gr.schedule(gr.batch([s, gr.chains([30, 5])]))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("columns", "chunks"), SHAPES)
@pytest.mark.parametrize("of", ["node", "edge", "all"])
def test_states_and_gradients(edges_library, of, columns, chunks, dtype):
    e, width = _edges(), columns * chunks
    rows = {"node": e.num_nodes, "edge": len(e.csr.source), "all": 1}[of]
    shape = (rows, width) if chunks == 1 else (rows, chunks, chunks, columns)
    factor = (torch.rand(shape, dtype=dtype) / chunks - 0.2).requires_grad_()
    term = torch.randn(e.num_nodes, width, dtype=dtype, requires_grad=True)
    given = torch.randn(e.num_given, width, dtype=dtype, requires_grad=True)
    # (Rows that lie apart, as slices of a wider tensor do.)
    wide = torch.cat([term, term], 1)[:, :width]
    h = recurrences.recurrence(factor, wide, given, e, of == "edge")
    assert_close(h, scan(factor, term, given, e, of == "edge"))
    upstream = torch.randn_like(h)
    found = torch.autograd.grad(h, [factor, term, given], upstream)
    of_term, of_given = scan(factor, upstream, given[:0], e, of == "edge", backwards=True)
    wanted = recurrences._of_factor(factor, of_term, h, given, e, of == "edge"), of_term, of_given
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other)
