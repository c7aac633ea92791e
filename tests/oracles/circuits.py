"""Circuits as their files say it, one definition at a time: AIGER by literals, `.bench` by recursion over names.

Values are Python's integers, a bit for each pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

FIELDS = ("highest", "inputs", "latches", "outputs", "ands", "bad", "constraints", "justice", "fairness")


def read_aiger(data: bytes) -> dict[str, Any]:
    """What is in an AIGER file: lists of literals; latches as (literal, next, reset); symbols by place."""
    header, _, rest = data.partition(b"\n")
    word, *numbers = header.decode().split()
    count = dict.fromkeys(FIELDS, 0) | dict(zip(FIELDS, map(int, numbers), strict=False))
    binary = word == "aig"

    def line() -> list[int]:
        nonlocal rest
        first, _, rest = rest.partition(b"\n")
        return [int(part) for part in first.split()]

    def number() -> int:
        nonlocal rest
        value, place = 0, 1
        while True:
            byte, rest = rest[0], rest[1:]
            value, place = value + byte % 128 * place, place * 128
            if byte < 128:
                return value

    found: dict[str, Any] = {}
    inputs = count["inputs"]
    found["inputs"] = [2 * (i + 1) for i in range(inputs)] if binary else [line()[0] for _ in range(inputs)]
    found["latches"] = []
    for place in range(count["latches"]):
        literal, read, *reset = ([2 * (inputs + place + 1)] if binary else []) + line()
        found["latches"].append((literal, read, *(reset or [0])))
    for part in ("outputs", "bad", "constraints"):
        found[part] = [line()[0] for _ in range(count[part])]
    sizes = [line()[0] for _ in range(count["justice"])]
    found["justice"] = [[line()[0] for _ in range(size)] for size in sizes]
    found["fairness"] = [line()[0] for _ in range(count["fairness"])]
    found["ands"] = []
    for place in range(count["ands"]):
        if binary:
            literal = 2 * (inputs + count["latches"] + place + 1)
            left = literal - number()
            found["ands"].append((literal, left, left - number()))
        else:
            found["ands"].append(tuple(line()))
    found["symbols"] = dict(
        re.findall(r"^([ilobcjf]\d+) (.+?)\r?$", rest.split(b"\nc\n")[0].decode(), re.MULTILINE)
    )
    return found


def run_aiger(
    file: dict[str, Any], patterns: list[list[int]], state: list[int], ones: int
) -> Iterator[dict[int, int]]:
    """The value of each literal, clock cycle by clock cycle."""
    gates = {literal: (left, right) for literal, left, right in file["ands"]}
    for inputs in patterns:
        values = {0: 0, 1: ones}
        for literal, word in zip(file["inputs"], inputs, strict=True):
            values |= {literal: word, literal + 1: word ^ ones}
        for (literal, _, _), word in zip(file["latches"], state, strict=True):
            values |= {literal: word, literal + 1: word ^ ones}
        left_over = list(gates)
        while left_over:  # ASCII files have them in any order
            left, right = gates[left_over[-1]]
            missing = [one & ~1 for one in (left, right) if one not in values]
            if not missing:
                literal = left_over.pop()
                word = values[left] & values[right]
                values |= {literal: word, literal + 1: word ^ ones}
            left_over += missing
        yield values
        state = [values[read] for _, read, _ in file["latches"]]


def run_bench(
    text: str, patterns: list[dict[str, int]], state: dict[str, int], ones: int
) -> Iterator[dict[str, int]]:
    """The value of each name, clock cycle by clock cycle; `state` has the first values of all flip-flops."""
    rules: dict[str, tuple[str, list[str]]] = {}
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if line and not line.upper().startswith(("INPUT", "OUTPUT")):
            name, _, says = (part.strip() for part in line.partition("="))
            word, _, inside = says.partition("(")
            rules[name] = word.strip(), [part.strip() for part in inside.rstrip(") ").split(",")]
    for inputs in patterns:
        values = {"vdd": ones, "gnd": 0, **inputs, **state}
        for name in rules:
            _evaluate(name, rules, values, ones)
        yield values
        state = {name: values[rules[name][1][0]] for name in state}


def _evaluate(name: str, rules: dict[str, tuple[str, list[str]]], values: dict[str, int], ones: int) -> int:
    if name not in values:
        word, names = rules[name]
        values[name] = _gate(word, [_evaluate(one, rules, values, ones) for one in names], ones)
    return values[name]


def _gate(word: str, reads: list[int], ones: int) -> int:
    word = word.upper()
    if word.startswith("LUT"):
        table, shown = int(word.split()[1], 16), 0
        for row in range(2 ** len(reads)):
            if table >> row & 1:
                here = ones
                for place, word_ in enumerate(reads):
                    here &= word_ if row >> place & 1 else word_ ^ ones
                shown |= here
        return shown
    if word == "MUX":
        return reads[1] & reads[0] | reads[2] & (ones ^ reads[0])
    shown = reads[0]
    for other in reads[1:]:
        if word in ("AND", "NAND"):
            shown &= other
        elif word in ("OR", "NOR"):
            shown |= other
        else:
            assert word in ("XOR", "XNOR", "NXOR"), word
            shown ^= other
    return shown ^ ones if word in ("NOT", "INV", "NAND", "NOR", "XNOR", "NXOR") else shown
