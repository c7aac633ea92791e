"""A character language model: an LSTM learns to write docstrings, and is compared with n-grams.

    python examples/docstrings.py            # several minutes on two cores; downloads nothing
    python examples/docstrings.py --quick    # seconds, to try it out

The data are the docstrings of the Python that runs this, cut after 300 characters; those of the test modules are in no
other split. A model predicts the probability of each character from the previous ones. Bits per character are the mean
of minus the logarithm to base 2 of that probability. The end of a text counts as a character. Characters that occur
fewer than three times in training are one "unknown" character, for all models.

The n-grams are smoothed as in S. F. Chen and J. Goodman, "An Empirical Study of Smoothing Techniques for Language
Modeling", Computer Speech and Language 13 (1999): interpolated Kneser-Ney with three discounts per order, which is
hard to beat with so little text.

An interrupted run resumes where it stopped when it is started again.
"""

from __future__ import annotations

import math
from typing import Any

import common
import learning
import torch
from data.docstrings import NO_CHARACTERS, Docstrings
from torch import Tensor, nn
from torch_geometric.loader import DataLoader

import graphrec as gr

END = NO_CHARACTERS.index("<end>")
SIGNS = {"<end>": "■", "<unknown>": "�", "\n": "↵"}  # how characters without a glyph are shown
NETWORK, BOTH = "LSTM", "both"
STRIDE = 20  # characters; the picture shows means over this many places


class KneserNey:
    """Character n-grams of several orders, interpolated modified Kneser-Ney.

    p_k(w | h) = (c(hw) - D(c(hw)) + Σ_v D(c(hv)) p_{k-1}(w | h')) / c(h),  h' being h without its first symbol,
    p_0 uniform; D takes 0, D₁, D₂ or D₃₊ as c is 0, 1, 2 or more. At the order asked for c counts occurrences, at
    those below it counts the different symbols that come before (Chen and Goodman 1999, section 3).

    Args:
        texts: what to learn from, symbols from 0 to `symbols` - 1.
        symbols: how many symbols there are.
        order: the longest n-grams.
        end: stands before each text as often as needed.
    """

    def __init__(self, texts: list[Tensor], symbols: int, order: int, end: int) -> None:
        if symbols**order >= 2**63:
            raise ValueError(
                f"expected n-grams that fit into 63 bits, got {order} of {symbols} symbols each."
            )
        self.symbols, self.order, self.end = symbols, order, end
        grams = self._grams(texts)
        found = [grams % symbols**k for k in range(order + 1)]
        self.plain = [Counts(found[k], symbols) for k in range(1, order + 1)]
        longer = [found[k + 1].unique() % symbols**k for k in range(1, order)]
        self.lower = [Counts(gram, symbols) for gram in longer]

    def bits(self, texts: list[Tensor]) -> Tensor:
        """`[order, T]`: how many bits each symbol takes, one text after another, under unigrams, bigrams, …"""
        return -self.probability(self._grams(texts)).log2()

    def size(self, order: int) -> int:
        """How many counts it keeps for n-grams of some order and what they fall back on."""
        return len(self.plain[order - 1].gram) + sum(len(counts.gram) for counts in self.lower[: order - 1])

    def probability(self, grams: Tensor) -> Tensor:
        """`[order, T]`: of the last symbol of each n-gram, given the others.

        Args:
            grams: `[T]`, `order` symbols each, read as the digits of a number.
        """
        below = torch.full(grams.shape, 1 / self.symbols, dtype=torch.double)
        p = []
        for k in range(self.order):
            gram = grams % self.symbols ** (k + 1)
            p.append(self.plain[k].interpolate(gram, below))
            if k + 1 < self.order:
                below = self.lower[k].interpolate(gram, below)
        return torch.stack(p)

    def _grams(self, texts: list[Tensor]) -> Tensor:
        """`[T]`: for each symbol, it and the `order` - 1 before it."""
        digit = self.symbols ** torch.arange(self.order - 1, -1, -1)
        before = torch.full((self.order - 1,), self.end)
        return torch.cat(
            [(torch.cat([before, text]).unfold(0, self.order, 1) * digit).sum(1) for text in texts]
        )


