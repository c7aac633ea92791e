"""What a call gives of edges, and whether anyone reads it."""

from __future__ import annotations

from inspect import signature

from torch import Tensor, nn

from ..cells.cell import Cell, edges_read


def given_of_edges(
    model: nn.Module, edge_attr: Tensor | None, edge_weight: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """What a call gives of edges, features and weights, as the model's cells read it.

    Raises:
        ValueError: what none of them reads.
    """
    cells = _cells(model)
    read = None if cells is None else edges_read(cells)
    if cells is None or read is None:
        return edge_attr, edge_weight
    if isinstance(edge_attr, Tensor) and "edge_attr" not in read and "edge_weight" in read:
        if edge_weight is not None or edge_attr.shape[1:] not in ((), (1,)):
            raise ValueError(
                f"{_names(cells)} reads a weight per edge, [E] or [E, 1], and no other features, got edge_attr of "
                f"shape {tuple(edge_attr.shape)}{' beside edge_weight' * (edge_weight is not None)}: give one of them."
            )
        return None, edge_attr.flatten()
    if edge_attr is not None and "edge_attr" not in read:
        raise ValueError(
            f"{_names(cells)} does not look at edge_attr, the third argument: {_who_reads_features(cells)}, or leave "
            f"it out. (States go by name: initial=....)"
        )
    if edge_weight is not None and "edge_weight" not in read:
        raise ValueError(
            f"{_names(cells)} does not look at edge_weight: take a cell that weighs its messages (GCNCell, GGNNCell, "
            f"or a layer of PyG that does, graphrec.Layerwise(GraphConv(...))), or leave it out."
        )
    return edge_attr, edge_weight


def _cells(module: nn.Module) -> list[Cell] | None:
    """All cells that a model runs; None where it, or a part of it, does not say."""
    if isinstance(module, Cell):
        return [module]
    if isinstance(module, nn.ModuleList):
        parts = list(module)
    elif (names := getattr(module, "runs", None)) is not None:
        parts = [part for name in names if (part := getattr(module, name)) is not None]
    else:
        return None
    found: list[Cell] = []
    for part in parts:
        cells = _cells(part)
        if cells is None:
            return None
        found += cells
    return found


def _names(cells: list[Cell]) -> str:
    return " and ".join(dict.fromkeys(type(cell).__name__ for cell in cells))


def _who_reads_features(cells: list[Cell]) -> str:
    if any("edges" in signature(type(cell)).parameters for cell in cells):
        return "make the cell with edges=..., their width"
    return (
        "take a cell that does (GATCell, MPNNCell, DVAECell, ... with edges=...), or a layer of PyG that does, e.g. "
        "graphrec.Layerwise(GINEConv(...))"
    )
