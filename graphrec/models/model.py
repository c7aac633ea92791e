"""What models over sequences have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Data

from ..structure import Structure

Over = Structure | Data | Tensor  # what models run over; a tensor is an `edge_index` `[2, E]`


class Model(nn.Module):
    """A module from inputs and a structure to a row per node, which can also be given states and return them.

    A subclass writes `with_states`. Its states are listed as torch lists them: layer by layer, and in each layer
    first the direction along the edges.

    Attributes:
        num_states: how many states, one per layer and direction.
    """

    num_states: int = 0

    def forward(self, x: Tensor, s: Over, initial: Any = None) -> Tensor:
        """`[N, D] → [N, H]`; arguments as in `with_states`."""
        return self.with_states(x, s, initial)[0]

    def with_states(self, x: Tensor, s: Over, initial: Any = None) -> tuple[Tensor, list[Any]]:
        """The rows `[N, H]`, and the final state of each layer and direction, a State of `[G, H]` tensors.

        A sequence's final state is that of the node that no edge leaves; in a graph without nodes the initial
        state is also the final one.

        Args:
            x: `[N, D]`.
            s: a Structure, a PyG `Data` or `Batch`, or an `edge_index` `[2, E]`.
            initial: the initial states, one per layer and direction, each as in `graphrec.run`; or None.
        """
        raise NotImplementedError(f"{type(self).__name__} has no with_states(x, s, initial).")


def run_with_states(
    model: nn.Module, x: Tensor, s: Structure, initial: Sequence[Any] | None
) -> tuple[Tensor, list[Any]]:
    """The same for any module that is called as `model(x, s)`; one that is no `Model` has no states."""
    if isinstance(model, Model):
        return model.with_states(x, s, initial)
    return model(x, s), []


def count_states(model: nn.Module) -> int:
    """How many states a module has."""
    return model.num_states if isinstance(model, Model) else 0


def check_initial(model: Model, initial: Any) -> list[Any]:
    """The initial states as a list, one per layer and direction; or None for each."""
    if initial is None:
        return [None] * model.num_states
    if not isinstance(initial, list | tuple) or len(initial) != model.num_states:
        got = f"{len(initial)} of them" if isinstance(initial, list | tuple) else type(initial).__name__
        raise ValueError(
            f"{type(model).__name__} takes a list of {model.num_states} initial states, one per layer and direction, "
            f"got {got}."
        )
    return list(initial)
