"""The example on learning rules: its task by hand, and the whole of it, quickly."""

import torch


def test_targets_are_the_symbols_of_four_steps_before(example):
    x, target = example.draw_symbols(torch.Generator().manual_seed(0))
    symbols = x.view(example.BATCH, example.LENGTH)
    for time in range(4, example.LENGTH):
        assert torch.equal(target[:, time - 4] == 1, symbols[:, time - 4] == 1)
    logits = torch.zeros(x.shape)
    logits.view_as(symbols)[:, 4:] = 100 * symbols[:, :-4]
    assert float(example.error(logits, target)) < 1e-40  # exp(-100)
    assert float(example.error(-logits, target)) > 99


def test_the_true_gradient_is_that_of_autograd(example):
    cell = example.gr.LSTMCell(1, 3)
    network, s = example.Network(cell, False), example.gr.chains([example.LENGTH] * example.BATCH)
    x, target = example.draw_symbols(torch.Generator().manual_seed(0))
    found = example.true_gradient(network, cell, s, x, target)
    example.error(network(x, s), target).backward()
    torch.testing.assert_close(found, example.flat(weight.grad for weight in cell.parameters()))


def test_rules_are_as_close_as_they_say(example):
    torch.manual_seed(0)
    course = example.train(example.RTRL(), example.gr.LSTMCell(1, 4), 2, 0)
    assert min(course.cosine) > 0.9999
    course = example.train(example.SnAp1(), example.gr.ElementwiseLSTMCell(1, 4), 2, 0)
    assert min(course.cosine) > 0.9999
    course = example.train(example.EProp(), example.gr.LSTMCell(1, 4), 2, 0)
    assert 0 < min(course.cosine) < 0.9999


def test_smooth_by_hand(example):
    assert example.smooth([1.0, 2.0, 3.0]).tolist() == [2.0]
    assert example.smooth([0.0] * 20 + [20.0]).tolist() == [0.0, 1.0]


def test_quick(example, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(example, "EPOCH", 6)
    example.main(["--quick", "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert "RTRL                     1.000" in printed
    assert (tmp_path / "out" / "rules.png").exists()
