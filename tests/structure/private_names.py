"""The private names of torch and PyG that the library uses: why, and what takes their place if they go."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv

import graphrec as gr

ROOT = Path(gr.__file__).parent
LIBRARIES = {"torch", "torch_geometric"}


class Private(NamedTuple):
    """A private name.

    Attributes:
        why: what it is needed for.
        instead: what to do where a version has it no more.
    """

    why: str
    instead: str


HOOKS = "no public function says whether a module has hooks"
LOOP = "run such cells in the loop: treat every module as hooked"
SCOPE = "structures made inside transforms, modes and traces must be made of ordinary tensors"
OUTSIDE = "torch.func and torch.compile would need structures that were made before; refuse others there"

NAMES: dict[str, Private] = {
    "torch._C": Private("`_autograd` says whether the graph is kept for another pass", "suppose that it is"),
    "torch._C.__file__": Private("where torch's OpenMP runtime is found", "threads of our own"),
    "torch._C._TorchDispatchModeKey.PROXY": Private("whether make_fx traces", "refuse rules in every mode"),
    "torch._C._get_dispatch_mode": Private("the same", "the same"),
    "torch._C._len_torch_dispatch_stack": Private(SCOPE, OUTSIDE),
    "torch._C._len_torch_function_stack": Private(SCOPE, OUTSIDE),
    "torch._C.DisableTorchFunction": Private(SCOPE, OUTSIDE),
    "torch._C._functorch": Private("whether a tensor is one of torch.func's, and which", OUTSIDE),
    "torch._C._functorch.peek_interpreter_stack": Private("whether a transform of torch.func is on", OUTSIDE),
    "torch._C._nn": Private(
        "where torch.nn.functional has some of its functions from", "look them up in F alone"
    ),
    "torch._C._special": Private(
        "where torch.special has its functions from", "look them up in torch.special alone"
    ),
    "torch._VF": Private("where torch has some of its functions from", "look them up in torch alone"),
    "torch._dynamo.graph_break": Private(
        "models whose cells cannot be written down break the graph with a reason",
        "torch.compiler.disable around the call, without the reason",
    ),
    "torch._functorch.pyfunctorch.temporarily_clear_interpreter_stack": Private(SCOPE, OUTSIDE),
    "torch._ops._len_torch_dispatch_stack_pre_dispatch": Private("whether torch.export traces", OUTSIDE),
    "torch._subclasses.fake_tensor.FakeTensor": Private(
        "whether a tensor has numbers", "torch.compiler.is_compiling, which knows no make_fx"
    ),
    "torch._subclasses.fake_tensor.FakeTensorMode": Private(
        "a model is tried before dynamo enters it", "try it on the meta device"
    ),
    "torch._subclasses.functional_tensor.FunctionalTensor": Private(
        "whether a tensor stands for another in a trace", "as FakeTensor"
    ),
    "torch.autograd.forward_ad._current_level": Private(
        "whether forward-mode derivatives are on", "unpack_dual of each tensor, which is slower"
    ),
    "torch.nn.modules.module._global_forward_hooks": Private(HOOKS, LOOP),
    "torch.nn.modules.module._global_forward_pre_hooks": Private(HOOKS, LOOP),
    "torch.nn.modules.module._global_backward_hooks": Private(HOOKS, LOOP),
    "torch.nn.modules.module._global_backward_pre_hooks": Private(HOOKS, LOOP),
    "torch.nn.utils.stateless._reparametrize_module": Private(
        "weights of a compiled program are its inputs",
        "torch.func.functional_call of a module around compute",
    ),
    "torch.utils._pytree.tree_flatten": Private(
        "losses of any nesting", "torch.utils.pytree, in later versions"
    ),
    "torch.utils._pytree.tree_unflatten": Private(
        "losses of any nesting", "torch.utils.pytree, in later versions"
    ),
    "torch.utils._pytree.tree_leaves": Private(
        "outputs of any nesting", "torch.utils.pytree, in later versions"
    ),
    "torch.utils._python_dispatch._disable_current_modes": Private(SCOPE, OUTSIDE),
    "torch.utils.data._utils.collate.default_collate_fn_map": Private(
        "torch's DataLoader makes batches of structures",
        "collate_fn=gr.batch, which callers then have to give",
    ),
    # Attributes of modules, tensors and of PyG's classes.
    "._forward_hooks": Private(HOOKS, LOOP),
    "._forward_pre_hooks": Private(HOOKS, LOOP),
    "._backward_hooks": Private(HOOKS, LOOP),
    "._backward_pre_hooks": Private(HOOKS, LOOP),
    "._compiled_call_impl": Private(
        "module.compile() makes a call of its own", "treat every module as changed"
    ),
    "._orig_mod": Private(
        "how many arguments a compiled model takes", "its named_children(), of which it has one"
    ),
    "._load_from_state_dict": Private(
        "weights under the names of torch's layers are read",
        "register_load_state_dict_pre_hook, public from torch 2.5",
    ),
    "._parameters": Private(
        "the first parameter, at every call: named_parameters makes lists", "parameters()"
    ),
    "._modules": Private("the same", "children()"),
    "._buffers": Private("whether a call has written buffers, at every call", "named_buffers(recurse=False)"),
    "._version": Private(
        "whether a caller has written into a result that the reverse reads",
        "a copy of every result, which costs memory",
    ),
    "._base": Private(
        "whether a tensor is a view made without gradients", "leave such views to the first run"
    ),
    "._num_nodes": Private(
        "whether Data was told its number of nodes", "num_nodes, which guesses with a warning"
    ),
    "._num_graphs": Private("PyG takes batches of our loader apart again", "Batch.from_data_list"),
    "._slice_dict": Private("the same", "the same"),
    "._inc_dict": Private("the same", "the same"),
    "._edge_mask": Private("PyG's explainers leave their masks there", "refuse explainers"),
    "._loop_mask": Private("the same", "the same"),
    "._apply_sigmoid": Private("the same", "the same"),
}


def used(path: Path) -> Iterator[tuple[str, int]]:
    """Each private name of torch and PyG that a module uses, and the line."""
    return used_in(path.read_text(encoding="utf-8"))


def used_in(text: str) -> Iterator[tuple[str, int]]:
    """The same of a text."""
    tree = ast.parse(text)
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                known[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                if node.module.split(".")[0] in LIBRARIES and _is_private(f"{node.module}.{alias.name}"):
                    yield f"{node.module}.{alias.name}", node.lineno
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        full = _full(node, known)
        if full.split(".")[0] in LIBRARIES:
            if _is_private(full) and id(node) not in inner:
                yield full, node.lineno
        elif node.attr in _attributes():
            yield f".{node.attr}", node.lineno


def _full(node: ast.expr, known: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    return f"{_full(node.value, known)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"


def _is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


@cache
def _attributes() -> set[str]:
    """The private attributes of modules, tensors, and PyG's classes, but for those that named tuples have as well."""
    # (A plain MessagePassing would, when it is made, replace the methods that all layers inherit.)
    objects = (nn.Linear(1, 1), torch.zeros(1), GCNConv(1, 1), Data(), Batch())
    names = {name for one in objects for name in (*dir(one), *vars(one)) if _is_private(name)}
    stores = {"_num_nodes", "_num_graphs", "_slice_dict", "_inc_dict", "_orig_mod"}
    ours = {"_collect", "_store"}  # methods of the library's own, which Data happens to have, too
    return (names | stores) - {"_fields", "_replace", "_asdict", "_make"} - ours


def found(name: str) -> bool:
    """Whether a name of a module is there."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:cut]))
        except ImportError:  # the last parts are names in a module, not modules
            continue
        for part in parts[cut:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False
