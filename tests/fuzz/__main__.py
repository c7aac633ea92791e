"""Random runs for as long as one likes; ends with 1 if any of them was wrong or crashed.

    python -m tests.fuzz [KIND ...] [--count N] [--seed S] [--seconds T] [--workers W]

Kinds, and what counts as one case of each:
    cells        a random cell (or one of the zoo's) on a random structure, by each executor: values and all gradients
                 against the loop, several numbers of threads, sometimes twice, sometimes the second derivatives
    structures   a random structure, in a run of 1 to 40 of them by every backend: values and the gradients of all
                 that is the structure's own against the loop, and the sum of the parameters' gradients, 240 at a time
    programs     a random native program on a random structure, each instruction set: forwards or backwards, and
                 gradients of weights, against `tests/native/interpreter.py`
    sweeps       the same by tests/native/stress.cpp, in C++ (where STRESS says where it is: see `make fuzz`)
    sorted       a random list of edges: each function of the C scheduler against sorting by hand
    schedules    a random structure: its schedule and segments by C against PyTorch's, and the parts of its layout
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from tests.fuzz.workers import KINDS, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", default=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--count", type=int, default=1000, help="cases of each kind")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each kind at most")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    wrong = 0
    for kind in given.kinds:
        if kind not in KINDS:
            parser.error(f"there is no kind {kind!r}: choose among {', '.join(KINDS)}.")
        if kind == "sweeps" and not os.environ.get("STRESS"):
            parser.error("sweeps are run by a program that STRESS names: `make fuzz` builds it.")
        began = time.time()
        total = run(kind, given.seed, given.count, given.seconds, min(given.workers, given.count))
        took = time.time() - began
        print(
            f"{kind}: {total['cases']} cases in {took:.0f} s ({total['cases'] / took:.0f} a second), "
            f"{total['WRONG']} wrong, {total['CRASHED']} crashed"
        )
        for what, number in sorted(total.items(), key=lambda item: -item[1]):
            if what not in ("cases", "WRONG", "CRASHED"):
                print(f"    {number} x {what}")
        wrong += total["WRONG"] + total["CRASHED"]
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
