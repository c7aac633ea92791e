"""Matrices of a graph that convolutions multiply by, each as a relation with a weight for each edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..structure import Structure
from ..structure.checks import as_count
from ..structure.outside import made_outside

if TYPE_CHECKING:
    import scipy.sparse as sp


def chebyshev_names(k: int) -> tuple[str, ...]:
    """Of the relations of `chebyshev`."""
    return tuple(f"T_{n}" for n in range(k))


def diffusion_names(k: int) -> tuple[str, ...]:
    """Of the relations of `diffusion`."""
    ways = ("forward", "backward") if k > 1 else ()
    return ("I", *(f"{way} {n}" for way in ways for n in range(1, k)))


@made_outside
def chebyshev(graph: Structure, k: int, largest: float = 2.0) -> Structure:
    """The Chebyshev polynomials T_0, …, T_{k-1} of a graph's scaled Laplacian: k relations with weights.

        T_0 = 1,  T_1 = L~,  T_n = 2 L~ T_{n-1} - T_{n-2}
        L~ = 2 L / largest - 1,  L = 1 - D^{-1/2} W D^{-1/2}

    Defferrard, Bresson & Vandergheynst, *Convolutional neural networks on graphs with fast localized spectral
    filtering*, NIPS 2016, section 2.1. W are the weights, 1 where edges have none; edges from a node to itself do not
    count, parallel ones add up. T_n joins nodes up to n edges apart, so that the number of edges grows with n.

    Args:
        graph: undirected: each edge in both directions, with one weight.
        k: how many polynomials.
        largest: the largest eigenvalue of L, or a bound of it; 2 always is one.

    Raises:
        ValueError: k below 1, a graph whose edges are not the same both ways, negative weights, or edges that carry
            what the polynomials cannot.
    """
    import scipy.sparse as sp

    k = as_count("k", k, 1)
    if not (isinstance(largest, int | float) and 0 < largest < float("inf")):
        raise ValueError(f"largest must be a number above 0, the largest eigenvalue, got {largest!r}.")
    weights = _weights(graph)
    weights = (weights - sp.diags_array(weights.diagonal())).tocsr()
    differ = sp.coo_array(abs(weights - weights.T) > 1e-6 * (weights + weights.T))
    if differ.nnz:
        source, target = (int(ends[0]) for ends in differ.coords)
        raise ValueError(
            f"the Laplacian is that of an undirected graph, but the edges between nodes {source} and {target} differ "
            f"in the two directions: give each edge in both, with one weight, or take graphrec.diffusion."
        )
    degree = np.asarray(weights.sum(1)).ravel()
    root = sp.diags_array(np.where(degree > 0, degree, np.inf) ** -0.5)
    one = sp.eye_array(graph.num_nodes, format="csr")
    scaled = (2 / largest) * (one - root @ weights @ root) - one
    found = [one, scaled]
    for _ in range(2, k):
        found.append(2 * scaled @ found[-1] - found[-2])
    return _as_relations(graph, found[:k], chebyshev_names(k))


@made_outside
def diffusion(graph: Structure, k: int) -> Structure:
    """The powers 0, …, k - 1 of a graph's random walks along its edges and against them: 2 k - 1 relations.

    1,  (D_O^{-1} W)^n,  (D_I^{-1} W^T)^n,  n = 1, …, k - 1

    Li, Yu, Shahabi & Liu, *Diffusion convolutional recurrent neural network*, ICLR 2018, equation (2). W_ij is the
    weight of the edge i → j, 1 where edges have none, and parallel ones add up; D_O are the sums of its rows, and D_I
    of its columns. A row says where a walk from a node is after n steps, so that a node receives the mean over these
    places; where a walk ends, it receives nothing. (The authors' code multiplies by the transposes of both.) Walks of
    n steps join more nodes than there are edges.

    Args:
        graph: directed or not.
        k: how many powers.

    Raises:
        ValueError: k below 1, negative weights, or edges that carry what the powers cannot.
    """
    import scipy.sparse as sp

    k = as_count("k", k, 1)
    weights = _weights(graph)
    found = [sp.eye_array(graph.num_nodes, format="csr")]
    for matrix in (weights, weights.T.tocsr()):
        degree = np.asarray(matrix.sum(1)).ravel()
        walk = sp.diags_array(1 / np.where(degree > 0, degree, np.inf)) @ matrix
        power = walk
        for _ in range(1, k):
            found.append(power)
            power = walk @ power
    return _as_relations(graph, found, diffusion_names(k))


def _weights(graph: Structure) -> sp.csr_array:
    """W `[N, N]`: W_ij is the weight of i → j."""
    import scipy.sparse as sp

    if not isinstance(graph, Structure):
        raise TypeError(
            f"expected a Structure, got {type(graph).__name__}: make one with graphrec.dag(edge_index, num_nodes) or "
            f"graphrec.from_pyg(data)."
        )
    for name in ("relation", "edge_attr"):
        if getattr(graph, name) is not None:
            raise ValueError(
                f"the edges have {name}, which their matrices do not carry: leave it with s.replace({name}=None)."
            )
    weight = graph.edge_weight
    if weight is not None and weight.requires_grad:
        raise ValueError(
            "the weights require grad, but no gradient passes through matrices of them: detach them."
        )
    size = graph.num_nodes
    values = np.ones(graph.num_edges) if weight is None else weight.double().cpu().numpy()
    odd = np.flatnonzero(~((values >= 0) & np.isfinite(values)))
    if len(odd):
        raise ValueError(f"weights must be 0 or more, and finite, got {values[odd[0]]} for edge {odd[0]}.")
    return sp.coo_array((values, tuple(graph.edge_index.cpu().numpy())), (size, size)).tocsr()


def _as_relations(graph: Structure, matrices: Sequence[Any], names: tuple[str, ...]) -> Structure:
    """A relation for each matrix M, with an edge j → i where M_ij is not zero."""
    import scipy.sparse as sp

    parts = []
    for matrix in matrices:
        entries = sp.coo_array(matrix)
        entries.sum_duplicates()
        entries.eliminate_zeros()
        parts.append(entries)
    device = graph.device
    dtype = torch.get_default_dtype() if graph.edge_weight is None else graph.edge_weight.dtype
    ends = np.stack([np.concatenate([part.coords[axis] for part in parts]) for axis in (1, 0)])
    relation = np.repeat(np.arange(len(parts)), [part.nnz for part in parts])
    return Structure(
        graph.num_nodes,
        torch.from_numpy(ends.astype(np.int64)).to(device),
        relation=torch.from_numpy(relation).to(device),
        relation_names=names,
        edge_weight=torch.from_numpy(np.concatenate([part.data for part in parts])).to(device, dtype),
        kind=graph.kind,
        kind_names=graph.kind_names,
        graph=graph.graph,
        num_graphs=graph.num_graphs,
        tokens=graph.tokens,
        labels=graph.labels,
    )
