"""The `.bench` format as ABC and others write it: look-up tables, flip-flops, constants, aliases; real files."""

import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphrec.datasets import CircuitFiles
from graphrec.datasets.circuits import (
    Kind,
    Netlist,
    aig,
    all_patterns,
    format_bench,
    parse_bench,
    random_patterns,
    read_bench,
    read_circuit,
    simulate,
    simulate_cycles,
    to_aig,
)
from tests.oracles.circuits import run_bench

WORDS = 4


def words(rows: np.ndarray) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def table_of(netlist: Netlist, name: str) -> int:
    """What a gate shows: bit i for inputs that show the bits of i."""
    word = simulate(netlist, all_patterns(len(netlist.inputs)))[netlist.number[name]]
    rows = 2 ** len(netlist.inputs)
    return int.from_bytes(word.tobytes(), "little") & (1 << rows) - 1


def with_inputs(count: int, line: str) -> str:
    names = [f"i{place}" for place in range(count)]
    return (
        "".join(f"INPUT({name})\n" for name in names) + "OUTPUT(y)\n" + line.format(", ".join(names)) + "\n"
    )


def test_every_table_of_few_inputs_is_what_it_shows() -> None:
    for inputs in range(4):
        for table in range(2**2**inputs):
            netlist = parse_bench(with_inputs(inputs, f"y = LUT {table:#x} ({{}})"))
            assert table_of(netlist, "y") == table, (inputs, hex(table))
            assert len(netlist) <= inputs + 12


@pytest.mark.parametrize("inputs", [4, 5, 6, 8, 11])
def test_wide_tables_are_what_they_show(inputs: int) -> None:
    rng = random.Random(inputs)
    rows = 2**inputs
    tables = [rng.getrandbits(rows) for _ in range(5)] + [1 << rng.randrange(rows), (1 << rows) - 2]
    for table in tables:
        text = with_inputs(inputs, f"y = lut 0X{table:0{rows // 4}X}({{}})")
        assert table_of(parse_bench(text), "y") == table


@pytest.mark.parametrize(
    ("table", "kind"),
    [(0x8000, Kind.AND), (0x7FFF, Kind.NAND), (0xFFFE, Kind.OR), (0x1, Kind.NOR), (0x6996, Kind.XOR),
     (0x9669, Kind.XNOR), (0x0, Kind.CONST0), (0xFFFF, Kind.CONST1)],
)  # fmt: skip
def test_tables_of_gates_are_gates(table: int, kind: Kind) -> None:
    netlist = parse_bench(with_inputs(4, f"y = LUT {table:#x} ({{}})"))
    assert netlist.kinds == (Kind.INPUT,) * 4 + (kind,)


def test_gates_that_a_table_needs_have_names_that_nobody_has() -> None:
    text = "INPUT(a)\nINPUT(b)\ny_2 = NOT(y_3)\ny = LUT 0x4 (a, b)\ny_3 = BUF(y)\nOUTPUT(y)\n"
    netlist = parse_bench(text)
    assert [name for name in netlist.names if name not in {"a", "b", "y", "y_2", "y_3"}] == ["y_3_"]
    assert netlist.names[netlist.outputs[0]] == "y"
    assert table_of(netlist, "y") == 0x4
    assert table_of(netlist, "y_2") == 0xB
    assert parse_bench(format_bench(netlist)) == netlist


def test_a_multiplexer_shows_the_first_where_it_is_selected() -> None:
    """As ABC has it: where the first fan-in is 1, the second."""
    netlist = parse_bench("INPUT(s)\nINPUT(a)\nINPUT(b)\ny = MUX(s, a, b)\n")
    for p, (b, a, s) in enumerate(itertools.product((0, 1), repeat=3)):
        assert table_of(netlist, "y") >> p & 1 == (a if s else b)
    assert netlist.kinds[3:] == (Kind.NOT, Kind.AND, Kind.AND, Kind.OR)


@pytest.mark.parametrize(
    "word", ["AND", "NAND", "OR", "NOR", "XOR", "XNOR", "NXOR", "BUF", "BUFF", "NOT", "INV"]
)
def test_gates_of_one_fan_in_copy_or_invert(word: str) -> None:
    netlist = parse_bench(f"INPUT(a)\ny = {word}(a)\n")
    inverts = word in ("NAND", "NOR", "XNOR", "NXOR", "NOT", "INV")
    assert netlist.kinds[1] == (Kind.NOT if inverts else Kind.BUF)


