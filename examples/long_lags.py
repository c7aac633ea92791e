"""Which networks still learn when the lag grows: the adding problem and temporal order (Hochreiter & Schmidhuber 1997).

    python examples/long_lags.py            # five networks, two problems, four lags: ten minutes
    python examples/long_lags.py --quick    # the smallest lag, few sequences: seconds

In both problems the relevant inputs come early in a sequence, and the answer is due at its end: the sum of two marked
numbers, correct if the error is below 0.04; or the order of two symbols, X and Y, among distractors. T is the shortest
length of the sequences, and the last relevant input is about T/2 steps away from the end. Networks have about 1,200
weights each and see every sequence once.

S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), experiments 4 and 6a. There,
at T = 100, 74,000 sequences were needed for the adding problem, and 31,390 for temporal order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import common
import learning
from data.long_lags import SYMBOLS, adding_problem, temporal_order
from torch import Tensor, nn
from torchmetrics import MeanMetric

import graphrec as gr

LAGS = (12, 25, 50, 100)  # the minimal lengths T
THRESHOLD = 0.04  # the paper's: an answer to the adding problem with a smaller error is correct
LEARNT = 0.98  # the share of correct answers to held-out sequences at which a problem counts as learnt
EPOCH = 2560  # sequences
BATCH = 128

# By name: how the cell is made, its width, and the step size. All have about the same number of weights.
NETWORKS: dict[str, tuple[Callable[[int, int], gr.Cell], int, float]] = {
    "SRN": (gr.SRNCell, 32, 5e-3),  # with larger steps it learns less
    "LSTM, forget bias 1": (lambda inputs, hidden: gr.LSTMCell(inputs, hidden, forget_bias=1.0), 16, 2e-2),
    "LSTM, forget bias 5": (lambda inputs, hidden: gr.LSTMCell(inputs, hidden, forget_bias=5.0), 16, 2e-2),
    "LSTM of 1997, no forget gate": (gr.NoForgetLSTMCell, 18, 2e-2),
    "GRU": (gr.GRUCell, 18, 2e-2),
}


class Sequences(NamedTuple):
    """A batch: inputs of all nodes `[N, D]`, the chains, and an answer per chain."""

    x: Tensor
    s: gr.Structure
    y: Tensor

    @property
    def num_graphs(self) -> int:
        return self.s.num_graphs


class Near(MeanMetric):
    """The share of answers whose error is below the threshold."""

    higher_is_better = True

    def update(self, value: Any, weight: Any = None) -> None:
        """The answers, and what they should be."""
        super().update(((value - weight).abs() < THRESHOLD).float())


class Network(nn.Module):
    """A recurrent network that answers at the end of a sequence."""

    def __init__(self, cell: gr.Cell, answers: int) -> None:
        super().__init__()
        self.answer = gr.SequenceToClass(gr.Recursive(cell), cell.hidden, answers)

    def forward(self, batch: Sequences) -> Tensor:
        """`[G, answers]`."""
        return self.answer(batch.x, batch.s)


class Problem(NamedTuple):
    """How samples are drawn, the width of inputs, how a cell learns, what is correct, and how often by chance."""

    title: str
    draw: Callable[[int, int, int], Sequences]
    inputs: int
    learner: Callable[[gr.Cell, float], learning.Learner]
    right: str
    chance: float


def draw_adding(size: int, lag: int, seed: int) -> Sequences:
    x, s, y = adding_problem(size, lag, seed)
    return Sequences(x, s, y.unsqueeze(1))


def draw_order(size: int, lag: int, seed: int) -> Sequences:
    token, s, y = temporal_order(size, lag, seed=seed)
    return Sequences(nn.functional.one_hot(token, len(SYMBOLS)).float(), s, y)


PROBLEMS = {
    "adding": Problem(
        "adding problem",
        draw_adding,
        2,
        lambda cell, lr: learning.Regressor(Network(cell, 1), lr=lr, metrics={"near": Near()}),
        "near",
        1 - (1 - 2 * THRESHOLD) ** 2,  # for the constant answer 0.5: X_1 + X_2 is within 0.16 of 0
    ),
    "order": Problem(
        "temporal order",
        draw_order,
        len(SYMBOLS),
        lambda cell, lr: learning.Classifier(Network(cell, 4), 4, lr=lr, weight_decay=0.0),
        "accuracy",
        1 / 4,
    ),
}


class Result(NamedTuple):
    """Correct answers to test sequences in per cent, and after how many sequences the problem was learnt, if it was."""

    right: float
    learnt: int | None


def learn(run: common.Run, problem: str, network: str, lag: int, epoch: int) -> Result:
    """One network on one problem at one lag."""
    _, draw, inputs, learner, right, _ = PROBLEMS[problem]
    make, hidden, lr = NETWORKS[network]
    data = learning.Drawn(
        lambda size, seed: draw(size, lag, seed),
        epoch,
        held_out=200 if run.args.quick else 1000,
        batch_size=BATCH,
    )
    model = run.fit(
        f"{problem}_{lag}_{network.replace(', ', '_').replace(' ', '_').lower()}",
        lambda: learner(make(inputs, hidden), lr),
        data,
        patience=run.args.epochs,  # the falling step size ends the training
        monitor=f"val_{right}",
        goal=LEARNT,
    )
    return Result(
        100 * run.test(model, data)[right], model.epochs * epoch if model.best_score > LEARNT else None
    )


def draw_picture(results: Mapping[str, Mapping[str, list[Result]]], lags: tuple[int, ...]) -> Any:
    """Correct answers by lag, a panel per problem; below, how many sequences it took to learn it."""
    fig = common.figure(9.2, 6.4)
    panels = fig.subplots(2, len(results), sharex=True, sharey="row", height_ratios=(3, 2))
    for (over, under), (problem, by_network) in zip(panels.T, results.items(), strict=True):
        title, *_, chance = PROBLEMS[problem]
        over.axhline(100 * chance, color="#8A939C", lw=1.2, ls="--")
        for (network, row), colour, marker in zip(by_network.items(), common.COLOURS, "osD^v", strict=False):
            style: dict[str, Any] = {"color": colour, "lw": 2, "ms": 6, "marker": marker, "label": network}
            over.plot(lags, [result.right for result in row], **style)
            learnt = [(lag, r.learnt) for lag, r in zip(lags, row, strict=True) if r.learnt is not None]
            under.plot([lag for lag, _ in learnt], [count / 1000 for _, count in learnt], **style)
        over.set_title(title, fontsize=11)
        over.set(ylim=(0, 105), yticks=range(0, 101, 25))
        under.set_xlabel("T, the shortest length of a sequence")
        for ax in (over, under):
            ax.set_xscale("log")
            ax.set_xticks(lags, [str(lag) for lag in lags])
            ax.minorticks_off()
            ax.grid(axis="y", color="#E6E9EC")
            ax.spines[["top", "right"]].set_visible(False)
    panels[1, 0].set_ylim(0, 1.1 * panels[1, 0].get_ylim()[1])
    panels[0, 0].set_ylabel("correct answers, %")
    panels[1, 0].set_ylabel(f"sequences seen until\n{100 * LEARNT:.0f} % were correct, thousands")
    panels[0, 0].annotate(
        "chance",
        (lags[0], 100 * PROBLEMS["adding"].chance),
        (0, 4),
        textcoords="offset points",
        color="#5B6570",
    )
    handles, labels = panels[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return fig


def main(argv: list[str] | None = None) -> None:
    run = common.start(common.parser(__doc__, name="long_lags", epochs=30), argv)
    lags, epoch = ((12,), 5 * BATCH) if run.args.quick else (LAGS, EPOCH)
    results = {
        problem: {network: [learn(run, problem, network, lag, epoch) for lag in lags] for network in NETWORKS}
        for problem in PROBLEMS
    }
    tables = []
    for problem, by_network in results.items():
        rows: list[list[object]] = [
            [
                network,
                *(f"{result.right:.1f}" for result in row),
                *("–" if result.learnt is None else f"{result.learnt:,}" for result in row),
            ]
            for network, row in by_network.items()
        ]
        header = [PROBLEMS[problem].title, *(f"%, T={n}" for n in lags), *(f"learnt, T={n}" for n in lags)]
        tables.append(common.table(header, rows))
    draw_picture(results, lags).savefig(run.folder / "lags.png")
    seen = run.args.epochs * epoch
    run.finish(
        "\n\n".join(tables)
        + f"\n\n%: correct answers to held-out sequences. learnt: after how many sequences {100 * LEARNT:.0f} % were "
        f"correct;\n–: not within {seen:,}."
    )


if __name__ == "__main__":
    main()
