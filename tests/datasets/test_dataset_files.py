"""Where files are looked for, what is said when they are not there, and that nothing is left half-written."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphrec.datasets._files import (
    download,
    fault,
    raw_file,
    raw_folder,
    read_lines,
    source_files,
    written_at_once,
)


def test_a_root_is_a_folder_of_folders_or_the_folder_itself(tmp_path: Path) -> None:
    assert raw_folder("sst", tmp_path) == tmp_path
    (tmp_path / "sst").mkdir()
    assert raw_folder("sst", tmp_path) == tmp_path / "sst"


def test_without_root_the_environment_is_asked_and_then_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAPHREC_DATA", str(tmp_path))
    assert raw_folder("sst", None) == cache / "sst"
    (tmp_path / "sst").mkdir()
    assert raw_folder("sst", None) == tmp_path / "sst"


def test_a_missing_file_is_named_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "b.txt").touch()
    (tmp_path / "a.txt").touch()
    with pytest.raises(
        FileNotFoundError, match=r"expected the file c\.txt in .*, which holds: a\.txt, b\.txt\. Go"
    ):
        raw_file(tmp_path, "c.txt", "Go and get it.")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere\. Go"):
        raw_file(tmp_path / "nowhere", "c.txt", "Go and get it.")


def test_of_many_files_only_the_first_are_named(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"which holds: 00\.txt, .*09\.txt and 2 more\."):
        raw_file(tmp_path, "c.txt", "Go and get it.")


def test_lines_are_numbered_and_end_at_line_feeds_only(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("one\n\ntwo\u2028still\u0085two\r\nthree".encode())
    assert read_lines(path) == [(1, "one"), (3, "two\u2028still\u0085two"), (4, "three")]


def test_a_file_without_lines_or_not_in_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\n\n")
    with pytest.raises(ValueError, match=r"text: expected one sample per line, got an empty file"):
        read_lines(path)
    path.write_bytes(b"fine\nnot \xff fine\n")
    with pytest.raises(ValueError, match=r"text, line 2: expected UTF-8 text, got the byte 0xff"):
        read_lines(path)


def test_a_fault_names_file_and_line() -> None:
    assert str(fault(Path("f"), 7, "expected a, got b")).startswith("f, line 7: expected a, got b. ")


def test_writing_happens_at_once_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with written_at_once(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"

    def fail_half_way() -> None:
        with written_at_once(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_half_way()
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_an_unwritable_cache_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=r"cannot write into .*file/x .*Set XDG_CACHE_HOME"),
        written_at_once(tmp_path / "file" / "x" / "y"),
    ):
        pass


def test_python_files_are_found_in_packages_only(tmp_path: Path) -> None:
    for name in ("b.py", "a/c.py", "a/tests/d.py", "not-a-package/e.py", "a/f.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = [path.relative_to(tmp_path).as_posix() for path in source_files(tmp_path, ["tests"])]
    assert found == ["a/c.py", "b.py"]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A server on this machine that hands out the files of a folder."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "archive").write_bytes(b"content")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path / "served"))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_download_is_checked(tmp_path: Path, address: str) -> None:
    path = tmp_path / "got" / "archive"
    download(f"{address}/archive", path, hashlib.sha256(b"content").hexdigest())
    assert path.read_bytes() == b"content"


def test_a_download_of_something_else_is_refused_and_not_kept(tmp_path: Path, address: str) -> None:
    path = tmp_path / "got" / "archive"
    with pytest.raises(
        ValueError, match=r"expected a file with SHA-256 00ff from http.*, got one with ed7002b4"
    ):
        download(f"{address}/archive", path, "00ff")
    assert list(path.parent.iterdir()) == []


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, address: str) -> None:
    path = tmp_path / "got" / "archive"
    with pytest.raises(ConnectionError, match=r"could not download http.*404.*GRAPHREC_DATA"):
        download(f"{address}/missing", path, "00ff")
    assert list(path.parent.iterdir()) == []
