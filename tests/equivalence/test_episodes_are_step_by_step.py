"""A rollout with resets inside is what acting step by step gives: a reset drops the state, and nothing else.

The oracle is the loop that everybody writes: torch's cells, a step at a time, with the state times (1 - is_first) plus
the reset state times is_first. Compared in values, final states and all gradients, of the carried and the reset state
among them; and a run over a rollout with the same network one step at a time, with `steps`, and with itself in pieces.
"""

from collections import namedtuple
from typing import Any

import pytest
import torch
from torch import nn

import graphrec as gr
from graphrec import clib
from tests.tolerances import assert_all_close, assert_close

T, B, D, H = 7, 4, 3, 5
RESETS = {
    "none": [],
    "at the first step": [(0, 0), (0, 1), (0, 2), (0, 3)],
    "at the last step": [(6, 1)],
    "some": [(0, 2), (3, 0), (4, 0), (3, 1), (1, 2), (6, 3)],
    "everywhere": [(t, b) for t in range(T) for b in range(B)],
}
KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "SRN": nn.RNN}
CELLS = {nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell, nn.RNN: nn.RNNCell}
BACKENDS = ["loop", "torch", "torch_programs", *(["native"] if clib.library() is not None else [])]

every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_reset = pytest.mark.parametrize("at", RESETS.values(), ids=RESETS)


def mask(at):
    is_first = torch.zeros(T, B, dtype=torch.bool)
    for t, b in at:
        is_first[t, b] = True
    return is_first


def random_state(kind, layers, rows, dtype=torch.float64):
    fields = tuple(torch.randn(layers, rows, H, dtype=dtype, requires_grad=True) for _ in range(2))
    return fields if kind is nn.LSTM else fields[0]


def on(device, state):
    fields = tuple(field.to(device) for field in fields_of(state))
    return fields if isinstance(state, tuple) else fields[0]


def fields_of(state):
    return state if isinstance(state, tuple) else (state,)


def step_by_step(module, x, state, is_first, reset):
    """Torch's cells with the weights of a layer of torch, a step at a time."""
    layers, final = module.num_layers, [list(fields) for fields in zip(*fields_of(state), strict=True)]
    starts = list(zip(*fields_of(reset), strict=True))
    rows = []
    for x_t, begins in zip(x, is_first.to(x.dtype).unsqueeze(2), strict=True):
        for layer in range(layers):
            cell = CELLS[type(module)](x_t.shape[1], H, dtype=x.dtype)
            weights = {
                f"{name}_{way}": getattr(module, f"{name}_{way}_l{layer}")
                for name in ("weight", "bias")
                for way in ("ih", "hh")
            }
            before = [f * (1 - begins) + r * begins for f, r in zip(final[layer], starts[layer], strict=True)]
            given = tuple(before) if isinstance(module, nn.LSTM) else before[0]
            after = torch.func.functional_call(cell, weights, (x_t, given))
            final[layer] = list(fields_of(after))
            x_t = final[layer][0]
        rows.append(x_t)
    fields = tuple(torch.stack(parts) for parts in zip(*final, strict=True))
    return torch.stack(rows), fields if isinstance(module, nn.LSTM) else fields[0]


def outcome(found, inputs):
    h, state = found
    out = {"h": h, **{f"final {i}": field for i, field in enumerate(fields_of(state))}}
    loss = torch.stack(
        [(field * torch.linspace(0.5, 1.5, field.numel()).view_as(field)).sum() for field in out.values()]
    )
    grads = torch.autograd.grad(loss.sum(), list(inputs.values()), allow_unused=True)
    return {**out, **{f"grad of {name}": grad for name, grad in zip(inputs, grads, strict=True)}}


def assert_is_step_by_step(module, at, backend, batch_first=False, dtype=torch.float64):
    kind, is_first = type(module), mask(at)
    module.to(dtype)
    x = torch.randn(T, B, D, dtype=dtype, requires_grad=True)
    state, reset = (
        random_state(kind, module.num_layers, B, dtype),
        random_state(kind, module.num_layers, 1, dtype),
    )
    given = {"x": x}
    given |= {f"carried {i}": field for i, field in enumerate(fields_of(state))}
    given |= {f"reset {i}": field for i, field in enumerate(fields_of(reset))}
    weights = dict(module.named_parameters())
    expected = outcome(step_by_step(module, x, state, is_first, reset), given | weights)
    ours = gr.from_torch(module)
    ours.batch_first = batch_first
    layers: Any = ours.model.layers
    parts = [layer.cell for layer in layers]
    copies = [
        w
        for cell in parts
        for part in ("weight", "bias")
        for w in (getattr(cell.input, part), getattr(cell.recurrent, part))
    ]
    ours_weights = dict(zip(weights, copies, strict=True))
    with gr.running_on(backend):
        if batch_first:
            h, final = ours(x.transpose(0, 1), state, is_first=is_first.t(), reset=reset)
            h = h.transpose(0, 1)
        else:
            h, final = ours(x, state, is_first=is_first, reset=reset)
        assert_all_close(outcome((h, final), given | ours_weights), expected)


