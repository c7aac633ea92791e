"""`check_cell` lets right cells pass, and finds each defect by name, with the smallest case that shows it."""

from collections import namedtuple
from pathlib import Path

import pytest
import torch

import graphrec as gr
from graphrec import testing
from graphrec.testing import CLAIMS, CellError, check_cell
from tests import user_cells
from tests.structure.test_imports import imports
from tests.testing import defective_cells as cells
from tests.zoo import ALL_CELLS, CHAINS_IF_ARITY_IS_ONE, FAMILIES, family

# Small structures that show all defects; the compiler takes as long as all else.
SHOWS = (gr.chain(2), gr.dag([[0, 1, 2], [3, 3, 3]], 4))
QUICK = {"torch.compile": "it takes long"}

# The claims that fail of the cells in `tests/user_cells.py`, which are there for habits that the engine copes with.
KNOWN: dict[str, tuple[str, ...]] = {
    "Branching": ("dtype",),  # torch.where makes float32 of Python's numbers
    "Captured": ("dtype",),  # cell.to(dtype) does not reach its tensor
    "InPlaceOnAllItIsGiven": ("inputs unchanged",),
    "OnlyCaptured": ("dtype",),
    "RelationOneHot": ("torch.func",),  # it adds what has samples to what has none, in place
    "WeightNorm": ("second derivatives",),  # those of torch's own weight_norm are wrong (torch 2.13)
    "WithoutGrad": ("gradients", "second derivatives", "torch.func"),
}


def but(only):
    """All claims but one, as what is skipped."""
    return {claim.name: "not asked" for claim in CLAIMS if claim.name != only}


def failed(make, only=None, **given):
    """The report on a cell that fails; of one claim only, where it is named."""
    skip = QUICK if only is None else but(only)
    with pytest.raises(CellError) as error:
        check_cell(make, SHOWS, skip=skip, **given)
    return error.value.report


@pytest.mark.parametrize(
    ("make", "claim", "said"),
    [
        (cells.ReadsItsPlace, "numbering", "value of h"),
        (cells.ReadsItsNumber, "numbering", "value of h"),
        (cells.SeesTheBatch, "batch", "value of h"),
        (cells.BatchNorm, "batch", "value of h"),
        (cells.TakesTheFirst, "edges of one slot", "value of h"),
        (cells.WrongBackward, "gradients", "not those of finite differences"),
        (cells.IsRandom, "determinism", "must not draw random numbers"),
        (
            cells.KeepsFloat32,
            "dtype",
            r"torch.float64 becomes torch.float32 in KeepsFloat32.forward .*defective_cells",
        ),
        (cells.ReturnsFloat32, "dtype", "forward returns h of torch.float32"),
        (cells.WritesIntoItsInbox, "inputs unchanged", "a step writes into inbox.h"),
        (cells.Counts, "cell unchanged", "a run changes steps"),
        (cells.FailsWithoutNodes, "empty structures", "amax"),
        (cells.AsksForNumbers, "torch.func", "vmap"),
    ],
)
def test_a_defect_is_caught_by_name(make, claim, said):
    report = failed(make, claim)
    assert report.failed == (claim,)
    failure = report[claim].failure
    assert failure is not None
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(failure.message)
    assert failure.structure.num_nodes <= 4


def test_a_right_cell_passes_and_the_report_is_a_table():
    report = check_cell(cells.Sums, SHOWS)
    assert report.failed == ()
    lines = str(report).splitlines()
    assert lines[0] == "Sums: 21 passed, 0 failed, 2 not applicable"
    assert [line.split("  ")[1] for line in lines[1:] if line[2] != " "] == [claim.name for claim in CLAIMS]
    assert report["backend scans"].reason == "Sums is no graphrec.AffineCell"


@pytest.mark.parametrize(
    ("make", "claim"),
    [
        (user_cells.Frozen, "torch.func"),  # some weights have no gradient
        (user_cells.GatedGraph, "torch.func"),  # torch's own GRU cell, of which vmap warns
        (user_cells.TwoWidths, "equations"),  # a field that is a number
        (user_cells.TwoWidths, "time-expanded"),
    ],
)
def test_habits_that_are_no_defects_pass(make, claim):
    assert check_cell(make, SHOWS, skip=but(claim))[claim].reason != "not asked"


class OfTorchsLSTM(gr.Cell):
    State = namedtuple("State", "h c")

    def __init__(self, inputs, hidden):
        super().__init__(inputs, hidden)
        self.lstm = torch.nn.LSTMCell(inputs, hidden)

    def forward(self, x, inbox, own):
        return self.State(*self.lstm(x, (inbox.sum(inbox.h), inbox.sum(inbox.c))))


def test_what_torch_cannot_is_no_fault_of_the_cell():
    found = check_cell(OfTorchsLSTM, SHOWS, skip=but("torch.func"))["torch.func"]
    assert "Batching rule not implemented" in found.reason


def test_weights_that_a_first_call_makes_are_asked_for():
    with pytest.raises(ValueError, match=r"GCNCell has weights that its first call makes: run it once"):
        check_cell(gr.GCNCell(-1, 3))


