"""Docstrings of a folder of code, and of the standard library: texts, splits, cuts, no repetitions."""

import inspect
import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from data.corpus import SPLITS, split_of
from data.docstrings import Docstrings
from torch_geometric.data import InMemoryDataset
from torch_geometric.loader import DataLoader

import graphrec as gr


def module_names(split: str) -> list[str]:
    """A few module names that are assigned to a split."""
    names = (f"m{i}" for i in itertools.count())
    return list(itertools.islice((name for name in names if split_of(name) == split), 3))


def code_in(folder: Path, **modules: str) -> Path:
    """A folder of code with one docstring in each split, and the given modules."""
    files = {module_names(split)[0]: f"'''The module of {split}.'''\n" for split in SPLITS}
    for name, source in (files | modules).items():
        path = folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    return folder


def texts_in(folder: Path, **options: int) -> list[list[str]]:
    """The texts in each split."""
    return [[sample.text for sample in Docstrings(folder, split, **options)] for split in SPLITS]


def test_all_docstrings_are_found_and_nothing_else(tmp_path: Path) -> None:
    source = '''\
        """Of the module."""

        class C:
            """Of the class.

                Indented.
              Less.
            """

            x = 1
            """No docstring."""

            async def f(self):
                "Of the " "method."

                def inner():
                    """
                    Of the inner function.
                    """

        def empty():
            """  """

        def g():
            b"""Bytes."""

        def h():
            f"""A format."""
        '''
    train, val, test = texts_in(code_in(tmp_path, **{f"{module_names('val')[1]}.part": source}))
    assert train == ["The module of train."]
    assert test == ["The module of test."]
    assert sorted(val) == [
        "Of the class.\n\n  Indented.\nLess.",
        "Of the inner function.",
        "Of the method.",
        "Of the module.",
        "The module of val.",
    ]


def test_symbols_are_the_text_and_its_end(tmp_path: Path) -> None:
    code_in(tmp_path, **{module_names("test")[1]: "'''Tübe é\\nx'''"})
    code_in(tmp_path, **{module_names("train")[1]: "'''Tü'''\ndef f():\n    '''e ü\\nue'''"})
    dataset = Docstrings(tmp_path, "test", min_count=2)
    # In two training texts or more; "m" for instance is in one only, however often.
    assert dataset.vocabulary == ["<end>", "<unknown>", *" Teuü"]
    sample = next(s for s in dataset if s.text.startswith("T") and "é" in s.text)
    assert sample.text == "Tübe é\nx"
    assert sample.token.tolist() == [3, 6, 1, 4, 2, 1, 1, 1, 0]
    assert sample.path == f"{module_names('test')[1]}.py"


def test_long_texts_are_cut_and_do_not_end(tmp_path: Path) -> None:
    dataset = Docstrings(code_in(tmp_path), max_length=19, min_count=1)
    assert [s.text for s in dataset] == ["The module of train"]
    assert [dataset.vocabulary[i] for i in dataset[0].token.tolist()] == list("The module of train")
    dataset = Docstrings(code_in(tmp_path), max_length=20, min_count=1)
    assert [dataset.vocabulary[i] for i in dataset[0].token.tolist()] == [*"The module of train.", "<end>"]


def test_of_equal_texts_one_is_kept_in_all_splits_together(tmp_path: Path) -> None:
    same = "'''The same.'''\ndef f():\n    '''Alike, then different{}.'''\n"
    modules = [name for split in SPLITS for name in module_names(split)[1:]]
    code_in(tmp_path, **{name: same.format(i) for i, name in enumerate(modules)})
    kept = list(itertools.chain(*texts_in(tmp_path)))
    assert len(kept) == len(set(kept)) == len(SPLITS) + 1 + len(modules)
    assert len(list(itertools.chain(*texts_in(tmp_path, max_length=16)))) == len(SPLITS) + 1 + 1


def test_modules_are_in_one_split(tmp_path: Path) -> None:
    modules = {f"{name}.a.b": f"'''Of {name}.'''" for split in SPLITS for name in module_names(split)[1:]}
    for split, texts in zip(SPLITS, texts_in(code_in(tmp_path, **modules)), strict=True):
        assert sorted(texts) == sorted(
            [f"The module of {split}.", *(f"Of {n}." for n in module_names(split)[1:])]
        )


def test_a_batch_is_chains(tmp_path: Path, check_levels: Callable[[InMemoryDataset], None]) -> None:
    texts = {"train": "'''A.'''\ndef f():\n    '''B'''", "val": "'''C'''", "test": "'''D'''"}
    code_in(tmp_path, **{module_names(split)[0]: text for split, text in texts.items()})
    dataset = Docstrings(tmp_path, max_length=1)
    assert [s.num_nodes for s in dataset] == [1, 2]
    check_levels(dataset)
    dataset = Docstrings(tmp_path)
    (batch,) = DataLoader(dataset, batch_size=2)
    lengths = [len(s.text) + 1 for s in dataset]
    assert gr.schedule(gr.from_pyg(batch)) == gr.schedule(gr.chains(lengths))
    assert torch.equal(batch.token, torch.cat([s.token for s in dataset]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "dev"}, r"split must be one of train, val, test, got 'dev'"),
        ({"max_length": 0}, r"max_length and min_count must be 1 or more, got 0 and 3"),
        ({"min_count": -1}, r"must be 1 or more, got 300 and -1"),
    ],
)
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Docstrings(code_in(tmp_path), **options)


def test_a_folder_without_enough_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected Python files below .*, got none: correct root="):
        Docstrings(tmp_path)
    (tmp_path / f"{module_names('train')[0]}.py").write_text("'''Text.'''")
    with pytest.raises(
        ValueError, match=r"expected docstrings for the split 'val', got none: .* too few modules"
    ):
        Docstrings(tmp_path)
    code_in(tmp_path, broken="def (")
    with pytest.raises(ValueError, match=r"broken\.py, line 1: expected code for Python 3"):
        Docstrings(tmp_path)


@pytest.mark.slow
def test_the_standard_library_has_thousands(tmp_path: Path) -> None:
    datasets = [Docstrings(split=split) for split in SPLITS]
    assert [len(dataset) for dataset in datasets] == pytest.approx([6000, 1600, 600], rel=0.3)
    texts = {sample.text for dataset in datasets for sample in dataset}
    for known in (textwrap.dedent, inspect.cleandoc, Path):
        assert inspect.getdoc(known)[:300] in texts  # type: ignore[index]
    unknown = sum(int((dataset.token == 1).sum()) for dataset in datasets)
    assert unknown < 100
