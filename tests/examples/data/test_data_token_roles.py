"""Statements as chains of tokens: splits, no repetitions, and that their forms decide their roles."""

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from data.corpus import SPLITS, split_of
from data.role_tables import FORMS, ROLES
from data.token_roles import TokenRoles
from torch_geometric.data import InMemoryDataset

from tests.dataset_fixtures import made_twice


def module_names(split: str) -> list[str]:
    """A few module names that are assigned to a split."""
    names = (f"m{i}" for i in itertools.count())
    return list(itertools.islice((name for name in names if split_of(name) == split), 2))


def code_in(folder: Path, **modules: str) -> Path:
    """A folder of code with one statement in each split, and the given modules."""
    alone = {"train": "a = 1", "val": "a = b", "test": "a = ''"}
    files = {module_names(split)[0]: alone[split] for split in SPLITS}
    for name, source in (files | modules).items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return folder


def test_a_sample_is_a_chain_of_tokens(
    tmp_path: Path, check_levels: Callable[[InMemoryDataset], None]
) -> None:
    module = module_names("train")[1]
    code_in(tmp_path, **{f"{module}/inner": "# é\n\nx = [\n    -y,\n]\n"})
    dataset = TokenRoles(tmp_path)
    sample = next(s for s in dataset if s.path == f"{module}/inner.py")
    assert [dataset.vocabulary[i] for i in sample.token.tolist()] == [
        "<name>",
        "=",
        "[",
        "-",
        "<name>",
        ",",
        "]",
    ]
    roles = ["bound", "assignment", "list", "sign", "read", "list", "list"]
    assert [dataset.classes[i] for i in sample.y.tolist()] == roles
    assert sample.edge_index.tolist() == [[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6]]
    assert sample.slot.tolist() == [0] * 6
    assert sample.lines.tolist() == [3, 5]
    check_levels(dataset)
    (statement,) = dataset.statements(sample.path)
    assert [token.role for token in statement] == roles
    assert sample.path in dataset.files()
    assert dataset.source(sample.path).startswith("# é\n")


def test_modules_are_in_one_split_and_only_training_has_copies(tmp_path: Path) -> None:
    code_in(
        tmp_path,
        **{
            module_names("train")[1]: "c = 2\nd = 3\ne = 4\nf(c)\ng(d)",
            module_names("val")[1]: "c = 3; d = 4\ne = 5",
            module_names("test")[1]: "g(e)\ng(e, 1)\nd = c",
        },
    )
    datasets = [TokenRoles(tmp_path, split, copies=2) for split in SPLITS]
    found = [Counter(s.path.removesuffix(".py") for s in dataset) for dataset in datasets]
    modules = [module_names(split) for split in SPLITS]
    assert found == [
        {modules[0][0]: 1, modules[0][1]: 3},  # a = 1, and one more like it; f(c), g(d)
        {modules[1][0]: 1, modules[1][1]: 1},  # a = b; what has a semicolon
        {modules[2][0]: 1, modules[2][1]: 1},  # a = ''; g(e, 1)
    ]
    for dataset, names in zip(datasets, modules, strict=True):
        assert sorted(dataset.files()) == sorted(f"{name}.py" for name in names)


def test_long_statements_are_left_out(tmp_path: Path) -> None:
    code_in(tmp_path, **{module_names("train")[1]: "a = 1, 2\na = b, 2, 3"})
    for most, lengths in ((100, [3, 5, 7]), (5, [3, 5])):  # and what is cached for one is not for the other
        assert sorted(int(s.num_nodes or 0) for s in TokenRoles(tmp_path, max_tokens=most)) == lengths


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, r"split must be one of train, val, test, got 'dev'"),
        ({"max_tokens": 0}, r"copies and max_tokens must be 1 or more, got 3 and 0"),
        ({"copies": 0}, r"copies and max_tokens must be 1 or more, got 0 and 100"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenRoles(code_in(tmp_path), **options)


def test_bad_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected Python files below .*, got none"):
        TokenRoles(tmp_path)
    code_in(tmp_path, broken="x = 1\ndef (")
    with pytest.raises(ValueError, match=r"broken\.py, line 2: expected code for Python 3\.\d+, got"):
        TokenRoles(tmp_path)
    (tmp_path / "broken.py").unlink()
    (tmp_path / f"{module_names('val')[0]}.py").unlink()
    with pytest.raises(
        ValueError, match=r"expected statements for the split 'val', got none: .* too few mod"
    ):
        TokenRoles(tmp_path)


@pytest.mark.slow
def test_another_process_makes_the_same_data_set(tmp_path: Path) -> None:
    code = code_in(tmp_path / "code", **{module_names("train")[1]: "f(a, *b)\nlambda: {1, 2}"})
    made, again = made_twice(tmp_path, f"from data.token_roles import TokenRoles as T; T({str(code)!r})")
    assert made == again
    assert len(made) == 3


@pytest.mark.slow
def test_the_library_has_many_statements_whose_forms_decide() -> None:
    datasets = [TokenRoles(split=split) for split in SPLITS]
    sizes = [len(dataset) for dataset in datasets]
    assert sizes[0] > 20_000
    assert min(sizes[1:]) > 1000
    roles: Any = torch.cat([sample.y for dataset in datasets for sample in dataset])
    assert int(roles.bincount(minlength=len(ROLES)).min()) > 20

    of_forms: dict[tuple[int, ...], list[str]] = {}
    splits_of: dict[tuple[int, ...], set[str]] = {}
    for dataset in datasets:
        seen = Counter(tuple(sample.token.tolist()) for sample in dataset)
        assert max(seen.values()) == (3 if dataset.split == "train" else 1)
        for forms in seen:
            splits_of.setdefault(forms, set()).add(dataset.split)
        for path in dataset.files():
            for statement in dataset.statements(path):
                forms = tuple(FORMS.index(token.form) for token in statement)
                said = [token.role for token in statement]
                assert of_forms.setdefault(forms, said) == said
    assert all(len(splits) == 1 for splits in splits_of.values())