def test_a_name_may_stand_for_another() -> None:
    netlist = parse_bench("INPUT(a)\nOUTPUT(y)\ny = z\nz=NXOR(a, a)\n")
    assert netlist.kinds == (Kind.INPUT, Kind.BUF, Kind.XNOR)
    assert netlist.fanins == ((), (2,), (0, 0))


def test_constants_need_no_line() -> None:
    text = "INPUT(a)\nOUTPUT(y)\nOUTPUT(gnd)\ny = AND(a, vdd, VDD)\nz = XOR(vdd, a)\n"
    netlist = parse_bench(text)
    assert netlist.names == ("a", "y", "z", "vdd", "VDD", "gnd")
    assert netlist.kinds[3:] == (Kind.CONST1, Kind.CONST1, Kind.CONST0)
    assert netlist.outputs == (1, 5)
    assert (table_of(netlist, "y"), table_of(netlist, "z")) == (0b10, 0b01)
    given = parse_bench("INPUT(vdd)\nINPUT(b)\ny = AND(vdd, b)\n")
    assert given.kinds == (Kind.INPUT, Kind.INPUT, Kind.AND), "a name that has a line is what that says"


FLIPFLOPS = (
    "INPUT(a)\np = DFF(a)\nq = DFF0(p)\nr = dff1(q)\ns = DFFRSE( r, gnd, gnd, gnd, gnd )\n"
    "t = DFFRSE(s, low, GND)\nlow = gnd\n"
)


@pytest.mark.parametrize("reset", [0, 1, None])
def test_flip_flops_are_reset_as_the_text_says_or_the_caller(reset: int | None, tmp_path: Path) -> None:
    netlist = parse_bench(FLIPFLOPS, reset=reset)
    assert netlist.resets == (reset, 0, 1, reset, reset)
    assert [netlist.names[netlist.fanins[latch][0]] for latch in netlist.latches] == ["a", "p", "q", "r", "s"]
    assert netlist.names == ("a", "p", "q", "r", "s", "t", "low")
    path = tmp_path / "chain.bench"
    path.write_text(FLIPFLOPS)
    assert read_bench(path, reset) == read_circuit(path, reset) == netlist
    assert CircuitFiles(tmp_path, sequential=True, reset=reset).netlist("chain.bench") == netlist


def test_what_is_not_said_is_reset_to_0() -> None:
    assert parse_bench(FLIPFLOPS).resets == (0, 0, 1, 0, 0)
    with pytest.raises(ValueError, match=r"reset must be 0, 1 or None for either, got 2"):
        parse_bench("INPUT(a)\n", reset=2)


def test_an_unknown_reset_is_drawn_in_samples(tmp_path: Path) -> None:
    """A flip-flop that keeps its value is then 1 in half of the runs."""
    (tmp_path / "keep.bench").write_text("OUTPUT(q)\nq = DFF(q)\n")
    shown = {
        reset: CircuitFiles(tmp_path, sequential=True, reset=reset)[0].y.item() for reset in (0, 1, None)
    }
    assert shown[0] == 0
    assert shown[1] == 1
    assert 0.4 < shown[None] < 0.6


# Of a circuit with all kinds of gates, as ABC (1.01) wrote it, with its names of tables and constants.
OF_ABC = """\
# Benchmark "mux" written by ABC
INPUT(s)
INPUT(a)
INPUT(b)
OUTPUT(y)
OUTPUT(z)
OUTPUT(c)
OUTPUT(k)
OUTPUT(q)
OUTPUT(o2)
q           = DFFRSE( n37, gnd, gnd, gnd, gnd )
y           = LUT 0xca ( b, a, s )
z           = LUT 0x70 ( b, a, s )
c           = LUT 0x8 ( a, new_vdd_ )
o2          = LUT 0x1 ( a )
new_vdd_    = vdd
k           = vdd
n37         = LUT 0x2 ( z )
"""


def test_what_abc_writes_is_read() -> None:
    netlist = parse_bench(OF_ABC)
    b, a, s = (np.uint64(int("".join(bits), 2)) for bits in ("11110000", "11001100", "10101010"))
    values = dict(zip(netlist.names, simulate(netlist, all_patterns(3))[:, 0] & np.uint64(255), strict=True))
    ones = np.uint64(255)
    assert values["y"] == (s & a) | (~s & b & ones)
    assert values["z"] == s & ~(a & b)
    assert values["n37"] == values["z"]
    assert (values["c"], values["k"], values["o2"]) == (a, ones, ~a & ones)


