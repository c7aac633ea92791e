"""What all tests share: one thread, one seed, and the same hypothesis examples on every machine."""

import gc

import hypothesis
import pytest
import torch

from graphrec.backends.choice import BACKENDS


class TorchRandom:
    """torch's random numbers as hypothesis wants them: it then starts every example from the same seed."""

    def seed(self, value):
        torch.manual_seed(value)

    def getstate(self):
        return torch.get_rng_state()

    def setstate(self, state):
        torch.set_rng_state(state)


torch_random = TorchRandom()  # hypothesis keeps a weak reference only
hypothesis.register_random(torch_random)
hypothesis.settings.register_profile(
    "graphrec", derandomize=True, deadline=None, max_examples=25, print_blob=False
)
hypothesis.settings.load_profile("graphrec")
torch.set_num_threads(1)


def pytest_collection_finish():
    """The garbage collector passes over all tests and modules no more."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def same_random_numbers_for_every_test():
    torch.default_generator.manual_seed(0)  # torch.manual_seed asks each kind of device: 250 times as long
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)


@pytest.fixture(autouse=True)
def _every_backend_gains(request, monkeypatch):
    """Small structures, too, run on the backends that larger ones run on; but for tests of what is chosen."""
    if "chooses" in request.keywords:
        return
    for kind in BACKENDS:
        monkeypatch.setattr(kind, "gains_nothing", classmethod(lambda cls, run: None))
