"""Automata inside networks: seven languages of zeros and ones, learnt from short strings, tested on long ones.

    python examples/tomita.py            # all seven of Tomita's languages, in a few minutes
    python examples/tomita.py --quick    # two of them, in seconds

Is a string such as 0110 in the language or not? A network reads it symbol by symbol, and after each symbol answers
for the string so far. It learns from strings of up to 12 symbols and is tested on up to 64. Four networks are
compared, with eight state neurons each: the SRN, the LSTM, the GRU, and the second-order network, whose weights map a
state and a symbol to the next state, like the table of an automaton.

From the second-order network the automaton that it has learnt is extracted: states that are close to each other
count as one. Its minimal form is compared with the true automaton, by the answers to all 8,191 strings of up to 12
symbols, and as a whole: minimal automata of the same language are equal. The automaton can be correct where the
network is not, because the network's states drift while it reads.

M. Tomita, "Dynamic construction of finite-state automata from examples using hill-climbing", Annual Conference of
the Cognitive Science Society 1982 (the languages); C. Giles, C. Miller, D. Chen, H. Chen, G. Sun and Y. Lee,
"Learning and Extracting Finite State Automata with Second-Order Recurrent Neural Networks", Neural Computation 4,
1992 (the network and the extraction).
"""

from __future__ import annotations

from functools import partial
from statistics import fmean
from typing import Any, NamedTuple

import automata
import common
import learning
import torch
from data.automaton import Automaton
from data.tomita import Tomita
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

import graphrec as gr

LANGUAGES = {
    1: "1*",
    2: "(10)*",
    3: "no odd run of 0s after an odd run of 1s",
    4: "no 000",
    5: "even numbers of 0s and of 1s",
    6: "as many 0s as 1s, modulo 3",
    7: "0*1*0*1*",
}
SHORT = 12  # symbols, the most in a training string, and in the strings on which automata are compared
TESTED = range(4, 65, 4)  # lengths; some languages have strings of even length only
LONG = 20  # symbols: longer strings than any in training
SECOND_ORDER = "second order"
NETWORKS = ("SRN", "LSTM", "GRU", SECOND_ORDER)
HIDDEN = 8
RATE = 0.1  # of learning, for all: with 0.02 and 0.05 SRN and LSTM learnt fewer languages


class Recogniser(nn.Module):
    """A network that reads strings, and its answer at each node: is the string up to here in the language?

    Args:
        kind: one of `NETWORKS`.
        hidden: the width of states.
    """

    start: Tensor | None

    def __init__(self, kind: str, hidden: int = HIDDEN) -> None:
        super().__init__()
        self.symbols = 3  # zero, one, and the start of a string
        start = None
        if kind == SECOND_ORDER:
            cell = gr.SecondOrderCell(self.symbols, hidden)
            nn.init.normal_(cell.pairs.weight)  # with the usual small weights all neurons stay near 1/2
            self.read: nn.Module = gr.Recursive(cell)
            start = torch.eye(1, hidden)
        else:
            self.read = {"SRN": gr.SRN, "LSTM": gr.LSTM, "GRU": gr.GRU}[kind](self.symbols, hidden)
        self.register_buffer("start", start)
        self.answer = nn.Linear(hidden, 2)

    def forward(self, batch: Data) -> Tensor:
        """`[N, 2]`: logits of no and yes."""
        return self.answer(self.states(batch.token, batch))

    def states(self, token: Tensor, s: gr.Structure | Data) -> Tensor:
        """`[N, H]`."""
        return self.read(nn.functional.one_hot(token, self.symbols).float(), s, initial=self.start)


class Learnt(NamedTuple):
    """The results for one language."""

    accuracy: dict[str, dict[int, float]]  # in per cent, by network and length
    true: Automaton
    extracted: Automaton | None  # from the second-order network, if that was possible
    network_wrong: int  # the number of short strings to which its own answer is wrong

    @property
    def minimal(self) -> Automaton | None:
        return self.extracted and self.extracted.minimal()

    @property
    def verdict(self) -> str:
        if self.minimal is None:
            return "no automaton"
        return "the true automaton" if self.minimal == self.true else "another automaton"


