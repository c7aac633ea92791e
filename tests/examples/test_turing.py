"""The example on Turing machines: networks against plain machines, step by step, and as far as float64 is exact."""

import importlib
import random
import re
from fractions import Fraction
from itertools import islice, pairwise, permutations, product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import graphrec as gr

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = ("turing_machines", "turing_compiler", "turing_network", "turing")


@pytest.fixture
def turing(monkeypatch):
    """The example and its parts, as one namespace."""
    monkeypatch.syspath_prepend(EXAMPLES / "computation")
    return SimpleNamespace(
        **{name: value for file in FILES for name, value in vars(importlib.import_module(file)).items()}
    )


def random_machine(turing, seed):
    """A machine with one to five symbols and up to four states, and an input for it."""
    draw = random.Random(seed)
    symbols, states = "_abcd"[: draw.randint(1, 5)], "ABCD"[: draw.randint(1, 4)]
    table = {
        q: {a: (draw.choice(symbols), draw.choice("LR"), draw.choice(states * 3 + "Z")) for a in symbols}
        for q in states
    }
    machine = turing.Machine(symbols, "A", ("Z",), table)
    return machine, "".join(draw.choices(symbols, k=draw.randint(0, 8)))


def first_overflow(machine, tape, cells, steps):
    """The first of so many steps after which a side of the head has more visited cells than that, and the side."""
    written, state, head = dict(enumerate(tape)), machine.start, 0
    for step in range(1, steps + 1):
        if state in machine.halting:
            return None
        written.setdefault(head, machine.blank)
        written[head], move, state = machine.table[state][written[head]]
        head += {"L": -1, "R": 1}[move]
        sides = {
            "L": sum(place < head for place in written),
            "R": sum(place > head for place in written),
        }
        for side, held in sides.items():
            if held > cells:
                return step, side
    return None


def sums(turing, machine, h):
    """For each unit the terms that are not zero of what σ is applied to, when the network is in the state h."""
    for row in turing.compile_table(machine).values():
        terms = [row.bias, *(weight * h.get(unit, 0.0) for unit, weight in row.weights.items())]
        yield [term for term in terms if term]


def after(turing, machine, h):
    """The next state, exactly, of those units that are not zero."""
    values = zip(turing.compile_table(machine), sums(turing, machine, h), strict=True)
    found = {unit: min(max(sum(map(Fraction, terms)), Fraction(0)), Fraction(1)) for unit, terms in values}
    return {unit: float(value) for unit, value in found.items() if value}


def is_exact_in_any_order(turing, machine, h):
    """Whether float64 finds the next state whatever the order in which terms are added up."""
    for terms in sums(turing, machine, h):
        exact = min(max(sum(map(Fraction, terms)), Fraction(0)), Fraction(1))
        for order in permutations(terms):
            total = 0.0
            for term in order:
                total += term
            if Fraction(min(max(total, 0.0), 1.0)) != exact:
                return False
    return True


@pytest.mark.parametrize("symbols", range(1, 10))
def test_the_base_and_the_number_of_cells(turing, symbols):
    machine = turing.Machine("_abcdefgh"[:symbols], "Z", ("Z",), {})
    network = turing.TuringNetwork(machine)
    assert network.base == min(2**p for p in range(1, 9) if 2**p >= 2 * symbols)
    assert network.cells == max(n for n in range(60) if 2 * network.base**n <= 2**53)


