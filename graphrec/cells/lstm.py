"""Long short-term memory, and its variants with a gate less or a connection more."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..cell import Cell, Fused, Inbox
from ..structure.checks import as_count, as_number, as_widths
from .biases import recurrent_layers
from .plain import is_plain


class LSTMState(NamedTuple):
    """The hidden state and the memory cell."""

    h: Tensor
    c: Tensor


def set_forget_bias(layer: nn.Linear | nn.LayerNorm, hidden: int, value: float | None, gate: int = 1) -> None:
    """Set the initial bias of gate number `gate` to `value`; None leaves the layer as it is.

    Raises:
        ValueError: the layer has no bias.
    """
    if value is None:
        return
    if layer.bias is None:
        raise ValueError("forget_bias needs a bias to set: make the cell with biases=1 or 2.")
    with torch.no_grad():
        layer.bias[gate * hidden : (gate + 1) * hidden] = as_number("forget_bias", value)


class LSTMCell(Cell):
    """Long short-term memory with a forget gate.

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)

    Hochreiter & Schmidhuber, *Long short-term memory*, Neural Computation 9 (1997), with the forget gate of Gers,
    Schmidhuber & Cummins, *Learning to forget*, Neural Computation 12 (2000), equations (2) to (6) there with
    g = tanh, as in `torch.nn.LSTM`.

    Args:
        inputs: D.
        hidden: H.
        forget_bias: the initial b_f (1 or 2 help to remember from the start: Jozefowicz, Zaremba & Sutskever,
            ICML 2015); None: random, like the other biases.
        biases: 0, 1, or 2 as in torch (which adds them).

    Shapes: x `[N, D]`; State `h`, `c` `[N, H]` each. A node has one predecessor at most (slot 0).
    """

    input: nn.Linear
    recurrent: nn.Linear

    State = LSTMState
    arity = 1
    recurrent_layers: tuple[str, ...] = ("recurrent",)
    reads_edges: Any = ()

    def __init__(
        self, inputs: int, hidden: int, *, forget_bias: float | None = None, biases: int = 1
    ) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input, self.recurrent = recurrent_layers(inputs, hidden, 4, biases)  # W and U of i, f, g, o
        self.forget_bias = forget_bias
        self.init_parameters()

    def init_parameters(self) -> None:
        """b_f."""
        set_forget_bias(self.input, self.hidden, self.forget_bias)

    def project(self, x: Tensor) -> Tensor:
        """W x + b of all gates."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> LSTMState:
        """One step."""
        i, f, g, o = (x + self.recurrent(inbox.sum(inbox.h))).chunk(4, dim=-1)
        c = torch.sigmoid(f) * inbox.sum(inbox.c) + torch.sigmoid(i) * torch.tanh(g)
        return self.State(torch.sigmoid(o) * torch.tanh(c), c)

    def fused(self) -> Fused | None:
        """On chains, torch's lstm."""
        if not is_plain(self, LSTMCell):
            return None
        return Fused("lstm", self.input.weight, self.recurrent.weight, self.input.bias, self.recurrent.bias)


class ProjectedLSTMCell(Cell):
    """Long short-term memory that sends less than it keeps: a projection of the output gate's result.

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + b_f)
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = V (o_t * tanh(c_t))

    Sak, Senior & Beaufays, *Long short-term memory recurrent neural network architectures for large scale acoustic
    modeling*, Interspeech 2014, equations (7) to (12), without peepholes: `torch.nn.LSTM` with `proj_size`.

    Args:
        inputs: D.
        hidden: H.
        projection: P, from 1 to H - 1.
        biases: as in `LSTMCell`.

    Raises:
        ValueError: a projection of another width.

    Shapes: x `[N, D]`; State `h` `[N, P]`, `c` `[N, H]`. A node has one predecessor at most (slot 0).
    """

    input: nn.Linear
    recurrent: nn.Linear

    State = LSTMState
    arity = 1
    recurrent_layers: tuple[str, ...] = ("recurrent",)
    reads_edges: Any = ()

    def __init__(self, inputs: int, hidden: int, projection: int, biases: int = 1) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        if not 0 < as_count("projection", projection, 1) < hidden:
            raise ValueError(
                f"the projection must be narrower than the memory: expected 1 to {hidden - 1}, got {projection}."
            )
        self.width = projection
        self.input, self.recurrent = recurrent_layers(inputs, hidden, 4, biases, projection)  # of i, f, g, o
        self.projection: nn.Linear = nn.Linear(hidden, projection, bias=False)  # V

    def shapes(self) -> list[tuple[int, ...]]:
        """h and c."""
        return [(self.width,), (self.hidden,)]

    def project(self, x: Tensor) -> Tensor:
        """W x + b of all gates."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> LSTMState:
        """One step."""
        i, f, g, o = (x + self.recurrent(inbox.sum(inbox.h))).chunk(4, dim=-1)
        c = torch.sigmoid(f) * inbox.sum(inbox.c) + torch.sigmoid(i) * torch.tanh(g)
        return self.State(self.projection(torch.sigmoid(o) * torch.tanh(c)), c)


class NoForgetLSTMCell(Cell):
    """The original long short-term memory, without forget gate, so that the memory cell only adds.

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
        c_t = c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)

    Hochreiter & Schmidhuber, *Long short-term memory*, Neural Computation 9 (1997), section 4 (s_c(t) = s_c(t-1) +
    y_in g(net_c), y_c = y_out h(s_c)), with tanh for its squashing functions g and h, which are 4 sigmoid - 2 and
    2 sigmoid - 1 there. Gradients are not truncated.

    Args:
        inputs: D.
        hidden: H.
        biases: as in `LSTMCell`.

    Shapes: as `LSTMCell`.
    """

    input: nn.Linear
    recurrent: nn.Linear

    State = LSTMState
    arity = 1
    recurrent_layers: tuple[str, ...] = ("recurrent",)
    reads_edges: Any = ()

    def __init__(self, inputs: int, hidden: int, biases: int = 1) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input, self.recurrent = recurrent_layers(inputs, hidden, 3, biases)  # W and U of i, g, o

    def project(self, x: Tensor) -> Tensor:
        """W x + b of both gates and of g."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> LSTMState:
        """One step."""
        i, g, o = (x + self.recurrent(inbox.sum(inbox.h))).chunk(3, dim=-1)
        c = inbox.sum(inbox.c) + torch.sigmoid(i) * torch.tanh(g)
        return self.State(torch.sigmoid(o) * torch.tanh(c), c)


