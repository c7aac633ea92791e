"""Sequence cells that are special cases of each other, with some weights held fast.

- Gates that are held open or shut: a gated recurrent unit that always resets nothing (r = 1) and keeps nothing
  (z = 0) is the simple recurrent network, in numbers and in symbols, wherever its reset comes; an LSTM that always
  remembers (f = 1) is the one without forget gate.
- Gates with the other's weights: 1 - sigmoid(a) = sigmoid(-a), so an LSTM whose forget gate has the negated weights
  of its input gate is the coupled one.
- Connections that are not there: an LSTM with peepholes of zero has none; a Jordan network whose output is its
  hidden layer is Elman's; residual recurrence of linear neurons is linear neurons with U + I.
- Tree cells on chains: the Child-Sum Tree-LSTM is the LSTM, the Tree-GRU the published GRU.
- Cells in series within a node are the same cells run over the whole structure one after the other.
- A second-order network with large weights is the finite automaton that they spell out.

A sigmoid of 1000 is 1 and one of -1000 is 0 in float64, exactly; so are their derivatives.
"""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close, assert_close
from tests.trials import Trial, trial

sequences = strategies.acyclic(arity=1)
initial_states = st.sampled_from([None, "per graph", "per node"])

# What to give each test: structures in which nodes have one source at most, and sizes.
with_any = given(
    structure=sequences, initial=initial_states, inputs=strategies.sizes, hidden=strategies.sizes
)
few = settings(max_examples=15)


def other(cell, run, initial=None):
    """A trial of another cell on the inputs of the first."""
    return Trial(cell.double(), run.structure, run.x, run.initial if initial is None else initial)


def copy(pairs):
    with torch.no_grad():
        for to, value in pairs:
            to.copy_(value)


def weights_of(outcome, name, like):
    """A gradient, zero where there is none."""
    grad = outcome[f"gradient of {name}"]
    return torch.zeros_like(like) if grad is None else grad


def assert_same(actual, expected, renamed):
    """Equal values and gradients of x and the initial state; and of the weights that `renamed` takes apart.

    `renamed` maps names to pairs of gradients, ours and the other's.
    """
    shared = [name for name in expected if name.startswith(("value", "gradient of x", "gradient of initial"))]
    ours, theirs = ({name: outcome[name] for name in shared} for outcome in (actual, expected))
    for name, (one, two) in renamed.items():
        ours[name], theirs[name] = one, two
    assert_all_close(ours, theirs)


@pytest.mark.parametrize("make", [gr.GRUCell, gr.TextbookGRUCell])
@few
@with_any
def test_gru_that_resets_and_keeps_nothing_is_srn(make, structure, initial, inputs, hidden):
    run = trial(gr.SRNCell, structure, initial, inputs=inputs, hidden=hidden)
    gru = make(inputs, hidden).double()
    recurrent = gru.recurrent if make is gr.GRUCell else gru.candidate
    copy(
        [
            (gru.input.weight[2 * hidden :], run.cell.input.weight),
            (gru.input.bias[2 * hidden :], run.cell.input.bias),
            (gru.input.bias[:hidden], torch.tensor(1000)),  # r
            (gru.input.bias[hidden : 2 * hidden], torch.tensor(-1000)),  # z
            (recurrent.weight[-hidden:], run.cell.recurrent.weight),
        ]
    )
    if recurrent.bias is not None:
        torch.nn.init.zeros_(recurrent.bias)
    expected, actual = run.outcome(), other(gru, run).outcome()
    u = "recurrent" if make is gr.GRUCell else "candidate"
    W = weights_of(actual, "input.weight", gru.input.weight)
    b = weights_of(actual, "input.bias", gru.input.bias)
    U = weights_of(actual, f"{u}.weight", recurrent.weight)
    assert_same(
        actual,
        expected,
        {
            "W": (W[2 * hidden :], expected["gradient of input.weight"]),
            "b": (b[2 * hidden :], expected["gradient of input.bias"]),
            "U": (U[-hidden:], expected["gradient of recurrent.weight"]),
            "W of gates": (W[: 2 * hidden], None),
            "b of gates": (b[: 2 * hidden], None),
            "U of gates": (U[:-hidden], None),
        },
    )


