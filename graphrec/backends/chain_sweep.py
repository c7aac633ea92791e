"""Sweeps over chains with their reverse derived by hand: SRN, GRU, and the memory cell of the LSTM.

All rows of a step are updated at once, in place, through views that are cut before the loop; a step is two
operations for the SRN and five for the GRU, two and three on the way back. What does not depend on order is done for
all nodes together: products with inputs before the sweep, the derivatives of gates before the reverse sweep, gradients
of weights after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..cells.cell import Fused
from ..schedule import Chains
from .lowered import Lowered

# In place, which is why they are called as autograd calls them; both take the function's result.
_THROUGH_TANH = torch.ops.aten.tanh_backward.grad_input
_THROUGH_RELU = torch.ops.aten.threshold_backward.grad_input


class Layout:
    """Where the rows of each step lie: as the caller numbers them if that is evenly, else step by step."""

    def __init__(self, chains: Chains, as_numbered: bool = True) -> None:
        self.chains = chains
        self.regular = chains.regular if as_numbered else None
        self.stays = bool(self.regular) or chains.are_in_order

    def enter(self, rows: Tensor) -> Tensor:
        """`[N, ...]`, from the caller's order into this one; maybe the same tensor."""
        return rows if self.stays else rows.index_select(0, self.chains.node)

    def leave(self, rows: Tensor) -> Tensor:
        """`[N, ...]`, back into the caller's order; maybe the same tensor."""
        return rows if self.stays else rows.index_select(0, self.chains.place)

    def enter_copy(self, rows: Tensor) -> Tensor:
        """As `enter`, to be written into."""
        return rows.clone(memory_format=torch.contiguous_format) if self.stays else self.enter(rows)

    def steps(self, rows: Tensor) -> Sequence[Tensor]:
        """Each step's rows, as views."""
        if not self.regular:
            return rows.split(self.chains.counts)
        count = self.chains.num_chains
        along, across = self.regular
        views = rows.split(count) if across == 1 else rows.unflatten(0, (count, across)).unbind(1)
        return views if along > 0 else views[::-1]

    def read(self, rows: Tensor) -> Sequence[Tensor]:
        """For each step but the last, those of its rows that the next step reads, as views."""
        if self.chains.are_equally_long:
            return self.steps(rows)[:-1]
        counts = self.chains.counts
        sizes = [size for now, later in pairwise(counts) for size in (later, now - later)]
        return rows.split([*sizes, counts[-1]])[:-1:2]

    def outer(self, later: Tensor, earlier: Tensor, initial: Tensor | None) -> Tensor:
        """`[N, V], [N, H], [B, H] → [V, H]`: Σ later[n] ⊗ earlier[m] over all nodes n, m being the one before n.

        What stands before the first nodes is `initial`, if there is one.
        """
        first = self.steps(later)[0]
        if not self.chains.are_equally_long:
            total = later[len(first) :].t() @ earlier.index_select(0, self.chains.before)
        else:
            # Nodes that follow each other are equally far apart in all chains.
            apart = self.regular[0] if self.regular else len(first)
            kept = first.clone()
            first.zero_()
            if apart > 0:
                total = later[apart:].t() @ earlier[:-apart]
            else:
                total = later[:apart].t() @ earlier[-apart:]
            first.copy_(kept)
        return total if initial is None else total.addmm_(first.t(), initial)


