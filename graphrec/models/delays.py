"""Delay networks over chains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cells import ARCell, NARXCell, TDNNCell
from ..cells.activation import Activation
from ..engine import per_graph, per_node
from ..io import StructureLike, as_structure
from ..runs import run
from ..schedule import schedule
from ..structure import Structure, lagged
from ..structure.checks import as_count
from ..structure.outside import outside
from ..weights import Resettable
from .hops import Passing
from .model import Model


class TDNN(Model, Passing):
    """A layer of a time-delay neural network over chains: each node sees the last inputs; see `TDNNCell`.

        h_t = f(W_0 x_t + W_1 x_{t-1} + … + W_{K-1} x_{t-K+1} + b)

    Inputs before the first are zero: a causal `torch.nn.Conv1d`. Put several into `Stacked`, and into
    `Bidirectional` for windows that see both sides. All nodes are computed at once, in one sync round.

    Args:
        inputs: D.
        hidden: H.
        window: K, how many inputs a node sees, its own included; 2 or more.
        activation: as in `TDNNCell`.

    Raises:
        ValueError: a window below 2.
    """

    runs: tuple[str, ...] | None = ("cell",)

    def __init__(self, inputs: int, hidden: int, window: int, activation: str | Activation = "tanh") -> None:
        super().__init__()
        if as_count("window", window) < 2:
            raise ValueError(f"window must be 2 or more (a window of one is torch.nn.Linear), got {window}.")
        self.cell: TDNNCell = TDNNCell(inputs, hidden, window - 1, activation)

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """`[N, D] → [N, H]`; a TDNN has no states."""
        check_width("x", x, s.num_nodes, self.cell.seen)
        if self.explain:
            raise ValueError(
                "a TDNN makes its own edge for each lag, so that an explainer's mask of the given edges does not "
                "apply: mask nodes (node_mask_type)."
            )
        plan = schedule(_with_lags(s, self.cell.arity), "sync", 1)
        round_0 = self.cell.State(h=x.new_zeros(x.shape[0], self.cell.hidden), u=x)
        return run(self.cell, plan, x, per_node(round_0)).h, []


class NARX(Resettable):
    """Nonlinear autoregression with exogenous inputs over chains, in both forms; see `NARXCell`.

    - series-parallel, `model(x, s, y)`: the true outputs are fed back. No node waits for another, so all
      nodes are computed at once, in one sync round.
    - parallel, `model(x, s)`: the network's own outputs are fed back, node after node.
    - both, `model(x, s, y, known)`: the true outputs where they are known, its own elsewhere; so a free run can
      follow a stretch of true values.

    Inputs and outputs before the first are zero, or as `past` says.

    Args:
        inputs, hidden, outputs, input_lags, output_lags, activation: as in `NARXCell`.

    Raises:
        ValueError: input_lags below 0, output_lags below 1.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        input_lags: int,
        output_lags: int,
        activation: str | Activation = "tanh",
    ) -> None:
        super().__init__()
        self.cell: NARXCell = NARXCell(inputs, hidden, outputs, input_lags, output_lags, activation)

    def forward(
        self,
        x: Tensor,
        s: StructureLike,
        y: Tensor | None = None,
        known: Tensor | None = None,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """The computed outputs, `[N, Y]`.

        Args:
            x: `[N, D]`, the exogenous inputs.
            s: chains.
            y: `[N, Y]`, the true outputs, or None for the parallel form.
            known: `[N]` bool, whose true outputs are fed back; by default all.
            past: an input and an output, `[G, D]` and `[G, Y]` (or `[1, ·]` for all), that replace all those
                before the first.

        Raises:
            ValueError, TypeError: y, known or past of the wrong shape.
        """
        cell, structure = self.cell, as_structure(s, x)
        check_width("x", x, structure.num_nodes, cell.exogenous)
        if past is not None:
            if not isinstance(past, tuple | list) or len(past) != 2:
                raise TypeError("past must be a pair of tensors, an input and an output.")
            check_width("the past input", past[0], (structure.num_graphs, 1), cell.exogenous)
            check_width("the past output", past[1], (structure.num_graphs, 1), cell.outputs)
        true, flag = _feedback(x, y, known, cell.outputs)
        rows = torch.cat([x, true, flag], dim=-1)
        lags = _with_lags(structure, cell.arity)
        if y is not None and known is None and past is None:
            round_0 = cell.State(y=true, seen=true, u=x)
            return run(cell, schedule(lags, "sync", 1), rows, per_node(round_0)).y
        initial = None if past is None else per_graph(cell.State(y=past[1], seen=past[1], u=past[0]))
        return run(cell, schedule(lags), rows, initial).y


class AR(Resettable):
    """The autoregressive process of order K over chains; see `ARCell`.

        y_t = b + A_1 y_{t-1} + … + A_K y_{t-K}

    Args:
        outputs: the width Y of the series.
        lags: K.

    Raises:
        ValueError: lags below 1.
    """

    def __init__(self, outputs: int, lags: int) -> None:
        super().__init__()
        self.cell: ARCell = ARCell(outputs, lags)

    def forward(self, y: Tensor, s: StructureLike, known: Tensor | None = None) -> Tensor:
        """The computed outputs, `[N, Y]`.

        Args:
            y: `[N, Y]`, the true ones.
            s: chains.
            known: `[N]` bool, whose true outputs are fed back (the process's own elsewhere); by default all.

        Raises:
            ValueError, TypeError: y or known of the wrong shape.
        """
        lags = _with_lags(as_structure(s, y), self.cell.arity)
        true, flag = _feedback(y, y, known, self.cell.hidden)
        rows = torch.cat([true, flag], dim=-1)
        if known is None:
            return run(
                self.cell, schedule(lags, "sync", 1), rows, per_node(self.cell.State(y=true, seen=true))
            ).y
        return run(self.cell, schedule(lags), rows).y

    @torch.no_grad()
    def fit(self, y: Tensor, s: StructureLike) -> AR:
        """Set b and A_1 … A_K by least squares over all nodes with a complete past; returns the model.

        Raises:
            ValueError: fewer such nodes than unknowns per output (K Y + 1).
        """
        structure = as_structure(s, y)
        check_width("y", y, structure.num_nodes, self.cell.hidden)
        lags = _with_lags(structure, self.cell.arity)
        past = _past_of_each(y, lags, self.cell.arity)
        full = torch.bincount(lags.target, minlength=lags.num_nodes) == self.cell.arity
        rows, unknowns = int(full.sum()), past.shape[1] + 1
        if rows < unknowns:
            raise ValueError(
                f"least squares needs at least {unknowns} nodes with {self.cell.arity} predecessors, got {rows}: "
                f"give longer sequences, or take fewer lags."
            )
        design = torch.cat([past[full], past.new_ones(rows, 1)], dim=1)
        found = torch.linalg.lstsq(design, y[full]).solution  # [K Y + 1, Y]
        self.cell.past.weight.copy_(found[:-1].t())
        self.cell.past.bias.copy_(found[-1])
        return self


def _with_lags(structure: Structure, lags: int) -> Structure:
    key = ("lagged", lags)
    if key not in structure.cache:
        with outside():
            structure.cache[key] = lagged(structure, lags)
    return structure.cache[key]


def check_width(name: str, rows: Any, counts: int | tuple[int, int], width: int) -> None:
    """Raise unless this is a tensor of the right width with one of the allowed numbers of rows."""
    allowed = (counts,) if isinstance(counts, int) else counts
    if (
        not isinstance(rows, Tensor)
        or rows.dim() != 2
        or rows.shape[0] not in allowed
        or rows.shape[1] != width
    ):
        got = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
        wanted = " or ".join(f"[{count}, {width}]" for count in dict.fromkeys(allowed))
        raise ValueError(f"{name} must have shape {wanted}, got {got}.")


def _feedback(x: Tensor, y: Tensor | None, known: Tensor | None, width: int) -> tuple[Tensor, Tensor]:
    """The true outputs `[N, Y]`, and `[N, 1]`, one where they are fed back."""
    if y is None:
        if known is not None:
            raise ValueError("known says which true outputs are fed back, but there are none: give y, too.")
        return x.new_zeros(x.shape[0], width), x.new_zeros(x.shape[0], 1)
    check_width("y", y, x.shape[0], width)
    if y.dtype != x.dtype:
        raise TypeError(f"y must be {x.dtype} as x is, got {y.dtype}.")
    if known is None:
        return y, y.new_ones(x.shape[0], 1)
    if not isinstance(known, Tensor) or known.dtype != torch.bool or known.shape != (x.shape[0],):
        got = f"{known.dtype} {tuple(known.shape)}" if isinstance(known, Tensor) else type(known).__name__
        raise TypeError(f"known must be a bool tensor of shape [{x.shape[0]}], got {got}.")
    # An unknown output may be anything, even NaN, and must not be read.
    return y.masked_fill(~known.unsqueeze(1), 0), known.unsqueeze(1).to(y.dtype)


def _past_of_each(y: Tensor, lags: Structure, count: int) -> Tensor:
    """`[N, K * Y]`: y_{t-1}, …, y_{t-K} of each node, zero where there is none."""
    past = y.new_zeros(lags.num_nodes, count, y.shape[1])
    past[lags.target, lags.slot] = y[lags.source]
    return past.flatten(1)
