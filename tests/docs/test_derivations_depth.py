"""docs/derivations.md, 6-6: stacks, deep transitions, and what stands before and after the recurrence."""

import networkx as nx
import torch
from torch import Tensor, nn

import graphrec as gr
from tests.tolerances import assert_close

T, D, H, L = 5, 2, 3, 3  # L layers, of a stack or within a transition


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.double)


def srn_step(cell: gr.SRNCell, x: Tensor, h: Tensor) -> Tensor:
    return torch.tanh(cell.input.weight @ x + cell.recurrent.weight @ h + cell.input.bias)


def test_before_and_after_the_recurrence():
    """(6.1)"""
    cell, phi, psi, x = (
        gr.SRNCell(4, H).double(),
        nn.Linear(D, 4).double(),
        nn.Linear(H, 2).double(),
        random(T, D),
    )
    h, y = torch.zeros(H).double(), []
    for t in range(T):
        h = srn_step(cell, torch.relu(phi.weight @ x[t] + phi.bias), h)
        y.append(psi.weight @ h + psi.bias)
    model = gr.Recursive(cell)
    assert_close(psi(model(torch.relu(phi(x)), gr.chain(T))), torch.stack(y))


def stack() -> list[gr.SRNCell]:
    return [gr.SRNCell(D if layer == 0 else H, H).double() for layer in range(L)]


def test_a_stack_three_ways():
    """(6.2): in plain loops, layer by layer, in series, and on a grid."""
    cells, x = stack(), random(T, D)
    h = [torch.zeros(H).double()] * L
    top = []
    for t in range(T):
        below = x[t]
        for layer, cell in enumerate(cells):
            below = h[layer] = srn_step(cell, below, h[layer])
        top.append(below)
    expected, s = torch.stack(top), gr.chain(T)
    assert_close(gr.Stacked([gr.Recursive(cell) for cell in cells])(x, s), expected)
    assert_close(gr.Recursive(gr.SeriesCell(cells))(x, s), expected)
    padded = torch.cat([x, torch.zeros((L - 1) * T, D).double()])
    assert_close(gr.run(gr.GridCell(cells), gr.schedule(gr.grid([T], L)), padded).h[-T:], expected)


class Transition(gr.Cell):
    """f(U s + b), without an input: a layer within a transition, of which x is not looked at."""

    State = gr.SRNCell.State
    arity = 1

    def __init__(self) -> None:
        super().__init__(None, H)
        self.recurrent = nn.Linear(H, H)

    def forward(self, x: Tensor, inbox: gr.Inbox, own: State) -> State:
        return self.State(torch.tanh(self.recurrent(inbox.sum(inbox.h))))


def deep_chain() -> gr.Structure:
    """L nodes for each step, of the kinds 0 … L - 1."""
    nodes = torch.arange(T * L)
    return gr.dag(torch.stack([nodes[:-1], nodes[1:]]), T * L, kind=nodes % L)


def transition() -> gr.PerKind:
    return gr.PerKind([gr.SRNCell(D, H).double(), *(Transition().double() for _ in range(L - 1))])


def test_a_deep_transition():
    """(6.3)"""
    cell, x = transition(), random(T, D)
    first, *others = cell.cells
    h, expected = torch.zeros(H).double(), []
    for t in range(T):
        h = srn_step(first, x[t], h)
        for layer in others:
            h = torch.tanh(layer.recurrent.weight @ h + layer.recurrent.bias)
        expected.append(h)
    inputs = torch.zeros(T * L, D).double()
    inputs[::L] = x
    h = gr.run(cell, gr.schedule(deep_chain()), inputs).h[L - 1 :: L]
    assert_close(h, torch.stack(expected))


def longest_path(s: gr.Structure) -> int:
    """Nodes on it; by networkx, which knows nothing of levels."""
    return nx.dag_longest_path_length(nx.DiGraph(s.edge_index.t().tolist())) + 1


def test_the_longest_path_and_the_number_of_steps():
    """(6.4)"""
    for s, length in [(gr.chain(T), T), (gr.grid([T], L), T + L - 1), (deep_chain(), T * L)]:
        assert longest_path(s) == length
        assert len(gr.schedule(s).steps) == length


def test_weights_of_a_stack_and_of_a_deep_transition():
    """(6.4), the first column."""

    def products(cell: nn.Module) -> int:
        return sum(weight.numel() for weight in cell.parameters() if weight.dim() == 2)

    assert products(stack()[0]) == D * H + H**2
    assert products(gr.SeriesCell(stack())) == D * H + H**2 + (L - 1) * 2 * H**2
    assert products(transition()) == D * H + L * H**2
