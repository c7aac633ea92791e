"""The example on long-range tricks: each setting is what its name says, and the whole of it, small."""

import math

import pytest
import torch
from torch import nn


@pytest.fixture
def settings(example):
    return {name: setting for group in example.SETTINGS.values() for name, setting in group.items()}


def gradients(values):
    parameter = nn.Parameter(torch.zeros(len(values)))
    parameter.grad = torch.tensor(values)
    return [parameter]


def test_clipping(settings):
    clipped = {}
    for name in ("none", "by norm, to 1", "by value, to 0.1"):
        parameters = gradients([3.0, -4.0])
        settings[name].clip(parameters)
        clipped[name] = parameters[0].grad
    torch.testing.assert_close(clipped["none"], torch.tensor([3.0, -4.0]))
    torch.testing.assert_close(clipped["by norm, to 1"], torch.tensor([0.6, -0.8]))
    torch.testing.assert_close(clipped["by value, to 0.1"], torch.tensor([0.1, -0.1]))


@pytest.mark.parametrize("decay", [0.0, 1e-3, 1e-2, 1e-1])
def test_weight_decay(settings, decay):
    parameter = nn.Parameter(torch.ones(1))
    parameter.grad = torch.zeros(1)
    settings[f"{decay:g}"].optimizer([parameter]).step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([1 - 3e-3 * decay]))


def test_starts(settings):
    U = settings["orthogonal, tanh"].cell().recurrent.weight
    torch.testing.assert_close(U @ U.t(), torch.eye(32))
    irnn = settings["identity, relu (IRNN)"].cell()
    assert torch.equal(irnn.recurrent.weight, torch.eye(32))
    assert not irnn.input.bias.any()
    assert irnn.activation is torch.relu
    for bias in (-1, 0, 1, 2, 5):
        forget = settings[f"{bias}"].cell().input.bias.chunk(4)[1]
        assert forget.tolist() == [bias] * 16


def test_names_are_of_one_setting_each(example, settings):
    names = [name for group in example.SETTINGS.values() for name in group]
    assert names.count("0") == 2  # of weight decay, and of the forget bias
    assert len(settings) == len(names) - 1


def test_networks_that_cannot_learn_are_at_chance(example):
    """At the start classes are guessed: as many are right as chance allows, and the identity keeps gradients."""
    outcome = example.train(
        example.Setting(example.irnn, lambda p: torch.optim.SGD(p, lr=0.0), lambda p: None), 12, 1, 0
    )
    assert outcome.steps is None
    assert outcome.right == pytest.approx(0.25, abs=0.05)
    assert outcome.before == outcome.after == pytest.approx(1.0, abs=0.01)
    assert math.isfinite(outcome.largest)


@pytest.mark.slow
def test_it_learns_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("long_range_tricks.py", tmp_path / name) for name in ("a", "b")]
    assert said[0] == said[1]
    assert "1 of 1" in said[0]
