"""Public files of traffic: METR-LA and PEMS-BAY (`.h5`), PEMS03 to PEMS08 (`.npz`), with distances (`.csv`)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphrec.datasets import fault, read_lines, read_text
from graphrec.structure.checks import as_count

from .traffic import DAY, Traffic, road_graph


def read_traffic(
    series: str | Path,
    distances: str | Path,
    sensors: str | Path | None = None,
    threshold: float = 0.1,
    feature: int = 0,
) -> Traffic:
    """The series of METR-LA, PEMS-BAY or PEMS03 to PEMS08, and the graph of their sensors, as DCRNN makes it.

    Values that are 0 or no number count as missing, as in the papers' masked errors.

    Args:
        series: `metr-la.h5` or `pems-bay.h5`, tables of pandas, for which h5py must be installed; or `pems04.npz` and
            the like, an array `data` `[T, N]` or `[T, N, F]` that begins at midnight.
        distances: `distances_la_2012.csv`, `pems04.csv` and the like: lines `from,to,distance`, with or without a
            header; of several lines for one pair the last counts, as in the authors' code. `adj_mx.pkl` is refused:
            reading a pickle may run any code.
        sensors: `graph_sensor_ids.txt` and the like, the names of the sensors in the order of the array's columns,
            separated by commas or white space. By default the names in the table of pandas, or the numbers 0 to
            N - 1. Distances of other sensors are left out.
        threshold: see `road_graph`.
        feature: which of the F.

    Raises:
        FileNotFoundError: a file that is not there.
        ValueError: a file of another form, or one that is damaged; what is wrong with it, and in which line.
        ImportError: an `.h5` file, without h5py.
    """
    series, distances = Path(series).expanduser(), Path(distances).expanduser()
    for path in (series, distances):
        _check_is_no_pickle(path)
    names: list[str] | None
    if series.suffix in (".h5", ".hdf5", ".hdf"):
        values, names, times = _read_table(series)
    elif series.suffix == ".npz":
        values, names = _read_array(series, feature), None
        times = torch.arange(len(values)) / DAY % 1
    else:
        raise ValueError(f"{series}: expected a file .h5 or .npz.")
    if sensors is not None:
        listed = read_text(Path(sensors).expanduser()).replace(",", " ").split()
        if len(listed) != values.shape[1] or (names is not None and set(names) != set(listed)):
            raise ValueError(
                f"{sensors}: expected the names of the {values.shape[1]} sensors of {series}, got {len(listed)} names"
                f"{' that differ' if len(listed) == values.shape[1] else ''}."
            )
        names = listed if names is None else names
    number = {name: i for i, name in enumerate(names or map(str, range(values.shape[1])))}
    if len(number) < values.shape[1]:
        raise ValueError(f"{sensors or series}: several sensors have one name.")
    ends, lengths = _read_distances(distances, number)
    graph = road_graph(ends, lengths, len(number), threshold, None if names is None else tuple(names))
    observed = values.isfinite() & (values != 0)
    return Traffic(values.masked_fill(~observed, 0), observed, times, graph)


def _check_is_no_pickle(path: Path) -> None:
    if path.suffix in (".pkl", ".pickle"):
        raise ValueError(
            f"{path} is a pickle, and reading one may run any code that is in it: give the .csv file with the "
            f"distances instead (distances_la_2012.csv, distances_bay_2017.csv), from which adj_mx.pkl was made."
        )
    if not path.is_file():
        raise FileNotFoundError(f"expected the file {path}, which is not there.")


def _read_array(path: Path, feature: int) -> Tensor:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: expected an archive of arrays, as numpy.savez writes it.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if "data" not in arrays:
                raise ValueError(f"expected an array named data, got {', '.join(arrays) or 'none'}")
            values = arrays["data"]
    except Exception as error:  # of many types, where a file is damaged
        raise ValueError(f"{path}: {error}.") from error
    if not isinstance(values, np.ndarray):
        raise ValueError(f"{path}: data is no array of numpy.")
    if values.dtype.kind not in "fiu" or values.ndim not in (2, 3):
        raise ValueError(
            f"{path}: data must hold numbers [T, N] or [T, N, F], got {values.dtype} {list(values.shape)}."
        )
    if values.ndim == 3:
        if as_count("feature", feature) >= values.shape[2]:
            raise ValueError(
                f"{path}: there are the features 0 to {values.shape[2] - 1}, got feature={feature}."
            )
        values = values[:, :, feature]
    return torch.from_numpy(values.astype(np.float32))


def _read_table(path: Path) -> tuple[Tensor, list[str], Tensor]:
    """Values, names of sensors and times of day, of a table that pandas has written in its fixed form."""
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(f"{path} is read by h5py, which is not installed: pip install h5py.") from error
    try:
        with h5py.File(path) as file:
            groups = [file[name] for name in file if "block0_values" in file[name]]
            if len(groups) != 1:
                raise ValueError(f"expected one table of pandas in its fixed form, got {len(groups)}")
            (group,) = groups
            values, columns, rows = (np.asarray(group[name]) for name in ("block0_values", "axis0", "axis1"))
            items = np.asarray(group["block0_items"])
            unit = _text(group["axis1"].attrs.get("kind", b""))
            names = [_text(name) for name in columns.tolist()]
    except Exception as error:  # of many types, where a file is damaged
        raise ValueError(f"{path}: {error}.") from error
    if (
        values.dtype.kind not in "fiu"
        or values.ndim != 2
        or values.shape != (len(rows), len(columns))
        or not np.array_equal(items, columns)
    ):
        raise ValueError(
            f"{path}: expected a table of numbers of one type, got {values.dtype} {list(values.shape)}."
        )
    if rows.dtype.kind not in "iu" or not unit.startswith("datetime64"):
        raise ValueError(f"{path}: the rows of the table must be times, got {unit or rows.dtype}.")
    per_second = {"datetime64[s]": 1, "datetime64[ms]": 10**3, "datetime64[us]": 10**6}.get(unit, 10**9)
    times = torch.from_numpy((rows // per_second % 86_400) / 86_400).float()
    return torch.from_numpy(values.astype(np.float32)), names, times


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _read_distances(path: Path, number: dict[str, int]) -> tuple[Tensor, Tensor]:
    """`[2, P]` and `[P]`: the pairs of sensors that are listed, and their distances."""
    lengths: dict[tuple[int, int], float] = {}
    for row, (line, text) in enumerate(read_lines(path)):
        parts = [part.strip() for part in text.split(",")]
        if len(parts) != 3:
            raise fault(path, line, f"expected from,to,distance, got {text!r}")
        try:
            length = float(parts[2])
        except ValueError as error:
            if row == 0 and parts[0] not in number:
                continue  # the header
            raise fault(path, line, f"expected a distance, got {parts[2]!r}") from error
        if not 0 <= length < float("inf"):
            raise fault(path, line, f"a distance must be 0 or more, and finite, got {parts[2]}")
        if parts[0] in number and parts[1] in number:
            lengths[number[parts[0]], number[parts[1]]] = length
    if not lengths:
        raise ValueError(f"{path}: no line names two of the sensors, such as {', '.join(list(number)[:3])}.")
    return torch.tensor(list(lengths)).t(), torch.tensor(list(lengths.values()), dtype=torch.double)
