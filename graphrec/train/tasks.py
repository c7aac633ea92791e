"""Tasks of nodes, graphs and sequences: a model, a readout and a head, trained on what batches have as targets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from ..learning.rule import Rule
from ..models.model import check_model
from ..structure import chains
from .data import SequenceBatch
from .objectives import Objective
from .task import MakeOptimizer, MakeScheduler, Task

Readout = Callable[[Tensor, Any], Tensor]


class Network(nn.Module):
    """A model with what stands before and behind it, called with a batch.

    outputs = head(readout(model(encoder(x), s), s))

    Args:
        model: called as `model(x, s)`; returns `[N, H]`.
        head: from `[·, H]` to outputs; None: the rows themselves.
        readout: from (`[N, H]`, s) to a row for each graph; None: a row for each node.
        encoder: from the batch's inputs to x, such as an `nn.Embedding`; None: they are x.
        inputs: the attribute of a batch that has them.
    """

    def __init__(
        self,
        model: nn.Module,
        head: nn.Module | None = None,
        readout: Readout | None = None,
        encoder: nn.Module | None = None,
        inputs: str = "x",
    ) -> None:
        super().__init__()
        self.model: Any = check_model(model)
        self.encoder, self.head, self.readout, self.inputs = encoder, head, readout, inputs
        for name, part in (("readout", readout), ("head", head), ("encoder", encoder)):
            if part is not None and not callable(part):
                raise TypeError(f"{name} must be a function or module, got {type(part).__name__}.")

    def forward(self, batch: Any) -> Tensor:
        x = getattr(batch, self.inputs, None)
        if x is None:
            mend = (
                "pairs (x, y) are joined by Samples(..., collate_fn=graphrec.train.join_sequences)"
                if isinstance(batch, tuple | list)
                else "name another by inputs=..."
            )
            raise ValueError(
                f"the batch, a {type(batch).__name__}, has no {self.inputs!r}, which the model reads: {mend}."
            )
        s = batch.structure if isinstance(batch, SequenceBatch) else batch
        rows = self.model(x if self.encoder is None else self.encoder(x), s)
        rows = rows if self.readout is None else self.readout(rows, s)
        return rows if self.head is None else self.head(rows)


class NodeTask(Task):
    """A target for each node, `batch.y` `[N]` or `[N, ·]`.

    Which nodes count: of batches of `graphrec.loader.Cones` the targets (`target_index`); else those of the stage's
    mask, as PyG's data sets have it (`train_mask`, `val_mask`, `test_mask`, each `[N]` bool); without any of these,
    all.

    Args:
        model: called as `model(x, s)`; returns `[N, H]`.
        head: from `[N, H]` to outputs; None: the rows themselves.
        objective: the loss and the metrics.
        encoder, inputs: see `Network`.
        rule, optimizer, scheduler, seed: see `Task`.
    """

    def __init__(
        self,
        model: nn.Module,
        head: nn.Module | None,
        objective: Objective,
        *,
        encoder: nn.Module | None = None,
        inputs: str = "x",
        rule: Rule | None = None,
        optimizer: MakeOptimizer = partial(AdamW, lr=1e-3),  # noqa: B008
        scheduler: MakeScheduler | None = None,
        seed: int = 0,
    ) -> None:
        network = Network(model, head, None, encoder, inputs)
        super().__init__(network, objective, rule=rule, optimizer=optimizer, scheduler=scheduler, seed=seed)

    def rows(self, batch: Any, stage: str) -> tuple[Tensor, Tensor]:
        """Those of the nodes that count."""
        outputs, y = self(batch), self.targets(batch)
        if len(outputs) != len(y):
            raise ValueError(
                f"a NodeTask takes a target for each node, {len(outputs)} here, got y of shape {tuple(y.shape)}: a "
                f"target for each graph is for GraphTask."
            )
        chosen = getattr(batch, "target_index", None)
        chosen = _mask(batch, stage, len(outputs)) if chosen is None else chosen
        return (outputs, y) if chosen is None else (outputs[chosen], y[chosen])


def _mask(batch: Any, stage: str, nodes: int) -> Tensor | None:
    """The mask of a stage; None where a batch has none of any stage."""
    masks = {name: getattr(batch, f"{name}_mask", None) for name in ("train", "val", "test")}
    mask, others = masks[stage], [f"{name}_mask" for name, found in masks.items() if found is not None]
    if mask is None:
        if others:
            raise ValueError(
                f"the batch has {', '.join(others)} and no {stage}_mask, without which the nodes of the others would "
                f"count, too: set data.{stage}_mask, [N] bool (torch.ones(N, dtype=torch.bool): all)."
            )
        return None
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != (nodes,):
        told = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"{stage}_mask says of each of {nodes} nodes whether it counts, [N] bool, got {told}: mask.bool(), or a "
            f"column of it, mask[:, 0]."
        )
    return mask


class GraphTask(Task):
    """A target for each graph, `batch.y` `[G]` or `[G, ·]`.

    Args:
        model: called as `model(x, s)`; returns `[N, H]`.
        readout: from (`[N, H]`, s) to `[G, ·]`: one of `graphrec.readout`, or a module.
        head: from there to outputs; None: the rows themselves.
        objective: the loss and the metrics.
        encoder, inputs: see `Network`.
        rule, optimizer, scheduler, seed: see `Task`.
    """

    def __init__(
        self,
        model: nn.Module,
        readout: Readout | None,
        head: nn.Module | None,
        objective: Objective,
        *,
        encoder: nn.Module | None = None,
        inputs: str = "x",
        rule: Rule | None = None,
        optimizer: MakeOptimizer = partial(AdamW, lr=1e-3),  # noqa: B008
        scheduler: MakeScheduler | None = None,
        seed: int = 0,
    ) -> None:
        network = Network(model, head, readout, encoder, inputs)
        super().__init__(network, objective, rule=rule, optimizer=optimizer, scheduler=scheduler, seed=seed)

    def rows(self, batch: Any, stage: str) -> tuple[Tensor, Tensor]:
        """All."""
        outputs, y = self(batch), self.targets(batch)
        if len(outputs) != len(y):
            raise ValueError(
                f"got {len(outputs)} rows of outputs and targets y of shape {tuple(y.shape)}: a target for each graph "
                f"goes with a readout (graphrec.readout.mean, ...), one for each node or step with none."
            )
        return outputs, y


class SequenceTask(GraphTask):
    """A target for each sequence, or for each of its steps.

    Batches are `SequenceBatch`es, which `join_sequences` makes of pairs (x `[T, D]`, y), or PyG's data of chains. With
    a readout, such as `graphrec.readout.last`, there is a target for each sequence; with None one for each step, whose
    rows stand sequence after sequence.

    Args:
        model, readout, head, objective, encoder, inputs, rule, optimizer, scheduler, seed: see `GraphTask`.
    """

    def targets(self, batch: Any) -> Tensor:
        """Those of its sequences, or of their steps."""
        y = super().targets(batch)
        if (
            self.network.readout is not None
            and isinstance(batch, SequenceBatch)
            and len(y) != batch.num_graphs
        ):
            # Targets of as many numbers as each sequence of this batch has steps, which `join_sequences` took for such.
            steps = len(batch.x) // max(batch.num_graphs, 1)
            if len(y) == batch.num_graphs * steps and batch.structure == chains([steps] * batch.num_graphs):
                y = y.unflatten(0, (batch.num_graphs, steps))
        return y
