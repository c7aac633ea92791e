"""Circuits and their structures; what is written reads back, and what is malformed is named by its line."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import graphrec as gr
from graphrec.io.circuits import (
    CombinationalCycleError,
    Kind,
    Netlist,
    parse_aiger,
    parse_bench,
    read_aiger,
    read_bench,
    read_circuit,
)
from tests.io.circuit_texts import all_patterns, format_aiger, format_bench, run

C17 = """\
# c17
# 5 inputs, 2 outputs, 6 NANDs

INPUT(1)
INPUT(2)
INPUT(3)
INPUT(6)
INPUT(7)

OUTPUT(22)
OUTPUT(23)

10 = NAND(1, 3)
11 = NAND(3, 6)
16 = NAND(2, 11)
19 = NAND(11, 7)
22 = NAND(10, 16)
23 = NAND(16, 19)
"""

# The examples of the format's paper.
TOGGLE = "aag 1 0 1 2 0\n2 3\n2\n3\n"
HALF_ADDER = "aag 7 2 0 2 3\n2\n4\n6\n12\n6 13 15\n12 2 4\n14 3 5\ni0 x\ni1 y\no0 s\no1 c\nc\nhalf adder\n"


def test_c17_is_read_as_it_is_drawn() -> None:
    c17 = parse_bench(C17)
    assert c17.names == ("1", "2", "3", "6", "7", "10", "11", "16", "19", "22", "23")
    assert c17.kinds == (Kind.INPUT,) * 5 + (Kind.NAND,) * 6
    assert c17.fanins == ((),) * 5 + ((0, 2), (2, 3), (1, 6), (6, 4), (5, 7), (7, 8))
    assert [c17.names[gate] for gate in c17.outputs] == ["22", "23"]
    assert gr.levels(c17.structure()).tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert repr(c17) == "Netlist(gates=11, inputs=5, outputs=2)"


def test_bench_takes_any_order_case_and_spacing() -> None:
    text = """
        output ( y )    # before it is defined
        y = xNOR(q ,n, a)
        n=not(q)
        q = dff(z)
        INPUT(a)
        z = Buf(y)
        w = BUFF(one)
        one = VDD
        zero = gnd
    """
    netlist = parse_bench(text)
    assert netlist.names == ("y", "n", "q", "a", "z", "w", "one", "zero")
    kinds = (Kind.XNOR, Kind.NOT, Kind.LATCH, Kind.INPUT, Kind.BUF, Kind.BUF, Kind.CONST1, Kind.CONST0)
    assert netlist.kinds == kinds
    assert netlist.fanins == ((2, 1, 3), (2,), (4,), (), (0,), (6,), (), ())
    assert netlist.outputs == (0,)
    assert parse_bench(text.replace("\n", "\r\n")) == netlist


CONSTANTS = "INPUT(a)\none = vdd\nzero = gnd\ny = AND(a, one, zero)\nOUTPUT(y)\n"
BETWEEN = "INPUT(a)\nOUTPUT(y)\nOUTPUT(a)\nOUTPUT(y)\ny = NOT(a)\nINPUT(b)\n"


@pytest.mark.parametrize("text", [C17, CONSTANTS, BETWEEN])
def test_bench_reads_what_is_written(text: str) -> None:
    netlist = parse_bench(text)
    assert parse_bench(format_bench(netlist)) == netlist


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            "INPUT(a)\ny = AND(a, b)\n",
            2,
            r"expected the name of an input or a gate, got 'b', which no line defines",
        ),
        ("INPUT(a)\n\nOUTPUT(b)\n", 3, r"got 'b', which no line defines. Define it, or correct the name"),
        ("INPUT(a)\n#\nINPUT(a)\n", 3, r"expected a new name, got 'a', which line 1 defines. Rename"),
        ("INPUT(a)\ny = NOT(a)\ny = BUF(a)\n", 3, r"expected a new name, got 'y', which line 2 defines"),
        ("INPUT(a)\ny = NOT(a, a)\n", 2, r"NOT takes one fan-in, got 2. Correct the fan-ins of 'y'"),
        ("INPUT(a)\ny = AND()\n", 2, r"AND takes one or more fan-ins, got 0"),
        ("INPUT(a)\ny = DFF()\n", 2, r"DFF takes one fan-in, got 0"),
        ("INPUT(a)\ny = XOR()\n", 2, r"XOR takes one or more fan-ins, got 0"),
        (
            "INPUT(a)\ny = MAJ(a, a, a)\n",
            2,
            r"expected one of AND, .*, MUX, got the unknown gate 'MAJ'. Express it",
        ),
        ("INPUT(a)\ny = NAND(a,", 2, r"expected INPUT\(name\), .*, got 'y = NAND\(a,'. .* cut off"),
        ("INPUT(a)\ny NAND(a, a)\n", 2, r"expected INPUT\(name\)"),
        ("INPUT(a) INPUT(b)\n", 1, r"expected INPUT\(name\)"),
        ("INPUT(a)\ny = a b\n", 2, r"expected INPUT\(name\)"),
        ("INPUT(a)\ny = INPUT(a)\n", 2, r"got the unknown gate 'INPUT'"),
        ("INPUT(a)\ny = MUX(a, a)\n", 2, r"MUX takes three fan-ins, got 2. Correct the fan-ins of 'y'"),
        ("INPUT(a)\ny = NOT(a, a)\n", 2, r"NOT takes one fan-in, got 2"),
        ("INPUT(a)\ny = VDD(a)\n", 2, r"VDD takes no fan-ins, got 1"),
        ("INPUT(a)\ny = DFF1(a, a)\n", 2, r"DFF1 takes one fan-in, got 2"),
        (
            "INPUT(a)\nINPUT(r)\ny = DFFRSE(a, gnd, r, gnd, gnd)\n",
            3,
            r"expected gnd for reset, set and enable of 'y', got 'r'. Put them into gates before a DFF",
        ),
        ("INPUT(a)\ny = DFFRSE(a, vdd)\n", 2, r"expected gnd for .* of 'y', got 'vdd'"),
        ("INPUT(a)\nINPUT(gnd)\ny = DFFRSE(a, gnd)\n", 3, r"expected gnd for .* of 'y', got 'gnd'"),
        ("INPUT(a)\ny = DFFRSE(a)\n", 2, r"DFFRSE takes a fan-in, and then gnd for reset, .*, got 1"),
        ("INPUT(a)\ny = LUT 0x10 (a, a)\n", 2, r"expected a table of 4 bits for 2 fan-ins, got '0x10'"),
        ("INPUT(a)\ny = LUT 8 (a, a)\n", 2, r"expected LUT and a table such as 0xe8, got '8'. Write it"),
        ("INPUT(a)\ny = LUT 0x (a, a)\n", 2, r"expected LUT and a table such as 0xe8, got '0x'"),
        ("INPUT(a)\ny = LUT (a, a)\n", 2, r"expected LUT and a table such as 0xe8, got ''"),
        ("INPUT(a)\ny = LUT 0x2 ()\n", 2, r"expected a table of 1 bits for 0 fan-ins, got '0x2'"),
        (f"INPUT(a)\ny = LUT 0x8 ({','.join('a' * 17)})\n", 2, r"LUT takes up to 16 fan-ins, got 17"),
        (f"INPUT(a)\ny = LUT 0x{'f' * 5000} (a)\n", 2, r"got '0xf*'… \(5002 characters\). Correct the table"),
        ("INPUT(a)\ny = AND x (a, a)\n", 2, r"expected INPUT\(name\)"),
        ("INPUT(a)\ny = LUT 0x4 (a, b)\n", 2, r"got 'b', which no line defines"),
        ("INPUT(a)\nINPUT(b)\nOUTPUT(y_2)\ny = LUT 0x4 (a, b)\n", 3, r"got 'y_2', which no line defines"),
        ("INPUT(a)\ny = NAND(a,,a)\n", 2, r"expected a name without blanks, got ''"),
        ("INPUT(a)\nthe y = NOT(a)\n", 2, r"expected a name without blanks, got 'the y'"),
        ("INPUT()\n", 1, r"expected a name without blanks, got ''"),
        (" = vdd\n", 1, r"expected a name without blanks, got ''"),
        ("# nothing\n", 2, r"expected a circuit, got no gates"),
        ("", 1, r"expected a circuit, got no gates"),
        (
            "INPUT(a)\nx = NOT(z)\ny = AND(a, x)\nz = BUF(y)\n",
            2,
            r"expected every cycle to pass a latch, got the cycle x → y → z → x. Correct a fan-in, or put a DFF",
        ),
        ("INPUT(a)\nx = AND(a, x)\n", 2, r"got the cycle x → x"),
    ],
)
def test_a_malformed_bench_is_named(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^line {line}: .*{message}"):
        parse_bench(text)
    path = tmp_path / "bad.bench"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}, line {line}: .*{message}"):
        read_bench(path)


def test_the_toggle_of_the_paper() -> None:
    toggle = parse_aiger(TOGGLE)
    assert toggle == Netlist(("l0", "not_l0"), (Kind.LATCH, Kind.NOT), ((1,), (0,)), (0, 1))


def test_blank_lines_and_other_line_ends_do_no_harm() -> None:
    assert parse_aiger(HALF_ADDER.replace("\n", "\r\n")) == parse_aiger(HALF_ADDER)
    assert parse_aiger(TOGGLE + "\n\n") == parse_aiger(TOGGLE.rstrip())


def test_the_half_adder_of_the_paper() -> None:
    half = parse_aiger(HALF_ADDER)
    assert half.names == ("x", "y", "s", "c", "n7", "not_c", "not_n7", "not_x", "not_y")
    assert half.kinds == (Kind.INPUT,) * 2 + (Kind.AND,) * 3 + (Kind.NOT,) * 4
    assert half.fanins == ((), (), (5, 6), (0, 1), (7, 8), (3,), (4,), (0,), (1,))
    assert half.outputs == (2, 3)
    patterns, ones = all_patterns(2)
    (values,) = run(half, [patterns], [], ones)
    assert [values[gate] for gate in half.outputs] == [6, 8]


def test_constants_and_inverted_outputs_have_their_names() -> None:
    text = "aag 1 1 0 4 0\n2\n0\n1\n3\n2\no0 never\no1 always\no2 other\no3 same\n"
    netlist = parse_aiger(text)
    assert netlist.names == ("i0", "never", "always", "other")
    assert netlist.kinds == (Kind.INPUT, Kind.CONST0, Kind.CONST1, Kind.NOT)
    assert netlist.outputs == (1, 2, 3, 0)
    assert parse_aiger(format_aiger(netlist)) == netlist


def test_default_names_make_way_for_symbols() -> None:
    netlist = parse_aiger("aag 3 2 0 1 1\n2\n4\n7\n6 2 5\ni1 i0\no0 not_i0\n")
    assert netlist.names == ("i0_", "i0", "n3", "not_i0_", "not_i0")
    assert netlist.fanins == ((), (), (0, 3), (1,), (2,))


def test_latches_are_reset_as_the_file_says() -> None:
    text = "aag 4 1 3 1 0\n2\n4 2\n6 5 1\n8 7 8\n9\nl1 second\n"
    netlist = parse_aiger(text)
    assert netlist.resets == (0, 1, None)
    assert netlist.names == ("i0", "l0", "second", "l2", "not_l0", "not_second", "not_l2")
    assert netlist.fanins[1:4] == ((0,), (4,), (5,))
    written = format_aiger(netlist)
    assert written.startswith("aag 4 1 3 1 0 0 0 0 0\n2\n4 2 0\n6 5 1\n8 7 8\n9\ni0 i0\n")
    assert parse_aiger(written) == netlist


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, r"expected the header 'aag M I L O A' or .*, got ''. Correct the header"),
        ("aag 1 1 0 1\n", 1, r"expected the header 'aag M I L O A' or .*, got 'aag 1 1 0 1'"),
        ("aag 1 1 0 1 -1\n", 1, r"expected the header"),
        ("aag 2 1 1 0 1\n", 1, r"expected M of 3 or more \(I \+ L \+ A\), got 2"),
        ("aag 1 1 0 0 0\n3\n", 2, r"expected an even literal .*, got the odd literal 3"),
        ("aag 1 1 0 0 0\n0\n", 2, r"expected an even literal .*, got 0, which is a constant"),
        ("aag 1 1 0 0 0\n4\n", 2, r"expected literals 0 to 3, got 4. Correct the literal, or raise M"),
        ("aag 2 2 0 0 0\n2\n2\n", 3, r"expected a new literal, got 2, which line 2 defines"),
        ("aag 2 1 0 0 1\n2\n2 2 2\n", 3, r"expected a new literal, got 2, which line 2 defines"),
        ("aag 2 1 0 0 1\n2\n5 2 2\n", 3, r"got the odd literal 5"),
        ("aag 2 1 0 0 1\n2\n4 2 6\n", 3, r"expected literals 0 to 5, got 6"),
        ("aag 1 1 0 1 0\n2\n4\n", 3, r"expected literals 0 to 3, got 4"),
        ("aag 2 1 0 1 0\n2\n5\n", 3, r"got 5, which no line defines. Define 4, or correct it"),
        ("aag 3 1 0 0 1\n2\n6 2 4\n", 3, r"got 4, which no line defines"),
        ("aag 2 1 1 0 0\n2\n4 2 2\n", 3, r"expected the reset 0, 1 or 4 \(either\), got 2"),
        (
            "aag 2 1 1 0 0\n2\n4\n",
            3,
            r"expected latch 1 of 1, its literal, what it reads and maybe .*, got '4'",
        ),
        ("aag 2 1 0 0 1\n2\n4 2\n", 3, r"expected AND 1 of 1, three literals, got '4 2'"),
        ("aag 2 1 0 0 1\n2\n4 2 x\n", 3, r"expected AND 1 of 1, three literals, got '4 2 x'"),
        ("aag 2 2 0 0 0\n2\n", 3, r"expected input 2 of 2, got the end of the file. The file is cut off"),
        ("aag 3 1 0 1 2\n2\n4\n4 2 2", 5, r"expected AND 2 of 2, got the end of the file"),
        ("aag 2 1 0 1 1\n2\n4\ni0 x\n", 4, r"expected AND 1 of 1, three literals, got 'i0 x'"),
        (
            "aag 1 1 0 0 0\n2\n4 2 2\n",
            3,
            r"expected a symbol .*, got '4 2 2'. Correct the line, or the header's",
        ),
        ("aag 1 1 0 0 0\n2\ni1 x\n", 3, r"expected a place below 1, the number of inputs, got 'i1 x'"),
        ("aag 1 1 0 0 0\n2\nl0 x\n", 3, r"expected a place below 0, the number of latches, got 'l0 x'"),
        ("aag 2 2 0 0 0\n2\n4\ni0 x\ni1 x\n", 5, r"expected one new name for i1, got 'x' again"),
        ("aag 1 1 0 0 0\n2\ni0 x\ni0 y\n", 4, r"expected one new name for i0, got 'y' again"),
        ("aag 1 1 0 0 0\n2\ni0  \n", 3, r"expected a symbol such as 'i0 name', or c .*, got 'i0'"),
        (
            "aag 4 1 0 0 3\n2\n4 2 9\n6 4 2\n8 6 2\n",
            3,
            r"expected every cycle to pass a latch, got the cycle n2 → n3 → n4 → not_n4 → n2. .* put a latch",
        ),
    ],
)
def test_a_malformed_aiger_is_named(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(ValueError, match=rf"^line {line}: .*{message}"):
        parse_aiger(text)
    path = tmp_path / "bad.aag"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}, line {line}: .*{message}"):
        read_aiger(path)


def test_files_are_read_by_their_endings(tmp_path: Path) -> None:
    (tmp_path / "c17.bench").write_text(C17)
    (tmp_path / "half.aag").write_text(HALF_ADDER)
    assert read_circuit(tmp_path / "c17.bench") == parse_bench(C17)
    assert read_circuit(tmp_path / "half.aag") == parse_aiger(HALF_ADDER)
    (tmp_path / "adder.v").write_text("module adder")
    with pytest.raises(
        ValueError, match=r"expected AIGER, .* or a name that ends in \.bench, got .*adder\.v"
    ):
        read_circuit(tmp_path / "adder.v")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.aig"):
        read_circuit(tmp_path / "nowhere.aig")
    (tmp_path / "bytes.bench").write_bytes(b"INPUT(a)\nINPUT(\xff)\n")
    with pytest.raises(
        ValueError, match=r"bytes\.bench, line 2: expected UTF-8 text, got the byte 0xff of a binary file or"
    ):
        read_bench(tmp_path / "bytes.bench")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("a", "b")}, r"expected as many names as kinds and fan-ins, got 2, 3 and 3"),
        ({"names": ("a", "b", "a")}, r"expected different names for all gates, got 'a': rename"),
        ({"names": ("a", "b", "")}, r"expected different names for all gates, got ''"),
        ({"fanins": ((), (), (0,))}, r"gate 'y': AND takes two or more fan-ins, got 1"),
        ({"fanins": ((), (0,), (0, 1))}, r"gate 'b': INPUT takes no fan-ins, got 1"),
        ({"fanins": ((), (), (0, 3))}, r"fan-ins must be gates 0 to 2, got 3"),
        ({"outputs": (-1,)}, r"outputs must be gates 0 to 2, got -1"),
        ({"resets": (0,)}, r"resets must be 0, 1 or None, one per latch \(0\), got \[0\]"),
    ],
)
def test_what_is_no_netlist_is_refused(changes: dict, message: str) -> None:
    good = Netlist(("a", "b", "y"), (Kind.INPUT, Kind.INPUT, Kind.AND), ((), (), (0, 1)), (2,))
    with pytest.raises(ValueError, match=message):
        replace(good, **changes)


def test_a_long_cycle_is_named_in_short() -> None:
    size = 100
    fanins = tuple(((gate - 1) % size,) for gate in range(size))
    names = tuple(f"g{gate}" for gate in range(size))
    with pytest.raises(
        CombinationalCycleError, match=r"g\d+ → g\d+ → .* → … \(100 gates\) … → g\d+$"
    ) as error:
        Netlist(names, (Kind.NOT,) * size, fanins)
    assert sorted(error.value.cycle) == list(range(size))
    Netlist(names, (Kind.LATCH, *(Kind.NOT,) * (size - 1)), fanins)  # with a latch it is a circuit


def test_structures_say_who_reads_whom() -> None:
    netlist = parse_bench("INPUT(a)\nq = DFF(y)\ny = NAND(q, a, q)\n")
    structure = netlist.structure()
    assert structure.edge_index.tolist() == [[2, 1, 0, 1], [1, 2, 2, 2]]
    assert structure.slot.tolist() == [0, 0, 1, 2]
    assert structure.kind is not None
    assert structure.kind.tolist() == [Kind.INPUT, Kind.LATCH, Kind.NAND]
    assert structure.kind_names is not None
    assert [structure.kind_names[kind] for kind in structure.kind.tolist()] == ["INPUT", "LATCH", "NAND"]
    assert structure.tokens == ("a", "q", "y")
    data = netlist.to_pyg()
    assert data.node_type.tolist() == [0, 11, 6]
    assert gr.from_pyg(data) == structure
    with pytest.raises(gr.CycleError):
        gr.levels(structure)


def test_latches_that_are_cut_read_nothing() -> None:
    netlist = parse_bench("INPUT(a)\nq = DFF(y)\ny = NAND(q, a, q)\n")
    cut = netlist.structure(cut_latches=True)
    assert cut.edge_index.tolist() == [[1, 0, 1], [2, 2, 2]]
    assert cut.slot.tolist() == [0, 1, 2]
    assert cut.kind is not None
    assert cut.kind.tolist() == [Kind.INPUT, Kind.LATCH, Kind.NAND]
    assert gr.levels(cut).tolist() == [0, 0, 1]
    assert gr.from_pyg(netlist.to_pyg(cut_latches=True)) == cut
    empty = parse_aiger("aag 0 0 0 0 0\n").structure()
    assert (empty.num_nodes, empty.num_edges) == (0, 0)


def test_kinds_have_lasting_numbers() -> None:
    names = ["INPUT", "CONST0", "CONST1", "BUF", "NOT", "AND", "NAND", "OR", "NOR", "XOR", "XNOR", "LATCH"]
    assert [kind.name for kind in Kind] == names
    assert [int(kind) for kind in Kind] == list(range(12))


def test_a_circuit_is_an_input_of_models() -> None:
    """What a reader is for: a cell for each kind of gate, over a file's structure."""
    netlist = parse_bench(C17)
    cell = gr.PerKind([gr.ChildSumTreeLSTMCell(3, 4) for _ in Kind])
    whole = gr.Recursive(cell)(torch.ones(len(netlist), 3), netlist.to_pyg())
    assert whole.shape == (11, 4)


