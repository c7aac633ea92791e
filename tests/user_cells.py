"""Cells as users write them, each for one habit that an engine has to cope with.

The engine's own cells are all written alike; these are not. `ALL` joins them to every general test.
"""

from __future__ import annotations

from collections import namedtuple

import torch
import torch.nn.functional as F
from torch import nn

import graphrec as gr

RELATIONS = 3  # as many as structures in tests have
EDGE_FEATURES = 2

Hidden = namedtuple("Hidden", "h")


class UserCell(gr.Cell):
    """A vector per node, W for the input and U for the inbox."""

    State = Hidden

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.W = nn.Linear(inputs, hidden)
        self.U = nn.Linear(hidden, hidden)

    def project(self, x):
        return self.W(x)


class FifteenLines(gr.Cell):
    """All that a cell needs, and no base class of ours."""

    State = namedtuple("State", "h")

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.together = nn.Linear(inputs + hidden, hidden)

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(self.together(torch.cat([x, inbox.sum(inbox.h)], dim=1))))


class RawParameters(gr.Cell):
    """Matrices without modules, multiplied from the right, from the left, and turned."""

    State = Hidden

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.W = nn.Parameter(torch.randn(hidden, inputs))
        self.U = nn.Parameter(torch.randn(hidden, hidden))
        self.V = nn.Parameter(torch.randn(hidden, hidden))
        self.b = nn.Parameter(torch.randn(hidden))

    def forward(self, x, inbox, own):
        h = inbox.sum(inbox.h)
        return Hidden(
            torch.tanh(x @ self.W.T + h @ self.U + (self.U @ h.T).T + torch.matmul(h, self.V.t()) + self.b)
        )


class Einsum(UserCell):
    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + inbox.sum(torch.einsum("eh,kh->ek", inbox.h, self.U.weight))))


class FactorAndOtherwise(UserCell):
    """U multiplies the inbox, and its norm scales the input: one weight, two uses."""

    def forward(self, x, inbox, own):
        return Hidden(
            torch.tanh(x * self.U.weight.pow(2).sum() + self.U(inbox.sum(inbox.h)) - self.U.bias.exp())
        )


class Mean(UserCell):
    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + self.U(inbox.mean(inbox.h))))


class Max(UserCell):
    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + inbox.max(self.U(inbox.h))))


class Attention(UserCell):
    """A softmax over the inbox, of scores that see source and target."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.score = nn.Linear(2 * hidden, 1, bias=False)

    def forward(self, x, inbox, own):
        weight = inbox.softmax(self.score(torch.cat([inbox.h, inbox.to_edges(x)], dim=1)))
        return Hidden(torch.tanh(x + inbox.sum(weight * self.U(inbox.h))))


class RelationWeights(UserCell):
    """A matrix for each relation."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.of_relation = nn.Parameter(torch.randn(RELATIONS, hidden, hidden))

    def forward(self, x, inbox, own):
        messages = (self.of_relation[inbox.relation] @ inbox.h.unsqueeze(2)).squeeze(2)
        return Hidden(torch.tanh(x + inbox.sum(messages)))


class RelationOneHot(UserCell):
    """A product whose factor needs no gradient, and a result that is written into."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.of_relation = nn.Linear(RELATIONS, hidden, bias=False)

    def forward(self, x, inbox, own):
        message = self.of_relation(nn.functional.one_hot(inbox.relation, RELATIONS).to(x.dtype))
        message += self.U(inbox.h)
        return Hidden(torch.tanh(x + inbox.sum(message)))


class EdgeFeatures(UserCell):
    """Edge attributes gate the messages; they may require grad themselves."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.gate = nn.Linear(EDGE_FEATURES, hidden)

    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + inbox.sum(torch.sigmoid(self.gate(inbox.edge_attr)) * self.U(inbox.h))))


class SlotEmbedding(UserCell):
    """A vector looked up for each slot, as in nets with several time lags."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.lag = nn.Embedding(16, hidden)

    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + inbox.sum(self.lag(inbox.slot) * inbox.h)))


class GatedGraph(UserCell):
    """Reads its own previous state, through torch's own GRU cell (as the GGNN does)."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.gru = nn.GRUCell(hidden, hidden)

    def forward(self, x, inbox, own):
        return Hidden(self.gru(x + inbox.sum(self.U(inbox.h)), own.h))