def test_byte_order_marks_and_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.bench"
    path.write_bytes(b"\xef\xbb\xbf" + OF_ABC.replace("\n", "\r\n").encode())
    assert read_bench(path) == parse_bench("\ufeff" + OF_ABC) == parse_bench(OF_ABC)


def drawn(seed: int) -> str:
    """A text with gates of all words in any order."""
    rng = random.Random(seed)
    names = [f"n{k}" for k in range(40)]
    lines = [f"INPUT({name})" for name in names[:6]] + [f"OUTPUT({rng.choice(names)})" for _ in range(4)]
    for place, name in enumerate(names[6:], start=6):
        read = [rng.choice([*names[:place], "vdd", "gnd"]) for _ in range(rng.randint(1, 5))]
        word = rng.choice(
            ["AND", "NAND", "OR", "NOR", "XOR", "XNOR", "NXOR", "NOT", "BUFF", "MUX", "LUT", "DFF"]
        )
        if word == "LUT":
            word = f"LUT {rng.getrandbits(2 ** len(read)):#x} "
        elif word in ("NOT", "BUFF"):
            read = read[:1]
        elif word == "MUX":
            read = rng.choices(names[:place], k=3)
        elif word == "DFF":
            word, read = rng.choice(["DFF", "DFF0", "DFF1"]), [rng.choice(names)]
        lines.append(f"{name} = {word}({', '.join(read)})")
    rng.shuffle(lines)
    return "\n".join(lines)


def check_against_oracle(text: str, netlist: Netlist, names: list[str], cycles: int = 4) -> None:
    ones = 2 ** (64 * WORDS) - 1
    inputs = [netlist.names[gate] for gate in netlist.inputs]
    latches = [netlist.names[gate] for gate in netlist.latches]
    patterns = [random_patterns(len(inputs), 64 * WORDS, cycle) for cycle in range(cycles)]
    state = random_patterns(len(latches), 64 * WORDS, cycles)
    said = [dict(zip(inputs, words(rows), strict=True)) for rows in patterns]
    expected = run_bench(text, said, dict(zip(latches, words(state), strict=True)), ones)
    for values, by_name in zip(simulate_cycles(netlist, patterns, state), expected, strict=True):
        value = words(values)
        assert [value[netlist.number[name]] for name in names] == [by_name[name] for name in names]


@pytest.mark.parametrize("seed", range(20))
def test_drawn_texts_show_what_the_oracle_says(seed: int) -> None:
    text = drawn(seed)
    netlist = parse_bench(text)
    check_against_oracle(text, netlist, [f"n{k}" for k in range(40)])
    plain = replace(netlist, resets=(0,) * len(netlist.latches))
    assert parse_bench(format_bench(plain)) == plain


@pytest.mark.parametrize("name", ["b06", "c17", "c432", "c6288", "s27", "s298", "s953"])
def test_real_files_show_what_the_oracle_says(name: str, real_data: Callable[[str], Path]) -> None:
    path = real_data(f"circuits/{name}.bench") / "circuits" / f"{name}.bench"
    netlist, text = read_circuit(path), path.read_text()
    check_against_oracle(text, netlist, list(netlist.names))
    lowered = to_aig(netlist)
    names = [one for one in netlist.names if one in lowered.number]
    assert {netlist.names[gate] for gate in netlist.inputs} <= set(names)
    check_against_oracle(text, lowered, names)


class Queue(deque[int]):
    """Counts what is moved."""

    moved = 0

    def __init__(self, items: "itertools.chain[int] | list[int]") -> None:
        super().__init__(items)
        Queue.moved += len(self)

    def popleft(self) -> int:
        Queue.moved += 1
        return super().popleft()

    def append(self, item: int) -> None:
        Queue.moved += 1
        super().append(item)


@pytest.mark.parametrize("word", ["AND", "NOR", "XNOR"])
def test_lowering_a_wide_gate_moves_each_literal_a_few_times(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aig, "deque", Queue)
    moved = {}
    for width in (500, 1000, 2000):
        Queue.moved = 0
        lowered = to_aig(parse_bench(with_inputs(width, f"y = {word}({{}})")))
        moved[width] = Queue.moved
        assert int(lowered.level.max()) < 50, "a balanced tree"
    assert 0 < moved[1000] - moved[500] <= 4 * 500
    assert moved[2000] - moved[1000] == 2 * (moved[1000] - moved[500])
