"""docs/derivations.md, 6-2 and 6-7: gradients of the simple recurrent network, and that a chain RecNN is one."""

import pytest
import torch
from torch import Tensor, nn

import graphrec as gr
from tests.docs.local_gradients import Readout, run_locally
from tests.tolerances import assert_all_close, assert_close

T, D, H = 5, 3, 4

SLOPES = {  # (2.9): f' by h = f(z)
    "tanh": lambda h: 1 - h**2,
    "logistic": lambda h: h * (1 - h),
    "relu": lambda h: (h > 0).double(),
}
FUNCTIONS = {"tanh": torch.tanh, "logistic": torch.sigmoid, "relu": torch.relu}


class Srn:
    """A run of an SRN by the engine, its weights, and its states and slopes f'(z) by the plain loop (2.1)."""

    def __init__(self, activation: str) -> None:
        self.cell = gr.SRNCell(D, H, activation).double()
        self.x = torch.randn(T, D).double().requires_grad_()
        self.h_0 = torch.rand(1, H).double().requires_grad_()
        self.readout = Readout(H, T)
        self.local = run_locally(self.cell, gr.chain(T), self.x, self.h_0)
        self.W, self.U, self.b = (
            weight.detach()
            for weight in (self.cell.input.weight, self.cell.recurrent.weight, self.cell.input.bias)
        )
        self.inputs = [None, *self.x.detach()]  # x_1 … x_T
        self.h = [self.h_0.detach()[0]]  # h_0 … h_T
        for t in range(1, T + 1):
            self.h.append(FUNCTIONS[activation](self.W @ self.inputs[t] + self.U @ self.h[t - 1] + self.b))
        self.slope = [SLOPES[activation](h) for h in self.h]
        self.e = self.readout.pulls(self.h)

    def one_loss(self, t: int) -> dict[int, Tensor]:
        """(2.2), (2.3): delta_{t,k} for k = 1 … T."""
        delta = dict.fromkeys(range(t + 1, T + 1), torch.zeros(H).double())
        delta[t] = self.slope[t] * self.e[t]
        for k in reversed(range(1, t)):
            delta[k] = self.slope[k] * (self.U.T @ delta[k + 1])
        return delta

    def all_losses(self) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """(2.5), (2.6): dL/dh_k and delta_k for k = 1 … T."""
        of_h, delta = {}, {T + 1: torch.zeros(H).double()}
        for k in reversed(range(1, T + 1)):
            of_h[k] = self.e[k] + self.U.T @ delta[k + 1]
            delta[k] = self.slope[k] * of_h[k]
        return of_h, delta

    def of_weights(self, delta: dict[int, Tensor]) -> dict[str, Tensor]:
        """(2.4), (2.7): the sums over the steps."""
        steps = range(1, T + 1)
        return {
            "recurrent.weight": sum(torch.outer(delta[k], self.h[k - 1]) for k in steps),
            "input.weight": sum(torch.outer(delta[k], self.inputs[k]) for k in steps),
            "input.bias": sum(delta[k] for k in steps),
        }

    def autograd(self, loss: Tensor) -> dict[str, Tensor]:
        names, weights = zip(*self.cell.named_parameters(), strict=True)
        return dict(zip(names, torch.autograd.grad(loss, weights, retain_graph=True), strict=True))


@pytest.fixture(params=sorted(SLOPES))
def srn(request):
    return Srn(request.param)


def rows(vectors: dict[int, Tensor]) -> Tensor:
    return torch.stack([vectors[k] for k in range(1, T + 1)])


def test_states(srn):
    """(2.1)"""
    assert_close(srn.local.state.h.detach(), torch.stack(srn.h[1:]))


def test_slopes_are_told_by_h():
    """(2.9)"""
    z = torch.randn(20).double().requires_grad_()
    for name, f in FUNCTIONS.items():
        (slope,) = torch.autograd.grad(f(z).sum(), z)
        assert_close(SLOPES[name](f(z).detach()), slope)


def test_one_loss(srn):
    """(2.2), (2.3), (2.4)"""
    for t, loss in enumerate(srn.readout.losses(srn.local.state.h), start=1):
        delta = srn.one_loss(t)
        assert_close(rows(delta), srn.local.gradients(loss)[0], f"delta_{t},k")
        assert_all_close(srn.of_weights(delta), srn.autograd(loss))


def test_all_losses(srn):
    """(2.5), (2.6), (2.7)"""
    loss = srn.readout.losses(srn.local.state.h).sum()
    of_h, delta = srn.all_losses()
    of_z_found, of_h_found = srn.local.gradients(loss)
    assert_close(rows(delta), of_z_found, "dL/dz")
    assert_close(rows(of_h), of_h_found, "dL/dh")
    assert_all_close(srn.of_weights(delta), srn.autograd(loss))
    h = gr.run(srn.cell, gr.schedule(gr.chain(T)), srn.x, srn.h_0).h  # the cell itself, as models run it
    assert_all_close(srn.of_weights(delta), srn.autograd(srn.readout.losses(h).sum()))


