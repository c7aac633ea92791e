"""What a cell's own code does is recorded anew in every run, and what cannot be recorded is told and left as it was."""

import gc
import weakref
from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import graphrec as gr
from graphrec.backends.request import Request
from graphrec.engine.validate import validate
from graphrec.program.recording import record_cell
from graphrec.program.symbols import NotRecordable, Symbol
from tests.tolerances import assert_close

CHAINS = gr.chains([3, 2])
TREE = gr.tree(parents=[2, 2, 4, 4, -1])


class Plain(gr.Cell):
    """h = tanh(slope * (x + U sum h)); others differ from it in one line."""

    State = namedtuple("State", "h")

    def __init__(self, inputs=3, hidden=3):
        super().__init__(inputs, hidden)
        self.U = nn.Linear(hidden, hidden)
        self.slope = 0.5

    def total(self, x, inbox):
        return x + self.U(inbox.sum(inbox.h))

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(self.slope * self.total(x, inbox)))


def recorded(cell, s=CHAINS, x=None):
    x = torch.randn(s.num_nodes, 3) if x is None else x
    run, initial = validate(cell, gr.schedule(s), x, None)
    return record_cell(run, x, initial)


def explained(cell, s=CHAINS):
    """Which backend runs it, and why no program does."""
    (choice,) = gr.explain(gr.Recursive(cell), s)
    return choice.backend, choice.reasons.get("torch_programs")


def test_equal_cells_have_equal_programs():
    assert recorded(Plain()).key == recorded(Plain()).key


def test_a_changed_number_is_another_program():
    cell, s, x = Plain(), CHAINS, torch.randn(5, 3)
    before, key = gr.run(cell, gr.schedule(s), x).h, recorded(cell).key
    cell.slope = 2.0
    assert recorded(cell).key != key
    changed = gr.run(cell, gr.schedule(s), x)
    assert_close(changed.h, gr.run(cell, gr.schedule(s), x, backend="loop").h)
    assert not torch.allclose(changed.h, before)


def test_a_changed_method_is_another_program():
    cell, x = Plain(), torch.randn(5, 3)
    gr.run(cell, gr.schedule(CHAINS), x)
    cell.total = lambda x, inbox: x - cell.U(inbox.sum(inbox.h))
    assert_close(
        gr.run(cell, gr.schedule(CHAINS), x).h, gr.run(cell, gr.schedule(CHAINS), x, backend="loop").h
    )


def test_the_mode_of_training_is_seen():
    class Dropping(Plain):
        def forward(self, x, inbox, own):
            return self.State(torch.dropout(self.total(x, inbox), 0.5, self.training))

    cell = Dropping()
    backend, reason = explained(cell)
    assert backend == "loop"
    assert reason.startswith("dropout draws random numbers")
    assert explained(cell.eval())[0] != "loop"
    with pytest.raises(NotRecordable, match="dropout draws random numbers"):
        recorded(cell.train())


def test_explaining_leaves_a_model_in_training_as_it_was():
    class Normed(Plain):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x, inbox, own):
            return self.State(torch.dropout(self.norm(self.total(x, inbox)), 0.5, self.training))

    cell, random = Normed(), torch.get_rng_state()
    before = [buffer.clone() for buffer in cell.buffers()]
    assert explained(cell, gr.chains([1, 1, 1]))[0] == "loop"
    assert cell.training
    assert torch.equal(torch.get_rng_state(), random)
    for buffer, as_it_was in zip(cell.buffers(), before, strict=True):
        assert torch.equal(buffer, as_it_was)


def test_explaining_puts_back_a_buffer_that_was_replaced():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = gr.SRN(3, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x, s):
            self.calls = self.calls + 1
            return self.model(x, s)

    model = Counting()
    calls = model.calls
    gr.explain(model, gr.chain(3))
    assert model.calls is calls
    assert calls == 0


def test_explaining_a_model_whose_buffers_have_no_shape_yet():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.model = nn.LazyBatchNorm1d(), gr.SRN(3, 3)

        def forward(self, x, s):
            return self.model(self.norm(x), s)

    assert len(gr.explain(Normed(), gr.chain(3), torch.randn(3, 3))) == 1


def test_a_symbol_that_was_never_made_goes_without_a_word(monkeypatch):
    said = []
    monkeypatch.setattr("sys.unraisablehook", said.append)
    symbol = object.__new__(Symbol)  # (as torch's compiler makes some)
    assert not hasattr(symbol, "number")
    del symbol
    assert not said


def looks(cell, x, inbox):
    return x * 2 if (x > 0).any() else x


def asserts(cell, x, inbox):
    assert x[:, 0] is not None
    return x * 2 if x[:, :1] > 0 else x


def loops_over_rows(cell, x, inbox):
    return torch.stack([row * 2 for row in x])


def writes(cell, x, inbox):
    x += 1
    return x


