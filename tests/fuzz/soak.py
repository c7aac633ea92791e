"""Training on ever new structures for as long as one likes: memory that grows, or a number that is not finite, ends it.

    python -m tests.fuzz.soak [--seconds T] [--seed S]

All cells of the zoo, structures of random families and sizes, every backend, both modes, several rules, and now and
then torch.compile. Memory is sampled once a minute (oftener in short runs); the slope over the second half is judged.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import torch
from torch import Tensor

import graphrec as gr
from graphrec.learning import BPTT
from graphrec.testing.structures import dressed
from graphrec.testing.trial import drawn
from tests.fuzz.structures import ACYCLIC, cyclic
from tests.zoo import CELLS, CellCase

BACKENDS = (None, None, "loop", "native", "torch", "torch_programs", "scans")
WIDTHS = (1, 3, 8)
# How much the resident memory may grow, in MiB an hour, over the second half of a long run.
MOST_GROWTH = 20.0


def resident() -> float:
    """MiB that the process has in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def live_tensors() -> int:
    """How many tensors Python knows of."""
    gc.collect()
    return sum(issubclass(type(one), Tensor) for one in gc.get_objects())


def cases() -> list[CellCase]:
    """Cells that take structures without kinds and features."""
    return [case for case in CELLS if case.arity != 1]


def step(random: Random, models: dict[Any, Any]) -> str:
    """One step of training; says what was done."""
    case, width = random.choice(cases()), random.choice(WIDTHS)
    key = case.name, width
    if key not in models:
        cell = case.make(width, width).double()
        models[key] = cell, torch.optim.SGD(cell.parameters(), 1e-3)
    cell, optimizer = models[key]
    in_rounds = random.random() < 0.3
    family = cyclic if in_rounds and random.random() < 0.5 else random.choice(ACYCLIC)
    s = gr.batch([family(random, cell.arity) for _ in range(random.choice([1, 1, 3, 20]))])
    run = drawn(cell, dressed(cell, s), width if cell.inputs is None else cell.inputs)
    plan = gr.schedule(
        run.structure, **({"mode": "sync", "rounds": random.randint(1, 3)} if in_rounds else {})
    )
    way = random.random()
    backend = random.choice(BACKENDS)
    if way < 0.1 and not in_rounds:
        backend, model = None, gr.Recursive(cell)
        state = (model(run.x, run.structure, rule=BPTT(recompute=2)),)
    else:
        try:
            state = tuple(gr.run(cell, plan, run.x, backend=backend))
        except ValueError as refusal:
            if "does not run" not in str(refusal) and "slot" not in str(refusal):
                raise
            return "refused"
    loss = sum((rows.square().mean() for rows in state if rows.numel()), torch.zeros(()))
    if not loss.requires_grad:
        return "nothing to learn"
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(cell.parameters(), 1.0)
    optimizer.step()
    if not bool(torch.isfinite(loss)):
        raise AssertionError(f"{case.name} of width {width} on {s}: the loss is {float(loss)}")
    return backend or "chosen"


def compiled_step(random: Random, model: Any) -> None:
    """One of a compiled model, over another structure."""
    s = gr.chains([random.randint(1, 9) for _ in range(random.randint(1, 5))])
    model(torch.randn(s.num_nodes, 4), s).square().mean().backward()


def samples(seconds: float, seed: int) -> Iterator[tuple[float, int, float, int]]:
    """Seconds, steps, MiB and live tensors, while it runs."""
    random, models = Random(seed), dict[Any, Any]()
    torch.manual_seed(seed)
    compiled = torch.compile(gr.TreeLSTM(4, 4), backend="eager")
    began, count, every = time.time(), 0, min(60.0, seconds / 20)
    due = every
    while (passed := time.time() - began) < seconds:
        step(random, models)
        count += 1
        if count % 200 == 0:
            compiled_step(random, compiled)
        if passed >= due:
            due += every
            tensors = live_tensors()
            yield passed, count, resident(), tensors


def slope(points: list[tuple[float, float]]) -> float:
    """Of the least-squares line, an hour."""
    x, y = torch.tensor(points, dtype=torch.float64).T
    x = x - x.mean()
    return float((x * (y - y.mean())).sum() / (x * x).sum()) * 3600


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for passed, count, memory, tensors in samples(given.seconds, given.seed):
        found.append((passed, memory, tensors))
        print(f"{passed:7.0f} s  {count:8d} steps  {memory:8.1f} MiB  {tensors:6d} tensors", flush=True)
    late = found[len(found) // 2 :]
    if len(late) < 3:
        return 0
    of_memory = slope([(passed, memory) for passed, memory, _ in late])
    of_tensors = slope([(passed, float(tensors)) for passed, _, tensors in late])
    print(f"second half: {of_memory:+.1f} MiB and {of_tensors:+.0f} tensors an hour")
    if given.seconds < 1800:
        print("(memory settles in the first half hour: this is too short to judge)")
        return 0
    return int(of_memory > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
