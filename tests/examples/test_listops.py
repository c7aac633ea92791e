"""The example on ListOps: its counting by hand, and the whole of it on few expressions."""

import pytest


def test_depths_by_hand(example, tmp_path):
    from graphrec.datasets import ListOps

    lines = [
        "7\t7",
        "9\t( ( ( [MAX 2 ) 9 ) ] )",
        "2\t( ( ( [MIN ( ( ( [MAX 2 ) 1 ) ] ) ) ( ( ( [LAST 3 ) 4 ) ] ) ) ] )",
    ]
    (tmp_path / "three.tsv").write_text("".join(f"{line}\n" for line in lines))
    samples = ListOps("three.tsv", tmp_path)
    assert example.depths(list(samples), samples.vocabulary).tolist() == [0, 1, 2]
    assert len({example.words(sample) for sample in samples}) == 3


@pytest.mark.slow
def test_learns_without_a_download_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("listops.py", tmp_path / name) for name in ("a", "b")]
    assert said[0] == said[1]
    row = next(line for line in said[0].splitlines() if line.startswith("Tree-LSTM (this run)"))
    guess, accuracy = (float(word) for word in row.split()[-2:])
    assert accuracy > guess + 20
    assert list((tmp_path / "a").glob("accuracy_*.png"))
