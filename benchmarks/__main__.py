"""`python -m benchmarks [trees|sequences|graphs|dags|scaling|all]`: prints tables, draws pictures."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from . import dags, graphs, scaling, sequences, trees
from .timing import machine_facts

COMPARED = {"trees": trees.run, "sequences": sequences.run, "graphs": graphs.run, "dags": dags.run}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=[*COMPARED, "scaling", "all"], default="all")
    parser.add_argument("--quick", action="store_true", help="small sizes, fewer rounds")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 7, quick 3)")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="for the pictures")
    options = parser.parse_args()
    rounds = (3 if options.quick else 7) if options.rounds is None else options.rounds
    if rounds < 1:
        parser.error("--rounds must be 1 or more")
    options.out.mkdir(parents=True, exist_ok=True)

    began = time.perf_counter()
    print(machine_facts(), end="\n\n")
    for name, compare in COMPARED.items():
        if options.what in (name, "all"):
            compare(rounds, options.quick, options.out)
    if options.what in ("scaling", "all"):
        scaling.run(options.quick, options.out)
    print(f"took {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
