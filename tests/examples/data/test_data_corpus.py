"""Which files of a folder of Python code are read."""

from pathlib import Path

from data.corpus import source_files


def test_python_files_are_found_in_packages_only(tmp_path: Path) -> None:
    for name in ("b.py", "a/c.py", "a/tests/d.py", "not-a-package/e.py", "a/f.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = [path.relative_to(tmp_path).as_posix() for path in source_files(tmp_path, ["tests"])]
    assert found == ["a/c.py", "b.py"]
