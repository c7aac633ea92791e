"""A cell over a structure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..cell import Cell, check_cell
from ..cells import (
    ChildSumTreeLSTMCell,
    GRUCell,
    LSTMCell,
    NaryTreeLSTMCell,
    RecNNCell,
    RNTNCell,
    SRNCell,
    TreeGRUCell,
)
from ..cells.activation import Activation
from ..io import StructureLike
from ..runs import run, run_first, run_sequence
from ..schedule import FixedPoint, Schedule, check_mode, schedule
from ..structure import Structure
from .calls import structure_given
from .hops import Hop, Passing
from .model import Model, check_initial


class Recursive(Model, Passing):
    """Any cell as a module: from inputs and a structure to hidden states.

    Args:
        cell: the equations.
        mode, rounds, cycles, order: as in `graphrec.schedule`.
    """

    num_states = 1
    runs: tuple[str, ...] | None = ("cell",)

    def __init__(
        self,
        cell: Cell,
        mode: str = "async",
        rounds: int | FixedPoint | None = None,
        cycles: str = "error",
        order: Callable[[Structure], Tensor] | None = None,
    ) -> None:
        super().__init__()
        check_cell(cell)
        check_mode(mode, rounds, cycles, order)
        self.cell = cell
        self.mode = mode
        self.rounds = rounds
        self.cycles = cycles
        self.order = order
        hops = nn.ModuleList(Hop() for _ in range(1, rounds)) if isinstance(rounds, int) else None
        self.hops: nn.ModuleList | None = hops

    def compute(
        self, x: Tensor, s: Structure, initial: list[Any], return_states: bool
    ) -> tuple[Tensor, list[Any]]:
        """The first field of the state, h `[N, H]`, and the final state."""
        cell, plan, x = self._task(x, s)
        if not return_states:
            return run_first(cell, plan, x, initial[0]), []
        h, final = run_sequence(cell, plan, x, initial[0])
        return h, [final]

    def final(self, states: list[Any]) -> Tensor:
        """The first field of the final state."""
        return states[0][0]

    def state(self, x: Tensor, s: StructureLike, initial: Any = None) -> Any:
        """The whole state, e.g. `(h, c)`, `[N, H]` each; arguments as in `forward`."""
        return run(*self._task(x, structure_given(self, x, s)), check_initial(self, initial)[0])

    def step_cell(self) -> Cell:
        """The cell for running nodes one after another."""
        if self.mode != "async":
            raise ValueError(
                f"one node after another can be run in async mode only, got a model in {self.mode} mode."
            )
        return self.cell

    def _task(self, x: Tensor, s: Structure) -> tuple[Cell, Schedule, Tensor]:
        """What is run: the cell, the schedule and its inputs."""
        return self.cell, self.weighed(schedule(s, self.mode, self.rounds, self.cycles, self.order)), x


class SRN(Recursive):
    """The simple recurrent network over chains; its equations: `SRNCell`.

    Args:
        inputs: D, the width of x.
        hidden: H, the width of the state.
        activation: f: `"tanh"`, `"logistic"`, `"relu"`, or a function.

    Shapes: `model(x, s)`: x `[N, D]` → h `[N, H]`. A node has one predecessor at most.
    With `return_states=True` also a list of one state, that at each graph's end: `h` `[G, H]`.
    """

    def __init__(self, inputs: int, hidden: int, activation: str | Activation = "tanh") -> None:
        super().__init__(SRNCell(inputs, hidden, activation))


class LSTM(Recursive):
    """Long short-term memory over chains; its equations: `LSTMCell`.

    Args:
        inputs: D, the width of x.
        hidden: H, the width of the state.
        forget_bias: where the forget gate's bias starts, such as 1.0; None: random, like the other biases.

    Shapes: `model(x, s)`: x `[N, D]` → h `[N, H]`. A node has one predecessor at most.
    With `return_states=True` also a list of one state, that at each graph's end: `h`, `c` `[G, H]` each.
    """

    def __init__(self, inputs: int, hidden: int, *, forget_bias: float | None = None) -> None:
        super().__init__(LSTMCell(inputs, hidden, forget_bias=forget_bias))


class GRU(Recursive):
    """The gated recurrent unit over chains, in torch's form; its equations: `GRUCell`.

    Args:
        inputs: D, the width of x.
        hidden: H, the width of the state.

    Shapes: `model(x, s)`: x `[N, D]` → h `[N, H]`. A node has one predecessor at most.
    With `return_states=True` also a list of one state, that at each graph's end: `h` `[G, H]`.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(GRUCell(inputs, hidden))


class RecNN(Recursive):
    """The recursive neural network with a weight per slot; its equations: `RecNNCell`.

    Args:
        inputs: D, the width of x.
        hidden: H, the width of the state.
        arity: how many slots a node has; an empty one counts as a zero state.
        activation: f: `"tanh"`, `"logistic"`, `"relu"`, or a function.

    Shapes: `model(x, s)`: x `[N, D]` → h `[N, H]`.
    With `return_states=True` also a list of one state, that at each graph's end: `h` `[G, H]`.
    """

    def __init__(
        self, inputs: int, hidden: int, arity: int = 2, activation: str | Activation = "tanh"
    ) -> None:
        super().__init__(RecNNCell(inputs, hidden, arity, activation))


class RNTN(Recursive):
    """The recursive neural tensor network over binary trees; its equations: `RNTNCell`.

    Args:
        inputs: D, the width of x.
        hidden: H, the width of the state. The tensor has 4 H^3 entries.
        activation: f: `"tanh"`, `"logistic"`, `"relu"`, or a function.

    Shapes: `model(x, s)`: x `[N, D]` → h `[N, H]`. A node has two slots.
    With `return_states=True` also a list of one state, that at each graph's end: `h` `[G, H]`.
    """

    def __init__(self, inputs: int, hidden: int, activation: str | Activation = "tanh") -> None:
        super().__init__(RNTNCell(inputs, hidden, activation))


class TreeLSTM(Recursive):
    """The Tree-LSTM over trees and DAGs; its equations: `ChildSumTreeLSTMCell`, `NaryTreeLSTMCell`.

    Args:
        inputs: D, the width of x.
        hidden: H, the width of the state.
        arity: how many slots a node has, with weights for each (N-ary); None: any number of children, their sum
            (Child-Sum).

    Shapes: `model(x, s)`: x `[N, D]` → h `[N, H]`.
    With `return_states=True` also a list of one state, that at each graph's end: `h`, `c` `[G, H]` each.
    """

    def __init__(self, inputs: int, hidden: int, arity: int | None = None) -> None:
        super().__init__(
            ChildSumTreeLSTMCell(inputs, hidden) if arity is None else NaryTreeLSTMCell(inputs, hidden, arity)
        )


class TreeGRU(Recursive):
    """The Child-Sum Tree-GRU over trees and DAGs; its equations: `TreeGRUCell`.

    Args:
        inputs: D, the width of x.
        hidden: H, the width of the state.

    Shapes: `model(x, s)`: x `[N, D]` → h `[N, H]`.
    With `return_states=True` also a list of one state, that at each graph's end: `h` `[G, H]`.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(TreeGRUCell(inputs, hidden))
