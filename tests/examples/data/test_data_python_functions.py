"""Functions of a folder of code, and of the standard library: splits, labels, masks, no repetitions."""

import ast
import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from data.corpus import SPLITS, split_of
from data.python_functions import PythonFunctions
from data.syntax import FIELDS, MASK, NODE_TYPES, split_name
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.loader import DataLoader

import graphrec as gr
from tests.dataset_fixtures import made_twice


def module_names(split: str) -> list[str]:
    """A few module names that are assigned to a split."""
    names = (f"m{i}" for i in itertools.count())
    return list(itertools.islice((name for name in names if split_of(name) == split), 3))


def code_in(folder: Path, **modules: str) -> Path:
    """A folder of code with one function in each split, of 1 to 3 arguments, and the given modules."""
    arguments = {"train": "x", "val": "x, y", "test": "x, y, z"}
    files = {
        module_names(split)[0]: f"def get_{split}({arguments[split]}): return x.{split}_only\n"
        for split in SPLITS
    }
    for name, source in (files | modules).items():
        path = folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    return folder


def all_splits(folder: Path | None, **options: int) -> list[PythonFunctions]:
    """The three splits."""
    return [PythonFunctions(folder, split, **options) for split in SPLITS]


def names_in(datasets: list[PythonFunctions]) -> list[list[str]]:
    """The qualified names in each split."""
    return [[sample.qualified for sample in dataset] for dataset in datasets]


def test_a_sample_has_all_that_is_said_of_the_function(
    tmp_path: Path, check_levels: Callable[[InMemoryDataset], None]
) -> None:
    module = module_names("train")[1]
    source = """\
        # é
        class C:
            @staticmethod
            def _get_all(x):
                "Get all."
                return x + 1
        """
    code_in(tmp_path, **{f"{module}.inner": source})
    dataset = PythonFunctions(tmp_path, min_count=1, max_words=2)
    sample = next(s for s in dataset if s.name == "_get_all")
    assert sample.qualified == f"{module}.inner.C._get_all"
    assert sample.path == f"{module}/inner.py"
    assert dataset.source(sample) == "".join(textwrap.dedent(source).splitlines(keepends=True)[2:6])
    assert dataset.classes[int(sample.y)] == "get"
    types = [NODE_TYPES[kind] for kind in sample.node_type.tolist()]
    words = [[dataset.vocabulary[i] for i in row if i] for row in sample.subtoken.tolist()]
    assert list(zip(types, words, strict=True)) == [
        ("arg", ["x"]),
        ("arguments", []),
        ("Name", ["x"]),
        ("Add", []),
        ("Constant.int", ["1"]),
        ("BinOp", []),
        ("Return", []),
        ("Name", ["staticmethod"]),
        ("FunctionDef", [MASK]),
    ]
    fields = [FIELDS[field] for field in sample.field.tolist()]
    assert gr.from_pyg(sample).relation.tolist() == sample.field[:-1].tolist()
    assert fields == ["args", "args", "left", "op", "right", "value", "body", "decorator_list", "?"]
    assert sample.edge_index.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7], [1, 8, 5, 5, 5, 6, 8, 8]]
    assert sample.slot.tolist() == [0, 0, 0, 1, 2, 0, 1, 2]
    check_levels(dataset)


def test_modules_are_in_one_split_with_all_that_is_below_them(tmp_path: Path) -> None:
    first, second = module_names("val")[1:]
    code_in(tmp_path, **{first: "def get_b(b): pass", f"{second}.a.c": "def get_c(c): return"})
    train, val, test = names_in(all_splits(tmp_path))
    assert train == [f"{module_names('train')[0]}.get_train"]
    assert sorted(val) == sorted(
        [f"{module_names('val')[0]}.get_val", f"{first}.get_b", f"{second}.a.c.get_c"]
    )
    assert test == [f"{module_names('test')[0]}.get_test"]


def test_splits_are_about_eight_one_and_one_of_ten() -> None:
    counts = [sum(split_of(f"module{i}") == split for i in range(10_000)) for split in SPLITS]
    assert counts == pytest.approx([8000, 1000, 1000], abs=150)