class PeepholeLSTMCell(Cell):
    """Long short-term memory whose gates see the memory cell: i and f the previous one, o the new one.

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = sigmoid(W_f x_t + U_f h_{t-1} + p_f * c_{t-1} + b_f)
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        c_t = f_t * c_{t-1} + i_t * g_t
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + p_o * c_t + b_o)
        h_t = o_t * tanh(c_t)

    Gers, Schraudolph & Schmidhuber, *Learning precise timing with LSTM recurrent networks*, Journal of Machine
    Learning Research 3 (2002), section 2.2; in the form of Greff et al., *LSTM: a search space odyssey* (2017),
    section II. Peepholes begin at zero.

    Args:
        inputs: D.
        hidden: H.
        forget_bias, biases: as in `LSTMCell`.

    Shapes: as `LSTMCell`.
    """

    input: nn.Linear
    recurrent: nn.Linear

    State = LSTMState
    arity = 1
    recurrent_layers: tuple[str, ...] = ("recurrent",)
    reads_edges: Any = ()

    def __init__(
        self, inputs: int, hidden: int, *, forget_bias: float | None = None, biases: int = 1
    ) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input, self.recurrent = recurrent_layers(inputs, hidden, 4, biases)  # W and U of i, f, g, o
        self.peephole: nn.Parameter = nn.Parameter(torch.empty(3, hidden))  # p_i, p_f, p_o
        self.forget_bias = forget_bias
        self.init_parameters()

    def init_parameters(self) -> None:
        """p and b_f."""
        nn.init.zeros_(self.peephole)
        set_forget_bias(self.input, self.hidden, self.forget_bias)

    def project(self, x: Tensor) -> Tensor:
        """W x + b of all gates."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> LSTMState:
        """One step."""
        p_i, p_f, p_o = self.peephole.unbind(0)
        previous = inbox.sum(inbox.c)
        i, f, g, o = (x + self.recurrent(inbox.sum(inbox.h))).chunk(4, dim=-1)
        c = torch.sigmoid(f + p_f * previous) * previous + torch.sigmoid(i + p_i * previous) * torch.tanh(g)
        return self.State(torch.sigmoid(o + p_o * c) * torch.tanh(c), c)


class CoupledLSTMCell(Cell):
    """Long short-term memory that forgets as much as it takes in: one gate for both.

        i_t = sigmoid(W_i x_t + U_i h_{t-1} + b_i)
        g_t = tanh(W_g x_t + U_g h_{t-1} + b_g)
        o_t = sigmoid(W_o x_t + U_o h_{t-1} + b_o)
        c_t = (1 - i_t) * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)

    Greff, Srivastava, Koutník, Steunebrink & Schmidhuber, *LSTM: a search space odyssey*, IEEE Trans. Neural
    Networks and Learning Systems 28 (2017), section II, variant CIFG (there with peepholes).

    Args:
        inputs: D.
        hidden: H.
        forget_bias: the initial bias of 1 - i: b_i begins at its negative.
        biases: as in `LSTMCell`.

    Shapes: as `LSTMCell`.
    """

    input: nn.Linear
    recurrent: nn.Linear

    State = LSTMState
    arity = 1
    recurrent_layers: tuple[str, ...] = ("recurrent",)
    reads_edges: Any = ()

    def __init__(
        self, inputs: int, hidden: int, *, forget_bias: float | None = None, biases: int = 1
    ) -> None:
        inputs, hidden = as_widths(inputs, hidden)
        super().__init__(inputs, hidden)
        self.input, self.recurrent = recurrent_layers(inputs, hidden, 3, biases)  # W and U of i, g, o
        self.forget_bias = forget_bias
        self.init_parameters()

    def init_parameters(self) -> None:
        """b_i."""
        begin = None if self.forget_bias is None else -as_number("forget_bias", self.forget_bias)
        set_forget_bias(self.input, self.hidden, begin, gate=0)

    def project(self, x: Tensor) -> Tensor:
        """W x + b of both gates and of g."""
        return self.input(x)

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> LSTMState:
        """One step."""
        i, g, o = (x + self.recurrent(inbox.sum(inbox.h))).chunk(3, dim=-1)
        i = torch.sigmoid(i)
        c = (1 - i) * inbox.sum(inbox.c) + i * torch.tanh(g)
        return self.State(torch.sigmoid(o) * torch.tanh(c), c)