class Symbols(np.ndarray):
    """An array of expressions that answers as a tensor does to what the cells ask of one."""

    def chunk(self, count, dim):
        return [part.view(Symbols) for part in np.split(self, count, axis=dim)]

    def split(self, sizes, dim):
        return [part.view(Symbols) for part in np.split(self, np.cumsum(sizes)[:-1], axis=dim)]

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        f = {torch.sigmoid: sympy.Function("sigma"), torch.tanh: sympy.Function("f")}[func]
        return symbolic([f(v) for v in args[0].ravel()], args[0].shape)


def symbolic(values, shape):
    return np.array(values, dtype=object).reshape(shape).view(Symbols)


def symbols(name, *shape):
    return symbolic(sympy.symbols([f"{name}_{'_'.join(map(str, i))}" for i in np.ndindex(*shape)]), shape)


@pytest.mark.parametrize("make", [gr.GRUCell, gr.TextbookGRUCell])
@pytest.mark.parametrize("H", [1, 2])
def test_gru_that_resets_and_keeps_nothing_is_srn_in_symbols(make, H):
    """Its own `forward` on symbols, over three steps; then sigma(r) = 1 and sigma(z) = 0 are put in."""
    T, D = 3, 2
    W, U, b, x = symbols("W", H, D), symbols("U", H, H), symbols("b", H), symbols("x", T, D)
    r, z = symbols("r", H), symbols("z", H)
    nothing = symbolic([0] * 2 * H * H, (2 * H, H))
    cell = SimpleNamespace(
        hidden=H,
        State=make.State,
        recurrent=lambda h: (h @ np.concatenate([nothing, U]).T).view(Symbols),
        gates=lambda h: (h @ nothing.T).view(Symbols),
        candidate=lambda h: (h @ U.T).view(Symbols),
    )
    sigma = sympy.Function("sigma")
    held = {sigma(v): 1 for v in r} | {sigma(v): 0 for v in z}
    f = sympy.Function("f")
    gru = srn = symbolic([0] * H, (1, H))
    for t in range(T):
        projected = np.concatenate([r, z, W @ x[t] + b])[None].view(Symbols)
        inbox = SimpleNamespace(h=gru, sum=lambda values: values)
        gru = make.forward(cell, projected, inbox, None).h
        srn = symbolic([f(v) for v in W @ x[t] + U @ srn[0] + b], (1, H))
    for one, two in zip(gru.ravel(), srn.ravel(), strict=True):
        assert sympy.expand(one) != sympy.expand(two)
        assert sympy.expand(one.subs(held)) == sympy.expand(two)


@few
@with_any
def test_textbook_gru_is_tree_gru_with_one_child(structure, initial, inputs, hidden):
    run = trial(gr.TreeGRUCell, structure, initial, inputs=inputs, hidden=hidden)
    gru = gr.TextbookGRUCell(inputs, hidden).double()

    def turned(z_r_n):
        """Gates stacked z, r, n to gates stacked r, z, n."""
        z, r, n = z_r_n.chunk(3)
        return torch.cat([r, z, n])

    copy(
        [
            (gru.input.weight, turned(run.cell.input.weight)),
            (gru.input.bias, turned(run.cell.input.bias)),
            (gru.gates.weight, torch.cat([run.cell.reset.weight, run.cell.update.weight])),
            (gru.candidate.weight, run.cell.candidate.weight),
        ]
    )
    expected, actual = run.outcome(), other(gru, run).outcome()
    U_r, U_z = weights_of(actual, "gates.weight", gru.gates.weight).chunk(2)
    assert_same(
        actual,
        expected,
        {
            "W": (actual["gradient of input.weight"], turned(expected["gradient of input.weight"])),
            "b": (actual["gradient of input.bias"], turned(expected["gradient of input.bias"])),
            "U_r": (U_r, expected["gradient of reset.weight"]),
            "U_z": (U_z, expected["gradient of update.weight"]),
            "U_n": (actual["gradient of candidate.weight"], expected["gradient of candidate.weight"]),
        },
    )


WEIGHTS = ["input.weight", "input.bias", "recurrent.weight"]


def lstm_like(run, gates):
    """An LSTM whose gates i, f, g, o have the weights of another cell's, signed, `[(sign, gate), …]`; None: zeros."""
    inputs, hidden = run.cell.inputs, run.cell.hidden
    lstm = gr.LSTMCell(inputs, hidden).double()
    for name in WEIGHTS:
        blocks = dict(run.cell.named_parameters())[name].split(hidden)
        rows = [torch.zeros_like(blocks[0]) if gate is None else gate[0] * blocks[gate[1]] for gate in gates]
        copy([(dict(lstm.named_parameters())[name], torch.cat(rows))])
    return lstm


