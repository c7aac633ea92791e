"""Streams go on where they stopped: many calls are one long run, and memory does not grow with the stream."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import graphrec as gr
from graphrec.learning import RTRL, Stream, TruncatedBPTT
from tests.learning.networks import gradients_of
from tests.learning.streams import MODELS, B, D, H, squares, zeros
from tests.tolerances import assert_all_close, assert_close

models = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
RULES = {
    "BPTT(1)": TruncatedBPTT(1),
    "BPTT(4)": TruncatedBPTT(4),
    "BPTT(5)": TruncatedBPTT(5),
    "BPTT(2; 2)": TruncatedBPTT(2, every=2),
    "BPTT(5; 2)": TruncatedBPTT(5, every=2),
}


@models
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("steps", [2, 6])
def test_calls_add_up_to_one_run(make, rule, steps):
    """Values, and, as long as weights stay, gradients: losses of a call reach back into earlier calls."""
    model, x = make().double(), torch.randn(B, 12, D).double()
    s = gr.chains([12] * B)
    whole = model(x.flatten(0, 1), s, initial=zeros(model), rule=rule).unflatten(0, (B, 12))
    squares(whole).backward()
    expected = gradients_of(model)
    model.zero_grad()
    stream = Stream(model, rule)
    for number in range(0, 12, steps):
        h = stream(x[:, number : number + steps])
        assert_close(h.detach(), whole[:, number : number + steps].detach(), f"rows from {number} on")
        squares(h).backward()
    assert_all_close(gradients_of(model), expected)


@models
def test_by_bptt_each_call_stands_alone(make):
    model, x = make().double(), torch.randn(B, 6, D).double()
    stream, states = Stream(model), [gr.per_graph(row) for row in zeros(model)]
    for part in x.split(2, dim=1):
        model.zero_grad()
        h, final = model(part.flatten(0, 1), gr.chains([2] * B), initial=states, return_states=True)
        squares(h).backward()
        expected = gradients_of(model)
        model.zero_grad()
        value = stream.step(part, squares)
        assert_close(value, squares(h).detach())
        assert_all_close(gradients_of(model), expected)
        states = [gr.per_graph(type(state)(*(field.detach() for field in state))) for state in final]


@models
def test_no_error_passes_a_reset(make):
    model, x = make().double(), torch.randn(B, 6, D).double().requires_grad_()
    begins = torch.zeros(B, 6, dtype=torch.bool)
    begins[:, 4] = True
    squares(Stream(model, TruncatedBPTT(5))(x, begins)[:, 4:]).backward()
    assert not x.grad[:, :4].any()
    assert x.grad[:, 4:].any(dim=2).all()


class Saved:
    """While this lasts, the numbers that autograd keeps for the way back are counted, each tensor once."""

    def __enter__(self) -> Saved:
        self.numbers, seen = 0, {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in seen:
                seen[storage.data_ptr()] = tensor  # kept alive, so that no other takes its place
                self.numbers += storage.nbytes() // tensor.element_size()
            return tensor

        self.hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.hooks.__exit__(*error)


def kept(state) -> int:
    return sum(call.x.numel() for call in state.calls) + sum(
        f.numel() for layer in state.start for f in layer
    )


@pytest.mark.parametrize("make", [MODELS["LSTM"], MODELS["stack"]], ids=["LSTM", "stack"])
def test_memory_is_bounded_by_the_reach(make):
    model = make()

    def after(calls: int, rule: TruncatedBPTT) -> tuple[int, int]:
        """What autograd and the stream keep of the last of so many calls of two steps."""
        stream = Stream(model, rule)
        for _ in range(calls - 1):
            stream(torch.randn(B, 2, D))
        with Saved() as saved:
            stream(torch.randn(B, 2, D))
        return saved.numbers, kept(stream._state)

    for rule in (TruncatedBPTT(2, every=2), TruncatedBPTT(3), TruncatedBPTT(4, every=2)):
        assert after(8, rule) == after(16, rule)
    numbers = [after(14, TruncatedBPTT(depth))[0] for depth in (3, 5, 9)]
    assert numbers[0] < numbers[1] < numbers[2]  # it is the reach that counts
    assert numbers[2] - numbers[1] == 2 * (numbers[1] - numbers[0])

    with Saved() as saved:  # a run over all at once keeps more and more
        model(torch.randn(60 * B, D), gr.chains([60] * B), rule=TruncatedBPTT(9))
    assert saved.numbers > 2 * numbers[2]


def test_a_step_of_learning_is_that_of_the_optimizer():
    one, other, head = gr.GRU(D, H), gr.GRU(D, H), nn.Linear(H, 1)
    other.load_state_dict(one.state_dict())
    stream = Stream(one, TruncatedBPTT(2, every=2), torch.optim.SGD(one.parameters(), 0.1))
    by_hand, state = torch.optim.SGD(other.parameters(), 0.1), gr.per_graph(torch.zeros(B, H))
    for _ in range(3):
        x, y = torch.randn(B, 2, D), torch.randn(B, 2, 1)
        h, (state,) = other(x.flatten(0, 1), gr.chains([2] * B), initial=state, return_states=True)
        loss = nn.functional.mse_loss(head(h).unflatten(0, (B, 2)), y)
        by_hand.zero_grad()
        loss.backward()
        by_hand.step()
        state = gr.per_graph(state.h.detach())
        assert_close(stream.step(x, lambda h, y=y: nn.functional.mse_loss(head(h), y)), loss.detach())
        assert_all_close(dict(one.named_parameters()), dict(other.named_parameters()))


def test_a_stored_state_goes_on(tmp_path):
    model, x = MODELS["stack"](), torch.randn(B, 8, D)
    stream = Stream(model, TruncatedBPTT(3))
    stream(x[:, :4])
    stream.reset(torch.tensor([False, True, False]))
    torch.save(stream.state_dict(), tmp_path / "state.pt")
    again = Stream(model, TruncatedBPTT(3))
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(again(x[:, 4:]), stream(x[:, 4:]))


REFUSED = {
    "a step of rows": (lambda s: s(torch.zeros(B, D)), r"\[B, T, D\].*got shape \(3, 2\)"),
    "no steps": (lambda s: s(torch.zeros(B, 0, D)), r"1 or more.*got shape"),
    "a part of what goes back together": (lambda s: s(torch.zeros(B, 3, D)), "multiple of 2 steps, got 3"),
    "a mask of numbers": (
        lambda s: s(torch.zeros(B, 2, D), torch.zeros(B, 2)),
        "begins must be a bool tensor",
    ),
    "a mask of others": (lambda s: s.reset(torch.ones(B + 1, dtype=torch.bool)), r"mask.*\[3\].*\(4,\)"),
    "another width": (
        lambda s: s(torch.zeros(B, 2, D + 1)),
        "earlier steps have inputs of width 2, got x of width 3",
    ),
    "another model's state": (
        lambda s: Stream(gr.GRU(D, H)).load_state_dict(s.state_dict()),
        "LSTMCell.*the model.*GRUCell",
    ),
    "another width's state": (
        lambda s: Stream(gr.LSTM(D, H + 1)).load_state_dict(s.state_dict()),
        "other layers.*reset()",
    ),
    "no state": (lambda s: s.load_state_dict(torch.zeros(B, H)), r"what state_dict\(\) of a stream returned"),
    "a model's state": (lambda s: s.load_state_dict({"a": 1}), "got dict with a"),
    "another dtype": (
        lambda s: s(torch.zeros(B, 2, D).double()),
        "states of torch.float32, got x of torch.float64",
    ),
}


@pytest.mark.parametrize(("use", "said"), REFUSED.values(), ids=REFUSED)
def test_what_a_stream_refuses(use, said):
    stream = Stream(gr.LSTM(D, H), TruncatedBPTT(4, every=2))
    stream(torch.randn(B, 2, D))
    before = stream._state
    with pytest.raises((ValueError, TypeError), match=f"(?s){said}"):
        use(stream)
    assert stream._state is before  # nothing has been done


def test_sensitivities_are_not_lost_between_calls():
    with pytest.raises(TypeError, match=r"RTRL has sensitivities to hand on, too: use rule.online\(cell\)"):
        Stream(gr.LSTM(D, H), RTRL())


NO_STREAMS = {
    "backward": (lambda: gr.Bidirectional(gr.SRN(D, H), gr.SRN(D, H)), "runs backward"),
    "no states": (lambda: gr.GNN([gr.GCNCell(D, D)]), "takes a model with states"),
    "a head": (lambda: gr.SequenceToLabels(gr.SRN(D, H), H, 1), "apply a readout to what it returns"),
    "a cell": (lambda: gr.SRNCell(D, H), "takes a model with states"),
    "rounds": (lambda: gr.Recursive(gr.SRNCell(D, H), "sync", 2), "SRNCell runs in rounds"),
    "its own input": (lambda: gr.Recursive(gr.GGNNCell(H, H)), "from its own input"),
}


@pytest.mark.parametrize(("make", "said"), NO_STREAMS.values(), ids=NO_STREAMS)
def test_what_is_no_stream(make, said):
    with pytest.raises((ValueError, TypeError), match=said):
        Stream(make())


def test_other_streams_begin_after_a_reset():
    stream = Stream(gr.SRN(D, H))
    with pytest.raises(ValueError, match="no streams yet"):
        stream.reset(torch.ones(B, dtype=torch.bool))
    first = stream(torch.ones(B, 2, D))
    stream.reset()
    assert torch.equal(stream(torch.ones(B + 2, 2, D))[:B], first)
    with pytest.raises(ValueError, match=r"one row for all streams.*\(1, 4\).*got \[\(3, 4\)\]"):
        Stream(gr.SRN(D, H), initial=torch.zeros(B, H))
    with pytest.raises(TypeError, match=r"rule must be a graphrec\.learning\.Rule, got int"):
        Stream(gr.SRN(D, H), 5)
