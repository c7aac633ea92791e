"""A recursive network on a chain is the simple recurrent network: the proof in symbols.

The cells' own `forward` runs on sympy's symbols instead of tensors, over the steps of a sequence for the SRN
and over the edges of a tree that is a chain for the recursive network, with an undefined nonlinearity f. The
states at every step are then one expression in the symbols of x, W, U, b, the same as the textbook's
recurrence, and so are all their derivatives. Numbers put in for the symbols give what the engine computes.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import sympy
import torch

import graphrec as gr
from tests.tolerances import assert_close
from tests.trials import Trial

D = 2  # width of x
f = sympy.Function("f")


class Symbols(np.ndarray):
    """An array of expressions that answers as a tensor does to what a cell asks of one."""

    def flatten(self, start):
        return self.reshape(*self.shape[:start], -1)


def symbols(name, *shape):
    names = [f"{name}_{'_'.join(map(str, index))}" for index in np.ndindex(*shape)]
    return array(sympy.symbols(names), shape)


def array(values, shape):
    return np.array(values, dtype=object).reshape(shape).view(Symbols)


def apply_f(values):
    return array([f(v) for v in values.ravel()], values.shape)


def srn_forward(w, x, before):
    """One step of `SRNCell`; `before` is the state of the step before, or None."""
    edges = np.zeros((0, w.H)) if before is None else before[None]
    inbox = SimpleNamespace(h=array(edges, edges.shape), sum=lambda values: values.sum(0, keepdims=True))
    cell = SimpleNamespace(activation=apply_f, recurrent=lambda h: h @ w.U.T, State=gr.SRNCell.State)
    return gr.SRNCell.forward(cell, x[None] @ w.W.T + w.b, inbox, None).h[0]


def recnn_forward(w, x, children):
    """One step of `RecNNCell`; `children` are states by slot."""
    states = np.zeros((1, w.arity, w.H), dtype=object)
    for slot, state in children.items():
        states[0, slot] = state
    inbox = SimpleNamespace(slots=lambda count: states.view(Symbols))
    U = np.concatenate([w.U, *w.other_U], axis=1)
    cell = SimpleNamespace(
        arity=w.arity, activation=apply_f, recurrent=lambda h: h @ U.T, State=gr.RecNNCell.State
    )
    return gr.RecNNCell.forward(cell, x[None] @ w.W.T + w.b, inbox, None).h[0]


def textbook(w, x):
    """h_t = f(W x_t + U h_{t-1} + b), every sum written out."""
    states, before = [], [sympy.Integer(0)] * w.H
    for x_t in x:
        before = [
            f(
                sum(w.W[i, j] * x_t[j] for j in range(D))
                + sum(w.U[i, j] * before[j] for j in range(w.H))
                + w.b[i]
            )
            for i in range(w.H)
        ]
        states.append(before)
    return states


def weights(H, arity):
    return SimpleNamespace(
        H=H,
        arity=arity,
        W=symbols("W", H, D),
        U=symbols("U", H, H),
        b=symbols("b", H),
        other_U=[symbols(f"U{k}", H, H) for k in range(1, arity)],
    )


def srn_states(w, x):
    states = []
    for t in range(len(x)):
        states.append(srn_forward(w, x[t], states[-1] if t else None))
    return states


def recnn_states(w, x):
    """Over a tree written in brackets, whose nodes are numbered from the leaf up."""
    tree = gr.tree("(0 " * len(x) + "w" + ")" * len(x))
    states = []
    for node in range(tree.num_nodes):
        entering = (tree.target == node).nonzero().flatten()
        children = {int(tree.slot[e]): states[int(tree.source[e])] for e in entering}
        states.append(recnn_forward(w, x[node], children))
    return states


def assert_same_expressions(one, other):
    for a, b in zip(np.ravel(one), np.ravel(other), strict=True):
        assert sympy.expand(a) == sympy.expand(b)


SIZES = [(1, 1), (3, 1), (2, 2), (3, 2)]  # T and H


@pytest.mark.parametrize(("T", "H"), SIZES)
@pytest.mark.parametrize("arity", [1, 2])
def test_states_are_one_expression(T, H, arity):
    w, x = weights(H, arity), symbols("x", T, D)
    assert_same_expressions(srn_states(w, x), textbook(w, x))
    assert_same_expressions(recnn_states(w, x), textbook(w, x))


@pytest.mark.parametrize(("T", "H"), [(1, 1), (3, 1), (2, 2)])
def test_derivatives_are_one_expression(T, H):
    w, x = weights(H, arity=2), symbols("x", T, D)
    one, other = sum(srn_states(w, x)[-1]), sum(recnn_states(w, x)[-1])
    for symbol in [*w.W.ravel(), *w.U.ravel(), *w.b, *x.ravel()]:
        assert sympy.expand(one.diff(symbol).doit()) == sympy.expand(other.diff(symbol).doit())
    for symbol in w.other_U[0].ravel():
        assert other.diff(symbol) == 0


@pytest.mark.parametrize(("T", "H"), SIZES)
@pytest.mark.parametrize("make", [gr.SRNCell, gr.RecNNCell])
def test_with_numbers_the_expressions_are_what_the_engine_computes(T, H, make):
    cell = make(D, H).double()
    x = torch.randn(T, D, dtype=torch.float64, requires_grad=True)
    w, x_symbols = weights(H, arity=1), symbols("x", T, D)
    names = [*w.W.ravel(), *w.b, *w.U.ravel(), *x_symbols.ravel()]
    of_slot_0 = cell.recurrent.weight[:, :H]  # all that a chain makes use of
    numbers = torch.cat(
        [t.detach().ravel() for t in (cell.input.weight, cell.input.bias, of_slot_0, x)]
    ).tolist()

    def evaluated(expressions):
        compute = sympy.lambdify(names, [e.replace(f, sympy.tanh) for e in expressions], "math", cse=True)
        return torch.tensor(compute(*numbers), dtype=torch.float64)

    h = Trial(cell, gr.chain(T), x).run().h
    states = np.ravel(textbook(w, x_symbols))
    assert_close(h.detach().ravel(), evaluated(states))

    last = states[-1].replace(f, sympy.tanh)
    (of_x,) = torch.autograd.grad(h[-1, -1], x)
    assert_close(of_x.ravel(), evaluated([last.diff(symbol) for symbol in x_symbols.ravel()]))
