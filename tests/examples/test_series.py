"""The example on series: free runs against plain loops, errors by hand, and the whole of it with small networks."""

import pytest
import torch
from torch_geometric.data import Batch

LENGTH, WARM = 30, 12


@pytest.fixture
def batch(example):
    draw = torch.Generator().manual_seed(0)
    u, y = torch.rand(200, 1, generator=draw), torch.rand(200, 1, generator=draw)
    return Batch.from_data_list(example.windows(u, y, LENGTH, 50, WARM))


@pytest.fixture
def readers(example):
    torch.manual_seed(0)
    models = {"srn": example.gr.SRN(1, 5), "gru": example.gr.GRU(1, 5), "tdnn": example.gr.TDNN(1, 5, 4)}
    return {name: example.Reader(model, 5, "before") for name, model in models.items()}


def test_windows(example, batch):
    assert batch.num_graphs == 4
    y, before, warm = (batch[name].view(4, LENGTH) for name in ("y", "before", "warm"))
    assert torch.equal(y[:, :-1], before[:, 1:])
    assert warm.sum(dim=1).tolist() == [WARM] * 4
    assert warm[:, :WARM].all()


def test_stretches_are_scaled_by_the_first(example):
    series = torch.arange(10.0).unsqueeze(1)
    parts = example.scaled(series, [4, 3, 3])
    assert [len(part) for part in parts] == [4, 3, 3]
    torch.testing.assert_close(torch.cat(parts), (series - 1.5) / series[:4].std())


def test_a_free_reader_reads_what_it_has_said(example, batch, readers):
    for reader in readers.values():
        with torch.no_grad():
            free = reader(batch, batch.warm).view(4, LENGTH)
            y = batch.y.view(4, LENGTH).clone()
            assert torch.equal(free[:, :WARM], y[:, :WARM])
            # The plain way: the whole past again for every step, with what was said in the place of what was.
            for t in range(WARM, LENGTH):
                past = torch.cat([batch.before.view(4, LENGTH)[:, :1], y[:, :t]], dim=1)
                s = example.gr.chains([t + 1] * 4)
                y[:, t] = reader.output(reader.model(past.reshape(-1, 1), s)).view(4, t + 1)[:, -1]
        torch.testing.assert_close(free, y)


def test_one_step_ahead_of_a_free_run_is_the_same(batch, readers):
    for reader in readers.values():
        with torch.no_grad():
            one, free = reader(batch).view(4, LENGTH), reader(batch, batch.warm).view(4, LENGTH)
        torch.testing.assert_close(one[:, WARM], free[:, WARM])
        assert not torch.allclose(one[:, WARM + 1 :], free[:, WARM + 1 :])


def test_the_parallel_form_is_for_training(example, batch):
    torch.manual_seed(0)
    narx = example.gr.NARX(1, 4, 1, 3, 3)
    parallel, series_parallel = example.Feedback(narx, parallel=True), example.Feedback(narx)
    free = series_parallel(batch, batch.warm)
    torch.testing.assert_close(parallel(batch), free)
    parallel.eval()
    torch.testing.assert_close(parallel(batch), series_parallel(batch))
    assert not torch.allclose(series_parallel(batch), free)


def test_errors_by_hand(example):
    y = torch.tensor([[0.0, 2.0, 0.0, 2.0], [0.0, 2.0, 0.0, 2.0]])
    said = torch.tensor([[0.0, 2.1, 3.0, 2.0], [0.0, 2.0, 0.0, 2.0]])
    assert example.error(said, y) == pytest.approx(((0.01 + 9) / 8) ** 0.5 / (8 / 7) ** 0.5)
    assert example.horizon(said, y) == (2 + 4) / 2  # lost at the third step, and not at all


@pytest.mark.slow
def test_learns_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("series.py", tmp_path / name, "--epochs", "8") for name in ("a", "b")]
    assert said[0] == said[1]
    narma, glass, _ = said[0].split("\n\n")
    errors = {line[:21].strip(): [float(x) for x in line[21:].split()] for line in narma.splitlines()[2:]}
    assert len(errors) == 7
    for name in ("TDNN", "SRN", "GRU"):
        assert errors[name][0] == errors[name][1]  # what sees the input alone is always free-running
    assert errors["NARX, series-parallel"][0] < errors["NARX, series-parallel"][1]
    assert errors["NARX, parallel"][1] < errors["NARX, series-parallel"][1]
    assert len(glass.splitlines()) == 8
    assert (tmp_path / "a" / "series.png").stat().st_size > 10_000
