"""Resets and states of rollouts that do not fit: refused before any work, with a word on how to mend it."""

import numpy as np
import pytest
import torch

import graphrec as gr

T, B, D, H = 4, 3, 2, 5
IS_FIRST = torch.tensor([[0, 1, 1], [0, 0, 0], [1, 0, 1], [0, 0, 1]], dtype=torch.bool)
X, STATE = torch.zeros(T, B, D), (torch.zeros(1, B, H), torch.zeros(1, B, H))
NET = gr.Sequences(gr.LSTM(D, H), batch_first=False)

RESETS = {
    "numbers": (IS_FIRST.float(), TypeError, r"bool tensor \[T, B\].*got torch.float32.*is_first.bool\(\)"),
    "whole numbers": (IS_FIRST.long(), TypeError, r"got torch.int64.*is_first.bool\(\)"),
    "an array": (IS_FIRST.numpy(), TypeError, r"got ndarray.*torch.as_tensor\(is_first, dtype=torch.bool\)"),
    "a list": (IS_FIRST.tolist(), TypeError, "got list.*torch.as_tensor"),
    "one column": (IS_FIRST[:, 0], ValueError, r"\[T, B\].*got shape \(4,\)"),
    "a feature too many": (IS_FIRST.unsqueeze(2), ValueError, r"got shape \(4, 3, 1\)"),
    "no values": (IS_FIRST.to("meta"), ValueError, "is_first has no values here"),
}


@pytest.mark.parametrize(("is_first", "kind", "said"), RESETS.values(), ids=RESETS)
@pytest.mark.parametrize(
    "use",
    [gr.episodes, lambda f: gr.from_resets(X, f), lambda f: NET(X, STATE, is_first=f)],
    ids=["episodes", "from_resets", "a call"],
)
def test_resets(use, is_first, kind, said):
    with pytest.raises(kind, match=said):
        use(is_first)


ROLLOUTS = {
    "other steps": (torch.zeros(T + 1, B, D), r"expected a tensor \[4, 3, '...'\], got shape \(5, 3, 2\)"),
    "other columns": (torch.zeros(T, B + 1, D), r"got shape \(4, 4, 2\)"),
    "columns first": (X.transpose(0, 1), r"got shape \(3, 4, 2\)"),
    "rows": (X.flatten(0, 1), r"got shape \(12, 2\)"),
    "an array": (np.zeros((T, B, D)), "got ndarray"),
    "a list": ([X], "got list"),
    "a nested tensor": (torch.nested.nested_tensor([X[0], X[1]], layout=torch.jagged), "got a nested tensor"),
}


@pytest.mark.parametrize(("x", "said"), ROLLOUTS.values(), ids=ROLLOUTS)
@pytest.mark.parametrize(
    "use",
    [lambda x: gr.from_resets(x, IS_FIRST), lambda x: NET(x, STATE, is_first=IS_FIRST)],
    ids=["from_resets", "a call"],
)
def test_rollouts(use, x, said):
    with pytest.raises(ValueError, match=f"steps and columns of is_first: .*{said}"):
        use(x)


@pytest.mark.parametrize(
    "use", [lambda x: gr.from_resets(x, IS_FIRST), lambda x: NET(x, STATE, is_first=IS_FIRST)]
)
def test_sparse_rollouts(use):
    with pytest.raises(TypeError, match=r"x must be a dense tensor, got torch.sparse_coo: .*to_dense"):
        use(X.to_sparse())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_rollouts_on_another_device():
    with pytest.raises(ValueError, match=r"x is on cuda:0, but is_first is on cpu: move one of them"):
        gr.from_resets(X.cuda(), IS_FIRST)
    with pytest.raises(ValueError, match=r"carried states are on cuda:0, but is_first was on cpu"):
        E.initial(torch.zeros(B, H, device="cuda"))