def gathered(outcome, name, lstm, gates, count):
    """The gradients of the LSTM's gates, summed into those of the gates that they have their weights from."""
    blocks = weights_of(outcome, name, dict(lstm.named_parameters())[name]).split(lstm.hidden)
    total = [torch.zeros_like(blocks[0]) for _ in range(count)]
    for gate, block in zip(gates, blocks, strict=True):
        if gate is not None:
            total[gate[1]] = total[gate[1]] + gate[0] * block
    return torch.cat(total)


LSTMS = {
    "forget gate 1 - i is the coupled one": (gr.CoupledLSTMCell, [(1, 0), (-1, 0), (1, 1), (1, 2)], 3),
    "forget gate 1 is the one without": (gr.NoForgetLSTMCell, [(1, 0), None, (1, 1), (1, 2)], 3),
    "peepholes of zero are none": (gr.PeepholeLSTMCell, [(1, 0), (1, 1), (1, 2), (1, 3)], 4),
}


@pytest.mark.parametrize("name", LSTMS)
@few
@with_any
def test_lstm_with(name, structure, initial, inputs, hidden):
    make, gates, count = LSTMS[name]
    run = trial(make, structure, initial, inputs=inputs, hidden=hidden)
    lstm = lstm_like(run, gates)
    if make is gr.NoForgetLSTMCell:
        copy([(lstm.input.bias[hidden : 2 * hidden], torch.tensor(1000))])
    if make is gr.PeepholeLSTMCell:
        torch.nn.init.zeros_(run.cell.peephole)
    expected, actual = run.outcome(), other(lstm, run).outcome()
    assert_same(
        actual,
        expected,
        {w: (gathered(actual, w, lstm, gates, count), expected[f"gradient of {w}"]) for w in WEIGHTS},
    )


@few
@with_any
def test_lstm_is_child_sum_tree_lstm_with_one_child(structure, initial, inputs, hidden):
    run = trial(gr.ChildSumTreeLSTMCell, structure, initial, inputs=inputs, hidden=hidden)

    def turned(i_o_u_f):
        i, o, u, f = i_o_u_f.chunk(4)
        return torch.cat([i, f, u, o])

    lstm = gr.LSTMCell(inputs, hidden).double()
    copy(
        [
            (lstm.input.weight, turned(run.cell.input.weight)),
            (lstm.input.bias, turned(run.cell.input.bias)),
            (lstm.recurrent.weight, turned(torch.cat([run.cell.iou.weight, run.cell.forget.weight]))),
        ]
    )
    expected, actual = run.outcome(), other(lstm, run).outcome()
    U = [weights_of(expected, f"{name}.weight", getattr(run.cell, name).weight) for name in ("iou", "forget")]
    assert_same(
        actual,
        expected,
        {
            "W": (actual["gradient of input.weight"], turned(expected["gradient of input.weight"])),
            "b": (actual["gradient of input.bias"], turned(expected["gradient of input.bias"])),
            "U": (actual["gradient of recurrent.weight"], turned(torch.cat(U))),
        },
    )


@few
@with_any
def test_jordan_network_whose_output_is_its_hidden_layer_is_srn(structure, initial, inputs, hidden):
    run = trial(gr.SRNCell, structure, initial, inputs=inputs, hidden=hidden)
    jordan = gr.JordanCell(inputs, hidden, outputs=hidden).double()
    copy(
        [
            (jordan.input.weight, run.cell.input.weight),
            (jordan.input.bias, run.cell.input.bias),
            (jordan.feedback.weight, run.cell.recurrent.weight),
            (jordan.output.weight, torch.eye(hidden)),
            (jordan.output.bias, torch.zeros(hidden)),
        ]
    )
    before = None
    if run.initial is not None:
        before = jordan.State(h=torch.full_like(run.initial.h, torch.nan), y=run.initial.h)
    state = other(jordan, run, before).run()
    assert_close(state.y, state.h)
    expected = run.outcome()
    actual = run.outcome(lambda: run.cell.State(state.y))
    names = ["value of h", "gradient of x", *([] if run.initial is None else ["gradient of initial h"])]
    assert_all_close({n: actual[n] for n in names}, {n: expected[n] for n in names})


