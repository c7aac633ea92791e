"""Models over graphs: rounds with a cell each, any convolution of PyG on a DAG, the network for DAGs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import JumpingKnowledge, MessagePassing

from ..cell import Cell, check_cell
from ..cells import ConvCell, DAGNNCell
from ..engine import per_node
from ..io import StructureLike, as_pair
from ..readout import ends
from ..runs import run, run_between
from ..schedule import schedule
from ..structure import Structure
from ..structure.checks import as_count, as_flag, as_list, check_one_of
from ..structure.edge_widths import Widths
from .calls import structure_given
from .hops import Hop, Passing
from .model import Model
from .recursive import Recursive

_JUMPS = ("cat", "max", "lstm")


class GNN(Model, Passing):
    """A graph neural network: rounds, each with its own cell, or with one that is used several times.

        h_t(v) = g_t(h_{t-1}(v), sum_{u → v} f_t(h_{t-1}(v), h_{t-1}(u), e_uv)),  h_0 = x

    Gilmer et al., *Neural message passing for quantum chemistry*, ICML 2017, equations (1) and (2). A cell whose
    round 0 is not its input (`SRNCell`, `ChildSumTreeLSTMCell`) reads x in every round and begins with zeros.

    It can replace PyG's layers; a model of one round also runs between two sets of nodes, with a row per target, as
    `model((x_source, x_target), edge_index)`, and so in `HeteroConv` and `to_hetero`. Cells made with -1 infer the
    width of x in the first run.

    Args:
        cells: one for each round, e.g. `[GCNCell(1433, 16), GCNCell(16, 7)]`; `[cell] * 3` are three rounds with
            shared weights.
        between: a module applied to h between two rounds, such as
            `nn.Sequential(nn.ReLU(), nn.Dropout(0.5))`.
        jump: what is returned: None: the last round's h; or `"cat"`, `"max"`, `"lstm"` over all rounds but round
            0: jumping knowledge, Xu et al., *Representation learning on graphs with jumping knowledge
            networks*, ICML 2018, section 4.

    Raises:
        ValueError: no cells, cells that do not fit each other, an unknown jump.
    """

    runs: tuple[str, ...] | None = ("cells",)

    def __init__(
        self, cells: Sequence[Cell], between: nn.Module | None = None, jump: str | None = None
    ) -> None:
        super().__init__()
        if isinstance(cells, Cell):
            raise TypeError(
                "expected a list of cells, one for each round: [cell] * 3 for three with shared weights."
            )
        cells = as_list("cells", cells)
        if not cells:
            raise ValueError("expected a cell for each round, got none.")
        for cell in cells:
            check_cell(cell)
        for number, (one, other) in enumerate(pairwise(cells)):
            if other.begins_with_x and other.inputs not in (None, one.shapes()[0][-1]):
                raise ValueError(
                    f"the cell of round {number + 2} takes rows of width {other.inputs}, but that of round "
                    f"{number + 1} makes rows of width {one.shapes()[0][-1]}: make one of them fit."
                )
            if not other.begins_with_x and (one.State, one.shapes()) != (other.State, other.shapes()):
                raise ValueError(
                    f"the cell of round {number + 2} goes on from the state of round {number + 1}, so that their "
                    f"states must be alike: got {other.shapes()} and {one.shapes()}."
                )
        if jump is not None:
            check_one_of("jump", jump, _JUMPS, otherwise=", or None")
        self.cells: nn.ModuleList = nn.ModuleList(cells)
        self.hops: nn.ModuleList = nn.ModuleList(Hop() for _ in cells[1:])  # the last hop is this model
        self.between = between
        self.jump: nn.Module | None = None if jump is None else _jump(jump, cells)

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """`[N, H]` of the last round, or of all rounds by `jump`."""
        rows = self.rounds(x, s)
        return (rows[-1] if self.jump is None else self.jump(rows)), []

    def compute_pair(
        self, x_source: Tensor, x_target: Tensor | None, edge_index: Any, **of_edges: Tensor | None
    ) -> Tensor:
        """One round from one set of nodes to another, `[n, H]`: a layer of `HeteroConv` or `to_hetero`."""
        if len(self.cells) > 1:
            raise ValueError(
                f"rows of two sets of nodes, (x_source, x_target), are for one round, got a model of {len(self.cells)}."
            )
        if not isinstance(x_source, Tensor):
            raise TypeError(f"x_source must be a tensor with a row per node, got {type(x_source).__name__}.")
        # As in PyG, without rows of targets there are as many targets as sources.
        targets = len(x_source if x_target is None else x_target)
        plan = self.weighed(schedule(as_pair(edge_index, len(x_source), targets, **of_edges), "sync", 1))
        h = run_between(self._cells[0], plan, x_source, x_target)[0]
        return h if self.jump is None else self.jump([h])

    def rounds(self, x: Tensor, s: StructureLike) -> list[Tensor]:
        """h of each round, `[N, ·]`, from the first one on."""
        structure = structure_given(self, x, s)
        plan = self.weighed(schedule(structure, "sync", 1))
        rows: list[Tensor] = []
        h, state = x, None
        for number, cell in enumerate(self._cells):
            if number:
                h = self.hops[number - 1](h)
                h = h if self.between is None else self.between(h)
            if cell.begins_with_x:
                state = run(cell, plan, h)
            else:
                last = None if state is None else per_node(state._replace(**{state._fields[0]: h}))
                state = run(cell, plan, x, last)
            h = state[0]
            rows.append(h)
        return rows

    @property
    def _cells(self) -> list[Any]:
        return list(self.cells)


def _jump(mode: str, cells: list[Cell]) -> nn.Module:
    widths = [cell.shapes()[0][-1] for cell in cells]
    if mode == "cat":
        return JumpingKnowledge("cat")
    if len(set(widths)) > 1:
        raise ValueError(f"jump={mode!r} needs rounds of one width, got {widths}: use 'cat'.")
    return JumpingKnowledge(mode, widths[0], len(cells))


class Levelwise(Recursive):
    """Any convolution of PyG on a DAG in dependency order: each node reads what the layer computed for its sources.

    See `ConvCell`. With L levels, and a layer whose cost is proportional to its edges, running level by level costs
    N + E, and a loop over masks L (N + E).

    Args:
        conv: a `torch_geometric.nn.MessagePassing` layer that keeps the width.
        after: a module applied to the layer's result, such as `nn.Tanh()`.

    Shapes: x `[N, H]`, result `[N, H]`.
    """

    def __init__(self, conv: MessagePassing, after: nn.Module | None = None) -> None:
        super().__init__(ConvCell(conv, after))


class DAGNN(Model):
    """The directed acyclic graph network: layers of attention and gated recurrent units, in one direction or in both.

    Thost & Chen, *Directed acyclic graph neural networks*, ICLR 2021, equations (4) to (7).

    Args:
        inputs: D.
        hidden: H.
        layers: L.
        both: whether there is a second network against the edges.
        edges: the width of the edges' features, or of those of each relation, or None: they are not read.

    Shapes: x `[N, D]`; result `[N, L H]`, all layers concatenated, or `[N, 2 L H]` with both directions.
    """

    runs: tuple[str, ...] | None = ("along", "against")

    def __init__(
        self, inputs: int, hidden: int, layers: int = 2, both: bool = True, edges: Widths | None = None
    ) -> None:
        super().__init__()
        layers = as_count("layers", layers, 1)
        self.along: nn.ModuleList = _layers(inputs, hidden, layers, edges)
        self.against: nn.ModuleList | None = (
            _layers(inputs, hidden, layers, edges) if as_flag("both", both) else None
        )

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """All layers, concatenated."""
        return torch.cat([rows for rows, _ in self._directions(x, s)], dim=-1), []

    def graphs(self, x: Tensor, s: StructureLike) -> Tensor:
        """`[G, D + L H]`, twice as wide with both directions: the maximum over the sinks of each direction.

        h_G = || over directions of max_{v without targets} [x_v, h^1_v, …, h^L_v]               (7)
        """
        structure = structure_given(self, x, s)
        pooled = [
            ends(torch.cat([x, rows], dim=-1), direction)
            for rows, direction in self._directions(x, structure)
        ]
        return torch.cat(pooled, dim=-1)

    def _directions(self, x: Tensor, s: Structure) -> list[tuple[Tensor, Structure]]:
        directions = [(_in_series(self.along, x, s), s)]
        if self.against is not None:
            directions.append((_in_series(self.against, x, s.reverse()), s.reverse()))
        return directions


def _layers(inputs: int, hidden: int, layers: int, edges: Widths | None) -> nn.ModuleList:
    widths = [inputs] + [hidden] * (layers - 1)
    return nn.ModuleList(Recursive(DAGNNCell(width, hidden, edges)) for width in widths)


def _in_series(layers: nn.ModuleList, x: Tensor, s: Structure) -> Tensor:
    rows = []
    for layer in layers:
        x = layer(x, s)
        rows.append(x)
    return torch.cat(rows, dim=-1)
