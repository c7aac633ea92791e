"""The native library is built where it can be, found where it was built, and missed without harm."""

import _ctypes
import ctypes
import logging
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from unittest import TestCase

import pytest

import graphrec
from graphrec import clib
from graphrec.backends.choice import NAMES

ROOT = Path(__file__).parents[2]
IS_BUILT = pytest.mark.skipif(not clib.FILE.exists(), reason="the native library was not built")

# A run of a cell, in a process of its own.
USES_GRAPHREC = """
import torch, graphrec as gr
from graphrec import clib
state = gr.run(gr.SRNCell(2, 3), gr.schedule(gr.chain(4)), torch.ones(4, 2))
print(tuple(state.h.shape), clib.library() is None, gr.__file__)
print(gr.backends()[1])
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what the package is built from, without a library."""
    copy = tmp_path_factory.mktemp("packaging") / "checkout"
    ignored = shutil.ignore_patterns("*.so")  # (what Python has compiled is found again by its time)
    shutil.copytree(ROOT / "graphrec", copy / "graphrec", ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture
def fresh_loader(monkeypatch):
    """Each test loads the library anew, and the tests after it, too."""
    monkeypatch.delenv("GRAPHREC_NATIVE", raising=False)
    clib._load.cache_clear()
    yield
    clib._load.cache_clear()


def python(*arguments, folder, **environment):
    """Python in this folder, where `import graphrec` finds what lies there."""
    own = {name: value for name, value in os.environ.items() if name not in ("GRAPHREC_NATIVE", "CXX")}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**own, "PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def built(folder, name):
    """The names of the files in the one wheel or sdist that was built."""
    (path,) = folder.glob(name)
    if path.suffix == ".whl":
        return path, set(zipfile.ZipFile(path).namelist())
    with tarfile.open(path) as archive:
        return path, {member.partition("/")[2] for member in archive.getnames()}


# ---- loading


@IS_BUILT
@pytest.mark.usefixtures("fresh_loader")
def test_the_library_is_loaded_once():
    assert clib.why_not() is None
    assert clib.library() is clib.library()
    assert clib.library().graphrec_version() == clib.VERSION


@IS_BUILT
@pytest.mark.usefixtures("fresh_loader")
def test_a_library_of_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(clib, "VERSION", clib.VERSION + 1)
    assert clib.library() is None
    assert (
        f"has version {clib.VERSION - 1}, {clib.VERSION} is needed: install graphrec again" in clib.why_not()
    )


@pytest.mark.usefixtures("fresh_loader")
def test_a_library_of_others_is_refused(monkeypatch):
    monkeypatch.setattr(clib, "FILE", Path(_ctypes.__file__))
    assert clib.library() is None
    assert "graphrec_version" in clib.why_not()


@pytest.mark.usefixtures("fresh_loader")
def test_a_missing_library_is_told_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(clib, "FILE", tmp_path / "_native.so")
    with TestCase().assertLogs("graphrec") as told:
        clib.say_if_missing()
    (record,) = told.records
    assert (record.name, record.levelno) == ("graphrec", logging.WARNING)
    assert "it was not built" in record.getMessage()
    assert "\n" not in record.getMessage()


@pytest.mark.usefixtures("fresh_loader")
def test_a_library_turned_off_is_not_told(monkeypatch):
    monkeypatch.setenv("GRAPHREC_NATIVE", "0")
    with TestCase().assertNoLogs("graphrec"):
        clib.say_if_missing()
    assert clib.why_not() == "GRAPHREC_NATIVE=0 turns it off"


def test_graphrec_runs_with_the_library_turned_off():
    done = python("-c", USES_GRAPHREC, folder=ROOT, GRAPHREC_NATIVE="0")
    assert done.stdout.splitlines()[1] == "native: not available, GRAPHREC_NATIVE=0 turns it off"
    assert done.stdout.startswith("(4, 3) True")
    assert "graphrec" not in done.stderr


@pytest.mark.slow
def test_graphrec_runs_with_a_broken_library(checkout):
    library = checkout / "graphrec" / "_native.so"
    library.write_text("not a library")
    try:
        done = python("-W", "error::UserWarning", "-c", USES_GRAPHREC, folder=checkout)
    finally:
        library.unlink()
    assert done.stdout.startswith(f"(4, 3) True {checkout}")
    assert "native: not available, it cannot be loaded" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if "graphrec" in line]
    assert "it cannot be loaded" in line


# ---- what backends() says


def test_backends_names_all_there_are():
    found = graphrec.backends()
    assert {"native", *NAMES} == {backend.name for backend in found}
    assert [line.partition(":")[0] for line in repr(found).splitlines()] == [
        backend.name for backend in found
    ]
    assert found[-1].name == "loop"
    assert found[-1].missing is None


