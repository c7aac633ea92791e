"""Layers in series, on a grid and within a node are one thing; directions merge; dropout falls between layers."""

import copy
from collections import namedtuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import graphrec as gr
from tests.tolerances import assert_all_close, assert_close
from tests.trials import gradients

CELLS = {
    "SRN": gr.SRNCell,
    "LSTM": gr.LSTMCell,
    "GRU": gr.GRUCell,
    "peephole": gr.PeepholeLSTMCell,
    "layer norm": gr.LayerNormGRUCell,
}
lengths = st.lists(st.integers(1, 4), min_size=1, max_size=3)


def stack(make, layers):
    return [make(3, 2), *(make(2, 2) for _ in range(layers - 1))]


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS.keys())
@settings(max_examples=5)
@given(sizes=lengths, layers=st.integers(1, 3), begins=st.booleans())
def test_a_stack_is_a_grid_is_a_series_within_a_node(make, sizes, layers, begins):
    cells = [cell.double() for cell in stack(make, layers)]
    fields = cells[0].State._fields
    s = gr.chains(sizes)
    x = torch.randn(s.num_nodes, 3, dtype=torch.float64, requires_grad=True)
    # Per layer a state for each sequence.
    initial = [[torch.randn(len(sizes), 2, dtype=torch.float64) for _ in fields] for _ in cells]
    initial = initial if begins else None
    weights = {f"{i}.{name}": p for i, cell in enumerate(cells) for name, p in cell.named_parameters()}

    series = gr.Stacked([gr.Recursive(cell) for cell in cells])
    by_layer, finals = series.with_states(x, s, initial)

    grid = gr.grid(sizes, layers)
    top = grid.kind == layers - 1
    # Nodes of a grid are numbered graph by graph, layer by layer: those of one layer are in the order of s.
    on_grid = torch.zeros(grid.num_nodes, 3, dtype=torch.float64).index_copy(
        0, (grid.kind == 0).nonzero().flatten(), x
    )
    rows = None
    if begins:
        rows = [
            torch.stack(
                [initial[k][f][g] for k, g in zip(grid.kind.tolist(), grid.graph.tolist(), strict=True)]
            )
            for f in range(len(fields))
        ]
    by_grid = gr.run(gr.GridCell(cells), gr.schedule(grid), on_grid, rows)[0][top]

    within = gr.SeriesCell(cells)
    joined = None if initial is None else within.join([cells[0].State(*state) for state in initial])
    by_node, (final,) = gr.Recursive(within).with_states(x, s, None if joined is None else [joined])

    def outcome(h):
        return {"h": h} | gradients((h,), {"x": x, **weights})

    expected = outcome(by_layer)
    assert_all_close(outcome(by_grid), expected)
    assert_all_close(outcome(by_node), expected)
    assert_all_close(final._asdict(), within.join(finals)._asdict())


@pytest.mark.parametrize(
    ("merge", "by_hand"),
    [
        ("cat", lambda a, b: torch.cat([a, b], 1)),
        ("sum", torch.add),
        ("mean", lambda a, b: (a + b) / 2),
        (torch.nn.Bilinear(2, 2, 5).double(), None),
    ],
)
def test_two_directions_merged(merge, by_hand):
    along, against = gr.LSTM(3, 2).double(), gr.GRU(3, 2).double()
    model = gr.Bidirectional(along, against, merge)
    sizes = [3, 1, 4]
    s = gr.chains(sizes)
    x = torch.randn(8, 3, dtype=torch.float64)
    backwards = torch.cat([against(part.flip(0), gr.chain(len(part))).flip(0) for part in x.split(sizes)])
    expected = (by_hand or merge)(along(x, s), backwards)
    assert_all_close({"h": model(x, s)}, {"h": expected})
    _, (first, second) = model.with_states(x, s)
    assert_all_close(
        {"along": first.h, "against": second.h},
        {"along": gr.readout.last(along(x, s), s), "against": backwards[[0, 3, 4]]},
    )


def test_dropout_between_layers_and_nowhere_else():
    class Seen(torch.nn.Module):
        def forward(self, x, s):
            self.x = x
            return x

    layers = [Seen(), Seen(), Seen()]
    model = gr.Stacked(layers, dropout=0.25)
    x = torch.ones(4000, 1)
    s = gr.chains([1] * 4000)
    model(x, s)
    assert torch.equal(layers[0].x, x)
    for layer in layers[1:]:
        kept = layer.x[layer.x != 0]
        assert all(min(abs(v - 1 / 0.75), abs(v - 1 / 0.75**2)) < 1e-6 for v in kept.unique().tolist())
    assert layers[1].x.count_nonzero() / 4000 == pytest.approx(0.75, abs=0.03)
    assert layers[2].x.count_nonzero() / 4000 == pytest.approx(0.75**2, abs=0.03)
    model.eval()
    assert torch.equal(model(x, s), x)


