"""What is a paper about? GCN and GAT on Cora, compared with the same networks in PyG.

    python examples/cora.py            # two networks, five times here and in PyG: minutes; downloads Cora if needed
    python examples/cora.py --quick    # narrow networks, few epochs, once: seconds
    python examples/cora.py --data CiteSeer    # any other folder in Planetoid's format

Cora is one graph: 2,708 papers, their words, and their citations. As in the public split, 140 papers are labelled, 20
of each of seven subjects; 500 others choose the epoch, and 1,000 are the test set. With two rounds of a graph network,
a paper sees the words of papers two citations away, most of which have no label.

Each network is trained by the same loop in graphrec and in PyG, from the same weights, with the hyperparameters of its
paper. Random numbers have the same seeds and dropout the same masks: only the order of sums differs. The authors
stopped when the loss on the 500 no longer fell. Here the number of epochs is fixed, and the weights of the best epoch
are used, by accuracy on the 500 and then by their loss.

T. Kipf and M. Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017 (GCN);
P. Veličković, G. Cucurull, A. Casanova, A. Romero, P. Liò and Y. Bengio, "Graph Attention Networks", ICLR 2018 (GAT).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import common
import torch
from data import pyg_files
from torch import Tensor, nn
from torch_geometric.datasets import Planetoid
from torch_geometric.nn import GATConv, GCNConv
from torch_geometric.transforms import NormalizeFeatures

import graphrec as gr

SPELT = {"cora": "Cora", "citeseer": "CiteSeer", "pubmed": "PubMed"}
SUBJECTS = (
    "theory",
    "reinforcement learning",
    "genetic algorithms",
    "neural networks",
    "probabilistic methods",
    "case-based",
    "rule learning",
)


@common.reading()
def load(root: Path | None) -> tuple[Any, str]:
    """The papers of Cora or of another folder, and the name of the data set."""
    if root is not None and (root / "Cora").is_dir():
        root = root / "Cora"  # there may be others beside it
    root = pyg_files.folder_of("Cora") if root is None else root
    folder, name = (None, "cora") if root is None else pyg_files.find(root, "ind.", ".graph")
    name = SPELT.get(name, name)
    dataset: Any = pyg_files.read(
        lambda place: Planetoid(place, name, transform=NormalizeFeatures()), name, folder, before="ind."
    )
    papers = dataset[0]
    if not (papers.val_mask.any() and papers.test_mask.any()):
        raise ValueError(f"{name}: expected papers to choose the epoch by, and papers to test on.")
    if (papers.val_mask & papers.test_mask).any():  # PyG takes 500, however few there are
        raise ValueError(
            f"{name}: expected 500 papers or more between those to train on and those to test on."
        )
    return dataset, name


class Network(nn.Module):
    """Two rounds of graphrec, with dropout of the inputs of each."""

    def __init__(self, cells: list[gr.Cell], between: nn.Module, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.net = gr.GNN(cells, between=nn.Sequential(between, nn.Dropout(dropout)))

    def forward(self, data: Any) -> Tensor:
        """`[N, C]`: logits."""
        return self.net(self.dropout(data.x), data)

    def rounds(self, data: Any) -> list[Tensor]:
        """The states after each round."""
        return self.net.rounds(self.dropout(data.x), data)

    def start_as(self, other: Theirs) -> None:
        """Take PyG's weights: graphrec's cells have the same names for them."""
        for cell, conv in zip(self.net.cells, other.convs, strict=True):
            cell.load_state_dict(conv.state_dict())

    def decayed(self, everywhere: bool) -> list[nn.Parameter]:
        """The weights that are kept small: all, or those of the first round."""
        return list(self.parameters() if everywhere else self.net.cells[0].parameters())


class Theirs(nn.Module):
    """Two convolutions of PyG, otherwise like `Network`."""

    def __init__(self, convs: list[nn.Module], between: nn.Module, dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.dropout, self.between = nn.Dropout(dropout), between

    def forward(self, data: Any) -> Tensor:
        """`[N, C]`: logits."""
        first, second = self.convs
        h = self.between(first(self.dropout(data.x), data.edge_index))
        return second(self.dropout(h), data.edge_index)

    def decayed(self, everywhere: bool) -> list[nn.Parameter]:
        """As of `Network`."""
        return list(self.parameters() if everywhere else self.convs[0].parameters())


class Setup(NamedTuple):
    """A network and how it is trained, by its paper.

    Attributes:
        ours, theirs: called with the widths of inputs and states, and the number of classes.
        hidden: the width of states.
        rate: of learning.
        decay_all: whether all weights decay, or those of the first round.
        published: accuracy in per cent.
    """

    ours: Callable[[int, int, int], Network]
    theirs: Callable[[int, int, int], Theirs]
    hidden: int
    rate: float
    decay_all: bool
    published: str


HEADS = 8
DECAY = 5e-4
NETWORKS = {
    "GCN": Setup(
        ours=lambda d, h, c: Network([gr.GCNCell(d, h), gr.GCNCell(h, c)], nn.ReLU(), 0.5),
        # cached: the normalised edges are computed once, as graphrec does.
        theirs=lambda d, h, c: Theirs(
            [GCNConv(d, h, cached=True), GCNConv(h, c, cached=True)], nn.ReLU(), 0.5
        ),
        hidden=16,
        rate=0.01,
        decay_all=False,
        published="81.5",
    ),
    "GAT": Setup(
        ours=lambda d, h, c: Network(
            [gr.GATCell(d, h, heads=HEADS, dropout=0.6), gr.GATCell(h, c, average=True, dropout=0.6)],
            nn.ELU(),
            0.6,
        ),
        theirs=lambda d, h, c: Theirs(
            [
                GATConv(d, h // HEADS, heads=HEADS, dropout=0.6),
                GATConv(h, c, heads=1, concat=False, dropout=0.6),
            ],
            nn.ELU(),
            0.6,
        ),
        hidden=64,
        rate=0.005,
        decay_all=True,
        published="83.0 ± 0.7",
    ),
}


class Trained(NamedTuple):
    """The result of one training.

    Attributes:
        accuracy: `[epochs, 2]`, accuracy in per cent on the 500 and on the 1,000, after each epoch.
        best: the epoch that the 500 chose.
        seconds: per epoch, of the training alone; the median.
        network: with the weights of the best epoch.
    """

    accuracy: Tensor
    best: int
    seconds: float
    network: Any

    @property
    def tested(self) -> float:
        return self.accuracy[self.best, 1].item()


def learn(network: Any, data: Any, setup: Setup, epochs: int) -> Trained:
    """Train a network on the whole graph, a step an epoch."""
    decayed = network.decayed(setup.decay_all)
    others = [p for p in network.parameters() if all(p is not q for q in decayed)]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others}]
    adam = torch.optim.Adam([group for group in groups if group["params"]], setup.rate)
    curve, seconds = [], []
    best, score, weights = 0, (-1.0, 0.0), {}
    for epoch in range(epochs):
        network.train()
        begin = time.perf_counter()
        adam.zero_grad()
        logits = network(data)
        nn.functional.cross_entropy(logits[data.train_mask], data.y[data.train_mask]).backward()
        adam.step()
        seconds.append(time.perf_counter() - begin)
        network.eval()
        with torch.no_grad():
            logits = network(data)
        right = (logits.argmax(1) == data.y).double()
        curve.append([100 * right[mask].mean().item() for mask in (data.val_mask, data.test_mask)])
        loss = nn.functional.cross_entropy(logits[data.val_mask], data.y[data.val_mask]).item()
        if (now := (curve[-1][0], -loss)) > score:
            best, score, weights = epoch, now, copy.deepcopy(network.state_dict())
    network.load_state_dict(weights)
    return Trained(torch.tensor(curve), best, torch.tensor(seconds).median().item(), network.eval())


def make_pair(setup: Setup, inputs: int, hidden: int, classes: int, seed: int) -> tuple[Network, Theirs]:
    """A network of graphrec and one of PyG, with the same weights."""
    torch.manual_seed(seed)
    theirs = setup.theirs(inputs, hidden, classes)
    ours = setup.ours(inputs, hidden, classes)
    ours.start_as(theirs)
    return ours, theirs


def train_pair(setup: Setup, data: Any, hidden: int, classes: int, epochs: int, seed: int) -> list[Trained]:
    """The two, trained with the same random numbers."""
    trained = []
    for network in make_pair(setup, data.num_features, hidden, classes, seed):
        torch.manual_seed(seed)
        trained.append(learn(network, data, setup, epochs))
    return trained


def spread(scores: Tensor) -> str:
    """The mean, and where there are several the standard deviation."""
    return f"{scores.mean():.1f}" + (f" ± {scores.std():.1f}" if len(scores) > 1 else "")


def draw_curves(results: Mapping[str, list[list[Trained]]], published: bool = True) -> Any:
    """Accuracy over the epochs, of graphrec and of PyG, and the published one for Cora."""
    fig = common.figure(4.9 * len(results), 3.9)
    for ax, (name, pairs) in zip(fig.subplots(1, len(results), sharey=True), results.items(), strict=True):
        looks = (("graphrec", common.COLOURS[0], "-"), ("PyG", common.COLOURS[1], "--"))
        for (library, colour, style), row in zip(looks, zip(*pairs, strict=True), strict=True):
            curves = torch.stack([trained.accuracy[:, 1] for trained in row])
            epochs = range(1, curves.shape[1] + 1)
            ax.plot(epochs, curves.mean(0), style, color=colour, lw=2, label=library)
            ax.fill_between(epochs, curves.amin(0), curves.amax(0), color=colour, alpha=0.15, lw=0)
        if published:
            height = float(NETWORKS[name].published.split()[0])
            ax.axhline(height, color="#8A939C", lw=1.2, ls=":")
            beside: dict[str, Any] = {"ha": "right", "va": "bottom", "color": "#5B6570", "fontsize": 9}
            ax.text(ax.get_xlim()[1], height + 2.5, f"published: {NETWORKS[name].published}", **beside)
        ax.set_title(f"{name}: mean and range of {len(pairs)} seed{'s' * (len(pairs) > 1)}", fontsize=11)
        ax.set_xlabel("epoch")
        ax.set_ylim(20 if published else 0, 90 if published else 100)
        ax.grid(axis="y", color="#E6E9EC")
        ax.spines[["top", "right"]].set_visible(False)
    fig.axes[0].legend(frameon=False, loc="lower right")
    fig.axes[0].set_ylabel("correct answers on the test papers, %")
    return fig


def draw_states(network: Network, data: Any, subjects: Sequence[str] = SUBJECTS) -> Any:
    """The papers' states, round by round, in the plane in which they differ most."""
    with torch.no_grad():
        states = [data.x, *network.rounds(data)]
    titles = ("the words of a paper", "after round 1", "after round 2")
    colours = [colour for _, colour in zip(subjects, cycle(("#999999", *common.COLOURS)), strict=False)]
    # Shuffled, so that no subject covers another.
    order = torch.randperm(len(data.y), generator=torch.Generator().manual_seed(0))
    fig = common.figure(12.6, 4.9)
    for ax, title, h in zip(fig.subplots(1, 3), titles, states, strict=True):
        # Rows of one length: directions matter more here than norms.
        h = nn.functional.normalize(h)
        torch.manual_seed(0)  # pca_lowrank starts at random
        at = (h @ torch.pca_lowrank(h, q=4, center=True, niter=6)[2][:, :2])[order]
        shown: dict[str, Any] = {"s": 7, "alpha": 0.6, "linewidths": 0}
        ax.scatter(*at.T, c=[colours[subject] for subject in data.y[order].tolist()], **shown)
        ax.set_title(title, fontsize=11)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_color("#D5DAE0")
    dots = [fig.axes[0].scatter([], [], s=40, color=colour) for colour in colours]
    look: dict[str, Any] = {"ncols": 7, "frameon": False, "fontsize": 9, "handletextpad": 0.1}
    fig.legend(dots, subjects, loc="outside lower center", **look)
    return fig