class Equations:
    """What a cell computes in the places of a layout; x and all results are in its order.

    Attributes:
        step: the same for one step, as torch's operator: `(x, h, w_ih, w_hh, b_ih, b_hh) → h`.
    """

    step: Callable[..., Tensor]

    def forward(
        self, layout: Layout, x: Tensor, initial: Tensor | None, weights: Fused
    ) -> tuple[Tensor, Tensor | None]:
        """h `[N, H]`, and what else the reverse sweep needs."""
        raise NotImplementedError

    def infer(self, layout: Layout, x: Tensor, initial: Tensor | None, weights: Fused) -> Tensor:
        """h alone."""
        return self.forward(layout, x, initial, weights)[0]

    def backward(
        self, layout: Layout, grad: Tensor, h: Tensor, kept: Any, w_hh: Tensor, initial_grad: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The gradients at the products with `turn(w_ih)` and with w_hh, `[N, V]` each.

        Args:
            grad: `[N, H]`, of h; is written into.
            initial_grad: zeros `[B, H]`, to be written into; None if it is not asked for.
        """
        raise NotImplementedError

    def turn(self, w_ih: Tensor) -> Tensor:
        """The weight of the inputs, its gates in the order in which they are computed."""
        return w_ih

    def turn_back(self, w_ih: Tensor) -> Tensor:
        """Its inverse."""
        return w_ih


class SRN(Equations):
    """h_t = f(W x_t + U h_{t-1} + b)"""

    def __init__(self, relu: bool) -> None:
        self._relu = relu
        self.step = torch.rnn_relu_cell if relu else torch.rnn_tanh_cell

    def forward(
        self, layout: Layout, x: Tensor, initial: Tensor | None, weights: Fused
    ) -> tuple[Tensor, None]:
        """f is applied where its argument stood."""
        bias = weights.b_ih if weights.b_hh is None else weights.b_hh
        if weights.b_ih is not None and weights.b_hh is not None:
            bias = weights.b_ih + weights.b_hh
        inputs = weights.w_ih.t()
        h = torch.mm(x, inputs) if bias is None else torch.addmm(bias, x, inputs)
        recurrent, f = weights.w_hh.t().contiguous(), torch.relu_ if self._relu else torch.tanh_
        earlier, chains = initial, layout.chains.num_chains
        for count, step in zip(layout.chains.counts, layout.steps(h), strict=True):
            if earlier is not None:
                step.addmm_(earlier if count == chains else earlier[:count], recurrent)
            earlier, chains = f(step), count
        return h, None

    def backward(
        self, layout: Layout, grad: Tensor, h: Tensor, kept: Any, w_hh: Tensor, initial_grad: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The gradient of h becomes that of f's argument."""
        steps = zip(layout.steps(grad), layout.steps(h), [initial_grad, *layout.read(grad)], strict=True)
        for step, f, earlier in reversed(list(steps)):
            if self._relu:
                _THROUGH_RELU(step, f, 0, grad_input=step)
            else:
                _THROUGH_TANH(step, f, grad_input=step)
            if earlier is not None:
                earlier.addmm_(step, w_hh)
        return grad, grad


class GRU(Equations):
    """h_t = (1 - z_t) * n_t + z_t * h_{t-1}, with n_t = tanh(W_n x_t + r_t * u_t) and u_t = U_n h_{t-1} + d_n.

    A row of the gates holds n, r, z, u: the first three begin as products with x, the last three are added to by
    products with h_{t-1}.
    """

    step = staticmethod(torch.gru_cell)

    def turn(self, w_ih: Tensor) -> Tensor:
        """r, z, n to n, r, z."""
        return w_ih.roll(w_ih.shape[0] // 3, 0)

    def turn_back(self, w_ih: Tensor) -> Tensor:
        """n, r, z to r, z, n."""
        return w_ih.roll(-(w_ih.shape[0] // 3), 0)

    def forward(
        self, layout: Layout, x: Tensor, initial: Tensor | None, weights: Fused
    ) -> tuple[Tensor, Tensor]:
        """Also keeps the gates, `[N, 4H]`."""
        hidden, bias = weights.w_hh.shape[1], self._bias(weights)
        gates, h = x.new_empty(x.shape[0], 4 * hidden), x.new_empty(x.shape[0], hidden)
        torch.addmm(bias[: 3 * hidden], x, self.turn(weights.w_ih).t(), out=gates[:, : 3 * hidden])
        gates[:, 3 * hidden :] = bias[3 * hidden :]
        recurrent = weights.w_hh.t().contiguous()
        sigmoid_, tanh_, lerp = torch.sigmoid_, torch.tanh_, torch.lerp
        views = (gates[:, hidden:], gates[:, hidden : 3 * hidden], *gates.split(hidden, 1), h)
        earlier, chains = initial, layout.chains.num_chains
        for count, rzu, rz, n, r, z, u, new in zip(
            layout.chains.counts, *map(layout.steps, views), strict=True
        ):
            if earlier is None:
                earlier = torch.zeros_like(new)
            else:
                earlier = earlier if count == chains else earlier[:count]
                rzu.addmm_(earlier, recurrent)
            sigmoid_(rz)
            earlier, chains = lerp(tanh_(n.addcmul_(r, u)), earlier, z, out=new), count
        return h, gates

    def infer(self, layout: Layout, x: Tensor, initial: Tensor | None, weights: Fused) -> Tensor:
        """The same with one row of gates per chain, which every step writes over."""
        hidden, bias = weights.w_hh.shape[1], self._bias(weights)
        x_n = torch.addmm(bias[:hidden], x, weights.w_ih[2 * hidden :].t())
        x_rz = torch.addmm(bias[hidden : 3 * hidden], x, weights.w_ih[: 2 * hidden].t())
        bias[: 3 * hidden] = 0  # what is left belongs to u
        h, bias, recurrent = torch.empty_like(x_n), bias[hidden:], weights.w_hh.t().contiguous()
        gates = bias.expand(layout.chains.num_chains, -1).clone()
        rz, (r, z, u) = gates[:, : 2 * hidden], gates.split(hidden, 1)
        addmm, sigmoid_, tanh_, lerp = torch.addmm, torch.sigmoid_, torch.tanh_, torch.lerp
        earlier, chains = initial, layout.chains.num_chains
        for count, of_rz, n, new in zip(
            layout.chains.counts, *map(layout.steps, (x_rz, x_n, h)), strict=True
        ):
            if earlier is None:
                earlier = torch.zeros_like(new)
            else:
                if count < chains:
                    gates, rz, r, z, u, earlier = (rows[:count] for rows in (gates, rz, r, z, u, earlier))
                addmm(bias, earlier, recurrent, out=gates)
            sigmoid_(rz.add_(of_rz))
            earlier, chains = lerp(tanh_(n.addcmul_(r, u)), earlier, z, out=new), count
        return h

    def _bias(self, weights: Fused) -> Tensor:
        """`[4H]`, for n, r, z, u."""
        hidden = weights.w_hh.shape[1]
        bias = weights.w_hh.new_zeros(4 * hidden)
        if weights.b_ih is not None:
            bias[: 3 * hidden] += self.turn(weights.b_ih)
        if weights.b_hh is not None:
            bias[hidden:] += weights.b_hh
        return bias

    def backward(
        self, layout: Layout, grad: Tensor, h: Tensor, kept: Any, w_hh: Tensor, initial_grad: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The derivatives of h in the gates become gradients when that of h has arrived."""
        hidden = h.shape[1]
        n, r, z, u = kept.split(hidden, 1)
        gates = torch.empty_like(kept)
        of_n, of_r, of_z, of_u = gates.split(hidden, 1)
        new = 1 - z
        torch.mul(h - n, new, out=of_z)  # h - n is z * (h_{t-1} - n)
        torch.addcmul(new, new * n, n, value=-1, out=of_n)
        torch.mul(of_n, r, out=of_u)
        torch.mul(of_u, u, out=of_r).addcmul_(of_r, r, value=-1)
        rzu = gates[:, hidden:]
        views = (grad, grad.unsqueeze(1), rzu, rzu.unflatten(1, (3, hidden)), z)
        steps = zip(*map(layout.steps, views), [initial_grad, *layout.read(grad)], strict=True)
        for of_h, of_h_wide, of_gates, of_each, z_t, earlier in reversed(list(steps)):
            of_each.mul_(of_h_wide)
            if earlier is not None:
                earlier.addcmul_(of_h, z_t).addmm_(of_gates, w_hh)
        of_n.mul_(grad)
        return gates[:, : 3 * hidden], rzu


_EQUATIONS = {"rnn_tanh": SRN(relu=False), "rnn_relu": SRN(relu=True), "gru": GRU()}


class ChainSweep(Lowered):
    """The SRN and the GRU."""

    name = "chain_sweep"

    @staticmethod
    def refuses(operator: str, x: Tensor) -> str | None:
        """Why not, beside what no backend for chains takes; None: it does."""
        if operator not in _EQUATIONS:
            return "it is for the SRN and the GRU"
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
            return f"it is for float32 and float64 on a CPU, x is {x.dtype} on {x.device}"
        return "autocast is on" if torch.is_autocast_enabled("cpu") else None

    def h(self) -> Tensor:
        """`[N, H]`."""
        equations, layout = _EQUATIONS[self.fused.operator], Layout(self.chains)
        initial, weights = self.initial[0] if self.initial else None, self.fused[1:]
        if torch.is_grad_enabled() and any(
            tensor is not None and tensor.requires_grad for tensor in (self.x, initial, *weights)
        ):
            return _Sweep.apply(equations, layout, self.x, initial, *weights)
        return layout.leave(equations.infer(layout, layout.enter(self.x), initial, self.fused))


class _Sweep(torch.autograd.Function):
    """The sweep, and as its gradient the reverse sweep."""

    @staticmethod
    def forward(
        ctx: Any, equations: Equations, layout: Layout, x: Tensor, initial: Tensor | None, *weights: Any
    ) -> Tensor:
        """`[N, H]`."""
        h, kept = equations.forward(layout, layout.enter(x), initial, Fused("", *weights))
        ctx.equations, ctx.layout = equations, layout
        ctx.save_for_backward(x, initial, *weights, h, kept)
        # A copy in any case: h is kept, and the caller may write into his.
        return h.clone() if layout.stays else layout.leave(h)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """The gradients of x, the initial state, the weights and the biases, where they are asked for."""
        equations, layout = ctx.equations, ctx.layout
        *inputs, h, kept = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        if must_be_plain(grads):
            return None, None, *gradients_of(_stepwise, grads, needed, equations.step, layout.chains, *inputs)
        x, initial, w_ih, w_hh = inputs[:4]
        of_x, of_initial, of_w_ih, of_w_hh, of_b_ih, of_b_hh = needed
        initial_grad = torch.zeros_like(initial) if of_initial else None
        at_x, at_h = equations.backward(layout, layout.enter_copy(grads[0]), h, kept, w_hh, initial_grad)
        return (
            None,
            None,
            layout.leave(at_x @ equations.turn(w_ih)) if of_x else None,
            initial_grad,
            equations.turn_back(at_x.t() @ layout.enter(x)) if of_w_ih else None,
            layout.outer(at_h, h, initial) if of_w_hh else None,
            equations.turn_back(at_x.sum(0)) if of_b_ih else None,
            at_h.sum(0) if of_b_hh else None,
        )


def _stepwise(
    step: Callable[..., Tensor], chains: Chains, x: Tensor, initial: Tensor | None, *weights: Tensor | None
) -> Tensor:
    """`[N, H]`: the same in plain PyTorch, for derivatives of any order."""
    w_hh = weights[1]
    assert w_hh is not None
    h = x.new_zeros(chains.num_chains, w_hh.shape[1]) if initial is None else initial
    states = []
    for rows in x.index_select(0, chains.node).split(chains.counts):
        h = step(rows, h[: len(rows)], *weights)
        states.append(h)
    return torch.cat(states).index_select(0, chains.place)


class Scan(torch.autograd.Function):
    """c_t = f_t * c_{t-1} + u_t over chains, all `[N, H]` in a layout's order; c before each chain is `[B, H]`."""

    @staticmethod
    def forward(ctx: Any, layout: Layout, f: Tensor, u: Tensor, initial: Tensor) -> Tensor:
        """One operation per step."""
        c = torch.empty_like(u)
        steps = zip(*map(layout.steps, (f, u, c)), [initial, *layout.read(c)], strict=True)
        for forget, add, new, earlier in steps:
            torch.addcmul(add, forget, earlier, out=new)
        ctx.layout = layout
        ctx.save_for_backward(f, u, initial, c)
        return c.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """The same scan from the other end."""
        layout: Layout = ctx.layout
        f, u, initial, c = ctx.saved_tensors
        if must_be_plain(grads):
            return None, *gradients_of(_scan, grads, ctx.needs_input_grad[1:], layout.chains, f, u, initial)
        of_u, of_f, of_initial = grads[0].clone(), torch.empty_like(f), torch.zeros_like(initial)
        views = (
            *map(layout.steps, (of_u, of_f, f)),
            [initial, *layout.read(c)],
            [of_initial, *layout.read(of_u)],
        )
        for add, of_forget, forget, earlier, of_earlier in reversed(list(zip(*views, strict=True))):
            torch.mul(add, earlier, out=of_forget)
            of_earlier.addcmul_(add, forget)
        return None, of_f, of_u, of_initial


def _scan(chains: Chains, f: Tensor, u: Tensor, initial: Tensor) -> Tensor:
    """`[N, H]`: the same in plain PyTorch."""
    c, states = initial, []
    for forget, add in zip(f.split(chains.counts), u.split(chains.counts), strict=True):
        c = add + forget * c[: len(add)]
        states.append(c)
    return torch.cat(states)


def must_be_plain(grads: Sequence[Tensor | None]) -> bool:
    """Whether a backward pass is to be differentiable itself, or takes many gradients at once."""
    functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
    return torch.is_grad_enabled() or any(
        grad is not None and (functorch.is_legacy_batchedtensor(grad) or functorch.is_batchedtensor(grad))
        for grad in grads
    )


def gradients_of(
    function: Callable[..., Tensor], grads: Sequence[Tensor], needed: Sequence[bool], *inputs: Any
) -> list[Tensor | None]:
    """The gradients of a function of plain PyTorch in its last inputs, where they are needed, to any order."""
    tensors = inputs[-len(needed) :]
    with torch.enable_grad():
        wanted = [tensor for tensor, is_needed in zip(tensors, needed, strict=True) if is_needed]
        found = iter(torch.autograd.grad(function(*inputs), wanted, grads[0], create_graph=True))
    return [next(found) if is_needed else None for is_needed in needed]
