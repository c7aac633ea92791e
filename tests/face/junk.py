"""Arguments that make no sense, and what is a proper answer to them.

A proper answer is a result that is sound, or an error that graphrec itself raises, with a message. What torch, numpy or
Python raise deep inside (an `AttributeError`, an `IndexError`, torch's `RuntimeError`) is none.
"""

from __future__ import annotations

import dis
import resource
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import networkx as nx
import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Data

import graphrec as gr

LIBRARY = str(Path(gr.__file__).parent)
# More than an address space holds, and more than any test may have: nothing that is drawn lies between them and 100,
# for a structure of a hundred million nodes is no junk, but much work.
HUGE = (2**45, 2**62, 2**63, 2**70)
MEMORY = 4 * 2**30  # bytes beyond what the process has
SECONDS = 60
# What torch, numpy and Python say of sizes that there is no room for, in lower case.
NO_ROOM = (
    *(
        "can't allocate memory",
        "not enough memory",
        "unable to allocate",
        "maximum allowed",
        "array is too big",
    ),
    *(
        "invalid array size",
        "overflow",
        "exceeds the limit",
        "symintarrayref",
        "too big to convert",
        "cannot fit 'int'",
    ),
)
NUMBERS = [
    *(0, 1, -1, -2, 3, True, False, *HUGE, *(-huge for huge in HUGE)),
    *(0.0, 0.5, -1.5, 1e300, float("nan"), float("inf"), -float("inf"), 1j),
    *(np.int64(2), np.float32(0.5), np.bool_(True), np.array(3), "1", "-1", "nan"),
]
SHAPES = [(), (0,), (1,), (2,), (3,), (2, 0), (0, 2), (2, 2), (2, 3), (3, 2), (1, 2, 3)]
DTYPES = [
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.bool),
    *(torch.long, torch.int32, torch.int8, torch.uint8),
]
FILLS = [0, 1, -1, 2, 7, -(2**40), 2**40, 2**62, float("nan"), float("inf")]
X = torch.ones(2, 2)
# Made anew each time, as a call may keep, or change, what it is given.
THINGS: list[Callable[[], Any]] = [
    *(lambda value=value: value for value in (None, "", "a", "(a b)", "ä\0", b"ab", (), ..., int, object())),
    *(list, dict, lambda: set(), lambda: [None], lambda: ["a", 1], lambda: [[]], lambda: [-1]),
    *(lambda: {"a": 1}, lambda: {0: X}, lambda: [X], lambda: (X, X), lambda: [[1, 2], [3]], lambda: range(3)),
    *(
        lambda: iter([1, 2]),
        lambda: lambda *_: None,
        lambda: [1.5, 2.5],
        lambda: [2**70],
        lambda: [True, False],
    ),
    *(lambda: np.ones((2, 2)), lambda: np.array(["a"]), lambda: np.array([None, 1]), lambda: np.array([])),
    *(lambda: np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]), lambda: np.datetime64("2020-01-01")),
    *(
        lambda: X.to_sparse(),
        lambda: torch.nested.nested_tensor([torch.ones(2)] * 2),
        lambda: torch.device("cpu"),
    ),
    *(lambda: nn.Linear(2, 2), lambda: nn.ReLU(), lambda: nn.ModuleList(), lambda: nn.Embedding(3, 2)),
    *(lambda: gr.SRNCell(2, 2), lambda: gr.GRU(2, 2), lambda: gr.LSTMCell, lambda: nn.LSTM(2, 2)),
    *(lambda: gr.chain(3), lambda: gr.chains([]), lambda: gr.dag([[0, 1], [1, 0]])),
    *(
        lambda: gr.schedule(gr.chain(2)),
        lambda: gr.trie([[1, 2]]),
        lambda: gr.FixedPoint(),
        lambda: gr.per_graph(X),
    ),
    *(lambda: Data(), lambda: Data(x=X), lambda: Data(edge_index=X), lambda: Data(edge_index=X.long() * 9)),
    *(lambda: nx.DiGraph([(0, 1)]), lambda: nx.Graph(), lambda: torch.float32, lambda: ValueError("a")),
    *(lambda: gr.episodes(torch.ones(2, 2, dtype=torch.bool)), lambda: gr.SRNCell(2, 2).State(X)),
]