@IS_BUILT
@pytest.mark.usefixtures("fresh_loader")
def test_backends_describes_the_library(monkeypatch):
    monkeypatch.setattr(clib, "instruction_set", lambda: "avx2")
    assert (
        str(graphrec.backends()[1])
        == f"native: recorded cells in C++, float32 and float64 on a CPU (version {clib.VERSION}, avx2, 1 thread)"
    )


# ---- building


def test_the_sdist_has_the_sources(checkout, tmp_path):
    python("setup.py", "-q", "sdist", "-d", tmp_path, folder=checkout)
    _, names = built(tmp_path, "*.tar.gz")
    sources = {f"graphrec/csrc/{path.name}" for path in (ROOT / "graphrec" / "csrc").iterdir()}
    assert {Path(name).suffix for name in sources} == {".cpp", ".h"}
    assert sources | {"setup.py", "graphrec/clib.py"} <= names


def test_without_a_compiler_the_wheel_is_pure_python(checkout, tmp_path):
    # As an earlier build with a compiler would have left it.
    stale = checkout / "stale" / "graphrec" / "_native.so"
    stale.parent.mkdir(parents=True)
    stale.touch()
    done = python("setup.py", "build", "-b", tmp_path, "--build-lib", "stale", "bdist_wheel", "-d", tmp_path,
                  folder=checkout, CXX="no-such-compiler")  # fmt: skip
    assert (
        "graphrec is built WITHOUT its native library, to run in PyTorch alone: there is no C++ comp"
        in done.stderr
    )
    path, names = built(tmp_path, "*.whl")
    assert path.name == f"graphrec-{graphrec.__version__}-py3-none-any.whl"
    assert "graphrec/clib.py" in names
    assert not {name for name in names if name.endswith((".so", ".cpp", ".h"))}


@pytest.mark.parametrize("compiler", ["c++", "false"])
@pytest.mark.slow
def test_the_sdist_is_installed_with_and_without_a_compiler(checkout, tmp_path, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    python("setup.py", "-q", "sdist", "-d", tmp_path, folder=checkout)
    path, _ = built(tmp_path, "*.tar.gz")
    options = [
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--target",
        tmp_path / "installed",
    ]
    python("-m", "pip", "install", "-q", *options, path, folder=tmp_path, CXX=compiler)
    done = python("-c", USES_GRAPHREC, folder=tmp_path / "installed")
    assert done.stdout.startswith(f"(4, 3) {compiler == 'false'} {tmp_path}")
    assert ("more slowly: it was not built" in done.stderr) == (compiler == "false")


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory):
    """A folder with a wheel that has the library; its object files are in the checkout's build/."""
    if shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("wheel")
    python("setup.py", "-q", "bdist_wheel", "-d", folder, folder=checkout, GRAPHREC_NATIVE="1")
    return folder


@pytest.mark.slow
def test_one_wheel_serves_every_python(wheel):
    path, names = built(wheel, "*.whl")
    assert path.name.startswith(f"graphrec-{graphrec.__version__}-py3-none-")
    assert not path.name.endswith("any.whl")
    assert "graphrec/_native.so" in names
    assert not {name for name in names if name.endswith((".cpp", ".h"))}


@pytest.mark.slow
@pytest.mark.usefixtures("wheel")
@pytest.mark.skipif(shutil.which("nm") is None, reason="nm lists symbols")
def test_code_for_some_processors_is_not_shared_with_code_for_all(checkout):
    # Of an inline function that several files hold, the linker keeps one, perhaps the one with AVX-512 instructions.
    kernels = [path for path in (checkout / "build").glob("temp*/kernels_*.o") if path.stem != "kernels_base"]
    assert len(kernels) == 3
    for path in kernels:
        listed = subprocess.run(["nm", "-C", path], check=True, capture_output=True, text=True).stdout
        shared = [line for line in listed.splitlines() if line[17:18] in ("W", "V", "u")]
        assert not shared, path.name


@pytest.mark.slow
def test_a_compiler_that_does_not_know_bfloat16_leaves_its_products_out(checkout, tmp_path):
    if shutil.which("c++") is None:
        pytest.skip("there is no C++ compiler")
    older = tmp_path / "older"
    older.write_text('#!/bin/sh\ncase "$*" in *mavx512bf16*) exit 1;; esac\nexec c++ "$@"\n')
    older.chmod(0o755)
    python("setup.py", "-q", "build", "-b", tmp_path, folder=checkout, CXX=str(older), GRAPHREC_NATIVE="1")
    (path,) = tmp_path.glob("lib*/graphrec/_native.so")
    assert not ctypes.CDLL(str(path)).graphrec_has_bf16()
