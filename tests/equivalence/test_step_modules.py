"""Other people's step modules on the engine compute what they compute in a Python loop over the steps.

`StepCell` takes any module (x, state) → state: torch's own cells, those of torchrecurrent, and what users write;
states of one to three tensors, of different widths, and an output besides that is not handed back. Values, and
gradients of x, all parameters and the initial state.
"""

import pytest
import torch
from torch import nn

import graphrec as gr
from tests.tolerances import assert_all_close, assert_close
from tests.trials import Trial, outcome, trial

try:
    import torchrecurrent
except ImportError:
    torchrecurrent = None

LENGTHS = [3, 0, 1, 4]
SIZE = 3  # of x and of h: some modules need both to be alike


class Three(nn.Module):
    """A state of three tensors, each of its own width."""

    input_size = SIZE

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(SIZE + 4, 2), nn.Linear(2, 1), nn.Linear(3, 4)

    def forward(self, x, state=None):
        a, b, c = state if state is not None else [x.new_zeros(len(x), n) for n in (2, 1, 4)]
        a = torch.tanh(self.a(torch.cat([x, c], dim=1)) + a)
        b = self.b(a) * torch.sigmoid(b)
        return [a, b, torch.tanh(self.c(torch.cat([a, b], dim=1)))]


class TupleOfOne(nn.Module):
    """A state of one tensor, in a tuple."""

    input_size = SIZE
    takes_tuple = True

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(SIZE, 2)

    def forward(self, x, state=(None,)):
        (h,) = state
        return (self.cell(x, h),)


class OutputBesides(nn.Module):
    """Returns an output as wide as two, and a tuple of one or two states."""

    input_size = SIZE
    takes_tuple = True

    def __init__(self, states):
        super().__init__()
        self.cells = nn.ModuleList(nn.GRUCell(SIZE, SIZE) for _ in range(states))
        self.output = nn.Linear(SIZE, 2)

    def forward(self, x, state=None):
        before = (None,) * len(self.cells) if state is None else state
        assert isinstance(before, tuple)
        after = [cell(x, h) for cell, h in zip(self.cells, before, strict=True)]
        return self.output(sum(after)), tuple(after)


MODULES = {
    "torch RNNCell": lambda: nn.RNNCell(SIZE, 2),
    "torch RNNCell, relu": lambda: nn.RNNCell(SIZE, 2, nonlinearity="relu"),
    "torch LSTMCell": lambda: nn.LSTMCell(SIZE, 2),
    "torch GRUCell": lambda: nn.GRUCell(SIZE, 2),
    "torch GRUCell without bias": lambda: nn.GRUCell(SIZE, 2, bias=False),
    "three tensors": Three,
    "a tuple of one": TupleOfOne,
    "an output besides one": lambda: OutputBesides(1),
    "an output besides two": lambda: OutputBesides(2),
}

# What cannot be found out by calling it.
HIDDEN = {"IntersectionRNNCell": (SIZE, (SIZE,))}

if torchrecurrent is not None:
    MODULES |= {
        name: lambda make=make: make(SIZE, SIZE)
        for name, make in vars(torchrecurrent).items()
        if name.endswith("Cell")
    }


def loop(cell, x, initial):
    """The module alone, over each sequence; the State of all nodes."""
    states = []
    for graph, rows in enumerate(x.split(LENGTHS)):
        state = [
            torch.zeros(1, *shape, dtype=x.dtype) if initial is None else field[graph : graph + 1]
            for shape, field in zip(cell.shapes(), initial or cell.shapes(), strict=True)
        ]
        for row in rows:
            before = state[1:] if returns_output(cell) else state
            alone = len(before) == 1 and not hasattr(cell.step, "takes_tuple")
            returned = cell.step(row[None], before[0] if alone else tuple(before))
            state = flat(returned)
            states.append(state)
    return cell.State(*map(torch.cat, zip(*states, strict=True)))


def returns_output(cell):
    return isinstance(cell.step, OutputBesides) or "Decoupled" in type(cell.step).__mro__[1].__name__


def flat(returned):
    if isinstance(returned, torch.Tensor):
        return [returned]
    return [tensor for part in returned for tensor in flat(part)]


@pytest.mark.parametrize("initial", [None, "per graph"])
@pytest.mark.parametrize("name", MODULES)
def test_a_step_module_is_what_it_is_in_a_loop(name, initial):
    def make(*_):
        return gr.StepCell(MODULES[name](), hidden=HIDDEN.get(name))

    run = trial(make, gr.chains(LENGTHS), initial)
    assert run.cell.inputs == SIZE
    expected = outcome(loop(run.cell, run.x, run.initial), run.inputs)
    assert_all_close(run.outcome(), expected)
    assert expected["value of h"].std() > 0


@pytest.mark.skipif(
    torchrecurrent is None, reason="needs torchrecurrent: a package the benchmarks compare with"
)
def test_the_cells_of_torchrecurrent_are_there():
    assert sum(type(make()).__module__.startswith("torchrecurrent") for make in MODULES.values()) > 30


def test_cells_of_the_library_are_torchs_steps():
    run = trial(gr.LSTMCell, gr.chains(LENGTHS), "per graph")
    step = nn.LSTMCell(3, 2).double()
    with torch.no_grad():
        step.weight_ih.copy_(run.cell.input.weight)
        step.weight_hh.copy_(run.cell.recurrent.weight)
        step.bias_ih.copy_(run.cell.input.bias)
        step.bias_hh.zero_()
    cell = gr.StepCell(step)
    state = Trial(cell, run.structure, run.x, cell.State(*run.initial)).run()
    assert_all_close(state._asdict(), run.run()._asdict())


class Noisy(nn.Module):
    """Says of itself neither its width nor that it works in evaluation only; draws random numbers."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 5)
        self.dropout = nn.Dropout(0.5)
        self.calls = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, x, state=None):
        return self.dropout(self.linear(x)) + torch.rand(()) + (0 if state is None else state)


def test_finding_out_the_widths_leaves_no_trace():
    step = Noisy()
    step.dropout.eval()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    cell = gr.StepCell(step, inputs=2)
    assert torch.equal(torch.rand(2), expected)
    assert (step.training, step.dropout.training) == (True, False)
    assert cell.shapes() == [(5,)]
    assert all(parameter.grad is None for parameter in step.parameters())


@pytest.mark.parametrize(
    ("hidden", "fields"), [(5, "h"), ((5,), "h"), ((5, 2), "hc"), ((5, 2, 1), "hcs"), ((5, (2, 1)), "hcs")]
)
def test_widths_that_are_given_need_no_call(hidden, fields):
    cell = gr.StepCell(nn.Linear(1, 1), inputs=3, hidden=hidden)
    assert cell.State._fields == tuple(fields)
    assert [width for (width,) in cell.shapes()] == [5, 2, 1][: len(fields)]


def test_an_output_may_be_told_from_the_state():
    """(y, h) could be two states: only `hidden` tells."""

    class Output(nn.Module):
        input_size = 2

        def __init__(self):
            super().__init__()
            self.h, self.y = nn.RNNCell(2, 3), nn.Linear(3, 1)

        def forward(self, x, h=None):
            h = self.h(x, h)
            return self.y(h), h

    step = Output()
    cell = gr.StepCell(step, hidden=(1, (3,)))
    x = torch.randn(4, 2)
    state = gr.run(cell, gr.schedule(gr.chain(4)), x)
    h, outputs = None, []
    for row in x:
        y, h = step(row[None], h)
        outputs.append(y)
    assert_close(state.h, torch.cat(outputs))
    assert_close(state.c[-1:], h)
