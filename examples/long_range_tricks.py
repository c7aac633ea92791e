"""Clipping, weight decay, initialisation and the forget bias on a task with a long lag, with torch's own functions.

    python examples/long_range_tricks.py            # 15 settings, three seeds each: ten minutes
    python examples/long_range_tricks.py --quick    # short sequences, one seed: seconds

The task is temporal order (Hochreiter & Schmidhuber 1997, experiment 6a) at T = 50: two of the first 30 symbols, among
distractors, determine the class, and the answer is due at the end. The settings of a group differ only in what its
title names. The table shows the correct answers, the largest gradient in training before clipping, and the factor by
which the gradient of the state changes per step, before and after training (`gr.dynamics`).

Clipping: R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.
Orthogonal start: A. Saxe, J. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
linear neural networks", ICLR 2014. Identity start (IRNN): Q. Le, N. Jaitly and G. Hinton, "A simple way to initialize
recurrent networks of rectified linear units", arXiv:1504.00941, 2015. Forget bias: R. Jozefowicz, W. Zaremba and
I. Sutskever, "An empirical exploration of recurrent network architectures", ICML 2015.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import common
import torch
from data.long_lags import SYMBOLS, temporal_order
from torch import Tensor, nn

import graphrec as gr
from graphrec import dynamics

BATCH, EPOCH = 64, 100  # sequences in a step, steps in an epoch
LEARNT = 0.98  # the share of correct answers at which training ends
HIDDEN = {"SRN": 32, "LSTM": 16}  # about as many weights

Parameters = list[nn.Parameter]
Sequences = tuple[Tensor, gr.Structure, Tensor]  # x, the chains, the classes


def srn() -> gr.SRNCell:
    """Torch's default: weights drawn uniformly from ±1/sqrt(H)."""
    return gr.SRNCell(len(SYMBOLS), HIDDEN["SRN"])


def orthogonal_srn() -> gr.SRNCell:
    """U is orthogonal: it preserves norms."""
    cell = srn()
    nn.init.orthogonal_(cell.recurrent.weight)
    return cell


def irnn() -> gr.SRNCell:
    """Rectified linear units that copy themselves: U is the identity, W small, b zero."""
    cell = gr.SRNCell(len(SYMBOLS), HIDDEN["SRN"], activation="relu")
    nn.init.eye_(cell.recurrent.weight)
    nn.init.normal_(cell.input.weight, std=0.01)
    nn.init.zeros_(cell.input.bias)
    return cell


def lstm(forget_bias: float) -> gr.LSTMCell:
    return gr.LSTMCell(len(SYMBOLS), HIDDEN["LSTM"], forget_bias=forget_bias)


def sgd(parameters: Parameters, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=3e-3, momentum=0.9, weight_decay=weight_decay)


def adam(parameters: Parameters) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=2e-3)


def no_clipping(parameters: Parameters) -> None:
    pass


by_norm = partial(nn.utils.clip_grad_norm_, max_norm=1.0)
by_value = partial(nn.utils.clip_grad_value_, clip_value=0.1)


class Setting(NamedTuple):
    """An initialised cell, and how it is trained."""

    cell: Callable[[], gr.Cell]
    optimizer: Callable[[Parameters], torch.optim.Optimizer]
    clip: Callable[[Parameters], Any]


SETTINGS: dict[str, dict[str, Setting]] = {
    "clipping (IRNN, SGD)": {
        "none": Setting(irnn, sgd, no_clipping),
        "by norm, to 1": Setting(irnn, sgd, by_norm),
        "by value, to 0.1": Setting(irnn, sgd, by_value),
    },
    "weight decay (IRNN, SGD, clipped by norm)": {
        f"{decay:g}": Setting(irnn, partial(sgd, weight_decay=decay), by_norm)
        for decay in (0.0, 1e-3, 1e-2, 1e-1)
    },
    "start of an SRN (Adam, clipped by norm)": {
        "torch's own, tanh": Setting(srn, adam, by_norm),
        "orthogonal, tanh": Setting(orthogonal_srn, adam, by_norm),
        "identity, relu (IRNN)": Setting(irnn, adam, by_norm),
    },
    "forget bias of an LSTM (Adam, clipped by norm)": {
        f"{bias:g}": Setting(partial(lstm, bias), adam, by_norm) for bias in (-1.0, 0.0, 1.0, 2.0, 5.0)
    },
}


