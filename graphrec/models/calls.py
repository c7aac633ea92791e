"""The arguments of a model's call, and whether any cell reads them."""

from __future__ import annotations

from inspect import signature
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.data import Data, HeteroData

from ..cell import Cell
from ..cells.wrapping import edges_read
from ..io import as_structure
from ..io.matrix import edges_of, is_matrix
from ..structure import Structure


def structure_of_call(model: nn.Module, x: Any, s: Any, edge_index: Any) -> Any:
    """What a model runs over, given by either name.

    Raises:
        TypeError: neither name, or both; rows and structure the other way round.
    """
    name, over = type(model).__name__, edge_index if s is None else s
    if s is not None and edge_index is not None:
        raise TypeError("s and edge_index are two names of what a model runs over: give it once.")
    if isinstance(x, Structure | Data | HeteroData) and over is None:
        raise TypeError(
            f"{name} takes rows and what they belong to, model(x, s), got {type(x).__name__} alone."
        )
    is_number = isinstance(x, Tensor) and not x.is_floating_point()
    is_swapped = is_number and isinstance(over, Tensor) and over.is_floating_point()
    if is_swapped or isinstance(x, Structure | Data | HeteroData):
        raise TypeError(
            f"rows come first, and then what they belong to, model(x, s): {name} got {type(x).__name__} and "
            f"{type(over).__name__}, the other way round."
        )
    is_padded = isinstance(x, Tensor) and x.dim() == 3
    if over is not None and not (is_padded and isinstance(over, Tensor) and over.dim() == 1):
        return over
    if isinstance(x, PackedSequence | list) or is_padded:
        got = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(
            f"{name} runs over rows [N, D] and a structure, model(x, s), got {got} "
            f"{'alone' if over is None else 'and lengths'}: graphrec.Sequences(model) is called as torch's layers are, "
            f"with padded, packed or listed sequences; graphrec.from_padded(x, lengths) makes rows and their structure."
        )
    raise TypeError(
        f"{name} was called without a structure: model(x, s), where s is a Structure (graphrec.chain(len(x)), "
        f"graphrec.tree(...)), PyG's Data, or an edge_index."
    )


def structure_given(
    model: nn.Module, x: Tensor, over: Any, edge_attr: Tensor | None = None, edge_weight: Tensor | None = None
) -> Structure:
    """The structure of a call, with the edge features and weights given in it, as the model's cells read them."""
    over, edge_attr, edge_weight = of_edges_given(model, x, over, edge_attr, edge_weight)
    return as_structure(over, x, edge_attr, edge_weight)


def of_edges_given(
    model: nn.Module, x: Any, over: Any, edge_attr: Any, edge_weight: Any
) -> tuple[Any, Any, Any]:
    """What to run over, an edge_index if a sparse matrix was given, and the features and weights of its edges."""
    if is_matrix(over) and edge_weight is None:
        source, target = x if isinstance(x, tuple) and len(x) == 2 else (x, x)
        over, edge_weight = edges_of(over, len(source if target is None else target), len(source))
    if isinstance(over, Tensor) and not is_matrix(over):
        edge_attr, edge_weight = _as_read(model, edge_attr, edge_weight)
    return over, edge_attr, edge_weight


def _as_read(
    model: nn.Module, edge_attr: Tensor | None, edge_weight: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """The edge features and weights given in a call, as the model's cells read them.

    Raises:
        ValueError: features or weights that no cell reads.
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
            f"{_names(cells)} does not read edge_attr, the third argument: {_who_reads_features(cells)}, or leave "
            f"it out. (States go by name: initial=....)"
        )
    if edge_weight is not None and "edge_weight" not in read:
        raise ValueError(
            f"{_names(cells)} does not read edge_weight: take a cell that weighs its messages (GCNCell, GGNNCell, "
            f"or a layer of PyG that does, graphrec.Levelwise(GraphConv(...))), or leave it out."
        )
    return edge_attr, edge_weight


def _cells(module: nn.Module) -> list[Cell] | None:
    """All cells that a model runs; None where it, or a part of it, does not declare them."""
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
        "graphrec.Levelwise(GINEConv(...))"
    )
