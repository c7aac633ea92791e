"""What is a paper about? GCN and GAT on Cora, beside the same networks of PyG.

    python examples/cora.py            # two networks, ten and five times, here and in PyG: about ten minutes
    python examples/cora.py --quick    # narrow networks, few epochs, once: seconds

Cora is one graph: 2,708 papers, the words that each has, and which cites which. Of 140 papers, 20 of each of seven
subjects, a network is told the subject; 500 choose the epoch, 1,000 are reported on, as in the public split. Two
rounds of a graph network let a paper see the words of papers two citations away, of which most have no label.

Each network is trained by the same loop here and in PyG, from the same weights, with the hyperparameters of its
paper. Random numbers are seeded alike; where both draw the same masks of dropout in the same order, all that differs
is the order of sums. Papers trained until the loss on the 500 no longer fell; here the number of epochs is fixed, and
the weights of the best one, by right answers to the 500 and then by their loss, are used.

T. Kipf and M. Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017 (GCN);
P. Veličković, G. Cucurull, A. Casanova, A. Romero, P. Liò and Y. Bengio, "Graph Attention Networks", ICLR 2018 (GAT).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import common
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv
from torch_geometric.transforms import NormalizeFeatures

import graphrec as gr
from graphrec.datasets import cora

SUBJECTS = (
    "theory",
    "reinforcement learning",
    "genetic algorithms",
    "neural networks",
    "probabilistic methods",
    "case-based",
    "rule learning",
)


class Network(nn.Module):
    """Two rounds of graphrec, with dropout of what each of them reads."""

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
    """Two convolutions of PyG, otherwise as `Network`."""

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
        runs: how many seeds.
    """

    ours: Callable[[int, int, int], Network]
    theirs: Callable[[int, int, int], Theirs]
    hidden: int
    rate: float
    decay_all: bool
    published: str
    runs: int


