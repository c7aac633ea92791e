"""Pictures and pages: what is drawn of structures, schedules and gradients, and where nodes are placed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st

import graphrec as gr
from graphrec import dynamics, viz
from tests import strategies
from tests.face.entry import Arguments, Entry, given, is_sound, truth
from tests.face.structures import ACYCLIC, ANY, CHAINS, named

TREE_GRU = gr.TreeGRU(2, 3)
FLOW = dynamics.gradient_flow(TREE_GRU, torch.ones(3, 2), gr.chain(3))
TREES = CHAINS | strategies.trees()
PLANS = ACYCLIC.map(gr.schedule) | ANY.map(lambda s: gr.schedule(s, "sync", rounds=2))
AXES = "axes"  # stands for axes of the figure that a call draws in


def drawn(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Draws in a figure of its own, and all of it: what cannot be drawn would be noticed later."""

    def call(**arguments: Any) -> Any:
        import matplotlib as mpl
        from matplotlib import pyplot

        with mpl.rc_context({"backend": "Agg"}):
            figure = pyplot.figure(figsize=(1, 1))
            try:
                if arguments.get("ax") is AXES:
                    arguments["ax"] = figure.add_subplot()
                found = draw(**arguments)
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Glyph .* missing")  # (no font has all characters)
                    figure.canvas.draw()
                return found
            finally:
                pyplot.close(figure)

    return call


def per_node(of: Any, **arguments: Any) -> st.SearchStrategy[Arguments]:
    """A structure or schedule, with numbers and texts for its nodes, or none."""

    def with_rows(one: Any) -> st.SearchStrategy[Arguments]:
        count = one.num_nodes
        texts = st.lists(st.none() | st.text(max_size=4), min_size=count, max_size=count)
        return given(
            **arguments,
            values=st.none() | strategies.rows(count),
            labels=st.none() | texts,
            ax=st.sampled_from([None, AXES]),
            cmap=st.sampled_from(["cividis_r", "viridis"]),
            fontsize=st.sampled_from([6, 8.0]),
        ).map(lambda drawn: {"structure" if isinstance(one, gr.Structure) else "plan": one, **drawn})

    return of.flatmap(with_rows)


def placed(found: torch.Tensor, arguments: Arguments) -> None:
    """A place for each node, and none for two of them."""
    assert found.shape == (arguments["structure"].num_nodes, 2)
    assert len(found.unique(dim=0)) == len(found)


def a_dot_for_each_node(found: Any, arguments: Arguments) -> None:
    one = arguments.get("structure", arguments.get("plan"))
    assert one is not None
    copies = (getattr(one, "rounds", None) or 0) + 1  # (in sync mode every round has all nodes)
    assert len(found.get_offsets()) == copies * one.num_nodes


def a_page(page: viz.Page, arguments: Arguments) -> None:
    assert page.text.startswith("<!")
    assert viz.html(**arguments).text == page.text
    is_sound(page)


def page_of(**arguments: Any) -> viz.Page:
    return viz.html(TREE_GRU, **arguments)  # (another function than a model fails by itself)


PICTURES: dict[str, Entry] = {
    "viz.draw_gradient_flow": Entry(
        given(flows=st.sampled_from([FLOW, {"a": FLOW, "b": FLOW}]), ax=st.sampled_from([None, AXES])),
        is_sound,
        drawn(viz.draw_gradient_flow),
    ),
    "viz.draw_schedule": Entry(per_node(PLANS), a_dot_for_each_node, drawn(viz.draw_schedule)),
    "viz.draw_tree": Entry(
        per_node(
            TREES | ANY,
            sizes=st.sampled_from([120.0, 9]),
            limits=st.sampled_from([None, (0.0, 1.0)]),
            sideways=truth,
        ),
        a_dot_for_each_node,
        drawn(viz.draw_tree),
    ),
    "viz.gradient_flow": Entry(
        named(("s", "x"), strategies.with_rows(TREES), models=st.sampled_from([TREE_GRU, {"a": TREE_GRU}])),
        is_sound,
        drawn(viz.gradient_flow),
    ),
    "viz.html": Entry(
        named(
            ("s", "x"),
            strategies.with_rows(TREES),
            title=st.none() | st.text(max_size=3),
            gradients=truth,
        ),
        lambda page, a: a_page(page, {"model": TREE_GRU, **a}),
        page_of,
    ),
    "viz.layered": Entry(given(structure=ACYCLIC), placed),
    "viz.place": Entry(given(structure=ANY), placed),
    "viz.tidy": Entry(given(structure=TREES), placed),
}
