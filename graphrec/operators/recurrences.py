"""Linear recurrences over graphs without cycles, h_v = term_v + sum_e factor_e * h_source(e), with derivatives.

The derivative goes along the reversed edges with the same factors, so that each of two functions is the other's
derivative, and there are derivatives of any order. Natively (csrc/recurrence.h) nodes come one after the other; in
PyTorch states are found in few passes over all of them (`recurrence_passes`).
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from .csr import send_and_sum
from .edges import library_for
from .recurrence_edges import RecurrenceEdges
from .recurrence_passes import scan

_NUMBER, _ADDRESS = ctypes.c_int64, ctypes.c_void_p
_COMMON, _OF_TARGET, _OF_EDGE = range(3)
_MOST_CHUNKS = 4


class _Recurrence(ctypes.Structure):
    _fields_ = (
        *((name, _NUMBER) for name in ("nodes", "given", "edges", "width", "chunks", "factor_of", "backwards")),
        ("order", _ADDRESS),
        ("descending", _NUMBER),
        *((name, _ADDRESS) for name in ("begin", "source", "number", "factor", "term")),
        *((name, _NUMBER) for name in ("factor_stride", "term_stride")),
        *((name, _ADDRESS) for name in ("given_state", "state", "of_given", "in_begin", "in_source", "in_number")),
        *((name, _ADDRESS) for name in ("multiplied", "given_multiplied", "of_factor")),
    )  # fmt: skip


def recurrence(
    factor: Tensor, term: Tensor, given: Tensor, edges: RecurrenceEdges, by_edge: bool = False
) -> Tensor:
    """`[N, H]`: h_v = term_v + the sum over the edges e into v of factor_e * h_source(e).

    Args:
        factor: of each edge's target, `[N, H]`, or with `by_edge` of each edge, `[E, H]`; or common to all, `[1, H]`;
            or in place of H blocks of chunks, `[., k, k, H / k]`: chunk a of the product is the sum over b of
            `factor[:, a, b]` times chunk b.
        term: `[N, H]`.
        given: `[K, H]`, states that are given, sources with the numbers from N on.
        edges: which edges there are, and in which order nodes can be computed.
        by_edge: whether the factor has a row for each edge.
    """
    return _Forwards.apply(factor, term, given, edges, by_edge)


class _Forwards(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, factor: Tensor, term: Tensor, given: Tensor, edges: RecurrenceEdges, by_edge: bool
    ) -> Tensor:
        ctx.edges, ctx.by_edge = edges, by_edge
        h = _natively(factor, term, given, edges, by_edge)
        h = scan(factor, term, given, edges, by_edge) if h is None else h
        ctx.save_for_backward(factor, given, h)
        return h

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        (factor, given, h), edges, by_edge = ctx.saved_tensors, ctx.edges, ctx.by_edge
        wanted = ctx.needs_input_grad[0]
        if not torch.is_grad_enabled():
            found = _reversed_natively(factor, grads[0], edges, by_edge, (h, given) if wanted else None)
            if found is not None:
                of_term, of_given, of_factor = found
                return of_factor, of_term, of_given, None, None
        of_term, of_given = _Backwards.apply(factor, grads[0], edges, by_edge)
        of_factor = _of_factor(factor, of_term, h, given, edges, by_edge) if wanted else None
        return of_factor, of_term, of_given, None, None


class _Backwards(torch.autograd.Function):
    """The same along reversed edges: from gradients of states to those of terms, and of given states."""

    @staticmethod
    def forward(
        ctx: Any, factor: Tensor, grad: Tensor, edges: RecurrenceEdges, by_edge: bool
    ) -> tuple[Tensor, Tensor]:
        ctx.edges, ctx.by_edge = edges, by_edge
        found = _reversed_natively(factor, grad, edges, by_edge, None)
        of_term, of_given = found[:2] if found is not None else scan_back(factor, grad, edges, by_edge)
        ctx.save_for_backward(factor, of_term)
        return of_term, of_given

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        (factor, of_term), edges, by_edge = ctx.saved_tensors, ctx.edges, ctx.by_edge
        h = recurrence(factor, grads[0], grads[1], edges, by_edge)
        wanted = ctx.needs_input_grad[0]
        of_factor = _of_factor(factor, of_term, h, grads[1], edges, by_edge) if wanted else None
        return of_factor, h, None, None


def scan_back(factor: Tensor, grad: Tensor, edges: RecurrenceEdges, by_edge: bool) -> tuple[Tensor, Tensor]:
    """In PyTorch: the gradients of terms and of given states."""
    nothing = grad.new_zeros(0, grad.shape[1])
    return scan(factor, grad, nothing, edges, by_edge, backwards=True)


def _of_factor(
    factor: Tensor, of_term: Tensor, h: Tensor, given: Tensor, edges: RecurrenceEdges, by_edge: bool
) -> Tensor:
    """The gradient of the factor, differentiable: what it has multiplied, times the gradients of its targets."""
    rows = torch.cat([h, given])
    if by_edge and factor.shape[0] != 1:
        sent, received = rows.index_select(0, edges.csr.source), of_term.index_select(0, edges.csr.target)
        found = _outer(received, sent, factor)
        return found if edges.number is None else found.index_select(0, edges.place)
    found = _outer(of_term, send_and_sum(rows, edges.csr), factor)
    return found.sum(0, keepdim=True) if factor.shape[0] == 1 else found


def _outer(left: Tensor, right: Tensor, factor: Tensor) -> Tensor:
    """`[n, H], [n, H] -> [n, H]` or `[n, k, k, H / k]`, as the factor is."""
    if factor.dim() == 2:
        return left * right
    left, right = (rows.reshape(-1, *factor.shape[2:]) for rows in (left, right))
    return left.unsqueeze(2) * right.unsqueeze(1)


# ---------------------------------------------------------------------------------------------------------- natively


def _natively(
    factor: Tensor, term: Tensor, given: Tensor, edges: RecurrenceEdges, by_edge: bool
) -> Tensor | None:
    library = _library_for(factor, term, given)
    if library is None:
        return None
    state, given = term.new_empty(term.shape), given.contiguous()
    call = _Call(factor, term, edges, by_edge, backwards=False)
    call.run(library, given_state=given, state=state)
    return state


def _reversed_natively(
    factor: Tensor,
    grad: Tensor,
    edges: RecurrenceEdges,
    by_edge: bool,
    multiplied: tuple[Tensor, Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """The gradients of terms and given states, and where there is what the factor has multiplied, of the factor."""
    library = _library_for(factor, grad, *(multiplied or ()))
    if library is None:
        return None
    of_term, of_given = grad.new_empty(grad.shape), grad.new_empty(edges.num_given, grad.shape[1])
    tensors, of_factor = {"state": of_term, "of_given": of_given}, None
    if multiplied is not None:
        is_common = factor.shape[0] == 1
        of_factor = factor.new_zeros(factor.shape) if is_common else factor.new_empty(factor.shape)
        h, given = (rows.contiguous() for rows in multiplied)
        tensors |= {"multiplied": h, "given_multiplied": given, "of_factor": of_factor}
    _Call(factor, grad, edges, by_edge, backwards=True).run(library, **tensors)
    return of_term, of_given, of_factor


def _library_for(factor: Tensor, *tensors: Tensor) -> Any:
    if factor.dim() == 4 and factor.shape[1] > _MOST_CHUNKS:
        return None
    if any(tensor.dtype != factor.dtype for tensor in tensors):
        return None
    library = library_for(factor, *tensors)
    if library is not None and library.graphrec_recurrence.argtypes is None:
        pointer = ctypes.POINTER(_Recurrence)
        library.graphrec_recurrence.argtypes = [ctypes.c_int, pointer, ctypes.c_int]
    return library


class _Call:
    """The arguments of one call; holds the tensors that they point to."""

    def __init__(
        self, factor: Tensor, term: Tensor, edges: RecurrenceEdges, by_edge: bool, backwards: bool
    ) -> None:
        factor, term = _in_rows(factor), _in_rows(term)
        csr = edges.csr.transposed if backwards else edges.csr
        number = edges.reversed_number if backwards else edges.number_or_own
        of = _COMMON if factor.shape[0] == 1 else _OF_EDGE if by_edge else _OF_TARGET
        self._is_double = factor.dtype == torch.float64
        self._kept = (factor, term, csr, number)
        own = edges.csr
        self._given: dict[str, Any] = {
            "nodes": edges.num_nodes,
            "given": edges.num_given,
            "edges": len(csr.source),
            "width": term.shape[1],
            "chunks": factor.shape[1] if factor.dim() == 4 else 1,
            "factor_of": of,
            "backwards": int(backwards),
            "order": _address(edges.order),
            "descending": int(edges.descending != backwards),
            "begin": _address(csr.offsets),
            "source": _address(csr.source),
            "number": _address(number),
            "factor": _address(factor),
            "term": _address(term),
            "factor_stride": factor.stride(0),
            "term_stride": term.stride(0),
            "in_begin": _address(own.offsets),
            "in_source": _address(own.source),
            "in_number": _address(edges.number_or_own),
        }

    def run(self, library: Any, **tensors: Tensor) -> None:
        addresses = {name: tensor.data_ptr() for name, tensor in tensors.items()}
        call = _Recurrence(**self._given, **addresses)
        if library.graphrec_recurrence(self._is_double, call, torch.get_num_threads()):
            raise RuntimeError(
                "a linear recurrence: there is no memory for it, or threads could not be started."
            )


def _in_rows(tensor: Tensor) -> Tensor:
    """The same numbers, each row without gaps."""
    return tensor if tensor.numel() and tensor[0].is_contiguous() else tensor.contiguous()


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()
