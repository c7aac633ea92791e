"""Formats: what is made of texts, of PyG's data and of circuits, and what suits a cell that is tested."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch_geometric.data import HeteroData

import graphrec as gr
from graphrec import testing
from graphrec.io import circuits
from tests import strategies
from tests.face.entry import Arguments, Entry, given, is_sound, is_structure, same, truth

SENTENCE = "1\tDogs\tdog\tNOUN\tN\t_\t2\tnsubj\t_\t_\n2\tbark\tbark\tVERB\tV\t_\t0\troot\t_\t_\n\n"
BRACKETS = st.sampled_from(["(3 (2 It) (4 's))", "word", "(a (b -LRB-) c)"])
BENCH = "INPUT(a)\nINPUT(b)\nOUTPUT(y)\ny = NAND(a, q)\nq = DFF(b)\n"
AIGER = "aag 3 2 0 1 1\n2\n4\n6\n6 2 4\n"
Kind = circuits.Kind
EVERY_CLAIM = {claim.name: "not here" for claim in testing.CLAIMS}


def edges(s: gr.Structure, x: torch.Tensor, **more: Any) -> Arguments:
    return {"source": s.edge_index, "rows": x, **more}


@st.composite
def pairs(draw: Any) -> Arguments:
    """Edges from one set of nodes to another."""
    sources, targets = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    ends = st.tuples(st.integers(0, sources - 1), st.integers(0, targets - 1))
    listed = draw(st.lists(ends, max_size=4))
    return {
        "edge_index": torch.tensor(listed, dtype=torch.long).reshape(-1, 2).t(),
        "num_sources": sources,
        "num_targets": targets,
        "edge_attr": draw(st.none() | st.just(torch.ones(len(listed), 2))),
        "edge_weight": draw(st.none() | st.just(torch.ones(len(listed)))),
    }


def of_pairs(s: gr.Structure, arguments: Arguments) -> None:
    is_structure(s)
    assert s.num_nodes == arguments["num_sources"] + arguments["num_targets"]
    same((s.source - arguments["num_targets"]).tolist(), arguments["edge_index"][0].tolist())


def of_types() -> Arguments:
    data = HeteroData({"a": {"x": torch.ones(2, 3)}, "b": {"x": torch.ones(1, 3)}})
    data["a", "to", "b"].edge_index = torch.tensor([[0, 1], [0, 0]])
    return {"x": {"b": torch.zeros(1, 3), "a": torch.ones(2, 3)}, "s": data}


@st.composite
def netlists(draw: Any) -> Arguments:
    """Inputs, gates that read earlier ones, and latches that read any."""
    inputs, gates, latches = draw(st.integers(1, 3)), draw(st.integers(0, 3)), draw(st.integers(0, 2))
    size = inputs + gates + latches
    kinds, fanins = [Kind.INPUT] * inputs, [()] * inputs
    for gate in range(inputs, inputs + gates):
        kinds.append(draw(st.sampled_from([Kind.AND, Kind.XNOR])))
        fanins.append(tuple(draw(st.lists(st.integers(0, gate - 1), min_size=2, max_size=3))))
    for _ in range(latches):
        kinds.append(Kind.LATCH)
        fanins.append((draw(st.integers(0, size - 1)),))
    return {
        "names": tuple(f"g{gate}" for gate in range(size)),
        "kinds": tuple(kinds),
        "fanins": tuple(fanins),
        "outputs": (size - 1,),
        "resets": tuple(draw(st.sampled_from([0, 1, None])) for _ in range(latches)),
        "bad": draw(st.sampled_from([(), (0,)])),
        "justice": draw(st.sampled_from([(), ((0,),)])),
        "symbols": draw(st.sampled_from([(), (("o0", "carry"),)])),
    }


def sentences(**arguments: Any) -> Any:
    """The structures of sentences, or what is said of a text that could be the path of a file, and is not."""
    try:
        return gr.io.from_conllu(**arguments)
    except FileNotFoundError as error:
        said = str(error)
    assert said.startswith("expected a text")
    return said


def is_netlist(found: circuits.Netlist, _: Arguments | None = None) -> None:
    """Its structure is whole, and without what latches read a DAG."""
    assert repr(found)
    is_structure(found.structure())
    gr.levels(found.structure(cut_latches=True))
    same(gr.from_pyg(found.to_pyg()) == found.structure(), True)


def checked(**arguments: Any) -> testing.Report:
    """(All claims of a cell take seconds; that they are checked is for tests/testing.)"""
    return testing.check_cell(**arguments, skip=EVERY_CLAIM)


FORMATS: dict[str, Entry] = {
    "io.as_pair": Entry(pairs(), of_pairs),
    "io.as_structure": Entry(
        st.builds(edges, strategies.graphs(), st.just(None)).map(
            lambda a: {**a, "rows": torch.ones(int(a["source"].max()) + 1 if a["source"].numel() else 1, 2)}
        ),
        is_structure,
    ),
    "io.from_conllu": Entry(
        given(
            source=SENTENCE,
            tokens=st.sampled_from(["form", "lemma"]),
            labels=st.sampled_from([None, "upos", "xpos"]),
            relations=st.none() | st.just(["root", "nsubj"]),
            enhanced=False,
        ),
        lambda found, a: same([s.num_nodes for s in found], [2]),
        sentences,
    ),
    "io.parse_brackets": Entry(given(text=BRACKETS, labels=truth), is_sound),
    "io.rows_by_type": Entry(
        st.builds(of_types), lambda found, a: same(found[2].tolist(), [[1.0] * 3, [1.0] * 3, [0.0] * 3])
    ),
    "io.circuits.Netlist": Entry(netlists(), is_netlist),
    "io.circuits.parse_aiger": Entry(
        given(text=st.sampled_from([AIGER, AIGER.encode()]), source="a"), is_netlist
    ),
    "io.circuits.parse_bench": Entry(
        given(text=BENCH, source="a", reset=st.sampled_from([0, 1, None])), is_netlist
    ),
    "testing.check_cell": Entry(
        given(
            cell=st.sampled_from([gr.SRNCell, gr.SRNCell(2, 3), lambda: gr.GRUCell(2, 3)]),
            structures=st.none() | st.lists(strategies.chains(), min_size=1, max_size=2),
            seed=st.integers(0, 3),
        ),
        lambda found, a: same({one.verdict for one in found.results} == {"not applicable"}, True),
        checked,
    ),
    "testing.structures_for": Entry(
        given(cell=st.sampled_from([gr.SRNCell(2, 3), gr.TreeGRUCell(2, 3), gr.NaryTreeGRUCell(2, 3, 2)])),
        is_sound,
    ),
}
CALLS_OF_FORMATS: dict[str, Entry] = {
    "Netlist.structure": Entry(given(cut_latches=truth), is_structure, circuits.parse_bench(BENCH).structure),
}
