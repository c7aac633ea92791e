"""The example on docstrings: n-grams by hand and by definition, and the whole of it on a few modules."""

import itertools
import math
import shutil
import sysconfig
from collections import Counter
from pathlib import Path

import pytest
import torch
from data.corpus import SPLITS, split_of
from torch_geometric.data import Data

import graphrec as gr


@pytest.fixture
def texts():
    """Forty texts of five symbols, not all equally frequent, each with the end symbol, 0."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 12, (40,), generator=draw).tolist()
    chance = torch.tensor([0.0, 4, 3, 2, 0.1])
    return [
        torch.cat([torch.multinomial(chance, n, replacement=True, generator=draw), torch.tensor([0])])
        for n in lengths
    ]


def grams_of(texts, order):
    """All n-grams as tuples, end symbols before each text."""
    for text in texts:
        padded = [0] * (order - 1) + text.tolist()
        yield from (tuple(padded[i : i + order]) for i in range(len(text)))


def discount(counts, c):
    """Modified Kneser-Ney, from the counts of counts; half a count where those cannot be used."""
    n = Counter(counts.values())
    i = min(c, 3)
    if not n[1] + 2 * n[2] or not n[i]:
        return 0.5
    found = i - (i + 1) * n[1] / (n[1] + 2 * n[2]) * n[i + 1] / n[i]
    return found if 0 <= found < i else 0.5


def probability(texts, gram, order, symbols, top=True):
    """The last symbol of an n-gram given the others, by recursion over its order."""
    if not gram:
        return 1 / symbols
    full = list(grams_of(texts, order))
    if top:
        counts = Counter(found[order - len(gram) :] for found in full)
    else:  # how many different symbols come before
        counts = Counter(longer[1:] for longer in {found[order - len(gram) - 1 :] for found in full})
    context = {found: count for found, count in counts.items() if found[:-1] == gram[:-1]}
    below = probability(texts, gram[1:], order, symbols, top=False)
    if not context:
        return below
    spared = sum(discount(counts, count) for count in context.values())
    left = counts[gram] - discount(counts, counts[gram]) if gram in counts else 0
    return (left + spared * below) / sum(context.values())


def number(gram, symbols):
    return sum(symbol * symbols**i for i, symbol in enumerate(reversed(gram)))


def test_ngrams_are_their_definition(example, texts):
    order, symbols = 3, 6  # symbol 5 is never seen
    model = example.KneserNey(texts, symbols, order, 0)
    grams = list(itertools.product(range(symbols), repeat=order))[::3]
    found = model.probability(torch.tensor([number(gram, symbols) for gram in grams]))
    for n in range(1, order + 1):
        expected = [probability(texts, gram[order - n :], order, symbols) for gram in grams]
        torch.testing.assert_close(found[n - 1], torch.tensor(expected, dtype=torch.double))


def test_probabilities_sum_to_one_in_every_context(example, texts):
    order, symbols = 4, 6
    model = example.KneserNey(texts, symbols, order, 0)
    p = model.probability(torch.arange(symbols**order)).view(order, -1, symbols)
    assert bool((p > 0).all())
    torch.testing.assert_close(p.sum(dim=2), torch.ones(p.shape[:2], dtype=torch.double))


def test_a_text_by_hand(example):
    # Counts 3, 1 and 1: the estimates would take all of a 1 and all of a 3, so half a count is taken of each, and
    # the one and a half that this spares go evenly to three symbols.
    model = example.KneserNey([torch.tensor([1, 2, 1, 1, 0])], 3, 1, 0)
    assert model.size(1) == 3
    bits = model.bits([torch.tensor([1, 0]), torch.tensor([2])])
    assert bits[0].tolist() == pytest.approx([-math.log2(0.6), -math.log2(0.2), -math.log2(0.2)])


def test_texts_begin_anew(example, texts):
    model = example.KneserNey(texts, 6, 3, 0)
    alone = torch.cat([model.bits([text]) for text in texts], dim=1)
    assert torch.equal(model.bits(texts), alone)


def test_too_long_ngrams_are_refused(example, texts):
    with pytest.raises(ValueError, match="expected n-grams that fit into 63 bits, got 10 of 98 symbols each"):
        example.KneserNey(texts, 98, 10, 0)


def test_batches_of_similar_length_have_all_texts_once(example):
    lengths = torch.randint(1, 200, (101,), generator=torch.Generator().manual_seed(0)).tolist()
    texts = [Data(token=torch.full((n,), i), num_nodes=n) for i, n in enumerate(lengths)]
    samples = example.Texts(texts, [], [], batch_size=4)

    def numbers(epoch_seed):
        samples.run_seed = epoch_seed
        return [sorted(set(batch.token.tolist())) for batch in samples.train_dataloader()]

    assert sorted(i for batch in numbers(0) for i in batch) == list(range(101))
    assert numbers(0) == numbers(0) != numbers(1)
    spread = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in numbers(0)]
    assert sum(spread) / len(spread) < 30  # of four drawn at random it would be 120


def test_the_network_hears_no_character_before_it_has_said_it(example):
    network = example.Writer(7, 5).eval()
    tokens = torch.tensor([3, 4, 5, 6, 0])
    s = gr.chains([5])
    changed = tokens.index_fill(0, torch.tensor([2]), 1)
    before, after = (network.model(token, s) for token in (tokens, changed))
    assert torch.equal(before[:3], after[:3])
    assert not torch.allclose(before[3:], after[3:])


def test_bits_are_those_of_each_text_alone(example):
    network = example.Writer(7, 5).eval()
    texts = [chain_of(tokens) for tokens in ([3, 4, 0], [5], [6, 6, 1, 2, 0])]
    together = example.network_bits(network, texts)
    torch.testing.assert_close(together, torch.cat([example.network_bits(network, [text]) for text in texts]))
    p = network.model(torch.tensor([5]), gr.chains([1])).softmax(1)[0, 5].detach()
    assert float(together[3]) == pytest.approx(-math.log2(float(p)), abs=1e-5)


def chain_of(tokens):
    data = gr.to_pyg(gr.chains([len(tokens)]))
    data.token = torch.tensor(tokens)
    return data


def test_in_training_all_characters_count_the_same(example):
    learner = example.NextCharacter(example.Writer(7, 5), 7, characters=4.0)
    logits, y = torch.randn(6, 7, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    whole, parts = learner.loss(logits, y), (learner.loss(logits[:1], y[:1]), learner.loss(logits[1:], y[1:]))
    torch.testing.assert_close(whole, parts[0] + parts[1])
    torch.testing.assert_close(whole, learner.eval().loss(logits, y) * 6 / 4)


def test_means_by_place_end_where_few_texts_are_left(example):
    place = torch.tensor([0, 0, 1, 1, 0, 1, 2])
    values = torch.tensor([1.0, 2.0, 4.0, 5.0, 3.0, 9.0, 100.0], dtype=torch.double)
    assert example.mean_by(place, values, least=2).tolist() == [2.0, 6.0]
    assert example.mean_by(place, values, least=1).tolist() == [2.0, 6.0, 100.0]


def test_the_text_shown_is_of_medium_length_and_hardness(example):
    texts = [torch.zeros(n) for n in (3, 8, 6, 7)]
    bits = torch.cat(
        [torch.full((3,), 2.0), torch.full((8,), 9.0), torch.full((6,), 3.0), torch.full((7,), 2.9)]
    )
    assert example.typical(bits, texts, least=5, most=7) == 2


@pytest.fixture
def code(tmp_path):
    """A few modules of the standard library, of all three splits."""
    folder = tmp_path / "code"
    folder.mkdir()
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-z]*.py"))
    for split, count in zip(SPLITS, (12, 3, 3), strict=True):
        for path in [path for path in modules if split_of(path.stem) == split][:count]:
            shutil.copy(path, folder)
    return folder


@pytest.mark.slow
def test_learns_without_a_download_and_repeats_itself(tmp_path, run_quick, code):
    flags = ("--data", code, "--epochs", "3")
    said = [run_quick("docstrings.py", tmp_path / name, *flags) for name in ("a", "b")]
    assert said[0] == said[1]
    bits = {line.split("  ")[0]: float(line.split()[-1]) for line in said[0].splitlines()[2:]}
    assert bits["4-grams"] < bits["3-grams"] < bits["1-grams"] < bits["any character as likely as any other"]
    assert bits["LSTM"] < bits["1-grams"]
    for picture in ("bits.png", "surprise.png"):
        assert (tmp_path / "a" / picture).stat().st_size > 10_000
