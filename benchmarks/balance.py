"""What batches of like depth save: levels, largest batch and seconds of an epoch, on the trees of SST."""

from __future__ import annotations

import os
import time

import torch
from torch import nn

import graphrec as gr
from graphrec.loader import BalancedSampler, Sampler, ShuffledSampler, measure


def trees() -> list[gr.Structure]:
    """The training trees of SST, where `GRAPHREC_DATA` has them."""
    folder = os.environ.get("GRAPHREC_DATA")
    if folder is None:
        raise SystemExit("set GRAPHREC_DATA to the folder that holds sst/train.txt")
    with open(f"{folder}/sst/train.txt", encoding="utf-8") as file:
        return [gr.tree(line) for line in file if line.strip()]


def epoch(
    structures: list[gr.Structure], sampler: Sampler, model: nn.Module, inputs: int
) -> dict[str, float]:
    """An epoch of training steps without an optimizer."""
    levels = nodes = batches = 0
    begin, cpu = time.perf_counter(), time.process_time()
    for numbers in sampler:
        s = gr.batch([structures[i] for i in numbers])
        model(torch.randn(s.num_nodes, inputs), s).sum().backward()
        levels += int(gr.levels(s).max()) + 1
        nodes, batches = max(nodes, s.num_nodes), batches + 1
    return {
        "batches": batches,
        "levels": levels,
        "largest batch": nodes,
        "seconds": time.perf_counter() - begin,
        "CPU": time.process_time() - cpu,
    }


def main() -> None:
    torch.manual_seed(0)
    structures = trees()
    sizes = measure(structures)
    model = gr.TreeLSTM(50, 50)
    mean = float(sizes.nodes.sum()) / len(structures)
    print(f"{len(structures):,} trees, {torch.get_num_threads()} threads; an epoch of a Tree-LSTM, H = 50")
    for batch_size in (25, 100):
        budget = max(int(batch_size * mean), int(sizes.nodes.max()))
        ways = {
            f"shuffled, {batch_size} trees": ShuffledSampler(len(structures), batch_size),
            f"balanced, {budget:,} nodes": BalancedSampler(sizes, budget),
            f"balanced, {budget:,} nodes, pool=1000": BalancedSampler(sizes, budget, pool=1000),
        }
        for name, sampler in ways.items():
            found = epoch(structures, sampler, model, 50)
            told = "  ".join(
                f"{what} {value:,.1f}" if isinstance(value, float) else f"{what} {value:,}"
                for what, value in found.items()
            )
            print(f"{name:<38}{told}", flush=True)


if __name__ == "__main__":
    main()
