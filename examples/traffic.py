"""How fast is the traffic in an hour? DCRNN on a graph of sensors, a GRU for each sensor alone, and the last value.

    python examples/traffic.py            # drawn traffic, two networks: minutes
    python examples/traffic.py --quick    # narrow networks, two days, few epochs: seconds
    python examples/traffic.py --series metr-la.h5 --distances distances_la_2012.csv    # or pems04.npz and its .csv

Sensors measure the speed every five minutes; twelve values are read, twelve predicted. In the drawn traffic
(`data.traffic`) jams travel along roads against the traffic, so that the sensors downstream know what
is to come. Both networks read the same rows, over `graphrec.over_time` of the sensors' graph, or of one without edges,
which is a chain for each sensor. A linear layer makes all twelve predictions of the last state; the authors have a
second network for that. Missing values count neither in training nor in the errors.

Y. Li, R. Yu, C. Shahabi and Y. Liu, "Diffusion Convolutional Recurrent Neural Network: Data-Driven Traffic
Forecasting", ICLR 2018.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import common
import learning
import torch
from data.traffic import Traffic, road_traffic
from data.traffic_files import read_traffic
from torch import Tensor, nn
from torch_geometric.data import Data
from torchmetrics import MeanAbsoluteError

import graphrec as gr

READ = PREDICTED = 12  # steps of five minutes
HORIZONS = {"15 min": 2, "30 min": 5, "60 min": 11}
POWERS = 3  # of the random walks


class Windows:
    """The series cut into windows, for training, validation and testing one after another in time.

    Args:
        traffic: the series.
        every: a window begins at every so many steps.
    """

    def __init__(self, traffic: Traffic, every: int) -> None:
        steps = len(traffic.values)
        first = int(0.7 * steps)
        seen = traffic.values[:first][traffic.observed[:first]]
        self.mean, self.std = float(seen.mean()), float(seen.std())
        scaled = (traffic.values - self.mean) / self.std * traffic.observed
        time = traffic.time_of_day[:, None].expand_as(scaled)
        self.x, self.traffic = torch.stack([scaled, time], dim=-1), traffic
        bounds = [0, first, int(0.8 * steps), steps]
        parts = pairwise(bounds)
        self.train, self.val, self.test = (
            [self.window(begin) for begin in range(low, high - READ - PREDICTED + 1, every)]
            for low, high in parts
        )

    def window(self, begin: int) -> Data:
        """A sample: x, rows step after step; y and known `[N, 12]`; and the last value of each sensor `[N]`."""
        now = begin + READ
        values, known = (
            self.traffic.values[now : now + PREDICTED],
            self.traffic.observed[now : now + PREDICTED],
        )
        before = self.traffic.values[begin:now]
        last = torch.where(self.traffic.observed[begin:now], torch.arange(READ)[:, None], -1).amax(0)
        value = torch.where(last < 0, self.mean, before.gather(0, last.clamp(min=0)[None])[0])
        x = self.x[begin:now].flatten(0, 1)
        return Data(x=x, y=values.t(), known=known.t(), last=value, num_nodes=len(x))


class Forecaster(nn.Module):
    """A recurrent network over a graph over time, and a linear layer for all predictions.

    Args:
        model: called as `model(x, s)`.
        hidden: the width of what it returns.
        series: the graph over time of one window.
        windows: for the scale of the values.
    """

    def __init__(self, model: nn.Module, hidden: int, series: gr.Structure, windows: Windows) -> None:
        super().__init__()
        self.model, self.output = model, nn.Linear(hidden, PREDICTED)
        self.series, self.scale = series, (windows.mean, windows.std)
        self.batches: dict[Any, gr.Structure] = {}

    def forward(self, batch: Any) -> Tensor:
        """`[B * N, 12]`: the values of all sensors at the next steps."""
        count, device = batch.num_graphs, batch.x.device
        if (count, device) not in self.batches:
            self.batches[count, device] = gr.batch([self.series] * count).to(device)
        h = self.model(batch.x, self.batches[count, device])
        last = h.view(count, READ, -1, h.shape[-1])[:, -1].flatten(0, 1)
        mean, std = self.scale
        return mean + std * self.output(last)


class Predictor(learning.Learner):
    """Learns the values that are known, by their mean absolute error."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, {"error": MeanAbsoluteError()}, lr=1e-2, weight_decay=0.0)

    def forward(self, batch: Any) -> Tensor:
        return self.network(batch)[batch.known]

    def targets(self, batch: Any) -> Tensor:
        return batch.y[batch.known]

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        return (outputs - y).abs().sum() / max(len(y), 1)  # in a long gap none is known


