"""What comes next: NARX, TDNN, SRN and GRU on NARMA-10, a driven system, and on the chaotic Mackey-Glass series.

    python examples/series.py            # minutes
    python examples/series.py --quick    # small networks, few epochs: seconds

NARMA-10 is system identification: the input u is noise, the output is y. TDNN, SRN and GRU see only u. NARX and the
linear models also see y, the true one (one step) or, after a warm-up, their own (free-running). Mackey-Glass has no
input: all models see only y, and a free-running network reads its own outputs.

NARX is trained in two forms: first series-parallel, on the true outputs, and then, starting from these weights,
parallel, on its own outputs, as in a free run. Errors are root mean squares divided by the series' standard deviation
(NRMSE); predicting the mean gives 1.

A. Atiya and A. Parlos, "New results on recurrent network training", IEEE Trans. Neural Networks 11 (2000); M. Mackey
and L. Glass, "Oscillation and chaos in physiological control systems", Science 197 (1977); K. Narendra and
K. Parthasarathy, "Identification and control of dynamical systems using neural networks", IEEE Trans. Neural Networks
1 (1990), on both forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import common
import learning
import torch
from data.series import mackey_glass, narma
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

import graphrec as gr

LAGS = 10  # how far back NARX and the linear models see
WARM = 20  # nodes at the beginning of a window that do not count, with known outputs; also the TDNN's window
LONG = 100  # the warm-up of a free run over Mackey-Glass
HORIZONS = (50, 100, 200)  # steps of a free run
LOST = 0.5  # a free run has lost the series when its error exceeds this many standard deviations


class Series(NamedTuple):
    """A series in three parts, scaled by the first: inputs `[T, D]` (D may be 0) and outputs `[T, 1]` of each."""

    u: tuple[Tensor, ...]
    y: tuple[Tensor, ...]


def scaled(series: Tensor, lengths: list[int]) -> tuple[Tensor, ...]:
    """Cut into three parts, and scaled to mean 0 and standard deviation 1 over the first."""
    first = series[: lengths[0]]
    return ((series - first.mean(dim=0)) / first.std(dim=0)).split(lengths)


def window(u: Tensor, y: Tensor, begin: int, length: int, warm: int) -> Data:
    """A stretch as a sample: `u`, `y`, `before` (the output one step earlier) and `warm`, all `[N, ·]`."""
    data = gr.to_pyg(gr.chain(length))
    stop = begin + length
    data.u, data.y, data.before = u[begin:stop], y[begin:stop], y[begin - 1 : stop - 1]
    data.warm = torch.arange(length) < warm
    return data


def windows(u: Tensor, y: Tensor, length: int, every: int, warm: int = WARM) -> list[Data]:
    """All stretches of a length, one starting at each `every`-th node."""
    return [window(u, y, begin, length, warm) for begin in range(1, len(y) - length + 1, every)]


def as_batch(samples: list[Data]) -> Any:
    return next(iter(DataLoader(samples, len(samples))))


class Feedback(nn.Module):
    """A model that sees its own past outputs, NARX or AR: the true ones where they are known."""

    def __init__(self, model: gr.NARX | gr.AR, parallel: bool = False) -> None:
        super().__init__()
        self.model, self.parallel = model, parallel

    def forward(self, batch: Any, known: Tensor | None = None) -> Tensor:
        """`[N, 1]`; in the parallel form only the outputs of the warm-up are known."""
        if known is None and self.parallel and self.training:
            known = batch.warm
        if isinstance(self.model, gr.AR):
            return self.model(batch.y, batch, known)
        return self.model(batch.u, batch, batch.y, known)


class Reader(nn.Module):
    """A model that reads a series and predicts another one.

    Args:
        model: called as `model(x, s)`.
        hidden: the width of what it returns.
        reads: `"u"`, the input; or `"before"`, the output one step earlier; in a free run it reads its own
            output.
    """

    def __init__(self, model: Any, hidden: int, reads: str) -> None:
        super().__init__()
        self.model, self.reads = model, reads
        self.output = nn.Linear(hidden, 1)

    def forward(self, batch: Any, known: Tensor | None = None) -> Tensor:
        """`[N, 1]`."""
        if known is None or self.reads == "u":
            return self.output(self.model(batch[self.reads], batch))
        before = batch.before.view(batch.num_graphs, -1)
        return self.go_on(before, int(known.sum()) // batch.num_graphs).view(-1, 1)

    def go_on(self, before: Tensor, warm: int) -> Tensor:
        """`[G, T]`: the predictions at each node when only the first `warm` outputs of `before` are known."""
        seen, states, said = before[:, : warm + 1], None, [before[:, 1 : warm + 1]]
        for _ in range(before.shape[1] - warm):
            s = gr.chains([seen.shape[1]] * len(seen))
            h, states = self.model.with_states(seen.reshape(-1, 1), s, states)
            y = self.output(gr.readout.last(h, s))
            said.append(y)
            # A model without states has only its window, which moves on by one.
            seen = y if states else torch.cat([seen[:, 1:], y], dim=1)
        return torch.cat(said, dim=1)


class Predictor(learning.Regressor):
    """Learns all outputs but those of the warm-up."""

    def forward(self, batch: Any) -> Tensor:
        return self.network(batch)[~batch.warm]

    def targets(self, batch: Any) -> Tensor:
        return batch.y[~batch.warm]


def error(said: Tensor, y: Tensor) -> float:
    """The root of the mean squared error over the standard deviation, NRMSE."""
    return float((said - y).square().mean().sqrt() / y.std())


def learn_all(run: common.Run, name: str, series: Series, reads: str) -> dict[str, nn.Module]:
    """All models of a series, trained, by name."""
    quick = run.args.quick
    length, every = (40, 20) if quick else (WARM + 80, 6)
    train, val, _ = (windows(u, y, length, every) for u, y in zip(series.u, series.y, strict=True))
    data = learning.Samples(train, val, val, batch_size=16 if quick else 64)
    inputs, width = series.u[0].shape[1], 8 if quick else 32
    lags = LAGS - 1 if inputs else 0  # of the input: with the current one, as many as of the output

    def narx(activation: str = "tanh") -> gr.NARX:
        return gr.NARX(inputs, width, 1, lags, LAGS, activation)

    def fit(model: str, build: Callable[[], nn.Module], lr: float) -> nn.Module:
        learner = run.fit(
            f"{name}_{model}",
            lambda: Predictor(build(), lr=lr),
            data,
            patience=run.args.epochs,  # the falling step size ends the training
            monitor="val_error",
        )
        return learner.network

    models: dict[str, nn.Module] = {}
    stretch = series.y[0]
    models["AR, least squares"] = Feedback(gr.AR(1, LAGS).fit(stretch, gr.chain(len(stretch))))
    if inputs:
        models["NARX, linear"] = fit("linear", lambda: Feedback(narx("linear")), 1e-2)
    models["TDNN"] = fit("tdnn", lambda: Reader(gr.TDNN(1, width, WARM), width, reads), 1e-2)
    models["SRN"] = fit("srn", lambda: Reader(gr.SRN(1, width), width, reads), 1e-2)
    models["GRU"] = fit("gru", lambda: Reader(gr.GRU(1, width), width, reads), 1e-2)
    models["NARX, series-parallel"] = fit("series_parallel", lambda: Feedback(narx()), 1e-2)
    learnt = models["NARX, series-parallel"].state_dict()

    def parallel() -> nn.Module:
        made = Feedback(narx(), parallel=True)
        made.load_state_dict(learnt)
        return made

    models["NARX, parallel"] = fit("parallel", parallel, 3e-3)
    return models


def run_both(models: dict[str, nn.Module], batch: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """Each model's predictions one step ahead and free-running, `[G, T]` after the warm-up."""
    said = {}
    with torch.no_grad():
        for name, model in models.items():
            model.eval()
            both = (model(batch), model(batch, batch.warm))
            said[name] = tuple(y[~batch.warm].view(batch.num_graphs, -1) for y in both)
    return said


