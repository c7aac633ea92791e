"""Every reader of texts and files in graphrec and in the data of the examples, as a function of bytes.

Each raises nothing where a reader does what it says: it gives what keeps its promises, and that reads back where it is
written down; or it refuses with an error that its documentation names, and a message that is no longer than a page.
`reader_runs.py` searches for bytes for which this is not so; `test_readers.py` replays those that were once found.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import torch
from data import traffic_files
from data.traffic import road_graph
from torch_geometric.data import Data

import graphrec as gr
from graphrec.datasets import listops, logic, nas, read_lines, sst
from graphrec.io.circuits import Netlist, parse_aiger, parse_bench
from graphrec.program import written
from graphrec.structure import TreeRows, tree_from_rows
from tests.fuzz import bracket_texts, stored
from tests.fuzz.reading import accepted, read_file, text_of
from tests.io.circuit_texts import format_aiger, format_bench


class Reader(NamedTuple):
    """A reader, and what a search for its faults begins with beside its corpus."""

    check: Callable[[bytes], None]
    words: tuple[str, ...] = ()  # that its inputs are made of


def brackets(data: bytes) -> None:
    text = text_of(data)
    for labels in (True, False):
        s = accepted(gr.tree, text, labels=labels)
        if s is not None:
            _check_tree(s)
            assert gr.tree(bracket_texts.write(s, labels), labels=labels) == s


def nested(data: bytes) -> None:
    """Nested lists, written as a program for a stack of lists, so that they can contain what json cannot."""
    lists: list[list[Any]] = [[]]
    last: Any = "a"
    for byte in data[:500]:
        match byte % 12:
            case 0 | 1 | 2:
                lists.append([])
                continue
            case 3 | 4 if len(lists) > 1:
                last = lists.pop() if byte % 2 else tuple(lists.pop())
            case 5:
                last = lists[byte % len(lists)]
            case 6:
                last = (None, b"a", 1.5, float("nan"), True, 1j, {}, range(2))[byte // 12 % 8]
            case 7 | 8:
                last = byte // 12 - 4
            case 9 | 10:
                last = "abc"[byte % 3] * (byte // 64)
        lists[-1].append(last)
    s = accepted(gr.tree, lists[0], errors=(ValueError, TypeError))
    if s is not None:
        _check_tree(s)


def python(data: bytes) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = ast.parse(text_of(data))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    s = gr.tree(parsed)
    _check_tree(s, gaps=True)
    assert s.num_nodes == sum(1 for _ in ast.walk(parsed))


def conllu(data: bytes) -> None:
    text = text_of(data) + "\n"
    for enhanced in (False, True):
        for s in accepted(gr.io.from_conllu, text, enhanced=enhanced) or []:
            if not enhanced:
                gr.levels(s)
                assert s.num_edges == s.num_nodes - 1
            gr.from_pyg(gr.to_pyg(s))


def names(data: bytes) -> None:
    """Names of kinds, as PyG's `Data` and graphs of networkx carry them in a text."""
    text = text_of(data)
    sample = Data(edge_index=torch.tensor([[0], [1]]), node_type=torch.tensor([0, 1]), kind_names=text)
    graph = nx.DiGraph([(0, 1)], kind_names=text)
    graph.nodes[0]["kind"], graph.nodes[1]["kind"] = "a", "b"
    for read, source in ((gr.from_pyg, sample), (gr.from_networkx, graph)):
        s = accepted(read, source)
        if s is not None and s.kind_names is not None:
            assert list(s.kind_names) == json.loads(text)


def aiger(data: bytes) -> None:
    netlist = accepted(parse_aiger, data, "file")
    if netlist is not None:
        _check_netlist(netlist)
        again = parse_aiger(format_aiger(netlist))
        assert replace(again, names=netlist.names, symbols=netlist.symbols) == netlist
        assert dict(again.symbols) == dict(netlist.symbols)
        # A gate that is shown under a name which another has already is called by its number, which may change.
        parts = {"i": "inputs", "l": "latches", "o": "outputs", "b": "bad", "c": "constraints"}
        for letter, part in parts.items():
            for place, gate in enumerate(getattr(netlist, part)):
                if f"{letter}{place}" not in dict(netlist.symbols):
                    assert again.names[gate] == netlist.names[gate]


def bench(data: bytes) -> None:
    netlist = accepted(parse_bench, text_of(data), "file", None)
    if netlist is not None:
        _check_netlist(netlist)
        plain = replace(netlist, resets=(0,) * len(netlist.latches))
        assert parse_bench(format_bench(plain)) == plain


def sst_file(data: bytes) -> None:
    for tree in read_file(sst._read, data, ".txt") or []:
        _check_rows(tree)
        assert set(tree.label) <= set("01234")
        assert all((token is None) == bool(node in tree.parent) for node, token in enumerate(tree.token))


def listops_file(data: bytes) -> None:
    for value, words in read_file(listops.read_expressions, data, ".tsv") or []:
        assert listops.evaluate(words) == value
        assert listops.words_of(listops.binarise(words)) == words
        for tree in (listops.binary_tree(words), listops.operator_tree(words)):
            _check_rows(tree)


