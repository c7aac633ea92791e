"""Graph networks in rounds beside PyG's layers, and a layer of PyG in dependency order beside DGL."""

from __future__ import annotations

import torch

from .. import dags, graphs
from ..contending import Contender, check_agreement
from .figures import Figure, Target
from .race import LOOP, NEW, Race

FROM_PYG = {"GCN": Target(2, 3), "GIN": Target(2, 3), "GAT": Target(4, 6), "GGNN, 2 rounds": Target(2, 3)}
FROM_DGL = Target(3, 5)
AS_WRITTEN, KINDER = "dgl, prop_nodes_topo", "dgl, frontiers made before"


def rounds_on_graphs(rounds: int, quick: bool) -> list[Figure]:
    """A layer of width 64 on a large random graph, in training; PyG in its fastest form."""
    case = graphs.QUICK if quick else graphs.LARGE
    edges, x = graphs.draw(case)
    found = []
    for net, target in FROM_PYG.items():
        is_gated = net.startswith("GGNN")
        contenders = graphs.gated(case, edges, x) if is_gated else graphs.layers(net, case, edges, x)
        check_agreement(contenders)
        race = _race(contenders)
        others = tuple(name for name in contenders if name != graphs.OURS)
        found.append(race.run(rounds).figure(f"{net}, training", case.name, others, NEW, target))
    return found


def levelwise(rounds: int, quick: bool) -> list[Figure]:
    """PyG's `GraphConv` on random DAGs, in training. DGL's way with frontiers made before is told for comparison."""
    found = []
    for case in (dags.QUICK,) if quick else dags.CASES:
        s = dags.draw(case)
        x = torch.randn(s.num_nodes, case.hidden, generator=torch.Generator().manual_seed(0))
        made = dags.convolutions(s, x)
        contenders = {name: made[name] for name in (dags.OURS, AS_WRITTEN, KINDER) if name in made}
        check_agreement(contenders)
        race = _race(contenders)
        for name in (AS_WRITTEN, KINDER):
            if name not in made:
                race.missing[name] = "dgl is not there, or does not load"
        race.add_backend(LOOP)
        timed = race.run(rounds)
        job = "Levelwise(GraphConv), training"
        found += [
            timed.figure(job, case.name, AS_WRITTEN, NEW, FROM_DGL),
            timed.figure(job, case.name, KINDER, NEW),
            timed.figure(job, case.name, LOOP, NEW),
        ]
    return found


def _race(contenders: dict[str, Contender]) -> Race:
    """graphrec's contender is the first."""
    ours, *others = contenders
    race = Race(contenders[ours].train)
    for name in others:
        race.add(name, contenders[name].train)
    return race
