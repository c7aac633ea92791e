"""The example on logic: its parts on a pair, and the whole of it on the few pairs of the repository."""

import pytest
import torch
from torch_geometric.data import Batch


def test_pairs_of_a_batch_do_not_mix(example):
    from graphrec.datasets import Logic

    pairs = [Logic(example.QUICK, "test", (2,))[i] for i in range(4)]
    network = example.Comparison(words=10, classes=7, hidden=6)
    together = network(Batch.from_data_list(pairs))
    alone = torch.cat([network(pair) for pair in pairs])
    torch.testing.assert_close(together, alone)


def test_the_order_of_a_pair_matters(example):
    from graphrec.datasets import Logic

    pair = Logic(example.QUICK, "test", (2,))[0]
    swapped = pair.clone()
    swapped.root_index = pair.root_index.flip(0)
    network = example.Comparison(words=10, classes=7, hidden=6)
    assert (network(pair) - network(swapped)).abs().max() > 1e-3


def test_finds_the_sizes_that_there_are_files_of(example):
    assert example.there(example.QUICK, "train", range(13)) == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_runs_without_a_download_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("logic.py", tmp_path / name, "--epochs", "2") for name in ("a", "b")]
    assert said[0] == said[1]
    assert "4 operators" in said[0]
    assert (tmp_path / "a" / "accuracy.png").stat().st_size > 5000


def test_without_data_it_says_where_to_get_them(example, tmp_path):
    with pytest.raises(FileNotFoundError, match="vector-entailment"):
        example.there(tmp_path, "train", range(3))
