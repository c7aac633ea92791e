"""The example on state tracking: what is drawn and judged, and the whole of it in short."""

import pytest
import torch


@pytest.mark.parametrize("task", ["Z2", "S3", "Dyck-2"])
def test_strings_as_in_training_are_short_and_the_last_answer_counts(example, task):
    batch = example.draw_short(task, 400, seed=3)
    assert batch.num_graphs == 400
    assert set(batch.lengths.tolist()) == set(range(1, example.SHORT + 1))
    assert batch.x.shape == (int(batch.lengths.sum()), example.symbols_of(task))
    assert batch.answers.max() == example.answers_of(task) - 1
    assert batch.last[:2].tolist() == [batch.lengths[0] - 1, batch.lengths[:2].sum() - 1]
    if task == "Z2":
        ones = batch.x[:, 1].split(batch.lengths.tolist())
        assert batch.answers[batch.last].tolist() == [int(part.sum()) % 2 for part in ones]


@pytest.mark.parametrize("name", ["LSTM", "LRU", "linear, -1 to 1", "Tree-GRU", "Tree-LSTM, scan"])
def test_networks_answer_each_string_by_itself(example, name):
    network = example.NETWORKS[name]
    learner = example.Learner(example.Tracker("S3", network), 6)
    lengths = torch.tensor([5, 1, 9])
    batch = example.draw("S3", lengths, 2)
    logits, y = learner(batch), learner.targets(batch)
    assert len(logits) == len(y) == (3 if network.form == "root" else 15)
    assert learner.loss(logits, y).isfinite()
    judged, right = learner.judged(batch, logits, y)
    assert torch.equal(right, batch.answers[batch.last])
    for graph, (x, answers) in enumerate(
        zip(batch.x.split([5, 1, 9]), batch.answers.split([5, 1, 9]), strict=True)
    ):
        alone = example.Strings(x, lengths[graph : graph + 1], answers)
        torch.testing.assert_close(
            learner.judged(alone, learner(alone), answers)[0], judged[graph : graph + 1]
        )


def test_a_linear_recurrence_with_factors_of_both_signs_can_do_parity(example):
    """p_t = (1 - 2 x_t) p_{t-1} + x_t, by hand; with factors from 0 to 1 there are no such weights."""
    cell = example.LinearCell(2, 1, -1)
    with torch.no_grad():
        cell.input.weight.copy_(torch.tensor([[20.0, -20.0], [0.0, 1.0]]))
        cell.input.bias.zero_()
    batch = example.draw("Z2", torch.tensor([500]), seed=1)
    h = example.gr.Recursive(cell)(batch.x, example.gr.chain(500))
    torch.testing.assert_close(h.flatten(), batch.answers.float(), atol=1e-4, rtol=0)
    assert example.LinearCell(2, 1, 0).factor(
        torch.tensor([[-50.0, 0.0], [50.0, 0.0]])
    ).flatten().tolist() == [
        pytest.approx(0),
        1,
    ]


@pytest.mark.slow
def test_learns_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("state_tracking.py", tmp_path / name) for name in ("a", "b")]
    assert said[0] == said[1]
    assert said[0].startswith("Dyck-2: right in %, at length")
