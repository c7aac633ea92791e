"""Language models and encoder-decoders: what each node hears, and the three ways to choose what is said."""

from itertools import product

import pytest
import torch
from torch import nn

import graphrec as gr
from tests.tolerances import assert_all_close
from tests.trials import gradients

END = 0


@pytest.fixture(params=["one layer", "two layers"])
def language_model(request):
    model = gr.LSTM(4, 5) if request.param == "one layer" else gr.Stacked([gr.GRU(4, 3), gr.LSTM(3, 5)], 0.5)
    return sharpened(gr.LanguageModel(4, 4, model, 5, end=END, dropout=0.5)).eval()


def sharpened(model):
    """Large weights, so that what is heard matters."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    return model.double()


def probability_by_hand(model, tokens):
    """log p of a sequence and its end, token by token with the whole model anew each time."""
    total = 0.0
    for t, token in enumerate([*tokens, END]):
        heard = torch.tensor([END, *tokens[:t]])
        h = model.model(model.embed(heard), gr.chain(t + 1))[-1]
        total = total + torch.log_softmax(model.output(h), -1)[token]
    return total


def test_a_token_is_foretold_from_those_before_it_alone(language_model):
    members = [[1, 2, 3], [], [2, 2]]
    tokens = torch.tensor([t for member in members for t in [*member, END]])
    s = gr.chains([4, 1, 3])
    logs = torch.log_softmax(language_model(tokens, s), -1)[torch.arange(8), tokens]
    for member, found in zip(members, logs.split([4, 1, 3]), strict=True):
        assert_all_close({"log p": found.sum()}, {"log p": probability_by_hand(language_model, member)})


def test_generation_takes_the_likeliest_token_after_the_prefix(language_model):
    prefixes = [[1, 2], [], [3]]
    found = language_model.generate(prefixes, limit=6, temperature=None)
    for prefix, said in zip(prefixes, found, strict=True):
        whole = [*prefix, *said, END]
        likeliest = language_model(torch.tensor(whole), gr.chain(len(whole))).argmax(-1).tolist()
        expected = likeliest[len(prefix) :]
        assert said == expected[: len(said)]
        assert len(said) == 6 or expected[len(said)] == END


def test_generation_draws_from_the_models_distribution(language_model):
    generator = torch.Generator().manual_seed(0)
    drawn = language_model.generate([[1]] * 4000, limit=1, temperature=0.7, generator=generator)
    rate = torch.bincount(torch.tensor([said[0] if said else END for said in drawn]), minlength=4) / 4000
    logits = language_model(torch.tensor([1, END]), gr.chain(2))[1]
    torch.testing.assert_close(rate.double(), torch.softmax(logits.detach() / 0.7, -1), atol=0.03, rtol=0)
    again = torch.Generator().manual_seed(0)
    assert drawn == language_model.generate([[1]] * 4000, limit=1, temperature=0.7, generator=again)


def test_long_texts_are_generated_stretch_by_stretch(language_model):
    language_model.output[1].bias.data[END] = -1e9  # it never ends
    (text,) = language_model.generate([[1]], limit=100, temperature=None)
    likeliest = language_model(torch.tensor([1, *text]), gr.chain(101)).argmax(-1).tolist()
    assert text == likeliest[1:]


def test_recurrent_dropout_ends_with_training():
    model = sharpened(gr.LanguageModel(4, 4, gr.VariationalDropout(gr.GRUCell(4, 5), 0.5, 0.5), 5, end=END))
    token, s = torch.tensor([1, 2, 3, END]), gr.chain(4)
    assert not torch.equal(model(token, s), model(token, s))
    (text,) = model.generate([[1, 2]], limit=3, temperature=None)
    likeliest = model.eval()(torch.tensor([1, 2, *text, END]), gr.chain(3 + len(text))).argmax(-1).tolist()
    assert text == likeliest[2 : 2 + len(text)]


def test_generation_leaves_the_model_in_training(language_model):
    language_model.train()
    language_model.model.eval()
    language_model.generate([[]], limit=2)
    assert language_model.training
    assert not language_model.model.training


@pytest.fixture(params=["GRU", "LSTM", "two layers", "bridge"])
def translator(request):
    torch.manual_seed(3)
    options = {}
    if request.param == "two layers":
        encoder = gr.Stacked([gr.GRU(4, 5), gr.LSTM(5, 3)])
        decoder = gr.SeriesCell([gr.GRUCell(4, 5), gr.LSTMCell(5, 3)])
    elif request.param == "bridge":
        encoder, decoder = gr.Bidirectional(gr.GRU(4, 2), gr.GRU(4, 2)), gr.GRUCell(4, 4)
        options["bridge"] = Join()
    else:
        encoder = {"GRU": gr.GRU, "LSTM": gr.LSTM}[request.param](4, 5)
        decoder = {"GRU": gr.GRUCell, "LSTM": gr.LSTMCell}[request.param](4, 5)
    return sharpened(gr.Seq2Seq(encoder, decoder, 6, 4, 4, start=1, end=END, **options))


class Join(nn.Module):
    def forward(self, finals):
        return gr.GRUCell.State(torch.cat([state.h for state in finals], dim=1))


SOURCE, S = torch.tensor([5, 2, 3, 1, 1, 4]), gr.chains([3, 1, 2])


def scores(model, target, graph):
    """log p of a target and its end, for one source."""
    source = SOURCE[S.graph == graph]
    said = torch.tensor([*target, END])
    logits = model(source, gr.chain(len(source)), said, gr.chain(len(said)))
    return torch.log_softmax(logits, -1)[torch.arange(len(said)), said].sum().item()


def test_the_decoder_hears_the_start_and_then_the_truth(translator):
    target, t = torch.tensor([2, 3, END, 2, END, END]), gr.chains([3, 2, 1])
    h = []
    for graph, said in enumerate([[2, 3], [2], []]):
        state = translator._encode(SOURCE[S.graph == graph], gr.chain(int((S.graph == graph).sum())))
        for token in [1, *said]:
            word = translator.embed_target(torch.tensor([token]))
            state = gr.run(translator.decoder, gr.schedule(gr.chain(1)), word, state)
            h.append(state[0])
    inputs = dict(translator.named_parameters())
    actual, expected = translator(SOURCE, S, target, t), translator.output(torch.cat(h))
    assert_all_close(
        {"logits": actual} | gradients((actual,), inputs),
        {"logits": expected} | gradients((expected,), inputs),
    )


def test_without_a_teacher_the_decoder_hears_itself(translator):
    limit = 5
    said = translator.greedy(SOURCE, S, limit)
    truth, t = torch.full((3 * limit,), 3), gr.chains([limit] * 3)
    heard = translator(SOURCE, S, truth, t, teacher=0.0).argmax(-1).view(3, limit).tolist()
    for tokens, likeliest in zip(said, heard, strict=True):
        assert tokens == (likeliest[: likeliest.index(END)] if END in likeliest else likeliest)


def test_some_nodes_hear_the_truth_and_some_themselves(translator):
    """Scheduled sampling, by hand, with the same draws."""
    target, t = torch.tensor([2, 3, 2, END, 3, 3, END, END]), gr.chains([4, 3, 1])
    torch.manual_seed(1)
    actual = translator(SOURCE, S, target, t, teacher=0.5)
    torch.manual_seed(1)
    told = (torch.rand(8, 1) < 0.5).flatten()
    expected, node = [], 0
    for graph, length in enumerate([4, 3, 1]):
        state = translator._encode(SOURCE[S.graph == graph], gr.chain(int((S.graph == graph).sum())))
        heard = 1
        for _ in range(length):
            word = translator.embed_target(torch.tensor([heard]))
            state = gr.run(translator.decoder, gr.schedule(gr.chain(1)), word, state)
            expected.append(translator.output(state[0]))
            if node + 1 < 8:
                heard = int(target[node]) if told[node + 1] else int(expected[-1].argmax())
            node += 1
    inputs = dict(translator.named_parameters())
    expected = torch.cat(expected)
    assert_all_close(
        {"logits": actual} | gradients((actual,), inputs),
        {"logits": expected} | gradients((expected,), inputs),
    )


def test_a_beam_of_one_is_greedy(translator):
    assert translator.beam(SOURCE, S, limit=4, width=1) == translator.greedy(SOURCE, S, limit=4)


def test_a_beam_that_is_wide_enough_finds_the_likeliest_sequence(translator):
    limit = 3
    found = translator.beam(SOURCE, S, limit, width=27)
    for graph, said in enumerate(found):
        # All that can be said: shorter sequences with their end, and those cut off by the limit without.
        best, best_score = None, -float("inf")
        for length in range(limit + 1):
            for target in product([1, 2, 3], repeat=length):
                source = SOURCE[S.graph == graph]
                tokens = torch.tensor([*target, END][:limit])
                logits = translator(source, gr.chain(len(source)), tokens, gr.chain(len(tokens)))
                score = torch.log_softmax(logits, -1)[torch.arange(len(tokens)), tokens].sum().item()
                if score > best_score:
                    best, best_score = list(target), score
        assert said == best


def test_a_wider_beam_is_no_less_likely_here(translator):
    narrow, wide = (translator.beam(SOURCE, S, 8, width) for width in (1, 64))
    for graph, (one, other) in enumerate(zip(narrow, wide, strict=True)):
        if len(one) < 8 and len(other) < 8:
            assert scores(translator, other, graph) >= scores(translator, one, graph) - 1e-9


def test_samples_follow_the_seed_and_the_temperature(translator):
    def draw(seed, temperature):
        generator = torch.Generator().manual_seed(seed)
        return translator.sample(SOURCE, S, 6, temperature, generator)

    assert draw(0, 1.0) == draw(0, 1.0)
    assert any(draw(seed, 1.0) != draw(0, 1.0) for seed in range(1, 6))
    assert draw(0, 1e-4) == translator.greedy(SOURCE, S, 6)


def test_encoder_and_decoder_are_one_chain_of_two_kinds(translator):
    """The encoder's last state is the decoder's first predecessor: the same as one run over one chain."""
    if translator.bridge is not None or isinstance(translator.encoder, gr.Stacked):
        pytest.skip("one cell for each kind")
    target, t = torch.tensor([2, 3, END, 2, END, END]), gr.chains([3, 2, 1])
    expected = translator(SOURCE, S, target, t)
    sizes = list(zip([3, 1, 2], [3, 2, 1], strict=True))
    kinds = torch.tensor([kind for n, m in sizes for kind in [0] * n + [1] * m])
    one = gr.chains([n + m for n, m in sizes]).replace(kind=kinds)
    heard = torch.tensor([1, 2, 3, 1, 2, 1])
    x = torch.empty(len(kinds), 4, dtype=torch.float64)
    x = x.index_copy(0, (kinds == 0).nonzero().flatten(), translator.embed_source(SOURCE))
    x = x.index_copy(0, (kinds == 1).nonzero().flatten(), translator.embed_target(heard))
    h = gr.run(gr.PerKind([translator.encoder.cell, translator.decoder]), gr.schedule(one), x)[0]
    assert_all_close({"logits": translator.output(h[kinds == 1])}, {"logits": expected})


class Twice(gr.Recursive):
    """What a cell alone, node by node, would not compute."""

    def compute(self, *arguments):
        h, final = super().compute(*arguments)
        return 2 * h, final


def hooked(model):
    model.register_forward_hook(lambda module, inputs, h: 2 * h)
    return model


small = gr.Seq2Seq(gr.GRU(2, 3), gr.GRUCell(2, 3), 5, 5, 2, start=1, end=0)
spoken = gr.LanguageModel(5, 2, gr.GRU(2, 3), 3, end=0)
source, chain = torch.tensor([1, 2]), gr.chain(2)
REFUSED = {
    "no end symbol": (
        lambda: gr.Seq2Seq(gr.GRU(2, 3), gr.GRUCell(2, 3), 5, 5, 2, start=1, end=None),
        ValueError,
        "needs an end symbol, one of its tokens 0 to 4, got end=None",
    ),
    "an end symbol that is no token": (
        lambda: gr.LanguageModel(5, 2, gr.GRU(2, 3), 3, end=5),
        ValueError,
        "0 to 4, got end=5",
    ),
    "a start symbol that is no token": (
        lambda: gr.Seq2Seq(gr.GRU(2, 3), gr.GRUCell(2, 3), 5, 5, 2, start=7, end=0),
        ValueError,
        "0 to 4, got 7",
    ),
    "no limit": (lambda: small.greedy(source, chain, None), ValueError, "needs a limit"),
    "a limit of nothing": (lambda: small.beam(source, chain, 0, 3), ValueError, "needs a limit"),
    "generation without a limit": (lambda: spoken.generate([[]], None), ValueError, "needs a limit"),
    "a beam of nothing": (lambda: small.beam(source, chain, 3, 0), ValueError, "width of 1 or more"),
    "a temperature of zero": (
        lambda: small.sample(source, chain, 3, 0.0),
        ValueError,
        "above 0 .or None",
    ),
    "a prefix of other tokens": (lambda: spoken.generate([[9]], 3), ValueError, "0 to 4, got 9"),
    "tokens that are no numbers": (lambda: spoken(torch.zeros(2), chain), TypeError, "long tensor"),
    "too few tokens": (lambda: spoken(source, gr.chain(3)), ValueError, "expected 3, got 2"),
    "another number of targets": (
        lambda: small(source, chain, torch.tensor([0, 0]), gr.chains([1, 1])),
        ValueError,
        "equally many sequences, got 1 and 2",
    ),
    "a teacher beyond certainty": (
        lambda: small(source, chain, source, chain, teacher=1.5),
        ValueError,
        "probability, 0 to 1, got 1.5",
    ),
    "an encoder that does not fit": (
        lambda: gr.Seq2Seq(gr.GRU(2, 4), gr.GRUCell(2, 3), 5, 5, 2, 1, 0).greedy(source, chain, 3),
        ValueError,
        r"\[\(1, 3\)\], but the encoder ends with \[\(1, 4\)\]: .* or a bridge",
    ),
    "an encoder of two directions without a bridge": (
        lambda: gr.Seq2Seq(gr.Bidirectional(gr.GRU(2, 3), gr.GRU(2, 3)), gr.GRUCell(2, 3), 5, 5, 2, 1, 0),
        ValueError,
        "two directions .* give a bridge",
    ),
    "an encoder without states": (
        lambda: gr.Seq2Seq(gr.TDNN(2, 3, 2), gr.GRUCell(2, 3), 5, 5, 2, 1, 0),
        TypeError,
        "final state .* got TDNN",
    ),
    "a decoder of other layers": (
        lambda: gr.Seq2Seq(gr.GRU(2, 3), gr.SeriesCell([gr.GRUCell(2, 3), gr.GRUCell(3, 3)]), 5, 5, 2, 1, 0),
        ValueError,
        "decoder has 2 layers and the encoder 1",
    ),
    "a decoder with two slots": (
        lambda: gr.Seq2Seq(gr.GRU(2, 3), gr.RecNNCell(2, 3), 5, 5, 2, 1, 0),
        ValueError,
        "one predecessor, got a cell with 2 slots",
    ),
    "a decoder of other words": (
        lambda: gr.Seq2Seq(gr.GRU(2, 3), gr.GRUCell(4, 3), 5, 5, 2, 1, 0),
        ValueError,
        "inputs of width 4, but embedding=2",
    ),
    "tokens in a tree": (
        lambda: spoken(torch.tensor([1, 1, 1]), gr.dag([[0, 1], [2, 2]], 3)),
        ValueError,
        "one predecessor at most",
    ),
    "a stack whose rows are changed": (
        lambda: gr.LanguageModel(5, 2, hooked(gr.Stacked([gr.GRU(2, 3)])), 3, end=0),
        TypeError,
        "expected a Recursive model, .* got Stacked",
    ),
    "a prefix of letters": (lambda: spoken.generate(["ab"], 3), TypeError, "each a list of tokens"),
    "a model of another width": (
        lambda: gr.LanguageModel(5, 2, gr.GRU(2, 3), 4, end=0),
        ValueError,
        r"rows of shape \[3\], but hidden=4",
    ),
    "a model of other words": (
        lambda: gr.LanguageModel(5, 2, gr.GRU(4, 3), 3, end=0),
        ValueError,
        "inputs of width 4, but embedding=2",
    ),
    "a model that changes its rows": (
        lambda: gr.LanguageModel(5, 2, Twice(gr.GRUCell(2, 3)), 3, end=0),
        TypeError,
        "expected a Recursive model, .* got Twice",
    ),
    "a model whose rows are changed": (
        lambda: gr.LanguageModel(5, 2, hooked(gr.GRU(2, 3)), 3, end=0),
        TypeError,
        "expected a Recursive model",
    ),
    "a prefix alone": (lambda: spoken.generate([1, 2], 3), TypeError, "put a single one into a list"),
    "a model in rounds": (
        lambda: gr.LanguageModel(5, 2, gr.Recursive(gr.GRUCell(2, 3), "sync", 1), 3, end=0),
        ValueError,
        "async mode only",
    ),
    "a model that reads both ways": (
        lambda: gr.LanguageModel(5, 2, gr.Bidirectional(gr.GRU(2, 3), gr.GRU(2, 3)), 6, end=0),
        TypeError,
        "from left to right .* got Bidirectional",
    ),
}


@pytest.mark.parametrize(("attempt", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt()
