"""What a value holds, to see whether a call has changed it."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch_geometric.data.data import BaseData

import graphrec as gr


def fingerprint(value: Any) -> Any:
    """Nested tuples that are equal if the values hold the same. What nobody can change is itself."""
    if isinstance(value, torch.Tensor):
        return _of_tensor(value)
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, nn.Module):
        return (type(value), value.training, fingerprint(dict(value.state_dict())))
    if isinstance(value, gr.Structure | gr.Trie | gr.Episodes | gr.EdgeFeatures):
        held = {k: v for k, v in sorted(vars(value).items()) if k not in ("cache", "level", "level_reversed")}
        return (type(value), fingerprint({k: v for k, v in held.items() if not k.startswith("_")}))
    if isinstance(value, gr.Schedule):
        return (repr(value), _of_tensor(value.perm), _of_tensor(value.source), _of_tensor(value.target))
    if isinstance(value, BaseData):
        return (type(value), fingerprint(value.to_dict()))
    if isinstance(value, nx.Graph):
        return (fingerprint(list(value.nodes(data=True))), fingerprint(list(value.edges(data=True))))
    if isinstance(value, PackedSequence):
        return tuple(fingerprint(part) for part in tuple(value))
    if isinstance(value, dict):
        return tuple((key, fingerprint(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return (type(value), tuple(fingerprint(item) for item in value))
    return repr(value) if isinstance(value, int | float | str | bytes | None) else id(value)


def _of_tensor(value: torch.Tensor) -> Any:
    if value.is_meta or value.is_nested or value.layout != torch.strided:
        return (id(value), value._version)
    # (A row of one number may have any stride, and counts as contiguous.)
    held = value.detach().reshape(-1).clone(memory_format=torch.contiguous_format)
    kind = value.requires_grad, str(value.dtype), tuple(value.shape)
    return (*kind, held.view(torch.uint8).numpy().tobytes() if held.numel() else b"")