HEADS = 8
DECAY = 5e-4
NETWORKS = {
    "GCN": Setup(
        lambda d, h, c: Network([gr.GCNCell(d, h), gr.GCNCell(h, c)], nn.ReLU(), 0.5),
        # cached: the normalised edges are computed once, as graphrec does.
        lambda d, h, c: Theirs([GCNConv(d, h, cached=True), GCNConv(h, c, cached=True)], nn.ReLU(), 0.5),
        16,
        0.01,
        False,
        "81.5",
        10,
    ),
    "GAT": Setup(
        lambda d, h, c: Network(
            [gr.GATCell(d, h, heads=HEADS, dropout=0.6), gr.GATCell(h, c, average=True, dropout=0.6)],
            nn.ELU(),
            0.6,
        ),
        lambda d, h, c: Theirs(
            [
                GATConv(d, h // HEADS, heads=HEADS, dropout=0.6),
                GATConv(h, c, heads=1, concat=False, dropout=0.6),
            ],
            nn.ELU(),
            0.6,
        ),
        64,
        0.005,
        True,
        "83.0 ± 0.7",
        5,
    ),
}


class Trained(NamedTuple):
    """What has come of one training.

    Attributes:
        accuracy: `[epochs, 2]`, right answers in per cent, among the 500 and the 1,000, after each epoch.
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


def train_pair(setup: Setup, data: Any, classes: int, epochs: int, seed: int, quick: bool) -> list[Trained]:
    """A network of graphrec and one of PyG, from the same weights."""
    widths = (data.num_features, HEADS if quick else setup.hidden, classes)
    torch.manual_seed(seed)
    theirs = setup.theirs(*widths)
    ours = setup.ours(*widths)
    ours.start_as(theirs)
    trained = []
    for network in (ours, theirs):
        torch.manual_seed(seed)
        trained.append(learn(network, data, setup, epochs))
    return trained


def draw_curves(results: Mapping[str, list[list[Trained]]]) -> Any:
    """Accuracy over the epochs, the mean of all seeds, of graphrec and of PyG."""
    fig = common.figure(4.9 * len(results), 3.9)
    for ax, (name, pairs) in zip(fig.subplots(1, len(results), sharey=True), results.items(), strict=True):
        by_library = zip(*pairs, strict=True)
        for (library, colour, style), row in zip(
            (("graphrec", common.COLOURS[0], "-"), ("PyG", common.COLOURS[1], "--")), by_library, strict=True
        ):
            curves = torch.stack([trained.accuracy[:, 1] for trained in row])
            mean, epochs = curves.mean(0), range(1, curves.shape[1] + 1)
            ax.plot(epochs, mean, style, color=colour, lw=2, label=f"{name}, {library}")
            low, high = curves.amin(0), curves.amax(0)
            ax.fill_between(epochs, low, high, color=colour, alpha=0.15, lw=0)
        published = NETWORKS[name].published
        ax.axhline(float(published.split()[0]), color="#8A939C", lw=1.2, ls=":")
        ax.annotate(
            f"published: {published}",
            (len(mean), float(published.split()[0])),
            (0, 4),
            textcoords="offset points",
            ha="right",
            color="#5B6570",
            fontsize=9,
        )
        ax.set_xlabel("epoch")
        ax.set_ylim(20, 90)
        ax.grid(axis="y", color="#E6E9EC")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, loc="lower right", title=f"mean and range of {len(pairs)} seeds")
    fig.axes[0].set_ylabel("right answers on the test papers, %")
    return fig


def draw_states(network: Network, data: Any) -> Any:
    """What the papers are in the network, round by round: the plane in which they differ most."""
    with torch.no_grad():
        states = [data.x, *network.rounds(data)]
    titles = ("the words of a paper", "after round 1", "after round 2")
    fig = common.figure(12.6, 4.9)
    for ax, title, h in zip(fig.subplots(1, 3), titles, states, strict=True):
        # Rows of one length: how strongly a paper says something counts less than what it says.
        h = nn.functional.normalize(h)
        torch.manual_seed(0)  # pca_lowrank begins at random
        at = h @ torch.pca_lowrank(h, q=4, center=True, niter=6)[2][:, :2]
        order = torch.randperm(len(at), generator=torch.Generator().manual_seed(0))
        colours = [("#999999", *common.COLOURS)[subject] for subject in data.y[order].tolist()]
        ax.scatter(*at[order].T, c=colours, s=7, alpha=0.6, linewidths=0)
        ax.set_title(title, fontsize=11)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_color("#D5DAE0")
    for subject, name in enumerate(SUBJECTS):
        ax.scatter([], [], s=40, color=("#999999", *common.COLOURS)[subject], label=name)
    handles, labels = ax.get_legend_handles_labels()
    fig.legend(
        handles, labels, loc="outside lower center", ncols=7, frameon=False, fontsize=9, handletextpad=0.1
    )
    return fig


def main(argv: list[str] | None = None) -> None:
    folder = "the folder that Cora/raw is in; by default $GRAPHREC_DATA, or else it is downloaded"
    flags = common.parser(__doc__, name="cora", epochs=200, data=folder)
    flags.add_argument("--runs", type=common.count, help="seeds of each network (default: GCN 10, GAT 5)")
    run = common.start(flags, argv)
    quick, epochs = run.args.quick, min(run.args.epochs, 10) if run.args.quick else run.args.epochs
    dataset = cora(run.args.data, transform=NormalizeFeatures())
    data: Any = dataset[0]
    results: dict[str, list[list[Trained]]] = {}
    for name, setup in NETWORKS.items():
        seeds = run.args.runs or (1 if quick else setup.runs)
        for seed in range(run.args.seed, run.args.seed + seeds):
            pair = train_pair(setup, data, dataset.num_classes, epochs, seed, quick)
            results.setdefault(name, []).append(pair)
            ours, theirs = pair
            common.say(f"{name}, seed {seed}: graphrec {ours.tested:.1f} %, PyG {theirs.tested:.1f} %.")
    rows: list[list[object]] = []
    times: list[list[object]] = []
    for name, pairs in results.items():
        by_library = [torch.tensor([trained.tested for trained in row]) for row in zip(*pairs, strict=True)]
        cells = [f"{v.mean():.1f}" + (f" ± {v.std():.1f}" if len(v) > 1 else "") for v in by_library]
        rows.append([name, len(pairs), *cells, NETWORKS[name].published])
        each = [torch.tensor([trained.seconds for trained in row]) for row in zip(*pairs, strict=True)]
        times.append([name, *(f"{1000 * v.median():.0f}" for v in each)])
    table = common.table(
        ["accuracy in % on 1,000 papers", "seeds", "graphrec (this run)", "PyG (this run)", "published"], rows
    )
    draw_curves(results).savefig(run.folder / "accuracy.png")
    best = max((pair[0] for pair in results["GCN"]), key=lambda trained: trained.accuracy[trained.best, 0])
    draw_states(best.network, data).savefig(run.folder / "states.png")
    # Apart from the results, which a second run repeats: a time is of this machine and this minute.
    measured = common.table(["ms per epoch, measured in this run", "graphrec", "PyG"], times)
    common.write_text(run.folder / "times.txt", f"{measured}\n")
    common.say(f"\n{measured}")
    run.finish(table)


if __name__ == "__main__":
    main()
