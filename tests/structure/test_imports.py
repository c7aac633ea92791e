"""Imports point one way, and structures know nothing of other libraries' graphs."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import graphrec

ROOT = Path(graphrec.__file__).parent

# Packages and modules of graphrec, each of which imports only those before it, also in functions and for types alone.
ORDER = (
    *(
        "clib",
        "cprogram",
        "structure",
        "io",
        "operators",
        "schedule",
        "sequences",
        "positions",
        "tries",
        "transforms",
        "loader",
        "datasets",
        "weights",
        "cell",
        "cells",
    ),
    *("readout", "engine", "program", "backends", "runs", "models", "learning", "dynamics", "testing", "viz"),
    "train",
)

# What structures leave to adapters.
OTHERS = {"torch_geometric", "networkx", "nltk", "scipy"}


def imports(text: str, package: str) -> set[str]:
    """The full names of all that a module of this package imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            found |= {".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names}
    return found


def modules(part: str) -> dict[str, set[str]]:
    """For each module of a package, or for a module that stands alone, what it imports."""
    found = {}
    for path in sorted([*ROOT.glob(f"{part}.py"), *(ROOT / part).rglob("*.py")]):
        package = ".".join([ROOT.name, *path.parent.relative_to(ROOT).parts])
        name = package if path.stem == "__init__" else f"{package}.{path.stem}"
        found[name] = imports(path.read_text(encoding="utf-8"), package)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import networkx as nx", {"networkx"}),
        ("def f():\n    from torch_geometric.data import Data", {"torch_geometric.data.Data"}),
        ("if TYPE_CHECKING:\n    from ..io import tree, to_pyg", {"graphrec.io.tree", "graphrec.io.to_pyg"}),
        ("from .build import dag", {"graphrec.structure.build.dag"}),
        ("from . import build", {"graphrec.structure.build"}),
        ("from .. import chain", {"graphrec.chain"}),
    ],
)
def test_every_form_of_import_is_seen(text, expected):
    assert imports(text, "graphrec.structure") == expected


@pytest.mark.parametrize("part", ORDER)
def test_imports_point_one_way(part):
    may = {f"graphrec.{name}" for name in (part, *ORDER[: ORDER.index(part)])}
    found = modules(part)
    assert found
    for module, names in found.items():
        of_graphrec = {".".join(name.split(".")[:2]) for name in names if name.split(".")[0] == "graphrec"}
        assert of_graphrec <= may, module


def test_no_modules_import_each_other():
    found = {module: names for part in ORDER for module, names in modules(part).items()}
    graph = {
        module: {other for name in names for other in (name, name.rpartition(".")[0]) if other in found}
        - {module}
        for module, names in found.items()
    }
    assert graph["graphrec.structure.batch"] >= {"graphrec.structure.structure", "graphrec.structure.build"}
    TopologicalSorter(graph).prepare()  # its error names a circle


def test_nothing_is_looked_up_in_graphrec_itself():
    # There names are found under a lock (`graphrec.__getattr__`); modules that are being imported may not wait for it.
    for part in ORDER:
        for module, names in modules(part).items():
            found = {name for name in names if name.startswith("graphrec.") and name.count(".") == 1}
            assert found <= {f"graphrec.{part}", "graphrec.clib"}, module


def test_structures_know_no_other_library():
    for module, names in modules("structure").items():
        assert not {name for name in names if name.split(".")[0] in OTHERS}, module
