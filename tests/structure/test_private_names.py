"""Private names of torch and PyG: each that is used is known, with the reason, and does what it is used for.

Where one is gone or does something else, its test says what it was needed for and what takes its place.
"""

from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.modules import module as torch_module
from torch.nn.utils.stateless import _reparametrize_module
from torch.utils import _pytree
from torch.utils.data import default_collate
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv

import graphrec as gr
from graphrec.structure.outside import is_ordinary, outside
from tests.structure.private_names import NAMES, ROOT, found, used, used_in

Pair = namedtuple("Pair", "a b")


def within_vmap(ask):
    """What a function says within a transform."""
    said = []
    torch.func.vmap(lambda x: (said.append(ask()), x)[1])(torch.zeros(2))
    return said[0]


def within_make_fx(ask):
    said = []
    make_fx(lambda x: (said.append(ask()), x + 1)[1])(torch.zeros(2))
    return said[0]


def is_made_outside():
    """Integers that are made within transforms and modes are ordinary afterwards."""

    def make():
        with outside():
            return torch.arange(3) + 1

    with torch.device("meta"):
        in_device = make()
    with FakeTensorMode():
        in_mode = make()
    return all(is_ordinary(tensor) for tensor in (within_vmap(make), in_device, in_mode))


def has_hook(name, register):
    layer = nn.Linear(1, 1)
    before = bool(getattr(layer, name))
    getattr(layer, register)(lambda *_: None)
    return not before and bool(getattr(layer, name))


def has_global_hook(name, register):
    before = bool(getattr(torch_module, name))
    handle = getattr(torch_module, register)(lambda *_: None)
    during = bool(getattr(torch_module, name))
    handle.remove()
    return not before and during


def is_reparametrized():
    layer = nn.Linear(1, 1)
    other = torch.zeros(1, 1)
    with _reparametrize_module(layer, {"weight": other}):
        inside = layer.weight is other
    return inside and isinstance(layer.weight, nn.Parameter)


def is_flat_and_back():
    flat, spec = _pytree.tree_flatten({"a": [1, (2, Pair(3, 4))]})
    return flat == [1, 2, 3, 4] and _pytree.tree_unflatten(flat, spec) == {"a": [1, (2, Pair(3, 4))]}


def is_version_counted():
    x = torch.zeros(2)
    before = x._version
    x.add_(1)
    return x._version == before + 1


def counts_levels():
    outside_of_it = forward_ad._current_level
    with forward_ad.dual_level():
        return outside_of_it < 0 <= forward_ad._current_level


def is_compiled():
    layer = nn.Linear(1, 1)
    before = layer._compiled_call_impl
    layer.compile(backend="eager")
    return before is None and layer._compiled_call_impl is not None


def is_taken_apart(name):
    samples = [Data(x=torch.zeros(n, 1), edge_index=torch.zeros(2, 0, dtype=torch.long)) for n in (1, 2)]
    theirs = Batch.from_data_list(samples)
    ours = next(iter(gr.DataLoader(samples, batch_size=2)))
    return hasattr(theirs, name) and hasattr(ours, name) and ours.get_example(1).num_nodes == 2


def is_an_explainers(name):
    return hasattr(GCNConv(1, 1), name)


def view_has_base():
    x = torch.zeros(3)
    return x[1:]._base is x and x._base is None


def batches():
    return default_collate([gr.chain(2), gr.chain(3)]) == gr.batch([gr.chain(2), gr.chain(3)])


def in_device():
    with torch.device("cpu"):
        return torch._C._len_torch_function_stack()


def in_fake_mode(ask):
    with FakeTensorMode():
        return ask()


def without_torch_function():
    with torch.device("meta"), torch._C.DisableTorchFunction():
        return torch.zeros(1).device.type


def knows_its_number_of_nodes():
    return next(iter(gr.DataLoader([Data(num_nodes=2)] * 2, batch_size=2))).num_nodes == 4


def is_no_export():
    return not torch._ops._len_torch_dispatch_stack_pre_dispatch()


def proxy_mode():
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY)