def test_one_recursion_sums_up_the_others(srn):
    """(2.6): delta_k is the sum of delta_{t,k} over t."""
    single = [srn.one_loss(t) for t in range(1, T + 1)]
    _, delta = srn.all_losses()
    for k in range(1, T + 1):
        assert_close(sum(one[k] for one in single), delta[k])


def test_readout_inputs_and_initial_state(srn):
    """(2.8)"""
    V, c = srn.readout.V, srn.readout.c
    loss = srn.readout.losses(srn.local.state.h).sum()
    of_V, of_c, of_h_0, of_x = torch.autograd.grad(loss, [V, c, srn.h_0, srn.x])
    steps = range(1, T + 1)
    of_y = srn.readout.of_y(srn.h)
    _, delta = srn.all_losses()
    assert_close(sum(torch.outer(of_y[k], srn.h[k]) for k in steps), of_V)
    assert_close(sum(of_y[k] for k in steps), of_c)
    assert_close((srn.U.T @ delta[1])[None], of_h_0)
    assert_close(torch.stack([srn.W.T @ delta[k] for k in steps]), of_x)


@pytest.mark.parametrize(("activation", "gamma"), [("tanh", 1.0), ("logistic", 0.25), ("relu", 1.0)])
def test_norms_fall_by_a_factor_at_least(activation, gamma):
    """(2.10)"""
    for _ in range(10):
        srn = Srn(activation)
        factor = gamma * torch.linalg.matrix_norm(srn.U, 2)
        last = srn.readout.losses(srn.local.state.h)[-1]
        norms = srn.local.gradients(last)[0].norm(dim=1)
        for k in range(T):
            assert norms[k] <= factor ** (T - 1 - k) * norms[-1] * (1 + 1e-12)


def test_norms_stay_where_u_is_orthogonal_and_f_linear():
    """(2.10), with equality."""
    cell = gr.SRNCell(D, H, "linear").double()
    nn.init.orthogonal_(cell.recurrent.weight)
    local = run_locally(cell, gr.chain(50), torch.randn(50, D).double())
    norms = local.gradients(local.state.h[-1].sum())[0].norm(dim=1)
    assert_close(norms, norms[-1].expand(50))


def test_targets_take_the_place_of_the_next_step():
    """(2.11), on a DAG whose nodes are read by up to three others, in either slot."""
    edges = [(0, 1, 0), (0, 2, 1), (1, 3, 0), (2, 3, 1), (0, 4, 0), (2, 4, 1), (3, 5, 0), (2, 5, 1)]
    source, target, slot = torch.tensor(edges).t()
    structure = gr.dag(torch.stack([source, target]), 6, slot=slot)
    cell = gr.RecNNCell(D, H, arity=2).double()
    local, readout = run_locally(cell, structure, torch.randn(6, D).double()), Readout(H, 6)
    h = local.state.h
    found = local.gradients(readout.losses(h).sum())[0]

    U = cell.recurrent.weight.detach().split(H, dim=1)
    e = readout.pulls([None, *h.detach()])
    delta: dict[int, Tensor] = {}
    for v in reversed(range(6)):
        from_targets = sum(U[s].T @ delta[w] for u, w, s in edges if u == v)
        delta[v] = (1 - h[v].detach() ** 2) * (e[v + 1] + from_targets)
    assert_close(torch.stack([delta[v] for v in range(6)]), found)


@pytest.mark.parametrize("arity", [1, 3])
def test_a_chain_recnn_is_an_srn(arity):
    """(7.1), (7.2), (7.3): both recursions by hand, node by node from the leaf, and both by the engine."""
    srn, recnn = gr.SRNCell(D, H).double(), gr.RecNNCell(D, H, arity).double()
    with torch.no_grad():
        recnn.input.load_state_dict(srn.input.state_dict())
        recnn.recurrent.weight[:, :H] = srn.recurrent.weight
    tree, x, readout = gr.tree(parents=[1, 2, 3, 4, -1]), torch.randn(T, D).double(), Readout(H, T)
    local = run_locally(recnn, tree, x)
    assert_close(local.state.h, gr.run(srn, gr.schedule(gr.chain(T)), x).h)

    W, b, U = (
        srn.input.weight.detach(),
        srn.input.bias.detach(),
        recnn.recurrent.weight.detach().split(H, dim=1),
    )
    child = dict(zip(tree.target.tolist(), tree.source.tolist(), strict=True))
    h: list[Tensor] = []
    for v in range(T):  # (7.1): empty slots contribute nothing
        h.append(torch.tanh(W @ x[v] + (U[0] @ h[child[v]] if v in child else 0) + b))
    before = torch.zeros(H).double()
    for t in range(T):  # (7.2)
        before = torch.tanh(W @ x[t] + U[0] @ before + b)
        assert_close(h[t], before)
    assert_close(local.state.h.detach(), torch.stack(h))

    loss = readout.losses(local.state.h).sum()
    of_U = torch.autograd.grad(loss, recnn.recurrent.weight, retain_graph=True)[0].split(H, dim=1)
    delta = local.gradients(loss)[0]
    assert_close(sum(torch.outer(delta[v], h[child[v]]) for v in child), of_U[0])
    assert not any(other.any() for other in of_U[1:])
