"""How accurate will a neural network be? Networks for DAGs, and others, predict it from its architecture, a DAG.

    python examples/architectures.py            # minutes on two cores; downloads 19,020 architectures, 1 MB
    python examples/architectures.py --quick    # invented architectures, in seconds, to try it out

Each sample of ENAS is an architecture of six layers: a DAG of eight vertices, including input and output, each with
an operation. Its accuracy was measured on CIFAR-10 with weights that all architectures share. These models predict
that accuracy from the DAG alone:

- DAGNN: two layers of attention and gated recurrent units, forward and backward along the edges;
- the encoder of D-VAE: a gated sum and a gated recurrent unit, in both directions, read out at the last and at the
  first vertex; messages carry the position of their source, as in the authors' code for these data;
- the Child-Sum Tree-LSTM, which runs on DAGs as on trees, in both directions, read out at the same vertices;
- GIN: five rounds in which all vertices receive messages at once. One network runs forward along the edges and another
  one backward, since an undirected edge would not say which operation comes first;
- two baselines without a graph network: how often each operation occurs, and one-hot operations with the
  adjacency matrix, which is possible because all architectures have the same size.

All have the same two layers on top. In the published file architectures with the same edges have exactly the same
accuracy, whatever their operations. So operations without edges are useless, and for much of the test set the accuracy
can be looked up in the training set. What a model has learnt shows in the rest, whose edges are new; its errors have
columns of their own.

The split is D-VAE's, and so is the unit of the errors, the standard deviation of the training accuracies. The
papers' own numbers measure something else: there an autoencoder learns to encode and decode architectures without
their accuracies, and a sparse Gaussian process predicts from the codes. Here each network learns from accuracies.

M. Zhang, S. Jiang, Z. Cui, R. Garnett and Y. Chen, "D-VAE: A Variational Autoencoder for Directed Acyclic Graphs",
NeurIPS 2019. V. Thost and J. Chen, "Directed Acyclic Graph Neural Networks", ICLR 2021.
"""

from __future__ import annotations

import math
import random
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
import learning
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, Compose
from torchmetrics import PearsonCorrCoef

import graphrec as gr
from graphrec.datasets import ENAS
from graphrec.datasets.nas import FILE, KINDS, OPERATIONS

LAYERS = 6
VERTICES = LAYERS + 2
D = len(KINDS)


class Standardise(BaseTransform):
    """Accuracies, in standard deviations above the mean."""

    def __init__(self, mean: float, std: float) -> None:
        self.mean, self.std = mean, std

    def forward(self, data: Data) -> Data:
        """`data`, with another y."""
        data.y = (data["y"] - self.mean) / self.std
        return data


class Positions(BaseTransform):
    """For each edge the position of the vertex that a message on it comes from, one-hot.

    `edge_attr` `[E, 8]` is for messages along the edges, `edge_attr_against` for those against them, which come from
    the other end.
    """

    def forward(self, data: Data) -> Data:
        """`data`, with both."""
        data.edge_attr, data.edge_attr_against = one_hot(data["edge_index"], VERTICES).float()
        return data


def kinds(batch: Any) -> Tensor:
    """`[N, D]`: the operation of each vertex, one-hot; input and output count as operations."""
    return one_hot(batch.node_type, D).float()


class Counts(nn.Module):
    """How often each operation occurs: all that is known without edges and positions."""

    width = D

    def forward(self, batch: Any) -> Tensor:
        """`[G, D]`."""
        return gr.readout.sum(kinds(batch), batch)


class Bits(nn.Module):
    """The operation of each vertex and the row of the adjacency matrix, vertex after vertex."""

    width = VERTICES * (D + VERTICES)

    def forward(self, batch: Any) -> Tensor:
        """`[G, width]`."""
        source, target = batch.edge_index
        adjacency = torch.zeros(batch.num_nodes, VERTICES, device=target.device)
        adjacency[target, source % VERTICES] = 1
        return torch.cat([kinds(batch), adjacency], dim=1).view(batch.num_graphs, -1)


