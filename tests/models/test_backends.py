"""Backends have names: which runs is said, one can be forced, and none is taken for what it does not run."""

from collections import namedtuple

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

import graphrec as gr
from graphrec import clib
from graphrec.backends import choice
from tests.tolerances import assert_close

# What runs a cell that is not one of torch's.
PROGRAMS = "torch_programs" if clib.library() is None else "native"
CHAINS = gr.chains([4, 2])


def sums_its_inbox(cell):
    """The cell with as many sources as there are."""
    cell.arity = None
    return cell


JOIN = gr.tree(parents=[2, 2, -1])


@pytest.mark.parametrize("make", [gr.SRN, gr.LSTM, gr.GRU])
@pytest.mark.parametrize("s", [CHAINS, gr.chains([3, 3]), CHAINS.reverse()], ids=["any", "equal", "reversed"])
def test_each_backend_that_takes_a_run_computes_it(make, s):
    model, x = make(3, 4).double(), torch.randn(s.num_nodes, 3, dtype=torch.float64)
    expected = model(x, s, backend="loop")
    assert_close(model(x, s, backend="torch"), expected)
    assert_close(gr.run(model.cell, gr.schedule(s), x, backend="torch").h, expected)
    assert_close(model(x, s, backend="torch_programs"), expected)
    if clib.library() is not None:
        assert_close(model(x, s, backend="native"), expected)


@pytest.mark.parametrize(
    ("model", "s", "backend", "said"),
    [
        (gr.LSTM(3, 4).to(torch.bfloat16), CHAINS, "native", "does not run LSTMCell here: "),
        (
            gr.Recursive(sums_its_inbox(gr.LSTMCell(3, 4))),
            JOIN,
            "torch",
            "does not run LSTMCell here: a node has several sources",
        ),
        (gr.TreeLSTM(3, 4), CHAINS, "torch", "ChildSumTreeLSTMCell is not one of torch's operators"),
        (
            gr.LSTM(3, 4),
            CHAINS,
            "dgl",
            "no backend 'dgl': choose among 'loop', 'scans', 'native', 'torch', 'torch_programs'",
        ),
    ],
)
def test_a_forced_backend_runs_or_raises(model, s, backend, said):
    with pytest.raises(ValueError, match=said):
        model(torch.randn(s.num_nodes, 3, dtype=next(model.parameters()).dtype), s, backend=backend)


def test_explain_says_what_ran_each_cell():
    model = gr.Stacked(
        [gr.Bidirectional(gr.LSTM(3, 4), gr.GRU(3, 4)), gr.Recursive(gr.PeepholeLSTMCell(8, 4))]
    )
    model.train()
    said = gr.explain(model, CHAINS)
    if clib.library() is not None:
        assert [choice.backend for choice in said] == ["native"] * 3
        assert str(said[0]) == "LSTMCell (6 nodes, 4 steps): native"
    with gr.running_on("torch_programs"):
        said = gr.explain(model, CHAINS)
    assert str(said[2]).startswith("PeepholeLSTMCell (6 nodes, 4 steps): torch_programs; ")
    assert str(said[2]).endswith("not torch: PeepholeLSTMCell is not one of torch's operators")
    assert all(part.training for part in model.modules())


def test_explain_over_edges_alone_needs_an_input():
    model, edges = gr.GNN([gr.GCNCell(3, 4)]), torch.tensor([[0], [1]])
    with pytest.raises(ValueError, match=r"give x, explain\(model, s, x\)"):
        gr.explain(model, edges)
    assert [choice.backend for choice in gr.explain(model, edges, torch.randn(2, 3))] == [PROGRAMS]


class LooksUp(gr.Cell):
    """With a table, which is no arithmetic."""

    State = namedtuple("State", "h")

    def __init__(self, hidden):
        super().__init__(hidden, hidden)
        self.table = nn.Embedding(2, hidden)

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + inbox.sum(inbox.h + self.table(inbox.slot))))


class OfABatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = gr.Recursive(LooksUp(3))

    def forward(self, batch):
        return gr.readout.mean(self.model(batch.x, batch), batch)


def test_explain_takes_models_of_a_batch_alone():
    batch = Batch.from_data_list([gr.to_pyg(gr.chain(3)), gr.to_pyg(gr.chain(2))])
    batch.x = torch.randn(5, 3)
    assert [choice.backend for choice in gr.explain(OfABatch(), batch)] == ["loop"]
    with pytest.raises(ValueError, match=r"takes a batch alone: give explain\(model, batch\)"):
        gr.explain(OfABatch(), batch, batch.x)


