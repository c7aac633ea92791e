"""The example on traffic: windows and errors by hand, batches against single windows, and the whole of it."""

import numpy as np
import pytest
import torch
from data.traffic import road_traffic
from torch_geometric.loader import DataLoader


@pytest.fixture
def windows(example):
    return example.Windows(road_traffic(days=1, roads=2, sensors=3, seed=0), every=40)


def test_windows(example, windows):
    traffic, size = windows.traffic, 6
    sample = windows.test[0]
    begin = int(0.8 * 288)
    assert sample.y.shape == sample.known.shape == (size, 12)
    assert torch.equal(sample.y, traffic.values[begin + 12 : begin + 24].t())
    x = sample.x.view(12, size, 2)
    assert torch.equal(x[..., 1], traffic.time_of_day[begin : begin + 12, None].expand(12, size))
    known = traffic.observed[begin : begin + 12]
    torch.testing.assert_close(
        (windows.mean + windows.std * x[..., 0])[known], traffic.values[begin : begin + 12][known]
    )
    assert (x[..., 0][~known] == 0).all()
    for sensor in range(size):
        seen = traffic.values[begin : begin + 12, sensor][known[:, sensor]]
        assert sample.last[sensor] == seen[-1]


def test_no_window_looks_into_another_part(windows):
    """24 steps each, from the first 70 %, the next 10 %, the rest."""
    steps = len(windows.traffic.values)
    assert len(windows.train) == len(range(0, int(0.7 * steps) - 23, 40))
    assert len(windows.val) == len(range(int(0.7 * steps), int(0.8 * steps) - 23, 40))
    assert len(windows.test) == len(range(int(0.8 * steps), steps - 23, 40))


def test_a_batch_is_its_windows_alone(example, windows):
    torch.manual_seed(0)
    for build in example.networks(windows, 4).values():
        network = build()
        samples = windows.train[:3]
        with torch.no_grad():
            together = [network(batch) for batch in DataLoader(samples, 3)]
            alone = [network(batch) for batch in DataLoader(samples, 1)]
        torch.testing.assert_close(torch.cat(together), torch.cat(alone))
        torch.testing.assert_close(example.predictions(network, samples, 2), torch.cat(alone).view(3, 6, 12))


def test_one_network_knows_of_other_sensors(example, windows):
    torch.manual_seed(0)
    sample = windows.train[0]
    for name, build in example.networks(windows, 4).items():
        network = build()
        batch = next(iter(DataLoader([sample], 1)))
        batch.x.requires_grad_()
        (gradient,) = torch.autograd.grad(network(batch)[0].sum(), batch.x)
        reached = gradient.view(12, 6, 2).abs().sum((0, 2)) > 0
        assert reached[0]
        assert bool(reached[1:].any()) == (name == "DCRNN")


def test_errors_by_hand(example):
    y = torch.tensor([1.0, 2.0, 0.0])
    assert example.error(torch.tensor([2.0, 4.0, 9.0]), y, torch.tensor([True, True, False])) == 1.5


@pytest.mark.slow
def test_learns_and_reads_files(example, tmp_path):
    traffic = road_traffic(days=2, roads=2, sensors=3, seed=0)
    np.savez(tmp_path / "pems.npz", data=traffic.values.numpy())
    lines = [f"{u},{v},{1 + u}" for u, v in traffic.graph.edge_index.t().tolist()]
    (tmp_path / "distances.csv").write_text("\n".join(lines))
    files = ["--series", str(tmp_path / "pems.npz"), "--distances", str(tmp_path / "distances.csv")]
    example.main(["--quick", "--epochs", "2", *files, "--out", str(tmp_path / "out")])
    said = (tmp_path / "out" / "results.txt").read_text()
    rows = {line[:19].strip(): [float(x) for x in line[19:].split()] for line in said.splitlines()[2:5]}
    assert set(rows) == {"last value", "GRU for each sensor", "DCRNN"}
    assert all(0 < value < 40 for row in rows.values() for value in row)
    assert "6 sensors" in said
    assert (tmp_path / "out" / "jams.png").stat().st_size > 10_000


def test_a_batch_of_which_nothing_is_known(example, windows):
    predictor = example.Predictor(torch.nn.Identity())
    assert float(predictor.loss(torch.zeros(0), torch.zeros(0))) == 0
    assert float(predictor.loss(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 2.0]))) == 2


def test_a_series_too_short_for_its_parts_is_refused(example, tmp_path):
    np.savez(tmp_path / "pems.npz", data=np.ones((200, 2)))
    (tmp_path / "distances.csv").write_text("0,1,1\n1,0,2\n")
    files = ["--series", str(tmp_path / "pems.npz"), "--distances", str(tmp_path / "distances.csv")]
    with pytest.raises(SystemExit, match="expected 250 steps or more, got 200"):
        example.main([*files, "--out", str(tmp_path / "out")])


def test_half_of_the_files_is_refused(example, tmp_path):
    with pytest.raises(SystemExit, match="go together"):
        example.main(["--series", "x.npz", "--out", str(tmp_path)])


@pytest.mark.slow
def test_learns_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("traffic.py", tmp_path / name) for name in ("a", "b")]
    assert said[0] == said[1]
    rows = {line[:19].strip(): [float(x) for x in line[19:].split()] for line in said[0].splitlines()[2:5]}
    assert rows["DCRNN"][2] < rows["GRU for each sensor"][2] < rows["last value"][2]
