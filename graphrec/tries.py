"""Prefix trees: many sequences that begin alike, each common prefix once, and what belongs to which sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map
from torch_geometric.data import Data

from .io import from_pyg, to_pyg
from .operators import CSR, is_plain_only, rows_or_zero, send, send_and_sum
from .schedule import levels
from .structure import Structure, batch, chains, prefixes
from .structure.build import as_lengths
from .structure.checks import as_whole_numbers
from .structure.outside import made_outside, outside, seen_by
from .structure.written import shown


def trie(sequences: Sequence[Sequence[int] | Tensor | np.ndarray] | Tensor | np.ndarray) -> Trie:
    """The prefix tree of B sequences of tokens: what two of them have in common from their beginning on is there once.

    A node is a prefix, and its one source the prefix that is a token shorter. So its state is that of every sequence
    that begins with it, and N nodes do the work of R, the sum of all lengths. Sequences may be empty, equal, or
    prefixes of others.

    Fredkin, *Trie memory*, Communications of the ACM 3(9), 1960.

    Args:
        sequences: a list of lists, or of tensors or arrays `[T]`, of whole numbers; or one of them, `[B, T]`.

    Returns:
        A `Trie` of one graph, whose nodes stand in the order in which the sequences first come to them.

    Raises:
        TypeError: anything else, or tokens that are not whole numbers.
    """
    return Trie.from_sequences(sequences)


@dataclass(frozen=True, eq=False)
class Trie:
    """Sequences that share what they have in common: N nodes in G graphs, and B sequences of R rows in all.

    Made by `graphrec.trie`, or by one of `from_branches`, `from_segments`, `from_parents`, `from_pyg` and `batch`.
    A model runs on the structure, `model(embed(trie.token), trie.structure)`. Immutable.

    Attributes:
        structure: each node has one source, its parent, which has a lower number, or none.
        node: `[R]` long, the node of each row: those of the first sequence from its beginning on, and so on.
        lengths: `[B]` long, of the sequences.
        counts: `[G]` long, how many of the sequences, one after another, belong to each graph.
        token: `[N]` long, of each node; None where none were given.
    """

    structure: Structure
    node: Tensor
    lengths: Tensor
    counts: Tensor
    token: Any = None

    @classmethod
    @made_outside
    def from_sequences(cls, sequences: Any) -> Trie:
        """As `graphrec.trie`."""
        size, token = prefixes.as_sequences(sequences, "sequences")
        return cls._merged(size, token, np.array([len(size)])).to(_device_of(sequences))

    @classmethod
    @made_outside
    def from_branches(cls, prompts: Any, branches: Any) -> Trie:
        """Prompts, each with a list of continuations: a graph for each prompt.

        The sequences are a prompt and one of its continuations behind it, prompt after prompt. Continuations that
        begin alike share that, too. A prompt without continuations has no sequences, and its graph no nodes.

        Args:
            prompts: G sequences of tokens, as in `graphrec.trie`.
            branches: for each prompt a list of sequences of tokens.

        Raises:
            ValueError: not one list of continuations for each prompt. TypeError: as in `graphrec.trie`.
        """
        heads = prefixes.as_sequences(prompts, "prompts")
        members = list(branches) if hasattr(branches, "__iter__") else [branches]
        if len(members) != len(heads[0]):
            raise ValueError(
                f"branches must hold a list of continuations for each prompt: expected {len(heads[0])}, got "
                f"{len(members)}."
            )
        tails = [prefixes.as_sequences(member, f"branches[{i}]") for i, member in enumerate(members)]
        counts = np.array([len(size) for size, _ in tails], dtype=np.int64)
        none = np.zeros(0, dtype=np.int64)
        size, token = (np.concatenate([none, *(tail[part] for tail in tails)]) for part in (0, 1))
        size, token = prefixes.joined(heads, np.arange(len(counts)).repeat(counts), (size, token))
        return cls._merged(size, token, counts).to(_device_of(prompts, *members))

    @classmethod
    @made_outside
    def from_segments(
        cls, lengths: Any, parents: Any, token: Any = None, ends: Any = None, position: Any = None
    ) -> Trie:
        """S segments of tokens, each of which continues the end of another one, its parent. Nothing is merged.

        Args:
            lengths: `[S]`, of the segments, whose nodes are numbered one segment after another. An empty one ends
                where its parent does.
            parents: `[S]`, an earlier segment each, or -1 for what begins.
            token, position: `[N]`, as in `from_parents`.
            ends: `[B]`, at the end of which segment each sequence ends, -1 for an empty sequence; by default there is
                one for each segment that is nobody's parent.

        Raises:
            ValueError: a parent that does not come before its child; arguments that do not go together.
            TypeError: what are not whole numbers.
        """
        size = as_lengths(lengths)
        parent = prefixes.as_parents(parents, "parents", "segment")
        if len(size) != len(parent):
            raise ValueError(
                f"lengths and parents must have a number for each segment, got {len(size)} and {len(parent)}."
            )
        end = prefixes.as_ends(ends, parent, "segment")
        above, last = prefixes.of_segments(size, parent)
        made = cls._joined(above, np.append(last, -1)[end], token, position)
        return made.to(_device_of(lengths, parents, token))

    @classmethod
    @made_outside
    def from_parents(cls, parents: Any, token: Any = None, ends: Any = None, position: Any = None) -> Trie:
        """A flat packing: N tokens, and for each the number of the one before it in its sequence. Nothing is merged.

        `trie.parent`, `trie.token`, `trie.ends` and `trie.position` are the packing of a trie.

        Args:
            parents: `[N]`, an earlier node each, or -1 for what begins.
            token: `[N]`, whole numbers; None for structures whose inputs are no tokens.
            ends: `[B]`, the last node of each sequence, -1 for an empty one; by default there is a sequence for each
                node that is nobody's parent.
            position: `[N]`, where each node stands in its sequences, as packings often say; only checked.

        Raises:
            ValueError: a parent that does not come before its child; arguments that do not go together; positions
                other than those of the parents, which are of no trie.
            TypeError: what are not whole numbers.
        """
        parent = prefixes.as_parents(parents, "parents", "node")
        made = cls._joined(parent, prefixes.as_ends(ends, parent, "node"), token, position)
        return made.to(_device_of(parents, token))

    @classmethod
    def _merged(cls, size: np.ndarray, token: np.ndarray, counts: np.ndarray) -> Trie:
        graph = np.arange(len(counts)).repeat(counts)
        node, first_row = prefixes.merge(size, token, graph)
        sequence, position = prefixes.laid_out(size)
        depth = position[first_row]
        parent = np.where(depth > 0, node[first_row - 1], -1)
        s = prefixes.forest(parent, depth, graph[sequence[first_row]], len(counts))
        of_rows, of_sequences = torch.from_numpy(node), torch.from_numpy(size)
        return cls(s, of_rows, of_sequences, torch.from_numpy(counts), torch.from_numpy(token[first_row]))

    @classmethod
    def _joined(cls, parent: np.ndarray, end: np.ndarray, token: Any, position: Any) -> Trie:
        depth = prefixes.depths(parent)
        token = _as_rows("token", token, len(parent))
        position = _as_rows("position", position, len(parent))
        if position is not None and len(wrong := (position != torch.from_numpy(depth)).nonzero()):
            first = int(wrong[0])
            raise ValueError(
                f"position must be how many nodes are above each, as its parents say: node {first} is at "
                f"{depth[first]}, got {int(position[first])}: these are no sequences of one trie."
            )
        size, node = prefixes.paths(parent, depth, end)
        s = prefixes.forest(parent, depth, np.zeros(len(parent), dtype=np.int64), 1)
        return cls(s, torch.from_numpy(node), torch.from_numpy(size), torch.tensor([len(size)]), token)

    @classmethod
    def batch(cls, tries: Sequence[Trie]) -> Trie:
        """Tries side by side, as `graphrec.batch` puts their structures, and the sequences of one behind the other's.

        Raises:
            ValueError: tokens in some of them, and none in others. TypeError: anything else than tries.
        """
        members: list[Any] = list(tries) if hasattr(tries, "__iter__") else [None]
        if not all(isinstance(member, Trie) for member in members):
            raise TypeError(f"batch takes a list of tries, got {shown(tries)}.")
        tokens = [member.token for member in members if member.token is not None]
        if len(tokens) not in (0, len(members)):
            raise ValueError(
                f"{len(tokens)} of {len(members)} tries have tokens: give them to all, or to none of them."
            )
        s = batch([member.structure for member in members])
        with outside():
            none = torch.zeros(0, dtype=torch.long, device=s.device)
            first, nodes = 0, [none]
            for member in members:
                nodes.append(member.node + first)
                first += member.structure.num_nodes
            lengths = torch.cat([none, *(member.lengths for member in members)])
            counts = torch.cat([none, *(member.counts for member in members)])
            token = torch.cat(tokens) if tokens else None
            return cls(s, torch.cat(nodes), lengths, counts, token)

    @classmethod
    def from_pyg(cls, data: Data) -> Trie:
        """What `to_pyg` has made, or a `Batch` of it.

        Raises:
            ValueError, TypeError: other data.
        """
        s = from_pyg(data)
        missing = [name for name in ("row_index", "lengths", "counts") if name not in data]
        if missing:
            raise ValueError(
                f"expected the data of a trie, as Trie.to_pyg makes them, but there is no {missing[0]}."
            )
        with outside():
            node, lengths, counts = (data[name].clone() for name in ("row_index", "lengths", "counts"))
            sizes = (int(lengths.sum()), int(counts.sum()), len(counts))
            if sizes != (len(node), len(lengths), s.num_graphs):
                raise ValueError(
                    f"expected the data of a trie, as Trie.to_pyg makes them, but lengths, counts and graphs are for "
                    f"{sizes[0]} rows, {sizes[1]} sequences and {sizes[2]} graphs, and there are {len(node)}, "
                    f"{len(lengths)} and {s.num_graphs}."
                )
            return cls(s, node, lengths, counts, data.token.clone() if "token" in data else None)

    def to_pyg(self) -> Data:
        """PyG's `Data` with the structure and the rest as tensors, of which PyG's loader makes batches.

        `node` is `row_index` there, whose numbers PyG counts on from member to member.
        """
        data = to_pyg(self.structure)
        data.row_index, data.lengths, data.counts = self.node, self.lengths, self.counts
        if self.token is not None:
            data.token = self.token
        return data

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
            values: e.g. weights of a loss, or gradients.
            reduce: "sum", or "mean", of which a value that all rows have at a node is that value.

        Raises:
            ValueError: not a value per row; another `reduce`. TypeError: not a tensor; the mean of whole numbers.
        """
        if reduce not in ("sum", "mean"):
            raise ValueError(f'reduce must be "sum" or "mean", got {shown(reduce)}.')
        self._check("values", values, self.num_rows, "row of the sequences")
        if reduce == "mean" and not (values.is_floating_point() or values.is_complex()):
            raise TypeError(
                f"the mean is of floating-point numbers, got {values.dtype}: convert with .float()."
            )
        if is_plain_only(values) or not values.is_floating_point():
            none = values.new_zeros(self.num_nodes, *values.shape[1:])
            total = none.index_add(0, seen_by(values, self.node), values)
        else:
            flat = values.reshape(self.num_rows, values.shape[1:].numel())
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

    def to(self, device: torch.device | str) -> Trie:
        """The same on another device."""
        if torch.device(device) == self.structure.device:
            return self
        with outside():
            moved: dict[str, Any] = {
                name: value if value is None else value.to(device) for name, value in self._given().items()
            }
        return Trie(**moved)

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
        if rows.dim() < 1 or len(rows) != count:
            raise ValueError(
                f"{name} must have one row per {what}: expected {count}, got shape {list(rows.shape)}."
            )


def _as_rows(name: str, values: Any, count: int) -> Tensor | None:
    """A whole number for each node, if any are given."""
    if values is None:
        return None
    expected = f"{name} must hold a whole number for each node"
    numbers = as_whole_numbers(values, expected)
    if numbers.dim() != 1 or len(numbers) != count:
        raise ValueError(f"{expected}: expected {count}, got shape {list(numbers.shape)}.")
    return numbers.detach().cpu().clone()


def _device_of(*given: Any) -> torch.device:
    """That of the first tensor among these values, and in lists of them."""
    return next(_devices(given), torch.device("cpu"))


def _devices(values: Any) -> Iterator[torch.device]:
    for value in values:
        if isinstance(value, Tensor):
            yield value.device
        elif isinstance(value, list | tuple) and len(value) and isinstance(value[0], Tensor | list | tuple):
            yield from _devices(value)


def _collate(tries: Sequence[Trie], *, collate_fn_map: Any = None) -> Trie:
    return Trie.batch(tries)


# Where torch's DataLoader looks up how to collate samples of a type.
default_collate_fn_map[Trie] = _collate
