"""The example on sentiment: its counting by hand, and the whole of it on invented reviews."""

import pytest
import torch


def test_accuracies_by_hand(example):
    # Five phrases, the last two of them sentences. The third is neutral and counts among five classes only.
    y = torch.tensor([4, 0, 2, 3, 1])
    p = torch.tensor(
        [
            [0.0, 0.0, 0.1, 0.5, 0.4],  # positive, but not very: wrong of five, right of two
            [0.9, 0.1, 0.0, 0.0, 0.0],  # right
            [0.0, 0.0, 1.0, 0.0, 0.0],  # right
            [0.3, 0.3, 0.0, 0.4, 0.0],  # the likeliest class is right, but negative is likelier than positive
            [0.1, 0.2, 0.7, 0.0, 0.0],  # wrong of five; without the neutral class right
        ]
    )
    is_root = torch.tensor([False, False, False, True, True])
    assert example.accuracies(p, y, is_root) == pytest.approx((60, 50, 75, 50))


@pytest.mark.slow
def test_runs_without_a_download(tmp_path, run_quick):
    assert "Tree-LSTMs (this run)" in run_quick("sentiment_treebank.py", tmp_path, "--epochs", "2")
    assert (tmp_path / "sentence.png").stat().st_size > 5000


@pytest.mark.slow
def test_repeats_itself(tmp_path, run_quick):
    said = [run_quick("sentiment_treebank.py", tmp_path / name, "--epochs", "2") for name in ("a", "b")]
    assert said[0] == said[1]