def load(run: common.Run, grammar: int) -> tuple[learning.Samples, Automaton]:
    """Training strings, somewhat longer ones that choose the epoch, test strings; and the automaton."""
    share = 3 if run.args.quick else 1
    train = Tomita(grammar, range(1, SHORT + 1), 60 // share, seed=0)
    val = Tomita(grammar, range(SHORT + 1, SHORT + 5), 30 // share, seed=1)
    test = Tomita(grammar, TESTED, 90 // share, seed=2)
    return learning.Samples(train, val, test, batch_size=60), train.automaton


def build(kind: str) -> learning.Classifier:
    """An untrained network."""
    return learning.Classifier(Recogniser(kind), 2, lr=RATE)


def accuracy_by_length(model: learning.Classifier, samples: list[Any]) -> dict[int, float]:
    """The percentage of strings that the model judges correctly."""
    batch: Any = Batch.from_data_list(samples)
    last = batch.ptr[1:] - 1
    with torch.no_grad():
        right = model(batch)[last].argmax(dim=1) == batch.y[last]
    length = batch.ptr.diff() - 1
    return {n: 100 * right[length == n].double().mean().item() for n in length.unique().tolist()}


def find(network: Recogniser) -> tuple[Automaton | None, Tensor]:
    """The extracted automaton that agrees best with the network, and the network's own answers."""
    strings, symbol = automata.prefix_tree(SHORT)
    with torch.no_grad():
        h = network.states(torch.cat([symbol.new_zeros(1), 1 + symbol]), strings)
        says = network.answer(h).argmax(dim=1) == 1
    extracted = [automata.extract(h, says, parts) for parts in range(2, 9)]
    return min(
        (automaton for automaton in extracted if automaton is not None),
        key=lambda automaton: wrong(automata.answers(automaton, SHORT), says),
        default=None,
    ), says


def wrong(says: Tensor, truth: Tensor) -> int:
    """To how many strings an answer is wrong."""
    return int((says != truth).sum())


def draw(learnt: dict[int, Learnt]) -> Any:
    """For each language the automaton that was extracted, and below it accuracy by length."""
    columns = min(4, len(learnt) + 1)
    rows = -(-(len(learnt) + 1) // columns)
    fig = common.figure(3.7 * columns, 4.5 * rows)
    panels = fig.subfigures(rows, columns, squeeze=False, wspace=0.04, hspace=0.04).ravel()
    for panel, (grammar, outcome) in zip(panels, learnt.items(), strict=False):
        top, bottom = panel.subplots(2, 1, height_ratios=(1.9, 1))
        top.set_title(f"{grammar}   {LANGUAGES[grammar]}", fontsize=11, fontweight="bold", pad=18)
        found = {"ha": "center", "fontsize": 9, "color": automata.INK}
        top.text(0.5, 1.03, f"extracted: {outcome.verdict}", transform=top.transAxes, **found)
        top.set_axis_off()
        if outcome.minimal is not None:
            automata.draw(outcome.minimal, top)
        draw_accuracy(outcome.accuracy, bottom)
    explain(panels[len(learnt)])
    return fig


def draw_accuracy(accuracy: dict[str, dict[int, float]], ax: Any) -> None:
    """A line for each network, the last ones thinner, so that all can be seen where they coincide."""
    ax.axvspan(0, SHORT, color="#EEF1F4", lw=0)
    for kind, rate in accuracy.items():
        ax.plot(list(rate), list(rate.values()), **line(kind))
    ax.set(xlim=(0, TESTED[-1]), ylim=(35, 106), xticks=range(0, TESTED[-1] + 1, 16), yticks=(50, 75, 100))
    ax.set_xlabel("symbols in a string", fontsize=8)
    ax.set_ylabel("right, %", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.grid(axis="y", color="#E6E9EC")
    ax.spines[["top", "right"]].set_visible(False)


def line(kind: str) -> dict[str, Any]:
    """How the line of a network looks."""
    number = NETWORKS.index(kind)
    return {"color": common.COLOURS[(1, 2, 4, 0)[number]], "lw": (7, 5, 3.2, 1.6)[number], "label": kind}


def explain(panel: Any) -> None:
    """How to read the picture."""
    ax = panel.subplots()
    ax.set_axis_off()
    text = f"""\
Above, the automaton extracted from
the second-order network. A string is
accepted if it ends in a double circle;
from a faint state none ever is.

Below, how many strings are judged
correctly; half are in the language.
Grey: up to {SHORT} symbols, as in training."""
    how: dict[str, Any] = {"va": "top", "fontsize": 10, "linespacing": 1.45, "color": automata.INK}
    ax.text(0.03, 0.98, text, transform=ax.transAxes, **how)
    for kind in NETWORKS:
        ax.plot([], [], **line(kind))
    ax.legend(frameon=False, loc="lower left", fontsize=10)


def tables(learnt: dict[int, Learnt]) -> str:
    """The networks' accuracies, and what was extracted from the second-order one."""
    rows: list[list[object]] = []
    for grammar, outcome in learnt.items():
        means = [
            (fmean(rate[n] for n in rate if n <= SHORT), fmean(rate[n] for n in rate if n >= LONG))
            for rate in outcome.accuracy.values()
        ]
        rows.append(
            [f"{grammar}  {LANGUAGES[grammar]}", *(f"{short:.1f} / {long:.1f}" for short, long in means)]
        )
    header = [f"correct in %: up to {SHORT} / {LONG} to {TESTED[-1]} symbols", *NETWORKS]
    networks = common.table(header, rows)

    rows = []
    for grammar, outcome in learnt.items():
        found: list[object] = ["–", "–", "–"]
        if outcome.extracted and outcome.minimal:
            mistakes = wrong(automata.answers(outcome.minimal, SHORT), automata.answers(outcome.true, SHORT))
            found = [len(outcome.extracted.step), len(outcome.minimal.step), mistakes]
        rows.append([grammar, len(outcome.true.step), outcome.network_wrong, *found, outcome.verdict])
    count = 2 ** (SHORT + 1) - 1
    header = [
        "extracted",
        "true states",
        f"network: of {count:,} wrong",
        "automaton: states",
        "minimal",
        "wrong",
        "",
    ]
    return f"{networks}\n\n{common.table(header, rows)}"


def main(argv: list[str] | None = None) -> None:
    run = common.start(common.parser(__doc__, name="tomita", epochs=30), argv)
    learnt: dict[int, Learnt] = {}
    for grammar in (1, 4) if run.args.quick else LANGUAGES:
        samples, true = load(run, grammar)
        models = {
            kind: run.fit(
                f"{grammar}_{kind.replace(' ', '_')}",
                partial(build, kind),
                samples,
                patience=run.args.epochs,  # the falling step size ends the training
                monitor="val_loss",
            )
            for kind in NETWORKS
        }
        accuracy = {kind: accuracy_by_length(model, samples.test) for kind, model in models.items()}
        extracted, says = find(models[SECOND_ORDER].network)
        learnt[grammar] = Learnt(accuracy, true, extracted, wrong(says, automata.answers(true, SHORT)))
    draw(learnt).savefig(run.folder / "automata.png")
    run.finish(tables(learnt))


if __name__ == "__main__":
    main()
