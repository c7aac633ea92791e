"""The C functions of csrc/edges.h on tensors. Each answers None where the library does not take them."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ..clib import library
from .plain import is_batched, is_plain_only

_NUMBER, _ADDRESS = ctypes.c_int64, ctypes.c_void_p


class _EdgeSums(ctypes.Structure):
    _fields_ = (
        *((name, _NUMBER) for name in ("nodes", "edges", "heads", "width")),
        *((name, _ADDRESS) for name in ("begin", "source", "number", "rows", "weight", "sums")),
        *((name, _ADDRESS) for name in ("others", "agreement")),
    )


class _InboxSoftmax(ctypes.Structure):
    _fields_ = (
        *((name, _NUMBER) for name in ("nodes", "edges", "heads")),
        *((name, _ADDRESS) for name in ("begin", "in", "own", "grad", "own_grad", "out", "own_out")),
    )


@cache
def _functions() -> Any:
    """The library with the types of its arguments set, or None."""
    found = library()
    if found is None or not hasattr(found, "graphrec_edge_sums"):
        return None
    for name, struct in (("edge_sums", _EdgeSums), ("inbox_softmax", _InboxSoftmax)):
        function = getattr(found, f"graphrec_{name}")
        function.argtypes = [ctypes.c_int, ctypes.POINTER(struct), ctypes.c_int]
    return found


def library_for(*tensors: Tensor | None) -> Any:
    """The library, if it reads rows such as all of these: plain ones of float or double, in this process' memory.

    Not where a dispatch mode or a tracer wants to see each operation, nor for many gradients at once.
    """
    is_watched = torch._C._len_torch_dispatch_stack() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    if is_watched or is_batched(tensors):
        return None
    for tensor in tensors:
        if tensor is not None and not (
            type(tensor) in (Tensor, nn.Parameter)
            and tensor.is_cpu
            and tensor.dtype in (torch.float32, torch.float64)
            and not is_plain_only(tensor)
        ):
            return None
    return _functions()


def weighed_sums(
    rows: Tensor, weight: Tensor, number: Tensor | None, source: Tensor, begin: Tensor
) -> Tensor | None:
    """`[S, K, W] → [n, K, W]`: the sums over each node's edges of the rows of their sources, with K weights.

    Args:
        rows: `[S, K, W]`.
        weight: `[E, K]`, of the same type.
        number: `[E]`, the row of `weight` that each edge has; None: its own.
        source: `[E]`, edges sorted by the node that they enter.
        begin: `[n]`, the first edge into each node.
    """
    if library_for(rows, weight) is None:
        return None
    rows, weight = rows.contiguous(), weight.contiguous()
    sums = rows.new_empty(len(begin), *rows.shape[1:])
    _call_sums(rows, weight, number, source, begin, sums=sums)
    return sums


def weighed_sums_reversed(
    grad: Tensor, weight: Tensor, number: Tensor, source: Tensor, begin: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor] | None:
    """The gradients of rows `[S, K, W]` and of weights `[E, K]`, with one look at each row of the sums' gradient.

    Args:
        grad: `[n, K, W]`, of the sums.
        weight, rows: as they were given.
        number, source, begin: of the edges from targets back to sources.
    """
    if library_for(grad, weight, rows) is None:
        return None
    rows, weight = rows.contiguous(), weight.contiguous()
    of_rows, of_weight = torch.empty_like(rows), torch.empty_like(weight)
    _call_sums(grad.contiguous(), weight, number, source, begin, of_rows, rows, of_weight)
    return of_rows, of_weight


def _call_sums(
    rows: Tensor,
    weight: Tensor,
    number: Tensor | None,
    source: Tensor,
    begin: Tensor,
    sums: Tensor,
    others: Tensor | None = None,
    agreement: Tensor | None = None,
) -> None:
    _, heads, width = rows.shape
    tensors = (begin, source, number, rows, weight, sums, others, agreement)
    call = _EdgeSums(len(begin), len(source), heads, width, *map(_address, tensors))
    _check(_functions().graphrec_edge_sums(rows.dtype == torch.float64, call, torch.get_num_threads()))


def softmax(
    begin: Tensor, scores: Tensor, own: Tensor | None, grads: tuple[Tensor, Tensor | None] | None = None
) -> tuple[Tensor, Tensor | None]:
    """`[E, K], [n, K] → [E, K], [n, K]`: softmax over inboxes, or of scores' gradients where shares' are given.

    Args:
        begin: `[n]`, the first edge into each node.
        scores, own: `[E, K]` and `[n, K]` (None: inboxes alone); where there are `grads`, the shares.
        grads: of the shares.
    """
    scores, own = scores.contiguous(), None if own is None else own.contiguous()
    of_edges, of_own = (None, None) if grads is None else grads
    of_edges = None if of_edges is None else of_edges.contiguous()
    of_own = None if of_own is None else of_own.contiguous()
    out, own_out = torch.empty_like(scores), None if own is None else torch.empty_like(own)
    tensors = (begin, scores, own, of_edges, of_own, out, own_out)
    call = _InboxSoftmax(len(begin), *scores.shape, *map(_address, tensors))
    _check(_functions().graphrec_inbox_softmax(scores.dtype == torch.float64, call, torch.get_num_threads()))
    return out, own_out


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _check(status: int) -> None:
    if status:
        raise RuntimeError("sums over edges: threads could not be started.")
