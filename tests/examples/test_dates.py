"""The example on dates: its parts on a few dates, and the whole of it on two formats."""

import random

import pytest
import torch
from data.dates import Dates

import graphrec as gr


@pytest.fixture
def data():
    return Dates("val", 9)


def test_a_letter_of_the_month_is_missing(example):
    rng = random.Random(0)
    found = {example.without_a_letter("MONDAY, 4 MAY 2020", rng) for _ in range(50)}
    assert found == {"MONDAY, 4 AY 2020", "MONDAY, 4 MY 2020", "MONDAY, 4 MA 2020"}
    assert example.without_a_letter("4 Dec 2020", rng) is None
    assert example.without_a_letter("2020-12-04", rng) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2020-02-29", True), ("2021-02-29", False), ("20200229", False), ("2020-2-29", False), ("", False)],
)
def test_what_is_a_date(example, text, expected):
    assert example.is_date(text) is expected


def test_a_text_is_read_as_the_data_set_numbers_it(example, data):
    for sample in data:
        assert torch.equal(example.as_read(sample.text, data), sample.token)


def test_probabilities_are_those_of_the_answers(example, data):
    torch.manual_seed(0)
    model = example.Translator(data, hidden=7, teacher=1.0).eval().model
    texts = [sample.token for sample in data][:3]
    said = [[2, 3], [], [4, 4, 4, 4]]
    found = example.probabilities(model, texts, said)
    assert [len(p) for p in found] == [3, 1, 5]
    for text, answer, p in zip(texts, said, found, strict=True):
        target = torch.tensor([*answer, data.end])
        logits = model(text, gr.chains([len(text)]), target, gr.chains([len(target)]))
        alone = logits.detach().softmax(1)[torch.arange(len(target)), target]
        torch.testing.assert_close(p, alone)


def test_a_likelier_answer_takes_fewer_bits(example, data):
    torch.manual_seed(0)
    model = example.Translator(data, hidden=7, teacher=1.0).eval().model
    texts = [sample.token for sample in data]
    truth = [example.as_written(sample.y[:-1].tolist(), data) for sample in data]
    score = {
        way: example.measure(model, decode, texts, truth, data)
        for way, decode in example.ways(model, 0).items()
    }
    # The network is untrained and all answers are wrong, but those of a beam are still the likelier ones.
    assert score["beam of 8"].bits < score["greedy"].bits
    assert not any(found.right.any() for found in score.values())


def test_right_is_what_is_right_in_full(example, data):
    truth = [example.as_written(sample.y[:-1].tolist(), data) for sample in data]
    texts = [sample.token for sample in data]
    told = [sample.y[:-1].tolist() for sample in data]
    told[1] = told[1][:-1]
    told[4] = [*told[4], told[4][-1]]
    told[5] = told[6]
    said = iter(told)
    model = example.Translator(data, hidden=7, teacher=1.0).eval().model
    score = example.measure(model, lambda source, s: list(said), texts, truth, data)
    assert score.right.tolist() == [i not in (1, 4, 5) for i in range(9)]
    assert score.dates == pytest.approx(100 * 7 / 9)


def test_what_it_would_say_after_each_character(example, data):
    torch.manual_seed(0)
    model = example.Translator(data, hidden=7, teacher=1.0).eval().model
    text, iso = "1 May 2020", "2020-05-01"
    said, p = example.as_it_reads(model, text, iso, data)
    assert len(said) == len(p) == len(text)
    for end, answer in enumerate(said, start=1):
        tokens = example.as_read(text[:end], data)
        (alone,) = model.greedy(tokens, gr.chains([end]), example.LIMIT)
        assert answer == example.as_written(alone, data)
        (expected,) = example.probabilities(model, [tokens], [[data.classes.index(c) for c in iso]])
        torch.testing.assert_close(p[end - 1], expected[:-1])


def test_what_it_hears_matters_in_training_only(example, data):
    batch = next(iter(example.learning.Samples([], [], data, 9).test_dataloader()))
    torch.manual_seed(0)
    network = example.Translator(data, hidden=7, teacher=0.0)
    taught = example.Translator(data, hidden=7, teacher=1.0)
    taught.load_state_dict(network.state_dict())
    torch.testing.assert_close(network.eval()(batch), taught.eval()(batch))
    assert not torch.allclose(network.train()(batch), taught.train()(batch))


@pytest.mark.slow
def test_learns_without_a_download_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("dates.py", tmp_path / name, "--epochs", "4") for name in ("a", "b")]
    assert said[0] == said[1]
    assert said[0].count("beam of 8") == 2
    assert (tmp_path / "a" / "dates.png").stat().st_size > 10_000