def test_a_long_chain_is_no_trouble() -> None:
    length = 100_000
    names = ("a", *(f"g{i}" for i in range(length)))
    fanins = ((), *((i,) for i in range(length)))
    chain = Netlist(names, (Kind.INPUT, *(Kind.NOT,) * length), fanins, (length,))
    assert int(gr.levels(chain.structure())[-1]) == length


def test_a_long_text_is_no_trouble() -> None:
    length = 10_000
    rows = [f"g{i} = NAND({'a' if i == length else f'g{i + 1}'}, a)" for i in range(length + 1)]
    netlist = parse_bench("\n".join(["INPUT(a)", *rows]))
    assert gr.levels(netlist.structure())[1:].tolist() == list(range(length + 1, 0, -1))


def test_words_ignore_case_in_ascii_only() -> None:
    """A Turkish İ is an I to some, and the name of no gate."""
    for text in ("\u0130NPUT(a)\n", "INPUT(a)\ny = \u0130NV(a)\n", "INPUT(a)\ny = L\u1e77T 0x1 (a)\n"):
        with pytest.raises(ValueError, match=r"line \d: expected"):
            parse_bench(text)


def test_a_name_of_blanks_is_no_name() -> None:
    netlist = parse_aiger("aag 1 1 0 0 0\n2\ni0 \u00a0\n".encode())
    assert netlist.names == ("\u00a0",)


def test_inputs_of_a_binary_file_are_in_proportion_to_it() -> None:
    assert len(parse_aiger(b"aig 10000 10000 0 0 0\n")) == 10_000
    with pytest.raises(
        ValueError, match=r"expected up to 10,026 inputs in a file of 26 bytes, got 200,000\."
    ):
        parse_aiger(b"aig 200000 200000 0 0 0\n\n\n")


def test_readers_have_no_other_names() -> None:
    with pytest.raises(AttributeError, match=r"graphrec\.io attribute circuit"):
        _ = gr.io.circuit  # pyright: ignore[reportAttributeAccessIssue]
