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


@pytest.fixture
def small(example, monkeypatch):
    """The example, not quick, on few expressions."""
    for name, value in {"DRAWN": 700, "TESTED": 100, "VALIDATED": 50, "BATCHES": 2}.items():
        monkeypatch.setattr(example, name, value)
    return example


class Begun(Exception):
    """Carries a run that was about to train."""


def loaded(example, tmp_path, *flags):
    """The samples, those of the file and the vocabulary of a run with these flags."""

    def stop(run, *_, **__):
        raise Begun(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example.common.Run, "fit", stop)
        with pytest.raises(Begun) as begun:
            example.main(["--out", str(tmp_path / "run"), *flags])
    return example.load(begun.value.args[0])


def test_short_expressions_are_learnt_from_first(small, tmp_path, monkeypatch):
    samples, _, _ = loaded(small, tmp_path)
    monkeypatch.setattr(samples, "MOST_WORDS", 500)
    longest = int(small.lengths(samples.train).max())
    assert longest > 50, "no long expression to be left for later"
    for epoch, limit in enumerate(small.LIMITS):
        monkeypatch.setattr(small.learning, "epoch_of", lambda data, epoch=epoch: epoch)
        loader = samples.train_dataloader()
        assert len(loader) == small.BATCHES
        for batch in loader:
            words = (batch.token > 0).sum().item()
            assert batch.num_graphs == 1 or (batch.num_graphs <= small.BATCH and words <= 500)
        seen = [i for batch in loader.batch_sampler for i, _ in batch]
        assert int(samples.length[seen].max()) <= max(limit, 4)
    assert seen == [i for batch in samples.train_dataloader().batch_sampler for i, _ in batch]
    first, again = (next(iter(samples.train_dataloader())) for _ in range(2))
    assert first.token.tolist() == again.token.tolist()


def test_all_expressions_are_learnt_from_in_the_end(small, tmp_path, monkeypatch):
    samples, _, _ = loaded(small, tmp_path)
    samples.batches = 60
    monkeypatch.setattr(small.learning, "epoch_of", lambda data: samples.epochs - 1)
    seen = set()
    for samples.run_seed in range(10):
        seen |= {i for batch in samples.train_dataloader().batch_sampler for i, _ in batch}
    assert seen == set(range(len(samples.train)))


def value_of(words):
    """The value of an expression by itself."""
    word = words.pop(0)
    if word.isdigit():
        return int(word)
    values = []
    while words[0] != "]":
        values.append(value_of(words))
    words.pop(0)
    middle = sorted(values)[(len(values) - 1) // 2] + sorted(values)[len(values) // 2]
    return {"[MIN": min(values), "[MAX": max(values), "[MED": middle // 2, "[SM": sum(values) % 10}[word]


def test_expressions_are_filled_anew(small, tmp_path):
    samples, _, vocabulary = loaded(small, tmp_path)
    held_out = {small.words(sample) for sample in samples.val + samples.test}
    assert len(held_out) == 150
    filled = samples.refilled
    seen = set()
    for i, old in enumerate(samples.train[:200]):
        for seed in range(3 * i, 3 * i + 3):
            new = filled[i, seed]
            words = [vocabulary[number] for number in new.token.tolist() if number]
            assert value_of(words) == int(new.y)
            assert words == []
            assert new.edge_index is old.edge_index
            assert filled[i, seed].token.tolist() == new.token.tolist()
            seen.add(small.words(new))
        shape = [
            [("digit" if 0 < n <= 10 else n in filled.operators or n) for n in s.token] for s in (old, new)
        ]
        assert shape[0] == shape[1]
    assert not seen & held_out
    assert len(seen) > 500
    used = {number for words in seen for number in words}
    assert {vocabulary[number] for number in used} == {"", *"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]"}


def test_what_is_held_out_is_not_drawn_either(small, tmp_path):
    samples, _, _ = loaded(small, tmp_path)
    digits = [i for i, length in enumerate(samples.length.tolist()) if length == 1]
    shown = {int(samples.refilled[i, seed].token) for i in digits for seed in range(200)}
    held = {int(s.token) for s in samples.val + samples.test if s.num_nodes == 1}
    assert digits
    assert held
    assert shown == set(range(1, 11)) - held


def test_what_is_tested_is_not_learnt_from(small, tmp_path):
    from data.listops import ListOpsGenerator

    lines = ListOpsGenerator(300, seed=0, operators=("MAX", "PM"), max_depth=3, max_args=3).lines()
    (tmp_path / "mine.tsv").write_text("\n".join(lines))
    grammar = ["--operators", "MAX,PM", "--max-depth", "3", "--max-args", "3"]
    samples, given, vocabulary = loaded(small, tmp_path, "--file", str(tmp_path / "mine.tsv"), *grammar)
    assert len(given) == 300
    parts = [{small.words(s) for s in part} for part in (samples.train, samples.val, samples.test, given)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    # The same draw without the file does hold its expressions.
    samples, given, _ = loaded(small, tmp_path, *grammar)
    assert given == []
    assert parts[3] <= {small.words(s) for part in (samples.train, samples.val, samples.test) for s in part}
    used = {vocabulary[token] for sample in samples.train for token in sample.token.tolist()}
    assert {word for word in used if word.startswith("[")} == {"[MAX", "[PM"}


def test_a_file_with_other_operators_is_refused(small, tmp_path):
    (tmp_path / "mine.tsv").write_text("9\t[MAX 2 9 ]\n2\t[FIRST 2 [LAST 4 9 ] ]\n")
    flags = ["--file", "mine.tsv", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit, match=r"mine\.tsv has the operators FIRST, LAST, too: .*--operators"):
        small.main(flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--operators", "MAX,PLUS"], "operators must be some of MIN, MAX"),
        (["--max-args", "1"], "a list has 2 arguments or more, got 1"),
        (["--max-depth", "0"], "expected a whole number, 1 or more, got '0'"),
    ],
)
def test_bad_flags_are_refused(example, tmp_path, capsys, flags, message):
    with pytest.raises(SystemExit):
        example.main(["--out", str(tmp_path), *flags])
    assert message in capsys.readouterr().err


def test_the_papers_figure_stands_beside_its_own_grammar_alone(small, tmp_path):
    def results(*flags):
        small.main(["--epochs", "1", "--out", str(tmp_path / "run"), "--fresh", *flags])
        return (tmp_path / "run" / "results.txt").read_text()

    (tmp_path / "mine.tsv").write_text("9\t[MAX 2 9 ]\n2\t[MIN 2 [SM 4 9 ] ]\n")
    text = results("--file", str(tmp_path / "mine.tsv"))
    assert text.count("98.7") == 1
    assert [line.split()[-3] for line in text.splitlines() if "this run" in line] == ["100", "2"]
    assert (tmp_path / "run" / "accuracy_mine.tsv.png").stat().st_size > 5000
    assert "98.7" not in results("--operators", "MIN,MAX,MED")
    assert "98.7" not in results("--max-depth", "5")
