"""Products of float32 in bfloat16, where torch's setting asks for it: read at each run, close, and nowhere else."""

import pytest
import torch

import graphrec as gr
from graphrec import clib
from tests.tolerances import BF16_PRODUCTS, assert_close

pytestmark = [
    pytest.mark.skipif(clib.library() is None, reason=f"no native library: {clib.why_not()}"),
    pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "matmul"), reason="this torch has no such setting"),
]
HAS_BF16 = pytest.mark.skipif(not clib.has_bf16(), reason="the processor has no AVX-512 BF16")

MODELS = {"Tree-LSTM": gr.TreeLSTM, "Tree-GRU": gr.TreeGRU, "GRU": gr.GRU}


@pytest.fixture(autouse=True)
def as_it_was():
    torch.set_float32_matmul_precision("highest")
    yield
    torch.backends.mkldnn.matmul.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")


def _native():
    return next(str(backend) for backend in gr.backends() if backend.name == "native")


def structure_of(name, count=30):
    if name == "GRU":
        return gr.chains([9] * count)
    torch.manual_seed(1)
    trees = [gr.tree(parents=[2, 2, 4, 4, 6, 6, -1]), gr.tree(parents=[1, 2, 3, 4, -1])]
    return gr.batch(trees * count)


def made(name, inputs=37, hidden=45, dtype=torch.float32):
    torch.manual_seed(0)
    return MODELS[name](inputs, hidden).to(dtype)


def results(model, s, dtype=torch.float32, backend="native", inputs=37):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(s.num_nodes, inputs, generator=generator).to(dtype).requires_grad_()
    with gr.running_on(backend):
        h = model(x, s)
    loss = h.square().sum()
    return [h.detach(), *torch.autograd.grad(loss, [x, *model.parameters()])]


def are_equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def ask_for_medium():
    torch.set_float32_matmul_precision("medium")


def ask_for_products():
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"


def ask_for_all():
    torch.backends.mkldnn.matmul.fp32_precision = "none"  # (what is said of products alone counts for more)
    torch.backends.mkldnn.fp32_precision = "bf16"


@HAS_BF16
@pytest.mark.parametrize("name", MODELS)
def test_asked_for_it_is_done_and_close(name):
    """Values and gradients within the stated error of those in float64; what was before comes back exactly."""
    model, s = made(name), structure_of(name)
    before = results(model, s)
    ask_for_medium()
    found = results(model, s)
    assert are_equal(found, results(model, s))
    torch.set_float32_matmul_precision("highest")
    assert are_equal(before, results(model, s))
    right = results(made(name, dtype=torch.float64), s, torch.float64, "loop")
    for one, plain, other in zip(found, before, right, strict=True):
        assert not torch.equal(one, plain)
        assert (one.double() - other).norm() <= BF16_PRODUCTS * other.norm()
        assert_close(plain, other.float())


@HAS_BF16
@pytest.mark.parametrize("ask", [ask_for_medium, ask_for_products, ask_for_all])
def test_each_of_torchs_settings_is_read_at_every_run(ask):
    model, s = made("Tree-LSTM"), structure_of("Tree-LSTM")
    plain = results(model, s)
    ask()
    rounded = results(model, s)
    torch.backends.mkldnn.fp32_precision = "none"
    torch.backends.mkldnn.matmul.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    again = results(model, s)
    assert are_equal(plain, again)
    assert not are_equal(plain, rounded)


@HAS_BF16
def test_a_reverse_reads_the_setting_of_its_own_time():
    model, s = made("Tree-LSTM"), structure_of("Tree-LSTM")
    x = torch.randn(s.num_nodes, 37, requires_grad=True)
    h = model(x, s)
    (plain,) = torch.autograd.grad(h.sum(), x, retain_graph=True)
    ask_for_medium()
    (rounded,) = torch.autograd.grad(h.sum(), x, retain_graph=True)
    assert not torch.equal(plain, rounded)
    assert (plain - rounded).norm() <= BF16_PRODUCTS * plain.norm()


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_float64_is_never_rounded(precision):
    model, s = made("Tree-LSTM", dtype=torch.float64), structure_of("Tree-LSTM")
    before = results(model, s, torch.float64)
    torch.set_float32_matmul_precision(precision)
    assert are_equal(before, results(model, s, torch.float64))


def test_tf32_rounds_nothing():
    """There is no such type on a CPU."""
    model, s = made("Tree-LSTM"), structure_of("Tree-LSTM")
    before = results(model, s)
    torch.set_float32_matmul_precision("high")
    assert are_equal(before, results(model, s))


def test_a_processor_without_it_computes_as_ever(monkeypatch):
    model, s = made("Tree-LSTM"), structure_of("Tree-LSTM")
    before = results(model, s)
    monkeypatch.setattr(clib, "has_bf16", lambda: False)
    ask_for_medium()
    assert are_equal(before, results(model, s))
    assert "bfloat16" not in _native()


@HAS_BF16
@pytest.mark.parametrize(("inputs", "hidden"), [(1, 1), (3, 5), (16, 16), (33, 7), (64, 47)])
@pytest.mark.parametrize("count", [1, 7])
def test_widths_of_any_size(inputs, hidden, count):
    """Beside those of pairs, vectors and panels."""
    s = structure_of("Tree-LSTM", count)
    right = results(made("Tree-LSTM", inputs, hidden, torch.float64), s, torch.float64, "loop", inputs)
    ask_for_medium()
    found = results(made("Tree-LSTM", inputs, hidden), s, inputs=inputs)
    found, right = (torch.cat([part.double().flatten() for part in parts]) for parts in (found, right))
    assert (found - right).norm() <= BF16_PRODUCTS * right.norm()


@HAS_BF16
def test_nothing_at_all():
    ask_for_medium()
    model = made("Tree-LSTM")
    assert model(torch.zeros(0, 37), gr.chains([0, 0])).shape == (0, 45)


@HAS_BF16
def test_backends_say_which_is_in_use():
    assert "bfloat16" not in _native()
    ask_for_medium()
    assert "products of float32 in bfloat16" in _native()
