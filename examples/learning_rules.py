"""Forward learning: how close the gradients of five rules are to the true ones while a network learns with each.

    python examples/learning_rules.py            # three networks, five rules: a few minutes
    python examples/learning_rules.py --quick    # one network, few steps: seconds

At each step a network says which of two symbols it read four steps earlier. RTRL computes the true gradient while the
network reads, at a cost that grows with the fourth power of the width. SnAp-1, e-prop and RFLO ignore some paths and
keep one number per weight. UORO is unbiased, but noisy. Each rule trains its own network, and at every training step
its gradient of the cell's weights is compared with the true one at the same weights.

In a network with an elementwise recurrence, the rules that ignore the effect of units on each other are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import common
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphrec as gr
from graphrec.learning import RFLO, RTRL, UORO, EProp, FeedbackLinear, ForwardRule, SnAp1

LAG = 4
LENGTH = 20
BATCH = 8  # sequences
HIDDEN = 12
RATE = 1e-2  # of Adam, the same for all
EPOCH = 25  # steps of training
SMOOTH = 20  # steps: the curves are means over this many

RULES: dict[str, Callable[[], ForwardRule]] = {
    "RTRL": RTRL,
    "SnAp-1": SnAp1,
    "e-prop": EProp,
    "RFLO, random feedback": RFLO,
    "UORO": UORO,
}
NETWORKS: dict[str, tuple[Callable[[int, int], gr.Cell], tuple[str, ...]]] = {
    "leaky SRN": (gr.LeakySRNCell, tuple(RULES)),
    "LSTM": (gr.LSTMCell, ("RTRL", "SnAp-1", "e-prop", "UORO")),
    "elementwise LSTM": (gr.ElementwiseLSTMCell, ("RTRL", "SnAp-1", "e-prop", "UORO")),
}


class Network(nn.Module):
    """A run, and an answer at each node; the readout's feedback may be random."""

    def __init__(self, cell: gr.Cell, random_feedback: bool) -> None:
        super().__init__()
        self.run = gr.Recursive(cell)
        self.readout = (FeedbackLinear if random_feedback else nn.Linear)(cell.hidden, 1)

    def forward(self, x: Tensor, s: gr.Structure) -> Tensor:
        """`[N, 1]`: logits."""
        return self.readout(self.run(x, s))


class Course(NamedTuple):
    """The course of a training, step by step."""

    loss: list[float]
    cosine: list[float]


def draw_symbols(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Symbols 1 and -1, `[N, 1]`, and for each node the one LAG steps earlier, `[B, LENGTH - LAG]` of 0 and 1."""
    symbol = 2.0 * torch.randint(2, (BATCH, LENGTH), generator=generator) - 1
    return symbol.reshape(-1, 1), (symbol[:, :-LAG] > 0).float()


def error(logits: Tensor, target: Tensor) -> Tensor:
    """The mean cross-entropy of the answers, where there are some."""
    return F.binary_cross_entropy_with_logits(logits.view(BATCH, LENGTH)[:, LAG:], target)


def train(rule: ForwardRule, cell: gr.Cell, steps: int, seed: int) -> Course:
    """Train with a rule, and compare its gradients with the true ones."""
    generator = torch.Generator().manual_seed(seed)
    network, s = Network(cell, isinstance(rule, RFLO)), gr.chains([LENGTH] * BATCH)
    optimiser, course = torch.optim.Adam(network.parameters(), lr=RATE), Course([], [])
    for _ in range(steps):
        x, target = draw_symbols(generator)
        true = true_gradient(network, cell, s, x, target)
        optimiser.zero_grad()
        loss = rule.gradients(network, s, x, lambda logits, target=target: error(logits, target))
        found = flat(weight.grad for weight in cell.parameters())
        course.loss.append(float(loss))
        course.cosine.append(float(F.cosine_similarity(found, true, dim=0)))
        optimiser.step()
    return course


def true_gradient(network: Network, cell: gr.Cell, s: gr.Structure, x: Tensor, target: Tensor) -> Tensor:
    """Of the cell's weights, with the readout's own weights in the backward pass."""
    readout = network.readout
    logits = F.linear(network.run(x, s), readout.weight, readout.bias)
    return flat(torch.autograd.grad(error(logits, target), list(cell.parameters())))


def flat(tensors: Any) -> Tensor:
    """All numbers in one row."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def smooth(values: list[float]) -> Tensor:
    """The means over the last SMOOTH steps."""
    return torch.tensor(values).unfold(0, min(SMOOTH, len(values)), 1).mean(1)


def draw(courses: dict[str, dict[str, Course]]) -> Any:
    """Above, how close the gradients are; below, the loss."""
    fig = common.figure(4.2 * len(courses) + 0.6, 6.8)
    axes = fig.subplots(2, len(courses), sharex=True, sharey="row", squeeze=False)
    for (top, bottom), (title, by_rule) in zip(axes.T, courses.items(), strict=True):
        top.set_title(title, fontsize=12, fontweight="bold")
        for name, course in by_rule.items():
            cosine, loss = smooth(course.cosine), smooth(course.loss)
            step = range(len(course.loss) - len(loss) + 1, len(course.loss) + 1)
            top.plot(step, cosine, **line(name))
            bottom.plot(step, loss, **line(name))
        top.axhline(0, color="#9AA5B1", lw=0.8)
        bottom.set_xlabel("step of training")
        bottom.set_ylim(bottom=0)
        for ax in (top, bottom):
            ax.grid(axis="y", color="#E6E9EC")
            ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("cosine to the true gradient")
    axes[1, 0].set_ylabel("cross-entropy (guessing: 0.69)")
    handles = [axes[0, 0].plot([], [], **line(name))[0] for name in RULES]
    fig.legend(handles, RULES, loc="outside lower center", ncols=len(RULES), frameon=False)
    return fig


def line(name: str) -> dict[str, Any]:
    """The style of a rule's line, the first ones thicker, so that all can be seen where rules agree."""
    number = list(RULES).index(name)
    return {"color": common.COLOURS[number], "lw": (6, 4, 2, 2, 1.5)[number]}


def tables(courses: dict[str, dict[str, Course]]) -> str:
    """Mean cosine over the whole training, and the mean loss of its last steps."""
    rows: list[list[object]] = []
    for name in RULES:
        cells: list[object] = [name]
        for by_rule in courses.values():
            course = by_rule.get(name)
            if course is None:
                cells.append("–")
                continue
            cosine, loss = torch.tensor(course.cosine).mean(), smooth(course.loss)[-1]
            cells.append(f"{cosine:.3f} / {loss:.3f}")
        rows.append(cells)
    return common.table(["mean cosine / last loss", *courses], rows)


def main(argv: list[str] | None = None) -> None:
    run = common.start(common.parser(__doc__, name="learning_rules", epochs=12), argv)
    names = list(NETWORKS)[:1] if run.args.quick else list(NETWORKS)
    steps = EPOCH * (1 if run.args.quick else run.args.epochs)
    courses: dict[str, dict[str, Course]] = {}
    for network in names:
        make, rules = NETWORKS[network]
        courses[network] = {}
        for name in rules:
            torch.manual_seed(run.args.seed)
            courses[network][name] = train(RULES[name](), make(1, HIDDEN), steps, run.args.seed)
    draw(courses).savefig(run.folder / "rules.png")
    run.finish(tables(courses))


if __name__ == "__main__":
    main()
