"""RTRL's step derived by hand for the SRN, the LSTM and the GRU, by matrix products instead of one direction each.

In all three the weights act through two products, W x + b and U h + d, whose entries belong to gates of units. What is
derived by hand is how a unit's state depends on its own gates; the rest is the chain rule for products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, sigmoid, tanh
from torch.func import jvp

from ..cell import Cell
from ..cells import GRUCell, LSTMCell, SRNCell
from ..cells.plain import is_plain
from .layout import Layout


class Unit(NamedTuple):
    """A step, and how each unit's state depends on its own gates; G gates, F fields.

    Attributes:
        state: `[n, F, H]`.
        of_input: `[n, F, G, H]`: by W x + b.
        of_recurrent: `[n, F, G, H]`: by U h + d.
        of_own: `[n, F, F, H]`: by the unit's own previous fields, with the products held fixed.
    """

    state: Tensor
    of_input: Tensor
    of_recurrent: Tensor
    of_own: Tensor


def srn(cell: Any, a: Tensor, u: Tensor, previous: Tensor) -> Unit:
    """h = f(a + u)."""
    z = a + u
    h, slope = jvp(cell.activation, (z,), (torch.ones_like(z),))[:2]
    of_gate = slope[:, None, None]
    return Unit(h[:, None], of_gate, of_gate, torch.zeros_like(of_gate))


def lstm(cell: Any, a: Tensor, u: Tensor, previous: Tensor) -> Unit:
    """c = f c' + i g, h = o tanh(c); every gate but o reaches h through c."""
    i, f, g, o = (a + u).chunk(4, dim=-1)
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c_previous = previous[:, 1]
    c = f * c_previous + i * g
    t = tanh(c)
    h_of_c, none = o * (1 - t * t), torch.zeros_like(c)
    c_of = torch.stack([g * i * (1 - i), c_previous * f * (1 - f), i * (1 - g * g), none], dim=1)
    h_of = h_of_c[:, None] * c_of
    h_of[:, 3] = t * o * (1 - o)
    of_gates = torch.stack([h_of, c_of], dim=1)
    of_own = torch.stack([none, h_of_c * f, none, f], dim=1).unflatten(1, (2, 2))
    return Unit(torch.stack([o * t, c], dim=1), of_gates, of_gates, of_own)


def gru(cell: Any, a: Tensor, u: Tensor, previous: Tensor) -> Unit:
    """h = (1 - z) n + z h', n = tanh(a_n + r u_n)."""
    a_r, a_z, a_n = a.chunk(3, dim=-1)
    u_r, u_z, u_n = u.chunk(3, dim=-1)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    n, h_previous = tanh(a_n + r * u_n), previous[:, 0]
    of_n = (1 - z) * (1 - n * n)
    of_r, of_z = of_n * u_n * r * (1 - r), (h_previous - n) * z * (1 - z)
    of_input = torch.stack([of_r, of_z, of_n], dim=1)[:, None]
    of_recurrent = torch.stack([of_r, of_z, of_n * r], dim=1)[:, None]
    return Unit(((1 - z) * n + z * h_previous)[:, None], of_input, of_recurrent, z[:, None, None])


Derived = Callable[[Any, Tensor, Tensor, Tensor], Unit]
_ELEMENTWISE = (torch.tanh, torch.sigmoid, torch.relu)
_BY_HAND: dict[type, Derived] = {SRNCell: srn, LSTMCell: lstm, GRUCell: gru}


def derived(cell: Cell) -> Derived | None:
    """The cell's step by hand, or None where there is none."""
    kind = type(cell)
    if len(list(cell.parameters())) < len(list(cell.named_parameters(remove_duplicate=False))):
        return None  # a weight used twice has the derivatives of both uses
    if isinstance(cell, SRNCell) and cell.activation not in _ELEMENTWISE:
        return None  # a user's function may read all units
    return _BY_HAND[kind] if kind in _BY_HAND and is_plain(cell, kind) else None


def push(step: Derived, cell: Any, layout: Layout, x: Tensor, inbox: Any) -> tuple[Tensor, Tensor]:
    """The new states `[n, K]` and their sensitivities `[n, K, 1, Q]`; see `Layout.push`, with one unit."""
    previous = torch.stack([inbox.sum(getattr(inbox, name)) for name in cell.State._fields], dim=1)
    sensitivity = inbox.sum(inbox.sensitivity).flatten(1, 2)
    h, hidden = previous[:, 0], cell.hidden
    unit = step(cell, cell.input(x), cell.recurrent(h), previous)
    count, fields = unit.state.shape[:2]
    by_gate = cell.recurrent.weight.unflatten(0, (-1, hidden))  # [G, H, H]
    jacobian = x.new_zeros(count, fields, hidden, fields, hidden)
    jacobian[:, :, :, 0] = torch.einsum("nfgi,gij->nfij", unit.of_recurrent, by_gate)
    jacobian.diagonal(dim1=2, dim2=4).add_(unit.of_own)
    after = torch.bmm(jacobian.flatten(1, 2).flatten(2), sensitivity)
    one = torch.ones_like(h[:, :1])
    reads = {"input.weight": (unit.of_input, x), "input.bias": (unit.of_input, one)}
    reads |= {"recurrent.weight": (unit.of_recurrent, h), "recurrent.bias": (unit.of_recurrent, one)}
    first = 0
    for name, shape in layout.shapes.items():
        of_gates, read = reads[name]
        part = after[:, :, first : first + shape.numel()]
        part = part.unflatten(2, (-1, hidden, read.shape[1])).unflatten(1, (fields, hidden))
        part.diagonal(dim1=2, dim2=4).add_(torch.einsum("nfgi,nd->nfgdi", of_gates, read))
        first += shape.numel()
    return unit.state.flatten(1), after.unsqueeze(2)
