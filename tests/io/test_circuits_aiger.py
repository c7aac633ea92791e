"""AIGER, ASCII and binary, with all that version 1.9 has: against the literals' own values, drawn and real files."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphrec.io.circuits import Kind, Netlist, parse_aiger, parse_bench, read_aiger, read_circuit
from tests.io.circuit_texts import ONES, difference, draw, format_aiger, run, written
from tests.oracles.circuits import read_aiger as read_by_oracle
from tests.oracles.circuits import run_aiger, run_bench


def drawn(seed: int) -> dict[str, Any]:
    rng = random.Random(seed)
    inputs, latches, ands = rng.randint(1, 200), rng.choice([0, 3, 40]), rng.randint(0, 300)
    top = 2 * (inputs + latches + ands) + 1
    file: dict[str, Any] = {"inputs": [2 * i + 2 for i in range(inputs)], "ands": []}
    evens = [2 * (inputs + place + 1) for place in range(latches)]
    file["latches"] = [(even, rng.randint(0, top), rng.choice([0, 1, even])) for even in evens]
    for place in range(ands):
        literal = 2 * (inputs + latches + place + 1)
        left = rng.randint(0, literal - 1)
        file["ands"].append((literal, left, rng.randint(0, left)))
    for part in ("outputs", "bad", "constraints", "fairness"):
        file[part] = [rng.randint(0, top) for _ in range(rng.choice([0, 1, 5]))]
    file["justice"] = [
        [rng.randint(0, top) for _ in range(rng.randint(0, 3))] for _ in range(rng.choice([0, 2]))
    ]
    letters = {"i": "inputs", "l": "latches", "o": "outputs", "b": "bad", "c": "constraints", "j": "justice"}
    places = [f"{a}{k}" for a, part in letters.items() for k in range(len(file[part])) if rng.random() < 0.7]
    file["symbols"] = {place: f"the {place}" for place in places}
    return file


def check_against_oracle(netlist: Netlist, file: dict[str, Any], cycles: int = 4, seed: int = 0) -> None:
    """What is shown, what latches show and what properties read, in some clock cycles."""
    assert len(netlist.inputs) == len(file["inputs"])
    assert len(netlist.latches) == len(file["latches"])
    resets = tuple(None if reset not in (0, 1) else reset for _, _, reset in file["latches"])
    assert netlist.resets == resets
    patterns = [draw(len(netlist.inputs), seed + cycle) for cycle in range(cycles)]
    state = draw(len(netlist.latches), seed + cycles)
    expected = run_aiger(file, patterns, state, ONES)
    for value, literals in zip(run(netlist, patterns, state), expected, strict=True):
        assert [value[gate] for gate in netlist.latches] == [
            literals[latch] for latch, _, _ in file["latches"]
        ]
        for part in ("outputs", "bad", "constraints", "fairness"):
            shown = [value[gate] for gate in getattr(netlist, part)]
            assert shown == [literals[literal] for literal in file[part]], part
        justice = [[value[gate] for gate in some] for some in netlist.justice]
        assert justice == [[literals[literal] for literal in some] for some in file["justice"]]


@pytest.mark.parametrize("seed", range(12))
def test_binary_and_ascii_are_one_circuit_and_the_oracle_s(seed: int) -> None:
    file = drawn(seed)
    binary = parse_aiger(written(file, binary=True))
    assert binary == parse_aiger(written(file, binary=False))
    assert read_by_oracle(written(file, binary=True)) == file
    check_against_oracle(binary, file)
    assert parse_aiger(format_aiger(binary)) == binary
    assert [binary.names[gate] for gate in binary.inputs] == [
        file["symbols"].get(f"i{place}", f"i{place}") for place in range(len(file["inputs"]))
    ]
    said = dict(binary.symbols)
    for letter, part in (("o", "outputs"), ("b", "bad"), ("c", "constraints")):
        for place, gate in enumerate(getattr(binary, part)):
            name = file["symbols"].get(f"{letter}{place}")
            assert name in (None, binary.names[gate], said.get(f"{letter}{place}")), "no name is lost"
    assert {p: n for p, n in said.items() if p[0] == "j"} == {
        p: n for p, n in file["symbols"].items() if p[0] == "j"
    }


def test_differences_may_need_many_bytes() -> None:
    inputs = 9_000
    ands = [(2 * inputs + 2, 2 * inputs + 1, 3), (2 * inputs + 4, 5, 4), (2 * inputs + 6, 130, 2)]
    lines = f"aig {inputs + 3} {inputs} 0 3 3\n" + "".join(f"{literal}\n" for literal, _, _ in ands)
    data = lines.encode() + b"".join(difference(a - b) + difference(b - c) for a, b, c in ands)
    assert b"\xff\xff" not in difference(2**14 - 1)
    assert len(difference(2**14)) == 3
    netlist = parse_aiger(data)
    one = draw(inputs, 0)
    (value,) = run(netlist, [one], [])
    assert [value[gate] for gate in netlist.outputs] == [
        (one[inputs - 1] ^ ONES) & (one[0] ^ ONES), 0, one[64] & one[0],
    ]  # fmt: skip


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("fields", range(5, 10))
def test_numbers_at_the_end_of_the_header_may_be_missing(fields: int, binary: bool) -> None:
    """Zeros, that is."""
    word = "aig" if binary else "aag"
    header = [word, "1", "1", "0", "1", "0", "0", "0", "0", "0"][: fields + 1]
    text = " ".join(header) + "\n" + ("" if binary else "2\n") + "3\no0 y\n"
    netlist = parse_aiger(text.encode())
    assert netlist == Netlist(("i0", "y"), (Kind.INPUT, Kind.NOT), ((), (0,)), (1,))


def test_circuits_may_be_empty() -> None:
    for text in ("aag 0 0 0 0 0\n", "aig 0 0 0 0 0\n", "aig 0 0 0 0 0", "aig 0 0 0 0 0 0 0 0 0\nc\n"):
        netlist = parse_aiger(text.encode())
        assert len(netlist) == 0
    assert parse_aiger(b"aig 0 0 0 2 0\n0\n1\n").kinds == (Kind.CONST0, Kind.CONST1)


# What ABC (1.01) writes of a toggle with an enable and a set, q = DFF(d), nothing being said of its first value.
OF_ABC = (
    b"aig 6 2 1 0 3 1 0\n13 6\n6\n\x02\x02\x03\x02\x01\x02"
    b"i0 set\ni1 en\nl0 q\nb0 out\nc\ntoggle\x00\nThis file was written by ABC\n"
)


def test_outputs_that_abc_writes_as_bad_states_are_kept() -> None:
    netlist = parse_aiger(OF_ABC)
    assert netlist.outputs == ()
    assert netlist.resets == (None,)
    assert netlist.bad == netlist.latches == (2,)
    assert netlist.names[:3] == ("set", "en", "q")
    assert netlist.symbols == (("b0", "out"),), "the latch has a name of its own"
    assert repr(netlist) == f"Netlist(gates={len(netlist)}, inputs=2, outputs=0, latches=1, bad=1)"
    check_against_oracle(netlist, read_by_oracle(OF_ABC))


def test_a_comment_may_begin_in_the_line_of_its_c() -> None:
    """As ABC's GIA package writes it, with what it adds to the format."""
    plain = OF_ABC.partition(b"c\ntoggle")[0]
    assert parse_aiger(
        plain + b"cn\x00\x00\x00 /a/file\x00\nThis file was produced by the GIA package"
    ) == parse_aiger(OF_ABC)
    with_constraint = plain.replace(b" 1 0\n13 6\n6\n", b" 1 1\n13 6\n6\n4\n") + b"c0 always\nc\n"
    netlist = parse_aiger(with_constraint)
    assert netlist.constraints == (1,)
    assert netlist.symbols == (("b0", "out"), ("c0", "always"))


