"""What makes and converts structures, schedules, sequences and tries."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

import graphrec as gr
from tests import strategies
from tests.face.entry import Arguments, Entry, given, is_sound, is_structure, same, small, truth
from tests.tolerances import assert_close

LENGTHS = st.lists(st.integers(0, 5), max_size=4)
ANY = strategies.structures()
ACYCLIC = strategies.structures(cyclic=False)
CHAINS = strategies.chains()
BOTH_WAYS = CHAINS.map(lambda s: gr.dag(torch.cat([s.edge_index, s.edge_index.flip(0)], dim=1), s.num_nodes))
SEQUENCES = st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=4)
X_AND_CHAINS = strategies.with_rows(CHAINS)


def nodes(count: Any) -> Any:
    """A structure with so many nodes."""

    def promise(s: gr.Structure, arguments: Arguments) -> None:
        is_structure(s)
        assert s.num_nodes == count(arguments)

    return promise


def named(
    names: tuple[str, str], of: st.SearchStrategy[tuple[Any, Any]], **more: Any
) -> st.SearchStrategy[Arguments]:
    """A pair that goes together as two arguments, and others beside it."""
    return st.tuples(of, given(**more)).map(
        lambda drawn: {**dict(zip(names, drawn[0], strict=True)), **drawn[1]}
    )


def a_row_for_each_node(found: torch.Tensor, arguments: Arguments) -> None:
    s = arguments["structure"]
    assert found.shape == (s.num_nodes,)
    assert found.dtype == torch.long


def levels(found: torch.Tensor, arguments: Arguments) -> None:
    a_row_for_each_node(found, arguments)
    s = arguments["structure"]
    assert bool((found[s.source] < found[s.target]).all())


def colours(found: torch.Tensor, arguments: Arguments) -> None:
    a_row_for_each_node(found, arguments)
    s = arguments["structure"]
    apart = s.source != s.target
    assert bool((found[s.source] != found[s.target])[apart].all())


def plan(found: gr.Schedule, arguments: Arguments) -> None:
    s = arguments["structure"]
    assert found.num_nodes == s.num_nodes
    assert sorted(found.perm.tolist()) == list(range(found.num_nodes))
    assert gr.schedule(**arguments) == found
    assert str(found)
    assert found._repr_html_()


@st.composite
def edges(draw: Any) -> Arguments:
    s = draw(strategies.dags() | strategies.graphs())
    return {"edge_index": s.edge_index, "num_nodes": s.num_nodes, "slot": s.slot}


@st.composite
def fields(draw: Any) -> Arguments:
    s = draw(ANY)
    return {k: v for k, v in vars(s).items() if k != "cache"}


@st.composite
def tree_arguments(draw: Any) -> Arguments:
    parents = [-1]
    for node in range(1, draw(st.integers(1, 6))):
        parents.append(draw(st.integers(0, node - 1)))
    return draw(
        st.sampled_from(
            [{"parents": parents}, {"source": "(3 (2 It) (4 's))"}, {"source": ["a", ["b", "c"]]}]
        )
    )


def of_flags(found: gr.Episodes, arguments: Arguments) -> None:
    first = arguments["is_first"]
    is_structure(found.structure)
    assert found.structure.num_nodes == first.numel()
    assert found.final(torch.zeros(len(found.column), 2)).shape[0] == found.num_columns


def unpadded(found: Any, arguments: Arguments) -> None:
    x, lengths = arguments["x"], arguments["lengths"]
    is_structure(found.s)
    again, sizes = gr.to_padded(
        found.x, found.s, arguments["batch_first"], time=x.shape[int(arguments["batch_first"])]
    )
    assert sizes.tolist() == list(lengths)
    assert_close(gr.from_padded(again, lengths, arguments["batch_first"]).x, found.x)


@st.composite
def padded_arguments(draw: Any) -> Arguments:
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    first = draw(truth)
    shape = (len(lengths), 4, 2) if first else (4, len(lengths), 2)
    return {"x": torch.randn(shape), "lengths": lengths, "batch_first": first}


PACKED = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(
    lambda sizes: pack_sequence([torch.randn(size, 2) for size in sizes], enforce_sorted=False)
)


def of_positions(found: torch.Tensor, arguments: Arguments) -> None:
    s = arguments["s"]
    is_position = s.kind == s.kind_names.index("position")
    same(found[is_position], arguments["x"])
    assert not found[~is_position].any()


STRUCTURES: dict[str, Entry] = {
    "EdgeFeatures": Entry(given(num_edges=st.integers(0, 3), relations=st.just((None, None))), is_sound),
    "FixedPoint": Entry(
        given(
            tolerance=st.sampled_from([1e-6, 0.1]), limit=small, otherwise=st.sampled_from(["error", "warn"])
        ),
        is_sound,
    ),
    "Structure": Entry(fields(), is_structure),
    "balanced": Entry(given(lengths=LENGTHS, arity=st.integers(2, 3)), is_structure),
    "batch": Entry(
        given(structures=st.lists(CHAINS | strategies.dags(), max_size=3)),
        nodes(lambda a: sum(s.num_nodes for s in a["structures"])),
    ),
    "breadth_first": Entry(
        ANY.map(lambda s: {"structure": s, "roots": list(range(s.num_nodes))}), a_row_for_each_node
    ),
    "by_time": Entry(given(structure=st.builds(gr.over_time, CHAINS, small)), a_row_for_each_node),
    "chain": Entry(given(length=st.integers(0, 9)), nodes(lambda a: a["length"])),
    "chains": Entry(given(lengths=LENGTHS), nodes(lambda a: sum(a["lengths"]))),
    "chebyshev": Entry(
        given(graph=BOTH_WAYS, k=small, largest=st.sampled_from([1.5, 2.0])),
        nodes(lambda a: a["graph"].num_nodes),
    ),
    "colouring": Entry(given(structure=ANY, seed=st.integers(0, 3)), colours),
    "dag": Entry(edges(), nodes(lambda a: a["num_nodes"])),
    "diffusion": Entry(given(graph=strategies.graphs(), k=small), nodes(lambda a: a["graph"].num_nodes)),
    "episodes": Entry(
        given(
            is_first=st.builds(lambda t, b: torch.rand(t, b) < 0.4, st.integers(0, 4), small),
            batch_first=truth,
        ),
        of_flags,
    ),
    "from_list": Entry(
        given(sequences=st.lists(st.integers(0, 3).map(lambda t: torch.randn(t, 2)), min_size=1, max_size=3)),
        lambda found, a: same(gr.to_list(*found), a["sequences"]),
    ),
    "from_networkx": Entry(
        given(graph=ANY.filter(lambda s: s.num_nodes > 0).map(gr.to_networkx)),
        nodes(lambda a: len(a["graph"])),
    ),
    "from_packed": Entry(
        given(packed=PACKED), lambda found, a: same(gr.to_packed(*found, like=a["packed"]), a["packed"])
    ),
    "from_padded": Entry(padded_arguments(), unpadded),
    "from_prefixes": Entry(
        given(h=torch.randn(gr.prefix_scan([2, 3]).num_nodes, 2), s=gr.prefix_scan([2, 3])),
        lambda found, a: same(list(found.shape), [5, 2]),
    ),
    "from_pyg": Entry(given(data=ANY.map(gr.to_pyg)), is_structure),
    "from_resets": Entry(
        given(
            x=torch.randn(3, 2, 4),
            is_first=st.builds(lambda p: torch.rand(3, 2) < p, st.floats(0, 1)),
            batch_first=st.just(False),
        ),
        lambda found, a: same(found[0], a["x"].flatten(0, 1)),
    ),
    "grid": Entry(given(lengths=LENGTHS, layers=small), nodes(lambda a: sum(a["lengths"]) * a["layers"])),
    "lagged": Entry(
        given(lengths=LENGTHS, lags=st.sampled_from([1, 3, (1, 3), [2]])), nodes(lambda a: sum(a["lengths"]))
    ),
    "levels": Entry(given(structure=ACYCLIC), levels),
    "line_graph": Entry(given(s=strategies.dags() | CHAINS), is_structure),
    "over_time": Entry(
        given(graph=strategies.graphs() | CHAINS, steps=st.integers(0, 3), carried=truth), is_structure
    ),
    "prefix_scan": Entry(given(lengths=LENGTHS, arity=st.integers(2, 3)), is_structure),
    "schedule": Entry(
        given(structure=ANY, mode=st.just("async"), cycles=st.just("iterate"), rounds=st.just(3))
        | given(structure=ANY, mode=st.just("sync"), rounds=small),
        plan,
    ),
    "to_list": Entry(
        named(("s", "h"), X_AND_CHAINS),
        lambda found, a: same(gr.from_list(found).s.num_nodes, a["s"].num_nodes),
    ),
    "to_networkx": Entry(given(structure=ANY), lambda found, a: same(len(found), a["structure"].num_nodes)),
    "to_packed": Entry(
        named(
            ("s", "h"), strategies.with_rows(CHAINS.filter(lambda s: len(s.graph.unique()) == s.num_graphs))
        ),
        lambda found, a: same(found.data.shape[0], a["s"].num_nodes),
    ),
    "to_padded": Entry(
        named(("s", "h"), X_AND_CHAINS, batch_first=truth, padding_value=0.5, time=st.none() | st.just(9)),
        lambda found, a: same(int(found[1].sum()), a["s"].num_nodes),
    ),
    "to_positions": Entry(given(x=torch.randn(5, 2), s=gr.balanced([2, 3])), of_positions),
    "to_pyg": Entry(given(structure=ANY), lambda found, a: same(gr.from_pyg(found) == a["structure"], True)),
    "tree": Entry(tree_arguments(), is_structure),
    "trie": Entry(
        given(sequences=SEQUENCES),
        lambda found, a: same(found.expand(found.token).tolist(), [t for row in a["sequences"] for t in row]),
    ),
}
