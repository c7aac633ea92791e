"""The example on truncated backpropagation: what is to be echoed, the rule inside Lightning, and the whole of it."""

import pytest
import torch


def test_the_echo_is_the_bit_of_so_many_steps_ago(example):
    bits, echo = example.draw(48, seed=3)
    assert bits.shape == (example.STREAMS, 48, 1)
    assert torch.equal(echo[:, example.LAG :] * 2 - 1, bits[:, : -example.LAG, 0])
    parts = [part for part, _ in example.calls(3, 48)]
    assert len(parts) == 48 // example.CALL
    assert torch.equal(torch.cat(parts, dim=1), example.draw(48, seed=3)[0])


@pytest.mark.parametrize(("rule", "learns"), [((8, 1), False), ((9, 1), True)])
def test_a_hop_decides_whether_there_is_anything_to_learn_from(example, rule, learns):
    """From the bit to its echo there are nine: with eight, the gradient knows nothing of the bit."""
    torch.manual_seed(0)
    model = example.Echo(*rule).double()
    bits, echo = (part[:4].double() for part in example.draw(16, seed=0))
    bits.requires_grad_()
    h = model.stream(bits)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(model.answer(h)[:, -1, 0], echo[:, -1])
    (grad,) = torch.autograd.grad(loss, bits)
    assert grad[:, -example.LAG - 1].any() == learns
    assert not grad[:, : -example.LAG - 1].any()


@pytest.mark.slow
def test_learns_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("truncated.py", tmp_path / name, "--epochs", "3") for name in ("a", "b")]
    assert said[0] == said[1]
    assert (tmp_path / "a" / "echo.png").stat().st_size > 10_000
