"""Some of the random runs that `make fuzz` makes many of, and that they leave nothing out."""

import pytest
import torch

import graphrec as gr
from graphrec import clib
from graphrec.backends.request import Request
from graphrec.engine.validate import validate
from graphrec.program.operations import OPERATIONS
from tests.fuzz import native_programs, runs, schedules
from tests.fuzz.shrink import shrunk

needs_library = pytest.mark.skipif(clib.library() is None, reason="there is no native library")

# What is found under another name: what rows do not have, or tensors of the cell's own do before they are recorded.
OTHERWISE = {"T", "t", "__getitem__", "__pow__", "alias", "bfloat16", "half", "int"}
# The refusals of programs that are known.
KNOWN = "a tensor without rows is put into slots"


@pytest.mark.parametrize("seed", [3, 6, 44, 762])
def test_cells(seed):
    tally = runs.check_cells(seed)
    assert tally["cases"] == 1
    assert all(tally[backend] == 1 for backend in runs.BACKENDS)


@needs_library
def test_structures(monkeypatch):
    monkeypatch.setattr(runs, "MEMBERS", 40)
    assert runs.check_structures(7)["cases"] == 40


@needs_library
def test_schedules():
    for seed in range(50):
        schedules.check_schedules(seed)
    for seed in range(500):
        schedules.check_sorted(seed)


@needs_library
def test_programs():
    for seed in range(5):
        native_programs.check_programs(seed)


def test_every_operation_is_among_them():
    missing = set(OPERATIONS) - OTHERWISE
    for seed in range(100):
        case = runs.random_case(seed, lines=60)
        run, initial = validate(case.cell, gr.schedule(case.s, **case.how), case.x, case.given)
        recording = Request(run, case.x, initial).recording
        if isinstance(recording, str):
            assert KNOWN in recording or not case.s.num_nodes, recording
            continue
        for record in (*recording.steps.values(), recording.message, recording.project):
            missing -= set() if record is None else {name for name, *_ in record.entries}
        if not missing:
            return
    pytest.fail(f"no cell has {', '.join(sorted(missing))}")


def test_a_wrong_value_is_told_and_made_small(monkeypatch):
    case = runs.random_case(3)
    right = case.run("loop")
    wrong = {name: None if value is None else value + 1e-6 for name, value in right.items()}
    with pytest.raises(
        runs.Wrong, match=r"(?s)native: \w+ is apart by 1e-06.*def forward\(self, x, inbox, own\)"
    ):
        runs.compare(case, wrong, right, "native")
    runs.compare(case, right, right, "native")
    source = shrunk(case.cell, lambda: True)
    assert len(source) < len(case.source)
    assert " + " not in source


class SignOfWhatCancels(gr.Cell):
    """The sum is zero or a rounding, by the order in which it is taken; what its sign is says nothing."""

    State = gr.SRNCell.State

    def forward(self, x, inbox, own):
        return self.State(torch.sign(x * 0.1 + x * 0.2 - x * 0.3) + inbox.sum(inbox.h))


def test_what_a_rounding_changes_is_not_called_wrong():
    s, x = gr.chain(5), torch.linspace(1, 2, 10, dtype=torch.float64).reshape(5, 2)
    case = runs.Case(SignOfWhatCancels(2, 2), "", s, x, None, None, {}, trains=False)
    right = case.run("loop")
    assert runs.compare(case, {"h": -right["h"]}, right, "native").total() == 1


@pytest.mark.parametrize(("value", "is_far"), [(float("nan"), True), (1 + 1e-13, False), (1 + 1e-7, True)])
def test_how_far_is_too_far(value, is_far):
    other = torch.ones(2, dtype=torch.float64)
    assert (
        runs.far(torch.tensor([value, 1.0], dtype=torch.float64), other, has_nan=False) is not None
    ) == is_far


@needs_library
@pytest.mark.slow
@pytest.mark.parametrize("check", [runs.check_cells, runs.check_structures], ids=["cells", "structures"])
def test_many(check):
    count = 0
    for seed in range(400 if check is runs.check_cells else 20):
        tally = check(seed)
        count += tally["cases"]
        assert not [what for what in tally if "refuses" in what and KNOWN not in what]
    assert count > 300
