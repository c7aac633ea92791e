"""How far gradients reach: recurrent networks over sequences, and a Tree-LSTM over two trees with the same leaves.

    python examples/gradient_flow.py            # a minute
    python examples/gradient_flow.py --quick    # shorter sequences, narrower networks: seconds

Six networks read sequences of symbols, at their initial weights. What is measured is the spectral norm of the Jacobian
ds_t/ds_k: how strongly the last state, t, depends on the state k, any number of hops earlier. The state of an LSTM is h
and c together. If the norm falls by a constant factor per hop, the gradient vanishes; if it grows, it explodes. A
network can learn long lags only as far as some of the gradient is left.

Lyapunov exponents describe the same in forward direction. In the long run, small differences between two states change
by a factor of exp(λ) per step, where λ is the largest exponent. The table shows exp(λ), from one long sequence, next to
the rate that was fitted to the Jacobians.

Then the same symbols are the leaves of two binary trees: a chain, in which each inner node joins one more leaf to all
earlier ones, and a balanced tree. A leaf is up to 255 hops from the root in the chain, and 8 in the balanced tree.

S. Hochreiter, "Untersuchungen zu dynamischen neuronalen Netzen", diploma thesis, TU Munich 1991, and Y. Bengio,
P. Simard and P. Frasconi, "Learning long-term dependencies with gradient descent is difficult", IEEE Transactions on
Neural Networks 5, 1994 (gradients over time); K. Tai, R. Socher and C. Manning, "Improved Semantic Representations From
Tree-Structured Long Short-Term Memory Networks", ACL 2015 (the Tree-LSTM).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import common
import torch
from data.long_lags import SYMBOLS, temporal_order
from torch import Tensor
from torch.nn.functional import one_hot

import graphrec as gr
from graphrec import dynamics, viz

D = len(SYMBOLS)
CELLS: dict[str, Callable[[int], gr.Cell]] = {
    "SRN": lambda hidden: gr.SRNCell(D, hidden),
    "residual SRN": lambda hidden: gr.ResidualCell(gr.SRNCell(D, hidden)),
    "GRU": lambda hidden: gr.GRUCell(D, hidden),
    "LSTM, forget bias 0": lambda hidden: gr.LSTMCell(D, hidden, forget_bias=0.0),
    "LSTM, forget bias 1": lambda hidden: gr.LSTMCell(D, hidden, forget_bias=1.0),
    "LSTM, forget bias 2": lambda hidden: gr.LSTMCell(D, hidden, forget_bias=2.0),
}


class Sizes(NamedTuple):
    """The sizes of what is measured."""

    sequences: int
    length: int
    long: int  # nodes in the sequence for the Lyapunov exponent
    leaves: int
    hidden: int


FULL = Sizes(sequences=20, length=100, long=1000, leaves=256, hidden=32)
QUICK = Sizes(sequences=4, length=30, long=100, leaves=32, hidden=8)


def symbols(size: int, length: int, seed: int) -> tuple[Tensor, gr.Structure]:
    """Sequences of temporal order, of the given length or a little longer; one-hot."""
    token, s, _ = temporal_order(size, length, seed=seed)
    return one_hot(token, D).double(), s


def chain_tree(leaves: int) -> gr.Structure:
    """((((0 1) 2) 3) …): node i < `leaves` is leaf i, inner nodes follow from below."""
    inner = torch.arange(leaves, 2 * leaves - 1)
    left = torch.cat([torch.tensor([0]), inner[:-1]])
    return _binary(left, torch.arange(1, leaves), inner)


def balanced_tree(leaves: int) -> gr.Structure:
    """(((0 1) (2 3)) …), of a power of two: node i < `leaves` is leaf i, inner nodes follow level by level."""
    pair = torch.arange(0, 2 * leaves - 2, 2)
    return _binary(pair, pair + 1, torch.arange(leaves, 2 * leaves - 1))


def _binary(left: Tensor, right: Tensor, parent: Tensor) -> gr.Structure:
    slot = torch.cat([torch.zeros_like(left), torch.ones_like(right)])
    return gr.dag(torch.stack([torch.cat([left, right]), torch.cat([parent, parent])]), slot=slot)


class Sequence(NamedTuple):
    """What was measured of a network over sequences."""

    flow: dynamics.GradientFlow
    exponent: float


def over_sequences(sizes: Sizes, seed: int) -> dict[str, Sequence]:
    """All networks, over the same sequences."""
    found = {}
    for name, make in CELLS.items():
        torch.manual_seed(seed)
        cell = make(sizes.hidden).double()
        flow = dynamics.gradient_flow(cell, *symbols(sizes.sequences, sizes.length, seed))
        x, s = symbols(1, sizes.long, seed + 1)
        exponent = dynamics.lyapunov_spectrum(cell, x, s, count=1, skip=sizes.long // 10).item()
        found[name] = Sequence(flow, exponent)
        common.say(f"\n{name}\n{flow}")
    return found


class Leaves(NamedTuple):
    """A Tree-LSTM over a tree: for each leaf its hops to the root, and the norm of the root's Jacobian."""

    hops: Tensor
    norm: Tensor
    flow: dynamics.GradientFlow