class Captured(UserCell):
    """Uses a tensor that requires grad and is none of its parameters."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.captured = [torch.randn(hidden, hidden, dtype=torch.float64, requires_grad=True)]

    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + inbox.sum(inbox.h) @ self.captured[0]))


class OnlyCaptured(gr.Cell):
    """A tensor that is none of its parameters is all there is to learn."""

    State = Hidden

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.captured = [torch.randn(inputs, hidden, dtype=torch.float64, requires_grad=True)]

    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x @ self.captured[0] + inbox.sum(inbox.h)))


class CapturedLate(UserCell):
    """The tensor that is none of its parameters is not used before some slot is high."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.late = torch.randn(hidden, dtype=torch.float64, requires_grad=True)

    @property
    def captured(self):
        return [self.late]

    def forward(self, x, inbox, own):
        message = self.U(inbox.h)
        high = inbox.slot >= 2
        if high.any():
            message = torch.where(high.unsqueeze(1), message * self.late, message)
        return Hidden(torch.tanh(x + inbox.sum(message)))


class InPlace(UserCell):
    """Writes into what it has computed."""

    def forward(self, x, inbox, own):
        h = self.U(inbox.sum(inbox.h))
        h += x
        h[:, 0] *= 2
        return Hidden(h.tanh_())


class InPlaceOnSum(UserCell):
    """Writes into the sum of an inbox."""

    def forward(self, x, inbox, own):
        h = inbox.sum(self.U(inbox.h))
        h += x
        return Hidden(torch.tanh(h))


class SharedSubmodule(UserCell):
    """One module under two names, used twice in a step."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.again = self.U

    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + self.again(inbox.sum(self.U(inbox.h)))))


class TiedWeights(UserCell):
    """One matrix in two modules, of which the second turns it."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.V = nn.Linear(hidden, hidden)
        self.V.weight = self.U.weight

    def forward(self, x, inbox, own):
        h = inbox.sum(inbox.h)
        return Hidden(torch.tanh(x + self.U(h) + self.V(h) + h @ self.V.weight))


class Frozen(UserCell):
    """Some parameters are not to be learnt."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.U.weight.requires_grad_(False)
        self.W.bias.requires_grad_(False)

    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + self.U(inbox.sum(inbox.h))))


class Deep(UserCell):
    """A perceptron for messages and a normalisation behind it."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.message = nn.Sequential(nn.Linear(hidden, 4), nn.Tanh(), nn.Linear(4, hidden))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, x, inbox, own):
        return Hidden(self.norm(x + inbox.sum(self.message(inbox.h))))


class ParameterContainers(UserCell):
    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.several = nn.ParameterList([torch.randn(hidden, hidden), torch.randn(hidden)])
        self.named = nn.ParameterDict({"scale": torch.randn(hidden)})

    def forward(self, x, inbox, own):
        matrix, shift = self.several
        return Hidden(torch.tanh((x + inbox.sum(inbox.h) @ matrix) * self.named["scale"] + shift))


class WeightNorm(UserCell):
    """A weight that is computed anew whenever it is used."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        nn.utils.parametrizations.weight_norm(self.U)

    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + self.U(inbox.sum(inbox.h))))


class Branching(UserCell):
    """Asks for the size of its inbox, and gathers by hand."""

    def forward(self, x, inbox, own):
        if inbox.num_edges == 0:
            return Hidden(torch.tanh(x))
        gathered = torch.zeros_like(x).index_add(0, inbox.target, self.U(inbox.h))
        return Hidden(torch.tanh(x + gathered * torch.where(gathered > 0, 1.0, 0.5)))


class InPlaceOnAllItIsGiven(UserCell):
    """Writes into its input, its inbox and its own state; what others see of these does not change."""

    def forward(self, x, inbox, own):
        x += 1
        inbox.h.mul_(2)
        inbox.edge_attr.add_(1)
        own.h.mul_(2)
        messages = self.U(inbox.h) * inbox.edge_attr.sum(1, keepdim=True)
        return Hidden(torch.tanh(x + own.h + inbox.sum(messages)))


class Conjugate(UserCell):
    """Turns its weight by the property that turns complex matrices, too."""

    def forward(self, x, inbox, own):
        return Hidden(
            torch.tanh(x + inbox.sum(inbox.h) @ self.U.weight.mH + inbox.sum(inbox.h @ self.U.weight.real))
        )


class WithoutGrad(UserCell):
    """Looks at a product without wanting its gradient."""

    def forward(self, x, inbox, own):
        with torch.no_grad():
            scale = torch.sigmoid(self.U(inbox.sum(inbox.h)))
        return Hidden(torch.tanh(x * scale + self.U(inbox.sum(inbox.h))))


class InPlaceOnZero(UserCell):
    """Other ways to write into the sum of an inbox, which may be empty."""

    def forward(self, x, inbox, own):
        h = inbox.sum(inbox.h * 1)
        h -= x
        h *= 2
        return Hidden(torch.tanh(h + self.U(x)))


class InPlaceModules(UserCell):
    """Functions that write into the sum of an inbox, empty or not."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.positive = nn.ReLU(inplace=True)

    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + self.U(self.positive(inbox.sum(inbox.h * 1)))))


