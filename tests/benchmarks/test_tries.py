"""The benchmark on prefix trees: all that is timed computes the same, and the trie is held against its fastest peer."""

import pytest

from benchmarks import tries
from benchmarks.contending import Row, check_agreement
from benchmarks.timing import Timing


@pytest.mark.parametrize("net", tries.NETS)
def test_the_trie_and_the_sequences_in_full_compute_the_same(net):
    check_agreement(tries.contenders(net, tries.trie_of(5, 3, 2)))


def test_a_loss_that_is_left_out_would_be_seen():
    found = tries.contenders("GRU", tries.trie_of(5, 3, 2))
    wrong = tries.contenders("GRU", tries.trie_of(5, 3, 2))["torch.nn"]
    assert wrong.upstream is not None
    wrong.upstream[-1, -1] = 0  # of one continuation
    with pytest.raises(RuntimeError, match="computes something else"):
        check_agreement({**found, "torch.nn": wrong})


def test_verdicts():
    seconds = {
        "trie": [1.0, 2.0],
        tries.OURS: [3.0, 6.0],
        tries.BATCH_FIRST: [4.0, 8.0],
        "torch.nn": [0.1, 0.1],
    }
    row = Row(
        "GRU", "4 + 2 × 3", "training", {name: Timing(figures) for name, figures in seconds.items()}, {}
    )
    assert tries._verdict(row, tries.trie_of(4, 2, 3), 2.5) == (
        "| GRU | 4 + 2 × 3 | training | 14 / 10 = 1.40 | 3.00 | 2.5 |"
    )
