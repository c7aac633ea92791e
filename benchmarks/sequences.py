"""SRN, LSTM and GRU on sequences: graphrec beside torch.nn; the peephole LSTM beside torchrecurrent.

One layer, from the inputs of all nodes to their states, the gradients of inputs and weights included. Sequences of
one length are `[T, B, D]` for torch; sentences of different lengths are packed, and padded, for torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_sequence

import graphrec as gr

from . import pictures
from .forests import sentiment_like_trees
from .peers import Unavailable
from .peers.contender import assign
from .timing import Timing, interleave

SHAPES = (
    (50, 16, 64),
    (100, 32, 128),
    (100, 64, 256),
    (1000, 1, 64),
    (1000, 8, 128),
    (500, 64, 128),
)  # T, B, H
SENTENCES = ((32, 128), (128, 128))  # how many, H
NETS = {"SRN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
MODES = ("training", "inference")
TOLERANCE = 1e-4  # float32, relative to the largest entry; sums run in another order at each contender
OURS = "graphrec"  # rows step by step, as torch has them
BATCH_FIRST = "graphrec, batch first"  # rows sequence after sequence


class Row(NamedTuple):
    """The figures of all contenders for one network, shape and mode, by contender."""

    net: str
    shape: str
    mode: str
    timings: dict[str, Timing]


class Contender:
    """A layer ready to run.

    Args:
        module: with the weights.
        x: its inputs, in its own layout; a leaf.
        forward: from the inputs to the states of all nodes, of any shape.
        rows: from that shape to `[N, H]`, sequence after sequence; for the comparison of results.
    """

    def __init__(
        self,
        module: nn.Module,
        x: Tensor,
        forward: Callable[[Tensor], Tensor],
        rows: Callable[[Tensor], Tensor],
    ) -> None:
        self.module, self.forward, self.rows = module, forward, rows
        self.x = x.detach().clone().requires_grad_()
        self.leaves = [self.x, *module.parameters()]
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            like = forward(self.x)
        # The same upstream gradient for all, in each one's own layout.
        upstream = torch.randn(rows(like).shape, generator=generator)
        given = torch.zeros_like(like).requires_grad_()
        (rows(given) * upstream).sum().backward()
        self.upstream = given.grad

    def train(self) -> Tensor:
        """Forward and backward, to fresh gradients."""
        for tensor in self.leaves:
            tensor.grad = None
        h = self.forward(self.x)
        h.backward(self.upstream)
        return h

    def infer(self) -> None:
        """Forward, with nothing kept."""
        with torch.no_grad():
            self.forward(self.x)

    def results(self) -> dict[str, Tensor]:
        """States, and gradients of the inputs, sequence after sequence, and the size of the weights' gradients."""
        h = self.train()
        # Of the two matrices, whose layout all share; peepholes are laid out otherwise elsewhere.
        grads = [p.grad for p in self.module.parameters() if p.dim() == 2 and len(p) >= p.shape[1]]
        norms = torch.stack([grad.norm() for grad in grads if grad is not None])
        assert self.x.grad is not None
        return {"h": self.rows(h).detach(), "x": self.rows(self.x.grad), "weights": norms.sort().values}


def run(rounds: int, quick: bool, out: Path) -> list[Row]:
    """Print the tables, draw `sequences.png` into `out`."""
    rows: list[Row] = []
    for net in NETS:
        for time, batch, hidden in SHAPES[:1] if quick else SHAPES:
            contenders = even(net, time, batch, hidden)
            rows += _timed(net, f"({time}, {batch}, {hidden})", contenders, rounds)
        for count, hidden in SENTENCES[:1] if quick else SENTENCES:
            lengths, origin = sentences(count)
            shape = f"{count} {origin}, H={hidden}"
            rows += _timed(net, shape, uneven(net, lengths, hidden), rounds)
    try:
        for time, batch, hidden in SHAPES[:1] if quick else SHAPES[:2]:
            rows += _timed(
                "peephole LSTM", f"({time}, {batch}, {hidden})", peephole(time, batch, hidden), rounds
            )
    except Unavailable as reason:
        print(f"torchrecurrent is left out: {reason}")
    print(f"\nfloat32: ms, median of {rounds} rounds (lowest to highest)")
    print("and how many times graphrec's time it is\n")
    print(_table(rows), end="\n\n")
    pictures.draw_sequences(rows, out / "sequences.png")
    return rows