class ByKeyword(UserCell):
    """Names the arguments of what the engine looks out for."""

    def forward(self, x, inbox, own):
        total = inbox.sum(inbox.h)
        turned = self.U.weight.transpose(dim0=0, dim1=1)
        left = F.linear(input=total, weight=self.U.weight, bias=self.U.bias)
        right = torch.matmul(torch.tanh(input=total), other=turned)
        return Hidden(torch.tanh(x + left + right))


class VectorWeight(gr.Cell):
    """A gate that is one number per node."""

    State = Hidden

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.W = nn.Linear(inputs, hidden)
        self.v = nn.Parameter(torch.randn(hidden))

    def forward(self, x, inbox, own):
        total, x = inbox.sum(inbox.h), self.W(x)
        gate = torch.sigmoid(F.linear(total, self.v) + F.linear(x, self.v)).unsqueeze(1)
        return Hidden(torch.tanh(gate * x + total))


class CountsItsEdges(UserCell):
    """Sums whole numbers."""

    def forward(self, x, inbox, own):
        count = inbox.sum(torch.ones_like(inbox.target))
        return Hidden(torch.tanh(x + self.U(inbox.sum(inbox.h)) / (1 + count).unsqueeze(1)))


class RunsAnother(UserCell):
    """In every step a recurrent net of its own over each node's input and message."""

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.inner = gr.SRN(hidden, hidden)

    def forward(self, x, inbox, own):
        pairs = torch.stack([x, self.U(inbox.sum(inbox.h))], dim=1).flatten(0, 1)
        states = self.inner(pairs, gr.chains([2] * len(x)))
        return Hidden(states[1::2])


class SharedWithProject(UserCell):
    """U acts on the projected input of all nodes, and on the inbox of each step."""

    def project(self, x):
        return self.U(self.W(x))

    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(x + self.U(inbox.sum(inbox.h))))


class TwoWidths(gr.Cell):
    """A state of a vector and a number, the vector read by slot."""

    State = namedtuple("State", "h count")

    def __init__(self, inputs: int, hidden: int):
        super().__init__(inputs, hidden)
        self.W = nn.Linear(inputs, hidden)
        self.U = nn.Linear(hidden, hidden)

    def shapes(self):
        return [(self.hidden,), ()]

    def forward(self, x, inbox, own):
        count = 1 + inbox.sum(inbox.count)
        h = torch.tanh(self.W(x) + self.U(inbox.sum(inbox.h * inbox.count.unsqueeze(1))))
        return self.State(h / count.unsqueeze(1), count)


class IgnoresInbox(UserCell):
    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(self.U(x)))


class IgnoresInput(UserCell):
    """Every state is a function of its neighbours' and of a bias alone."""

    def forward(self, x, inbox, own):
        return Hidden(torch.tanh(self.U(inbox.sum(inbox.h))))


ALL = [
    FifteenLines,
    RawParameters,
    Einsum,
    FactorAndOtherwise,
    Mean,
    Max,
    Attention,
    RelationWeights,
    RelationOneHot,
    EdgeFeatures,
    SlotEmbedding,
    GatedGraph,
    Captured,
    OnlyCaptured,
    CapturedLate,
    InPlace,
    InPlaceOnSum,
    InPlaceOnZero,
    InPlaceOnAllItIsGiven,
    InPlaceModules,
    ByKeyword,
    VectorWeight,
    CountsItsEdges,
    RunsAnother,
    Conjugate,
    WithoutGrad,
    SharedWithProject,
    SharedSubmodule,
    TiedWeights,
    Frozen,
    Deep,
    ParameterContainers,
    WeightNorm,
    Branching,
    TwoWidths,
    IgnoresInbox,
    IgnoresInput,
]