REFUSED = {
    "no layers": (lambda: gr.Stacked([]), ValueError, "at least one layer"),
    "a number as a layer": (lambda: gr.Stacked([3]), TypeError, "expected a model .* got int"),
    "dropout of all": (lambda: gr.Stacked([gr.SRN(2, 2)], dropout=1.5), ValueError, "from 0 to 1, got 1.5"),
    "states for another number of layers": (
        lambda: gr.Stacked([gr.SRN(2, 2), gr.SRN(2, 2)]).with_states(
            torch.zeros(1, 2), gr.chain(1), [torch.zeros(1, 2)]
        ),
        ValueError,
        "list of 2 initial states, .* got 1 of them",
    ),
    "one state in place of a list": (
        lambda: gr.Bidirectional(gr.SRN(2, 2), gr.SRN(2, 2))(
            torch.zeros(1, 2), gr.chain(1), initial=torch.zeros(1, 2)
        ),
        ValueError,
        "list of 2 initial states, .* got Tensor",
    ),
    "layers that do not fit": (
        lambda: gr.Stacked([gr.SRN(2, 3), gr.SRN(2, 3)])(torch.zeros(1, 2), gr.chain(1)),
        ValueError,
        r"\[1, 2\] for this cell, got \(1, 3\)",
    ),
    "no cells in series": (lambda: gr.SeriesCell([]), ValueError, "at least one cell"),
    "an unknown readout": (
        lambda: gr.SequenceToClass(gr.SRN(2, 2), 2, 3, "first"),
        ValueError,
        "last, mean, root",
    ),
}


@pytest.mark.parametrize(("attempt", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt()


@pytest.mark.parametrize("readout", ["last", "mean", gr.readout.max])
def test_sequence_to_class_and_to_labels(readout):
    model = gr.GRU(3, 4)
    s, x = gr.chains([2, 3]), torch.randn(5, 3)
    h = model(x, s)
    by_hand = {
        "last": lambda: h[[1, 4]],
        "mean": lambda: torch.stack([h[:2].mean(0), h[2:].mean(0)]),
        gr.readout.max: lambda: torch.stack([h[:2].amax(0), h[2:].amax(0)]),
    }
    classes, labels = gr.SequenceToClass(model, 4, 6, readout), gr.SequenceToLabels(model, 4, 7)
    assert_all_close({"class": classes(x, s)}, {"class": classes.output(by_hand[readout]())})
    assert_all_close({"labels": labels(x, s)}, {"labels": labels.output(h)})


def test_the_last_state_is_that_of_each_directions_end():
    along, against = gr.GRU(3, 4), gr.GRU(3, 4)
    s, x = gr.chains([2, 3]), torch.randn(5, 3)
    both = gr.SequenceToClass(gr.Stacked([gr.SRN(3, 3), gr.Bidirectional(along, against)]), 8, 6)
    inner = both.model.layers[0](x, s)
    h = torch.cat([along(inner, s)[[1, 4]], gr.Reversed(against)(inner, s)[[0, 2]]], dim=1)
    assert_all_close({"class": both(x, s)}, {"class": both.output(h)})
    backwards = gr.SequenceToClass(gr.Reversed(against), 4, 6)
    assert_all_close(
        {"class": backwards(x, s)}, {"class": backwards.output(gr.Reversed(against)(x, s)[[0, 2]])}
    )
    with pytest.raises(ValueError, match="TDNN has no final state"):
        gr.SequenceToClass(gr.TDNN(3, 4, 2), 4, 6)


def test_parts_of_models_are_called_as_modules():
    """So that hooks, wrappers and subclasses with a forward of their own have their say."""

    class Shifted(gr.GRU):
        def forward(self, x, s):
            return super().forward(x, s) + 1

    x, s = torch.randn(3, 2), gr.chain(3)
    shifted = Shifted(2, 2)
    inner = gr.GRU(2, 2)
    seen = []
    inner.register_forward_hook(lambda *_: seen.append(1))
    model = gr.Stacked([gr.Bidirectional(inner, gr.GRU(2, 1), "cat"), gr.GRU(3, 2), shifted])
    expected = gr.GRU.forward(shifted, model.layers[1](model.layers[0](x, s), s), s) + 1
    assert_all_close({"h": model(x, s)}, {"h": expected})
    assert len(seen) == 2


class OwnState(gr.Cell):
    """Its state's type cannot be found by name."""

    State = namedtuple("State", "h")

    def forward(self, x, inbox, own):
        return self.State(x + inbox.sum(inbox.h))


@pytest.mark.parametrize(
    "make",
    [
        lambda: gr.Recursive(gr.ResidualCell(OwnState(2, 2))),
        lambda: gr.Recursive(gr.SeriesCell([OwnState(2, 2), gr.LSTMCell(2, 2)])),
        lambda: gr.VariationalDropout(gr.LSTMCell(2, 2), 0.5, 0.5),
        lambda: gr.Sequences(gr.Stacked([gr.Bidirectional(gr.GRU(2, 2), gr.GRU(2, 2)), gr.SRN(4, 2)])),
        lambda: gr.PerKind([OwnState(2, 2), gr.ResidualCell(OwnState(2, 2))]),
        lambda: gr.GridCell([gr.LSTMCell(2, 2), gr.LSTMCell(2, 2)]),
        lambda: gr.Seq2Seq(gr.GRU(2, 2), gr.GRUCell(2, 2), 3, 3, 2, 1, 0),
    ],
)
def test_models_are_saved_and_copied_whole(make, tmp_path):
    model = make()
    torch.save(model, tmp_path / "model.pt")
    for other in (torch.load(tmp_path / "model.pt", weights_only=False), copy.deepcopy(model)):
        assert all(map(torch.equal, other.state_dict().values(), model.state_dict().values()))
        assert [p.shape for p in other.parameters()] == [p.shape for p in model.parameters()]


def test_weights_of_a_trained_model_go_into_one_with_dropout():
    plain, dropped = gr.GRU(2, 3), gr.VariationalDropout(gr.GRUCell(2, 3), 0.1, 0.1)
    dropped.load_state_dict(plain.state_dict())
    x, s = torch.randn(3, 2), gr.chain(3)
    assert_close(dropped.eval()(x, s), plain(x, s))