class Counts:
    """How often each n-gram of one order was found, and what that leaves for those that were not.

    Args:
        found: `[T]`, n-grams as numbers.
        symbols: how many symbols there are.
    """

    def __init__(self, found: Tensor, symbols: int) -> None:
        self.gram, count = torch.unique(found, return_counts=True)
        self.symbols = symbols
        discount = discounts(count)[count.clamp(max=3)]
        self.context, where = torch.unique_consecutive(self.gram // symbols, return_inverse=True)
        self.left = count - discount
        self.total, self.spared = (
            torch.zeros(len(self.context), dtype=torch.double).index_add(0, where, values.double())
            for values in (count, discount)
        )

    def interpolate(self, gram: Tensor, below: Tensor) -> Tensor:
        """The probability of each n-gram's last symbol, from its counts and the probability one order below."""
        context = gram // self.symbols
        left, total = look_up(self.gram, self.left, gram), look_up(self.context, self.total, context)
        spared = look_up(self.context, self.spared, context)
        return torch.where(total > 0, (left + spared * below) / total.clamp(min=1), below)


def discounts(count: Tensor) -> Tensor:
    """`[4]`: what is taken off a count of 0, 1, 2, and 3 or more, as Chen and Goodman estimate it.

    Where so few n-grams are found that this would be less than nothing, or all of the count, it is half a count.
    """
    n = torch.bincount(count.clamp(max=5), minlength=6).double()
    y = n[1] / (n[1] + 2 * n[2])
    found = torch.stack([i - (i + 1) * y * n[i + 1] / n[i] for i in (1, 2, 3)])
    is_sound = (found >= 0) & (found < torch.tensor([1, 2, 3]))
    return torch.cat([found.new_zeros(1), torch.where(is_sound, found, 0.5)])


def look_up(keys: Tensor, values: Tensor, wanted: Tensor) -> Tensor:
    """The values of some keys, which ascend; 0 where there is no such key."""
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[place] == wanted, values[place], 0)


class Writer(nn.Module):
    """A language model with an LSTM.

    Args:
        symbols: how many characters there are.
        hidden: the width of states.
        embedding: the width of the vectors of characters.
        dropout: before the output.
    """

    def __init__(self, symbols: int, hidden: int, embedding: int = 32, dropout: float = 0.25) -> None:
        super().__init__()
        lstm = gr.LSTM(embedding, hidden, forget_bias=1.0)
        self.model = gr.LanguageModel(symbols, embedding, lstm, hidden, end=END, dropout=dropout)

    def forward(self, batch: Any) -> Tensor:
        """`[N, symbols]`: the logits of each character, given those before it."""
        return self.model(batch.token, batch)


class NextCharacter(learning.Classifier):
    """Learns to predict each character of a text.

    In training a character of a long text counts as much as one of a short text, though batches differ in length.

    Args:
        network: returns logits for all characters.
        symbols: how many characters there are.
        characters: how many a batch has on average.
    """

    def __init__(self, network: nn.Module, symbols: int, characters: float) -> None:
        super().__init__(network, symbols, lr=1e-2)
        self.characters = characters

    def targets(self, batch: Any) -> Tensor:
        return batch.token

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        mean = super().loss(outputs, y)
        return mean * len(y) / self.characters if self.training else mean


class Texts(learning.Samples):
    """Texts of similar length are trained on together: a batch takes as many steps as its longest has characters."""

    @property
    def characters(self) -> float:
        """How many characters a training batch has on average."""
        return self.batch_size * sum(text.num_nodes for text in self.train) / len(self.train)

    def train_dataloader(self) -> DataLoader:
        loader = super().train_dataloader()
        texts: Any = loader.dataset  # in the order of this epoch
        pool = 20 * self.batch_size
        batches = []
        for start in range(0, len(texts), pool):
            near = sorted(range(start, min(start + pool, len(texts))), key=lambda i: texts[i].num_nodes)
            batches += [near[i : i + self.batch_size] for i in range(0, len(near), self.batch_size)]
        order = torch.randperm(len(batches), generator=loader.generator).tolist()
        return DataLoader(texts, batch_sampler=[batches[i] for i in order])


