"""The `.bench` format as ABC and others write it: look-up tables, flip-flops, constants, aliases; real files."""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from graphrec.io.circuits import Kind, Netlist, parse_bench, read_bench, read_circuit
from tests.io.circuit_texts import ONES, all_patterns, draw, format_bench, run, table_of
from tests.oracles.circuits import run_bench


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


def test_what_is_not_said_is_reset_to_0() -> None:
    assert parse_bench(FLIPFLOPS).resets == (0, 0, 1, 0, 0)
    with pytest.raises(ValueError, match=r"reset must be one of 0, 1, None for either, got 2"):
        parse_bench("INPUT(a)\n", reset=2)


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
    (s, a, b), ones = all_patterns(3)
    (shown,) = run(netlist, [[s, a, b]], [0], ones)
    values = dict(zip(netlist.names, shown, strict=True))
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
    inputs = [netlist.names[gate] for gate in netlist.inputs]
    latches = [netlist.names[gate] for gate in netlist.latches]
    patterns = [draw(len(inputs), cycle) for cycle in range(cycles)]
    state = draw(len(latches), cycles)
    said = [dict(zip(inputs, values, strict=True)) for values in patterns]
    expected = run_bench(text, said, dict(zip(latches, state, strict=True)), ONES)
    for value, by_name in zip(run(netlist, patterns, state), expected, strict=True):
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
    path = real_data(f"circuits/{name}.bench")
    netlist, text = read_circuit(path), path.read_text()
    check_against_oracle(text, netlist, list(netlist.names))