class Rounds(nn.Module):
    """GIN, five rounds forward and five backward along the edges; the sum over the vertices.

    The layers are those of Xu, Hu, Leskovec and Jegelka, "How Powerful are Graph Neural Networks?", ICLR 2019.
    """

    def __init__(self, hidden: int, rounds: int = 5) -> None:
        super().__init__()
        self.width = 2 * hidden
        widths = [D] + [hidden] * (rounds - 1)
        along, against = (gr.GNN([self.cell(width, hidden) for width in widths]) for _ in range(2))
        self.model = gr.Bidirectional(along, against)

    @staticmethod
    def cell(inputs: int, hidden: int) -> gr.GINCell:
        """A round: the network of the cell has two layers, normalised over the batch."""
        first, second = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
        norms = [nn.BatchNorm1d(hidden), nn.BatchNorm1d(hidden)]
        return gr.GINCell(
            inputs, hidden, nn.Sequential(first, norms[0], nn.ReLU(), second, norms[1], nn.ReLU())
        )

    def forward(self, batch: Any) -> Tensor:
        """`[G, 2 H]`."""
        return gr.readout.sum(self.model(kinds(batch), batch), batch)


class Ends(nn.Module):
    """Two models, forward and backward along the edges; their final states.

    These are the output's and the input's, since there is a path from each vertex to the next.
    """

    def __init__(self, build: Callable[[], gr.Recursive], hidden: int) -> None:
        super().__init__()
        self.width = 2 * hidden
        self.along, self.against = build(), build()

    def forward(self, batch: Any) -> Tensor:
        """`[G, 2 H]`."""
        x, s = kinds(batch), gr.from_pyg(batch)
        back = s.reverse().replace(edge_attr=batch.edge_attr_against)
        along, against = self.along(x, s), self.against(x, back)
        return torch.cat([gr.readout.root(along, s), gr.readout.root(against, back)], dim=1)


class Dagnn(nn.Module):
    """DAGNN with its own readout, the states and inputs at the last vertex and at the first."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.model = gr.DAGNN(D, hidden, layers=2, both=True)
        self.width = 2 * (D + 2 * hidden)

    def forward(self, batch: Any) -> Tensor:
        """`[G, 2 (D + 2 H)]`."""
        return self.model.graphs(kinds(batch), batch)


class Predictor(nn.Module):
    """From a batch of architectures to a row for each, and from the row to its accuracy.

    Args:
        encode: called with a batch; returns `[G, encode.width]`.
        hidden: the width of the layer between.
    """

    def __init__(self, encode: Any, hidden: int) -> None:
        super().__init__()
        self.encode = encode
        self.head = nn.Sequential(nn.Linear(encode.width, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, batch: Any) -> Tensor:
        """`[G]`: accuracies, in standard deviations above the mean."""
        return self.head(self.encode(batch)).squeeze(1)


def encoders(hidden: int) -> dict[str, Callable[[], nn.Module]]:
    """What is compared, by name."""

    def tree_lstm() -> gr.Recursive:
        return gr.TreeLSTM(D, hidden)

    def dvae() -> gr.Recursive:
        return gr.Recursive(gr.DVAECell(D, hidden, edges=VERTICES))

    return {
        "counts of operations": Counts,
        "operations and adjacency": Bits,
        "GIN, 5 rounds": partial(Rounds, hidden),
        "Child-Sum Tree-LSTM": partial(Ends, tree_lstm, hidden),
        "D-VAE's encoder": partial(Ends, dvae, hidden),
        "DAGNN": partial(Dagnn, hidden),
    }


def invent(path: Path, count: int = 400) -> None:
    """Write a file such as ENAS's, of drawn architectures and of accuracies that their DAGs determine."""
    draw = random.Random(0)
    lines = []
    for _ in range(count):
        layers = [
            [draw.randrange(len(OPERATIONS)), *(draw.randrange(2) for _ in range(i))] for i in range(LAYERS)
        ]
        worth = sum(layer[0] for layer in layers) + 2 * sum(sum(layer[1:]) for layer in layers)
        lines.append(f"{layers}, {0.7 + 0.001 * worth:.4f}\n")
    common.write_text(path, "".join(lines))


