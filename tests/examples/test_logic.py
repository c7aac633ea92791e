"""The example on logic: its parts on a pair, and the whole of it on the few pairs of the repository."""

import random

import pytest
import torch
from torch_geometric.data import Batch


@pytest.mark.parametrize("cell", ["tree-lstm", "recnn"])
def test_pairs_of_a_batch_do_not_mix(example, cell):
    from graphrec.datasets import Logic

    pairs = [Logic(example.QUICK, "test", (2,))[i] for i in range(4)]
    network = example.Comparison(cell, words=10, classes=7, hidden=6)
    together = network(Batch.from_data_list(pairs))
    alone = torch.cat([network(pair) for pair in pairs])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("cell", ["tree-lstm", "recnn"])
def test_the_order_of_a_pair_matters(example, cell):
    from graphrec.datasets import Logic

    pair = Logic(example.QUICK, "test", (2,))[0]
    swapped = pair.clone()
    swapped.root_index = pair.root_index.flip(0)
    network = example.Comparison(cell, words=10, classes=7, hidden=6)
    assert (network(pair) - network(swapped)).abs().max() > 1e-3


def test_finds_the_sizes_that_there_are_files_of(example):
    found = example.there(example.QUICK, "train", range(13))
    assert [(size, int(pairs.num_operators.max())) for size, pairs in found.items()] == [
        (size, size) for size in range(5)
    ]


def test_the_papers_figures_stand_beside_ours_at_every_size(example, tmp_path, capsys):
    from data.propositions import draw_pairs

    folder = tmp_path / "logic"
    folder.mkdir()
    rng = random.Random(0)
    for name, size in [("train", 1), ("train", 2), *(("test", size) for size in (3, 4, 6, 8, 10, 12))]:
        pairs = draw_pairs(30, size, rng)
        (folder / f"{name}{size}").write_text("\n".join("\t".join(pair) for pair in pairs))
    flags = ["--data", str(tmp_path), "--epochs", "1", "--out", str(tmp_path / "run")]
    published = {
        "tree-lstm": {4: "98.7", 6: "94.5", 8: "91.7", 10: "89.9", 12: "86.2"},
        "recnn": {6: "97.0", 8: "93.9", 10: "92.3", 12: "92.1"},
    }
    for cells in (["tree-lstm"], ["recnn"], ["tree-lstm", "recnn"]):
        example.main([*flags, "--cell", "both" if len(cells) > 1 else cells[0]])
        table = (tmp_path / "run" / "results.txt").read_text().splitlines()
        assert [name for name in ("Tree-LSTM", "RecNN") if name in table[0]] == [
            {"tree-lstm": "Tree-LSTM", "recnn": "RecNN"}[cell] for cell in cells
        ]
        for size in (3, 4, 6, 8, 10, 12):
            row = next(line for line in table if line.startswith(f"{size} operators")).split()
            # The size, "operators", how many, the commonest; then of each network this run's, the paper's.
            expected = [figures[size] for cell in cells if size in (figures := published[cell])]
            assert [word for word in row[4:] if word in expected][: len(expected)] == expected
            assert len(row) == 4 + len(cells) + len(expected)
    assert (tmp_path / "run" / "accuracy.png").stat().st_size > 5000


@pytest.mark.slow
def test_runs_without_a_download_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("logic.py", tmp_path / name, "--epochs", "2") for name in ("a", "b")]
    assert said[0] == said[1]
    assert "4 operators" in said[0]
    assert (tmp_path / "a" / "accuracy.png").stat().st_size > 5000


def test_without_data_it_says_where_to_get_them(example, tmp_path):
    with pytest.raises(FileNotFoundError, match="vector-entailment"):
        example.there(tmp_path, "train", range(3))
