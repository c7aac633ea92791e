"""Two cells as a user would write them, found in no zoo: nothing may be prepared for them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import graphrec as gr

from ..contending import Contender, check_agreement
from ..forests import sentiment_forest
from .figures import Figure, Target
from .race import LOOP, NEW, Race

BATCH, HIDDEN = 128, 150
TARGET = Target(2.2, 4)


class Hidden(NamedTuple):
    """The hidden state."""

    h: Tensor


class ChildAttention(gr.Cell):
    """A node asks its children, and a gate mixes their answer with its own input.

    a_k = softmax over children of q_v · K h_k / sqrt(H),   m = sum_k a_k h_k
    z = sigmoid(U m + b),   h = z * m + (1 - z) * tanh(n_v),   (q, n) = W x + c
    """

    State = Hidden

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.input = nn.Linear(inputs, 2 * hidden)
        self.key = nn.Linear(hidden, hidden, bias=False)
        self.gate = nn.Linear(hidden, hidden)

    def project(self, x: Tensor) -> Tensor:
        """Query and candidate."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: gr.Inbox, own: Any) -> Hidden:
        """One step."""
        query, candidate = x.chunk(2, dim=-1)
        scores = (inbox.to_edges(query) * self.key(inbox.h)).sum(-1, keepdim=True) / self.hidden**0.5
        m = inbox.sum(inbox.softmax(scores) * inbox.h)
        z = torch.sigmoid(self.gate(m))
        return Hidden(z * m + (1 - z) * torch.tanh(candidate))


class SourceTargetProduct(gr.Cell):
    """A message is the product of what its source and its target say.

    m_v = mean over u → v of (A h_u) * tanh(b_v),   h = tanh(r_v + C m_v),   (b, r) = W x + c
    """

    State = Hidden

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.input = nn.Linear(inputs, 2 * hidden)
        self.source = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, hidden, bias=False)

    def project(self, x: Tensor) -> Tensor:
        """What the node says as a target, and its own part."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: gr.Inbox, own: Any) -> Hidden:
        """One step."""
        said, rest = x.chunk(2, dim=-1)
        m = inbox.mean(self.source(inbox.h) * inbox.to_edges(torch.tanh(said)))
        return Hidden(torch.tanh(rest + self.out(m)))


def run(rounds: int, quick: bool) -> list[Figure]:
    """Both on a batch of sentiment trees."""
    batch, hidden = (8, 16) if quick else (BATCH, HIDDEN)
    forest = sentiment_forest(batch)
    s = forest.structure
    x = torch.randn(s.num_nodes, hidden, generator=torch.Generator().manual_seed(0))
    found = []
    for kind, name in (
        (ChildAttention, "attention over children"),
        (SourceTargetProduct, "source-target product"),
    ):
        torch.manual_seed(0)
        model = gr.Recursive(kind(hidden, hidden))
        ours = Contender(model, x, lambda x, model=model: model(x, s))
        check_agreement({NEW: ours})
        race = Race(ours.train)
        race.add_backend(LOOP)
        case = f"{batch} {forest.origin}, H={hidden}"
        found.append(race.run(rounds).figure(f"a user's cell, {name}, training", case, LOOP, NEW, TARGET))
    return found
