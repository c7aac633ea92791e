"""The cells and the families of structures that every general claim is tested on.

A new cell joins all of these tests by one line in `CELLS`, with its oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch import nn

import graphrec as gr
from graphrec.testing.structures import (
    caterpillar,
    chain,
    chains,
    cyclic,
    isolated_nodes,
    one_node,
    star,
    tree,
)
from graphrec.testing.structures import diamond as dag
from graphrec.testing.structures import lags as lagged
from graphrec.testing.structures import layers as grid
from tests import oracles, user_cells


class CellCase(NamedTuple):
    """A cell to be tested.

    Attributes:
        name: for test ids.
        make: `make(D, H)` builds the cell; x is as wide as its `inputs`, which need not be D.
        oracle: its paper's equations, see `tests.oracles`.
    """

    name: str
    make: Callable[[int, int], gr.Cell]
    oracle: oracles.Equations | None = None

    @property
    def arity(self) -> int | None:
        return _arity(self.make)


@cache
def _arity(make: Callable[[int, int], gr.Cell]) -> int | None:
    return make(1, 1).arity


CELLS = [
    CellCase("SRN", gr.SRNCell, oracles.srn),
    CellCase("RecNN", gr.RecNNCell, oracles.recnn),
    CellCase(
        "RecNN-of-three",
        lambda d, h: gr.RecNNCell(d, h, arity=3, activation="logistic"),
        oracles.recnn_logistic,
    ),
    CellCase("RNTN", gr.RNTNCell, oracles.rntn),
    CellCase("ChildSumTreeLSTM", gr.ChildSumTreeLSTMCell, oracles.child_sum_tree_lstm),
    CellCase("NaryTreeLSTM", gr.NaryTreeLSTMCell, oracles.nary_tree_lstm),
    CellCase(
        "NaryTreeLSTM-of-three", lambda d, h: gr.NaryTreeLSTMCell(d, h, arity=3), oracles.nary_tree_lstm
    ),
    CellCase("TreeGRU", gr.TreeGRUCell, oracles.tree_gru),
    CellCase("NaryTreeGRU", gr.NaryTreeGRUCell, oracles.nary_tree_gru),
    CellCase(
        "Jordan", lambda d, h: gr.JordanCell(d, h, outputs=h + 1, output="logistic"), oracles.jordan_logistic
    ),
    CellCase("SecondOrder", gr.SecondOrderCell, oracles.second_order),
    CellCase("LSTM", gr.LSTMCell, oracles.lstm),
    CellCase("ProjectedLSTM", lambda d, h: gr.ProjectedLSTMCell(d, h + 1, h), oracles.projected_lstm),
    CellCase("NoForgetLSTM", gr.NoForgetLSTMCell, oracles.no_forget_lstm),
    CellCase("PeepholeLSTM", gr.PeepholeLSTMCell, oracles.peephole_lstm),
    CellCase("CoupledLSTM", gr.CoupledLSTMCell, oracles.coupled_lstm),
    CellCase("GRU", gr.GRUCell, oracles.gru),
    CellCase("TextbookGRU", gr.TextbookGRUCell, oracles.textbook_gru),
    CellCase("DiagonalSRN", gr.DiagonalSRNCell, oracles.diagonal_srn),
    CellCase("LRU", gr.LRUCell, oracles.lru),
    CellCase("MinGRU", gr.MinGRUCell, oracles.min_gru),
    CellCase("ElementwiseLSTM", gr.ElementwiseLSTMCell, oracles.elementwise_lstm),
    CellCase("LeakySRN", lambda d, h: gr.LeakySRNCell(d, h, alpha=0.3), oracles.leaky_srn),
    # Wider than the others: two numbers that are normalised are 1 and -1.
    CellCase("LayerNormSRN", lambda d, h: gr.LayerNormSRNCell(d, h + 2), oracles.layer_norm_srn),
    CellCase("LayerNormLSTM", lambda d, h: gr.LayerNormLSTMCell(d, h + 2), oracles.layer_norm_lstm),
    CellCase("LayerNormGRU", lambda d, h: gr.LayerNormGRUCell(d, h + 2), oracles.layer_norm_gru),
    CellCase(
        "Residual",
        lambda d, h: gr.ResidualCell(gr.ChildSumTreeLSTMCell(d, h)),
        oracles.residual(oracles.child_sum_tree_lstm),
    ),
    CellCase(
        "Series",
        lambda d, h: gr.SeriesCell([gr.SRNCell(d, h + 1), gr.LSTMCell(h + 1, h)]),
        oracles.series(oracles.srn, oracles.lstm),
    ),
    CellCase("TDNN", lambda d, h: gr.TDNNCell(d, h, lags=2), oracles.tdnn),
    CellCase("AR", lambda d, h: gr.ARCell(h, lags=2), oracles.ar),
    CellCase("DAGRNN", gr.DAGRNNCell, oracles.dag_rnn),
    CellCase("DAGNN", gr.DAGNNCell, oracles.dagnn),
    CellCase("DVAE", gr.DVAECell, oracles.dvae),
    CellCase("NARX", lambda d, h: gr.NARXCell(d, h, 2, input_lags=1, output_lags=3), oracles.narx),
]

# Cells that begin with x, so that D = H where they are run more than once; they read `own`.
GRAPH_CELLS = [
    CellCase("GCN", lambda d, h: gr.GCNCell(h, h)),
    CellCase("SAGE", lambda d, h: gr.SAGECell(h, h)),
    CellCase("GIN", lambda d, h: gr.GINCell(h, h, nn.Sequential(nn.Linear(h, h), nn.Tanh()), eps=0.3)),
    CellCase("GAT", lambda d, h: gr.GATCell(2 * h, 2 * h, heads=2)),
    CellCase("GATv2", lambda d, h: gr.GATv2Cell(2 * h, 2 * h, heads=2)),
    CellCase("GGNN", lambda d, h: gr.GGNNCell(h, h + 1, relations=user_cells.RELATIONS)),
    CellCase("MPNN", lambda d, h: gr.MPNNCell(h, h + 1, edges=user_cells.EDGE_FEATURES)),
]

# Cells as users write them; they have no paper, but every claim about engines holds for them, too.
USER_CELLS = [CellCase(make.__name__, make) for make in user_cells.ALL]

ALL_CELLS = CELLS + GRAPH_CELLS + USER_CELLS


def mixed_batch(arity: int | None) -> gr.Structure:
    return gr.batch([dressed(f(arity)) for f in (one_node, tree, chain, dag)])


ACYCLIC = [one_node, isolated_nodes, chain, chains, tree, caterpillar, dag, grid, lagged, star, mixed_batch]
FAMILIES = [*ACYCLIC, cyclic]

# Families that are chains again, where a node has one source at most.
CHAINS_IF_ARITY_IS_ONE = {caterpillar, grid, star}


@cache
def family(build: Callable[[int | None], gr.Structure], arity: int | None) -> gr.Structure:
    """A structure of a family for cells of this arity, with relations and edge attributes; tests share it."""
    return dressed(build(arity))


def cases(cells: Iterable[CellCase], families: Iterable[Callable], share: int = 1) -> list:
    """Parameters `case, structure` for every cell on every family.

    `make test` tries one in `share` of them, other families from cell to cell; the rest is slow.
    """
    return [
        pytest.param(
            case,
            family(build, case.arity),
            id=f"{case.name}-{build.__name__}",
            marks=pytest.mark.slow if (turn + place) % share else (),
        )
        for turn, case in enumerate(cells)
        for place, build in enumerate(families)
        if case.arity != 1 or build not in CHAINS_IF_ARITY_IS_ONE
    ]


def by_turns(
    cells: Iterable[CellCase], families: Iterable[Callable], forms: Sequence[object], share: int = 1
) -> list:
    """Parameters `case, structure, form` for every cell on every family in every form.

    `make test` tries one form of each pair, or of one in `share` of them, another one from family to family and from
    cell to cell; the rest is slow.
    """
    return [
        pytest.param(
            *pair.values,
            form,
            id=f"{pair.id}-{form}",
            marks=() if (turn + place) % (share * len(forms)) == number else pytest.mark.slow,
        )
        for turn, case in enumerate(cells)
        for place, pair in enumerate(cases([case], families))
        for number, form in enumerate(forms)
    ]


def dressed(s: gr.Structure) -> gr.Structure:
    edge = torch.arange(s.num_edges)
    features = torch.zeros(
        s.num_edges, user_cells.EDGE_FEATURES, dtype=torch.float64
    )  # a trial draws its own
    return s.replace(relation=edge % user_cells.RELATIONS, edge_attr=features)
