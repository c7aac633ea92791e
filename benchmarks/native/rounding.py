"""Products in bfloat16 beside those in float32: what torch's setting gains on trees, and what it costs in precision."""

from __future__ import annotations

from collections.abc import Callable

import torch

from graphrec import clib

from ..forests import sentiment_forest
from ..trees import MODES, SETTINGS, GraphRec, make_layer
from .figures import Figure, Target
from .race import NEW, Made, Race

BFLOAT16 = "bfloat16"
TARGET = Target(1.5, None)


def products_in_bfloat16(rounds: int, quick: bool) -> list[Figure]:
    """A Tree-LSTM with `torch.set_float32_matmul_precision("medium")`; the target is for the largest setting."""
    found: list[Figure] = []
    for batch, hidden in SETTINGS[:1] if quick else SETTINGS:
        forest = sentiment_forest(batch)
        ours = GraphRec(make_layer(forest.structure, hidden), forest.structure)
        case = f"{batch} {forest.origin}, H={hidden}"
        for mode in MODES:
            task = ours.train if mode == "training" else ours.infer
            race = Race(task)
            if clib.has_bf16():
                race.add(BFLOAT16, rounding(task))
            else:
                race.missing[BFLOAT16] = "the processor, or the library, has no products of bfloat16"
            target = TARGET if mode == "training" and (batch, hidden) == SETTINGS[-1] else None
            figure = race.run(rounds).figure(f"Tree-LSTM, {mode}", case, NEW, BFLOAT16, target)
            if figure.ratios:
                figure = figure._replace(detail=f"{figure.detail}; relative error at most {_error(ours):.1e}")
            found.append(figure)
    return found


def rounding(task: Callable[[], Made]) -> Callable[[], Made]:
    """The task with products of float32 in bfloat16."""

    def rounded() -> Made:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            return task()
        finally:
            torch.set_float32_matmul_precision(before)

    return rounded


def _error(ours: GraphRec) -> float:
    """The largest relative error, in norm, of values and gradients against float32's."""
    exact, found = ours.results(), rounding(ours.results)()
    return max(float((one - other).norm() / other.norm()) for one, other in zip(found, exact, strict=True))