def network_bits(model: nn.Module, texts: list[Any]) -> Tensor:
    """`[T]`: how many bits each character takes, one text after another."""
    found = []
    for batch in learning.Samples([], [], texts, 64).test_dataloader():
        with torch.no_grad():
            found.append(nn.functional.cross_entropy(model(batch), batch.token, reduction="none"))
    return torch.cat(found).double() / math.log(2)


def as_shown(character: str) -> str:
    """A character as a sign in one line."""
    return SIGNS.get(character, character)


def draw_bits(orders: Tensor, network: float, both: float, by_place: dict[str, Tensor]) -> Any:
    """Bits per character: of n-grams and the network, and by the place in the text.

    Args:
        orders: `[order]`, the means of unigrams, bigrams, …
        network, both: the means of the network, and of it and the longest n-grams together.
        by_place: by name, means over `STRIDE` places each.
    """
    fig = common.figure(11, 4.2)
    left, right = fig.subplots(1, 2)
    n = torch.arange(1, len(orders) + 1)
    left.plot(n, orders, "o-", color=common.COLOURS[0], lw=2, label="n-grams, Kneser-Ney")
    left.axhline(network, color=common.COLOURS[3], lw=2, label=NETWORK)
    left.axhline(
        both, color=common.COLOURS[2], lw=2, ls="--", label=f"both: {NETWORK} and {len(orders)}-grams"
    )
    left.set_ylim(bottom=min(both, network, float(orders.min())) - 0.25)
    left.set_xticks(n)
    left.set_xlabel("n")
    left.set_ylabel("bits per character, test modules")
    colours = {NETWORK: common.COLOURS[3], BOTH: common.COLOURS[2]}
    blues = iter(("#9ECAE1", common.COLOURS[0], "#08306B"))
    for name, values in by_place.items():
        middle = STRIDE * torch.arange(len(values)) + STRIDE / 2
        style = {"ls": "--"} if name == BOTH else {}
        right.plot(middle, values, color=colours.get(name) or next(blues), lw=2, label=name, **style)
    right.set_xlabel("characters before it in its text")
    right.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    left.legend(frameon=False)
    for ax in (left, right):
        ax.grid(axis="y", color="#E6E9EC")
        ax.spines[["top", "right"]].set_visible(False)
    return fig


def draw_surprise(characters: list[str], bits: dict[str, Tensor], columns: int = 72) -> Any:
    """A text once per model, each character on a ground that says how many bits it took."""
    places, row, column = [], 0, 0
    for character in characters:
        if column == columns:
            row, column = row + 1, 0
        places.append((row, column))
        row, column = (row + 1, 0) if character == "\n" else (row, column + 1)
    rows, columns = (1 + max(place) for place in zip(*places, strict=True))
    fig = common.figure(0.125 * columns + 1.2, 0.4 + len(bits) * (0.4 + 0.2 * rows))
    axes = fig.subplots(len(bits), 1, squeeze=False).flatten().tolist()
    for ax, (name, values) in zip(axes, bits.items(), strict=True):
        ground = torch.full((rows, columns), torch.nan)
        for (row, column), character, value in zip(places, characters, values.tolist(), strict=True):
            ground[row, column] = value
            colour = "white" if value > 6 else "black"
            style: dict[str, Any] = {"ha": "center", "va": "center", "family": "monospace", "fontsize": 9}
            ax.text(column, row, as_shown(character), color=colour, **style)
        ax.imshow(ground, cmap="YlOrRd", vmin=0, vmax=8, aspect="auto")
        ax.set_title(f"{name}: {float(values.mean()):.2f} bits per character", loc="left", fontsize=11)
        ax.set_axis_off()
    fig.colorbar(axes[0].images[0], ax=axes, label="bits", shrink=0.7, extend="max", pad=0.01)
    return fig


