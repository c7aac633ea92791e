"""GraphSAGE: sample and aggregate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import Linear
from torch_geometric.nn import aggr as aggregations
from torch_geometric.nn.resolver import aggregation_resolver

from ..cell import Inbox
from ..structure.checks import as_count, as_flag
from .aggregation import Sets, aggregate_sets
from .convolutions import Given, LinearConvolution, NodeState, as_one, as_pair


class SAGECell(LinearConvolution):
    """GraphSAGE: an aggregation of the neighbours, and the node itself.

        h_v = W_1 aggr_u h_u + W_2 h_v + b

    Hamilton, Ying & Leskovec, *Inductive representation learning on large graphs*, NIPS 2017, algorithm 1, lines 4
    and 5, before the activation. Parameters are named as in PyG's `SAGEConv`. Aggregations of sequences read
    messages by slots; each node's are aggregated alone, where PyG pads them to the largest number of any node.

    Args:
        inputs: D, or a pair, of sources and of targets; -1: the width of x in the first run.
        hidden: H.
        aggr: `"mean"`, `"sum"`, `"max"`, or any other aggregation of `torch_geometric.nn.aggr` by name (`"lstm"`,
            `"median"`), as a module, or a list of them, whose results are concatenated.
        project: whether neighbours send ReLU(W_3 h_u + c), equation (3) with "max", instead of h_u.
        normalize: whether h is divided by its norm, algorithm 1, line 7.
        root_weight: whether there is W_2.

    Raises:
        ValueError, TypeError: an aggregation that PyG does not have; an open width where a layer must know it.

    Shapes: x `[N, D]`; State `h` `[N, H]`.
    """

    reads_edges: Any = ()

    class Message(NamedTuple):
        """h, or its projection."""

        z: Tensor

    def __init__(
        self,
        inputs: int | tuple[int, int],
        hidden: int,
        aggr: str | aggregations.Aggregation | Sequence[str | aggregations.Aggregation] = "mean",
        project: bool = False,
        normalize: bool = False,
        root_weight: bool = True,
    ) -> None:
        hidden = as_count("hidden", hidden, 1)
        super().__init__(hidden=hidden)
        project, root_weight = as_flag("project", project), as_flag("root_weight", root_weight)
        of_source, of_target = as_pair(inputs)
        width = of_source
        if of_source == -1 and (project or not isinstance(aggr, str) or aggr == "lstm"):
            raise ValueError(
                f"the width of x must be known with project and with aggregations that have weights or several parts, "
                f"got inputs={inputs}: say it."
            )
        self.aggr_module: Any = _aggregation(aggr, of_source)
        if isinstance(self.aggr_module, aggregations.MultiAggregation):
            width = self.aggr_module.get_out_channels(of_source)
        self.normalize: bool = as_flag("normalize", normalize)
        self.lin: Any | None = Linear(of_source, of_source) if project else None  # W_3, c
        self.lin_l: Any = Linear(width, hidden)  # W_1, b
        self.lin_r: Any | None = Linear(of_target, hidden, bias=False) if root_weight else None  # W_2
        self.input_layers: tuple[str, str] = ("lin" if project else "lin_l", "lin_r")
        self.given_inputs: Any = as_one(tuple(None if of == -1 else of for of in as_pair(inputs)))

    @property
    def inputs(self) -> Any:
        """D, or a pair; None before the first run if it was left open."""
        if self.lin_r is None or isinstance(self.aggr_module, aggregations.MultiAggregation):
            return self.given_inputs  # no layer knows
        return super().inputs

    def as_message(self, state: Any) -> Message:
        """h_u, or ReLU(W_3 h_u + c)."""
        return self.Message(state.h if self.lin is None else torch.relu(self.lin(state.h)))

    def message_pair(self, x_source: Tensor, x_target: Tensor | None) -> tuple[Any, Any]:
        """The sources' messages, and the targets' rows."""
        return self.as_message(self.State(x_source)), Given(x_target)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> NodeState:
        """One step."""
        h = self.lin_l(self._aggregated(inbox))
        if self.lin_r is not None and own.h is not None:
            h = h + self.lin_r(own.h)
        return self.State(F.normalize(h, dim=-1) if self.normalize else h)

    def _aggregated(self, inbox: Inbox) -> Tensor:
        kind = type(self.aggr_module)
        if kind is aggregations.SumAggregation:
            return inbox.sum_of("z")
        if kind is aggregations.MeanAggregation:
            return inbox.sum_of("z") / inbox.degree.clamp(min=1).unsqueeze(-1)
        if kind is aggregations.MaxAggregation:
            return inbox.max(inbox.z)
        mask = inbox.message_mask
        z = inbox.z if mask is None else inbox.z * mask.unsqueeze(-1)
        return aggregate_sets(self.aggr_module, z, Sets.of(inbox.target, inbox.num_nodes))


def _aggregation(kind: Any, width: int) -> aggregations.Aggregation:
    """An aggregation of PyG, given by name or as a module."""
    if isinstance(kind, list | tuple):
        if not kind:
            raise ValueError("expected the names of aggregations, got an empty list.")
        return aggregations.MultiAggregation([_aggregation(part, width) for part in kind])
    if not isinstance(kind, str | aggregations.Aggregation):
        raise TypeError(
            f"expected an aggregation of torch_geometric.nn.aggr, or its name, got {type(kind).__name__}."
        )
    options = {"in_channels": width, "out_channels": width} if kind == "lstm" else {}
    return aggregation_resolver(kind, **options)