@common.reading()
def load(run: common.Run) -> tuple[learning.Samples, Standardise]:
    """The samples, and what their accuracies were standardised with.

    A tenth of train is held out to choose the epoch by, so that the test set chooses nothing. The training set of
    the paper has been shuffled already.
    """
    root, burn_in, file = run.args.data, run.args.burn_in, run.args.file
    if run.args.quick:
        root, burn_in, file = run.folder / "invented", 0, None
        invent(root / FILE)
    plain = [ENAS(root, split, burn_in, file=file) for split in ("train", "test")]
    if any(sample.num_nodes != VERTICES for part in plain for sample in part):
        raise ValueError(f"expected architectures of {LAYERS} layers only, as in {FILE}.")
    accuracy = torch.cat([sample.y for sample in plain[0]]).double()
    scale = Standardise(accuracy.mean().item(), accuracy.std(correction=0).item())
    prepare = Compose([scale, Positions()])
    train, test = (ENAS(root, split, burn_in, prepare, file) for split in ("train", "test"))
    kept = len(train) - len(train) // 10
    return learning.Samples(train[:kept], train[kept:], test, 32 if run.args.quick else 128), scale


def edges(sample: Any) -> tuple[int, ...]:
    """An architecture without its operations; the data set lists edges by target and source."""
    return tuple(sample.edge_index.flatten().tolist())


def predict(model: learning.Regressor, samples: learning.Samples) -> Tensor:
    """`[G]`: the model's predictions for the test set."""
    with torch.no_grad():
        return torch.cat([model(batch) for batch in samples.test_dataloader()])


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's, of two vectors; NaN where one is constant."""
    return torch.corrcoef(torch.stack([a, b]).double())[0, 1].item()


def measure(said: Tensor, true: Tensor, new: Tensor, std: float) -> list[object]:
    """A row of the table: of all, and of the architectures whose edges are new."""
    row: list[object] = []
    for part in (torch.ones_like(new), new):
        rmse = (said - true)[part].double().square().mean().sqrt().item()
        r = correlation(said[part], true[part])
        row += [rmse, 100 * std * rmse, "–" if math.isnan(r) else r]
    return row


def draw(true: Tensor, said: dict[str, Tensor], new: Tensor, test: list[Any]) -> Any:
    """For each model, predictions against true accuracies; below, the architectures that the last model ranks best
    and worst.

    Args:
        true, said: accuracies in per cent, `[G]`.
        new: `[G]` bool, those whose edges are new.
        test: the architectures.
    """
    fig = common.figure(10.5, 9.3)
    over, under = fig.subfigures(2, 1, height_ratios=(3, 1.1))
    axes = over.subplots(2, 3, sharex=True, sharey=True)
    low, high = float(true.min()) - 0.1, float(true.max()) + 0.1
    for ax, (name, guess) in zip(axes.flat, said.items(), strict=True):
        ax.plot([low, high], [low, high], color="#B4BBC4", lw=1)
        for part, colour, label in ((~new, 0, "edges that are in train"), (new, 3, "new edges")):
            dots = {"ms": 4, "mew": 0, "alpha": 0.45, "label": f"{label}: {int(part.sum()):,}"}
            ax.plot(true[part], guess[part], ".", color=common.COLOURS[colour], **dots)
        ax.set_title(f"{name}, r = {correlation(guess, true):.3f}", fontsize=10, loc="left")
        ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False, fontsize=9, markerscale=3, loc="upper left", handletextpad=0)
    over.supxlabel("accuracy on CIFAR-10 with shared weights, %", fontsize=10)
    over.supylabel("predicted, %", fontsize=10)
    last, guess = list(said.items())[-1]
    best_and_worst = {"highest": int(guess.argmax()), "lowest": int(guess.argmin())}
    for ax, (which, i) in zip(under.subplots(1, 2), best_and_worst.items(), strict=True):
        draw_architecture(ax, test[i])
        title = f"{which} prediction of {last}: {guess[i]:.2f} %, true {true[i]:.2f} %"
        ax.set_title(title, fontsize=10, loc="left")
    return fig


