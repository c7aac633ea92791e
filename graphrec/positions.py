"""Between rows of sequences, one per position, and nodes of structures that have more nodes than positions.

Such structures are `balanced` and `prefix_scan`. Rows stand sequence after sequence, as those of `chains`.
"""

from __future__ import annotations

from torch import Tensor

from .io import StructureLike, from_pyg
from .structure import Structure
from .structure.balanced import KINDS, POSITION, PREFIX
from .structure.checks import check_layout
from .structure.outside import made_outside, seen_by


def to_positions(x: Tensor, s: StructureLike, others: Tensor | None = None) -> Tensor:
    """`[P, ...] → [N, ...]`: a row for every node, from one for each of all P positions.

    Args:
        x: the rows of the sequences, one after the other; P is the sum of their lengths.
        s: made by `balanced` or `prefix_scan`; or PyG data of one, with `kind_names`, as `to_pyg` writes them.
        others: `[...]`, the row of all nodes that are no positions, for instance a parameter; zero by default.

    Raises:
        ValueError: another number of rows; `others` of another shape; a structure without positions.
        TypeError: `others` of another dtype or device.
    """
    check_layout("x", x)
    structure = _structure(s)
    at = _nodes(structure, POSITION)
    if x.dim() < 1 or len(x) != len(at):
        raise ValueError(
            f"x must have one row per position: expected {len(at)}, the sum of the lengths, got shape {list(x.shape)}."
        )
    if others is None:
        rest = x.new_zeros(structure.num_nodes, *x.shape[1:])
    elif others.shape != x.shape[1:]:
        raise ValueError(
            f"others must be one row, of shape {list(x.shape[1:])} as those of x, got {list(others.shape)}."
        )
    elif others.dtype != x.dtype or others.device != x.device:
        raise TypeError(
            f"others must be {x.dtype} on {x.device} as x is, got {others.dtype} on {others.device}: others.to(x)."
        )
    else:
        rest = others.expand(structure.num_nodes, *x.shape[1:])
    return rest.index_copy(0, seen_by(x, at), x)


def from_prefixes(h: Tensor, s: StructureLike) -> Tensor:
    """`[N, ...] → [P, ...]`: the row of each position that has seen all positions up to it.

    Args:
        h: a row for every node, such as states.
        s: made by `prefix_scan`; or PyG data of one, as in `to_positions`.

    Raises:
        ValueError: another number of rows; a structure without prefixes.
    """
    check_layout("h", h)
    structure = _structure(s)
    at = _nodes(structure, PREFIX)
    if h.dim() < 1 or len(h) != structure.num_nodes:
        raise ValueError(
            f"h must have one row per node: expected {structure.num_nodes}, got shape {list(h.shape)}."
        )
    return h.index_select(0, seen_by(h, at))


def _structure(s: StructureLike) -> Structure:
    return s if isinstance(s, Structure) else from_pyg(s)  # type: ignore[arg-type]


@made_outside
def _nodes(s: Structure, kind: int) -> Tensor:
    """The numbers of all nodes of a kind."""
    name = KINDS[kind]
    names = s.kind_names or ()
    if s.kind is None or name not in names:
        maker = "graphrec.prefix_scan" if kind == PREFIX else "graphrec.balanced or graphrec.prefix_scan"
        named = f"kinds {', '.join(names)}" if names else "no names of kinds"
        raise ValueError(f"s must have nodes of the kind {name!r}, as {maker} makes them, got {named}.")
    if name not in s.cache:
        s.cache[name] = (s.kind == names.index(name)).nonzero().flatten()
    return s.cache[name]
