"""What judges the public face sees what is wrong: errors of others, and arguments that have changed."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Data

import graphrec as gr
from tests.face.fingerprint import fingerprint
from tests.face.junk import is_refusal


class Odd(gr.SRNCell):
    """Fails in the middle of a run, as a cell might that was not checked."""

    def forward(self, x, inbox, own):
        return x.no_such_thing


def error_of(call) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011  (of any kind: that is what is judged)
        call()
    return caught.value


@pytest.mark.parametrize(
    "call",
    [
        lambda: gr.chains([3, -2]),
        lambda: gr.LSTMCell("3", 4),
        lambda: gr.LSTMCell(3),
        lambda: gr.chain(2**62),
        lambda: gr.SRN(2, 3)(torch.ones(2, 5), gr.chain(2)),
    ],
    ids=["value", "type", "signature", "no room", "in a run"],
)
def test_refusals_of_graphrec_are_proper(call):
    assert is_refusal(error_of(call))


@pytest.mark.parametrize(
    "call",
    [
        lambda: gr.run(Odd(2, 3), gr.schedule(gr.chain(2)), torch.ones(2, 2)),
        lambda: torch.cat(3),
        lambda: gr.readout.attention(torch.ones(2, 3), gr.chain(2), nn.Linear(5, 1)),
        lambda: int("a"),
        lambda: {}["a"],
    ],
    ids=["attribute", "torch's type", "torch's shapes", "Python's value", "key"],
)
def test_errors_of_others_are_not(call):
    assert not is_refusal(error_of(call))


def attributes(graph: nx.DiGraph) -> None:
    graph.nodes[0]["a"] = 2


@pytest.mark.parametrize(
    ("value", "change"),
    [
        (torch.zeros(2), lambda v: v.add_(1)),
        (torch.zeros(2), lambda v: v.requires_grad_()),
        (np.zeros(2), lambda v: v.fill(1)),
        ([torch.zeros(2), {"a": torch.zeros(1)}], lambda v: v[1]["a"].add_(1)),
        ([1, 2], lambda v: v.pop()),
        (gr.dag([[0], [1]]), lambda v: v.edge_index.zero_()),
        (gr.to_pyg(gr.chain(2)), lambda v: v.slot.add_(1)),
        (Data(x=torch.ones(1)), lambda v: setattr(v, "y", 1)),
        (nx.DiGraph([(0, 1)]), attributes),
        (nn.Linear(1, 1), lambda v: nn.init.constant_(v.weight, 9)),
        (nn.Linear(1, 1), lambda v: v.eval()),
        (gr.trie([[1, 2]]), lambda v: v.token.add_(1)),
    ],
)
def test_changes_are_seen(value, change):
    before = fingerprint(value)
    assert fingerprint(value) == before
    change(value)
    assert fingerprint(value) != before
