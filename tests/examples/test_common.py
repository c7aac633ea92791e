"""What the examples share: tables, flags, the order of samples, and going on after `kill -9`."""

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch_geometric.data import Data

from graphrec.datasets import ENAS

EXAMPLES = Path(__file__).parents[2] / "examples"
READERS = sorted(
    path.stem
    for path in EXAMPLES.glob("*.py")
    if "run.args.data" in path.read_text() and path.stem != "listops"
)  # listops draws what it learns from

# A run of three small models, told to kill itself when a line of its output says so.
SCRIPT = """
import os, sys
sys.path.insert(0, {examples!r})
import common, learning, torch
from typing import NamedTuple
from torch import nn
from torch_geometric.data import Data

fatal = os.environ.get("FATAL")
import builtins
from graphrec.train import fitting
say = builtins.print
def say_and_die(*text, **options):
    say(*text, **options)
    if fatal and fatal in " ".join(map(str, text)):
        os.kill(os.getpid(), 9)
builtins.print = say_and_die
write_text = fitting.write_text
def write_text_or_die(path, text):
    if fatal == path.name:
        os.kill(os.getpid(), 9)
    write_text(path, text)
fitting.write_text = write_text_or_die

class Network(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, outputs))
    def forward(self, batch):
        return self.layers(batch.x)

draw = torch.Generator().manual_seed(0)
rows = torch.randn(60, 3, generator=draw)
data = [Data(x=row[None], y=(row.sum() > 0).long()[None], num_nodes=1) for row in rows]
run = common.start(common.parser("A test.", name="test", epochs=4))
samples = learning.Samples(data[:40], data[40:50], data[50:], batch_size=8)
patience = 5 if run.args.epochs <= 4 else 2
def fit(name):
    return run.fit(name, lambda: learning.Classifier(Network(2), 2), samples, patience=patience)
models = [fit(name) for name in ("first", "second")]
scores = run.test(models[1], samples)

class Sums(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor
    num_graphs: int

def sums(size, seed):
    x = torch.randn(size, 3, generator=torch.Generator().manual_seed(seed))
    return Sums(x, x.sum(dim=1, keepdim=True), size)

drawn = learning.Drawn(sums, train=40, held_out=10, batch_size=8)
goal = float(os.environ["GOAL"]) if "GOAL" in os.environ else None
learner = lambda: learning.Regressor(Network(1), lr=1e-2)
third = run.fit("third", learner, drawn, patience=50, monitor="val_error", goal=goal)
scores |= {{"third": third.epochs, "reached": third.best_score}} | run.test(third, drawn)
run.finish(common.table(["score", "value"], list(scores.items())))
"""


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import common

    return common


