"""Models over graphs over time, whose cells have several stages in a step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..cells import DCRNNCell, GConvGRUCell, GConvLSTMCell
from ..cells.graph_recurrent import StagedCell
from ..engine import per_graph, per_node
from ..engine.initial import Initial, initial_fields
from ..engine.validate import check_x
from ..io import StructureLike
from ..runs import run, run_first
from ..schedule import Schedule, schedule
from ..structure import Structure, in_stages
from .calls import structure_given
from .model import Model, check_initial


class OverTime(Model):
    """A cell with several stages in a step, over a graph over time.

    It is called with x `[T * N, D]` and `graphrec.over_time(matrices, T, carried=True)`, or a batch of such, and
    returns h `[T * N, H]`. An initial state is that before the first step: a row for each graph, or one for all, or
    a row for each node, of which those of the last step count. So the states of one window are the initial
    state of the next: `state = model.state(x, s, initial=state)`.

    Args:
        cell: `GConvGRUCell`, `GConvLSTMCell` or `DCRNNCell`.
    """

    num_states = 1
    runs: tuple[str, ...] | None = ("cell",)

    def __init__(self, cell: StagedCell) -> None:
        super().__init__()
        if not isinstance(cell, StagedCell):
            raise TypeError(
                f"expected a cell with stages (GConvGRUCell, GConvLSTMCell, DCRNNCell), got {type(cell).__name__}: "
                f"graphrec.Recursive(cell, order=graphrec.by_time) runs others over time."
            )
        self.cell = cell

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """h `[T * N, H]`; there are no final states, one for each graph."""
        if return_states:
            raise ValueError(
                "a series over a graph ends in a state of every node, not in one of the graph: "
                "state = model.state(x, s, initial=state), whose rows of the last step are the final ones."
            )
        return self._last_stage(run_first(self.cell, *self._task(x, s, initial[0])), s), []

    def state(self, x: Tensor, s: StructureLike, initial: Any = None) -> Any:
        """What goes from step to step, `(h,)` or `(h, c)`, `[T * N, H]` each; arguments as in `forward`."""
        given, s = check_initial(self, initial)[0], structure_given(self, x, s)
        found = run(self.cell, *self._task(x, s, given))
        return self.cell.Carried(
            *(self._last_stage(getattr(found, name), s) for name in self.cell.Carried._fields)
        )

    def _last_stage(self, rows: Tensor, s: Structure) -> Tensor:
        count = len(self.cell.stages)
        return rows[: s.num_nodes * count][count - 1 :: count]

    def _task(self, x: Tensor, s: Structure, initial: Any) -> tuple[Schedule, Tensor, Any]:
        """The schedule of all stages, and the rows of x and of the initial state for each of them."""
        staged, of_input, last = in_stages(s, self.cell.stages)
        check_x(self.cell, s, x)
        rows = x.index_select(0, of_input)
        state = None if initial is None else self._initial(rows, s, last, initial)
        return schedule(staged), rows, state

    def _initial(self, rows: Tensor, s: Structure, last: Tensor, initial: Any) -> Any:
        """The initial state with all fields, and where it has a row for each node, with one for each of these rows."""
        names, given = self.cell.Carried._fields, initial_fields(initial)
        if len(given) != len(names) or not all(isinstance(field, Tensor) for field in given):
            raise ValueError(
                f"the initial state must be tensors ({', '.join(names)}), or a tensor where it has one field, got "
                f"{type(getattr(initial, 'state', initial)).__name__}."
            )
        declared = initial.rows if isinstance(initial, Initial) else None
        count, size, graphs = len(given[0]), s.num_nodes, s.num_graphs
        allowed = {"node": (size, 1), "graph": (graphs, 1), None: (size, graphs, 1)}[declared]
        for name, field in zip(names, given, strict=True):
            if field.shape[1:] != (self.cell.hidden,) or len(field) not in allowed or len(field) != count:
                raise ValueError(
                    f"initial {name} must have {size} rows (one per node), {graphs} (one per graph) or 1, of width "
                    f"{self.cell.hidden}, as all its fields, got shape {tuple(field.shape)}."
                )
        if declared is None and count == graphs == size > 1 and bool((s.graph.diff() != 1).any()):
            raise ValueError(
                f"there are as many graphs as nodes, {count}: say whether the rows of the initial state are one for "
                f"each graph or for each node, graphrec.per_graph(state) or graphrec.per_node(state)."
            )
        by_node = count == size > 1 and declared != "graph"
        if by_node:
            of_stages = rows.new_zeros(len(rows) - len(last), self.cell.hidden)
            given = [torch.cat([of_stages, field[last]]) for field in given]
        fields = dict(zip(names, given, strict=True))
        state = self.cell.State(
            *(
                fields[name] if name in fields else rows.new_zeros(len(given[0]), *shape)
                for name, shape in zip(self.cell.State._fields, self.cell.shapes(), strict=True)
            )
        )
        return per_node(state) if by_node else per_graph(state)


class GConvGRU(OverTime):
    """The gated recurrent unit with Chebyshev convolutions, over a graph over time; see `GConvGRUCell`."""

    def __init__(self, inputs: int, hidden: int, k: int) -> None:
        super().__init__(GConvGRUCell(inputs, hidden, k))


class GConvLSTM(OverTime):
    """Long short-term memory with Chebyshev convolutions, over a graph over time; see `GConvLSTMCell`."""

    def __init__(self, inputs: int, hidden: int, k: int) -> None:
        super().__init__(GConvLSTMCell(inputs, hidden, k))


class DCRNN(OverTime):
    """The diffusion convolutional gated recurrent unit, over a graph over time; see `DCRNNCell`."""

    def __init__(self, inputs: int, hidden: int, k: int) -> None:
        super().__init__(DCRNNCell(inputs, hidden, k))