# For each name, whether it does what it is used for.
DOES = {
    "torch._C": lambda: callable(torch._C._autograd._get_current_graph_task_keep_graph),
    "torch._C.__file__": lambda: Path(torch._C.__file__).exists(),
    "torch._C._TorchDispatchModeKey.PROXY": lambda: proxy_mode() is None,
    "torch._C._get_dispatch_mode": lambda: within_make_fx(proxy_mode) is not None,
    "torch._C._len_torch_dispatch_stack": lambda: (
        not torch._C._len_torch_dispatch_stack() and in_fake_mode(torch._C._len_torch_dispatch_stack) == 1
    ),
    "torch._C._len_torch_function_stack": lambda: (
        not torch._C._len_torch_function_stack() and in_device() == 1
    ),
    "torch._C.DisableTorchFunction": lambda: without_torch_function() == "cpu",
    "torch._C._functorch.peek_interpreter_stack": lambda: (
        torch._C._functorch.peek_interpreter_stack() is None
        and within_vmap(torch._C._functorch.peek_interpreter_stack) is not None
    ),
    "torch._C._functorch": lambda: all(
        hasattr(torch._C._functorch, name)
        for name in (
            *("get_interpreter_stack", "TransformType", "is_batchedtensor", "is_legacy_batchedtensor"),
            *("is_functorch_wrapped_tensor", "get_unwrapped"),
        )
    ),
    "torch._C._nn": lambda: callable(torch._C._nn.gelu),
    "torch._C._special": lambda: callable(torch._C._special.special_expit),
    "torch._VF": lambda: callable(torch._VF.lstm),
    "torch._dynamo.graph_break": lambda: torch._dynamo.graph_break() is None,
    "torch._functorch.pyfunctorch.temporarily_clear_interpreter_stack": is_made_outside,
    "torch._ops._len_torch_dispatch_stack_pre_dispatch": is_no_export,
    "torch._subclasses.fake_tensor.FakeTensor": lambda: isinstance(
        in_fake_mode(lambda: torch.zeros(1)), FakeTensor
    ),
    "torch._subclasses.fake_tensor.FakeTensorMode": lambda: callable(FakeTensorMode().from_tensor),
    "torch._subclasses.functional_tensor.FunctionalTensor": lambda: issubclass(
        FunctionalTensor, torch.Tensor
    ),
    "torch.autograd.forward_ad._current_level": counts_levels,
    "torch.nn.modules.module._global_forward_hooks": lambda: has_global_hook(
        "_global_forward_hooks", "register_module_forward_hook"
    ),
    "torch.nn.modules.module._global_forward_pre_hooks": lambda: has_global_hook(
        "_global_forward_pre_hooks", "register_module_forward_pre_hook"
    ),
    "torch.nn.modules.module._global_backward_hooks": lambda: has_global_hook(
        "_global_backward_hooks", "register_module_full_backward_hook"
    ),
    "torch.nn.modules.module._global_backward_pre_hooks": lambda: has_global_hook(
        "_global_backward_pre_hooks", "register_module_full_backward_pre_hook"
    ),
    "torch.nn.utils.stateless._reparametrize_module": is_reparametrized,
    "torch.utils._pytree.tree_flatten": is_flat_and_back,
    "torch.utils._pytree.tree_unflatten": is_flat_and_back,
    "torch.utils._pytree.tree_leaves": lambda: _pytree.tree_leaves([1, {"a": 2}]) == [1, 2],
    "torch.utils._python_dispatch._disable_current_modes": is_made_outside,
    "torch.utils.data._utils.collate.default_collate_fn_map": batches,
    "._forward_hooks": lambda: has_hook("_forward_hooks", "register_forward_hook"),
    "._forward_pre_hooks": lambda: has_hook("_forward_pre_hooks", "register_forward_pre_hook"),
    "._backward_hooks": lambda: has_hook("_backward_hooks", "register_full_backward_hook"),
    "._backward_pre_hooks": lambda: has_hook("_backward_pre_hooks", "register_full_backward_pre_hook"),
    "._compiled_call_impl": is_compiled,
    "._orig_mod": lambda: isinstance(torch.compile(nn.Tanh(), backend="eager")._orig_mod, nn.Tanh),
    "._load_from_state_dict": lambda: callable(nn.Module._load_from_state_dict),
    "._parameters": lambda: list(nn.Linear(1, 1)._parameters) == ["weight", "bias"],
    "._modules": lambda: list(nn.Sequential(nn.Tanh())._modules) == ["0"],
    "._buffers": lambda: (
        list(nn.BatchNorm1d(1)._buffers) == ["running_mean", "running_var", "num_batches_tracked"]
    ),
    "._version": is_version_counted,
    "._base": view_has_base,
    "._num_nodes": knows_its_number_of_nodes,
    "._num_graphs": lambda: is_taken_apart("_num_graphs"),
    "._slice_dict": lambda: is_taken_apart("_slice_dict"),
    "._inc_dict": lambda: is_taken_apart("_inc_dict"),
    "._edge_mask": lambda: is_an_explainers("_edge_mask"),
    "._loop_mask": lambda: is_an_explainers("_loop_mask"),
    "._apply_sigmoid": lambda: is_an_explainers("_apply_sigmoid"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_private_name_does_what_it_is_used_for(name):
    private = NAMES[name]
    said = f"torch {torch.__version__}: {name} is needed for this: {private.why}. Instead: {private.instead}."
    assert name.startswith(".") or found(name), f"{name} is gone from {said}"
    try:
        does = DOES[name]()
    except AttributeError as error:
        pytest.fail(f"{error}, in {said}")
    assert does, f"{name} does something else in {said}"


def test_all_that_are_used_are_known():
    lines = {}
    for path in sorted(ROOT.rglob("*.py")):
        for name, line in used(path):
            lines.setdefault(name, []).append(f"{path.relative_to(ROOT)}:{line}")
    unknown = {name: where for name, where in lines.items() if name not in NAMES}
    assert not unknown, (
        "private names of torch or PyG: use a public one, or give the reason in private_names.py"
    )
    assert not NAMES.keys() - lines.keys(), "names that are used no more: take them out of private_names.py"
    assert NAMES.keys() == DOES.keys()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import torch\ntorch._C._is_tracing()", "torch._C._is_tracing"),
        ("from torch._subclasses.fake_tensor import FakeTensor", "torch._subclasses.fake_tensor.FakeTensor"),
        (
            "from torch.autograd import forward_ad as f\nf._current_level",
            "torch.autograd.forward_ad._current_level",
        ),
        ("layer._forward_hooks", "._forward_hooks"),
        ("import torch_geometric.data as d\nd._x", "torch_geometric.data._x"),
    ],
)
def test_every_form_of_use_is_seen(text, name):
    assert [one for one, _ in used_in(text)] == [name]


@pytest.mark.parametrize("text", ["state._fields", "self._mine", "import torch\ntorch.nn.Linear.__init__"])
def test_others_are_not(text):
    assert not list(used_in(text))