class IsItsOwnCopy(user_cells.SharedSubmodule):
    def __deepcopy__(self, memo):
        return self


def test_transforms_put_back_the_weights_of_a_part_with_two_names():
    """(torch.func.functional_call of torch 2.13 does not, where it ties weights itself.)"""
    cell = IsItsOwnCopy(2, 3)
    check_cell(cell, SHOWS, skip=but("torch.func"))
    assert all(isinstance(weight, torch.nn.Parameter) for weight in cell.U._parameters.values())


def test_the_message_is_enough_to_see_it_again():
    report = failed(cells.SeesTheBatch, "batch")
    message = str(CellError(report))
    assert "batch, on 1 nodes and 0 edges, seed 0:" in message or "batch, on 2 nodes" in message
    failure = report["batch"].failure
    names = {"gr": gr, "torch": torch}
    written = message.split("batch, on")[1].splitlines()[1]
    assert eval(written, names) == failure.structure.replace(edge_attr=None)
    assert failed(cells.SeesTheBatch, "batch")["batch"].failure.message == failure.message


def test_a_right_oracle_passes_and_a_wrong_one_does_not():
    def equations(cell, x, inbox):
        total = sum((state[0] for _, state in inbox), torch.zeros(cell.hidden, dtype=x.dtype))
        return (torch.tanh(cell.W(x) + cell.U(total)),)

    def wrong(cell, x, inbox):
        return (equations(cell, x, inbox)[0] + 1e-6,)

    def reads_edges(cell, x, inbox):
        assert all(message.edge is None or message.relation is not None for message in inbox)
        return equations(cell, x, inbox)

    check_cell(cells.Sums, [SHOWS[0]], equations, skip=QUICK)
    assert failed(cells.Sums, "equations", oracle=wrong).failed == ("equations",)
    dressed = gr.chain(2).replace(relation=torch.tensor([1]))
    check_cell(cells.Sums, [dressed], reads_edges, skip=QUICK)


def test_an_instance_a_class_and_a_function_may_be_given():
    made = cells.Sums(2, 3)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    for given in (made, lambda: cells.Sums(2, 3), gr.SRNCell):
        check_cell(given, [gr.chain(2)], skip=QUICK)
    assert made.W.weight.dtype == torch.float32
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_dropout_is_checked_in_evaluation():
    class WithDropout(cells.Sums):
        def __init__(self, inputs, hidden):
            super().__init__(inputs, hidden)
            self.dropout = torch.nn.Dropout(0.5)

        def forward(self, x, inbox, own):
            return self.State(torch.tanh(x + self.dropout(self.U(inbox.sum(inbox.h))) + self.dropout(x)))

    check_cell(WithDropout, SHOWS, skip=QUICK)


def test_what_is_skipped_is_said():
    report = check_cell(
        cells.TakesTheFirst, SHOWS, skip={**QUICK, "edges of one slot": "the order of edges is meant"}
    )
    assert report["edges of one slot"].reason == "the order of edges is meant"


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ((3,), TypeError, "takes a graphrec.Cell, its class or a function that makes it, got 3"),
        ((lambda: 3,), TypeError, "made a int, which is no graphrec.Cell"),
        ((lambda a, b, c: 3,), TypeError, "give an instance"),
        ((gr.SRNCell, []), ValueError, "runs over none of the structures"),
        (
            (gr.SRNCell, [gr.tree(parents=[2, 2, -1])]),
            ValueError,
            "make the cell with an arity of at least 2",
        ),
        ((gr.GRU(3, 4),), TypeError, "or a function that makes it, got a GRU"),
    ],
)
def test_what_cannot_be_checked_is_refused(given, kind, said):
    with pytest.raises(kind, match=said):
        check_cell(*given)


def test_an_unknown_claim_cannot_be_skipped():
    with pytest.raises(ValueError, match="there is no claim 'speed' to skip"):
        check_cell(gr.SRNCell, skip={"speed": "it is slow"})


def test_random_numbers_of_the_caller_stay():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check_cell(cells.Sums, [gr.chain(2)], skip=QUICK)
    assert torch.equal(torch.rand(2), expected)


def test_neither_pytest_nor_hypothesis_is_imported():
    for path in Path(testing.__file__).parent.glob("*.py"):
        names = {name.split(".")[0] for name in imports(path.read_text(encoding="utf-8"), "graphrec.testing")}
        assert not names & {"pytest", "hypothesis", "tests"}, path


def assert_passes(case):
    structures = [
        family(build, case.arity)
        for build in FAMILIES
        if case.arity != 1 or build not in CHAINS_IF_ARITY_IS_ONE
    ]
    assert found(case.make, structures, case.oracle).failed == KNOWN.get(case.name, ())


def found(*given):
    """The report, whatever it says."""
    try:
        return check_cell(*given)
    except CellError as error:
        return error.report


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL_CELLS, ids=lambda case: case.name)
def test_our_own_cells_pass(case):
    assert_passes(case)