def test_properties_are_gates_that_are_there() -> None:
    for field, value in {"bad": (2,), "constraints": (-1,), "justice": ((0, 5),), "fairness": (9,)}.items():
        with pytest.raises(ValueError, match=rf"properties must be gates 0 to 1, got {np.ravel(value)[-1]}"):
            Netlist(("a", "b"), (Kind.INPUT, Kind.NOT), ((), (0,)), **{field: value})


def test_every_cut_is_told_with_byte_and_gate() -> None:
    """Of 40 ANDs, some of whose differences have two bytes."""
    file = drawn(3) | {"latches": [], "inputs": [2 * i + 2 for i in range(100)], "symbols": {}}
    file |= {part: [] for part in ("outputs", "bad", "constraints", "justice", "fairness")}
    file["ands"] = [(202 + 2 * k, 201 + k, 2) for k in range(40)]
    whole = written(file, binary=True).partition(b"c\n")[0]
    begin = whole.index(b"\n") + 1
    at, ends = begin, []
    for literal, left, right in file["ands"]:
        for which, number in (("first", literal - left), ("second", left - right)):
            ends += [(at, which, literal)] * len(difference(number))
            at += len(difference(number))
    assert at == len(whole)
    for cut in range(begin, len(whole)):
        first, which, literal = ends[cut - begin]
        what = (
            rf"expected the {which} difference of AND {literal // 2 - 100} of 40 \({literal}\), got the end"
        )
        with pytest.raises(
            ValueError, match=rf"^cut\.aig, byte {first}: {what} of the file\. The file is cut off"
        ):
            parse_aiger(whole[:cut], "cut.aig")


