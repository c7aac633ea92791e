"""The Child-Sum Tree-LSTM on sentiment trees: beside the loop, the peers, and its own matrix products."""

from __future__ import annotations

import graphrec as gr

from ..forests import sentiment_forest, sentiment_tree
from ..peers import Contender, DGLMailbox, DGLSum, Layer, PyTorchTreeLSTM, Unavailable
from ..trees import MODES, SETTINGS, GraphRec, check_agreement, make_layer
from .figures import Figure, Target, Timed
from .products import Products
from .race import LOOP, NEW, PROGRAMS, Race, Task, on

DGL = (DGLMailbox.name, DGLSum.name)
PRODUCTS = "products alone"

# By setting, (25, 150), (128, 150), (256, 300).
FROM_LOOP = {
    "training": (Target(2.2, 3), Target(2.2, 2.6), Target(1.8, 2)),
    "inference": (Target(2.3, 3), Target(2.5, 3), Target(1.8, 2)),
}
FROM_DGL = (Target(4.5, 10), Target(4.5, 6), Target(3.3, 4))
TO_PRODUCTS = (Target(1.25, 1.1, small=True), Target(1.1, 1.03, small=True), Target(1.05, 1, small=True))
PROGRAMS_FROM_LOOP = Target(1.1, 1.4)
ONE_TREE = Target(15, 40)


def trees(rounds: int, quick: bool) -> list[Figure]:
    """Batches of trees."""
    found: list[Figure] = []
    for number, (batch, hidden) in enumerate(SETTINGS[:1] if quick else SETTINGS):
        forest = sentiment_forest(batch)
        layer = make_layer(forest.structure, hidden)
        ours, products = GraphRec(layer, forest.structure), Products(layer, gr.levels(forest.structure))
        peers, missing = _peers(layer)
        _check_agreement(ours, peers)
        for mode in MODES:
            race = Race(_task(ours, mode))
            race.missing |= missing
            for backend in (LOOP, PROGRAMS):
                race.add_backend(backend)
            for peer in peers:
                race.add(peer.name, _task(peer, mode))
            race.add(PRODUCTS, _task(products, mode))
            found += _figures(race.run(rounds), number, mode, f"{batch} {forest.origin}, H={hidden}")
    return found


def one_tree(rounds: int, quick: bool) -> list[Figure]:
    """One tree of 71 nodes, whose schedule is there."""
    forest = sentiment_tree(71)
    ours = GraphRec(make_layer(forest.structure, 64), forest.structure)
    _check_agreement(ours, [])
    race = Race(ours.train)
    race.add_backend(LOOP)
    case = f"one {forest.origin} of 71 nodes, H=64"
    return [race.run(rounds).figure("Tree-LSTM, training", case, LOOP, NEW, ONE_TREE)]


def _peers(layer: Layer) -> tuple[list[Contender], dict[str, str]]:
    """Those that are here; and by name why others are not."""
    here: list[Contender] = []
    missing: dict[str, str] = {}
    for peer in (DGLMailbox, DGLSum, PyTorchTreeLSTM):
        try:
            here.append(peer(layer))
        except Unavailable as reason:
            missing[peer.name] = str(reason)
    return here, missing


def _check_agreement(ours: GraphRec, peers: list[Contender]) -> None:
    results = {LOOP: on(LOOP, ours.results), NEW: ours.results}
    check_agreement(results | {peer.name: peer.results for peer in peers})


def _task(contender: GraphRec | Contender | Products, mode: str) -> Task:
    return contender.train if mode == "training" else contender.infer


def _figures(timed: Timed, number: int, mode: str, case: str) -> list[Figure]:
    """Targets but for the loop's are for training."""
    job, is_training = f"Tree-LSTM, {mode}", mode == "training"
    return [
        timed.figure(job, case, LOOP, NEW, FROM_LOOP[mode][number]),
        timed.figure(job, case, DGL, NEW, FROM_DGL[number] if is_training else None),
        timed.figure(job, case, PyTorchTreeLSTM.name, NEW),
        timed.figure(job, case, NEW, PRODUCTS, TO_PRODUCTS[number] if is_training else None),
        timed.figure(job, case, LOOP, PROGRAMS, PROGRAMS_FROM_LOOP if is_training else None),
    ]
