"""Dates written in many ways, to ISO format: an encoder-decoder without attention, with four ways of decoding.

    python examples/dates.py            # a few minutes on two cores; downloads nothing
    python examples/dates.py --quick    # seconds, to try it out

A GRU reads a text such as "Sat, 30 May 65" to its end. From its last state alone, another GRU writes "2065-05-30".
The texts are generated: days from 1969 to 2068 in 22 formats, in lower, upper or mixed case. No day of the test set is
in training, in any format. A second test shows inputs that training does not cover: the same texts with a letter
missing in the name of the month, if the name is written out.

An answer is correct if all ten characters are. Decoding is greedy, by sampling, or by beam search, with the same
weights. Two networks are trained: one with teacher forcing, and one with scheduled sampling, which reads its own
output half of the time (S. Bengio et al., "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks",
NIPS 2015, with a constant probability).

An interrupted run resumes where it stopped when it is started again.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import common
import learning
import torch
from data.dates import FORMATS, MONTHS, Dates, write_date
from torch import Tensor, nn

import graphrec as gr

LIMIT = 12  # symbols that the decoder may write; a date has ten, and the end
NETWORKS = {"teacher forcing": 1.0, "scheduled sampling": 0.5}
QUICK_FORMATS = ("{y}-{mm}-{dd}", "{d} {month} {y}")
SHOWN = datetime.date(1987, 6, 12)
SHOWN_FORMAT = "{weekday} the {ordinal} of {month}, {y}"

Decode = Callable[[Tensor, Any], list[list[int]]]  # source and its structure → an answer to each sequence


class Translator(nn.Module):
    """An encoder, a decoder, and the decoder's inputs in training.

    Args:
        data: says which characters there are.
        hidden: the width of states.
        teacher: how often the decoder reads the true symbol in training, instead of its own.
        embedding: the width of the vectors of characters.
    """

    def __init__(self, data: Dates, hidden: int, teacher: float, embedding: int = 32) -> None:
        super().__init__()
        self.model = gr.Seq2Seq(
            gr.GRU(embedding, hidden),
            gr.GRUCell(embedding, hidden),
            source_tokens=len(data.vocabulary),
            target_tokens=len(data.classes),
            embedding=embedding,
            start=data.start,
            end=data.end,
        )
        self.teacher = teacher

    def forward(self, batch: Any) -> Tensor:
        """`[11 G, C]`: the logits of the symbols of all dates, one date after another."""
        said = gr.chains([len(batch.y) // batch.num_graphs] * batch.num_graphs).to(batch.y.device)
        teacher = self.teacher if self.training else 1.0
        return self.model(batch.token, batch, batch.y, said, teacher)


def answers(decode: Decode, texts: list[Tensor]) -> list[list[int]]:
    """The answer to each text."""
    said = []
    for start in range(0, len(texts), 256):
        part = texts[start : start + 256]
        said += decode(torch.cat(part), gr.chains([len(text) for text in part]))
    return said


def probabilities(model: Any, texts: list[Tensor], said: list[list[int]]) -> list[Tensor]:
    """For each answer the probability of each symbol, given those before it; the last one is the end."""
    target = torch.tensor([symbol for answer in said for symbol in [*answer, model.end]])
    lengths = [len(answer) + 1 for answer in said]
    s, t = (gr.chains(sizes) for sizes in ([len(text) for text in texts], lengths))
    with torch.no_grad():
        p = model(torch.cat(texts), s, target, t).softmax(dim=1)
    return list(p.gather(1, target.unsqueeze(1)).flatten().split(lengths))


def as_written(said: list[int], data: Dates) -> str:
    """An answer as a text."""
    return "".join(data.classes[symbol] for symbol in said)


def as_read(text: str, data: Dates) -> Tensor:
    """A text as the encoder gets it."""
    return torch.tensor([data.vocabulary.index(character) for character in text])


def as_it_reads(model: Any, text: str, iso: str, data: Dates) -> tuple[list[str], Tensor]:
    """After each character of a text: what the decoder would write if the text ended there, and its probabilities.

    Returns:
        n answers; `[n, 10]`, the probabilities of the true characters, given the true ones before them.
    """
    tokens = as_read(text, data)
    texts = [tokens[:end] for end in range(1, len(text) + 1)]
    said = answers(ways(model, 0)["greedy"], texts)
    truth = [data.classes.index(character) for character in iso]
    p = probabilities(model, texts, [truth] * len(texts))
    return [as_written(answer, data) for answer in said], torch.stack(p)[:, :-1]


def is_date(text: str) -> bool:
    """Whether a text is the ISO form of some day."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def without_a_letter(text: str, rng: random.Random) -> str | None:
    """The text with a letter missing in the name of the month, or None where no name is written out."""
    lower = text.lower()
    for month in MONTHS:
        start = lower.find(month.lower())
        if start >= 0:
            place = start + rng.randrange(len(month))
            return text[:place] + text[place + 1 :]
    return None


