"""The example on long lags: what counts as right, by hand, and the whole of it at the smallest lag."""

import pytest
import torch


def test_near_by_hand(example):
    near = example.Near()
    near.update(torch.tensor([[0.5], [0.5], [0.5]]), torch.tensor([[0.539], [0.541], [0.461]]))
    near.update(torch.tensor([[0.1]]), torch.tensor([[0.1]]))
    assert float(near.compute()) == pytest.approx(3 / 4)


def test_chance_is_what_guessing_achieves(example):
    problem = example.PROBLEMS["adding"]
    near = example.Near()
    y = problem.draw(20_000, 100, 0).y
    near.update(torch.full_like(y, 0.5), y)
    assert float(near.compute()) == pytest.approx(problem.chance, abs=0.02)
    most = example.PROBLEMS["order"].draw(20_000, 100, 0).y.bincount().max() / 20_000
    assert float(most) == pytest.approx(example.PROBLEMS["order"].chance, abs=0.02)


@pytest.mark.parametrize("problem", ["adding", "order"])
def test_networks_answer_each_sequence_by_itself_and_are_of_one_size(example, problem):
    drawn = example.PROBLEMS[problem].draw
    batch = drawn(5, 20, 3)
    for make, hidden, lr in example.NETWORKS.values():
        learner = example.PROBLEMS[problem].learner(make(batch.x.shape[1], hidden), lr)
        answers = learner(batch)
        assert learner.loss(answers, batch.y).isfinite()
        for graph in range(5):
            x = batch.x[batch.s.graph == graph]
            alone = example.Sequences(x, example.gr.chain(len(x)), batch.y[graph : graph + 1])
            torch.testing.assert_close(learner(alone), answers[graph : graph + 1])
        cell = learner.network.answer.model
        assert 1000 < sum(p.numel() for p in cell.parameters()) < 1700


@pytest.mark.slow
def test_learns_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("long_lags.py", tmp_path / name) for name in ("a", "b")]
    assert said[0] == said[1]
    order = said[0][said[0].index("temporal order") :].splitlines()
    shares = {line[:28].strip(): float(line[28:].split()[0]) for line in order[2:7]}
    assert set(shares) == {
        "SRN",
        "LSTM, forget bias 1",
        "LSTM, forget bias 5",
        "LSTM of 1997, no forget gate",
        "GRU",
    }
    assert min(shares.values()) > 90
    assert (tmp_path / "a" / "lags.png").stat().st_size > 10_000