def error(said: Tensor, y: Tensor, known: Tensor) -> float:
    """The mean absolute error of the values that are known."""
    return float((said - y).abs()[known].double().mean())


def predictions(network: nn.Module, samples: list[Data], size: int) -> Tensor:
    """`[S, N, 12]` for S samples."""
    with torch.no_grad():
        said = [network(batch) for batch in learning.DataLoader(samples, size)]
    return torch.cat(said).view(len(samples), -1, PREDICTED)


def networks(windows: Windows, hidden: int) -> dict[str, Any]:
    """By name, functions that make the networks."""
    graph = windows.traffic.graph
    alone = gr.over_time(gr.dag(torch.zeros(2, 0), graph.num_nodes), READ)
    joined = gr.over_time(gr.diffusion(graph, POWERS), READ, carried=True)
    return {
        "GRU for each sensor": lambda: Forecaster(gr.GRU(2, hidden), hidden, alone, windows),
        "DCRNN": lambda: Forecaster(gr.DCRNN(2, hidden, POWERS), hidden, joined, windows),
    }


@common.reading()
def load(args: Any) -> Traffic:
    """The files that are named, or drawn traffic."""
    if (args.series is None) != (args.distances is None):
        raise ValueError("--series and --distances go together: give both, or none for drawn traffic.")
    if args.series is not None:
        traffic = read_traffic(args.series, args.distances)
        if len(traffic.values) < 10 * (READ + PREDICTED + 1):  # a tenth is for validation
            raise ValueError(
                f"{args.series}: expected {10 * (READ + PREDICTED + 1)} steps or more, got {len(traffic.values)}."
            )
        return traffic
    return road_traffic(days=2 if args.quick else 12, seed=args.seed)


def draw(y: Tensor, known: Tensor, said: dict[str, Tensor], road: slice) -> Any:
    """Half an hour ahead, the sensors of a road over time: jams are stripes, missing values white."""
    fig = common.figure(9.0, 5.0)
    shown = {"measured": y.masked_fill(~known, torch.nan), **said}
    axes = fig.subplots(len(shown), 1, sharex=True)
    pictures = [
        ax.imshow(values[:, road, HORIZONS["30 min"]].t().numpy(), aspect="auto", vmin=15, vmax=70)
        for ax, values in zip(axes, shown.values(), strict=True)
    ]
    for ax, name in zip(axes, shown, strict=True):
        ax.set_title(name, loc="left", fontsize=9)
        ax.set_ylabel("sensor", fontsize=8)
    axes[-1].set_xlabel("windows of the test set, one after another")
    fig.colorbar(pictures[0], ax=axes, label="speed, 30 minutes ahead")
    return fig


def main(argv: list[str] | None = None) -> None:
    flags = common.parser(__doc__, name="traffic", epochs=12)
    flags.add_argument("--series", type=Path, help="metr-la.h5, pems-bay.h5, pems04.npz, ...")
    flags.add_argument("--distances", type=Path, help="their distances, a .csv file")
    run = common.start(flags, argv)
    windows = Windows(load(run.args), every=6 if run.args.quick else 3)
    hidden, size = (8, 16) if run.args.quick else (32, 16)
    data = learning.Samples(windows.train, windows.val, windows.test, size)
    y, known, last = (
        torch.stack([sample[name] for sample in windows.test]) for name in ("y", "known", "last")
    )
    said = {"last value": last[..., None].expand_as(y)}
    for name, build in networks(windows, hidden).items():
        folder = name.split()[0].lower()
        learner = run.fit(
            folder,
            lambda build=build: Predictor(build()),
            data,
            patience=run.args.epochs,
            monitor="val_error",
        )
        said[name] = predictions(learner.network.cpu(), windows.test, size)
    rows: list[list[object]] = [
        [name, *(error(values[..., n], y[..., n], known[..., n]) for n in HORIZONS.values())]
        for name, values in said.items()
    ]
    draw(y, known, said, slice(0, 10)).savefig(run.folder / "jams.png")
    run.finish(
        common.table(["mean absolute error", *HORIZONS], rows)
        + f"\n\n{len(windows.test)} windows of a time that no network has seen, {y.shape[1]} sensors."
    )


if __name__ == "__main__":
    main()