def horizon(free: Tensor, y: Tensor) -> float:
    """After how many steps, on average over starts, a free run has lost the series."""
    lost = (free - y).abs() > LOST * y.std()
    steps = torch.where(lost.any(dim=1), lost.int().argmax(dim=1), free.shape[1])
    return float(steps.double().mean())


SHOWN = {"NARX, parallel": 0, "NARX, series-parallel": 5, "GRU": 1, "SRN": 4, "TDNN": 2}  # colours
GREY = "#8A939C"


def draw(results: list[tuple[str, Tensor, dict[str, tuple[Tensor, Tensor]]]]) -> Any:
    """A row per series: free runs with the true series, and the errors."""
    fig = common.figure(11.0, 8.0)
    runs, errors = fig.subfigures(1, 2, width_ratios=(3, 2))
    strips = runs.subfigures(2, 1)
    for place, (title, y, said), steps in zip(strips, results, (80, 160), strict=True):
        draw_runs(place, y[0, :steps], said, title)
    over, under = errors.subplots(2, 1)
    draw_errors(over, *results[0][1:])
    draw_growth(under, *results[1][1:])
    for ax in (over, under):
        ax.spines[["top", "right"]].set_visible(False)
    return fig


def draw_runs(place: Any, y: Tensor, said: dict[str, tuple[Tensor, Tensor]], title: str) -> None:
    """A strip per model: its free run above the true series, in grey."""
    names = ("NARX, parallel", "GRU", "TDNN")
    strips = place.subplots(len(names), 1, sharex=True, sharey=True)
    steps = range(1, len(y) + 1)
    for ax, name in zip(strips, names, strict=True):
        ax.plot(steps, y, color="#C3C9CF", lw=3.5)
        ax.plot(steps, said[name][1][0, : len(y)], color=common.COLOURS[SHOWN[name]], lw=1.4)
        ax.set_title(name, loc="left", fontsize=9, color=common.COLOURS[SHOWN[name]], pad=3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0.01)
    strips[0].set_title(f"{title}, free-running (grey: the true series)", loc="right", fontsize=10, pad=3)
    strips[-1].set_xlabel("steps after the last known output")
    place.supylabel("standard deviations", fontsize=9)


