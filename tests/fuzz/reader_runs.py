"""Searches for bytes that a reader fails on, guided by what of its code they reach; prints a table in Markdown.

    python -m tests.fuzz.reader_runs [READER ...] [--seconds 1800] [--keep FOLDER]

Each reader runs in a process of its own, from its files in `corpora/`. What fails is kept in `FOLDER/READER/` under a
name that tells of the failure: once it is mended, it goes to `corpora/`, where `test_readers.py` replays it. A run also
ends where an input takes longer than a minute or more than 2 GB.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

CORPORA = Path(__file__).parent / "corpora"
EXAMPLES = Path(__file__).parents[2] / "examples"  # where their data is imported from
LONGEST = 4096  # bytes
SLOWEST = 60  # seconds for one input, by the clock: beside other work an instant may last ten
LARGEST = 2048  # MB
_RAN = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_REACHED = re.compile(r"cov: (\d+) ft: (\d+)")


def main() -> int:
    sys.path.insert(0, str(EXAMPLES))
    try:
        import atheris  # noqa: F401
    except ImportError:
        sys.exit(f"fuzzing the readers needs atheris, which this Python ({sys.version.split()[0]}) has not: "
                 f"pip install -c constraints.txt '.[fuzz]', with CPython 3.11 to 3.13 on Linux.")  # fmt: skip
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.reader_runs", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("readers", nargs="*", metavar="READER", help="by default all")
    parser.add_argument("--seconds", type=int, default=1800, help="for each reader")
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"), help="the folder for what is found")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        search(given.readers[0], given.seconds, given.keep)
    readers = sorted(path.name for path in CORPORA.iterdir())  # each has one
    for name in given.readers:
        if name not in readers:
            parser.error(f"there is no reader {name!r}: choose among {', '.join(readers)}.")
    print(
        "| reader | seconds | executions | edges | features | findings |",
        "|---|---|---|---|---|---|",
        sep="\n",
    )
    found = 0
    for name in given.readers or readers:
        ran, edges, features, findings = _run(name, given.seconds, given.keep)
        found += findings
        print(f"| {name} | {given.seconds} | {ran:,} | {edges:,} | {features:,} | {findings} |", flush=True)
    return int(found > 0)


def _run(name: str, seconds: int, keep: Path) -> tuple[int, int, int, int]:
    """Executions, edges, features and findings of a search in a process of its own."""
    folder = keep / name
    folder.mkdir(parents=True, exist_ok=True)
    known = set(folder.iterdir())
    command = [
        sys.executable,
        "-W",
        "ignore",  # what torch says of a pickle's version
        "-m",
        "tests.fuzz.reader_runs",
        name,
        "--seconds",
        str(seconds),
        "--keep",
        str(keep),
    ]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:  # libFuzzer ends without tidying up
        environment = {**os.environ, "TMPDIR": scratch}
        done = subprocess.run(
            [*command, "--inside"], capture_output=True, text=True, errors="replace", env=environment
        )
    (keep / f"{name}.log").write_text(done.stdout + done.stderr)
    ran, reached = _RAN.findall(done.stderr), _REACHED.findall(done.stderr)
    if not ran or not reached:
        sys.exit(f"the search with {name} did not end as it should: see {keep / name}.log")
    edges, features = map(int, reached[-1])
    return int(ran[-1]), edges, features, len(set(folder.iterdir()) - known)


def search(name: str, seconds: int, keep: Path) -> Any:
    """Run atheris on one reader; does not return."""
    import atheris
    from torch import _weights_only_unpickler

    parts = ("io", "datasets", "program", "train", "loader")
    ours = [*(f"graphrec.{part}" for part in parts), "data"]
    with atheris.instrument_imports(include=[*ours, "conllu"]):
        import tests.fuzz.readers as readers
    # By its name, atheris would take all of torch with it.
    atheris.instrument_func(_weights_only_unpickler.Unpickler.load)
    check, words = readers.READERS[name]
    seen: set[tuple[object, ...]] = set()

    def run(data: bytes) -> None:
        try:
            check(data)
        except Exception as error:
            # One of each kind is kept, and the search goes on.
            places = traceback.extract_tb(error.__traceback__)
            kind = (type(error), *((place.filename, place.lineno) for place in places[-2:]))
            if kind not in seen:
                seen.add(kind)
                digest = hashlib.sha256(data).hexdigest()[:8]
                last = places[-1]
                path = (
                    keep / name / f"{type(error).__name__}-{Path(last.filename).stem}-{last.lineno}-{digest}"
                )
                path.write_bytes(data)
                traceback.print_exc()

    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    if (CORPORA / name).is_dir():
        shutil.copytree(CORPORA / name, folder, dirs_exist_ok=True)
    options: dict[str, Any] = {
        "max_total_time": seconds, "max_len": LONGEST, "rss_limit_mb": LARGEST,
        "timeout": SLOWEST, "report_slow_units": SLOWEST,
        "artifact_prefix": f"{keep / name}/", "print_final_stats": 1, "reload": 0,
    }  # fmt: skip
    if words:  # libFuzzer refuses an empty dictionary
        options["dict"] = folder.with_suffix(".dict")
        quoted = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in words)
        options["dict"].write_text("".join(f'"{word}"\n' for word in quoted))
    atheris.Setup([name, *(f"-{option}={value}" for option, value in options.items()), str(folder)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
