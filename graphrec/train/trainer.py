"""Lightning's trainer with our defaults, in as many processes as were started."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.strategies import DDPStrategy

from .callbacks import EpochLines
from .files import AtomicCheckpointIO


def make_trainer(*, callbacks: Sequence[Callback] = (), **options: Any) -> L.Trainer:
    """Lightning's Trainer, with a progress bar on a terminal and else a line per epoch, checkpoints that are written
    whole or not at all, and samples that `graphrec.loader` deals to processes.

    Args:
        callbacks, options: of Lightning's `Trainer`. Its own defaults hold but for no logger, no summary of the model,
            and one device; where `torchrun` has started the processes, as many as it has.

    Raises:
        ValueError: other numbers of devices and nodes than `torchrun` has started processes for.
    """
    # At this level Lightning reports devices and advertisements.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # The samples are in memory: worker processes would only copy them.
    warnings.filterwarnings("ignore", ".*does not have many workers", PossibleUserWarning)
    # Runs resume from a folder with checkpoints.
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty", UserWarning)
    # Lightning 2.6 asks torch's pytree about leaves the old way in every fit.
    warnings.filterwarnings("ignore", r".*treespec, LeafSpec\)", FutureWarning)
    bar = sys.stdout.isatty() and options.pop("enable_progress_bar", True)
    settings: dict[str, Any] = {
        "accelerator": "cuda" if torch.cuda.is_available() else "cpu",
        **_started(),
        "logger": False,
        "enable_model_summary": False,
        "enable_progress_bar": bar,
        "enable_checkpointing": any(isinstance(c, ModelCheckpoint) for c in callbacks),
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
        "plugins": [AtomicCheckpointIO()],
        "callbacks": [*callbacks, TQDMProgressBar(leave=True) if bar else EpochLines()],
    } | options
    _check_started(settings)
    if settings["devices"] != 1 or settings["num_nodes"] != 1:
        settings.setdefault("strategy", _ddp(settings["accelerator"]))
    return L.Trainer(**settings)


def _started() -> dict[str, int]:
    """The devices of a machine, and the machines, for which `torchrun` has started processes."""
    return {
        "devices": int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
        "num_nodes": int(os.environ.get("GROUP_WORLD_SIZE", 1)),
    }


def _check_started(settings: dict[str, Any]) -> None:
    """Each process would train by itself, and all write the same files."""
    devices, started = settings["devices"], int(os.environ.get("WORLD_SIZE", 0))
    count = len(devices) if isinstance(devices, list | tuple) else devices
    if started and isinstance(count, int) and count > 0 and count * settings["num_nodes"] != started:
        raise ValueError(
            f"{started} processes were started, and devices={devices}, num_nodes={settings['num_nodes']} are for "
            f"{count * settings['num_nodes']}: leave both out under torchrun, or give its numbers."
        )


def _ddp(accelerator: str) -> DDPStrategy:
    """A batch of leaves alone reaches no weights of edges, which DDP must not wait for."""
    return DDPStrategy(
        find_unused_parameters=True, process_group_backend="gloo" if accelerator == "cpu" else None
    )
