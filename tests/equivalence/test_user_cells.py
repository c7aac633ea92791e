"""Whatever a user's cell does, it computes what it says, and gets its gradients.

The cells of `tests/user_cells.py` take part in the general tests of this folder; here is what is particular:
randomness, low precision, frozen and captured tensors, and that a
run leaves a cell as it found it.
"""

from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.torch_version import TorchVersion
from torch_geometric.nn import GatedGraphConv

import graphrec as gr
from tests import user_cells
from tests.tolerances import assert_all_close, assert_close
from tests.trials import Trial, assert_is_plain, outcome, plain_operators, trial
from tests.zoo import CELLS, USER_CELLS, cases, chains, cyclic, dag, family, mixed_batch, tree


@pytest.mark.parametrize("build", [chains, tree, dag])
def test_a_tensor_from_elsewhere_gets_its_gradient_though_nothing_else_wants_one(build):
    s = family(build, None)
    run = trial(user_cells.OnlyCaptured, s)
    run.x = run.x.detach()
    (captured,) = run.cell.captured
    found = outcome(run.run(), {"captured": captured})
    with plain_operators():
        expected = outcome(run.run(), {"captured": captured})
    assert found["gradient of captured"].abs().sum() > 0
    assert_all_close(found, expected)


@pytest.mark.parametrize("build", [tree, dag, mixed_batch, cyclic])
def test_frozen_cells_pass_gradients_on(build):
    mode = {"mode": "sync", "rounds": 2} if build is cyclic else {}
    run = trial(gr.ChildSumTreeLSTMCell, family(build, None), "per graph", **mode)
    run.cell.requires_grad_(False)
    assert_is_plain(run.outcome)


class WithDropout(user_cells.UserCell):
    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x, inbox, own):
        return self.State(torch.tanh(x + self.U(self.dropout(inbox.sum(inbox.h))) + self.dropout(x)))


@pytest.mark.parametrize("build", [chains, tree, dag, mixed_batch])
def test_dropout_under_one_seed(build):
    run = trial(WithDropout, family(build, None), hidden=8)

    def seeded():
        torch.manual_seed(1)
        return run.run()

    assert_is_plain(lambda: run.outcome(seeded))
    dropped = run.outcome(seeded)["value of h"]
    run.cell.eval()
    assert not torch.equal(run.run().h, dropped)


