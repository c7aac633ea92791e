"""What comes next: NARX, TDNN, SRN and GRU on NARMA-10, a driven system, and on the chaotic Mackey-Glass series.

    python examples/series.py            # minutes
    python examples/series.py --quick    # small networks, few epochs: seconds

NARMA-10 is to be identified: noise u goes in, y comes out. TDNN, SRN and GRU see u alone; NARX and the linear models
also see y, the true one (one step) or, after a warm-up, their own (free-running). Mackey-Glass has no input: here all
see y alone, and a free-running network reads what it has said itself.

NARX is trained in two forms: series-parallel, on the true outputs, and then, from there on, in parallel, on its own, as
in free-running. Errors are roots of mean squares, as multiples of the series' standard deviation (NRMSE): 1 is what
the mean alone achieves.

A. Atiya and A. Parlos, "New results on recurrent network training", IEEE Trans. Neural Networks 11 (2000); M. Mackey
and L. Glass, "Oscillation and chaos in physiological control systems", Science 197 (1977); K. Narendra and
K. Parthasarathy, "Identification and control of dynamical systems using neural networks", IEEE Trans. Neural Networks
1 (1990), on both forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import common
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

import graphrec as gr
from graphrec.datasets import mackey_glass, narma

LAGS = 10  # how far back NARX and the linear models see
WARM = 20  # nodes at the beginning of a window, whose true outputs are known and which are not judged
LONG = 100  # the warm-up of a free run over Mackey-Glass
HORIZONS = (50, 100, 200)  # steps of a free run
LOST = 0.5  # a free run has lost the series where it is so many standard deviations away


class Series(NamedTuple):
    """A series in three stretches, scaled by the first: inputs `[T, D]` (D may be 0) and outputs `[T, 1]` of each."""

    u: tuple[Tensor, ...]
    y: tuple[Tensor, ...]


def scaled(u: Tensor, y: Tensor, lengths: list[int]) -> Series:
    """Cut, and scaled to mean 0 and standard deviation 1 over the first stretch."""
    parts = []
    for series in (u, y):
        first = series[: lengths[0]]
        parts.append(((series - first.mean(dim=0)) / first.std(dim=0)).split(lengths))
    return Series(*parts)


def window(u: Tensor, y: Tensor, begin: int, length: int, warm: int) -> Data:
    """A stretch as a sample: `u`, `y`, `before` (the output one step earlier) and `warm`, all `[N, ·]`."""
    data = gr.chain(length).to_pyg()
    stop = begin + length
    data.u, data.y, data.before = u[begin:stop], y[begin:stop], y[begin - 1 : stop - 1]
    data.warm = torch.arange(length) < warm
    return data


def windows(u: Tensor, y: Tensor, length: int, every: int, warm: int = WARM) -> list[Data]:
    """All stretches of a length that begin `every` so many nodes."""
    return [window(u, y, begin, length, warm) for begin in range(1, len(y) - length + 1, every)]


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
    """A model that reads a series, and says another one.

    Args:
        model: called as `model(x, s)`.
        hidden: the width of what it returns.
        reads: `"u"`, the input; or `"before"`, the output one step earlier, which it then says itself when it runs
            freely.
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
        """`[G, T]`: what is said at each node when only the first `warm` outputs of `before` are known."""
        seen, states, said = before[:, : warm + 1], None, [before[:, 1 : warm + 1]]
        for _ in range(before.shape[1] - warm):
            s = gr.chains([seen.shape[1]] * len(seen))
            h, states = self.model.with_states(seen.reshape(-1, 1), s, states)
            y = self.output(gr.readout.last(h, s))
            said.append(y)
            # A model without states has nothing but its window, which moves on by one.
            seen = y if states else torch.cat([seen[:, 1:], y], dim=1)
        return torch.cat(said, dim=1)


class Predictor(common.Regressor):
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
    data = common.Samples(train, val, val, batch_size=16 if quick else 64)
    inputs, width = series.u[0].shape[1], 8 if quick else 32
    lags = LAGS - 1 if inputs else 0  # of the input: with the one of now, as many as of the output

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
    models["TDNN"] = fit("tdnn", lambda: Reader(gr.TDNN(1, width, LAGS), width, reads), 1e-2)
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
    """What each model says one step ahead and free-running, `[G, T]` after the warm-up."""
    said = {}
    with torch.no_grad():
        for name, model in models.items():
            model.eval()
            both = (model(batch), model(batch, batch.warm))
            said[name] = tuple(y[~batch.warm].view(batch.num_graphs, -1) for y in both)
    return said


def horizon(free: Tensor, y: Tensor) -> float:
    """After how many steps, in the mean over starts, a free run has lost the series."""
    lost = (free - y).abs() > LOST * y.std()
    steps = torch.where(lost.any(dim=1), lost.int().argmax(dim=1), free.shape[1])
    return float(steps.double().mean())