class Score(NamedTuple):
    """How good the answers to some texts are."""

    answers: list[str]
    right: Tensor  # [G] bool: all ten characters, and nothing else
    dates: float  # the share of answers that are ISO forms, in %
    bits: float  # minus the logarithm to base 2 of an answer's probability, mean


def measure(model: Any, decode: Decode, texts: list[Tensor], truth: list[str], data: Dates) -> Score:
    """Let the model answer, and compare with the true dates."""
    said = answers(decode, texts)
    written = [as_written(answer, data) for answer in said]
    bits = [-float(p.log2().sum()) for p in probabilities(model, texts, said)]
    return Score(
        written,
        torch.tensor([answer == true for answer, true in zip(written, truth, strict=True)]),
        100 * sum(map(is_date, written)) / len(written),
        sum(bits) / len(bits),
    )


def ways(model: Any, seed: int) -> dict[str, Decode]:
    """The ways of decoding."""
    chance = torch.Generator().manual_seed(seed)
    return {
        "greedy": lambda source, s: model.greedy(source, s, LIMIT),
        "sampled": lambda source, s: model.sample(source, s, LIMIT, generator=chance),
        "beam of 2": lambda source, s: model.beam(source, s, LIMIT, width=2),
        "beam of 8": lambda source, s: model.beam(source, s, LIMIT, width=8),
    }


def percent(right: Tensor) -> str:
    """The share of what is true."""
    return f"{100 * float(right.double().mean()):.2f}"


def draw(right: dict[str, Tensor], kinds: Tensor, data: Dates, model: Any) -> Any:
    """Left: the correct dates of each format. Right: what is known of a date while its text is read.

    Args:
        right: by the name of a network, `[G]` bool.
        kinds: `[G]`, the format of each date.
        data: says what formats there are.
        model: reads `SHOWN`.
    """
    text, iso = write_date(SHOWN, SHOWN_FORMAT), SHOWN.isoformat()
    said, p = as_it_reads(model, text, iso, data)
    fig = common.figure(13, 7.6)
    left, side = fig.subplots(1, 2, width_ratios=(7, 4))

    formats = range(len(data.formats))
    rate = 100 * torch.stack(
        [torch.stack([found[kinds == kind].double().mean() for kind in formats]) for found in right.values()]
    )
    order = rate.mean(dim=0).argsort(stable=True)
    rows = torch.arange(len(order))
    left.hlines(rows, rate[:, order].amin(dim=0), 100, color="#E6E9EC", lw=6, zorder=1)
    for i, name in enumerate(right):
        style: dict[str, Any] = {
            "color": common.COLOURS[i],
            "marker": "od"[i % 2],
            "s": 70 - 20 * i,
            "zorder": 2 + i,
        }
        left.scatter(rate[i, order], rows, label=name, **style)
    left.set_yticks(rows, [write_date(SHOWN, data.formats[kind]) for kind in order], family="monospace")
    left.tick_params(axis="y", length=0, labelsize=9)
    left.set_xlabel("correct dates of the test set, by format, greedy, %")
    left.legend(frameon=False, loc="center left", title="training with", alignment="left")
    left.spines[["top", "right", "left"]].set_visible(False)

    drawn = side.imshow(p, cmap="YlGnBu", vmin=0, vmax=1, aspect="auto")
    side.set_yticks(range(len(text)), text, family="monospace")
    side.set_xticks(range(len(iso)), iso, family="monospace")
    side.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False, labelsize=11)
    other = side.secondary_yaxis("right")
    other.set_yticks(range(len(text)), said, family="monospace", fontsize=9)
    other.tick_params(length=0)
    side.spines[:].set_visible(False)
    other.spines[:].set_visible(False)
    side.set_title(
        "text read so far, probabilities of the true characters,\nand the answer at this point", fontsize=10
    )
    fig.colorbar(
        drawn, ax=side, label="probability, given the true ones before it", location="bottom", shrink=0.8
    )
    return fig