def test_dunder_and_wordless_names_are_left_out(tmp_path: Path) -> None:
    source = "def __get__(a): return a\ndef _(a, b): pass\ndef __get(c): return c, c"
    code_in(tmp_path, **{module_names("train")[1]: source})
    assert [s.name for s in PythonFunctions(tmp_path)] == ["get_train", "__get"]


def test_names_are_those_frequent_in_the_training_split(tmp_path: Path) -> None:
    train, val = module_names("train")[1], module_names("val")[1]
    code_in(
        tmp_path,
        **{
            train: "def set_x(a): pass\ndef get_x(a, b): pass\ndef do_x(a, b, c): pass\ndef set_y(a=1): pass",
            val: "def run(*a): pass\ndef run(**a): pass\ndef run(a, *, b): pass\ndef setUp(a, *b): pass",
        },
    )
    datasets = all_splits(tmp_path, num_names=2)
    assert all(dataset.classes == ["get", "set"] for dataset in datasets)
    assert all(dataset.num_classes == 2 for dataset in datasets)
    labelled = [[(s.name, dataset.classes[int(s.y)]) for s in dataset] for dataset in datasets]
    assert sorted(labelled[0]) == [("get_train", "get"), ("get_x", "get"), ("set_x", "set"), ("set_y", "set")]
    assert sorted(labelled[1]) == [("get_val", "get"), ("setUp", "set")]


def test_of_equal_functions_one_is_kept_in_all_splits_together(tmp_path: Path) -> None:
    # Equal but for the name, which is masked, and the docstring, which is dropped.
    copies = {
        module_names("train")[1]: "def get_a(self): return self.get_a",
        module_names("train")[2]: "def get_a(self): return self.get_a",
        module_names("val")[1]: "def get_b(self):\n    'Text.'\n    return self.get_b",
        module_names("test")[1]: "def get_a(self): return self.get_a(1)",
    }
    code_in(tmp_path, **copies)
    kept = [name for names in names_in(all_splits(tmp_path)) for name in names]
    assert len(kept) == len(SPLITS) + 2


def test_the_vocabulary_is_that_of_the_training_split(tmp_path: Path) -> None:
    train, test = module_names("train")[1], module_names("test")[1]
    code_in(
        tmp_path,
        **{train: "def get_x(common): return common, rare", test: "def get_y(common, strange): pass"},
    )
    code_in(tmp_path, **{module_names("train")[2]: "def get_z(common): return 'common'"})
    datasets = all_splits(tmp_path, min_count=2)
    for dataset in datasets:
        assert dataset.vocabulary == ["", MASK, "<unknown>", "common"]
        assert dataset.num_subtokens == 4
    sample = next(s for s in datasets[2] if s.name == "get_y")
    assert sample.subtoken[:, 0].tolist() == [3, 2, 0, 0, 1]


def test_hashed_words_have_stable_numbers_in_a_range(tmp_path: Path) -> None:
    code_in(tmp_path)
    dataset = PythonFunctions(tmp_path, buckets=50)
    assert dataset.vocabulary == ["", MASK, "<unknown>"]
    assert dataset.num_subtokens == 53
    # CRC-32 of "x" is 2363233923, of "train" 1550247075, of "only" 3772330832.
    assert dataset[0].subtoken[:, :2].tolist() == [[26, 0], [0, 0], [26, 0], [28, 35], [0, 0], [1, 0]]


def test_code_that_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    code_in(tmp_path, broken="def get(): pass\ndef (")
    with pytest.raises(
        ValueError, match=r"broken\.py, line 2: expected code for Python 3\.\d+, got invalid syntax"
    ):
        PythonFunctions(tmp_path)


def test_old_escapes_in_code_do_not_warn(tmp_path: Path) -> None:
    code_in(tmp_path, old="def get_digits(s): return match('\\d', s) is 1")
    assert sum(map(len, all_splits(tmp_path))) == 4