def main(argv: list[str] | None = None) -> None:
    flags = common.parser(__doc__, name="docstrings", epochs=8, data="another folder of Python code")
    run = common.start(flags, argv)
    with common.reading():
        size = 60 if run.args.quick else 300
        splits = [Docstrings(run.args.data, split, size) for split in ("train", "val", "test")]
    vocabulary, symbols = splits[0].vocabulary, len(splits[0].vocabulary)
    parts: list[Any] = [split[: 400 if run.args.quick else None] for split in splits]
    samples = Texts(*parts, batch_size=16)
    hidden, order = (32, 4) if run.args.quick else (256, 8)

    def learner() -> NextCharacter:
        return NextCharacter(Writer(symbols, hidden), symbols, samples.characters)

    model = run.fit("lstm", learner, samples, monitor="val_loss", patience=run.args.epochs)
    learnt, tested = ([text.token for text in part] for part in (samples.train, samples.test))
    ngrams = KneserNey(learnt, symbols, order, END)
    by_order = ngrams.bits(tested)
    network = network_bits(model, samples.test)
    both = 1 - torch.stack([network, by_order[-1]]).neg().exp2().sum(dim=0).log2()

    common.say("\nWritten by the network, line ends shown as ↵:")
    draw = torch.Generator().manual_seed(run.args.seed)
    for temperature in (0.4, 0.7, 1.0):
        common.say(f"\n  at temperature {temperature}:")
        for text in model.network.model.generate([[]] * 4, 300, temperature, draw):
            common.say("  · " + "".join(as_shown(vocabulary[i]) for i in text))

    place = torch.cat([torch.arange(len(text)) for text in tested]) // STRIDE
    shown = {f"{n}-grams": by_order[n - 1] for n in (1, 3, 5, order) if n <= order} | {NETWORK: network}
    by_place = {
        name: mean_by(place, values) for name, values in (shown | {BOTH: both}).items() if name != "1-grams"
    }
    means = by_order.mean(dim=1), float(network.mean()), float(both.mean())
    draw_bits(*means, by_place).savefig(run.folder / "bits.png")
    chosen = typical(network, tested)
    part = slice(*(sum(map(len, tested[:i])) for i in (chosen, chosen + 1)))
    characters = [vocabulary[i] for i in tested[chosen].tolist()]
    drawn = {name: values[part] for name, values in shown.items()}
    draw_surprise(characters, drawn).savefig(run.folder / "surprise.png")

    weights = sum(p.numel() for p in model.network.parameters())
    rows: list[list[object]] = [["any character as likely as any other", 0, math.log2(symbols)]]
    rows += [[f"{n}-grams", ngrams.size(n), float(by_order[n - 1].mean())] for n in range(1, order + 1)]
    rows.append([NETWORK, weights, float(network.mean())])
    rows.append(
        [f"{BOTH}: {NETWORK} and {order}-grams, the mean of their probabilities", "", float(both.mean())]
    )
    heading = f"{len(tested)} texts of the test modules, {len(network)} characters"
    run.finish(common.table([heading, "numbers kept", "bits per character"], rows))


def mean_by(group: Tensor, values: Tensor, least: int = 100) -> Tensor:
    """`[groups]`: the mean of the values of each group, of 0, 1, … up to the first with fewer than `least`."""
    count = group.bincount()
    mean = torch.zeros(len(count), dtype=torch.double).index_add(0, group, values) / count
    is_small = (count < least).tolist()
    return mean[: is_small.index(True)] if True in is_small else mean


def typical(bits: Tensor, texts: list[Tensor], least: int = 150, most: int = 290) -> int:
    """The text of medium length whose bits per character are nearest to the mean of all."""
    means = torch.stack([part.mean() for part in bits.split([len(text) for text in texts])])
    is_medium = torch.tensor([least <= len(text) <= most for text in texts])
    far = (means - bits.mean()).abs()
    return int(torch.where(is_medium, far, far + 100).argmin())


if __name__ == "__main__":
    main()
