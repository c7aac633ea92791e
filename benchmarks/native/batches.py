"""A new batch of small graphs at every step, from the loader to the gradients: what users do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.datasets import TUDataset
from torch_geometric.loader import DataLoader as PyGLoader

import graphrec as gr

from ..graphs import Layers, perceptron
from .figures import Figure, Target
from .race import LOOP, NEW, Race

GRAPHS, STEPS, HIDDEN = 64, 10, 32
PYG = "PyG"
SAME_LOADER = "new, with PyG's loader"
TARGET = Target(1.1, 1.5)
TOLERANCE = 1e-4  # float32, relative to the largest entry

# How many rounds, the cell and PyG's layer.
NETS: dict[str, tuple[int, Callable[[int, int], Any], Callable[[int, int], Any]]] = {
    "GIN": (
        3,
        lambda inputs, hidden: gr.GINCell(inputs, hidden),
        lambda inputs, hidden: pyg.GINConv(perceptron(inputs, hidden)),
    ),
    # Degrees are other ones in each batch: nothing is cached.
    "GCN": (2, gr.GCNCell, pyg.GCNConv),
}


class Classifier(nn.Module):
    """Rounds, the sum over each graph's nodes, and a linear layer.

    Args:
        rounds: called as `rounds(x, edges)`; states of all nodes.
        over: the edges, as `rounds` takes them, of a batch.
        total: called as `total(states, batch)`; a row per graph.
        hidden: the width of states.
    """

    def __init__(
        self,
        rounds: nn.Module,
        over: Callable[[Any], Any],
        total: Callable[[Tensor, Any], Tensor],
        hidden: int,
    ) -> None:
        super().__init__()
        self.rounds, self.over, self.total = rounds, over, total
        self.answer = nn.Linear(hidden, 2)

    def forward(self, batch: Any) -> Tensor:
        """`[G, 2]`."""
        return self.answer(self.total(self.rounds(batch.x, self.over(batch)), batch))


def run(rounds: int, quick: bool) -> list[Figure]:
    """Both networks on MUTAG; a time is that of all steps."""
    graphs, origin = small_graphs()
    steps, hidden = (2, 8) if quick else (STEPS, HIDDEN)
    found = []
    for net, (depth, _, _) in NETS.items():
        ours, theirs = networks(net, graphs[0].num_node_features, hidden)
        loader, loader_of_pyg = new_batches(graphs, steps), new_batches(graphs, steps, PyGLoader)
        _check_agreement(ours, theirs, next(iter(loader)))
        race = Race(lambda ours=ours, loader=loader: _epoch(ours, loader))
        race.add(PYG, lambda theirs=theirs, loader=loader_of_pyg: _epoch(theirs, loader))
        race.add(SAME_LOADER, lambda ours=ours, loader=loader_of_pyg: _epoch(ours, loader))
        race.add_backend(LOOP)
        timed = race.run(rounds)
        job = f"{net} x {depth}, training, **a new batch at each step**, loader included"
        case = f"{steps} steps of {GRAPHS} {origin}, H={hidden}"
        found += [
            timed.figure(job, case, PYG, NEW, TARGET),
            timed.figure(job, case, PYG, SAME_LOADER),
            timed.figure(job, case, LOOP, NEW),
        ]
    return found


def small_graphs() -> tuple[list[Data], str]:
    """MUTAG, if `$GRAPHREC_DATA/MUTAG` is there; or rings with chords of its sizes, and random labels."""
    folder = os.environ.get("GRAPHREC_DATA")
    if folder and (Path(folder) / "MUTAG").exists():
        kept = ("x", "edge_index", "y")  # what these networks read: nothing else is collated
        with TemporaryDirectory() as place:  # PyG writes beside the files that it reads
            shutil.copytree(Path(folder) / "MUTAG" / "raw", Path(place) / "MUTAG" / "raw")
            molecules = TUDataset(place, "MUTAG")
        return [Data(**{name: sample[name] for name in kept}) for sample in molecules], "graphs of MUTAG"
    generator = torch.Generator().manual_seed(0)
    graphs = []
    for nodes in torch.randint(10, 29, (188,), generator=generator).tolist():
        ring = torch.arange(nodes)
        edges = torch.cat([torch.stack([ring, (ring + 1) % nodes]), torch.tensor([[0], [nodes // 2]])], dim=1)
        atoms = torch.randint(7, (nodes,), generator=generator)
        x, y = nn.functional.one_hot(atoms, 7).float(), torch.randint(2, (1,), generator=generator)
        graphs.append(Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], dim=1), y=y))
    return graphs, "graphs like MUTAG's"


def new_batches(graphs: list[Data], steps: int, loader: type[PyGLoader] = gr.DataLoader) -> PyGLoader:
    """A loader over random batches, the same ones for all; each is collated anew whenever it is asked for."""
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randperm(len(graphs), generator=generator)[:GRAPHS].tolist() for _ in range(steps)]
    return loader(graphs, batch_sampler=drawn)


def networks(net: str, inputs: int, hidden: int) -> tuple[Classifier, Classifier]:
    """graphrec's network and PyG's, with the same weights."""
    torch.manual_seed(0)
    depth, cell, layer = NETS[net]
    widths = [inputs, *[hidden] * (depth - 1)]
    rounds = gr.GNN([cell(width, hidden) for width in widths], nn.ReLU())
    layers = Layers([layer(width, hidden) for width in widths])
    for its, mine in zip(layers.layers, rounds.cells, strict=True):
        its.load_state_dict(mine.state_dict())
    ours = Classifier(rounds, lambda batch: batch, gr.readout.sum, hidden)
    theirs = Classifier(layers, lambda batch: batch.edge_index, _add_pool, hidden)
    theirs.answer.load_state_dict(ours.answer.state_dict())
    return ours, theirs


def _add_pool(h: Tensor, batch: Any) -> Tensor:
    return pyg.pool.global_add_pool(h, batch.batch, batch.num_graphs)


def _epoch(network: Classifier, loader: PyGLoader) -> None:
    """Loss and gradients of each batch; an optimiser's step would be the same on both sides."""
    for batch in loader:
        _backward(network, batch)


def _backward(network: Classifier, batch: Any) -> list[Tensor]:
    network.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(network(batch), batch.y).backward()
    return [p.grad for p in network.parameters() if p.grad is not None]


def _check_agreement(ours: Classifier, theirs: Classifier, batch: Any) -> None:
    """The same gradients, whatever order parameters have."""
    norms = [torch.stack([g.norm() for g in _backward(net, batch)]).sort().values for net in (ours, theirs)]
    off = float((norms[0] - norms[1]).abs().max() / norms[1].abs().max())
    if not off <= TOLERANCE:
        raise RuntimeError(f"PyG's gradients are off graphrec's by {off:.0e} (at most {TOLERANCE}).")
