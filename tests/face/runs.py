"""Runs, and calls of models, readouts and methods."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import SAGEConv

import graphrec as gr
from tests import strategies
from tests.face.entry import Arguments, Entry, given, is_sound, same, small
from tests.face.structures import ANY, CHAINS, named

ACYCLIC = strategies.structures(cyclic=False)
TREE_GRU = gr.TreeGRUCell(2, 3)
TRIE = gr.trie([[1, 2], [1, 3]])
EPISODES = gr.episodes(torch.tensor([[True, True], [False, True], [True, False]]))
STATE = gr.SRNCell(2, 3).State(torch.zeros(1, 3))


@st.composite
def run_arguments(draw: Any, **more: Any) -> Arguments:
    s, x = draw(strategies.with_rows(ACYCLIC))
    cell = TREE_GRU
    initial = draw(st.sampled_from([None, cell.State(torch.ones(1, 3))]))
    return {"cell": cell, "plan": gr.schedule(s), "x": x, "initial": initial, **draw(given(**more))}


def states(found: Any, arguments: Arguments) -> None:
    assert found.h.shape == (arguments["plan"].num_nodes, 3)


def steps(found: Any, arguments: Arguments) -> None:
    seen = torch.cat([torch.zeros(0, dtype=torch.long), *(step.nodes for step in found)])
    assert sorted(seen.tolist()) == list(range(arguments["plan"].num_nodes))


def in_rounds(**arguments: Any) -> st.SearchStrategy[Arguments]:
    return st.tuples(strategies.with_rows(ANY.filter(lambda s: s.edge_attr is None)), small).map(
        lambda drawn: {
            "cell": TREE_GRU,
            "plan": gr.schedule(drawn[0][0], "sync", rounds=drawn[1]),
            "x": drawn[0][1],
        }
    )


def a_row(found: torch.Tensor, arguments: Arguments) -> None:
    assert found.shape[0] == arguments["s"].num_graphs


def call_of(model: nn.Module, of: Any = CHAINS) -> Entry:
    """A call of a model, with an initial state or none, and by a backend or any."""
    arguments = named(
        ("s", "x"), strategies.with_rows(of), backend=st.sampled_from([None, "loop"]), return_states=False
    )
    return Entry(arguments, lambda found, a: same(len(found), a["s"].num_nodes), model)


def used(backend: Any) -> None:
    with gr.running_on(backend):
        pass


X_AND_S = named(("s", "h"), strategies.with_rows(CHAINS))
RUNS: dict[str, Entry] = {
    "attention_weights": Entry(
        named(("s", "x"), strategies.with_rows(strategies.graphs())).map(
            lambda a: {**a, "cell": gr.GATCell(2, 2)}
        ),
        is_sound,
    ),
    "backends": Entry(given(), is_sound),
    # (A module that takes no structure fails by itself.)
    "explain": Entry(
        named(("s", "x"), strategies.with_rows(CHAINS)),
        is_sound,
        lambda **given: gr.explain(gr.GRU(2, 3), **given),
    ),
    "per_graph": Entry(given(state=torch.zeros(2, 3)), is_sound),
    "per_node": Entry(given(state=torch.zeros(2, 3)), is_sound),
    "rounds": Entry(in_rounds(), lambda found, a: same(len(found), a["plan"].rounds + 1)),
    "run": Entry(run_arguments(backend=st.sampled_from([None, "loop"])), states),
    "running_on": Entry(given(backend=st.sampled_from([None, "loop", "native"])), is_sound, used),
    "steps": Entry(run_arguments(), steps, lambda **arguments: list(gr.steps(**arguments))),
}
CALLS: dict[str, Entry] = {
    "GRU()": call_of(gr.GRU(2, 3)),
    "Bidirectional()": call_of(gr.Bidirectional(gr.GRU(2, 3), gr.GRU(2, 3))),
    "GNN()": call_of(gr.GNN([gr.GCNCell(2, 3)]), strategies.graphs()),
    "Levelwise()": call_of(gr.Levelwise(SAGEConv(2, 2)), strategies.dags()),
    "TDNN()": call_of(gr.TDNN(2, 3, 2)),
    "TreeLSTM()": call_of(gr.TreeLSTM(2, 3), strategies.trees()),
    "GRU().initial": Entry(given(x=torch.randn(3, 2), s=gr.chain(3), initial=STATE), is_sound, gr.GRU(2, 3)),
    "GRU.with_states": Entry(given(x=torch.randn(3, 2), s=gr.chain(3)), is_sound, gr.GRU(2, 3).with_states),
    "Sequences()": Entry(given(input=torch.randn(2, 3, 2)), is_sound, gr.Sequences(gr.GRU(2, 3))),
    "LanguageModel()": Entry(
        given(token=torch.tensor([1, 2]), s=gr.chain(2)),
        is_sound,
        gr.LanguageModel(5, 2, gr.GRU(2, 3), 3, end=0),
    ),
    "LanguageModel.generate": Entry(
        given(prefixes=[[1, 2], [3]], limit=small),
        is_sound,
        gr.LanguageModel(5, 2, gr.GRU(2, 3), 3, end=0).generate,
    ),
    "Seq2Seq.beam": Entry(
        given(source=torch.tensor([1, 2]), s=gr.chain(2), limit=small, width=small),
        is_sound,
        gr.Seq2Seq(gr.GRU(2, 3), gr.GRUCell(2, 3), 5, 5, 2, 0, 1).beam,
    ),
    **{
        f"readout.{name}": Entry(X_AND_S, a_row, getattr(gr.readout, name))
        for name in ("last", "sum", "mean", "max", "ends")
    },
    "readout.root": Entry(X_AND_S, a_row, gr.readout.root),
    "readout.aggregate": Entry(
        named(("s", "h"), strategies.with_rows(CHAINS), aggr=st.sampled_from(["sum", "mean"])),
        a_row,
        gr.readout.aggregate,
    ),
    "readout.attention": Entry(
        given(s=gr.chain(3)), a_row, lambda s: gr.readout.attention(torch.ones(3, 2), s, nn.Linear(2, 1))
    ),
    "readout.with_readout": Entry(given(s=ANY), is_sound, gr.readout.with_readout),
    "Structure.replace": Entry(
        given(
            slot=torch.zeros(2, dtype=torch.long),
            kind=torch.zeros(3, dtype=torch.long),
            tokens=["a", None, "b"],
            labels=["a", None, "b"],
            edge_weight=torch.ones(2),
            edge_attr=torch.ones(2, 2),
            relation=torch.zeros(2, dtype=torch.long),
            relation_names=("a",),
        ),
        is_sound,
        gr.chain(3).replace,
    ),
    "Trie.expand": Entry(given(h=torch.ones(3, 2)), is_sound, TRIE.expand),
    "Trie.fold": Entry(
        given(values=torch.ones(4, 2), reduce=st.sampled_from(["sum", "mean"])), is_sound, TRIE.fold
    ),
    "Trie.last": Entry(given(state=torch.ones(3, 2)), is_sound, TRIE.last),
    "Trie.from_branches": Entry(
        given(prompts=[[1, 2], [3]], branches=[[[1], [2]], []]), is_sound, gr.Trie.from_branches
    ),
    "Trie.from_segments": Entry(
        given(lengths=[2, 1], parents=[-1, 0], token=[1, 2, 3]), is_sound, gr.Trie.from_segments
    ),
    "Trie.from_parents": Entry(
        given(parents=[-1, 0, 0], token=[1, 2, 3], ends=[1, 2], position=[0, 1, 1]),
        is_sound,
        gr.Trie.from_parents,
    ),
    "Trie.batch": Entry(given(tries=st.builds(lambda: [TRIE, TRIE])), is_sound, gr.Trie.batch),
    "Episodes.initial": Entry(
        given(carried=torch.zeros(2, 3), reset=st.none() | st.just(torch.zeros(1, 3))),
        is_sound,
        EPISODES.initial,
    ),
    "Episodes.final": Entry(given(state=torch.zeros(len(EPISODES.column), 3)), is_sound, EPISODES.final),
}