def main(argv: list[str] | None = None) -> None:
    run = common.start(common.parser(__doc__, name="dates", epochs=6), argv)
    sizes = (600, 100, 100) if run.args.quick else (20_000, 1000, 2000)
    formats = QUICK_FORMATS if run.args.quick else FORMATS
    splits = zip(("train", "val", "test"), sizes, strict=True)
    train, val, test = (Dates(split, size, formats=formats) for split, size in splits)
    samples = learning.Samples(train, val, test, batch_size=16 if run.args.quick else 64)
    hidden = 32 if run.args.quick else 128

    rng = random.Random(run.args.seed)
    truth = [as_written(s.y[:-1].tolist(), test) for s in samples.test]
    slips = {
        text: iso
        for s, iso in zip(samples.test, truth, strict=True)
        if (text := without_a_letter(s.text, rng))
    }
    whole = [s.token for s in samples.test]
    shorter = [as_read(text, test) for text in slips]

    models: dict[str, Any] = {}
    for name, teacher in NETWORKS.items():

        def learner(teacher: float = teacher) -> learning.Classifier:
            return learning.Classifier(Translator(train, hidden, teacher), len(train.classes), lr=5e-3)

        models[name] = run.fit(name.replace(" ", "_"), learner, samples, monitor="val_loss").network.model

    rows: list[list[object]] = []
    greedy: dict[str, Score] = {}
    for name, model in models.items():
        for way, decode in ways(model, run.args.seed).items():
            plain = measure(model, decode, whole, truth, test)
            slip = measure(model, decode, shorter, list(slips.values()), test)
            if way == "greedy":
                greedy[name] = plain
            rows.append([f"{name}: {way}", percent(plain.right), percent(slip.right)])
            rows[-1] += [f"{slip.dates:.2f}", f"{slip.bits:.2f}"]

    name, model = next(iter(models.items()))
    wrong = (~greedy[name].right).nonzero().flatten().tolist()
    common.say(
        f"\nThe network trained with {name}, greedy: three days that it has never seen, and some that it gets wrong.\n"
    )
    for i in [0, 1, 2, *wrong[:5]]:
        answer = greedy[name].answers[i]
        common.say(
            f"    {samples.test[i].text:>40}  →  {answer}{'' if answer == truth[i] else f', not {truth[i]}'}"
        )

    kinds = torch.cat([s.format for s in samples.test])
    right = {name: score.right for name, score in greedy.items()}
    draw(right, kinds, test, model).savefig(run.folder / "dates.png")
    header = [f"{len(whole)} days, {len(shorter)} with a letter missing", "correct, %"]
    header += ["letter missing: correct, %", "dates, %", "bits of the answer"]
    run.finish(common.table(header, rows))


if __name__ == "__main__":
    main()