E = gr.episodes(IS_FIRST)
STATES = {
    "of other columns": (
        lambda: E.initial(torch.zeros(B + 1, H)),
        ValueError,
        r"3 \(one per column\) rows.*\(4, 5\)",
    ),
    "of episodes": (
        lambda: E.initial(torch.zeros(6, H)),
        ValueError,
        r"carried states must have 3 \(one per column",
    ),
    "a number": (lambda: E.initial(torch.tensor(0.0)), ValueError, r"got shape \(\)"),
    "a word": (
        lambda: E.initial("zeros"),
        TypeError,
        "tensor, a State of tensors, or a list of these, got str",
    ),
    "none of a part": (lambda: E.initial([STATE[0][0], None]), ValueError, "column 0 goes on.*was not given"),
    "other rows of reset": (
        lambda: E.initial(torch.zeros(B, H), torch.zeros(2, H)),
        ValueError,
        r"reset states must have 1 \(one for all\) or 3 \(one per column\) or 6 \(one per episode\) rows.*\(2, 5\)",
    ),
    "a reset of another width": (
        lambda: E.initial(torch.zeros(B, H), torch.zeros(1, H + 1)),
        ValueError,
        r"as wide as carried ones, \[5\], got \[6\]",
    ),
    "a reset of another dtype": (
        lambda: E.initial(torch.zeros(B, H), torch.zeros(1, H).double()),
        TypeError,
        "torch.float32 on cpu as carried ones are, got torch.float64",
    ),
    "a reset of one field": (
        lambda: E.initial((torch.zeros(B, H), torch.zeros(B, H)), torch.zeros(1, H)),
        TypeError,
        "the same parts, 2 of them, got Tensor in reset",
    ),
    "a reset of more fields": (
        lambda: E.initial([torch.zeros(B, H)], [torch.zeros(1, H)] * 2),
        TypeError,
        "the same parts, 1 of them, got 2 in reset",
    ),
    "final ones of columns": (
        lambda: E.final(torch.zeros(B, H)),
        ValueError,
        r"6 \(one per episode\) rows.*\(3, 5\)",
    ),
    "no final ones": (lambda: E.final(None), TypeError, "got NoneType"),
}


@pytest.mark.parametrize(("use", "kind", "said"), STATES.values(), ids=STATES)
def test_states(use, kind, said):
    with pytest.raises(kind, match=said):
        use()


BOTH = gr.Sequences(gr.Bidirectional(gr.GRU(D, H), gr.GRU(D, H)), batch_first=False)
CALLS = {
    "no state": (lambda: NET(X, is_first=IS_FIRST), ValueError, "column 0 goes on from an earlier rollout"),
    "a state of others": (
        lambda: NET(X, (torch.zeros(1, 1, H),) * 2, is_first=IS_FIRST),
        ValueError,
        r"shape \[1, 3, H\].*got \(1, 1, 5\)",
    ),
    "a state of another width": (
        lambda: NET(X, (torch.zeros(1, B, H + 1),) * 2, is_first=IS_FIRST),
        ValueError,
        r"initial h must have rows of shape \[5\].*\(6, 6\)",
    ),
    "a state of one field": (
        lambda: NET(X, STATE[0], is_first=IS_FIRST),
        ValueError,
        r"fields of the cell's State \(h, c\), got 1",
    ),
    "a reset of others": (
        lambda: NET(X, STATE, is_first=IS_FIRST, reset=(torch.zeros(1, 2, H),) * 2),
        ValueError,
        r"shape \[1, 3 or 1, H\].*got \(1, 2, 5\)",
    ),
    "a reset without resets": (lambda: NET(X, STATE, reset=STATE), ValueError, "give is_first, too"),
    "lengths, too": (
        lambda: NET(X, STATE, [T] * B, IS_FIRST),
        ValueError,
        "lengths and is_first both say where sequences end",
    ),
    "backward": (
        lambda: BOTH(X, is_first=IS_FIRST),
        ValueError,
        "runs backward.*which a rollout has not come to yet",
    ),
    "a model in rounds": (
        lambda: gr.Sequences(gr.Recursive(gr.GRUCell(D, H), "sync", 2), False)(X, is_first=IS_FIRST),
        ValueError,
        "a rollout continues from the previous step's state, and GRUCell runs in rounds",
    ),
}


@pytest.mark.parametrize(("use", "kind", "said"), CALLS.values(), ids=CALLS)
def test_calls(use, kind, said):
    with pytest.raises(kind, match=f"(?s){said}"):
        use()
