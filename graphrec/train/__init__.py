"""Training with Lightning: tasks around any model, data that resume, runs that go on where they were killed.

Belongs here: what is the same in every training. Does not: models, learning rules, which samples make a batch (loader).
Imported when asked for: it needs Lightning and torchmetrics, in a checkout `pip install '.[train]'`.
"""

try:
    import lightning  # noqa: F401
    import torchmetrics  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"graphrec.train needs {error.name}, which is not installed: pip install 'graphrec[train]'."
    ) from error

from .callbacks import EpochLines, History
from .data import Samples, SequenceBatch, join_sequences
from .files import (
    BEST,
    DONE,
    HISTORY,
    LAST,
    AtomicCheckpointIO,
    DamagedFileError,
    Progress,
    load_weights,
    read_progress,
)
from .fitting import Fitted, fit, test
from .objectives import Objective, classification, regression
from .stream import StreamTask
from .task import Task
from .tasks import GraphTask, NodeTask, SequenceTask
from .trainer import make_trainer

__all__ = [
    "BEST",
    "DONE",
    "HISTORY",
    "LAST",
    "AtomicCheckpointIO",
    "DamagedFileError",
    "EpochLines",
    "Fitted",
    "GraphTask",
    "History",
    "NodeTask",
    "Objective",
    "Progress",
    "Samples",
    "SequenceBatch",
    "SequenceTask",
    "StreamTask",
    "Task",
    "classification",
    "fit",
    "join_sequences",
    "load_weights",
    "make_trainer",
    "read_progress",
    "regression",
    "test",
]