def draw(
    narma_y: Tensor,
    narma_said: dict[str, tuple[Tensor, Tensor]],
    glass_y: Tensor,
    glass_said: dict[str, tuple[Tensor, Tensor]],
) -> Any:
    """Free runs beside the truth, and how their errors grow."""
    fig = common.figure(10.0, 7.6)
    grid = fig.add_gridspec(2, 2, width_ratios=(3, 2))
    colours = dict(
        zip(("NARX, parallel", "NARX, series-parallel", "TDNN", "SRN", "GRU"), common.COLOURS, strict=False)
    )

    def free_runs(
        place: Any, y: Tensor, said: dict[str, tuple[Tensor, Tensor]], steps: int, title: str
    ) -> None:
        ax = fig.add_subplot(place)
        steps = min(steps, y.shape[1])
        ax.plot(range(1, steps + 1), y[0, :steps], color="#000000", lw=3.5, alpha=0.25, label="true")
        for name in ("NARX, parallel", "TDNN", "GRU"):
            ax.plot(range(1, steps + 1), said[name][1][0, :steps], color=colours[name], lw=1.4, label=name)
        ax.set(title=title, xlabel="steps after the last known output", ylabel="y, standard deviations")
        ax.legend(frameon=False, fontsize=9, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.16))
        ax.margins(x=0.01)
        ax.spines[["top", "right"]].set_visible(False)

    free_runs(grid[0, 0], narma_y, narma_said, 100, "NARMA-10, free-running")
    free_runs(grid[1, 0], glass_y, glass_said, 200, "Mackey-Glass, free-running, one start")

    bars = fig.add_subplot(grid[0, 1])
    names = list(reversed(narma_said))
    for kind, (offset, alpha) in enumerate(((0.2, 0.45), (-0.2, 1.0))):
        values = [error(narma_said[name][kind], narma_y) for name in names]
        rows = [place + offset for place in range(len(names))]
        bars.barh(
            rows, values, 0.38, color=[colours.get(name, "#8A939C") for name in names], alpha=alpha,
            label=("one step", "free-running")[kind],
        )  # fmt: skip
        for row, value in zip(rows, values, strict=True):
            bars.annotate(
                f"{value:.2f}", (value, row), (3, 0), textcoords="offset points", va="center", fontsize=8
            )
    bars.set_yticks(range(len(names)), names)
    bars.set(title="NARMA-10: NRMSE, one step (pale), free-running", xlim=(0, 1.15))
    bars.spines[["top", "right"]].set_visible(False)

    growth = fig.add_subplot(grid[1, 1])
    deviation = glass_y.std()
    for name, (_, free) in glass_said.items():
        by_step = (free - glass_y).square().mean(dim=0).sqrt() / deviation
        growth.plot(
            range(1, len(by_step) + 1), by_step, color=colours.get(name, "#8A939C"), lw=1.8, label=name
        )
    growth.set(
        yscale="log", xlabel="steps after the last known output", title="Mackey-Glass: NRMSE over all starts"
    )
    growth.grid(axis="y", color="#E6E9EC")
    growth.spines[["top", "right"]].set_visible(False)
    growth.legend(frameon=False, fontsize=8, loc="lower right")
    return fig


def main(argv: list[str] | None = None) -> None:
    run = common.start(common.parser(__doc__, name="series", epochs=40), argv)
    lengths = [400, 150, 700] if run.args.quick else [3000, 600, 1500]

    series = scaled(*narma(sum(lengths)), lengths)
    models = learn_all(run, "narma", series, "u")
    batch: Any = Batch.from_data_list([window(series.u[2], series.y[2], 1, lengths[2] - 1, WARM)])
    narma_y, narma_said = batch.y[~batch.warm].view(1, -1), run_both(models, batch)
    rows: list[list[object]] = [
        [name, *(error(said, narma_y) for said in both)] for name, both in narma_said.items()
    ]
    tables = [common.table(["NARMA-10", "one step", "free-running"], rows)]

    y = mackey_glass(sum(lengths), every=6)
    series = scaled(y[:, :0], y, lengths)
    models = learn_all(run, "mackey_glass", series, "before")
    starts = windows(series.u[2], series.y[2], LONG + max(HORIZONS), 20, LONG)
    batch = Batch.from_data_list(starts)
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

    draw(narma_y, narma_said, glass_y, glass_said).savefig(run.folder / "series.png")
    run.finish(
        "\n\n".join(tables)
        + f"\n\nNRMSE on a stretch held out; n steps: over the first n of a free run, {len(starts)} starts;\n"
        f"lost after: steps until a free run is {LOST} standard deviations away, in the mean."
    )


if __name__ == "__main__":
    main()
