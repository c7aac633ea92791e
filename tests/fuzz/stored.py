"""Readers of what graphrec and the examples have stored: data sets, series, and the files from which runs resume."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from functools import partial

import torch
from data import traffic_files
from torch import nn
from torch_geometric.data import Data

import graphrec as gr
from graphrec.datasets import _base
from graphrec.loader import ShuffledSampler
from graphrec.train import DamagedFileError, Progress, files, load_weights, read_progress
from tests.fuzz.reading import accepted, read_file, text_of

PART = b"\n---\n"  # between the parts of an input that stand for members of an archive
# How torch's pickles name what they are made of.
SAVED = (
    "ctorch._utils\n_rebuild_tensor_v2\n",
    "ccollections\nOrderedDict\n",
    "FloatStorage",
    "Q",
    "R",
    "X\1\0\0\0",
)


def series_file(data: bytes) -> None:
    for archive in (data, _archive({"data.npy": data})):
        values = read_file(lambda path: traffic_files._read_array(path, 0), archive, ".npz")
        assert values is None or (values.dim() == 2 and values.dtype == torch.float32)


def cached_file(data: bytes) -> None:
    for archive in (data, _saved_by_torch(data)):
        samples = read_file(_base._load, archive, ".pt")
        if samples is not None:
            assert isinstance(samples.data, Data)
            assert isinstance(samples.slices, dict)
            assert isinstance(samples.info, dict)


def checkpoint(data: bytes) -> None:
    for archive in (data, _saved_by_torch(data)):
        progress = read_file(read_progress, archive, ".ckpt", errors=(DamagedFileError,))
        assert progress is None or _is_progress(progress)
        module = nn.Linear(2, 1)
        read_file(partial(load_weights, module), archive, ".ckpt", errors=(DamagedFileError, ValueError))
        assert [(*p.shape, p.dtype) for p in module.parameters()] == [(1, 2, torch.float), (1, torch.float)]


def finished(data: bytes) -> None:
    """What a run says of itself at its end."""
    progress = read_file(files.read_done, data, ".json", errors=(DamagedFileError,))
    if progress is not None:
        assert _is_progress(progress)
        again = read_file(files.read_done, json.dumps(progress._asdict()).encode(), ".json")
        assert repr(again) == repr(progress)  # the score may be NaN


def position(data: bytes) -> None:
    """Where a loader has stopped, as a checkpoint has it."""
    try:
        state = json.loads(text_of(data))
    except (ValueError, RecursionError):
        return
    sampler = ShuffledSampler(5, 2)
    loader = gr.DataLoader([Data(x=torch.tensor([i])) for i in range(5)], batch_sampler=sampler)
    if accepted(lambda: loader.load_state_dict(state) or loader) is None:
        return
    epoch, taken = state["epoch"], state["taken"]
    is_over = epoch < 0 or taken >= len(sampler)
    rest = sampler.all_batches(epoch + 1) if is_over else sampler.all_batches(epoch)[taken:]
    assert [batch.x.tolist() for batch in loader] == rest


def _archive(members: Mapping[str, bytes]) -> bytes:
    """A zip file: no change of its bytes would get past its checksums, so what is inside is changed instead."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _saved_by_torch(data: bytes) -> bytes:
    """A file of `torch.save`: a pickle, and the numbers of its tensors."""
    pickled, *numbers = data.split(PART)
    stored = {f"file/data/{i}": content for i, content in enumerate(numbers)}
    return _archive({"file/data.pkl": pickled, **stored, "file/version": b"3\n", "file/byteorder": b"little"})


def _is_progress(found: Progress) -> bool:
    counts = (found.epochs, found.waited, found.steps)
    return all(type(count) is int and count >= 0 for count in counts) and type(found.score) is float
