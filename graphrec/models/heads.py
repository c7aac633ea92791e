"""Heads of sequence models: a class per sequence, a label per node."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..io import StructureLike
from ..readout import mean, root
from ..structure.checks import as_count, check_one_of
from ..weights import Resettable
from .calls import structure_given
from .model import check_model, count_states

_READOUTS: dict[str, Any] = {"mean": mean, "root": root}


class SequenceToClass(Resettable):
    """Sequence to class: a readout of the states, and a linear layer over it.

        y = V r + c,  r the last state or the mean state of the sequence

    Graves, *Supervised Sequence Labelling with Recurrent Neural Networks* (2012), section 2.3.1.

    Args:
        model: called as `model(x, s)`.
        hidden: H, the width of what it returns.
        classes: C.
        readout: `"last"`, the model's final row (of both directions, if it has two); `"mean"`; `"root"` (for
            trees); or a function or module of (h, s).

    Raises:
        ValueError: an unknown readout, or `"last"` of a model that has no final state.
    """

    def __init__(self, model: nn.Module, hidden: int, classes: int, readout: Any = "last") -> None:
        super().__init__()
        check_model(model)
        if not callable(readout):
            check_one_of("readout", readout, ["last", *_READOUTS], otherwise=", or a function")
        if readout == "last" and not count_states(model):
            raise ValueError(
                f"{type(model).__name__} has no final state: read out the mean, or something else."
            )
        self.model: Any = model
        self.readout: Any = readout if callable(readout) else _READOUTS.get(readout)
        self.output: nn.Linear = nn.Linear(as_count("hidden", hidden, 1), as_count("classes", classes, 1))

    def forward(self, x: Tensor, s: StructureLike) -> Tensor:
        """`[N, D] → [G, C]`: logits."""
        structure = structure_given(self.model, x, s)
        if self.readout is None:
            _, states = self.model(x, structure, return_states=True)
            return self.output(self.model.final(states))
        return self.output(self.readout(self.model(x, structure), structure))


class SequenceToLabels(Resettable):
    """Synchronous sequence to sequence: a label for every node.

        y_t = V h_t + c

    Graves, *Supervised Sequence Labelling with Recurrent Neural Networks* (2012), section 2.3.2.

    Args:
        model: called as `model(x, s)`.
        hidden: H, the width of what it returns.
        labels: L.
    """

    def __init__(self, model: nn.Module, hidden: int, labels: int) -> None:
        super().__init__()
        self.model: Any = check_model(model)
        self.output: nn.Linear = nn.Linear(as_count("hidden", hidden, 1), as_count("labels", labels, 1))

    def forward(self, x: Tensor, s: StructureLike) -> Tensor:
        """`[N, D] → [N, L]`: logits."""
        return self.output(self.model(x, s))