@few
@with_any
def test_residual_recurrence_of_linear_neurons_is_linear_neurons_with_one_more_on_the_diagonal(
    structure, initial, inputs, hidden
):
    run = trial(lambda d, h: gr.SRNCell(d, h, "linear"), structure, initial, inputs=inputs, hidden=hidden)
    change = gr.SRNCell(inputs, hidden, "linear").double()
    change.load_state_dict(run.cell.state_dict())
    copy([(change.recurrent.weight, run.cell.recurrent.weight - torch.eye(hidden))])
    actual = other(gr.ResidualCell(change), run).outcome()
    expected = run.outcome()
    assert_all_close({name.replace("of cell.", "of "): value for name, value in actual.items()}, expected)


def test_residual_recurrence_that_changes_nothing_passes_states_on_and_sums_them():
    s = gr.tree(parents=[2, 2, 4, 4, -1])
    cell = gr.ResidualCell(gr.ChildSumTreeLSTMCell(3, 2)).double()
    for parameter in cell.parameters():
        torch.nn.init.zeros_(parameter)
    h0 = torch.randn(5, 2, dtype=torch.float64)
    state = gr.run(cell, gr.schedule(s), torch.randn(5, 3, dtype=torch.float64), cell.State(h0, 0 * h0))
    leaves = h0[[0, 1, 3]]
    assert_close(state.h, torch.stack([*leaves[:2], leaves[0] + leaves[1], leaves[2], leaves.sum(0)]))


@few
@with_any
def test_cells_in_series_are_one_after_the_other(structure, initial, inputs, hidden):
    def make(inputs, hidden):
        return gr.SeriesCell(
            [
                gr.GRUCell(inputs, hidden),
                gr.LSTMCell(hidden, hidden + 1),
                gr.JordanCell(hidden + 1, hidden, 2),
            ]
        )

    run = trial(make, structure, initial, inputs=inputs, hidden=hidden)

    def one_after_the_other():
        rows, states, begins = run.x, [], [("h0",), ("h1", "c1"), ("h", "y")]
        for cell, names in zip(run.cell.cells, begins, strict=True):
            before = None
            if run.initial is not None:
                before = cell.State(*(getattr(run.initial, name) for name in names))
            states.append(gr.run(cell, gr.schedule(structure), rows, before))
            rows = states[-1][0]
        gru, lstm, jordan = states
        return run.cell.State(h=jordan.h, y=jordan.y, h0=gru.h, h1=lstm.h, c1=lstm.c)

    assert_all_close(run.outcome(), run.outcome(one_after_the_other))


def automaton(states, symbols, to):
    """A second-order network that goes from state i to state `to(i, j)` on symbol j."""
    cell = gr.SecondOrderCell(symbols, states).double()
    torch.nn.init.zeros_(cell.pairs.bias)
    with torch.no_grad():
        cell.pairs.weight.fill_(-1000)
        for i, j in product(range(states), range(symbols)):
            cell.weight[to(i, j), i, j] = 1000
    return cell


AUTOMATA = {
    "parity": (2, 2, lambda i, j: (i + j) % 2),
    "remainder of a binary number after division by three": (3, 2, lambda i, j: (2 * i + j) % 3),
    "remainder of a ternary number after division by five": (5, 3, lambda i, j: (3 * i + j) % 5),
}


@pytest.mark.parametrize("name", AUTOMATA)
def test_second_order_network_is_a_finite_automaton(name):
    """On all strings up to length 6 (5 where there are three symbols), after each symbol, exactly."""
    states, letters, to = AUTOMATA[name]
    strings = [
        string for length in range(1, 9 - letters) for string in product(range(letters), repeat=length)
    ]
    s = gr.chains([len(string) for string in strings])
    one_hot = torch.eye(letters, dtype=torch.float64)
    x = torch.cat([one_hot[list(string)] for string in strings])
    start = torch.eye(states, dtype=torch.float64)[:1]
    h = gr.run(automaton(states, letters, to), gr.schedule(s), x, start).h
    expected = []
    for string in strings:
        state = 0
        for symbol in string:
            state = to(state, symbol)
            expected.append(state)
    assert torch.equal(h, torch.eye(states, dtype=torch.float64)[expected])
