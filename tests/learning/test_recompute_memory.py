"""What a run by blocks keeps: states that later blocks read, and the values of one block at a time. Never seconds."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

import graphrec as gr
from graphrec import clib
from graphrec.backends.programs import native
from graphrec.learning import BPTT
from graphrec.schedule import Block, blocks_of
from tests.counting import Count
from tests.tolerances import assert_close

H = 8


class Most:
    """How much there is at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def add(self, count: int) -> None:
        self.now += count
        self.most = max(self.most, self.now)


@contextmanager
def numbers_saved() -> Iterator[Most]:
    """While this lasts: the numbers that autograd holds for backward passes, those of other passes included."""
    alive = Most()

    class Held:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor
            alive.add(tensor.numel())
            weakref.finalize(self, alive.add, -tensor.numel())

    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        yield alive


@contextmanager
def bytes_taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[Most]:
    """While this lasts: the bytes of the memory in which native runs have their values."""
    taken, sizes = Most(), {}

    def take(size: int) -> Tensor:
        block = torch.empty(size, dtype=torch.uint8)
        sizes[block.data_ptr()] = size
        taken.add(size)
        return block

    def give(block: Tensor) -> None:
        taken.add(-sizes.pop(block.data_ptr()))

    with monkeypatch.context() as patch:
        patch.setattr(native, "take", take)
        patch.setattr(native, "give", give)
        yield taken


def train(model, s, x, rule, backend) -> None:
    model(x, s, rule=rule, backend=backend).pow(2).sum().backward()


def narrow_dag(levels: int, width: int = 4) -> gr.Structure:
    """Each node has a source in the level before, and one up to 20 levels earlier."""
    node = torch.arange(width, levels * width)
    generator = torch.Generator().manual_seed(0)
    near = (node // width - 1) * width + torch.randint(0, width, node.shape, generator=generator)
    far = (near - width * torch.randint(0, 20, node.shape, generator=generator)).clamp(min=0)
    return gr.dag(torch.stack([torch.cat([near, far]), torch.cat([node, node])]), levels * width)


STRUCTURES = {"chain": gr.chain(500), "dag": narrow_dag(300), "chains": gr.chains([600, 200, 50])}
structures = pytest.mark.parametrize("s", STRUCTURES.values(), ids=STRUCTURES)


@structures
def test_the_loop_keeps_one_block(s):
    model, x = gr.TreeLSTM(H, H), torch.randn(s.num_nodes, H)
    most = []
    for rule in (BPTT(), BPTT(recompute=10)):
        with numbers_saved() as alive:
            train(model, s, x, rule, "loop")
        most.append(alive.most)
    # Of the run x is kept, what crosses a border between blocks, and the weights.
    kept = (
        x.numel()
        + 2 * H * blocks_of(gr.schedule(s), 10).num_kept
        + sum(p.numel() for p in model.parameters())
    )
    assert most[1] <= kept + most[0] / 10
    assert most[1] <= most[0] / 5


@pytest.mark.skipif(clib.library() is None, reason="no native library")
@structures
def test_native_runs_have_the_memory_of_one_block(s, monkeypatch):
    model, x = gr.TreeLSTM(H, H), torch.randn(s.num_nodes, H)
    most = []
    for rule in (BPTT(), BPTT(recompute=10)):
        with bytes_taken(monkeypatch) as taken:
            train(model, s, x, rule, "native")
        assert taken.now == 0
        most.append(taken.most)
    # The h of a run lies where the caller has it, that of a block, which begins with given rows, among its values.
    of_caller = x.element_size() * s.num_nodes * H
    assert most[1] <= (most[0] + of_caller) / 10


def test_what_crosses_borders():
    """Of a chain one state for each block but the last; of a batch of chains, one for each that goes on."""
    assert blocks_of(gr.schedule(gr.chain(900)), 10).num_kept == 89
    assert blocks_of(gr.schedule(gr.chains([900, 300, 50])), 10).num_kept == 89 + 29 + 4
    assert blocks_of(gr.schedule(gr.chain(9), "sync", 7), 3).num_kept == 18  # all states of two rounds


def test_equal_blocks_share_a_schedule_and_all_is_found_once():
    plan = gr.schedule(gr.chain(1_000))
    found = blocks_of(plan, 10)
    assert blocks_of(plan, 10) is found
    assert len(found.blocks) == 100
    assert len({id(block.plan) for block in found.blocks}) == 2


@pytest.mark.parametrize("build", [gr.chain, narrow_dag], ids=["chain", "dag"])
def test_cost_is_linear(build):
    """Numbers written by torch's operations, forwards and backwards, for the second run of a model on a structure."""
    written = []
    for size in (60, 120, 240):
        s = build(size)
        model, x = gr.TreeGRU(H, H), torch.randn(s.num_nodes, H).requires_grad_()
        train(model, s, x, BPTT(recompute=20), "loop")
        with Count() as count:
            train(model, s, x, BPTT(recompute=20), "loop")
        written.append(count.written)
    assert written[2] - written[1] <= 2.1 * (written[1] - written[0])


def count_integers(block: Block) -> int:
    """Those of a block that are its own, and no views of the schedule's."""
    plan = block.plan
    own = [
        plan.source,
        plan.boundary,
        plan.structure.edge_index,
        plan.structure.slot,
        block.read,
        block.leaving,
    ]
    return sum(tensor.numel() for tensor in own)


def test_finding_the_blocks_is_linear():
    written = []
    for size in (400, 800, 1600):
        plan = gr.schedule(narrow_dag(size))
        blocks = blocks_of(plan, 20).blocks
        written.append(sum(count_integers(block) for block in blocks))
    assert written[2] - written[1] <= 2.1 * (written[1] - written[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [gr.GRU, gr.LSTM])
def test_a_long_chain(kind, monkeypatch):
    length, block = 100_000, 500
    model, s, x = kind(32, 32), gr.chain(length), torch.randn(length, 32)
    grads, most = [], []
    for rule in (BPTT(), BPTT(recompute=block)):
        model.zero_grad()
        with bytes_taken(monkeypatch) as taken:
            train(model, s, x, rule, "native" if clib.library() else None)
        grads.append([p.grad.clone() for p in model.parameters()])
        most.append(taken.most)
    for one, other in zip(*grads, strict=True):
        assert (one - other).norm() <= 1e-3 * one.norm()
    # (A block keeps rows of what it reads, too, and so shares less of its memory than a whole run.)
    assert most[1] <= most[0] * 3 * block / length


@pytest.mark.slow
def test_a_large_dag(monkeypatch):
    s = narrow_dag(1_000, 100)
    model, x = gr.TreeGRU(8, 8).double(), torch.randn(s.num_nodes, 8).double()
    grads, most = [], []
    for rule in (BPTT(), BPTT(recompute=20)):
        model.zero_grad()
        with bytes_taken(monkeypatch) as taken:
            train(model, s, x, rule, None)
        grads.append([p.grad.clone() for p in model.parameters()])
        most.append(taken.most)
    for one, other in zip(*grads, strict=True):
        assert_close(other / one.norm(), one / one.norm())
    assert most[1] <= most[0] / 20
