"""What other libraries were measured to get wrong, each by its right value, for the LSTM, the GRU and tree cells.

braintrace 0.2.6 doubles the gradients of an LSTM's weights, has none for a GRU's reset gate from the second step on and
none for the readout, and averages over time; torchrl's recurrent modules begin at a reset from zeros in one mode and
from the stored state in the other; Lightning 2.6 ignores `truncated_bptt_steps`, and snnTorch restarts the state where
the batch has another size: all without a word.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import graphrec as gr
from graphrec.learning import BPTT, RTRL, UORO, EProp, SnAp1, Stream, TruncatedBPTT
from tests.learning import literal_nodes as literal
from tests.learning.networks import gradients_of
from tests.learning.streams import MODELS, squares, zeros
from tests.tolerances import assert_all_close, assert_close

D, H = 3, 2
CHAINS = gr.chains([4, 3])
TREE = gr.tree("(r (a (b c) (d e)) (f (g h i)))")
CELLS = {
    "SRN": (gr.SRNCell, literal.srn, CHAINS),
    "LSTM": (gr.LSTMCell, literal.lstm, CHAINS),
    "GRU": (gr.GRUCell, literal.gru, CHAINS),
    "TreeLSTM": (gr.ChildSumTreeLSTMCell, literal.tree_lstm, TREE),
    "TreeGRU": (gr.TreeGRUCell, literal.tree_gru, TREE),
}
DEEP = TruncatedBPTT(4)  # as deep as the structures
EXACT = [BPTT(), DEEP, RTRL()]
LOCAL = [SnAp1(), EProp()]  # which refuse the Tree-GRU, whose reset gates stand between units
ALL = [*EXACT, TruncatedBPTT(2), *LOCAL, UORO()]


cells = pytest.mark.parametrize("name", CELLS)


def by(rules, names=tuple(CELLS)):
    """Every rule with every cell that it takes."""
    pairs = [(name, rule) for name in names for rule in rules if name != "TreeGRU" or rule not in LOCAL]
    return pytest.mark.parametrize(("name", "rule"), pairs, ids=lambda part: str(part))


def problem(name: str):
    """A cell, its equations, a structure, inputs, and numbers by which the states are weighed."""
    make, equations, s = CELLS[name]
    cell = make(D, H).double()
    width = sum(shape[0] for shape in cell.shapes())
    x, grad = torch.randn(s.num_nodes, D).double(), torch.randn(s.num_nodes, width).double()
    return cell, equations, s, x, grad


def weighed(state, grad: Tensor) -> Tensor:
    return (torch.cat(tuple(state), dim=1) * grad).sum()


def found_by(rule, cell, s, x, grad) -> dict[str, Tensor]:
    named = dict(cell.named_parameters())
    loss = weighed(rule.run(cell, gr.schedule(s), x), grad)
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


def expected_by(rule, cell, equations, s, x, grad) -> dict[str, Tensor]:
    """Without the engine, and without the rule."""
    named = dict(cell.named_parameters())
    if isinstance(rule, (RTRL, SnAp1, EProp)):
        weights = {name: weight.detach() for name, weight in named.items()}
        return literal.of_rule(rule, equations, weights, s, x, grad, H)
    depth = rule.depth if isinstance(rule, TruncatedBPTT) else s.num_nodes
    rows = literal.truncated(depth, equations, named, s, x, grad.shape[1])
    return dict(
        zip(named, torch.autograd.grad((torch.stack(rows) * grad).sum(), list(named.values())), strict=True)
    )


# Weights that reach h through c, once.


@by(ALL[:-1])
def test_every_weight_has_the_gradient_of_its_rules_definition(name, rule):
    cell, equations, s, x, grad = problem(name)
    found = found_by(rule, cell, s, x, grad)
    assert_all_close(found, expected_by(rule, cell, equations, s, x, grad))
    true = expected_by(BPTT(), cell, equations, s, x, grad)
    is_true = all(torch.allclose(found[weight], true[weight], rtol=1e-9) for weight in true)
    assert is_true is (rule in EXACT)


@cells
def test_gradients_are_finite_differences(name):
    cell, _, s, x, _ = problem(name)
    plan = gr.schedule(s)
    RTRL().run(cell, plan, x)[0].square().sum().backward()
    for weight in cell.parameters():
        flat, grad = weight.data.view(-1), weight.grad.view(-1)
        for place in range(len(flat)):
            values = []
            for shift in (1e-5, -2e-5):
                flat[place] += shift
                values.append(gr.run(cell, plan, x)[0].square().sum().item())
            flat[place] += 1e-5
            assert abs((values[0] - values[1]) / 2e-5 - grad[place].item()) < 1e-8  # O(1e-10), and round-off


# The reset gate, which acts on nothing at the first step.


@by(ALL[:-1], ("GRU", "TreeGRU"))
def test_the_reset_gate_has_its_gradient_from_the_second_step_on(name, rule):
    cell, equations, s, x, grad = problem(name)
    weight = "recurrent.weight" if name == "GRU" else "reset.weight"
    level = gr.levels(s)
    for node in range(s.num_nodes):
        of_node = grad * (torch.arange(s.num_nodes) == node)[:, None]
        reset = found_by(rule, cell, s, x, of_node)[weight][:H]
        assert bool(reset.any()) is bool(level[node] > 0)
        assert_close(reset, expected_by(rule, cell, equations, s, x, of_node)[weight][:H])


# The readout, and sums.


def tagger(name: str):
    """A run and a readout of every node."""
    make, _, s = CELLS[name]
    model = gr.SequenceToLabels(gr.Recursive(make(D, H)), H, 1).double()
    return model, s, torch.randn(s.num_nodes, D).double(), torch.randn(s.num_nodes, 1).double()


@by(ALL)
def test_the_readout_has_its_true_gradient(name, rule):
    model, s, x, y = tagger(name)
    nn.functional.mse_loss(model(x, s), y).backward()
    expected = gradients_of(model.output)
    model.zero_grad()
    rule.gradients(model, s, x, lambda found: nn.functional.mse_loss(found, y))
    assert_all_close(gradients_of(model.output), expected)
    assert all(grad.any() for grad in expected.values())


@by(ALL[:-1])
def test_gradients_are_those_of_the_loss_that_is_given(name, rule):
    """Of a sum over time, or of a mean; and they are added to what is there."""
    model, s, x, y = tagger(name)
    found, true = {}, {}
    for reduction in ("sum", "mean"):

        def loss(out, reduction=reduction):
            return nn.functional.mse_loss(out, y, reduction=reduction)

        model.zero_grad()
        loss(model(x, s)).backward()
        true[reduction] = gradients_of(model)
        model.zero_grad()
        for count in (1, 2):
            assert_close(rule.gradients(model, s, x, loss), loss(model(x, s)).detach())
            found[reduction] = {weight: grad / count for weight, grad in gradients_of(model).items()}
    assert_all_close(found["sum"], {weight: grad * s.num_nodes for weight, grad in found["mean"].items()})
    if rule in EXACT:
        assert_all_close(found["sum"], true["sum"])
        assert_all_close(found["mean"], true["mean"])


@cells
def test_gradients_of_all_steps_add_up_online(name):
    model, s, x, y = tagger(name)
    (model(x, s) - y).square().sum().backward()
    expected = gradients_of(model)
    model.zero_grad()

    def loss(state, nodes):
        return (model.output(state.h) - y[nodes]).square().sum()

    assert len(list(RTRL().online(model.model).steps(s, x, loss))) == 4
    assert_all_close(gradients_of(model), expected)


# Resets in the midst of a rollout.


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("learnt", [False, True], ids=["from zero", "from a learnt state"])
@pytest.mark.parametrize("rule", [BPTT(), TruncatedBPTT(3)], ids=repr)
def test_a_reset_begins_from_the_same_state_in_a_rollout_and_step_by_step(make, learnt, rule):
    """Rows and gradients are those of the episodes run apart; a step at a time, too."""
    model = make().double()
    x, begins = torch.randn(3, 7, 2).double(), torch.zeros(3, 7, dtype=torch.bool)
    begins[0, 3] = begins[0, 5] = begins[1, 1] = begins[2, 0] = True
    initial = [type(s)(*(torch.randn_like(field).requires_grad_() for field in s)) for s in zeros(model)]
    leaves = {f"initial {i}": field for i, field in enumerate(field for state in initial for field in state)}
    initial, leaves = (initial, leaves) if learnt else (None, {})
    named = {**dict(model.named_parameters()), **leaves}

    def gradients(rows: Tensor) -> dict[str, Tensor | None]:
        return dict(zip(named, torch.autograd.grad(squares(rows), list(named.values())), strict=True))

    apart = []
    for b in range(3):
        cuts = [0, *begins[b, 1:].nonzero().flatten().add(1).tolist(), 7]
        apart += [
            model(x[b, start:stop], gr.chain(stop - start), initial=initial or zeros(model), rule=rule)
            for start, stop in pairwise(cuts)
        ]
    expected = torch.cat(apart).view(3, 7, -1)
    rollout = Stream(model, rule, initial=initial)(x, begins)
    assert_close(rollout.detach(), expected.detach(), "a rollout")
    of_expected = gradients(expected)
    assert_all_close(gradients(rollout), of_expected)

    stream, rows, total = Stream(model, rule, initial=initial), [], {}
    for t in range(7):
        if t:
            stream.reset(begins[:, t])
        rows.append(stream(x[:, t : t + 1]))
        if isinstance(rule, TruncatedBPTT):  # by BPTT each call is differentiated by itself
            for weight, grad in gradients(rows[-1]).items():
                total[weight] = total.get(weight, 0) + grad
    assert_close(torch.cat(rows, dim=1).detach(), expected.detach(), "step by step")
    if total:
        assert_all_close(total, of_expected)


# Truncation that is asked for takes place.


@pytest.mark.parametrize("name", ["LSTM", "GRU", "TreeLSTM"])
@pytest.mark.parametrize("depth", [1, 3])
def test_truncation_has_its_effect_in_lightning(name, depth):
    L = pytest.importorskip("lightning", reason="lightning is not installed")

    class Module(L.LightningModule):
        def __init__(self, rule):
            super().__init__()
            self.network = gr.Recursive(CELLS[name][0](D, H)).double()
            self.stream = Stream(self.network, rule)

        def training_step(self, batch, index):
            return squares(self.stream(batch))

        def on_after_backward(self):
            self.found = gradients_of(self.network.cell)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.0)

    rule, x, s = TruncatedBPTT(depth), torch.randn(1, 6, D).double(), gr.chain(6)
    module = Module(rule)
    fit(L, module, x)
    cell, equations = module.network.cell, CELLS[name][1]
    width = sum(shape[0] for shape in cell.shapes())
    states = torch.stack(literal.states(equations, dict(cell.named_parameters()), s, x[0], width)).detach()
    grad = 2 * states * (torch.arange(width) < H)  # of the squares of h
    assert_all_close(module.found, expected_by(rule, cell, equations, s, x[0], grad))
    for weight, true in expected_by(BPTT(), cell, equations, s, x[0], grad).items():
        assert not torch.allclose(module.found[weight], true, rtol=1e-3)


def fit(L, module, x: Tensor) -> None:
    """One step of Lightning's own loop."""
    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(accelerator="cpu", max_steps=1, enable_model_summary=False, **off)
    trainer.fit(module, torch.utils.data.DataLoader([x], batch_size=None))


# Another number of streams is an error.


@pytest.mark.parametrize("name", ["LSTM", "GRU", "TreeLSTM"])
@pytest.mark.parametrize("rows", [1, 4])
def test_another_number_of_streams_is_refused_and_not_begun_anew(name, rows):
    cell = CELLS[name][0](D, H)
    stream = Stream(gr.Recursive(cell), TruncatedBPTT(2))
    stream(torch.randn(3, 2, D))
    before = stream._state
    with pytest.raises(ValueError, match=rf"there are 3 streams.*got x for {rows}.*reset\(\)"):
        stream(torch.randn(rows, 2, D))
    assert stream._state is before

    online = RTRL().online(cell)
    list(online.steps(gr.chains([2] * 3), torch.randn(6, D), lambda state, nodes: None))
    carried = online.carried
    with pytest.raises(ValueError, match=f"last piece was of 3 streams, this one is of {rows}"):
        list(online.steps(gr.chains([2] * rows), torch.randn(2 * rows, D), lambda state, nodes: None))
    assert online.carried is carried
