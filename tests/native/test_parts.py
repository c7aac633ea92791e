"""Parts of one structure that threads run side by side, in stages."""

import pytest
import torch

import graphrec as gr
from graphrec.backends.programs import native_parts
from graphrec.backends.programs.native_parts import parts
from tests.tolerances import assert_close
from tests.torch_threads import on_threads


def trie(prefix: int, branches: int, length: int) -> gr.Structure:
    """A chain that ends in several."""
    first = prefix + length * torch.arange(branches)
    source = torch.arange(-1, prefix + branches * length - 1)
    source[first] = prefix - 1
    return gr.dag(torch.stack([source, torch.arange(len(source))])[:, 1:], len(source))


def sizes(s: gr.Structure, count: int) -> tuple[list[int], list[int]] | None:
    found = parts(gr.schedule(s), count)
    return found and (torch.bincount(found.of, minlength=len(found.stage)).tolist(), found.stage)


def test_branches_are_shared_out_behind_what_they_have_in_common():
    assert sizes(trie(100, 4, 200), 2) == ([100, 400, 400], [0, 1, 1])
    assert sizes(trie(100, 5, 200), 3) == ([100, 200, 400, 400], [0, 1, 1, 1])
    assert sizes(trie(100, 4, 200).reverse(), 2) == ([400, 400, 100], [0, 0, 1])


def test_graphs_are_parts_without_stages():
    assert sizes(gr.batch([trie(3, 2, 5), gr.chain(13), gr.chain(1)]), 2) == ([13, 14], [0, 0])


@pytest.mark.parametrize(
    "s",
    [
        gr.chain(900),
        trie(10, 4, 20),
        gr.tree(parents=[-1, *(i // 2 for i in range(1022))]),
        gr.dag([[], []], 5),
        gr.dag([[0, 0, 1, 2], [1, 2, 3, 3]], 4),
        gr.chain(0),
    ],
    ids=["a chain", "few nodes", "wide levels", "no edges", "a diamond", "nothing"],
)
def test_what_has_no_parts(s):
    assert sizes(s, 2) is None


def test_one_thread_needs_no_parts():
    assert sizes(trie(100, 4, 200), 1) is None


@pytest.mark.parametrize("downwards", [True, False])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.usefixtures("library")
def test_stages_compute_what_the_loop_does(downwards, initial, monkeypatch):
    """On two threads, in values and all gradients, with states from outside."""
    monkeypatch.setattr(native_parts, "FEW_NODES", 0)
    s = trie(7, 3, 9) if downwards else trie(7, 3, 9).reverse()
    assert sizes(s, 2) is not None
    cell = gr.ChildSumTreeLSTMCell(3, 4).double()
    x, up = torch.randn(s.num_nodes, 3).double().requires_grad_(), torch.randn(s.num_nodes, 4).double()
    state = [torch.randn(1, 4).double().requires_grad_() for _ in range(2)] if initial else []
    with on_threads(2):
        found = {}
        for backend in ("native", "loop"):
            with gr.running_on(backend):
                h = gr.run(cell, gr.schedule(s), x, cell.State(*state) if initial else None).h
            found[backend] = [h, *torch.autograd.grad((h * up).sum(), [x, *state, *cell.parameters()])]
    for one, other in zip(found["native"], found["loop"], strict=True):
        assert_close(one, other)