@pytest.fixture
def learning(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import learning

    return learning


def test_table(common):
    rows = [["a model", 0.5, "12 s"], ["b", 12.25, 3]]
    assert common.table(["", "accuracy", "time"], rows).splitlines() == [
        "         accuracy  time",
        "───────  ────────  ────",
        "a model     0.500  12 s",
        "b          12.250     3",
    ]


def test_flags(common, capsys):
    flags = common.parser("What it does.", name="some", epochs=7, data="where the data are")
    args = flags.parse_args([])
    assert (args.seed, args.epochs, args.out, args.quick, args.fresh, args.data) == (
        0,
        7,
        Path("runs/some"),
        False,
        False,
        None,
    )
    with pytest.raises(SystemExit):
        flags.parse_args(["--epochs", "0"])
    assert "expected a whole number, 1 or more, got '0'" in capsys.readouterr().err
    assert not hasattr(common.parser("", name="some", epochs=7).parse_args([]), "data")


def test_order_of_samples_follows_seed_and_epoch(learning):
    samples = learning.Samples(list(range(20)), [0], [0], batch_size=5)

    def order(seed):
        samples.run_seed = seed
        return torch.cat([torch.as_tensor(batch) for batch in samples.train_dataloader()]).tolist()

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == list(range(20))


@pytest.mark.slow
def test_goes_on_after_being_killed_and_ends_the_same(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    said = run(tmp_path, whole)
    assert "Resuming" not in said
    assert "Replacing" not in said

    assert "epoch   3" in run(tmp_path, killed, fatal="epoch   3")
    assert not (killed / "results.txt").exists()
    said = run(tmp_path, killed, fatal="second:")
    assert f"Continuing the interrupted run in {killed}/" in said
    assert f"Resuming from {killed}/first/last.ckpt, after 2 epochs." in said
    assert "epoch   2" not in said
    said = run(tmp_path, killed, fatal="epoch   3")
    assert "first: trained already, 4 epochs." in said
    said = run(tmp_path, killed, fatal="third:")
    assert f"Resuming from {killed}/second/last.ckpt, after 2 epochs." in said
    run(tmp_path, killed, fatal="epoch   3")
    said = run(tmp_path, killed)
    assert f"Resuming from {killed}/third/last.ckpt, after 2 epochs." in said

    assert (killed / "results.txt").read_text() == (whole / "results.txt").read_text()
    for name in (
        f"{model}/{kind}.ckpt" for model in ("first", "second", "third") for kind in ("best", "last")
    ):
        one, other = (torch.load(folder / name, weights_only=True) for folder in (whole, killed))
        assert one["epoch"] == other["epoch"]
        for weight, value in one["state_dict"].items():
            assert torch.equal(value, other["state_dict"][weight]), weight


@pytest.mark.slow
def test_starts_from_scratch_when_finished_or_asked_or_with_other_flags(tmp_path):
    folder = tmp_path / "run"
    first = run(tmp_path, folder)
    again = run(tmp_path, folder)
    assert again.startswith(f"Replacing the run in {folder}/: it has finished.")
    assert scores_in(again) == scores_in(first)

    run(tmp_path, folder, fatal="epoch   3")
    assert "it had other flags" in run(tmp_path, folder, "--seed", "1", fatal="epoch   3")
    assert "as asked" in run(tmp_path, folder, "--seed", "1", "--fresh", fatal="epoch   3")
    assert json.loads((folder / "flags.json").read_text())["seed"] == "1"
    assert "Continuing the interrupted run" in run(tmp_path, folder, "--seed", "1")


def run(tmp_path, folder, *flags, fatal="", **environment):
    """What a run printed; with `fatal`, up to the line in which it is killed."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(examples=str(EXAMPLES)))
    command = [sys.executable, "-W", "error", *ALLOWED, script, "--out", folder, *flags]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={"FATAL": fatal, "PATH": "", **environment},
        timeout=600,
    )
    assert done.returncode == (-signal.SIGKILL if fatal else 0), done.stderr
    assert done.stderr == ""
    return done.stdout


# Raised while torch_geometric is imported, before an example can say anything about it.
ALLOWED = [
    argument
    for category in ("DeprecationWarning", "FutureWarning")  # the latter from torch 2.14 on
    for argument in ("-W", f"ignore:`torch.jit.script` is deprecated:{category}")
]


def scores_in(said):
    return said[said.index("score") : said.index("All of this")]


@pytest.mark.slow
def test_a_training_that_had_stopped_early_is_not_taken_up_again(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run(tmp_path, whole, "--epochs", "40")
    run(tmp_path, killed, "--epochs", "40", fatal="done.json")
    run(tmp_path, killed, "--epochs", "40")
    epochs = [
        json.loads((folder / "first" / "done.json").read_text())["epochs"] for folder in (whole, killed)
    ]
    assert epochs[0] == epochs[1] < 40
    assert (killed / "results.txt").read_text() == (whole / "results.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("goal", "epochs"), [("1.0", range(2, 40)), ("100", range(1, 2))])
def test_a_training_that_had_reached_its_goal_is_not_taken_up_again(tmp_path, goal, epochs):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    said = run(tmp_path, whole, "--epochs", "40", GOAL=goal)
    last_line = [line for line in said.splitlines() if "val error" in line][-1]
    assert float(last_line.split("val error")[1].split()[0]) < float(goal)
    for _ in range(3):  # one model after the other
        run(tmp_path, killed, "--epochs", "40", fatal="done.json", GOAL=goal)
    run(tmp_path, killed, "--epochs", "40", GOAL=goal)
    assert (killed / "results.txt").read_text() == (whole / "results.txt").read_text()
    assert json.loads((killed / "third" / "done.json").read_text())["epochs"] in epochs


def test_drawn_samples_are_new_in_each_epoch_and_others_than_those_held_out(learning):
    def seeds(epoch, run_seed=0):
        data = learning.Drawn(lambda size, seed: (size, seed), train=40, held_out=10, batch_size=8)
        data.run_seed = run_seed
        progress = SimpleNamespace(current=SimpleNamespace(processed=epoch))
        data.trainer = SimpleNamespace(fit_loop=SimpleNamespace(epoch_progress=progress))
        return list(data.train_dataloader()), list(data.val_dataloader()), list(data.test_dataloader())

    first, val, test = seeds(0)
    second, *held_out = seeds(1)
    assert held_out == [val, test]
    assert [size for size, _ in first] == [8] * 5
    assert [size for size, _ in val + test] == [10, 10]
    drawn = first + second + val + test
    assert len({seed for _, seed in drawn}) == len(drawn) == 12
    assert seeds(0)[0] == first != seeds(0, run_seed=1)[0]


def test_a_regressor_by_hand(learning):
    model = learning.Regressor(torch.nn.Identity())
    said, y = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [5.0]])
    assert float(model.loss(said, y)) == pytest.approx(9 / 2)
    assert model.val_metrics(said, y)["val_error"] == pytest.approx((9 / 2) ** 0.5)
    with pytest.raises(ValueError, match=r"shape of the targets, \(2,\), got \(2, 1\)"):
        model.loss(said, y.flatten())


def test_only_the_loss_of_training_is_smoothed(learning):
    model = learning.Classifier(torch.nn.Identity(), 2, label_smoothing=0.2)
    logits, y = torch.tensor([[3.0, 1.0]]), torch.tensor([0])
    right, wrong = -logits.log_softmax(dim=1)[0]
    assert float(model.train().loss(logits, y)) == pytest.approx(float(0.9 * right + 0.1 * wrong))
    assert float(model.eval().loss(logits, y)) == pytest.approx(float(right))


def test_checkpoints_of_others_are_left_alone(common, tmp_path):
    precious = tmp_path / "project" / "last.ckpt"
    precious.parent.mkdir()
    precious.write_text("precious")
    with pytest.raises(SystemExit, match=r"flags\.json is missing"):
        common.start(common.parser("A test.", name="test", epochs=1), ["--out", str(tmp_path), "--fresh"])
    assert precious.read_text() == "precious"


def small_run(common, learning, folder, *flags):
    """A run of one model, two epochs long, to its end or as far as the files of an earlier one let it go."""
    draw = torch.Generator().manual_seed(0)
    data = [Data(x=row[None], y=(row.sum() > 0).long()[None]) for row in torch.randn(12, 3, generator=draw)]
    samples = learning.Samples(data[:8], data[8:10], data[10:], batch_size=8)

    class Network(torch.nn.Linear):
        def forward(self, batch):
            return super().forward(batch.x)

    run = common.start(common.parser("A test.", name="test", epochs=2), ["--out", str(folder), *flags])
    return run.fit("tree", lambda: learning.Classifier(Network(3, 2), 2), samples)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run whose model is trained, and which was killed before it had finished; and a copy."""
    folder, copy = (tmp_path_factory.mktemp("run") / name for name in ("run", "copy"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        small_run(importlib.import_module("common"), importlib.import_module("learning"), folder)
    assert {path.name for path in folder.rglob("*.*")} == {
        "flags.json",
        "done.json",
        "best.ckpt",
        "last.ckpt",
        "history.csv",
    }
    return folder, shutil.copytree(folder, copy)


@pytest.fixture
def folder(trained):
    """That folder as it was, in its place, which checkpoints of Lightning remember."""
    place, copy = trained
    shutil.rmtree(place)
    return shutil.copytree(copy, place)


def damage(path, how):
    path.unlink() if how == "missing" else os.truncate(path, path.stat().st_size // 2 if how == "cut" else 0)


@pytest.mark.parametrize("how", ["cut", "empty", "missing"])
@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize(
    ("file", "mend"),
    [
        ("best.ckpt", "Delete the folder {0}/tree to train once more"),
        ("last.ckpt", "Delete it to train from the first epoch"),
    ],
)
def test_damaged_checkpoints_are_named_and_what_is_trained_is_kept(
    common, learning, folder, capsys, file, mend, how, is_done
):
    path = folder / "tree" / file
    damage(path, how)
    if not is_done:
        (folder / "tree" / "done.json").unlink()
    if file == "best.ckpt" or (how != "missing" and not is_done):
        what = "missing" if how == "missing" else "damaged"
        with pytest.raises(SystemExit) as stopped:
            small_run(common, learning, folder)
        said = str(stopped.value)
        assert said.startswith(f"{path} is {what} (")
        assert f"{mend.format(folder)}" in said
        assert said.endswith(", or start from scratch with --fresh.")
        assert "\n" not in said
        shutil.rmtree(path.parent) if file == "best.ckpt" else path.unlink()
    model = small_run(common, learning, folder)
    assert model.epochs == 2
    assert 0 <= model.best_score <= 1
    assert "Continuing the interrupted run" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["cut", "empty"])
@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("tree/done.json", "Delete it to go on after the last epoch"),
        ("flags.json", "another folder with --out"),
    ],
)
def test_damaged_notes_of_a_run_are_named(common, learning, folder, capsys, file, remedy, how):
    damage(folder / file, how)
    with pytest.raises(
        SystemExit, match=rf"{file} is damaged .*{remedy}, or start from scratch with --fresh\."
    ) as said:
        small_run(common, learning, folder)
    assert "\n" not in str(said.value)
    (folder / "tree" / "done.json").unlink()
    small_run(common, learning, folder, *["--fresh"] * (file == "flags.json"))
    assert ("Resuming" in capsys.readouterr().out) == (file != "flags.json")


def test_what_was_trained_with_other_flags_is_not_taken_up(common, learning, folder, capsys):
    (folder / "tree" / "last.ckpt").unlink()
    (folder / "tree" / "best.ckpt.part").touch()
    small_run(common, learning, folder, "--seed", "1")
    said = capsys.readouterr().out
    assert "it had other flags" in said
    assert "trained already" not in said
    assert not list(folder.rglob("*.part"))


def test_errors_of_data_sets_are_told_in_the_words_of_examples(common, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHREC_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit) as stopped, common.reading():
        ENAS()
    assert str(stopped.value).endswith("which is not there: correct it, unset it, or give --data FOLDER.")
    with (
        pytest.raises(SystemExit, match=r"or give neither --data nor GRAPHREC_DATA to download it\."),
        common.reading(),
    ):
        ENAS(tmp_path)
    for error in (OSError("a\n  b"), ValueError("a b"), ConnectionError("a b"), ImportError("a b")):
        with pytest.raises(SystemExit, match=r"^a b$"), common.reading():
            raise error
    with pytest.raises(KeyError), common.reading():
        raise KeyError("a fault of the example's own")


@pytest.mark.parametrize("name", READERS)
def test_every_example_stops_with_one_line_when_its_files_are_not_there(common, tmp_path, name):
    example = importlib.import_module(name)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stopped:
        example.main(["--data", str(tmp_path / "nowhere"), "--out", str(out)])
    assert str(stopped.value) == f"--data names {tmp_path}/nowhere, which is not there."
    assert not out.exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as stopped:
        example.main(["--data", str(tmp_path / "empty"), "--out", str(out)])
    said = str(stopped.value)
    assert f"{tmp_path}/empty" in said
    assert "--data" in said
    assert not re.search(r"\broot\b|\n", said.replace(str(tmp_path), ""))


@pytest.mark.parametrize(
    "flags", [["--seed", "-1"], ["--seed", str(2**32)], ["--epochs", "²"], ["--epochs", "0"]]
)
def test_numbers_out_of_range_are_refused(common, flags, capsys):
    with pytest.raises(SystemExit):
        common.start(common.parser("A test.", name="test", epochs=1), flags)
    assert "expected a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 12, 100])
def test_the_rate_rises_and_falls_however_short_the_training(learning, steps):
    model = learning.Classifier(torch.nn.Linear(2, 2), 2, lr=1.0)
    model._trainer = SimpleNamespace(estimated_stepping_batches=steps)
    made = model.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert all(0 < rate <= 1 for rate in rates)
    if steps >= 11:
        assert max(rates) > 0.8
        assert rates[-1] < 0.2