def tensors() -> st.SearchStrategy[Any]:
    """Of any dtype, of few shapes, with numbers that are out of range or none."""
    return st.builds(filled, st.sampled_from(SHAPES), st.sampled_from(DTYPES), st.sampled_from(FILLS))


def filled(shape: tuple[int, ...], dtype: torch.dtype, value: float) -> torch.Tensor:
    """Full of the number; of ones where the dtype does not have it."""
    try:
        return torch.full(shape, value, dtype=dtype)
    except RuntimeError:
        return torch.ones(shape, dtype=dtype)


def junk() -> st.SearchStrategy[Any]:
    """Anything at all."""
    return st.sampled_from(NUMBERS) | tensors() | st.sampled_from(THINGS).map(lambda make: make())


def damaged(value: Any) -> st.SearchStrategy[Any]:
    """What is nearly right: the value with one thing about it changed."""
    if isinstance(value, torch.Tensor):
        return _damaged_tensor(value)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        kind = type(value)
        worse = junk().map(lambda member: kind([*value, member]))
        return worse | st.sampled_from([kind(value[:-1]), kind([value]), kind(value[::-1])])
    if isinstance(value, gr.Structure):
        return st.sampled_from(
            [gr.batch([value, gr.chain(2)]) if _is_bare(value) else gr.chain(9), value.reverse()]
        )
    return junk()


def _is_bare(s: gr.Structure) -> bool:
    return all(
        getattr(s, name) is None
        for name in ("relation", "edge_attr", "edge_weight", "kind", "past", "tokens", "labels")
    )


def _damaged_tensor(value: torch.Tensor) -> st.SearchStrategy[Any]:
    dtypes = [torch.float64, torch.float16, torch.long, torch.int32, torch.bool, torch.complex64]
    changes = [
        *(lambda t, dtype=dtype: t.to(dtype) for dtype in dtypes),
        *(lambda t: t[:-1] if t.dim() else t, lambda t: torch.cat([t, t]) if t.dim() else t),
        *(lambda t: t.unsqueeze(0), lambda t: t.unsqueeze(-1), lambda t: t.flatten(), lambda t: t.sum()),
        *(lambda t: t.t() if t.dim() == 2 else t, lambda t: -t - 1 if t.dtype != torch.bool else ~t),
        *(lambda t: t.tolist(), lambda t: t.numpy(), lambda t: t.to_sparse()),
        lambda t: torch.full_like(t, float("nan")) if t.is_floating_point() else t + 9,
    ]
    return st.sampled_from(changes).map(lambda change: change(value.detach().clone()))


def is_refusal(error: BaseException) -> bool:
    """Whether it is an error of a kind for wrong arguments, raised by a line of graphrec, and says something."""
    if isinstance(error, MemoryError) or any(text in str(error).lower() for text in NO_ROOM):
        return True  # (what is asked for makes sense, but there is no room for it)
    if not isinstance(error, ValueError | TypeError | ImportError | NotImplementedError):
        return False
    return len(str(error)) > 10 and (_is_of_the_call(error) or raised_by(error, LIBRARY))


def raised_by(error: BaseException, folder: str) -> bool:
    """Whether a `raise` statement in this folder raised it, and not something that was called there."""
    last = error.__traceback__
    while isinstance(last, TracebackType) and last.tb_next is not None:
        last = last.tb_next
    if last is None or not last.tb_frame.f_code.co_filename.startswith(folder):
        return False
    operation = dis.opname[last.tb_frame.f_code.co_code[last.tb_lasti]]
    return operation in ("RAISE_VARARGS", "RERAISE")


def _is_of_the_call(error: BaseException) -> bool:
    """Whether Python says that the arguments are not those of the signature."""
    return (
        isinstance(error, TypeError)
        and any(
            text in str(error) for text in ("missing", "unexpected keyword argument", "positional argument")
        )
        and len(traceback.extract_tb(error.__traceback__)) <= 3
    )


class Hung(AssertionError):
    """A call took longer than any call may."""


@contextmanager
def within_limits() -> Iterator[None]:
    """Calls within it have so much memory, and so many seconds."""

    def stop(*_: Any) -> None:
        raise Hung(f"took more than {SECONDS} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = (
        int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    )
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        if pages is not None:
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
