"""Learning rules, and what is measured of runs: how they are made, and what they answer."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st

import graphrec as gr
from graphrec import dynamics, learning
from tests import strategies
from tests.face.entry import Arguments, Entry, given, is_module, is_sound, same, small, truth
from tests.face.structures import named
from tests.tolerances import assert_close

CHAINS = strategies.chains()
SRN, TREE_GRU = gr.SRN(2, 3), gr.TreeGRU(2, 3)
LEAKY = gr.Recursive(gr.LeakySRNCell(2, 3, alpha=0.5))
PIECE = gr.chains([2, 2])


def square(h: Any) -> torch.Tensor:
    return h.square().sum()


def of_targets(state: Any, nodes: torch.Tensor) -> torch.Tensor:
    return state.h.square().sum(1)


def known(function: Any, ours: Any) -> Any:
    """What cannot be called, for graphrec to refuse; in place of other functions, which fail by themselves, ours."""
    return ours if callable(function) else function


def gradients_by(rule: Any, s: Any, x: Any, loss: Any, model: Any = SRN) -> dict[str, torch.Tensor]:
    """By name, what the rule adds to a model that has no gradients yet."""
    model.zero_grad()
    rule.gradients(model, s, x, known(loss, square))
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def differentiates(rule: Any, _: Arguments, draw: Any) -> None:
    """Says the same of itself again; its gradients are finite, and the true ones where it calls them exact."""
    assert repr(rule)
    s, x = draw(strategies.with_rows(CHAINS))
    found = gradients_by(rule, s, x, square, LEAKY)
    true = gradients_by(learning.BPTT(), s, x, square, LEAKY)
    exact = rule.reach(LEAKY, s, x).exact
    for name, grad in found.items():
        assert grad.isfinite().all()
        if name in exact:
            assert_close(grad, true[name])


def steps_online(s: Any, x: Any, loss: Any) -> list[Any]:
    online = learning.RTRL().online(SRN)
    return list(online.steps(s, x, known(loss, lambda state, nodes: square(state.h))))


def of_stream(x: Any, begins: Any) -> torch.Tensor:
    return learning.Stream(SRN, learning.TruncatedBPTT(2))(x, begins)


def goes_on(stream: learning.Stream, _: Arguments) -> None:
    """Two calls are one call of both, and a state that was stored is taken up."""
    x = torch.randn(2, 4, 2)
    stored = stream.state_dict()
    parts = torch.cat([stream(x[:, :2]), stream(x[:, 2:])], dim=1)
    stream.load_state_dict(stored)
    assert_close(stream(x), parts)


def kept(found: Any, _: Arguments) -> None:
    with found as local:
        h = SRN(torch.randn(3, 2), gr.chain(3))
    assert local.of(square(h)).keys() == {"h", "z"}
    assert_close(local.of(square(h))["h"][-1], 2 * h[-1])


def local_run() -> tuple[learning.LocalRun, torch.Tensor]:
    with learning.local_gradients() as local:
        h = SRN(torch.ones(3, 2), gr.chain(3))
    return local.runs[0], square(h)


RUN, LOSS = local_run()
LEARNING: dict[str, Entry] = {
    "learning.BPTT": Entry(given(recompute=st.none() | small), differentiates),
    "learning.EProp": Entry(given(), differentiates),
    "learning.FeedbackLinear": Entry(given(inputs=small, outputs=small, bias=truth), is_module),
    "learning.Online": Entry(
        given(
            rule=st.builds(learning.RTRL) | st.builds(learning.UORO), model=st.builds(gr.SRN, small, small)
        ),
        is_sound,
    ),
    "learning.RFLO": Entry(given(), differentiates),
    "learning.RTRL": Entry(given(limit=st.sampled_from([1000, 10**7])), differentiates),
    "learning.SnAp1": Entry(given(), differentiates),
    "learning.Stream": Entry(
        given(
            model=st.builds(gr.SRN, st.just(2), small),
            rule=st.sampled_from([None, learning.BPTT(), learning.TruncatedBPTT(2)]),
            optimizer=st.none() | st.builds(lambda: torch.optim.SGD(SRN.parameters(), lr=0.1)),
        ),
        goes_on,
    ),
    "learning.TruncatedBPTT": Entry(given(depth=st.integers(2, 4), every=st.integers(1, 2)), differentiates),
    "learning.UORO": Entry(given(seed=st.integers(0, 9)), differentiates),
    "learning.local_gradients": Entry(given(), kept),
}
ROWS_AND_CHAIN: Any = named(("s", "x"), strategies.with_rows(CHAINS), loss=square)
CALLS_OF_LEARNING: dict[str, Entry] = {
    "BPTT.gradients": Entry(ROWS_AND_CHAIN, is_sound, lambda **given: gradients_by(learning.BPTT(), **given)),
    "RTRL.gradients": Entry(ROWS_AND_CHAIN, is_sound, lambda **given: gradients_by(learning.RTRL(), **given)),
    "Rule.reach": Entry(
        named(("s", "x"), strategies.with_rows(CHAINS)).map(lambda a: {**a, "model": SRN}),
        is_sound,
        learning.TruncatedBPTT(2).reach,
    ),
    "LocalRun.of": Entry(given(loss=LOSS), lambda found, a: same(list(found), list(RUN.names)), RUN.of),
    "Online.steps": Entry(
        given(s=PIECE, x=torch.ones(4, 2), loss=square),
        lambda found, a: same(len(found), 2),
        steps_online,
    ),
    "Stream()": Entry(
        given(x=torch.ones(2, 3, 2), begins=torch.zeros(2, 3, dtype=torch.bool)), is_sound, of_stream
    ),
    "Stream.load_state_dict": Entry(
        given(stored=learning.Stream(SRN).state_dict()), is_sound, learning.Stream(SRN).load_state_dict
    ),
}


def flows(found: dynamics.GradientFlow, arguments: Arguments) -> None:
    s = arguments["s"]
    assert bool((found.norm >= 0).all())
    assert bool((found.source < s.num_nodes).all())
    itself = found.norm[found.distance == 0]
    if arguments.get("loss") is None and arguments["norm"] == "spectral":
        assert_close(itself, torch.ones_like(itself))  # a state's derivative by itself
    is_sound((found, str(found), found.verdict))


def exponents(found: torch.Tensor, arguments: Arguments) -> None:
    assert found.shape == (arguments["count"] or 3,)
    assert bool((found.diff() <= 0).all())


def flow_of(**arguments: Any) -> dynamics.GradientFlow:
    if arguments.get("loss") not in (None, of_targets):
        arguments["loss"] = known(arguments["loss"], of_targets)
    return dynamics.gradient_flow(**arguments)


FLOW = dynamics.gradient_flow(SRN, torch.ones(3, 2), gr.chain(3))
MEASURED: dict[str, Entry] = {
    "dynamics.gradient_flow": Entry(
        named(
            ("s", "x"),
            strategies.with_rows(CHAINS | strategies.trees()),
            model=st.sampled_from([TREE_GRU, TREE_GRU.cell]),
            targets=st.none() | st.just([0]),
            loss=st.sampled_from([None, of_targets]),
            norm=st.sampled_from(["spectral", "frobenius"]),
            seed=st.integers(0, 3),
        )
        | named(("s", "x"), strategies.with_rows(CHAINS), model=SRN, norm="frobenius", probes=small),
        flows,
        flow_of,
    ),
    "dynamics.lyapunov_spectrum": Entry(
        given(
            model=SRN,
            x=torch.ones(4, 2),
            s=gr.chain(4),
            initial=st.none() | st.just(SRN.cell.State(torch.ones(1, 3))),
            count=st.none() | small,
            skip=st.integers(0, 2),
        ),
        exponents,
    ),
}
CALLS_OF_MEASURED: dict[str, Entry] = {
    "GradientFlow.quantile": Entry(given(q=st.floats(0, 1)), is_sound, FLOW.quantile),
}