def logic_file(data: bytes) -> None:
    def read(path: Path) -> Any:
        return logic._read(path, ["", *logic._variables([path]), *logic.CONNECTIVES])

    for label, *formulas in read_file(read, data, "") or []:
        assert 0 <= label < len(logic.RELATIONS)
        for tree in formulas:
            _check_rows(tree)


def nas_file(data: bytes) -> None:
    def read(path: Path) -> Any:
        return [nas._parse(path, *line) for line in read_lines(path)]

    for architecture in read_file(read, data, ".txt") or []:
        s = gr.dag([architecture.source, architecture.target], len(architecture.kinds))
        assert gr.levels(s).tolist() == list(range(s.num_nodes))
        assert 0 <= architecture.accuracy <= 1


def distances_file(data: bytes) -> None:
    number = {"a": 0, "b": 1, "773869": 2}
    read = read_file(lambda path: traffic_files._read_distances(path, number), data, ".csv")
    if read is not None:
        ends, lengths = read
        s = accepted(road_graph, ends, lengths, len(number))
        assert s is None or s.num_nodes == len(number)


def program(data: bytes) -> None:
    found = accepted(written.read, text_of(data))
    if found is not None:
        text = written.write(found)
        assert written.write(written.read(text)) == text


READERS = {
    "brackets": Reader(brackets, ("(", ")", "\\(", "\\", "-LRB-", " ", "\ufeff")),
    "nested": Reader(nested),
    "python": Reader(
        python,
        (
            "def f(a, *b):\n ",
            "lambda: ",
            "{**a}",
            "f'{a!r}'",
            "match a:\n case ",
            "async ",
            "from . import a",
        ),
    ),
    "conllu": Reader(
        conllu,
        ("1\ta\ta\tX\t_\t_\t0\troot\t_\t_\n", "1-2\t", "1.1\t", "|", "0:root", "# a\n", "\t", "_", "  "),
    ),
    "names": Reader(names, ('["a", "b"]', '"', ",", "[", "{", "null")),
    "aiger": Reader(aiger, ("aag ", "aig ", "i0 ", "o0 ", "l0 ", "c\n", "\n2\n", " 0 0 0 0", "b0 ", "j0 ")),
    "bench": Reader(
        bench, ("INPUT(", "OUTPUT(", " = ", "LUT 0x", "DFFRSE(", "MUX(", "gnd", "vdd", "XNOR(", "#", "DFF(")
    ),
    "sst": Reader(sst_file, ("(", ")", "(2 a)", "(3 (2 a) (2 b))", "\n", "\\(")),
    "listops": Reader(
        listops_file, ("[MAX ", "[MED ", "[SM ", "[MIN ", " ]", "( ", " )", "\t", "Source\tTarget\n")
    ),
    "logic": Reader(logic_file, ("=\t", "<\t", "( not a )", "( a ( and b ) )", "or", "\t", "v", "#")),
    "nas": Reader(nas_file, ("[[1], [4, 0]], 0.7\n", "[", "]", ", ", "true", "NaN", "1e9")),
    "distances": Reader(distances_file, ("a,b,1\n", "773869,", "from,to,cost\n", "inf", "nan", ",", "1e-9")),
    "series": Reader(stored.series_file, ("data.npy", "\x93NUMPY", "'descr'", "'shape': (", "<f8")),
    "cache": Reader(stored.cached_file, stored.SAVED),
    "checkpoint": Reader(
        stored.checkpoint,
        (*stored.SAVED, "callbacks", "wait_count", "fit_loop", "global_step", "state_dict", "EarlyStopping"),
    ),
    "finished": Reader(
        stored.finished,
        ('{"epochs": 3', ', "waited": 0', ', "score": 0.5', ', "steps": 12', "NaN", "null", "-1", "["),
    ),
    "position": Reader(
        stored.position,
        ('{"epoch": 1', ', "taken": 2', ', "sampler": {"kind": "ShuffledSampler"', "true", "-1", "null"),
    ),
    "program": Reader(
        program, ('{"rows":"n"}', '{"dtype":"float32"}', '{"rest":0}', '"version":1', "[", "null")
    ),
}


def _check_tree(s: gr.Structure, gaps: bool = False) -> None:
    """One root, which is last; children first, and in slots of their own."""
    assert s.num_edges == s.num_nodes - 1
    source, target, slot = s.source.tolist(), s.target.tolist(), s.slot.tolist()
    assert sorted(source) == list(range(s.num_nodes - 1))
    assert all(a < b for a, b in zip(source, target, strict=True))
    assert len({*zip(target, slot, strict=True)}) == s.num_edges
    if not gaps:
        degree = torch.bincount(s.target, minlength=s.num_nodes).tolist()
        assert all(k < degree[node] for node, k in zip(target, slot, strict=True))
    assert s.tokens is None or len(s.tokens) == s.num_nodes
    gr.levels(s)


def _check_rows(tree: TreeRows) -> None:
    _check_tree(tree_from_rows(tree))


def _check_netlist(netlist: Netlist) -> None:
    s = netlist.structure()
    assert s.num_nodes == len(netlist)
    gr.levels(netlist.structure(cut_latches=True))
    assert gr.from_pyg(netlist.to_pyg()) == s
