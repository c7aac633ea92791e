"""What the examples share: tables, flags, the order of samples, and going on after `kill -9`."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"

# A run of three small models, told to kill itself when a line of its output says so.
SCRIPT = """
import os, sys
sys.path.insert(0, {examples!r})
import common, learning, torch
from typing import NamedTuple
from torch import nn
from torch_geometric.data import Data

fatal = os.environ.get("FATAL")
say = common.say
def say_and_die(text):
    say(text)
    if fatal and fatal in text:
        os.kill(os.getpid(), 9)
common.say = say_and_die
write_text = common.write_text
def write_text_or_die(path, text):
    if fatal == path.name:
        os.kill(os.getpid(), 9)
    write_text(path, text)
common.write_text = write_text_or_die

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


def test_checkpoints_are_written_whole_or_not_at_all(common, tmp_path):
    path = tmp_path / "folder" / "last.ckpt"
    common.AtomicCheckpointIO().save_checkpoint({"epoch": torch.tensor(1)}, path)
    with pytest.raises(Exception, match="pickle"):
        common.AtomicCheckpointIO().save_checkpoint({"epoch": (n for n in range(3))}, path)
    assert torch.load(path, weights_only=True) == {"epoch": torch.tensor(1)}


@pytest.mark.slow
def test_goes_on_after_being_killed_and_ends_the_same(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    said = run(tmp_path, whole)
    assert "Resuming" not in said
    assert "Replacing" not in said

    assert "epoch   3" in run(tmp_path, killed, fatal="epoch   3")
    assert not (killed / "results.txt").exists()
    said = run(tmp_path, killed, fatal="second:")
    assert f"Going on with the run in {killed}/" in said
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
def test_starts_anew_when_finished_or_asked_or_with_other_flags(tmp_path):
    folder = tmp_path / "run"
    first = run(tmp_path, folder)
    again = run(tmp_path, folder)
    assert again.startswith(f"Replacing the run in {folder}/: it has finished.")
    assert scores_in(again) == scores_in(first)

    run(tmp_path, folder, fatal="epoch   3")
    assert "its flags were others" in run(tmp_path, folder, "--seed", "1", fatal="epoch   3")
    assert "as asked" in run(tmp_path, folder, "--seed", "1", "--fresh", fatal="epoch   3")
    assert json.loads((folder / "flags.json").read_text())["seed"] == "1"
    assert "Going on" in run(tmp_path, folder, "--seed", "1")


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
ALLOWED = ["-W", "ignore:`torch.jit.script` is deprecated:DeprecationWarning"]


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
    with pytest.raises(SystemExit, match=r"no flags\.json"):
        common.start(common.parser("A test.", name="test", epochs=1), ["--out", str(tmp_path), "--fresh"])
    assert precious.read_text() == "precious"


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
