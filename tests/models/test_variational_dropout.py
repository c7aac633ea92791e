"""One mask per sequence: the same at every node, over x and over what the recurrent weights see of h."""

import threading

import pytest
import torch

import graphrec as gr
from tests.tolerances import assert_all_close
from tests.trials import assert_is_plain, outcome, plain_operators

CELLS = [gr.SRNCell, gr.LSTMCell, gr.GRUCell, gr.TextbookGRUCell, gr.LayerNormLSTMCell, gr.PeepholeLSTMCell]
SIZES = [3, 1, 4]
S = gr.chains(SIZES)


class MaskedLinear(torch.nn.Module):
    """A layer whose input is masked, to be put in a layer's place by hand."""

    def __init__(self, layer, mask):
        super().__init__()
        self.layer, self.mask = layer, mask

    def forward(self, h):
        return self.layer(h * self.mask)


@pytest.mark.parametrize("make", CELLS)
def test_masks_by_hand(make):
    model = gr.VariationalDropout(make(3, 4), 0.4, 0.5).double()
    x = torch.randn(S.num_nodes, 3, dtype=torch.float64)
    torch.manual_seed(5)
    actual = model(x, S)
    torch.manual_seed(5)
    ones = torch.ones(3, 3, dtype=torch.float64)
    of_x = torch.nn.functional.dropout(ones, 0.4)
    of_h = torch.nn.functional.dropout(torch.ones(3, 4, dtype=torch.float64), 0.5)
    cell = model.cell
    over_state = cell.recurrent_layers
    expected = []
    for graph, part in enumerate(x.split(SIZES)):
        layers = {name: getattr(cell, name) for name in over_state}
        for name, layer in layers.items():
            setattr(cell, name, MaskedLinear(layer, of_h[graph]))
        with plain_operators():
            expected.append(gr.run(cell, gr.schedule(gr.chain(len(part))), part * of_x[graph])[0])
        for name, layer in layers.items():
            setattr(cell, name, layer)
    assert_all_close({"h": actual}, {"h": torch.cat(expected)})


@pytest.mark.parametrize("make", CELLS)
def test_in_use_nothing_is_dropped(make):
    cell = make(3, 4)
    model = gr.VariationalDropout(cell, 0.4, 0.5).eval()
    x, initial = torch.randn(S.num_nodes, 3), [torch.randn(3, 4) for _ in cell.State._fields]
    assert torch.equal(model(x, S, initial=initial), gr.Recursive(cell)(x, S, initial=initial))


@pytest.mark.parametrize("make", CELLS)
def test_a_cell_that_takes_the_others_place_is_the_one_that_learns(make):
    model = gr.VariationalDropout(make(3, 4)).double()
    model.cell = make(3, 4).double()
    x = torch.randn(S.num_nodes, 3, dtype=torch.float64)
    assert_all_close({"h": model.train()(x, S)}, {"h": model.eval()(x, S)})


def test_threads_do_not_mask_each_other():
    model = gr.VariationalDropout(gr.SRNCell(1, 16, lambda z: z), 0.0, 0.5)
    with torch.no_grad():
        model.cell.recurrent.weight.copy_(torch.eye(16))
        model.cell.input.weight.zero_()
        model.cell.input.bias.zero_()
    found = set()

    def draw_often():
        with torch.no_grad():
            for _ in range(50):
                h = model(torch.zeros(1, 1), gr.chain(1), initial=torch.ones(1, 16))
                found.update(h.unique().tolist())

    threads = [threading.Thread(target=draw_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0.0, 2.0}


@pytest.mark.parametrize("make", CELLS)
def test_dropped_runs_are_plain_pytorch(make):
    model = gr.VariationalDropout(make(3, 4), 0.4, 0.5).double()
    x = torch.randn(S.num_nodes, 3, dtype=torch.float64, requires_grad=True)

    def compute():
        torch.manual_seed(5)
        return outcome(model.state(x, S), {"x": x, **dict(model.named_parameters())})

    assert_is_plain(compute)
    assert not any(len(part._forward_pre_hooks) for part in model.modules())


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: gr.VariationalDropout(gr.SRNCell(2, 2), 1.1), "dropout must be a share"),
        (lambda: gr.VariationalDropout(gr.SRNCell(2, 2), 0.1, -0.1), "recurrent_dropout must be a share"),
        (
            lambda: gr.VariationalDropout(gr.RecNNCell(2, 2)),
            "one slot that names its recurrent_layers, got RecNNCell",
        ),
        (
            lambda: gr.VariationalDropout(gr.StepCell(torch.nn.GRUCell(2, 2))),
            "names its recurrent_layers, got StepCell",
        ),
    ],
)
def test_refusals(attempt, message):
    with pytest.raises(ValueError, match=message):
        attempt()
