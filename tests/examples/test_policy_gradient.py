"""The example on policy gradients: its reward, its weights, and the same loss and gradients on the trie and in full."""

import pytest
import torch

import graphrec as gr


def test_the_reward_is_the_share_of_known_words_each_counted_once(example):
    vocabulary = ["<end>", "<unknown>", *"abcd "]
    words = example.Words(["abc ab abc", "abc bcd", "bcd, bcd dab"], vocabulary)
    assert words.known == {"abc", "bcd"}  # the others are too short, or too rare

    def reward(text):
        return words.reward([vocabulary.index(character) for character in text])

    assert reward("abc") == 1
    assert reward("abc abc ab") == 3 / 10
    assert reward("bcd abc da") == 6 / 10
    assert reward("abcd") == reward("") == 0


@pytest.fixture
def draws(example):
    torch.manual_seed(0)
    model = example.make_model(7, 8)
    words = example.Words(["ab" * 10], [str(i) for i in range(7)])
    sizes = example.QUICK._replace(branches=4, limit=5)
    found, mean = example.draw(model, [[1, 2, 3], [4]], words, sizes)
    assert mean == 0
    return model, found._replace(advantage=torch.randn(8))


def test_continuations_end_as_they_were_drawn(example, draws):
    _, found = draws
    assert [len(group) for group in found.branches] == [4, 4]
    for branch in found.branches[0] + found.branches[1]:
        assert len(branch) <= 5
        assert (branch[-1] == example.END) if len(branch) < 5 else (example.END not in branch[:-1])


def test_prompts_weigh_nothing_and_continuations_their_advantage(example):
    draws = example.Draws([[1, 2], [], [3]], [[[4], [4, 5]], [[6]], []], torch.tensor([3.0, 6.0, 9.0]))
    trie = gr.Trie.from_branches(draws.prompts, draws.branches)
    weight = example.weight_of(trie, draws)
    assert weight.tolist() == [0, 0, 1, 0, 0, 2, 2, 3]
    assert trie.fold(weight).tolist() == [0, 0, 3, 2, 3]


def test_trie_and_sequences_in_full_agree(example, draws):
    model, found = draws
    trie = gr.Trie.from_branches(found.prompts, found.branches)
    weight = example.weight_of(trie, found).double()
    assert trie.num_nodes < trie.num_rows
    loss, gradients = example.differences(model.double(), trie, weight)
    assert max(loss, gradients) < 1e-12
    # And they are no zeros.
    assert example.loss_in_full(model, trie, weight).abs() > 1e-3


@pytest.mark.slow
def test_runs(tmp_path, run_quick):
    said = run_quick("policy_gradient.py", tmp_path)
    assert "largest difference between trie and sequences in full" in said