def test_tests_and_installed_packages_are_no_library(tmp_path: Path) -> None:
    names = ("pack.tests.a", "test.b", "site-packages.c", "idlelib.idle_test.d")
    code_in(tmp_path, **dict.fromkeys(names, "def get_more(a): return a"))
    assert sum(map(len, all_splits(tmp_path))) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "dev"}, ValueError, r"split must be one of train, val, test, got 'dev'"),
        ({"max_words": 0}, ValueError, r"must be 1 or more"),
        ({"buckets": 0}, ValueError, r"must be 1 or more"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PythonFunctions(code_in(tmp_path), **options)


def test_too_little_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected Python files below .*, got none"):
        PythonFunctions(tmp_path)
    code_in(tmp_path)
    (tmp_path / f"{module_names('val')[0]}.py").unlink()
    with pytest.raises(
        ValueError, match=r"expected functions for the split 'val', got none: .* too few modules"
    ):
        PythonFunctions(tmp_path)


def test_a_batch_keeps_texts_and_counts_nodes_on(tmp_path: Path) -> None:
    code_in(tmp_path, **{module_names("train")[1]: "def set_x(a): pass"})
    dataset = PythonFunctions(tmp_path)
    (batch,) = DataLoader(dataset, batch_size=2)
    assert batch.name == [sample.name for sample in dataset]
    assert batch.lines.tolist() == [1, 1, 1, 1]
    assert batch.subtoken.shape == (batch.num_nodes, 6)
    assert int(batch.edge_index.max()) == batch.num_nodes - 1


@pytest.mark.slow
def test_another_process_makes_the_same_data_set(tmp_path: Path) -> None:
    code = code_in(
        tmp_path / "code", **{module_names("train")[1]: "def set_a_b(c_d): 'e'; return f, 'g h', c_d"}
    )
    script = f"from data.python_functions import PythonFunctions as P; P({str(code)!r}, min_count=1)"
    made, again = made_twice(tmp_path, script)
    assert made == again
    assert len(made) == 3


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> list[PythonFunctions]:
    """The three splits of the standard library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("library")))
        return all_splits(None)


def runs(words: list[str], length: int) -> set[tuple[str, ...]]:
    """All runs of a length."""
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


@pytest.mark.slow
def test_the_library_has_some_thousand_functions_in_three_splits(library: list[PythonFunctions]) -> None:
    sizes = [len(dataset) for dataset in library]
    assert sum(sizes) > 4000
    assert [size / sum(sizes) for size in sizes] == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    assert all(dataset.num_classes == 40 for dataset in library)
    assert int(library[0].y.bincount(minlength=40).min()) > 20
    modules = [{name.partition(".")[0] for name in names} for names in names_in(library)]
    assert not modules[0] & modules[1] | modules[1] & modules[2] | modules[0] & modules[2]


@pytest.mark.slow
def test_the_library_has_no_repetitions(library: list[PythonFunctions]) -> None:
    seen = [
        tuple(str(s[name].tolist()) for name in ("edge_index", "slot", "node_type", "field", "subtoken"))
        for dataset in library
        for s in dataset
    ]
    assert len(set(seen)) == len(seen)


@pytest.mark.slow
def test_no_function_of_the_library_says_its_name(library: list[PythonFunctions]) -> None:
    for dataset in library:
        vocabulary = dataset.vocabulary
        for sample in dataset:
            name = split_name(sample.name)
            # Words that the vocabulary does not know cannot be found in the sample: take names that it knows.
            if not set(name) <= set(vocabulary):
                continue
            for row in sample.subtoken.tolist():
                assert tuple(name) not in runs([vocabulary[i] for i in row], len(name)), sample.qualified
            assert vocabulary[int(sample.subtoken[-1, 0])] == MASK
            assert dataset.classes[int(sample.y)] == name[0]


@pytest.mark.slow
def test_every_node_of_the_library_has_a_type_and_a_field(library: list[PythonFunctions]) -> None:
    for dataset in library:
        (batch,) = DataLoader(dataset, batch_size=len(dataset))
        assert bool((batch.node_type > 0).all())
        roots = batch.ptr[1:] - 1
        assert (batch.field == 0).nonzero().flatten().tolist() == roots.tolist()


@pytest.mark.slow
def test_the_source_of_a_sample_is_its_function(library: list[PythonFunctions]) -> None:
    for dataset in library:
        for sample in dataset[:200]:
            assert isinstance(sample, Data)
            (function,) = ast.parse(textwrap.dedent(dataset.source(sample))).body
            assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            assert function.name == sample.name
