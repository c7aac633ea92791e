"""From sparse adjacency matrices, as PyG's layers take them: a row for each target, a column for each source."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary
from torch_geometric.utils import is_sparse, to_edge_index

from ..structure.outside import outside

_remembered = WeakTensorKeyDictionary()


def is_matrix(value: Any) -> bool:
    """Whether this is a sparse matrix of torch, or of torch-sparse."""
    return is_sparse(value)


def edges_of(matrix: Any, num_targets: int, num_sources: int) -> tuple[Tensor, Tensor | None]:
    """`[2, E]` and `[E]`: the edges of a matrix `[num_targets, num_sources]` and their weights, None where all are 1.

    The edge_index is the previous one, if the matrix still has the same entries.

    Raises:
        ValueError: a matrix of another shape, or with more than one number for each edge.
    """
    shape = tuple(matrix.sizes()) if not isinstance(matrix, Tensor) else tuple(matrix.shape)
    if shape != (num_targets, num_sources):
        raise ValueError(
            f"a sparse adjacency matrix has a row for each target and a column for each source, and a number for each "
            f"edge: expected shape [{num_targets}, {num_sources}], got {list(shape)}."
        )
    if isinstance(matrix, Tensor) and matrix.layout == torch.sparse_coo:
        entries = matrix.coalesce()  # (keeps the gradients of the entries, which to_edge_index loses)
        index, weight = entries.indices().detach(), entries.values()
    else:
        index, weight = to_edge_index(matrix)
    index = index.flip(0)
    with outside():
        known = _remembered.get(matrix) if isinstance(matrix, Tensor) else None
        if known is not None and torch.equal(known, index):
            index = known
        elif isinstance(matrix, Tensor):
            _remembered[matrix] = index
    is_weighted = weight is not None and (weight.requires_grad or bool((weight != 1).any()))
    return index, weight if is_weighted else None
