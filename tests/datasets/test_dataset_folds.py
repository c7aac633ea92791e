"""Folds that are alike in size and in their labels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from graphrec.datasets import stratified_folds


@given(
    labels=st.lists(st.integers(-2, 3), min_size=2, max_size=60),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_every_sample_is_tested_once_and_folds_are_alike(labels: list[int], share: float, seed: int) -> None:
    folds = 2 + int(share * (len(labels) - 2))
    parts = stratified_folds(labels, folds, seed)
    assert len(parts) == folds
    assert sorted(i for _, test in parts for i in test.tolist()) == list(range(len(labels)))
    for train, test in parts:
        assert train.dtype == test.dtype == torch.long
        assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(labels)))
        assert train.tolist() == sorted(train.tolist())
    for label in {*labels}:
        counts = [sum(labels[i] == label for i in test.tolist()) for _, test in parts]
        assert max(counts) - min(counts) <= 1, "a rare label, too, is spread as far as it goes"
    sizes = [len(test) for _, test in parts]
    assert max(sizes) - min(sizes) <= 1


def as_lists(parts: list[tuple[Tensor, Tensor]]) -> list[list[int]]:
    return [test.tolist() for _, test in parts]


def test_the_seed_alone_decides() -> None:
    labels = torch.arange(188) % 3
    before = torch.get_rng_state()
    first = as_lists(stratified_folds(labels))
    torch.rand(1)
    assert as_lists(stratified_folds(labels)) == first
    assert as_lists(stratified_folds(labels.tolist(), folds=10, seed=0)) == first
    assert as_lists(stratified_folds(labels, seed=1)) != first
    torch.set_rng_state(before)
    stratified_folds(labels)
    assert torch.equal(torch.get_rng_state(), before)


def test_labels_may_be_truths() -> None:
    parts = stratified_folds(torch.tensor([True, False] * 10), folds=5)
    assert [len(test) for _, test in parts] == [4] * 5


@pytest.mark.parametrize("folds", [1, 0, -3, 5, 2.0])
def test_a_number_of_folds_that_is_none_is_refused(folds: int) -> None:
    with pytest.raises(ValueError, match=r"folds must be a whole number from 2 to the 4 samples, got"):
        stratified_folds([0, 1, 0, 1], folds=folds)


def test_labels_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one whole number per sample, got torch\.float32 of shape \[3\]"):
        stratified_folds(torch.tensor([0.0, float("nan"), 1.0]), folds=2)
    with pytest.raises(ValueError, match=r"one whole number per sample, got torch\.int64 of shape \[2, 2\]"):
        stratified_folds(torch.zeros(2, 2, dtype=torch.long), folds=2)
    with pytest.raises(ValueError, match=r"from 2 to the 0 samples, got 10"):
        stratified_folds([])
