"""Where PyG's tools find what they need to know of layers: that messages are passed, how far, and by which masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..schedule import Schedule, masked

if TYPE_CHECKING:  # PyG says no types: what is used of its class is written down here

    class MessagePassing(nn.Module):
        """PyG's."""

        explain: bool | None
        _edge_mask: Tensor | None
        _apply_sigmoid: bool

        def __init__(self, aggr: None) -> None: ...

else:
    from torch_geometric.nn import MessagePassing


class Passing(MessagePassing):
    """What `torch_geometric.explain` and `to_hetero` take for a layer; explainers leave their edge masks here."""

    def __init__(self) -> None:
        super().__init__(aggr=None)

    def propagate(self, *arguments: Any, **more: Any) -> Tensor:
        """Refused: the engine passes messages."""
        raise NotImplementedError("graphrec's models pass messages by their engine: call the model.")

    def __repr__(self) -> str:
        return nn.Module.__repr__(self)

    def weighed(self, plan: Schedule) -> Schedule:
        """The schedule, with messages multiplied by the mask of an explainer if there is one.

        Raises:
            ValueError: a mask of other edges, or an explainer that changes the messages itself.
        """
        if not self.explain:
            return plan
        mask = self._edge_mask
        if "explain_message" in vars(self) or mask is None:
            raise ValueError(
                f"this explainer changes messages in PyG's own layers ({type(self).__name__}.explain_message), and "
                f"graphrec's models have none: take one that masks edges, such as GNNExplainer or PGExplainer."
            )
        if mask.shape != (plan.structure.num_edges,):
            raise ValueError(
                f"an explainer's mask has a number for each edge that the model is given, {plan.structure.num_edges}, "
                f"got shape {tuple(mask.shape)}: call the model with the explainer's edge_index."
            )
        return masked(plan, mask.sigmoid() if self._apply_sigmoid else mask)


class Hop(Passing):
    """One more round of a model, which PyG counts to know how far messages travel; it has no weights."""

    def forward(self, rows: Tensor) -> Tensor:
        """The rows, unchanged: explainers look at them here."""
        return rows
