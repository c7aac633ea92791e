"""Fixtures of tests on data sets: each test has a cache of its own, and real data only where GRAPHREC_DATA names it."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data, InMemoryDataset

import graphrec as gr

DATA = Path(__file__).parents[1] / "datasets"


def made_twice(folder: Path, script: str) -> list[list[tuple[Path, str]]]:
    """What two processes write that run a script, each with hashes and a cache of its own: paths and contents."""
    made = []
    for seed in ("1", "2"):
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),  # `data` is there, too
            "PYTHONHASHSEED": seed,
            "XDG_CACHE_HOME": str(folder / seed),
        }
        subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=300)
        files = sorted((folder / seed).rglob("*.pt"))
        made.append(
            [(file.relative_to(folder / seed), str(torch.load(file, weights_only=True))) for file in files]
        )
    return made


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of graphrec in a fresh user cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("GRAPHREC_DATA", raising=False)
    return folder / "graphrec"


REAL_DATA = os.environ.get("GRAPHREC_DATA")


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Gives the folder that holds a real data file, or skips."""

    def find(file: str) -> Path:
        if REAL_DATA is None or not (Path(REAL_DATA) / file).is_file():
            pytest.skip(f"needs {file} in the folder that GRAPHREC_DATA names")
        return Path(REAL_DATA)

    return find


@pytest.fixture
def samples() -> Path:
    """The drawn data files of the repository."""
    return DATA


@pytest.fixture
def check_levels() -> Callable[[InMemoryDataset], None]:
    """Levels as stored, against those of each sample on its own."""

    def check(dataset: InMemoryDataset) -> None:
        for sample in dataset:
            assert isinstance(sample, Data)
            alone = Data(edge_index=sample.edge_index, num_nodes=sample.num_nodes)
            expected = gr.transforms.AddLevels()(alone)
            assert sample.slot.tolist() == expected.slot.tolist()
            assert sample.level.tolist() == expected.level.tolist()
            assert sample.level_reversed.tolist() == expected.level_reversed.tolist()

    return check


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Gives the address at which a server on this machine hands out the files of a folder."""
    with ExitStack() as servers:

        def start(folder: Path) -> str:
            handler = partial(QuietHandler, directory=str(folder))
            server = servers.enter_context(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            servers.callback(thread.join)
            servers.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_address[1]}"

        yield start


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Says nothing about what it hands out."""

    def log_message(self, *args: object) -> None:
        pass