def test_explain_takes_whatever_is_called_with_one_argument():
    class OverChains(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = gr.LSTM(3, 4)

        def forward(self, x):
            return self.model(x, CHAINS)

    model, x = OverChains(), torch.randn(CHAINS.num_nodes, 3)
    compiled = torch.compile(model, backend="eager")
    for called in (model, compiled, lambda x: model(x), nn.Sequential(compiled), lambda x: compiled(x)):
        (choice,) = gr.explain(called, x)
        assert choice.cell is model.model.cell


@pytest.mark.chooses
def test_explain_says_on_few_nodes_what_cannot_be_recorded_on_many():
    few = gr.chain(3)
    (said,) = gr.explain(gr.Recursive(LooksUp(3)), few)
    assert "embedding is no arithmetic on rows" in said.reasons[PROGRAMS]
    (said,) = gr.explain(gr.TreeLSTM(3, 4), few)
    assert said.reasons[PROGRAMS] == "3 steps are no faster there"


def test_explain_says_that_rounds_are_rounds():
    said = gr.explain(gr.Recursive(gr.GRUCell(3, 4), mode="sync", rounds=2), CHAINS)
    assert said[0].backend == PROGRAMS
    with gr.running_on("loop"):
        said = gr.explain(gr.Recursive(gr.GRUCell(3, 4), mode="sync", rounds=2), CHAINS)
    assert str(said).endswith("loop; not native, torch, torch_programs: the loop was asked for")


def test_steps_begun_in_inference_mode_go_on_outside():
    cell, plan, x = gr.SRNCell(3, 4), gr.schedule(gr.chain(4)), torch.randn(4, 3)
    loop = gr.steps(cell, plan, x)
    with torch.inference_mode():
        states = [next(loop).state.h, next(loop).state.h]
    with torch.no_grad():
        states += [visit.state.h for visit in loop]
    assert_close(torch.cat(states).clone(), gr.run(cell, plan, x).h.detach())


class Mine(gr.SRNCell):
    """A subclass of a standard cell that looks at values, as no program can."""

    def forward(self, x, inbox, own):
        assert not torch.isnan(x).any()
        return super().forward(x, inbox, own)


def test_a_subclass_is_warned_of_where_it_is_run():
    with pytest.warns(gr.SlowPathWarning) as warned:
        gr.Recursive(Mine(3, 4))(torch.randn(6, 3), CHAINS)
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.chooses
def test_a_subclass_is_not_warned_of_where_the_loop_is_as_fast(recwarn):
    class Short(Mine):
        pass

    model = gr.Recursive(Short(3, 4))
    model(torch.randn(3, 3), gr.chain(3))
    assert not recwarn
    with pytest.warns(gr.SlowPathWarning):
        model(torch.randn(60, 3), gr.chain(60))


@pytest.mark.parametrize("within", [torch.float16, torch.float32])
def test_shut_gates_stay_finite_in_half_precision(within):
    """Padding of the LSTM: float16 ends at 65504."""
    model, s, x = gr.LSTM(3, 4), gr.chains([5, 3, 1]), torch.randn(9, 3)
    model, x = (model.half(), x.half()) if within is torch.float16 else (model, x)
    x.requires_grad_()
    with torch.autocast("cpu", torch.float16, enabled=within is torch.float32):
        h, (final,) = model.with_states(x, s)
    looped, (last,) = model(x, s, return_states=True, backend="loop")
    for one, other in ((h, looped), (final.h, last.h), (final.c, last.c)):
        assert_close(one.half(), other.half())
    (final.c.sum() + h.sum()).backward()
    assert x.grad.isfinite().all()


@pytest.mark.chooses
@pytest.mark.parametrize(
    ("cell", "s", "how", "backend"),
    [
        (gr.ChildSumTreeLSTMCell(3, 4), gr.batch([gr.tree(parents=[1, 2, 3, -1])] * 3), {}, PROGRAMS),
        (gr.GRUCell(3, 4), gr.chains([1, 1]), {}, "loop"),
        (gr.GCNCell(3, 4), gr.chains([3]), {"mode": "sync", "rounds": 1}, "loop"),
    ],
    ids=["levels", "one step", "one round"],
)
def test_short_runs_are_the_loops(cell, s, how, backend):
    x, names = torch.randn(s.num_nodes, 3), []
    with choice.telling(lambda run, name, reasons: names.append(name)):
        gr.run(cell, gr.schedule(s, **how), x)
        assert gr.run(cell, gr.schedule(s, **how), x, backend="torch_programs") is not None
    assert names == [backend, "torch_programs"]