def main(argv: list[str] | None = None) -> None:
    folder = (
        "Cora's folder, another one in the form of Planetoid (ind.NAME.x and so on), or one that holds it; by default "
        "Cora in $GRAPHREC_DATA, or else it is downloaded"
    )
    flags = common.parser(__doc__, name="cora", epochs=200, data=folder)
    flags.add_argument("--runs", type=common.count, default=5, help="seeds of each network (default: 5)")
    run = common.start(flags, argv)
    runs, epochs = run.args.runs, run.args.epochs
    if run.args.quick:
        runs, epochs = 1, min(epochs, 20)
    dataset, name_of_data = load(run.args.data)
    data, is_cora = dataset[0], name_of_data == "Cora"
    results: dict[str, list[list[Trained]]] = {name: [] for name in NETWORKS}
    for name, setup in NETWORKS.items():
        hidden = HEADS if run.args.quick else setup.hidden
        for seed in range(run.args.seed, run.args.seed + runs):
            pair = train_pair(setup, data, hidden, dataset.num_classes, epochs, seed)
            results[name].append(pair)
            ours, theirs = pair
            common.say(f"{name}, seed {seed}: graphrec {ours.tested:.1f} %, PyG {theirs.tested:.1f} %.")
    rows: list[list[object]] = []
    times: list[list[object]] = []
    for name, pairs in results.items():
        by_library = list(zip(*pairs, strict=True))
        scores = [torch.tensor([trained.tested for trained in row]) for row in by_library]
        rows.append([name, runs, *map(spread, scores), *[NETWORKS[name].published] * is_cora])
        seconds = [torch.tensor([trained.seconds for trained in row]).median() for row in by_library]
        times.append([name, *(f"{1000 * v:.0f}" for v in seconds)])
    draw_curves(results, is_cora).savefig(run.folder / "accuracy.png")
    best = max((pair[0] for pair in results["GCN"]), key=lambda trained: trained.accuracy[trained.best, 0])
    subjects = SUBJECTS if is_cora else [f"class {number}" for number in range(dataset.num_classes)]
    draw_states(best.network, data, subjects).savefig(run.folder / "states.png")
    # Apart from the results, which a second run repeats: times depend on the machine and its load.
    measured = common.table(["ms per epoch, measured in this run", "graphrec", "PyG"], times)
    common.write_text(run.folder / "times.txt", f"{measured}\n")
    common.say(f"\n{measured}")
    tested = f"accuracy in % on {int(data.test_mask.sum()):,} papers of {name_of_data}"
    header = [tested, "seeds", "graphrec (this run)", "PyG (this run)", *["published"] * is_cora]
    run.finish(common.table(header, rows))


if __name__ == "__main__":
    main()
