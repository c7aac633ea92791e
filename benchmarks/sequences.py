"""SRN, LSTM and GRU on sequences: graphrec beside torch.nn; the peephole LSTM beside torchrecurrent.

One layer, from the inputs of all nodes to their states, the gradients of inputs and weights included. Sequences of
one length are `[T, B, D]` for torch; sentences of different lengths are packed, and padded, for torch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_sequence

import graphrec as gr

from . import pictures
from .contending import Contender, Row, table, time_all
from .forests import sentiment_like_trees
from .peers import Unavailable
from .peers.contender import assign

SHAPES = (
    (50, 16, 64),
    (100, 32, 128),
    (100, 64, 256),
    (1000, 1, 64),
    (1000, 8, 128),
    (500, 64, 128),
)  # T, B, H
SENTENCES = ((32, 128), (128, 128))  # how many, H
LONG = ((1000, 900, 800, 700), 64)  # lengths, H
NETS = {"SRN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
OURS = "graphrec"  # rows step by step, as torch has them
BATCH_FIRST = "graphrec, batch first"  # rows sequence after sequence


def run(rounds: int, quick: bool, out: Path) -> list[Row]:
    """Print the tables, draw `sequences.png` into `out`."""
    rows: list[Row] = []
    for net in NETS:
        for time, batch, hidden in SHAPES[:1] if quick else SHAPES:
            contenders = even(net, time, batch, hidden)
            rows += time_all(net, f"({time}, {batch}, {hidden})", contenders, rounds)
        for count, hidden in SENTENCES[:1] if quick else SENTENCES:
            lengths, origin = sentences(count)
            shape = f"{count} {origin}, H={hidden}"
            rows += time_all(net, shape, uneven(net, lengths, hidden), rounds)
        lengths, hidden = LONG
        rows += time_all(net, f"4 long ones, H={hidden}", uneven(net, list(lengths), hidden), rounds)
    try:
        for time, batch, hidden in SHAPES[:1] if quick else SHAPES[:2]:
            rows += time_all(
                "peephole LSTM", f"({time}, {batch}, {hidden})", peephole(time, batch, hidden), rounds
            )
    except Unavailable as reason:
        print(f"torchrecurrent is left out: {reason}")
    print(f"\nfloat32: ms, median of {rounds} rounds (lowest to highest)")
    print("and how many times graphrec's time it is; the most memory that a run needs\n")
    print(table(rows, "(T, B, H) or sentences"), end="\n\n")
    pictures.draw_rows(rows, out / "sequences.png")
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
