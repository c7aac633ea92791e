"""What the readers of circuits share: how a file is read, and how its errors are told."""

from __future__ import annotations

from pathlib import Path


def fault(source: str, line: int, what: str, mend: str) -> ValueError:
    """An error in a circuit's text.

    Args:
        source: the file, or "" where the text came without one.
        line: counted from 1.
        what: what was expected, and what came.
        mend: what to do.
    """
    place = f"{source}, line {line}" if source else f"line {line}"
    return ValueError(f"{place}: {what}. {mend}.")


def read_text(path: str | Path) -> str:
    """The text of a circuit's file.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is not UTF-8.
    """
    try:
        return Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        what = f"expected UTF-8 text, got the byte {error.object[error.start]:#04x}"
        raise fault(str(path), line, what, "Convert the file to UTF-8") from error