def sentences(count: int) -> tuple[list[int], str]:
    """How many words sentences of the Stanford Sentiment Treebank have; or such as they could have.

    The file is `$GRAPHREC_DATA/sst/train.txt`: one tree in brackets per line.
    """
    folder = os.environ.get("GRAPHREC_DATA")
    file = Path(folder) / "sst" / "train.txt" if folder else None
    if file is None or not file.exists():
        return [(tree.size + 1) // 2 for tree in sentiment_like_trees(count)], "SST-like sentences"
    with file.open(encoding="utf-8") as lines:
        trees = [gr.tree(line) for line, _ in zip(lines, range(count), strict=False)]
    return [sum(token is not None for token in tree.tokens or ()) for tree in trees], "SST sentences"


def even(net: str, time: int, batch: int, hidden: int) -> dict[str, Contender]:
    """Sequences of one length."""
    module = _torch(net, hidden)
    x = torch.randn(time, batch, hidden, generator=torch.Generator().manual_seed(0))
    lengths, by_sequence = [time] * batch, _by_sequence(time, batch)
    return {
        OURS: _ours(module, x.flatten(0, 1), gr.chains(lengths, batch_first=False), by_sequence),
        BATCH_FIRST: _ours(module, x.flatten(0, 1)[by_sequence], gr.chains(lengths)),
        "torch.nn": Contender(
            module, x, lambda x: module(x)[0], lambda rows: rows.flatten(0, 1)[by_sequence]
        ),
    }


def uneven(net: str, lengths: list[int], hidden: int) -> dict[str, Contender]:
    """Sequences of different lengths."""
    module = _torch(net, hidden)
    lengths = sorted(lengths, reverse=True)
    s = gr.chains(lengths)
    x = torch.randn(s.num_nodes, hidden, generator=torch.Generator().manual_seed(0))
    padded = pad_sequence(list(x.split(lengths)))
    packed = pack_padded_sequence(padded, torch.tensor(lengths))
    order = gr.from_packed(packed._replace(data=torch.arange(s.num_nodes))).x
    mask = s.graph + gr.levels(s) * len(lengths)

    def run_packed(data: Tensor) -> Tensor:
        return module(PackedSequence(data, packed.batch_sizes))[0].data

    return {
        OURS: _ours(module, packed.data, gr.chains(lengths, batch_first=False), order),
        BATCH_FIRST: _ours(module, x, s),
        "torch.nn, packed": Contender(module, packed.data, run_packed, lambda rows: rows[order]),
        "torch.nn, padded": Contender(
            module, padded, lambda x: module(x)[0], lambda rows: rows.flatten(0, 1)[mask]
        ),
    }


def peephole(time: int, batch: int, hidden: int) -> dict[str, Contender]:
    """The peephole LSTM, which torch has not."""
    try:
        import torchrecurrent
    except ImportError as error:
        raise Unavailable.because("torchrecurrent", error, "pip install torchrecurrent") from error
    theirs: Any = torchrecurrent.PeepholeLSTM(hidden, hidden)
    cell = gr.PeepholeLSTMCell(hidden, hidden, biases=2)
    weights = {name.rpartition(".")[2]: weight for name, weight in theirs.named_parameters()}
    assign(cell.input.weight, weights["weight_ih"])
    assign(cell.recurrent.weight, weights["weight_hh"])
    assign(cell.peephole, weights["weight_ph"].view(3, hidden))
    assign(cell.input.bias, weights["bias_ih"])
    assign(cell.recurrent.bias, weights["bias_hh"])
    x = torch.randn(time, batch, hidden, generator=torch.Generator().manual_seed(0))
    s, by_sequence = gr.chains([time] * batch, batch_first=False), _by_sequence(time, batch)
    gr.schedule(s)  # kept on the structure
    model = gr.Recursive(cell)
    return {
        OURS: Contender(model, x.flatten(0, 1), lambda x: model(x, s), lambda rows: rows[by_sequence]),
        "torchrecurrent": Contender(
            theirs, x, lambda x: theirs(x)[0], lambda rows: rows.flatten(0, 1)[by_sequence]
        ),
    }


def _by_sequence(time: int, batch: int) -> Tensor:
    """`[B * T]`: the rows of `[T, B, ...]`, sequence after sequence."""
    return torch.arange(time * batch).view(time, batch).t().flatten()


def _torch(net: str, hidden: int) -> Any:
    torch.manual_seed(0)
    return NETS[net](hidden, hidden)


def _ours(module: nn.RNNBase, x: Tensor, s: gr.Structure, by_sequence: Tensor | None = None) -> Contender:
    model: Any = gr.from_torch(module).model
    gr.schedule(s)  # kept on the structure
    return Contender(
        model, x, lambda x: model(x, s), lambda rows: rows if by_sequence is None else rows[by_sequence]
    )


def _timed(net: str, shape: str, contenders: dict[str, Contender], rounds: int) -> list[Row]:
    print(f"{net}, {shape}")
    _check_agreement(contenders)
    rows = []
    for mode in MODES:
        tasks = {name: c.train if mode == "training" else c.infer for name, c in contenders.items()}
        rows.append(Row(net, shape, mode, interleave(tasks, rounds)))
    return rows


def _check_agreement(contenders: dict[str, Contender]) -> None:
    """All compute the same values and gradients; timings of different things would say nothing."""
    with gr.reference_loop():
        right = contenders[OURS].results()
    for name, contender in contenders.items():
        found = contender.results()
        off = {k: float((found[k] - right[k]).abs().max() / right[k].abs().max()) for k in right}
        differs = ", ".join(f"{k} {value:.0e}" for k, value in off.items())
        if not max(off.values()) <= TOLERANCE:  # so that NaN is refused too
            raise RuntimeError(f"{name} computes something else: {differs} (at most {TOLERANCE}).")


def _table(rows: list[Row]) -> str:
    lines = ["| network | (T, B, H) or sentences | mode | ms |", "|---|---|---|---|"]
    for row in rows:
        ours = row.timings[OURS]
        cells = []
        for name, t in row.timings.items():
            span = f"{name} {1e3 * t.median:.2f} ({1e3 * t.lowest:.2f} to {1e3 * t.highest:.2f})"
            cells.append(span if t is ours else f"{span}, {t.ratio_to(ours):.2f}×")
        lines.append(f"| {row.net} | {row.shape} | {row.mode} | {'; '.join(cells)} |")
    return "\n".join(lines)
