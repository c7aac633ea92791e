"""Features and weights of edges as the inboxes of a step have them."""

from __future__ import annotations

from torch import Tensor

# Fields of every inbox that are the edges' own, beside those of the sources' states.
OF_EDGES = ("edge_attr", "edge_weight")


def gather_edges(of_edges: dict[str, Tensor], name: str, edge: Tensor) -> Tensor:
    """`[e, ...]`: features or weights of inbox edges; 0 or 1 for the virtual edge of an initial state, number -1."""
    if name not in of_edges:
        raise ValueError(
            f"the cell reads inbox.{name}, but the structure has none, or none of one width for all edges: build it "
            f"with {name}=...; for features by relation, give the cell edges, the width in each."
        )
    values, otherwise = of_edges[name], int(name == "edge_weight")
    if not values.shape[0]:
        return values.new_full((edge.shape[0], *values.shape[1:]), otherwise)
    return values.index_select(0, edge.clamp(min=0)).masked_fill(virtual_edges(edge, values), otherwise)


def virtual_edges(edge: Tensor, like: Tensor) -> Tensor:
    """`[e, 1, ...]`: which edges are those of an initial state."""
    return (edge < 0).view(-1, *[1] * (like.dim() - 1))
