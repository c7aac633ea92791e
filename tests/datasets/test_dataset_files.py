"""Where files are looked for, what is said when they are not there, and that nothing is left half-written."""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graphrec.datasets import _files
from graphrec.datasets._files import (
    fault,
    fetch,
    raw_file,
    raw_folder,
    read_lines,
    remove_leftovers,
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


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n")
    assert read_lines(path) == [(1, "one"), (2, "\ufefftwo")], "only at the beginning is it a mark"
    path.write_bytes(b"\xef\xbb\xbfone\n\xff\n")
    with pytest.raises(
        ValueError, match=r"text, line 2: expected UTF-8 text, got the byte 0xff of a binary file"
    ):
        read_lines(path)
    path.write_bytes(b"\xef\xbb\xbf")
    with pytest.raises(ValueError, match=r"expected one sample per line, got an empty file"):
        read_lines(path)


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


WRITER = """
import runpy, sys
from pathlib import Path
written_at_once = runpy.run_path(sys.argv[1])["written_at_once"]  # without torch, which takes seconds to import
with written_at_once(Path(sys.argv[2])) as temporary:
    temporary.write_bytes(b"theirs")
    print(temporary, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def writer(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of writing a file."""
    command = [sys.executable, "-c", WRITER, _files.__file__, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process


def write(path: Path, text: str) -> None:
    with written_at_once(path) as temporary:
        temporary.write_text(text)


def test_what_killed_writers_leave_goes_with_the_next_one(tmp_path: Path) -> None:
    path, other = tmp_path / "train.pt", tmp_path / "train.pt.b"
    with writer(path) as first, writer(path) as second, writer(other) as third:
        for process in (first, second, third):
            process.kill()
    assert len(list(tmp_path.iterdir())) == 3
    write(path, "mine")
    (left,) = (found for found in tmp_path.iterdir() if found != path)
    assert left.name.startswith("train.pt.b."), "what belongs to another file is left to its own writer"
    write(other, "mine")
    assert sorted(tmp_path.iterdir()) == [path, other]


def test_what_the_living_write_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "train.pt"
    with writer(path) as process, written_at_once(path) as temporary:  # in this process and in another
        temporary.write_text("mine")
        before = sorted(tmp_path.iterdir())
        assert len(before) == 2
        remove_leftovers(path)
        write(path, "third")
        assert sorted(tmp_path.iterdir()) == [path, *before]
        process.communicate("go on")
        assert process.returncode == 0
        assert path.read_text() == "theirs"
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_tidied_away_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, real = [], tempfile.mkstemp

    def tidied(**place: object) -> tuple[int, str]:
        handle, name = real(**place)  # type: ignore[call-overload]
        made.append(name)
        if len(made) == 1:
            Path(name).unlink()
        return handle, name

    monkeypatch.setattr(tempfile, "mkstemp", tidied)
    write(tmp_path / "file", "whole")
    assert (tmp_path / "file").read_text() == "whole"
    assert len(made) == 2


@pytest.mark.parametrize("locks", ["none", "refused"])
def test_where_there_are_no_locks_files_are_written_and_none_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: str
) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError("no locks available")

    if locks == "none":
        monkeypatch.setattr("graphrec.datasets._files.fcntl", None)
    else:
        monkeypatch.setattr("fcntl.flock", refuse)
    left = tmp_path / "file.abcd1234.part"
    left.touch()
    write(tmp_path / "file", "whole")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file", left]


def test_an_unwritable_cache_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=r"cannot write into .*file/x .*Set XDG_CACHE_HOME"),
        written_at_once(tmp_path / "file" / "x" / "y"),
    ):
        pass


SHA256 = hashlib.sha256(b"content").hexdigest()


@pytest.fixture
def address(serve: Callable[[Path], str], tmp_path: Path) -> str:
    """Where a file named archive can be downloaded."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "archive").write_bytes(b"content")
    return serve(tmp_path / "served")


def test_a_download_is_checked(tmp_path: Path, address: str) -> None:
    path = tmp_path / "got" / "archive"
    assert fetch(f"{address}/archive", SHA256, path) == path
    assert path.read_bytes() == b"content"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_there_is_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)  # as if it were not installed
    (tmp_path / "archive").write_bytes(b"content")
    assert fetch("http://nowhere.invalid/archive", SHA256, tmp_path / "archive").read_bytes() == b"content"


def test_without_pooch_the_error_says_what_to_install(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    path = tmp_path / "archive"
    message = (
        rf"archive is downloaded from {address}/archive by pooch, .*graphrec\[datasets\].* place it at {path}"
    )
    with pytest.raises(ImportError, match=message):
        fetch(f"{address}/archive", SHA256, path)


def test_a_file_that_is_another_one_by_now_is_fetched_again(tmp_path: Path, address: str) -> None:
    (tmp_path / "archive").write_bytes(b"half of the cont")
    assert fetch(f"{address}/archive", SHA256, tmp_path / "archive").read_bytes() == b"content"


def test_a_download_of_something_else_is_refused_and_not_kept(tmp_path: Path, address: str) -> None:
    path = tmp_path / "got" / "archive"
    with pytest.raises(
        ValueError, match=r"expected a file with SHA-256 0{60}00ff from http.* but got ed7002b4"
    ):
        fetch(f"{address}/archive", "00ff".zfill(64), path)
    assert list(path.parent.iterdir()) == []


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, address: str) -> None:
    path = tmp_path / "got" / "archive"
    with pytest.raises(
        ConnectionError,
        match=rf"could not download archive from http.*404.* place it at {path} .*GRAPHREC_DATA",
    ):
        fetch(f"{address}/missing", SHA256, path)
    with pytest.raises(ConnectionError, match=r"could not download archive from http://127\.0\.0\.1:9/"):
        fetch("http://127.0.0.1:9/archive", SHA256, path)  # where nobody listens
    assert list(path.parent.iterdir()) == []


def test_a_folder_that_cannot_be_written_into_is_said(tmp_path: Path, address: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write into .*file/got .*Set XDG_CACHE_HOME"):
        fetch(f"{address}/archive", SHA256, tmp_path / "file" / "got" / "archive")
