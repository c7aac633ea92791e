"""Sequences that share nodes, and the maps between the rows of sequences and the nodes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from ..operators import CSR, is_plain_only, rows_or_zero, send, send_and_sum
from ..schedule import levels
from ..structure import Structure, chains
from ..structure.checks import check_layout, check_one_of
from ..structure.outside import outside, seen_by
from ..structure.written import shown


@dataclass(frozen=True, eq=False, repr=False)
class SharedNodes:
    """B sequences of R rows in all, each at one of the N nodes of a structure. Attributes are those of `Trie`."""

    structure: Structure
    node: Tensor
    lengths: Tensor
    counts: Tensor
    token: Any = None

    @property
    def num_nodes(self) -> int:
        """N."""
        return self.structure.num_nodes

    @property
    def num_rows(self) -> int:
        """R, the nodes of the sequences if they shared nothing."""
        return len(self.node)

    @property
    def position(self) -> Tensor:
        """`[N]` long: where each node stands in its sequences, from 0 on."""
        return levels(self.structure)

    @cached_property
    def parent(self) -> Tensor:
        """`[N]` long: the node before each, -1 where a sequence begins."""
        with outside():
            none = torch.full_like(self.structure.graph, -1)
            return none.index_copy(0, self.structure.target, self.structure.source)

    @cached_property
    def ends(self) -> Tensor:
        """`[B]` long: the last node of each sequence, -1 of an empty one."""
        with outside():
            last = torch.cumsum(self.lengths, 0) - 1
            padded = torch.cat([self.node, self.node.new_full((1,), -1)])
            return padded[last.masked_fill(self.lengths == 0, self.num_rows)]

    @cached_property
    def graph(self) -> Tensor:
        """`[B]` long: the graph of each sequence."""
        with outside():
            return torch.repeat_interleave(self.counts)

    @cached_property
    def sequences(self) -> Structure:
        """The sequences as chains that share nothing, whose nodes are the R rows.

        `sequences.graph` is the sequence of each row, `graphrec.levels(sequences)` its position in it;
        `graphrec.to_padded(trie.expand(h), trie.sequences)` is `[B, T, ...]`, and readouts give a row per sequence.
        """
        with outside():
            return chains(self.lengths).to(self.structure.device)

    @cached_property
    def _rows(self) -> CSR:
        """An edge from each row's node to the row."""
        with outside():
            row = torch.arange(self.num_rows, device=self.node.device)
            return CSR(self.node, row, row, self.num_nodes)

    def expand(self, h: Tensor) -> Tensor:
        """`[N, ...] → [R, ...]`: for each row of the sequences that of its node.

        Raises:
            ValueError: not a row per node. TypeError: not a tensor.
        """
        self._check("h", h, self.num_nodes, "node")
        if is_plain_only(h):
            return h.index_select(0, seen_by(h, self.node))
        return send(h, self._rows)

    def fold(self, values: Tensor, reduce: str = "sum") -> Tensor:
        """`[R, ...] → [N, ...]`: for each node the sum, or the mean, over the rows that are at it; zero if none are.

        The sum is the transpose of `expand`: a loss that weighs rows by w, Σ_r w_r f(h_node(r)), is Σ_v W_v f(h_v)
        with W = fold(w), so that f is computed for N nodes instead of R rows.

        Args:
            values: e.g. weights of a loss, or gradients. Sums of whole numbers and of bools are long, as torch's.
            reduce: "sum", or "mean", of which a value that all rows have at a node is that value.

        Raises:
            ValueError: not a value per row; another `reduce`. TypeError: not a tensor; the mean of whole numbers.
        """
        check_one_of("reduce", reduce, ("sum", "mean"))
        self._check("values", values, self.num_rows, "row of the sequences")
        width = values.shape[1:].numel()
        if reduce == "mean" and not (values.is_floating_point() or values.is_complex()):
            raise TypeError(
                f"the mean is of floating-point numbers, got {values.dtype}: convert with .float()."
            )
        if not (values.is_floating_point() or values.is_complex()):
            values = values.long()
        if is_plain_only(values) or not values.is_floating_point() or not width:
            none = values.new_zeros(self.num_nodes, *values.shape[1:])
            total = none.index_add(0, seen_by(values, self.node), values)
        else:
            flat = values.reshape(self.num_rows, width)
            total = send_and_sum(flat, self._rows.transposed).view(self.num_nodes, *values.shape[1:])
        if reduce == "sum":
            return total
        count = seen_by(values, self._rows_at).view(-1, *[1] * (values.dim() - 1))
        return total / count.to(values.dtype)

    @cached_property
    def _rows_at(self) -> Tensor:
        """`[N]`: how many rows are at each node, at least 1."""
        with outside():
            return torch.bincount(self.node, minlength=self.num_nodes).clamp(min=1)

    def last(self, state: Any, initial: Any = None) -> Any:
        """`[N, ...] → [B, ...]`: the row at the end of each sequence, for a tensor or for each field of a state.

        Args:
            state: a tensor with a row per node, or a NamedTuple of them, such as `graphrec.run` returns.
            initial: of the same kind, with a row per graph or one for all: what empty sequences get, zero by default.

        Raises:
            ValueError: not a row per node; initial rows of another number or shape. TypeError: not tensors.
        """
        if isinstance(state, tuple):
            given = (None,) * len(state) if initial is None else initial
            if not isinstance(given, tuple) or len(given) != len(state):
                raise TypeError(
                    f"initial must have the fields of state, {len(state)} of them, got {shown(initial)}."
                )
            rows = [self.last(field, begin) for field, begin in zip(state, given, strict=True)]
            return type(state)(*rows) if hasattr(state, "_fields") else tuple(rows)
        self._check("state", state, self.num_nodes, "node")
        end = seen_by(state, self.ends)
        found = rows_or_zero(state, end)
        if initial is None:
            return found
        count = len(self.counts)
        if (
            not isinstance(initial, Tensor)
            or initial.dim() != state.dim()
            or initial.shape[1:] != state.shape[1:]
            or len(initial) not in (1, count)
        ):
            got = list(initial.shape) if isinstance(initial, Tensor) else type(initial).__name__
            raise ValueError(
                f"initial must have a row for each of the {count} graphs, or one for all, of shape "
                f"{list(state.shape[1:])}, got {got}."
            )
        graph = seen_by(state, self.graph)
        begin = initial.index_select(0, torch.zeros_like(graph) if len(initial) == 1 else graph)
        return torch.where((end < 0).view(-1, *[1] * (state.dim() - 1)), begin, found)

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        if torch.device(device) == self.structure.device:
            return self
        with outside():
            moved: dict[str, Any] = {
                name: value if value is None else value.to(device) for name, value in self._given().items()
            }
        return type(self)(**moved)

    def _given(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __getstate__(self) -> dict[str, Any]:
        return self._given()  # what is derived is derived again when wanted

    def __repr__(self) -> str:
        graphs = "" if len(self.counts) == 1 else f", graphs={len(self.counts)}"
        return f"Trie(sequences={len(self.lengths)}, rows={self.num_rows}, nodes={self.num_nodes}{graphs})"

    def _check(self, name: str, rows: Any, count: int, what: str) -> None:
        if not isinstance(rows, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(rows).__name__}.")
        check_layout(name, rows)
        if rows.dim() < 1 or len(rows) != count:
            raise ValueError(
                f"{name} must have one row per {what}: expected {count}, got shape {list(rows.shape)}."
            )