@pytest.mark.parametrize("base", [4, 8])
def test_stacks_are_fractions_with_odd_digits(turing, base):
    values = {}
    for n in range(5):
        for stack in product(range(base // 2), repeat=n):
            value = turing.encode(stack, base)
            assert value == sum(Fraction(2 * a + 1, base ** (i + 1)) for i, a in enumerate(stack))
            assert turing.decode(value, base) == turing.decode(float(value), base) == list(stack)
            values[value] = stack
    assert len(values) == sum((base // 2) ** n for n in range(5))
    ordered = [(value, stack[:1]) for value, stack in sorted(values.items())]
    gaps = [b - a for (a, top), (b, other) in pairwise(ordered) if top != other]
    assert len(gaps) == base // 2
    assert min(gaps) >= Fraction(1, base)


@pytest.mark.parametrize(
    "value", [0.5, 9 / 16, 1 / 16, 1.0, -0.25, 0.25 + 0.125, 0.75 + 2**-53, Fraction(1, 3), Fraction(1, 12)]
)
def test_what_is_no_stack_is_refused(turing, value):
    with pytest.raises(ValueError, match="is no stack: expected a fraction with odd digits in base 4"):
        turing.decode(value, 4)


@pytest.mark.parametrize("name", ["BUSY_BEAVER_4", "PALINDROMES"])
def test_float64_is_exact_up_to_the_number_of_cells_and_no_further(turing, name):
    machine = getattr(turing, name)
    network = turing.TuringNetwork(machine)
    draw = random.Random(0)

    def steps_are_exact(cells):
        right, left = (draw.choices(range(len(machine.symbols)), k=k) for k in cells)
        stacks = {"R": turing.encode(right, network.base), "L": turing.encode(left, network.base)}
        held = {turing.Stack(side): float(value) for side, value in stacks.items()}
        exact = []
        for read in machine.rules:
            configuration = {turing.At(*read): 1.0, **held}
            change = after(turing, machine, configuration)
            exact += [is_exact_in_any_order(turing, machine, h) for h in (configuration, change)]
        return exact

    full = network.cells
    for _ in range(4):
        assert all(steps_are_exact((full - 1, full - 1)))  # either move pushes the last cell there is
    by_move = {"L": (full - 1, full), "R": (full, full - 1)}  # the side that is pushed, and the full one
    for move, cells in by_move.items():
        exact = steps_are_exact(cells)
        moves = [rule.move for rule in machine.rules.values() for _ in range(2)]
        assert all(e for e, m in zip(exact, moves, strict=True) if m == move)
        assert not all(e for e, m in zip(exact, moves, strict=True) if m != move)


@pytest.mark.parametrize(
    ("text", "steps", "ones"),
    [("1RB1LB_1LA1RZ", 6, 4), ("1RB1RZ_1LB0RC_1LC1LA", 21, 5), ("1RB1LB_1LA0LC_1RZ1LD_1RD0RA", 107, 13)],
)
@pytest.mark.parametrize("exact", [False, True])
def test_busy_beavers_of_two_to_four_states(turing, text, steps, ones, exact):
    machine = turing.Machine.from_text(text)
    plain = list(turing.simulate(machine))
    assert (len(plain) - 1, len(plain[-1].tape), plain[-1].state) == (steps, ones, "Z")
    assert list(turing.TuringNetwork(machine).run(exact=exact)) == plain


@pytest.mark.parametrize("seed", range(50))
def test_any_machine_goes_through_the_same_configurations(turing, seed):
    machine, tape = random_machine(turing, seed)
    network, plain = turing.TuringNetwork(machine), list(islice(turing.simulate(machine, tape), 100))
    assert list(islice(network.run(tape, exact=True), 100)) == plain
    overflow = first_overflow(machine, tape, network.cells, 99)
    configurations = islice(network.run(tape), 100)
    if overflow is None:
        assert list(configurations) == plain
        return
    step, side = overflow
    assert list(islice(configurations, step)) == plain[:step]
    with pytest.raises(turing.TapeFull) as full:
        next(configurations)
    assert (full.value.step, full.value.side, full.value.cells) == (step, side, network.cells)


def test_random_machines_are_of_all_sorts(turing):
    halted, overflows = 0, set()
    for seed in range(50):
        machine, tape = random_machine(turing, seed)
        last = list(islice(turing.simulate(machine, tape), 100))[-1]
        halted += last.state == "Z"
        overflow = first_overflow(machine, tape, turing.TuringNetwork(machine).cells, 99)
        overflows.add(overflow and overflow[1])
    assert 10 < halted < 40
    assert overflows == {None, "L", "R"}


def test_addition(turing):
    network = turing.TuringNetwork(turing.ADDITION)
    for m, n in product(range(5), repeat=2):
        *_, last = network.run("1" * m + "+" + "1" * n)
        assert last.state == "done"
        assert last.tape == dict.fromkeys(range(m + n), "1")
    for word in ("", "11", "1+1+1", "++", "1_1+1"):
        *_, last = network.run(word)
        assert last.state == "malformed", word


def test_palindromes(turing):
    network = turing.TuringNetwork(turing.PALINDROMES)
    words = ["".join(word) for n in range(6) for word in product("ab", repeat=n)]
    for word in [*words, "abbabaabbaababba"]:
        *_, last = network.run(word)
        assert last.state == ("yes" if word == word[::-1] else "no"), word


def test_the_5_state_busy_beaver_ends_in_an_error_where_float64_does(turing):
    machine = turing.BUSY_BEAVER_5
    network = turing.TuringNetwork(machine)
    cells = max(n for n in range(60) if 2 * 4**n <= 2**53)
    step, side = first_overflow(machine, "", cells, 1000)
    configurations = network.run()
    assert list(islice(configurations, step)) == list(islice(turing.simulate(machine), step))
    with pytest.raises(
        turing.TapeFull, match=f"step {step} .* more than 26 cells on the right .* exact=True"
    ) as full:
        next(configurations)
    assert (full.value.step, full.value.side, full.value.cells) == (step, side, 26)


def test_float64_would_be_wrong_from_that_step_on_and_fractions_go_on(turing):
    network = turing.TuringNetwork(turing.BUSY_BEAVER_5)
    step, _ = first_overflow(turing.BUSY_BEAVER_5, "", 26, 1000)
    before = (
        2 * step - 1
    )  # states of the network: two for each step before that one, and the configuration it begins at
    floats, fractions = (list(islice(network.states(exact=exact), before + 1)) for exact in (False, True))
    assert floats[:before] == fractions[:before]
    assert floats[before] != fractions[before]
    further = step + 600
    plain = islice(turing.simulate(turing.BUSY_BEAVER_5), further)
    assert list(islice(network.run(exact=True), further)) == list(plain)


@pytest.mark.slow
def test_the_5_state_busy_beaver_is_the_champion(turing):
    rules = {
        (q, int(a)): (int(rule.write), {"L": -1, "R": 1}[rule.move], rule.state)
        for (q, a), rule in turing.BUSY_BEAVER_5.rules.items()
    }
    tape, head, state, steps = bytearray(40_000), 20_000, "A", 0
    while state != "Z":
        tape[head], move, state = rules[state, tape[head]]
        head += move
        steps += 1
    assert (steps, sum(tape)) == (47_176_870, 4_098)


def test_at_rest_before_its_input_and_after_the_halt(turing):
    network = turing.TuringNetwork(turing.BUSY_BEAVER_4)
    x = torch.zeros(10, network.cell.inputs, dtype=torch.float64)
    assert not gr.run(network.cell, gr.schedule(gr.chain(10)), x).h.any()
    states = torch.tensor(list(islice(network.states(), 600)), dtype=torch.float64)
    assert states[: 2 * 107 + 1].any(dim=1).all()
    assert not states[2 * 107 + 1 :].any()


def test_nothing_to_do(turing):
    halted = turing.Machine("_1", "stop", ("stop",), {})
    for exact in (False, True):
        network = turing.TuringNetwork(halted)
        assert list(network.run(exact=exact)) == [turing.Configuration("stop", 0, {})]
        assert list(network.run("_1", exact)) == [turing.Configuration("stop", 0, {1: "1"})]


def test_a_full_tape_and_one_cell_more(turing):
    network = turing.TuringNetwork(turing.Machine.from_text("1RA1LZ"))  # rightwards over zeros
    # 26 cells on the right at first, and on the left at last
    assert len(list(network.run("0" * 26 + "1"))) == 28
    with pytest.raises(turing.TapeFull, match=r"step 27 of the machine needs .* left"):
        list(network.run("0" * 27))
    with pytest.raises(turing.TapeFull, match="the input needs more than 26 cells on the right") as full:
        network.run("0" * 28)  # refused before any work
    assert (full.value.step, full.value.side, full.value.cells) == (0, "R", 26)
    assert len(list(network.run("0" * 27 + "1", exact=True))) == 29


TABLES = {
    "no symbols": (lambda m: m("", "A", ("A",), {}), ["distinct", "blank first", "''"]),
    "a symbol twice": (lambda m: m("010", "A", ("A",), {}), ["distinct", "'010'"]),
    "no start": (lambda m: m("0", "B", ("Z",), {"A": {"0": ("0", "L", "Z")}}), ["'B'", "no state", "('Z',)"]),
    "an entry is missing": (
        lambda m: m("01", "A", ("Z",), {"A": {"0": ("1", "L", "Z")}}),
        ["no rule", "'A' reading '1'", "(write, move, next)"],
    ),
    "a halting state with rules": (
        lambda m: m("0", "A", ("A",), {"A": {"0": ("0", "L", "A")}}),
        ["'A'", "halting", "take out"],
    ),
    "reads no symbol": (
        lambda m: m("0", "A", ("Z",), {"A": {"0": ("0", "L", "Z"), "x": ("0", "L", "Z")}}),
        ["'A' reading 'x'", "none of the symbols '0'"],
    ),
    "writes no symbol": (
        lambda m: m("0", "A", ("Z",), {"A": {"0": ("x", "L", "Z")}}),
        ["'x'", "symbols '0'"],
    ),
    "writes two symbols": (
        lambda m: m("01", "Z", ("Z",), {"A": dict.fromkeys("01", ("01", "L", "Z"))}),
        ["'01'"],
    ),
    "stays": (lambda m: m("0", "A", ("Z",), {"A": {"0": ("0", "S", "Z")}}), ["'L' or 'R'", "'S'"]),
    "leads nowhere": (
        lambda m: m("0", "A", ("Z",), {"A": {"0": ("0", "L", "B")}}),
        ["'B'", "no state", "halting"],
    ),
    "text with a gap": (lambda m: m.from_text("1RB---_1LA1RZ"), ["1RB0LZ", "'1RB---_1LA1RZ'"]),
    "text of another form": (lambda m: m.from_text(""), ["groups", "''"]),
    "text without a state": (lambda m: m.from_text("1RB1RZ"), ["'B'", "no state"]),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_with_a_fault_are_refused(turing, name):
    make, said = TABLES[name]
    with pytest.raises(ValueError, match=".*".join(map(re.escape, said))):
        make(turing.Machine)


def test_unknown_symbols_are_refused_before_any_work(turing):
    for run in (
        turing.TuringNetwork(turing.ADDITION).run,
        lambda tape: turing.simulate(turing.ADDITION, tape),
    ):
        with pytest.raises(ValueError, match=r"'2' at place 2, and the machine's symbols are '_1\+'"):
            run("1+2")


def test_a_difference_is_told(turing):
    plain = list(turing.simulate(turing.BUSY_BEAVER_4))
    plain[40] = plain[40]._replace(head=99)
    with pytest.raises(RuntimeError, match=r"step 40: the network is in .*head=99"):
        turing.follow(turing.BUSY_BEAVER_4, "", plain)


def test_the_whole_of_it(turing, tmp_path, capsys):
    turing.main(["--out", str(tmp_path / "out")])
    said = (tmp_path / "out" / "results.txt").read_text()
    assert capsys.readouterr().out == said
    assert said.count("step 107, halts in state Z, cells that are not blank: 13") == 2
    assert said.count("step 201, then TapeFull: step 202 needs cell 27 on one side") == 1
    assert said.count("step 1000, and could go on") == 1
    assert (tmp_path / "out" / "turing.png").stat().st_size > 100_000
