"""`python -m benchmarks [WHAT]`: prints tables, draws pictures."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from . import dags, episodes, graphs, native, recompute, scaling, scans, sequences, trees, tries
from .timing import machine_facts

COMPARED = {
    "trees": trees.run,
    "sequences": sequences.run,
    "episodes": episodes.run,
    "tries": tries.run,
    "graphs": graphs.run,
    "dags": dags.run,
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    choices = [*COMPARED, "scaling", "native", "scans", "recompute", "all"]
    parser.add_argument("what", nargs="?", choices=choices, default="all", help="all but recompute (default)")
    parser.add_argument("--quick", action="store_true", help="small sizes, fewer rounds")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 7, quick 3)")
    parser.add_argument("--threads", type=int, help="of torch (default: torch's own choice)")
    parser.add_argument(
        "--rows", help=f"of native: some of {','.join(native.ROWS)} (default: all), with commas between them"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="for the pictures")
    options = parser.parse_args(argv)
    rounds = (3 if options.quick else 7) if options.rounds is None else options.rounds
    if rounds < 1:
        parser.error("--rounds must be 1 or more")
    if options.threads is not None and options.threads < 1:
        parser.error("--threads must be 1 or more")
    if options.rows is not None and options.what != "native":
        parser.error(f"--rows chooses rows of native; with {options.what} leave it out")
    rows = list(native.ROWS) if options.rows is None else options.rows.split(",")
    if unknown := [name for name in rows if name not in native.ROWS]:
        parser.error(f"--rows: no {', '.join(map(repr, unknown))}; there are {', '.join(native.ROWS)}")
    if options.threads is not None:
        torch.set_num_threads(options.threads)

    began = time.perf_counter()
    print(machine_facts(), end="\n\n")
    if options.what not in ("native", "recompute", "scans"):
        options.out.mkdir(parents=True, exist_ok=True)
    for name, compare in COMPARED.items():
        if options.what in (name, "all"):
            compare(rounds, options.quick, options.out)
    if options.what in ("scaling", "all"):
        scaling.run(options.quick, options.out)
    if options.what in ("native", "all"):
        native.run(rounds, options.quick, rows)
    if options.what in ("scans", "all"):
        scans.run(rounds, options.quick)
    if options.what == "recompute":  # (it takes 10 GB)
        recompute.run(options.quick)
    print(f"took {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