@pytest.mark.parametrize(
    ("data", "place", "message"),
    [
        (b"aig 3 2 0 0 1\n\x00\x01", "byte 14", r"first difference of AND 1 of 1 \(6\) from 1 to 6, got 0"),
        (b"aig 3 2 0 0 1\n\x07\x01", "byte 14", r"first difference of AND 1 of 1 \(6\) from 1 to 6, got 7\."),
        (b"aig 3 2 0 0 1\n\x81\x01\x01", "byte 14", r"from 1 to 6, got 129\."),
        (b"aig 3 2 0 0 1\n\x02\x05", "byte 15", r"second difference of AND 1 of 1 \(6\) from 0 to 4, got 5\."),
        (b"aig 3 2 0 0 1\n\x02" + b"\xff" * 99, "byte 15", r"from 0 to 4, got 127 or more\. Replace the file"),
        (b"aig 3 2 0 0 1\n\x02" + b"\x80" * 9, "byte 15", r"second difference of AND 1 of 1 \(6\), got the end"),
        (b"aig 3 2 0 0 1\n\x02\x02\x02\x02\n", "byte 16", r"expected a symbol such as 'i0 name', or c .*, got '\\x02"),
        (b"aig 3 2 0 0 1\n\x02\x02i2 x\n", "byte 16", r"expected a place below 2, the number of inputs, got 'i2 x'"),
        (b"aig 3 2 0 0 1\n\x02\x02i0 x\xe9\n", "byte 16", r"expected a name in UTF-8, got 'i0 x\\\\xe9'\. Convert"),
        (b"aig 4 2 0 0 1\n\x02\x02", "line 1", r"expected M of 3 \(I \+ L \+ A\), got 4\. Correct the header"),
        (b"aig 2 2 0 0 1\n\x02\x02", "line 1", r"expected M of 3 \(I \+ L \+ A\), got 2"),
        (b"aig 3 2 1 0 0\n6 2\n", "line 2", r"expected the reset 0, 1 or 6 \(either\), got 2"),
        (b"aig 3 2 1 0 0\n6 4 0\n", "line 2", r"expected latch 1 of 1, what it reads and maybe a reset, got '6 4 0'"),
        (b"aig 3 2 1 0 0\n8\n", "line 2", r"expected literals 0 to 7, got 8"),
        (b"aig 3 2 1 0 0\n", "line 2", r"expected latch 1 of 1, got the end of the file\. The file is cut off"),
        (b"aig 2 2 0 1 0\n\xc6\x02\n", "line 2", r"expected output 1 of 1, one literal, got '\\\\xc6\\x02'"),
        (b"aag 1 1 0 0 0 1 1 2 1\n2\n2\n3\n1\n", "line 6", r"expected justice property 2 of 2, got the end"),
        (b"aag 1 1 0 0 0 0 0 1\n2\n2\n2\n4\n", "line 5", r"expected literals 0 to 3, got 4"),
        (b"aag 1 1 0 0 0 0 0 1\n2\n2\n2\n", "line 5", r"expected justice property 1 of 1, literal 2 of 2, got the end"),
        (b"aag 1 1 0 0 0 1\n2\nx\n", "line 3", r"expected bad state 1 of 1, one literal, got 'x'"),
        (b"aag 1 1 0 0 0 0 0 0 1\n2\n", "line 3", r"expected fairness constraint 1 of 1, got the end"),
        (b"aag 1 1 0 0 0 0 1\n2\n2\nc0 x\nc0 y\n", "line 5", r"expected one new name for c0, got 'y' again"),
        (b"aag 1 1 0 0 0\n2\nj0 x\n", "line 3", r"expected a place below 0, the number of justice properties"),
        (b"aag 1 1 0 0 0 0 0 0 0 0\n2\n", "line 1", r"expected the header .* then maybe B, C, J and F, got 'aag"),
        (b"aig 9000000000 9000000000 0 0 0\n", "line 1", r"expected up to 10,0\d\d inputs .*, got 9,0.*\."),
        (b"aig2 1 1 0 0 0\n", "line 1", r"expected the header 'aag M I L O A' or 'aig M I L O A'"),
        (b"aag 1 1 0 1 0\n2\n" + b"9" * 5000, "line 3", r"expected output 1 of 1, .*, got '9+'… \(5000 characters\)"),
        (b"aag " + b"9" * 5000 + b" 1 0 1 0\n2\n", "line 1", r"expected the header .*… \(5012 characters\)\. Correct"),
        (b"aag 1 1 0 0 0\n2\ni" + b"9" * 5000 + b" x\n", "line 3", r"expected a symbol .*… \(5003 characters\)"),
        (b"aag 1 1 0 1 0\n2\n\xd9\xa2\n", "line 3", r"expected output 1 of 1, one literal, got '٢'"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_named(tmp_path: Path, data: bytes, place: str, message: str) -> None:
    path = tmp_path / "bad.aig"
    path.write_bytes(data)
    for read in (read_aiger, read_circuit):
        with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}, {place}: .*{message}"):
            read(path)


def test_a_binary_file_is_no_str() -> None:
    with pytest.raises(ValueError, match=r"^line 1: expected ASCII AIGER \(aag\) in a str, got .*read_aiger"):
        parse_aiger("aig 1 1 0 1 0\n2\n")


def test_byte_order_marks_and_line_ends_do_no_harm() -> None:
    file = drawn(5)
    ascii_, binary = written(file, binary=False), written(file, binary=True)
    mark = b"\xef\xbb\xbf"
    text = ascii_.partition(b"c\n")[0].decode()
    same = [mark + ascii_, mark + binary, ascii_.replace(b"\n", b"\r\n"), "\ufeff" + text]
    for one in same:
        assert parse_aiger(one) == parse_aiger(ascii_)


def test_the_header_says_what_a_file_is(tmp_path: Path) -> None:
    file = drawn(1)
    expected = parse_aiger(written(file, binary=False))
    for name in ("a.aig", "a.aag", "a.bench", "a", "a.AIG"):
        for binary in (False, True):
            (tmp_path / name).write_bytes(written(file, binary))
            assert read_circuit(tmp_path / name) == expected
            assert read_aiger(tmp_path / name) == expected
    (tmp_path / "a.bin").write_bytes(b"aig2 1 1 0 0 0\n")
    with pytest.raises(
        ValueError, match=r"expected AIGER, which begins with 'aag ' .* ends in \.bench, got .*a\.bin"
    ):
        read_circuit(tmp_path / "a.bin")


@pytest.mark.parametrize(
    "name",
    ["adder.aig", "c17.aig", "c432.aig", "ctrl.aig", "router.aig", "cnt1e.aag", "empty.aag",
     "halfadder.aag", "toggle-re.aag", "xorxormiter.aag"],
)  # fmt: skip
def test_real_files_show_what_their_literals_say(name: str, real_data: Callable[[str], Path]) -> None:
    path = real_data(f"circuits/{name}")
    netlist, file = read_circuit(path), read_by_oracle(path.read_bytes())
    check_against_oracle(netlist, file)
    again = parse_aiger(format_aiger(netlist))
    check_against_oracle(again, file)
    assert again.symbols == netlist.symbols
    named = [(place, name) for place, name in file["symbols"].items() if place[0] in "il"]
    ports = {f"i{k}": gate for k, gate in enumerate(netlist.inputs)}
    ports |= {f"l{k}": gate for k, gate in enumerate(netlist.latches)}
    assert all(netlist.names[ports[place]] == name for place, name in named)


@pytest.mark.parametrize("name", ["c17", "c432"])
def test_a_circuit_is_one_in_both_formats(name: str, real_data: Callable[[str], Path]) -> None:
    """The files of one circuit differ in the order of inputs and their names: G1 is the first of the other's."""
    aig, text = (
        read_circuit(real_data(f"circuits/{name}.aig")),
        real_data(f"circuits/{name}.bench").read_text(),
    )
    bench = parse_bench(text)
    patterns = draw(len(bench.inputs), 0)
    order = [int(aig.names[gate][1:]) - 1 for gate in aig.inputs]
    assert sorted(order) == list(range(len(order)))
    (values,) = run(aig, [[patterns[place] for place in order]], [])
    names = [bench.names[gate] for gate in bench.inputs]
    (expected,) = run_bench(text, [dict(zip(names, patterns, strict=True))], {}, ONES)
    assert [values[gate] for gate in aig.outputs] == [expected[bench.names[gate]] for gate in bench.outputs]
