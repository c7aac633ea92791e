"""What is said of a public callable: with which arguments it is called, and what then holds."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import nn

import graphrec as gr
from graphrec.testing.structures import dressed
from tests import strategies
from tests.face.fingerprint import fingerprint
from tests.tolerances import assert_close

Arguments = dict[str, Any]
width = st.integers(1, 4)
small = st.integers(1, 3)
truth = st.booleans()
activation = st.sampled_from(["tanh", "relu", "logistic", "linear", torch.tanh, nn.Tanh()])
share = st.sampled_from([0.0, 0.25, 0.5])
forget_bias = st.sampled_from([None, 0.0, 1.0, -2])
biases = st.sampled_from([1, 2])


class Entry(NamedTuple):
    """A line of the table.

    Attributes:
        arguments: draws arguments by name, which go together.
        promise: `promise(result, arguments)`, or `promise(result, arguments, draw)` where it draws what the result is
            tried on, raises unless the result is what was promised.
        call: what is called with them; by default the public name itself.
    """

    arguments: st.SearchStrategy[Arguments]
    promise: Callable[..., None]
    call: Callable[..., Any] | None = None


def given(**arguments: Any) -> st.SearchStrategy[Arguments]:
    """Arguments that need not fit each other. What is no strategy is given as it is."""
    return st.fixed_dictionaries(
        {k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in arguments.items()}
    )


def same(found: Any, expected: Any) -> None:
    """Raise unless both hold the same."""
    assert fingerprint(found) == fingerprint(expected)


def is_structure(s: Any, _: Arguments | None = None) -> None:
    """A structure survives copying, pickling, reversing twice, and batching; checked anew it is the same."""
    assert isinstance(s, gr.Structure)
    fields = {name: value for name, value in vars(s).items() if name != "cache"}
    for other in (
        gr.Structure(**fields),
        copy.copy(s),
        copy.deepcopy(s),
        pickle.loads(pickle.dumps(s)),
        s.reverse().reverse(),
        s.replace(),
        gr.batch([s]),
    ):
        same(other, s)  # (also where weights are no numbers, which are not equal to themselves)
    assert repr(s).startswith("Structure(")
    assert s._repr_html_()


def is_module(module: Any, _: Arguments | None = None) -> None:
    """A module survives copying and pickling, and draws the same weights anew from the same seed."""
    assert isinstance(module, nn.Module)
    state = fingerprint(dict(module.state_dict()))
    assert fingerprint(dict(copy.deepcopy(module).state_dict())) == state
    assert fingerprint(dict(pickle.loads(pickle.dumps(module)).state_dict())) == state
    assert repr(module)
    if isinstance(module, gr.Cell | gr.Model):
        drawn = []
        for _seed in range(2):
            torch.manual_seed(7)
            module.reset_parameters()
            drawn.append(fingerprint(dict(module.state_dict())))
        assert drawn[0] == drawn[1]


def is_sound(result: Any, _: Arguments | None = None) -> None:
    """What holds of a result, whatever the arguments were: structures are whole, and all of it can be shown."""
    if isinstance(result, gr.Structure):
        is_structure(result)
    elif isinstance(result, list | tuple):
        for part in result:
            is_sound(part)
    else:
        assert repr(result)


def runs(cell: gr.Cell, s: gr.Structure) -> None:
    """In dependency order and in rounds: a state for each node of the shapes that the cell says, twice the same."""
    kind = s.kind
    s = dressed(cell, s)
    s = s if kind is None else s.replace(kind=kind)  # (those of a grid are its layers)
    x = torch.randn(s.num_nodes, cell.inputs or 2)
    cell.eval()
    if isinstance(s.edge_attr, torch.Tensor):
        s = s.replace(edge_attr=torch.randn_like(s.edge_attr, dtype=torch.float32))
    if isinstance(s.edge_attr, gr.EdgeFeatures):
        parts = [None if part is None else part.rows.float() for part in s.edge_attr.relations]
        s = s.replace(edge_attr=parts)
    if s.edge_weight is not None:
        s = s.replace(edge_weight=s.edge_weight.float())
    before = fingerprint(s), fingerprint(x), fingerprint(cell)
    # A cell that begins with x goes on with what it has made of it, so that widths must agree but for one round.
    plan = gr.schedule(s, "sync", rounds=1) if cell.begins_with_x else gr.schedule(s)
    state = gr.run(cell, plan, x)
    assert [tuple(field.shape) for field in state] == [(s.num_nodes, *shape) for shape in cell.shapes()]
    for field, again in zip(state, gr.run(cell, pickle.loads(pickle.dumps(plan)), x), strict=True):
        assert torch.equal(field, again)
    if not cell.begins_with_x:
        gr.run(cell, gr.schedule(s, "sync", rounds=2), x)
    assert before == (fingerprint(s), fingerprint(x), fingerprint(cell))


def cell_on(of: Callable[[int | None], st.SearchStrategy[gr.Structure]], **arguments: Any) -> Entry:
    """A cell made with these arguments, which runs on what is drawn for its arity."""
    return Entry(given(**arguments), _promise_of_cell(of))


def cell(**arguments: Any) -> Entry:
    """A cell made with these arguments, which runs on any acyclic structure of its arity."""
    return cell_on(lambda arity: strategies.nothing() | strategies.acyclic(arity), **arguments)


def _promise_of_cell(of: Callable[[int | None], st.SearchStrategy[gr.Structure]]) -> Any:
    def promise(made: Any, arguments: Arguments, draw: Any) -> None:
        runs(made, draw(of(made.arity)))
        is_module(made)

    return promise


def model_on(of: st.SearchStrategy[gr.Structure], **arguments: Any) -> Entry:
    """A model made with these arguments: a row for each node of what is drawn, and each graph's own rows."""

    def promise(made: Any, arguments: Arguments, draw: Any) -> None:
        s = draw(of)
        made.eval()
        x = torch.randn(s.num_nodes, arguments.get("inputs", 2))
        before = fingerprint((s, x, made))
        h = made(x, s)
        assert h.shape[0] == s.num_nodes
        assert h.isfinite().all()
        twice = made(torch.cat([x, x]), gr.batch([s, s]))
        assert_close(twice, torch.cat([h, h]))
        assert torch.equal(made(x, gr.to_pyg(s)), h)
        assert before == fingerprint((s, x, made))
        is_module(made)

    return Entry(given(**arguments), promise)