def writes_a_column(cell, x, inbox):
    x[:, 0] = 1
    return x


def in_place(cell, x, inbox):
    return x.add_(1)


def counts_nodes(cell, x, inbox):
    return x / x.shape[0]


def counts_edges(cell, x, inbox):
    return x / (1 + inbox.num_edges)


def sums_rows(cell, x, inbox):
    return x - x.mean(0)


def chooses_rows(cell, x, inbox):
    return x[:1] + x


def inverts(cell, x, inbox):
    return torch.linalg.inv(torch.eye(3) + x.unsqueeze(-1) * 0)[:, 0] + x


class Doubling(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows):
        return 2 * rows

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


def foreign_function(cell, x, inbox):
    return Doubling.apply(x)


def without_gradients(cell, x, inbox):
    with torch.no_grad():
        return x * 2


def random_numbers(cell, x, inbox):
    return x + torch.rand(3)


def keeps_a_tensor(cell, x, inbox):
    cell.kept = x
    return x


def keeps_in_a_list(cell, x, inbox):
    cell.list.append(1)
    return x


def counts_its_calls(cell, x, inbox):
    cell.calls += 1
    return x


def writes_a_buffer(cell, x, inbox):
    cell.steps += 1
    return x


def replaces_a_buffer(cell, x, inbox):
    cell.steps = cell.steps + 1
    return x


def fills_a_buffer(cell, x, inbox):
    if cell.table is None:
        cell.table = torch.full((3,), 2.0)
    return x * cell.table


def makes_a_part(cell, x, inbox):
    if not hasattr(cell, "part"):
        cell.part = torch.nn.Linear(3, 3)
    return cell.part(x)


def makes_a_weight(cell, x, inbox):
    if cell.weight is None:
        cell.weight = torch.nn.Parameter(torch.ones(3))
    return x * cell.weight


def counts_in_an_object(cell, x, inbox):
    cell.object.calls += 1
    return x


def counts_deep_within(cell, x, inbox):
    cell.deep["a"]["calls"] += 1
    return x


def keeps_deep_within(cell, x, inbox):
    return x * cell.deep["kept"].setdefault("rows", torch.full((3,), 2.0))


WITHIN = (counts_in_an_object, counts_deep_within, keeps_deep_within)
MAKES = (replaces_a_buffer, fills_a_buffer, makes_a_part, makes_a_weight)

REFUSED = {
    looks: "any is no operation that programs have",
    asserts: "control flow depends on values",
    loops_over_rows: "a loop over rows",
    writes: "a tensor is written into",
    writes_a_column: "a tensor is written into",
    in_place: "add_ writes into a tensor",
    counts_nodes: "the number of nodes enters the equations",
    counts_edges: "the number of edges enters the equations",
    sums_rows: "an operation along the rows",
    chooses_rows: "rows are chosen",
    inverts: "inv is no arithmetic on rows",
    foreign_function: "a function of its own has its own gradient",
    without_gradients: "gradients are turned off in the cell",
    random_numbers: "the cell draws random numbers",
    keeps_a_tensor: "keeps a tensor|keeps something",
    keeps_in_a_list: "keeps something from step to step",
    counts_its_calls: "keeps something from step to step",
    writes_a_buffer: "writes into tensors of its own",
    **dict.fromkeys(WITHIN, "keeps something from step to step"),
    **dict.fromkeys(MAKES, "makes or replaces weights, buffers or parts|draws random numbers"),
}


def odd(what):
    class Odd(Plain):
        def __init__(self):
            super().__init__()
            self.list, self.calls = [], 0
            self.object, self.deep = SimpleNamespace(calls=0), {"a": {"calls": 0}, "kept": {}}
            self.register_buffer("steps", torch.zeros(()))
            self.register_buffer("table", None)
            self.register_parameter("weight", None)

        def total(self, x, inbox):
            return super().total(what(self, x, inbox), inbox)

    return Odd()


@pytest.mark.parametrize("what", REFUSED, ids=lambda what: what.__name__)
def test_what_cannot_be_recorded_runs_in_the_loop_and_is_told(what):
    cell = odd(what)
    with pytest.raises(NotRecordable, match=REFUSED[what]):
        recorded(cell)
    if what not in (inverts, foreign_function, without_gradients, loops_over_rows, asserts):
        backend, reason = explained(odd(what))
        assert backend == "loop"
        assert __file__ in reason or what in (
            random_numbers,
            keeps_a_tensor,
            keeps_in_a_list,
            counts_its_calls,
            writes_a_buffer,
            *MAKES,
            *WITHIN,
        )


