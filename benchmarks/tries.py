"""SRN, GRU and LSTM on prefix trees: each common prefix once, beside all sequences in full, by graphrec and torch.

One layer, from the inputs of all nodes to their states, the gradients of inputs and weights included, as in
`sequences`. The loss is a random weight for each number of every sequence: on the trie a node's is the sum of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import graphrec as gr

from . import pictures
from .contending import Contender, Row, table, time_all
from .sequences import BATCH_FIRST, NETS, OURS

HIDDEN = 64
# Of a prompt and its continuations: tokens of the prompt, how many continuations, tokens of each; and how many times
# faster than the sequences in full the trie is to be.
SHAPES = ((256, 8, 64, 2.6), (512, 32, 32, 5.0))
QUICK = (64, 4, 16, 1.0)


class Unshared(Contender):
    """A contender with a row of x for each token of every sequence; where the trie has one, gradients are added up."""

    trie: gr.Trie

    def results(self) -> dict[str, Tensor]:
        found = super().results()
        return {**found, "x": self.trie.expand(self.trie.fold(found["x"]))}


def run(rounds: int, quick: bool, out: Path) -> list[Row]:
    """Print the tables, draw `tries.png` into `out`."""
    rows: list[Row] = []
    verdicts = []
    for net in NETS:
        for prompt, count, length, target in [QUICK] if quick else SHAPES:
            trie = trie_of(prompt, count, length)
            found = time_all(net, f"{prompt} + {count} × {length}", contenders(net, trie), rounds)
            rows += found
            verdicts += [_verdict(row, trie, target) for row in found]
    print(f"\nH = {HIDDEN}, float32: ms, median of {rounds} rounds (lowest to highest)")
    print("and how many times the trie's time it is; the most memory that a run needs\n")
    print(table(rows, "prompt + continuations"), end="\n\n")
    print(
        "| network | prompt + continuations | mode | nodes, in full / in the trie | time, in full / trie | target |"
    )
    print("|---|---|---|---|---|---|")
    print("\n".join(verdicts), end="\n\n")
    pictures.draw_rows(rows, out / "tries.png")
    return rows


def trie_of(prompt: int, count: int, length: int) -> gr.Trie:
    """A prompt with continuations that have nothing else in common."""
    return gr.Trie.from_segments([prompt] + [length] * count, [-1] + [0] * count)


def contenders(net: str, trie: gr.Trie) -> dict[str, Contender]:
    """The trie, and the same sequences in full: all are equally long."""
    torch.manual_seed(0)
    module: Any = NETS[net](HIDDEN, HIDDEN)
    model: Any = gr.from_torch(module).model
    x = torch.randn(trie.num_nodes, HIDDEN)
    batch = len(trie.lengths)
    time = trie.num_rows // batch
    row = torch.arange(trie.num_rows).view(batch, time)
    by_step, by_sequence = row.t().flatten(), row.view(time, batch).t().flatten()
    even = [time] * batch
    by_sequences, by_steps = gr.chains(even), gr.chains(even, batch_first=False)
    for s in (trie.structure, by_sequences, by_steps):
        gr.schedule(s)  # kept on the structure
    full = trie.expand(x)
    steps = full[by_step]
    found = {
        "trie": Contender(model, x, lambda x: model(x, trie.structure), trie.expand),
        OURS: Unshared(model, steps, lambda x: model(x, by_steps), lambda rows: rows[by_sequence]),
        BATCH_FIRST: Unshared(model, full, lambda x: model(x, by_sequences)),
        "torch.nn": Unshared(
            module,
            steps.view(time, batch, HIDDEN),
            lambda x: module(x)[0],
            lambda rows: rows.flatten(0, 1)[by_sequence],
        ),
    }
    for contender in found.values():
        if isinstance(contender, Unshared):
            contender.trie = trie
    return found


def _verdict(row: Row, trie: gr.Trie, target: float) -> str:
    """How much faster the trie is than the faster of graphrec's two runs in full."""
    peer = min((row.timings[name] for name in (OURS, BATCH_FIRST)), key=lambda timing: timing.median)
    share = trie.num_rows / trie.num_nodes
    cells = [
        f"{trie.num_rows:,} / {trie.num_nodes:,} = {share:.2f}",
        f"{peer.ratio_to(row.timings['trie']):.2f}",
        f"{target:.1f}",
    ]
    return f"| {row.net} | {row.shape} | {row.mode} | {' | '.join(cells)} |"
