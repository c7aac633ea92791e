"""The whole public face: every callable keeps its promises on random right arguments, and refuses wrong ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import graphrec as gr
from tests.face.cells import CELLS
from tests.face.entry import Arguments, Entry, is_sound
from tests.face.fingerprint import fingerprint
from tests.face.formats import CALLS_OF_FORMATS, FORMATS
from tests.face.junk import damaged, is_refusal, junk, within_limits
from tests.face.learning import CALLS_OF_LEARNING, CALLS_OF_MEASURED, LEARNING, MEASURED
from tests.face.loaders import CALLS_OF_LOADERS, LOADERS
from tests.face.models import MODELS
from tests.face.not_called import NOT_CALLED
from tests.face.pictures import PICTURES
from tests.face.runs import CALLS, RUNS
from tests.face.structures import STRUCTURES
from tests.face.training import CALLS_OF_TRAINING, TRAINING

OF_GRAPHREC = {**CELLS, **MODELS, **STRUCTURES, **RUNS}
OF_MODULES = {**LOADERS, **LEARNING, **MEASURED, **PICTURES, **FORMATS, **TRAINING}
TABLE: dict[str, Entry] = {**OF_GRAPHREC, **OF_MODULES}
MORE_CALLS = {**CALLS_OF_LOADERS, **CALLS_OF_LEARNING, **CALLS_OF_MEASURED, **CALLS_OF_FORMATS}
ALL = {**TABLE, **CALLS, **MORE_CALLS, **CALLS_OF_TRAINING}
# Modules with a public face of their own, of which entries are called as `loader.measure`.
MODULES = ["dynamics", "io", "io.circuits", "learning", "loader", "testing", "train", "viz"]
# A huge number of these is much work, but no mistake.
WORK = {"rounds", "limit", "steps", "layers", "k"}
checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
quick = settings(max_examples=2, phases=[Phase.generate], suppress_health_check=checks)
thorough = settings(derandomize=False, print_blob=True, suppress_health_check=checks)


def public_callables() -> set[str]:
    """Their names; what graphrec itself has, too, goes by its name there."""
    found = callables_of(gr, "")
    known = [getattr(gr, name) for name in found]
    for module in MODULES:
        named = callables_of(attrgetter(module)(gr), f"{module}.")
        found |= {name for name in named if not any(attrgetter(name)(gr) is one for one in known)}
    return found


def callables_of(module: Any, prefix: str) -> set[str]:
    each = {name: getattr(module, name) for name in module.__all__}
    return {prefix + name for name, one in each.items() if callable(one) and not inspect.ismodule(one)}


def test_every_public_callable_is_in_the_table():
    assert public_callables() == TABLE.keys() | NOT_CALLED.keys()
    assert not TABLE.keys() & NOT_CALLED.keys()


def call_of(name: str) -> Callable[..., Any]:
    return ALL[name].call or attrgetter(name)(gr)


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
