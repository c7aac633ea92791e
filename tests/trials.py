"""What tests alone want of trials, which `graphrec.testing` makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

import graphrec as gr
from graphrec.testing.one_node import edges_of
from graphrec.testing.tolerances import assert_all_close
from graphrec.testing.trial import Trial, gradients, outcome, plain_operators, trial, weights_like
from tests import oracles

__all__ = [
    "Trial",
    "assert_agrees_with_oracle",
    "assert_is_plain",
    "edges_of",
    "gradients",
    "outcome",
    "padding",
    "plain_operators",
    "states_of_nodes",
    "trial",
    "weights_like",
    "with_biases",
]

states_of_nodes = Trial.states_of_nodes


def assert_is_plain(compute: Callable[[], dict[str, Any]]) -> None:
    """The same, computed as the engine likes and by the loop with torch's own operators alone."""
    actual = compute()
    with plain_operators():
        assert_all_close(actual, compute())


def assert_agrees_with_oracle(run: Trial, oracle: oracles.Equations) -> None:
    """The engine's values and gradients are those of the oracle, evaluated node by node."""
    initial = None
    if run.initial is not None or run.mode == "sync":
        initial = run.states_of_nodes()
    if run.mode == "async":
        past = None if run.structure.past is None else run.structure.past.tolist()
        expected = oracles.evaluate(oracle, run.cell, run.x, edges_of(run.structure), initial, past)
    else:
        expected = oracles.evaluate_rounds(
            oracle, run.cell, run.x, edges_of(run.structure), run.rounds, initial
        )
    assert_all_close(run.outcome(), run.outcome(lambda: run.cell.State(*expected)))


@contextmanager
def padding(rows: int) -> Iterator[None]:
    """Blocks of chains and segments have so many rows of padding at most. (Of 2, short ones are cut into several.)"""
    with patch.object(import_module("graphrec.schedule.side_by_side"), "PADDING", rows):
        yield


def with_biases(make: Any, biases: int) -> Callable[[int, int], gr.Cell]:
    """Makes cells with so many biases."""
    return lambda inputs, hidden: make(inputs, hidden, biases=biases)
