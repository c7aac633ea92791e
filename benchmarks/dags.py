"""Messages in dependency order on DAGs: any convolution of PyG, and DAGNN, beside the ways there are to do it.

PyG itself has none. What its users write is a loop over levels, in which a mask over all edges finds those of the
level; DGL has `prop_nodes`, which walks the frontiers it is given.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch_geometric.nn as pyg
from torch import Tensor
from torch_geometric.utils import bipartite_subgraph, scatter, softmax

import graphrec as gr

from . import pictures
from .contending import Contender, Row, table, time_all
from .peers import Unavailable
from .peers.dgl_conv import in_order as dgl_in_order

OURS = "graphrec"


class Case(NamedTuple):
    """DAGs side by side.

    Attributes:
        graphs, nodes, depth: how many, the nodes of each, and its levels.
        hidden: the width of states.
    """

    graphs: int
    nodes: int
    depth: int
    hidden: int

    @property
    def name(self) -> str:
        """In words."""
        many = f"{self.graphs} DAGs of" if self.graphs > 1 else "one DAG,"
        return f"{many} {self.nodes:,} nodes, {self.depth} levels, H={self.hidden}"


CASES = (Case(128, 100, 20, 64), Case(32, 200, 50, 64), Case(1, 10_000, 100, 64))
QUICK = Case(8, 50, 10, 16)


def run(rounds: int, quick: bool, out: Path) -> list[Row]:
    """Print the table, draw `dags.png` into `out`."""
    rows: list[Row] = []
    for case in [QUICK] if quick else CASES:
        s = draw(case)
        x = torch.randn(s.num_nodes, case.hidden, generator=torch.Generator().manual_seed(0))
        rows += time_all("GraphConv in order", case.name, convolutions(s, x), rounds)
        rows += time_all("DAGNN, 2 layers, both directions", case.name, attention(s, x), rounds)
    print(f"\nfloat32: ms, median of {rounds} rounds (lowest to highest)")
    print("and how many times graphrec's time it is; the most memory that a run needs\n")
    print(table(rows, "DAGs"), end="\n\n")
    pictures.draw_rows(rows, out / "dags.png")
    return rows


def draw(case: Case) -> gr.Structure:
    """Random DAGs such as circuits are: each node reads one of the level below, and one more of any below."""
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for _ in range(case.graphs):
        width = case.nodes // case.depth
        node = torch.arange(width, case.nodes)
        level = node // width
        near = (level - 1) * width + torch.randint(width, node.shape, generator=generator)
        far = (torch.rand(node.shape, generator=generator) * level * width).long()
        edges = torch.stack([torch.cat([near, far]), node.repeat(2)])
        graphs.append(gr.dag(edges, case.nodes))
    return gr.batch(graphs)


def convolutions(s: gr.Structure, x: Tensor) -> dict[str, Contender]:
    """`GraphConv`, W_1 x_v + W_2 sum h_u, over a DAG in order: a contender for each way."""
    torch.manual_seed(0)
    conv = pyg.GraphConv(x.shape[1], x.shape[1])
    with torch.no_grad():
        conv.lin_rel.weight *= 0.5  # sums along hundreds of levels should stay numbers
    ours = gr.Levelwise(conv)
    gr.schedule(s)  # kept on the structure
    level, edges = gr.levels(s), s.edge_index
    nodes = [(level == number).nonzero().flatten() for number in range(int(level.max()) + 1)]
    found = {
        OURS: Contender(ours, x, lambda x: ours(x, s)),
        "mask loop": Contender(conv, x, partial(loop_over_masks, conv, edges, level)),
        "mask loop with care": Contender(conv, x, partial(loop_over_parts, conv, edges, level, nodes)),
    }
    try:
        for name, forward in dgl_in_order(conv, edges, s.num_nodes).items():
            found[name] = Contender(conv, x, forward)
    except Unavailable as reason:
        print(f"dgl is left out: {reason}")
    return found


def loop_over_masks(conv: Any, edges: Tensor, level: Tensor, x: Tensor) -> Tensor:
    """What one writes with PyG: level by level the layer over all nodes and the level's edges, and a mask."""
    h = x
    for number in range(int(level.max()) + 1):
        into = edges[:, level[edges[1]] == number]
        h = torch.where((level == number).unsqueeze(1), conv(h, into), h)
    return h


def loop_over_parts(conv: Any, edges: Tensor, level: Tensor, nodes: list[Tensor], x: Tensor) -> Tensor:
    """The same with more care: the layer sees the level's nodes alone as targets, and only these are written."""
    h = x
    place = torch.empty_like(level)
    for part in nodes:
        place[part] = torch.arange(len(part))
    for number, part in enumerate(nodes):
        source, target = edges[:, level[edges[1]] == number]
        rows = conv((h, h[part]), torch.stack([source, place[target]]))
        h = h.index_copy(0, part, rows)
    return h


def attention(s: gr.Structure, x: Tensor) -> dict[str, Contender]:
    """DAGNN, Thost & Chen (2021): a contender for each way to run it."""
    torch.manual_seed(0)
    ours = gr.DAGNN(x.shape[1], x.shape[1], layers=2, both=True)
    for direction in (s, s.reverse()):
        gr.schedule(direction)  # kept on the structure
    return {
        OURS: Contender(ours, x, lambda x: ours(x, s)),
        "a subgraph per level": Contender(ours, x, partial(dagnn_by_subgraphs, ours, s)),
    }


def dagnn_by_subgraphs(model: gr.DAGNN, s: gr.Structure, x: Tensor) -> Tensor:
    """DAGNN as its authors' code goes about it: for each level the edges that enter it, from all nodes to all.

    Kinder than that, which looks for the edges of each node by themselves.
    """
    found = []
    for layers, direction in ((model.along, s), (model.against, s.reverse())):
        level, edges, below = gr.levels(direction), direction.edge_index, x
        everywhere = torch.ones_like(level, dtype=torch.bool)
        for layer in layers or ():
            cell, h = layer.cell, torch.zeros_like(below)
            for number in range(int(level.max()) + 1):
                here = level == number
                (source, target), _ = bipartite_subgraph((everywhere, here), edges)
                weight = softmax(cell.score(h[source]), target, num_nodes=s.num_nodes)
                m = scatter(weight * h[source], target, dim_size=s.num_nodes)
                h = h.index_put((here,), gru(cell, below[here], m[here]))
            found.append(h)
            below = h
    return torch.cat(found, dim=1)


def gru(cell: gr.DAGNNCell, x: Tensor, m: Tensor) -> Tensor:
    """torch's gated recurrent unit with the weights of the cell."""
    return torch.gru_cell(
        x, m, cell.input.weight, cell.recurrent.weight, cell.input.bias, cell.recurrent.bias
    )
