"""A circuit from a file in either format."""

from __future__ import annotations

from pathlib import Path

from .aiger import is_aiger, parse_aiger
from .bench import read_bench
from .netlist import Netlist


def read_circuit(path: str | Path, reset: int | None = 0) -> Netlist:
    """The circuit in a file: AIGER, ASCII or binary, by its header, whatever its name; `.bench` by the name.

    Args:
        path: the file.
        reset: what latches show in the first clock cycle where the file does not say it, see `parse_bench`.

    Raises:
        OSError: the file cannot be read.
        ValueError: neither of them, or a malformed file, with file and line.
    """
    path = Path(path)
    data, ending = path.read_bytes(), path.suffix.lower()
    if is_aiger(data) or ending in (".aag", ".aig"):
        return parse_aiger(data, str(path))
    if ending != ".bench":
        raise ValueError(
            f"expected AIGER, which begins with 'aag ' or 'aig ', or a name that ends in .bench, got {path}."
        )
    return read_bench(path, reset)