def draw_architecture(ax: Any, sample: Data) -> None:
    """Vertices in a row, skip connections as arcs above them.

    With one vertex per level, `gr.viz` would draw all edges on one line.
    """
    from matplotlib.patches import Arc

    for source, target in sample["edge_index"].t().tolist():
        if target == source + 1:
            ax.plot([source, target], [0, 0], color="#39424C", lw=1.4, zorder=1)
        else:
            middle, span = (source + target) / 2, target - source
            ax.add_patch(Arc((middle, 0), span, 0.8 * span, theta1=0, theta2=180, color="#8A939C", lw=1.2))
    for i, kind in enumerate(sample["node_type"].tolist()):
        colour = "#FFFFFF" if kind < 2 else common.COLOURS[kind - 2]
        ax.scatter(i, 0, 260, color=colour, edgecolors="#39424C", linewidths=0.8, zorder=2)
        ax.text(i, -0.45, KINDS[kind], ha="center", va="top", fontsize=9)
    ax.set(xlim=(-0.5, VERTICES - 0.5), ylim=(-1, 0.4 * (VERTICES - 2) + 0.1), aspect="equal")
    ax.set_axis_off()


def flags() -> ArgumentParser:
    folder = "the folder of nas/final_structures6.txt; by default $GRAPHREC_DATA"
    made = common.parser(__doc__, name="architectures", epochs=15, data=folder)
    made.add_argument(
        "--file", help="another file of six-layer architectures, by its name in --data or its path"
    )
    first = "lines left out at its beginning (default: 1000, as D-VAE does)"
    made.add_argument("--burn-in", type=common.whole, default=1000, help=first)
    return made


def main(argv: list[str] | None = None) -> None:
    run = common.start(flags(), argv)
    samples, scale = load(run)
    hidden = 16 if run.args.quick else 64

    def learner(encode: Callable[[], nn.Module]) -> learning.Regressor:
        metrics = {"correlation": PearsonCorrCoef()}
        return learning.Regressor(Predictor(encode(), hidden), lr=3e-3, metrics=metrics)

    y = torch.cat([sample.y for sample in samples.test])
    known = {edges(sample): sample.y for sample in [*samples.train, *samples.val]}
    new = torch.tensor([edges(sample) not in known for sample in samples.test])
    look_up = torch.cat([known.get(edges(sample), torch.zeros(1)) for sample in samples.test])
    said = {"mean of train": torch.zeros_like(y), "the same edges in train, or the mean": look_up}
    weights = dict.fromkeys(said, 0)
    for name, encode in encoders(hidden).items():
        model = run.fit(
            name.split(",")[0].lower().replace(" ", "_").replace("'", ""),
            partial(learner, encode),
            samples,
            patience=run.args.epochs,  # the falling step size ends the training
            monitor="val_error",
        )
        said[name] = predict(model, samples)
        weights[name] = sum(p.numel() for p in model.parameters())

    in_per_cent = {name: 100 * (scale.mean + scale.std * said[name]) for name in encoders(hidden)}
    true = 100 * (scale.mean + scale.std * y)
    draw(true, in_per_cent, new, samples.test).savefig(run.folder / "predictions.png")
    columns = ["RMSE", "in points", "r", f"{int(new.sum()):,} of new edges: RMSE", "in points", "r"]
    rows = [[name, f"{weights[name]:,}", *measure(said[name], y, new, scale.std)] for name in said]
    run.finish(
        f"{common.table([f'{len(y):,} test architectures', 'weights', *columns], rows)}\n\n"
        f"{'Invented architectures. ' if run.args.quick else ''}RMSE in standard deviations of the training "
        f"accuracies and in percentage points;\none standard deviation is {100 * scale.std:.3f} points. "
        f"The mean of the training accuracies is {100 * scale.mean:.2f} %."
    )


if __name__ == "__main__":
    main()