@pytest.mark.parametrize("initial", [None, "per graph"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.name)
def test_other_dtypes(case, dtype, initial):
    run = as_dtype(trial(case.make, family(tree, case.arity), initial), dtype)
    state = run.run()
    assert {field.dtype for field in state} == {dtype}
    with plain_operators():
        assert_all_close(outcome(state, run.inputs), run.outcome())


def as_dtype(run, dtype):
    initial = run.initial and run.cell.State(*(t.detach().to(dtype).requires_grad_() for t in run.initial))
    return Trial(run.cell.to(dtype), run.structure, run.x.detach().to(dtype).requires_grad_(), initial)


@pytest.mark.parametrize("initial", [None, "per graph"])
@pytest.mark.parametrize(("case", "structure"), cases(CELLS, [tree, mixed_batch]))
def test_autocast(case, structure, initial):
    run = as_dtype(trial(case.make, structure, initial, hidden=4), torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = run.run()
        with plain_operators():
            expected = run.run()
    assert [field.dtype for field in found] == [field.dtype for field in expected]
    found, expected = outcome(found, run.inputs), outcome(expected, run.inputs)
    # Products were computed in bfloat16, whatever the type of the parameters that the gradients are for.
    assert_all_close(to_bfloat16(found), to_bfloat16(expected))


def to_bfloat16(tensors):
    return {name: None if tensor is None else tensor.bfloat16() for name, tensor in tensors.items()}


def test_edge_attributes_may_be_whole_numbers():
    class EmbedsEdges(user_cells.UserCell):
        def __init__(self, inputs, hidden):
            super().__init__(inputs, hidden)
            self.bond = nn.Embedding(3, hidden)

        def forward(self, x, inbox, own):
            return self.State(torch.tanh(x + inbox.sum(self.bond(inbox.edge_attr) * inbox.h)))

    s = dag(None)
    run = trial(EmbedsEdges, s)
    run.structure = s.replace(edge_attr=torch.arange(s.num_edges) % 3)
    assert_is_plain(run.outcome)


def test_a_round_of_gated_graph_units_is_gated_graph_conv():
    """Li et al. (2016): messages W h_u, summed; a GRU cell takes them and the node's own state."""

    class GatedGraphUnit(gr.Cell):
        State = namedtuple("State", "h")

        def __init__(self, hidden):
            super().__init__(hidden=hidden)
            self.message = nn.Parameter(torch.randn(hidden, hidden))
            self.gru = nn.GRUCell(hidden, hidden)

        def forward(self, x, inbox, own):
            return self.State(self.gru(inbox.sum(inbox.h @ self.message), own.h))

    s = cyclic(None)
    layer = GatedGraphConv(out_channels=4, num_layers=3).double()
    cell = GatedGraphUnit(4).double()
    with torch.no_grad():
        layer.weight.copy_(cell.message.expand(3, 4, 4))
        layer.rnn.load_state_dict(cell.gru.state_dict())
    h = torch.randn(s.num_nodes, 4, dtype=torch.float64, requires_grad=True)
    run = Trial(cell, s, torch.zeros_like(h).detach(), cell.State(h), mode="sync", rounds=3)
    ours, theirs = run.run().h, layer(h, s.edge_index)
    assert_close(ours, theirs)
    assert_close(torch.autograd.grad(ours.sum(), h)[0], torch.autograd.grad(theirs.sum(), h)[0])


@pytest.mark.parametrize("case", [*CELLS, *USER_CELLS], ids=lambda case: case.name)
def test_a_run_leaves_the_cell_as_it_was(case):
    run = trial(case.make, family(tree, case.arity))
    parameters = dict(run.cell.named_parameters())
    values = {name: value.clone() for name, value in run.cell.state_dict().items()}
    run.outcome()
    after = dict(run.cell.named_parameters())
    assert after.keys() == parameters.keys()
    assert all(after[name] is parameters[name] for name in parameters)
    assert all(torch.equal(value, values[name]) for name, value in run.cell.state_dict().items())
    assert all(parameter.grad is None for parameter in parameters.values())


class Failing(user_cells.UserCell):
    def forward(self, x, inbox, own):
        if inbox.num_edges:
            raise ArithmeticError("something in the cell")
        return self.State(self.U(x))


def test_a_cell_that_fails_is_left_as_it_was():
    run = trial(Failing, gr.chain(3))
    parameters = list(run.cell.parameters())
    with pytest.raises(ArithmeticError, match="something in the cell"):
        run.run()
    assert all(one is other for one, other in zip(run.cell.parameters(), parameters, strict=True))


class WritesIntoFactor(user_cells.UserCell):
    """Changes the input of a product after the product."""

    def forward(self, x, inbox, own):
        h = 1 * inbox.sum(inbox.h) + 0 * x
        product = self.U(h)
        h += 1
        return self.State(torch.tanh(x + product))


def test_a_factor_that_was_written_into_is_noticed():
    run = trial(WritesIntoFactor, gr.chain(3))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        run.outcome()


def test_parameters_may_be_replaced_for_a_call():
    """`torch.func.functional_call`: for nets whose weights are made by nets."""
    run = trial(gr.RecNNCell, family(tree, 2))
    others = {name: (2 * p).detach().requires_grad_() for name, p in run.cell.named_parameters()}
    model = gr.Recursive(run.cell)
    h = torch.func.functional_call(model, {f"cell.{k}": v for k, v in others.items()}, (run.x, run.structure))
    run.cell.load_state_dict(others)
    assert_close(h, run.run().h)
    assert all(grad is not None for grad in torch.autograd.grad(h.sum(), list(others.values())))


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's compiler looks at it
@pytest.mark.parametrize(
    "make",
    [
        user_cells.SharedSubmodule,  # torch.func.functional_call of torch 2.13 puts its weights back wrongly
        user_cells.TiedWeights,
        user_cells.Captured,
        user_cells.CapturedLate,
        user_cells.Frozen,
        user_cells.ParameterContainers,
        user_cells.WeightNorm,
        user_cells.TwoWidths,
    ],
)
def test_compiled_models_compute_the_same_and_keep_their_weights(make):
    """(`tests/testing` has the rest, where slow tests are run.)"""
    torch.compiler.reset()
    run = trial(make, family(tree, None))
    model, s = gr.Recursive(run.cell), run.structure
    weights = list(model.parameters())
    found = run.outcome(lambda: user_cells.Hidden(torch.compile(model, backend="eager")(run.x, s)))
    assert all(was is now for was, now in zip(weights, model.parameters(), strict=True))
    with plain_operators():
        assert_all_close(found, run.outcome(lambda: user_cells.Hidden(model(run.x, s))))


def test_a_tensor_that_no_compiled_program_has_is_named():
    model, s = gr.Recursive(user_cells.Captured(2, 3).double()), gr.chain(3)
    with pytest.raises(torch._dynamo.exc.Unsupported) as error:
        torch.compile(model, fullgraph=True, backend="eager")(torch.ones(3, 2, dtype=torch.float64), s)
    # (Up to torch 2.6 dynamo does not tell the reason.)
    assert "register_buffer" in str(error.value) or torch.__version__ < TorchVersion("2.7")
