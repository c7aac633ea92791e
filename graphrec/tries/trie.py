"""Prefix trees: many sequences that begin alike, each common prefix once, and what belongs to which sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data._utils.collate import default_collate_fn_map
from torch_geometric.data import Data

from ..io import from_pyg, to_pyg
from ..structure import batch, prefixes
from ..structure.build import as_lengths
from ..structure.checks import as_whole_numbers, check_range
from ..structure.outside import made_outside, outside
from ..structure.written import shown
from .shared import SharedNodes


@made_outside
def trie(sequences: Sequence[Sequence[int] | Tensor | np.ndarray] | Tensor | np.ndarray) -> Trie:
    """The prefix tree of B sequences of tokens: what two of them have in common from their beginning on is there once.

    A node is a prefix, and its one source the prefix that is a token shorter. So its state is that of every sequence
    that begins with it, and N nodes do the work of R, the sum of all lengths. Sequences may be empty, equal, or
    prefixes of others.

    Fredkin, *Trie memory*, Communications of the ACM 3(9), 1960.

    Args:
        sequences: a list of lists, or of tensors or arrays `[T]`, of whole numbers; or one tensor or array `[B, T]`; or
            a nested tensor.

    Returns:
        A `Trie` of one graph, whose nodes stand in the order in which the sequences first come to them.

    Raises:
        TypeError: anything else, or tokens that are not whole numbers.
    """
    size, token = prefixes.as_sequences(sequences, "sequences")
    return Trie.merged(size, token, np.array([len(size)])).to(_device_of(sequences))


@dataclass(frozen=True, eq=False, repr=False)
class Trie(SharedNodes):
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
        if isinstance(branches, Tensor) and branches.is_nested:
            branches = branches.unbind()
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
        return cls.merged(size, token, counts).to(_device_of(prompts, *members))

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

        `trie.parent`, `trie.token`, `trie.ends` and `trie.position` are the packing of a trie. It is one graph; `batch`
        puts several side by side.

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
    def merged(cls, size: np.ndarray, token: np.ndarray, counts: np.ndarray) -> Trie:
        """Of lengths `[B]`, tokens `[R]`, and how many of the sequences are in each graph `[G]`."""
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
            check_range("row_index", node, s.num_nodes)
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