def over_trees(sizes: Sizes, seed: int) -> dict[str, Leaves]:
    """One Tree-LSTM over both trees, whose leaves are the same symbols."""
    torch.manual_seed(seed)
    cell = gr.NaryTreeLSTMCell(D, sizes.hidden, arity=2).double()
    leaf = symbols(1, sizes.leaves, seed)[0][: sizes.leaves]
    x = torch.cat([leaf, leaf.new_zeros(sizes.leaves - 1, D)])  # inner nodes have no symbol
    found = {}
    for name, tree in {"chain": chain_tree, "balanced": balanced_tree}.items():
        flow = dynamics.gradient_flow(cell, x, tree(sizes.leaves))
        by_node = flow.source.argsort()[: sizes.leaves]  # every node is an ancestor of the root
        found[name] = Leaves(flow.distance[by_node], flow.norm[by_node], flow)
        common.say(f"\nTree-LSTM, {name}\n{flow}")
    return found


def draw(sequences: dict[str, Sequence], trees: dict[str, Leaves]) -> Any:
    """On the left the networks over sequences; on the right each leaf of the two trees."""
    fig = common.figure(11.5, 4.8)
    left, right = fig.subplots(1, 2, width_ratios=(1.25, 1))
    viz.draw_gradient_flow({name: one.flow for name, one in sequences.items()}, left)
    left.set_title("sequences: how the last state depends on earlier ones", fontsize=11)
    left.set(xlabel="hops from the end back", ylabel=r"spectral norm of $\partial s_t / \partial s_k$")
    right.set_yscale("log")
    for (name, leaves), colour in zip(trees.items(), (common.COLOURS[3], common.COLOURS[0]), strict=True):
        far = int(leaves.hops.max())
        right.plot(leaves.norm.tolist(), color=colour, lw=1.8, label=f"{name}: up to {far} hops")
    right.set_title("Tree-LSTM: how the root depends on each leaf", fontsize=11)
    right.set(
        xlabel="leaf, from left to right", ylabel=r"spectral norm of $\partial s_{root} / \partial s_{leaf}$"
    )
    right.grid(color="#E6E9EC")
    right.spines[["top", "right"]].set_visible(False)
    right.legend(loc="lower right", frameon=False)
    return fig


def tables(sequences: dict[str, Sequence], trees: dict[str, Leaves]) -> str:
    """The rates, the norms at some distances, and the verdict in a word."""
    hops = [
        d for d in (10, 30, 100) if d < min(int(one.flow.distances.max()) + 1 for one in sequences.values())
    ]
    rows: list[list[object]] = []
    for name, one in sequences.items():
        left = one.flow.quantile(0.5)
        rows.append(
            [
                name,
                one.flow.rate,
                math.exp(one.exponent),
                *(f"{left[d]:.1e}" for d in hops),
                one.flow.verdict,
            ]
        )
    header = ["sequences", "rate per hop", "exp(λ)", *(f"{d} hops" for d in hops), "gradients"]
    first = common.table(header, rows)
    rows = [
        [
            name,
            int(leaves.hops.max()),
            f"{leaves.norm.min():.1e}",
            f"{leaves.norm.median():.1e}",
            f"{leaves.norm.max():.1e}",
            leaves.flow.rate,
            leaves.flow.verdict,
        ]
        for name, leaves in trees.items()
    ]
    header = ["Tree-LSTM", "hops", "least leaf", "median leaf", "greatest leaf", "rate per hop", "gradients"]
    return f"{first}\n\n{common.table(header, rows)}"


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--seed", type=common.whole, default=0, help="of weights and symbols (default: 0)")
    flags.add_argument(
        "--out", type=Path, default=Path("runs", "gradient_flow"), help="the folder for results"
    )
    flags.add_argument("--quick", action="store_true", help="short sequences, narrow networks: seconds")
    return flags


def main(argv: list[str] | None = None) -> None:
    run = common.start(parser(), argv)
    sizes = QUICK if run.args.quick else FULL
    sequences, trees = over_sequences(sizes, run.args.seed), over_trees(sizes, run.args.seed)
    draw(sequences, trees).savefig(run.folder / "flow.png")
    run.finish(tables(sequences, trees))


if __name__ == "__main__":
    main()
