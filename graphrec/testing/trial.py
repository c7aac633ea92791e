"""One run of a cell, with everything that it depends on, ready to be run in several ways and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from ..backends import running_on
from ..cell import Cell
from ..engine import per_graph
from ..runs import run
from ..schedule import Schedule, schedule
from ..structure import EdgeFeatures, Structure
from .recursion import State


@dataclass
class Trial:
    """A cell over a structure, in float64. All tensors require grad.

    Attributes:
        cell: the cell.
        structure: what it runs over.
        x: `[N, D]`.
        initial: a State of its type, or None.
        mode, rounds: of the schedule.
    """

    cell: Cell
    structure: Structure
    x: Tensor
    initial: Any = None
    mode: str = "async"
    rounds: int | None = None

    @property
    def plan(self) -> Schedule:
        """The schedule."""
        return schedule(self.structure, self.mode, self.rounds)

    @property
    def inputs(self) -> dict[str, Tensor]:
        """All that the outputs are differentiable in, by name."""
        named = {"x": self.x, **dict(self.cell.named_parameters()), **captured(self.cell)}
        for name in ("edge_attr", "edge_weight"):
            if isinstance(rows := getattr(self.structure, name), Tensor):
                named[name] = rows
        if self.initial is not None:
            named |= {f"initial {field}": value for field, value in self.initial._asdict().items()}
        return {name: tensor for name, tensor in named.items() if tensor.requires_grad}

    @property
    def given(self) -> Any:
        """The initial state as `run` takes it, told that rows are one per graph where their number does not tell."""
        if self.initial is None or len(self.initial[0]) != self.structure.num_graphs:
            return self.initial
        return per_graph(self.initial)

    def run(self, *_: Any) -> Any:
        """The State; further arguments are ignored, for gradcheck."""
        return run(self.cell, self.plan, self.x, self.given)

    def outcome(self, run: Callable[[], Any] | None = None) -> dict[str, Any]:
        """Every field of the state, and the gradient of some function of it in every input."""
        return outcome((run or self.run)(), self.inputs)

    def states_of_nodes(self) -> list[State]:
        """The initial state of each node, whichever way it was given; zeros where none was."""
        count = self.structure.num_nodes
        if self.initial is None:
            return [tuple(self.x.new_zeros(shape) for shape in self.cell.shapes())] * count
        rows = len(self.initial[0])
        if rows == self.structure.num_graphs:
            row: Iterable[int] = self.structure.graph.tolist()
        else:
            row = range(rows) if rows == count else [0] * count
        return [tuple(field[r] for field in self.initial) for r in row]


def trial(
    make: Callable[[int, int], Cell],
    structure: Structure,
    initial: str | None = None,
    mode: str = "async",
    rounds: int | None = None,
    inputs: int = 3,
    hidden: int = 2,
) -> Trial:
    """A trial with random weights, x, edge attributes, and initial state: `"per node"`, `"per graph"`, `"for all"`."""
    cell = make(inputs, hidden).double()
    draw_what_begins_alike(cell)
    width = inputs if cell.inputs is None else cell.inputs
    return drawn(cell, structure, width, initial, mode, rounds)


def drawn(
    cell: Cell,
    structure: Structure,
    width: int,
    initial: str | None = None,
    mode: str = "async",
    rounds: int | None = None,
) -> Trial:
    """The same of a cell in float64 that is there: x `[N, width]` and all else that it is given are drawn."""
    if isinstance(structure.edge_attr, Tensor) and structure.edge_attr.is_floating_point():
        features = torch.randn_like(structure.edge_attr, dtype=torch.float64)
        structure = structure.replace(edge_attr=features.requires_grad_())
    elif isinstance(structure.edge_attr, EdgeFeatures):
        parts = structure.edge_attr.relations
        features = [
            None if part is None else torch.randn_like(part.rows, dtype=torch.float64) for part in parts
        ]
        structure = structure.replace(edge_attr=features)
    if structure.edge_weight is not None:
        weight = torch.rand(structure.num_edges, dtype=torch.float64) + 0.1
        structure = structure.replace(edge_weight=weight.requires_grad_())
    x = torch.randn(structure.num_nodes, width, dtype=torch.float64, requires_grad=True)
    state = None
    if initial is not None:
        rows_of = {"per node": structure.num_nodes, "per graph": structure.num_graphs, "for all": 1}
        fields = (
            torch.randn(rows_of[initial], *shape, dtype=torch.float64, requires_grad=True)
            for shape in cell.shapes()
        )
        state = cell.State(*fields)
    return Trial(cell, structure, x, state, mode, rounds)


def draw_what_begins_alike(cell: Cell) -> None:
    """Random numbers for peepholes, gains, and whatever else begins as zeros or ones: equations that confuse them,
    or leave them out, would not show."""
    for parameter in cell.parameters():
        flat = parameter.detach().flatten()
        if len(flat) and bool((flat == flat[0]).all()) and flat[0] in (0, 1):
            torch.nn.init.normal_(parameter)


def captured(cell: Cell) -> dict[str, Tensor]:
    """Tensors that require grad and are attributes of the cell, or in lists there, but no parameters of it."""
    own = {id(parameter) for parameter in cell.parameters()}
    found: dict[str, Tensor] = {}
    for name, value in vars(cell).items():
        for number, tensor in enumerate(value if isinstance(value, list | tuple) else [value]):
            if isinstance(tensor, Tensor) and tensor.requires_grad and id(tensor) not in own:
                found[f"captured {name} {number}"] = tensor
    return found


def outcome(state: Any, inputs: dict[str, Tensor]) -> dict[str, Any]:
    """The fields of a state by name, and the gradients of a fixed function of them (None: it is constant)."""
    values = {f"value of {name}": value.detach() for name, value in state._asdict().items()}
    grads = gradients(tuple(state), inputs)
    return values | {f"gradient of {name}": grad for name, grad in grads.items()}


def gradients(outputs: tuple[Tensor, ...], inputs: dict[str, Tensor]) -> dict[str, Any]:
    """The gradients of a function that weighs every number in `outputs` differently."""
    loss = sum((output * weights_like(output)).sum() for output in outputs)
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        return dict.fromkeys(inputs)
    return dict(zip(inputs, torch.autograd.grad(loss, list(inputs.values()), allow_unused=True), strict=True))


def weights_like(output: Tensor) -> Tensor:
    """Numbers without symmetry, the same for every output of this shape."""
    return torch.arange(1, output.numel() + 1, dtype=torch.float64).sin().to(output.dtype).view_as(output)


@contextmanager
def plain_operators() -> Iterator[None]:
    """While this lasts, all runs are the loop's, and it uses torch's own operators alone, as within transforms."""
    modules = ("graphrec.operators.segments", "graphrec.operators.csr")
    with ExitStack() as around:
        around.enter_context(running_on("loop"))
        for module in modules:
            around.enter_context(patch(f"{module}.is_plain_only", lambda rows: True))
        yield
