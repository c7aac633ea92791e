"""One run of a cell, with everything that it depends on, ready to be run in several ways and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import graphrec as gr
from tests import oracles
from tests.tolerances import assert_all_close


@dataclass
class Trial:
    """A cell over a structure, in float64. All tensors require grad."""

    cell: gr.Cell
    structure: gr.Structure
    x: Tensor
    initial: Any = None  # a State, or None
    mode: str = "async"
    rounds: int | None = None

    @property
    def plan(self) -> gr.Schedule:
        return gr.schedule(self.structure, self.mode, self.rounds)

    @property
    def inputs(self) -> dict[str, Tensor]:
        """All that the outputs are differentiable in, by name."""
        named = {"x": self.x, **dict(self.cell.named_parameters())}
        named |= {f"captured {i}": tensor for i, tensor in enumerate(getattr(self.cell, "captured", []))}
        if self.structure.edge_attr is not None:
            named["edge_attr"] = self.structure.edge_attr
        if self.structure.edge_weight is not None:
            named["edge_weight"] = self.structure.edge_weight
        if self.initial is not None:
            named |= {
                f"initial {field}": value
                for field, value in zip(self.initial._fields, self.initial, strict=True)
            }
        return {name: tensor for name, tensor in named.items() if tensor.requires_grad}

    def run(self, *_: Any) -> Any:
        """The State; further arguments are ignored, for gradcheck."""
        return gr.run(self.cell, self.plan, self.x, self.given)

    @property
    def given(self) -> Any:
        """The initial state as `run` takes it, told that rows are one per graph where their number does not tell."""
        if self.initial is None or len(self.initial[0]) != self.structure.num_graphs:
            return self.initial
        return gr.per_graph(self.initial)

    def outcome(self, run: Callable[[], Any] | None = None) -> dict[str, Tensor]:
        """Every field of the state, and the gradient of some function of it in every input."""
        return outcome((run or self.run)(), self.inputs)


@contextmanager
def plain_operators() -> Iterator[None]:
    """While this lasts, all runs are the loop's, and it uses torch's own operators alone, as within transforms."""
    modules = ("graphrec.operators.segments", "graphrec.operators.csr")
    with ExitStack() as around:
        around.enter_context(gr.running_on("loop"))
        for module in modules:
            around.enter_context(patch(f"{module}.is_plain_only", lambda rows: True))
        yield


def assert_is_plain(compute: Callable[[], dict[str, Any]]) -> None:
    """The same, computed as the engine likes and by the loop with torch's own operators alone."""
    actual = compute()
    with plain_operators():
        assert_all_close(actual, compute())


def outcome(state: Any, inputs: dict[str, Tensor]) -> dict[str, Any]:
    """The fields of a state by name, and the gradients of a fixed function of them (None: it is constant)."""
    values = {f"value of {name}": value.detach() for name, value in state._asdict().items()}
    grads = gradients(tuple(state), inputs)
    return values | {f"gradient of {name}": grad for name, grad in grads.items()}


def gradients(outputs: tuple[Tensor, ...], inputs: dict[str, Tensor]) -> dict[str, Any]:
    """The gradients of a function that weighs every number in `outputs` differently."""
    loss = sum((output * weights_like(output)).sum() for output in outputs)
    if not loss.requires_grad:
        return dict.fromkeys(inputs)
    return dict(zip(inputs, torch.autograd.grad(loss, list(inputs.values()), allow_unused=True), strict=True))


def weights_like(output: Tensor) -> Tensor:
    """Numbers without symmetry, the same for every output of this shape."""
    return torch.arange(1, output.numel() + 1, dtype=torch.float64).sin().to(output.dtype).view_as(output)


def trial(
    make: Callable[[int, int], gr.Cell],
    structure: gr.Structure,
    initial: str | None = None,
    mode: str = "async",
    rounds: int | None = None,
    inputs: int = 3,
    hidden: int = 2,
) -> Trial:
    """A trial with random weights, x, edge attributes, and initial state: `"per node"`, `"per graph"`, `"for all"`."""
    cell = make(inputs, hidden).double()
    draw_what_begins_alike(cell)
    if structure.edge_attr is not None:
        structure = structure.replace(edge_attr=torch.randn_like(structure.edge_attr).requires_grad_())
    if structure.edge_weight is not None:
        weight = torch.rand(structure.num_edges, dtype=torch.float64) + 0.1
        structure = structure.replace(edge_weight=weight.requires_grad_())
    width = inputs if cell.inputs is None else cell.inputs
    x = torch.randn(structure.num_nodes, width, dtype=torch.float64, requires_grad=True)
    state = None
    if initial is not None:
        rows = {"per node": structure.num_nodes, "per graph": structure.num_graphs, "for all": 1}[initial]
        fields = (
            torch.randn(rows, *shape, dtype=torch.float64, requires_grad=True) for shape in cell.shapes()
        )
        state = cell.State(*fields)
    return Trial(cell, structure, x, state, mode, rounds)


def draw_what_begins_alike(cell: gr.Cell) -> None:
    """Random numbers for peepholes, gains, and whatever else begins as zeros or ones: equations that confuse them,
    or leave them out, would not show."""
    for parameter in cell.parameters():
        if bool((parameter == parameter.flatten()[:1]).all()) and parameter.detach().flatten()[0] in (0, 1):
            torch.nn.init.normal_(parameter)


def edges_of(structure: gr.Structure) -> list[tuple[int, int, int]]:
    """`(source, target, slot)` of each."""
    return list(zip(*structure.edge_index.tolist(), structure.slot.tolist(), strict=True))


def assert_agrees_with_oracle(run: Trial, oracle: oracles.Equations) -> None:
    """The engine's values and gradients are those of the oracle, evaluated node by node."""
    initial = None
    if run.initial is not None or run.mode == "sync":
        initial = states_of_nodes(run)
    if run.mode == "async":
        past = None if run.structure.past is None else run.structure.past.tolist()
        expected = oracles.evaluate(oracle, run.cell, run.x, edges_of(run.structure), initial, past)
    else:
        expected = oracles.evaluate_rounds(
            oracle, run.cell, run.x, edges_of(run.structure), run.rounds, initial
        )
    assert_all_close(run.outcome(), run.outcome(lambda: run.cell.State(*expected)))


def states_of_nodes(run: Trial) -> list[oracles.State]:
    """The initial state of each node, whichever way it was given."""
    if run.initial is None:
        return [tuple(run.x.new_zeros(*shape) for shape in run.cell.shapes())] * run.structure.num_nodes
    rows = len(run.initial[0])
    if rows == run.structure.num_graphs:
        row = run.structure.graph.tolist()
    elif rows == run.structure.num_nodes:
        row = range(rows)
    else:
        row = [0] * run.structure.num_nodes
    return [tuple(field[r] for field in run.initial) for r in row]


@contextmanager
def padding(rows: int) -> Iterator[None]:
    """Blocks of chains and segments have so many rows of padding at most. (Of 2, short ones are cut into several.)"""
    with patch.object(import_module("graphrec.schedule.side_by_side"), "PADDING", rows):
        yield


def with_biases(make: Any, biases: int) -> Callable[[int, int], gr.Cell]:
    """Makes cells with so many biases."""
    return lambda inputs, hidden: make(inputs, hidden, biases=biases)
