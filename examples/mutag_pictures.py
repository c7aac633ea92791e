"""The pictures that mutag.py draws: how an epoch is chosen, each fold's result, graphs as a network sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import common
import networkx as nx
import torch
from torch import Tensor

ATOMS = ("C", "N", "O", "F", "I", "Cl", "Br")
AROMATIC, SINGLE, DOUBLE, TRIPLE = range(4)
# The lines of a bond, by their distance from its axis.
LINES = {AROMATIC: (-1.0, 1.0), SINGLE: (0.0,), DOUBLE: (-1.0, 1.0), TRIPLE: (-1.6, 0.0, 1.6)}
ANSWERS = ("harmless", "mutagenic")
INK, FAINT = "#39424C", "#B9C2CB"
AUTHORS, FAIR = common.COLOURS[3], common.COLOURS[0]


def draw_choice(
    curves: Mapping[Any, Tensor],
    chosen: Any,
    epoch: int,
    results: Mapping[str, Mapping[str, Tensor]],
) -> Any:
    """How the authors' protocol chooses an epoch of GIN; each fold's accuracy, by network and protocol.

    Args:
        curves: for each of the settings `[folds, epochs]`, accuracies on the test folds in per cent.
        chosen, epoch: the settings and the epoch that are reported.
        results: by network and by protocol `[folds]`, accuracies in per cent.
    """
    fig = common.figure(10.4, 4.6)
    left, right = fig.subplots(1, 2, width_ratios=(1.15, 1), sharey=True)
    _draw_curves(left, curves, chosen, epoch)
    _draw_folds(right, results)
    for ax in (left, right):
        ax.grid(axis="y", color="#E6E9EC")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    left.set(ylim=(40, 103))
    return fig


def _draw_curves(ax: Any, curves: Mapping[Any, Tensor], chosen: Any, epoch: int) -> None:
    means = {setting: curve.mean(0) for setting, curve in curves.items()}
    epochs = range(1, len(means[chosen]) + 1)
    for setting, mean in means.items():
        if setting != chosen:
            ax.plot(epochs, mean, color=FAINT, lw=1)
    mean, deviation = means[chosen], curves[chosen].std(0)
    ax.plot(epochs, mean, color=AUTHORS, lw=2)
    ax.fill_between(epochs, mean - deviation, mean + deviation, color=AUTHORS, alpha=0.1, lw=0)
    ax.plot(epoch + 1, mean[epoch], "o", color=AUTHORS, ms=8)
    ax.annotate(
        f"reported: {mean[epoch]:.1f}",
        (epoch + 1, mean[epoch].item()),
        (0, 34),
        textcoords="offset points",
        ha="right" if epoch > 0.8 * len(mean) else "center",
        color=AUTHORS,
        weight="bold",
        arrowprops={"arrowstyle": "-", "color": AUTHORS, "shrinkB": 5},
    )
    ax.set_title("GIN, authors' protocol: the test folds choose the epoch", fontsize=10)
    ax.set_xlabel("epoch", fontsize=9)
    ax.set_ylabel("accuracy on the test fold, %", fontsize=9)


def _draw_folds(ax: Any, results: Mapping[str, Mapping[str, Tensor]]) -> None:
    scatter = torch.Generator().manual_seed(0)
    columns = [(network, protocol, v) for network, by in results.items() for protocol, v in by.items()]
    for place, (_, protocol, values) in enumerate(columns):
        colour = FAIR if protocol == "fair" else AUTHORS
        aside = place + 0.3 * (torch.rand(len(values), generator=scatter) - 0.5)
        ax.plot(aside, values, "o", color=colour, alpha=0.45, ms=6, mew=0)
        mean = values.mean().item()
        ax.plot([place - 0.3, place + 0.3], [mean, mean], color=colour, lw=2.5)
        ax.annotate(f"{mean:.1f}", (place + 0.33, mean), va="center", fontsize=8, color=colour)
    names = [f"{network}\n{protocol}" for network, protocol, _ in columns]
    ax.set_xticks(range(len(columns)), names, fontsize=9)
    ax.set_title("each fold, and the mean of all", fontsize=10)
    ax.set_xlim(-0.5, len(columns) - 0.2)


def draw_graphs(
    graphs: Sequence[Any],
    shares: Sequence[Tensor],
    sure: Sequence[float],
    answers: tuple[str, str] = ANSWERS,
    molecules: bool = True,
) -> Any:
    """Three graphs in a row, at the same scale; each node in the colour of what it adds to the answer.

    Args:
        graphs: samples with edges; of molecules without hydrogen, which is not in the data.
        shares: for each `[N]`, what the nodes add.
        sure: the network's probability that each is of the last class.
        answers: the names of the other classes and of the last one.
        molecules: whether kinds of nodes and edges are atoms and bonds.
    """
    limit = max((share.abs().max().item() for share in shares), default=1.0)
    places = [_places(graph) for graph in graphs]
    widest, highest = torch.stack([torch.ones(2), *(at.amax(0) for at in places)]).amax(0).tolist()
    rows = max(1, -(-len(graphs) // 3))
    fig = common.figure(12.4, (highest / widest * 3.6 + 0.5) * rows)
    panels = fig.subplots(rows, 3, squeeze=False).ravel()
    for ax in panels:
        ax.set_axis_off()
        ax.set(xlim=(-widest - 0.6, widest + 0.6), ylim=(-highest - 0.6, highest + 0.6), aspect="equal")
    dots = None
    last = max((int(graph.y) for graph in graphs), default=0)
    for ax, graph, at, share, p in zip(panels, graphs, places, shares, sure, strict=False):
        dots = _draw_graph(ax, graph, at, share, limit, molecules)
        is_last = int(graph.y) == last
        title = f"{answers[is_last]} (GIN: {100 * p:.0f} % {answers[1]})"
        ax.set_title(title, fontsize=10, color=AUTHORS if (p > 0.5) != is_last else INK)
    if dots is not None:
        fig.colorbar(dots, ax=panels.tolist(), shrink=0.6, label=f"adds to the answer “{answers[1]}”")
    return fig


def _places(sample: Any) -> Tensor:
    """`[N, 2]`: where to draw the nodes: around 0, edges of length 1 on average, and wider than high."""
    graph = nx.Graph(sample.edge_index.t().tolist())
    graph.add_nodes_from(range(sample.num_nodes))
    layout = nx.kamada_kawai_layout(graph) if nx.is_connected(graph) else nx.spring_layout(graph, seed=0)
    at = torch.tensor([layout[node].tolist() for node in sorted(graph)])
    a, b = at[sample.edge_index]
    at = (at - at.mean(0)) / (a - b).norm(dim=1).mean()
    at = at @ torch.linalg.svd(at, full_matrices=False)[2].T
    return at - (at.amax(0) + at.amin(0)) / 2


def _draw_graph(ax: Any, sample: Any, at: Tensor, share: Tensor, limit: float, molecule: bool) -> Any:
    kinds = sample.edge_type.tolist() if molecule else [SINGLE] * sample.num_edges
    for (a, b), kind in zip(sample.edge_index.t().tolist(), kinds, strict=True):
        if molecule and a > b:  # each bond is there in both directions
            continue
        along = at[b] - at[a]
        aside = 0.09 * torch.stack([-along[1], along[0]]) / along.norm()
        for number, offset in enumerate(LINES[kind]):
            style = (0, (2, 1.2)) if kind == AROMATIC and number else "-"
            ax.plot(*(at[[a, b]] + offset * aside).T, color="#7B8794", lw=1.3, ls=style, zorder=1)
    look: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, "edgecolors": INK}
    dots = ax.scatter(*at.T, c=share, s=170, linewidths=0.8, zorder=2, **look)
    if not molecule:
        return dots
    for (x, y), kind, value in zip(at.tolist(), sample.node_type.tolist(), share.tolist(), strict=True):
        ink = "white" if abs(value) > 0.6 * limit else "black"
        ax.text(x, y, ATOMS[kind], ha="center", va="center_baseline", fontsize=8, color=ink, zorder=3)
    return dots
