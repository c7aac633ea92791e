"""The edges of a schedule sorted by the level that they leave, along which the loop sends its states."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..structure import native
from .derived import derived
from .plan import Schedule


class OutEdges(NamedTuple):
    """Which rows of a new state go to which later steps.

    Attributes:
        row: `[E]`, the source of each edge as a row of its own level, sorted by source level and reading step.
        counts: per level, how many rows go to each of its readers.
        readers: per level, the steps that read it, in ascending order.
        bounds: where in `row` each level begins.
        gather: `[E]`, for each inbox edge the index of its row among those that its step has received.
        is_whole: for each level whether it sends each of its rows exactly once, unpermuted, to its readers.
        is_sorted: for each step whether it receives its rows already sorted as its inbox edges are.
    """

    row: Tensor
    counts: list[list[int]]
    readers: list[list[int]]
    bounds: list[int]
    gather: Tensor
    is_whole: list[bool]
    is_sorted: list[bool]


@derived
def out_edges(plan: Schedule) -> OutEdges:
    """For a schedule in async mode; level 0 is the boundary rows, level k + 1 those of step k."""
    rows = torch.tensor(plan.steps.row_bounds, device=plan.device)
    given = (rows, plan.steps.edges.to(plan.device), plan.source)
    found = native.out_edges(*given) or _by_level(*given)
    counts: list[list[int]] = [[] for _ in range(len(plan.steps) + 1)]
    readers: list[list[int]] = [[] for _ in range(len(plan.steps) + 1)]
    runs = (numbers.tolist() for numbers in (found.sender, found.reader, found.length))
    for sender, reader, count in zip(*runs, strict=True):
        counts[sender].append(count)
        readers[sender].append(reader)
    bounds, is_whole, is_sorted = (each.tolist() for each in (found.bounds, found.is_whole, found.is_sorted))
    return OutEdges(found.row, counts, readers, bounds, found.gather, is_whole, is_sorted)


def _by_level(rows: Tensor, edges: Tensor, source: Tensor) -> native.OutEdges:
    count, steps = len(source), len(edges) - 1
    level = torch.searchsorted(rows, source, right=True) - 1
    # Empty levels (no boundary rows) share their bound with the next one; searchsorted finds the last of them.
    step = torch.searchsorted(edges, torch.arange(count, device=edges.device), right=True) - 1
    sent = torch.argsort(level * steps + step, stable=True)
    received = torch.argsort(step * (steps + 1) + level, stable=True)
    gather = torch.empty_like(received)
    gather[received] = torch.arange(count, device=edges.device) - edges[step]
    runs, length = torch.unique_consecutive(torch.stack([level, step])[:, sent], dim=1, return_counts=True)
    per_level = torch.bincount(level, minlength=steps + 1)
    bounds = torch.cat([per_level.new_zeros(1), torch.cumsum(per_level, 0)])
    row = (source - rows[level])[sent]
    is_whole, is_sorted = _count_up(row, bounds, rows.diff()), _count_up(gather, edges, edges.diff())
    return native.OutEdges(row, gather, runs[0], runs[1], length, bounds, is_whole, is_sorted)


def _count_up(numbers: Tensor, bounds: Tensor, sizes: Tensor) -> Tensor:
    """For each part of the numbers, from one bound to the next, whether it is 0, 1, 2, … up to its size."""
    counts = bounds.diff()
    part = torch.repeat_interleave(torch.arange(len(counts), device=bounds.device), counts)
    wrong = numbers != torch.arange(len(numbers), device=bounds.device) - bounds[part]
    return (torch.bincount(part[wrong], minlength=len(counts)) == 0) & (counts == sizes)