def draw_errors(ax: Any, y: Tensor, said: dict[str, tuple[Tensor, Tensor]]) -> None:
    """The errors of all models as bars."""
    names = list(reversed(said))
    for kind, offset in enumerate((0.2, -0.2)):
        for row, name in enumerate(names):
            value = error(said[name][kind], y)
            colour = common.COLOURS[SHOWN[name]] if name in SHOWN else GREY
            ax.barh(row + offset, value, 0.38, color=colour, alpha=(0.45, 1.0)[kind])
            where = {"textcoords": "offset points", "va": "center", "fontsize": 8}
            ax.annotate(f"{value:.2f}", (value, row + offset), (3, 0), **where)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlim=(0, 1.15), xlabel="NRMSE")
    ax.set_title("NARMA-10: one step (pale), free-running", fontsize=10, loc="right")


def draw_growth(ax: Any, y: Tensor, said: dict[str, tuple[Tensor, Tensor]]) -> None:
    """The errors of free runs by step: means over all starts, and over ten steps, as the errors fluctuate."""
    for name, (_, free) in said.items():
        square = (free - y).square().mean(dim=0)
        smooth = square.unfold(0, 10, 1).mean(dim=1).sqrt() / y.std()
        colour = common.COLOURS[SHOWN[name]] if name in SHOWN else GREY
        ax.plot(torch.arange(len(smooth)) + 5.5, smooth, color=colour, lw=1.8, label=name)
    ax.set(yscale="log", xlabel="steps after the last known output", ylabel="NRMSE")
    ax.grid(axis="y", color="#E6E9EC")
    ax.set_title(f"Mackey-Glass, free-running, {len(y)} starts", fontsize=10, loc="right")
    ax.legend(frameon=False, fontsize=8, loc="lower right")


def main(argv: list[str] | None = None) -> None:
    run = common.start(common.parser(__doc__, name="series", epochs=40), argv)
    lengths = [400, 150, 700] if run.args.quick else [3000, 600, 1500]

    series = Series(*(scaled(part, lengths) for part in narma(sum(lengths))))
    models = learn_all(run, "narma", series, "u")
    batch = as_batch([window(series.u[2], series.y[2], 1, lengths[2] - 1, WARM)])
    narma_y, narma_said = batch.y[~batch.warm].view(1, -1), run_both(models, batch)
    rows: list[list[object]] = [
        [name, *(error(said, narma_y) for said in both)] for name, both in narma_said.items()
    ]
    tables = [common.table(["NARMA-10", "one step", "free-running"], rows)]

    y = scaled(mackey_glass(sum(lengths), every=6), lengths)
    series = Series(tuple(part[:, :0] for part in y), y)
    models = learn_all(run, "mackey_glass", series, "before")
    starts: list[Any] = windows(series.u[2], series.y[2], LONG + max(HORIZONS), 20, LONG)
    batch = as_batch(starts)
    glass_y, glass_said = batch.y[~batch.warm].view(len(starts), -1), run_both(models, batch)
    rows = [
        [
            name,
            f"{error(one, glass_y):.4f}",
            *(error(free[:, :n], glass_y[:, :n]) for n in HORIZONS),
            f"{horizon(free, glass_y):.0f}",
        ]
        for name, (one, free) in glass_said.items()
    ]
    header = ["Mackey-Glass, τ = 17, every 6", "one step", *(f"{n} steps" for n in HORIZONS), "lost after"]
    tables.append(common.table(header, rows))

    results = [("NARMA-10", narma_y, narma_said), ("Mackey-Glass", glass_y, glass_said)]
    draw(results).savefig(run.folder / "series.png")
    run.finish(
        "\n\n".join(tables)
        + f"\n\nNRMSE on a held-out part; n steps: over the first n of a free run, {len(starts)} starts;\n"
        f"lost after: steps until a free run is {LOST} standard deviations away, on average."
    )


if __name__ == "__main__":
    main()
