"""Means over the rows of all processes that train together."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def mean_over_processes(losses: Tensor, rows: int) -> tuple[Tensor, int]:
    """The loss of a process whose gradients, averaged over processes as DDP does, are those of the mean over all rows.

    sum over processes (1 / W) d[ (W / M) L_p ] = d[ (1 / M) sum of all rows ],  M the rows of all processes

    Args:
        losses: one for each row, of any shape; or one number.
        rows: how many there are, where it is one number.

    Returns:
        the loss, `[]`, and how many losses this process has.

    Raises:
        ValueError: one number, in several processes: what it is a mean of is unknown.
    """
    if losses.dim() == 0:
        if is_distributed():
            raise ValueError(
                "the loss is one number, and in several processes it must be known what it is a mean of, or gradients "
                "would be those of another loss wherever processes have unequal numbers of rows: return a loss for "
                "each row (reduction='none')."
            )
        return losses, rows
    count = losses.numel()
    if not is_distributed():
        return losses.sum() / max(count, 1), count
    total = torch.tensor(float(count), dtype=torch.float64, device=losses.device)
    dist.all_reduce(total)
    share = dist.get_world_size() / total.clamp(min=1)
    return losses.sum() * share.to(losses.dtype), count


def is_distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