class Outcome(NamedTuple):
    """The result of one training.

    Attributes:
        right: the share of correct answers to held-out sequences.
        steps: after how many steps the task was learnt, if it was.
        largest: the largest norm of a gradient, before clipping.
        before, after: the factor by which the gradient of the state changes per step, before and after training.
    """

    right: float
    steps: int | None
    largest: float
    before: float
    after: float


def draw(size: int, length: int, seed: int) -> Sequences:
    token, s, y = temporal_order(size, length, seed=seed)
    return nn.functional.one_hot(token, len(SYMBOLS)).float(), s, y


def train(setting: Setting, length: int, epochs: int, seed: int) -> Outcome:
    """One network, on new sequences in every step, until it has learnt the task or all epochs are done."""
    torch.manual_seed(seed)
    cell = setting.cell()
    network = gr.SequenceToClass(gr.Recursive(cell), cell.hidden, classes=4)
    parameters = list(network.parameters())
    optimizer = setting.optimizer(parameters)
    held_out = draw(1000, length, seed=10**9)
    before, right, steps, largest = rate(cell, length), 0.0, 0, 0.0
    while right <= LEARNT and steps < epochs * EPOCH:
        for _ in range(EPOCH):
            x, s, y = draw(BATCH, length, seed=10**6 * seed + steps)
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x, s), y).backward()
            largest = max(
                largest, float(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
            )
            setting.clip(parameters)
            optimizer.step()
            steps += 1
        right = share_right(network, held_out)
    return Outcome(right, steps if right > LEARNT else None, largest, before, rate(cell, length))


def share_right(network: nn.Module, sequences: Sequences) -> float:
    x, s, y = sequences
    with torch.no_grad():
        return float((network(x, s).argmax(dim=1) == y).double().mean())


def rate(cell: gr.Cell, length: int) -> float:
    """Of the gradient's flow in twenty sequences."""
    x, s, _ = draw(20, length, seed=10**9 + 1)
    return dynamics.gradient_flow(cell, x, s).rate


def row(name: str, outcomes: list[Outcome]) -> list[object]:
    """Of the seeds, the worst, the median and the best; medians of the rest."""
    right = [100 * outcome.right for outcome in outcomes]
    learnt = [outcome.steps for outcome in outcomes if outcome.steps is not None]
    return [
        name,
        f"{min(right):.0f} / {median(right):.0f} / {max(right):.0f}",
        f"{len(learnt)} of {len(outcomes)}",
        f"{median(learnt):,.0f}" if learnt else "–",
        f"{median(outcome.largest for outcome in outcomes):.2g}",
        f"{median(outcome.before for outcome in outcomes):.2f}",
        f"{median(outcome.after for outcome in outcomes):.2f}",
    ]


def main(argv: list[str] | None = None) -> None:
    run = common.start(common.parser(__doc__, name="long_range_tricks", epochs=20), argv)
    length, epochs, seeds = (12, 2, 1) if run.args.quick else (50, run.args.epochs, 3)
    tables = []
    for group, settings in SETTINGS.items():
        rows = []
        for name, setting in settings.items():
            outcomes = [train(setting, length, epochs, run.args.seed + seed) for seed in range(seeds)]
            rows.append(row(name, outcomes))
            common.say(
                f"{group}: {name}: {', '.join(f'{100 * outcome.right:.0f} %' for outcome in outcomes)}"
            )
        header = [group, "right, %", "learnt", "steps", "largest gradient", "rate before", "after"]
        tables.append(common.table(header, rows))
    legend = f"""
right: correct answers, worst, median and best of {seeds} seeds; chance is 25 %. learnt: {100 * LEARNT:.0f} % within
{epochs * EPOCH:,} steps of {BATCH} sequences; steps: until then. The other columns are medians over the seeds.
largest gradient: its norm before any clipping. rate: the factor by which the gradient of the state changes per step."""
    run.finish("\n\n".join(tables) + "\n" + legend)


if __name__ == "__main__":
    main()
