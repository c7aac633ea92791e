"""The whole public face: every callable keeps its promises on random right arguments, and refuses wrong ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import graphrec as gr
from tests.face.cells import CELLS
from tests.face.entry import Arguments, Entry, is_sound
from tests.face.fingerprint import fingerprint
from tests.face.junk import damaged, is_refusal, junk, within_limits
from tests.face.models import MODELS
from tests.face.runs import CALLS, RUNS
from tests.face.structures import STRUCTURES

TABLE: dict[str, Entry] = {**CELLS, **MODELS, **STRUCTURES, **RUNS}
ALL = {**TABLE, **CALLS}
# What nobody calls, with the reason.
NOT_CALLED = {
    **dict.fromkeys(
        ["CycleError", "NoFixedPointError", "NoFixedPointWarning", "GrowthWarning", "SlowPathWarning"],
        "is raised",
    ),
    **dict.fromkeys(["Inbox", "Schedule", "Episodes", "Trie"], "is made by graphrec"),
    **dict.fromkeys(["Cell", "AffineCell", "Model"], "is to be subclassed"),
    "DataLoader": "is PyG's, see tests/loader and tests/parallel",
}
# A huge number of these is much work, but no mistake.
WORK = {"rounds", "limit", "steps", "layers", "k"}
checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
quick = settings(max_examples=2, phases=[Phase.generate], suppress_health_check=checks)
thorough = settings(derandomize=False, print_blob=True, suppress_health_check=checks)


def test_every_public_callable_is_in_the_table():
    called = {
        name for name in gr.__all__ if callable(getattr(gr, name)) and not inspect.ismodule(getattr(gr, name))
    }
    assert called == TABLE.keys() | NOT_CALLED.keys()
    assert not TABLE.keys() & NOT_CALLED.keys()


def call_of(name: str) -> Callable[..., Any]:
    return ALL[name].call or getattr(gr, name)


def assert_keeps_its_promises(name: str, data: st.DataObject) -> None:
    entry = ALL[name]
    arguments = data.draw(entry.arguments)
    before = fingerprint(arguments)
    with within_limits():
        result = call_of(name)(**arguments)
        assert fingerprint(arguments) == before, "the arguments have changed"
        more = (data.draw,) if len(inspect.signature(entry.promise).parameters) == 3 else ()
        entry.promise(result, arguments, *more)


def assert_answers_properly(name: str, data: st.DataObject) -> None:
    arguments = data.draw(ALL[name].arguments)
    if not arguments:
        return
    key = data.draw(st.sampled_from(list(arguments)))
    worse: Arguments = {**arguments, key: data.draw(damaged(arguments[key]) | junk())}
    assume(not (key in WORK and isinstance(worse[key], int) and worse[key] > 100))
    before = fingerprint(worse)
    with within_limits():
        try:
            is_sound(call_of(name)(**worse))
        except Exception as error:
            if not is_refusal(error):
                raise
        assert fingerprint(worse) == before, "the arguments have changed"


@pytest.mark.parametrize("name", ALL)
@quick
@given(data=st.data())
def test_promises(name, data):
    assert_keeps_its_promises(name, data)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ALL)
@quick
@given(data=st.data())
def test_refusals(name, data):
    assert_answers_properly(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
@settings(thorough, max_examples=50)
@given(data=st.data())
def test_promises_many_times(name, data):
    assert_keeps_its_promises(name, data)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ALL)
@settings(thorough, max_examples=200)
@given(data=st.data())
def test_refusals_many_times(name, data):
    assert_answers_properly(name, data)