@pytest.mark.parametrize(
    "what",
    [keeps_a_tensor, keeps_in_a_list, counts_its_calls, writes_a_buffer, random_numbers, *MAKES, *WITHIN],
)
def test_nothing_is_left_of_a_refused_recording(what):
    cell = odd(what)
    kept, seed, named = cell.list, torch.get_rng_state(), list(cell.state_dict())
    with pytest.raises(NotRecordable):
        recorded(cell, x=torch.ones(5, 3))
    assert cell.list is kept
    assert not cell.list
    assert cell.calls == 0
    assert cell.steps == 0
    assert not hasattr(cell, "kept")
    assert not hasattr(cell, "part")
    assert (cell.object.calls, cell.deep) == (0, {"a": {"calls": 0}, "kept": {}})
    assert list(cell.state_dict()) == named
    assert torch.equal(torch.get_rng_state(), seed)
    gr.run(cell, gr.schedule(CHAINS), torch.ones(5, 3))
    if what is replaces_a_buffer:
        assert cell.steps == len(gr.schedule(CHAINS).steps)
    if what is counts_its_calls:
        assert cell.calls == len(gr.schedule(CHAINS).steps)


def test_a_large_buffer_is_written_into_as_often_as_in_the_loop():
    found = []
    for backend in ("loop", None):
        torch.manual_seed(0)
        cell = odd(writes_a_buffer)
        cell.steps = torch.zeros(70_000)
        with gr.running_on(backend):
            found.append(
                [gr.run(cell, gr.schedule(CHAINS), torch.ones(5, 3)).h for _ in range(4)] + [cell.steps]
            )
    for loop, other in zip(*found, strict=True):
        assert_close(other, loop)


def test_an_error_of_the_cell_is_its_own():
    class Wrong(Plain):
        def forward(self, x, inbox, own):
            raise ZeroDivisionError("as the user wrote it")

    with pytest.raises(ZeroDivisionError, match="as the user wrote it"):
        gr.run(Wrong(), gr.schedule(CHAINS), torch.randn(5, 3))


def test_a_question_for_edges_is_answered_for_each_level():
    class Asking(Plain):
        def forward(self, x, inbox, own):
            if inbox.num_edges == 0:
                return self.State(x * 3)
            return self.State(torch.tanh(self.total(x, inbox)))

    cell, x = Asking(), torch.randn(5, 3)
    assert explained(cell, TREE)[0] != "loop"
    plan = gr.schedule(TREE)
    assert_close(gr.run(cell, plan, x).h, gr.run(cell, plan, x, backend="loop").h)


@pytest.mark.parametrize("hook", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_are_called(hook):
    cell, calls = Plain(), []
    getattr(cell.U, hook)(lambda *_: calls.append(1))
    run = gr.run(cell, gr.schedule(CHAINS), torch.randn(5, 3, requires_grad=True))
    run.h.sum().backward()
    assert len(calls) >= len(gr.schedule(CHAINS).steps)


def test_programs_keep_no_parameters_alive():
    cell, plan = Plain(), gr.schedule(CHAINS)
    gr.run(cell, plan, torch.randn(5, 3)).h.sum().backward()
    alive = weakref.ref(cell.U.weight)
    del cell
    gc.collect()
    assert alive() is None


def test_recordings_are_freed_at_once():
    """Without the garbage collector, which comes when it likes: what a cell has computed of its weights is held."""
    cell = Plain()
    recorded(cell)
    gc.disable()
    try:
        made = recorded(cell)
        alive = [weakref.ref(record) for record in made.steps.values()]
        del made
        assert [record() for record in alive] == [None] * len(alive)
    finally:
        gc.enable()


def test_recordings_are_short_of_nothing():
    """A cell that reads one field of two sends and keeps the other all the same."""

    class Two(gr.Cell):
        State = namedtuple("State", "a b")

        def __init__(self):
            super().__init__(3, 3)
            self.U = nn.Linear(3, 3)

        def forward(self, x, inbox, own):
            return self.State(torch.tanh(x + self.U(inbox.sum(inbox.a))), x * 2)

    cell, plan, x = (
        Two().double(),
        gr.schedule(TREE),
        torch.randn(5, 3, dtype=torch.float64, requires_grad=True),
    )
    found = gr.run(cell, plan, x)
    expected = gr.run(cell, plan, x, backend="loop")
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
        assert_close(
            torch.autograd.grad(one.sum(), x, retain_graph=True)[0],
            torch.autograd.grad(other.sum(), x, retain_graph=True)[0],
        )


def test_a_request_records_once(monkeypatch):
    calls = []

    class Counted(Plain):
        def forward(self, x, inbox, own):
            calls.append(1)
            return super().forward(x, inbox, own)

    cell, x = Counted(), torch.randn(5, 3)
    run, initial = validate(cell, gr.schedule(CHAINS), x, None)
    assert not isinstance(Request(run, x, initial).recording, str)
    assert len(calls) == 2  # in a cell's first run, to see that both say the same
    request = Request(run, x, initial)
    assert request.recording is request.recording
    assert len(calls) == 3