@every_backend
@every_kind
@every_reset
def test_values_and_all_gradients(kind, at, backend):
    assert_is_step_by_step(kind(D, H), at, backend)


@every_backend
@pytest.mark.parametrize("batch_first", [False, True], ids=["[T, B]", "[B, T]"])
def test_layer_upon_layer(backend, batch_first):
    assert_is_step_by_step(nn.LSTM(D, H, num_layers=2), RESETS["some"], backend, batch_first)


@every_backend
@every_kind
def test_in_single_precision(kind, backend):
    assert_is_step_by_step(kind(D, H), RESETS["some"], backend, dtype=torch.float32)


MODELS = {
    "LSTM": lambda: gr.LSTM(D, H),
    "GRU": lambda: gr.GRU(D, H),
    "a cell without an operator": lambda: gr.Recursive(gr.PeepholeLSTMCell(D, H)),
    "a linear recurrence": lambda: gr.Recursive(gr.MinGRUCell(D, H)),
    "a step module": lambda: gr.Recursive(gr.StepCell(nn.GRUCell(D, H))),
    "layers that differ": lambda: gr.Stacked([gr.LSTM(D, H), gr.GRU(H, H + 1)]),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def agent(make):
    """A network, a rollout, its resets, a state to go on from, and one of episodes that begin."""
    model = make().double()
    cells = [part.cell for part in model.modules() if isinstance(part, gr.Recursive)]
    carried, reset = (
        [
            cell.State(*(torch.randn(rows, *shape).double().requires_grad_() for shape in cell.shapes()))
            for cell in cells
        ]
        for rows in (B, 1)
    )
    net = gr.Sequences(model, batch_first=False)
    return net, torch.randn(T, B, D).double().requires_grad_(), mask(RESETS["some"]), carried, reset


def flat(net, h, state):
    state = state if isinstance(state, list) else list(fields_of(state))
    fields = [field for part in state for field in (part if isinstance(part, tuple) else [part])]
    return {"h": h, **{f"final {i}": field.squeeze() for i, field in enumerate(fields)}}


def with_gradients(net, found, x, carried, reset):
    out = flat(net, *found)
    inputs = [x, *net.parameters(), *(f for state in (*carried, *reset) for f in state)]
    loss = torch.stack([field.square().sum() for field in out.values()]).sum()
    grads = torch.autograd.grad(loss, inputs)
    return {**out, **{f"grad {i}": grad for i, grad in enumerate(grads)}}


@every_model
@pytest.mark.parametrize("pieces", [[1] * T, [3, 0, 4]], ids=["a step at a time", "in pieces"])
def test_acting_and_training_give_the_same_numbers(make, pieces):
    """The next call goes on from the state that one returns, and gradients pass through it."""
    net, x, is_first, carried, reset = agent(make)
    expected = with_gradients(net, net(x, carried, is_first=is_first, reset=reset), x, carried, reset)
    rows, state = [], carried
    for x_now, first in zip(x.split(pieces), is_first.split(pieces), strict=True):
        h, state = net(x_now, state, is_first=first, reset=reset)
        rows.append(h)
    assert_all_close(with_gradients(net, (torch.cat(rows), state), x, carried, reset), expected)


@pytest.mark.parametrize("make", [gr.LSTMCell, gr.GRUCell])
def test_a_reset_in_steps_is_a_reset_in_a_run(make):
    """Known beforehand it is in the structure; found out on the way it is sent, before the next step reads."""
    cell, is_first = make(D, H).double(), mask(RESETS["some"])
    x = torch.randn(T, B, D).double()
    carried, reset = (cell.State(*(torch.randn(n, H).double() for _ in cell.State._fields)) for n in (B, 1))
    rows, e = gr.from_resets(x, is_first)
    plan, initial = gr.schedule(e.structure), e.initial(carried, reset)
    expected = gr.run(cell, plan, rows, initial)
    found = [torch.zeros_like(field) for field in expected]
    for visit in gr.steps(cell, plan, rows, initial):
        found = [field.index_copy(0, visit.nodes, new) for field, new in zip(found, visit.state, strict=True)]
    assert_all_close(cell.State(*found)._asdict(), expected._asdict())

    def after_resets(state, first):
        return cell.State(*(torch.where(first[:, None], r, f) for r, f in zip(reset, state, strict=True)))

    side_by_side = gr.schedule(gr.chains([T] * B, batch_first=False))
    loop = gr.steps(cell, side_by_side, rows, after_resets(carried, is_first[0]))
    states = [next(loop).state]
    for first in is_first[1:]:  # as an environment says so
        states.append(loop.send(after_resets(states[-1], first)).state)
    at_all_steps = cell.State(*(torch.cat(fields) for fields in zip(*states, strict=True)))
    assert_all_close(at_all_steps._asdict(), expected._asdict())


@every_kind
@every_backend
def test_nothing_passes_a_reset(kind, backend):
    net, is_first = gr.from_torch(kind(D, H)), mask([(3, 1), (3, 2), (5, 2)])
    x, state = torch.randn(T, B, D), random_state(kind, 1, B, torch.float32)
    other = x.clone()
    other[:3, 1:3] = float("nan")  # even that: it is not multiplied by zero
    with gr.running_on(backend), torch.no_grad():
        h, final = net(x, state, is_first=is_first)
        changed, final_changed = net(other, state, is_first=is_first)
    assert torch.equal(changed[3:], h[3:])
    assert all(torch.equal(a, b) for a, b in zip(fields_of(final_changed), fields_of(final), strict=True))
    assert changed[:3, 1:3].isnan().all()
    x = x.clone().requires_grad_()
    with gr.running_on(backend):
        net(x, state, is_first=is_first)[0][3:].sum().backward()
    assert x.grad is not None
    assert not x.grad[:3, 1:3].any()
    assert x.grad[:3, 0].any()


@every_model
def test_empty_rollouts(make):
    net, _, _, carried, _ = agent(make)
    for steps, columns in ((0, B), (3, 0), (0, 0)):
        state = [type(part)(*(field[:columns] for field in part)) for part in carried]
        x = torch.zeros(steps, columns, D).double().requires_grad_()
        h, final = net(x, state, is_first=torch.zeros(steps, columns, dtype=torch.bool))
        assert h.shape[:2] == (steps, columns)
        expected = flat(net, h, state)
        found = flat(net, h, final)
        if not steps:
            assert_all_close(found, {**expected, "h": h})
        (h.sum() + sum(field.sum() for field in found.values())).backward()


class Counting(gr.Cell):
    """A cell for which a state of zero is not the same as none: h counts the steps since the beginning."""

    State = namedtuple("State", "h")

    def forward(self, x, inbox, own):
        return self.State(inbox.sum(inbox.h + 1) + 0 * x)


def test_a_reset_means_the_same_with_and_without_a_state_that_is_carried():
    net, is_first = gr.Sequences(gr.Recursive(Counting(1, 1)), batch_first=False), mask(RESETS["some"])
    is_first[0] = True
    x, anything = torch.zeros(T, B, 1), torch.full((1, B, 1), 9.0)
    h, final = net(x, is_first=is_first)
    again, same = net(x, anything, is_first=is_first)
    assert torch.equal(again, h)
    assert torch.equal(same, final)
    assert h[:, 0, 0].tolist() == [1, 2, 3, 1, 1, 2, 3]


@every_kind
def test_shapes_alone_are_found_on_the_meta_device(kind):
    net, is_first = gr.from_torch(kind(D, H).to("meta")), mask(RESETS["some"])
    state, reset = (random_state(kind, 1, rows, torch.float32) for rows in (B, 1))
    h, final = net(
        torch.zeros(T, B, D, device="meta"), on("meta", state), is_first=is_first, reset=on("meta", reset)
    )
    assert h.is_meta
    assert h.shape == (T, B, H)
    assert all(field.shape == (1, B, H) for field in fields_of(final))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_kind
def test_on_another_device(kind):
    net, is_first = gr.from_torch(kind(D, H)), mask(RESETS["some"])
    x, state = torch.randn(T, B, D), random_state(kind, 1, B, torch.float32)
    expected = net(x, state, is_first=is_first)[0]
    found = net.cuda()(x.cuda(), on("cuda", state), is_first=is_first.cuda())[0]
    assert_close(found.cpu(), expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's compiler looks at it
def test_within_a_compiled_program():
    net, is_first = gr.from_torch(nn.LSTM(D, H)), mask(RESETS["some"])
    x, state = torch.randn(T, B, D, requires_grad=True), random_state(nn.LSTM, 1, B, torch.float32)

    def loss(x, is_first):
        return net(2 * x, state, is_first=is_first)[0].square().sum()

    compiled = torch.compile(loss, backend="eager")
    for first in (is_first, ~is_first):
        assert_close(compiled(x, first), loss(x, first))


def test_what_a_bit_was_is_remembered_until_the_episode_ends():
    """Learned from rollouts cut anywhere: the first observation of an episode is to be told at each of its steps."""
    net, head = gr.Sequences(gr.GRU(2, 8), batch_first=False), nn.Linear(8, 1)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=0.03)
    state, bit = torch.zeros(1, 16, 8), torch.zeros(16)
    accuracy = torch.tensor(0.0)
    for number in range(60):
        is_first = torch.rand(12, 16) < 0.1
        is_first[0] |= number == 0
        shown, told = [], []
        for first in is_first:
            drawn = torch.randint(2, (16,)).float()
            bit = torch.where(first, drawn, bit)
            shown.append(torch.stack([first.float(), first * (2 * bit - 1)], dim=-1))
            told.append(bit)
        h, state = net(torch.stack(shown), state.detach(), is_first=is_first)
        logits, targets = head(h).squeeze(-1), torch.stack(told)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        accuracy = ((logits > 0) == (targets > 0)).float().mean()
    assert accuracy > 0.98
