"""Which side does a member take? Zachary's karate club, learnt from its two leaders alone.

    python examples/karate.py            # networks of one to four rounds, from twenty seeds each: a minute
    python examples/karate.py --quick    # three seeds: seconds

A karate club of 34 members broke in two over a quarrel of Mr. Hi, who taught, with its officer. Given are who was
friends with whom, and how strongly, and the sides of these two. A graph convolutional network that knows members by
number alone is trained on the two leaders: what it says about the others it has from the friendships. In a round
members hear of their friends, in two of the friends of friends; everybody is two steps away from a leader at most.
Counted is how many of the other 32 it puts on the side that they took.

Beside it stand two rules that learn nothing: the nearer leader by steps, where a tie counts as half; and Zachary's
own, the cheapest cut between the leaders, where a friendship costs as much as it is strong. It is wrong about one
member, number 8, who stood with the officer and went with Mr. Hi, for the sake of a black belt.

W. Zachary, "An Information Flow Model for Conflict and Fission in Small Groups", Journal of Anthropological Research
33 (1977); T. Kipf and M. Welling, "Semi-Supervised Classification with Graph Convolutional Networks", ICLR 2017,
appendix A.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import common
import networkx as nx
import torch
from torch import Tensor, nn

import graphrec as gr

LEADERS = (0, 33)  # Mr. Hi and the officer
SIDES = ("Mr. Hi", "Officer")
ROUNDS = (1, 2, 3, 4)
SHOWN = 3  # rounds of the network in the picture
HIDDEN = 4  # the width of states, as in Kipf and Welling's appendix; after the last round it is 2, one for each side
STAGES = (0, 0.05, 0.2, 1)  # parts of the training, for the picture
INK, FAINT = "#39424C", "#C9D0D7"


class Network(nn.Module):
    """Rounds of graph convolutions over members known by their numbers alone.

    Args:
        members: how many there are.
        rounds: how many.
        weighted: whether strong friendships count for more.
    """

    x: Tensor

    def __init__(self, members: int, rounds: int, weighted: bool) -> None:
        super().__init__()
        widths = [members, *[HIDDEN] * (rounds - 1), len(SIDES)]
        cells = [gr.GCNCell(inputs, hidden, weighted) for inputs, hidden in pairwise(widths)]
        self.net = gr.GNN(cells, between=nn.Tanh())
        self.register_buffer("x", torch.eye(members))

    def forward(self, s: gr.Structure) -> Tensor:
        """`[N, 2]`: logits of the sides."""
        return self.net(self.x, s)

    def rounds(self, s: gr.Structure) -> list[Tensor]:
        """The states before the first round and after each."""
        return [self.x, *self.net.rounds(self.x, s)]


class Club(NamedTuple):
    """The club: as networkx has it, its friendships in both directions with their strengths, and the sides taken."""

    graph: nx.Graph
    s: gr.Structure
    side: Tensor


def load() -> Club:
    graph = nx.karate_club_graph()
    for _, _, friendship in graph.edges(data=True):
        friendship["edge_attr"] = float(friendship["weight"])  # the name by which graphrec reads it
    s = gr.from_networkx(graph)
    return Club(graph, s, torch.tensor([SIDES.index(graph.nodes[v]["club"]) for v in graph]))


def learn(network: Network, club: Club, epochs: int) -> list[Tensor]:
    """Train on the leaders' sides; returns what the network says, `[N, 2]`, before the first epoch and after each."""
    adam = torch.optim.Adam(network.parameters(), 0.01, weight_decay=5e-4)
    leaders, said = list(LEADERS), []
    for _ in range(epochs):
        logits = network(club.s)
        said.append(logits.detach())
        adam.zero_grad()
        nn.functional.cross_entropy(logits[leaders], club.side[leaders]).backward()
        adam.step()
    with torch.no_grad():
        return [*said, network(club.s)]


def count_right(side: Tensor, says: Tensor) -> float:
    """Right answers about all but the leaders, where `says` `[N]` is 0, 1, or 1/2 for a tie."""
    right = 1 - (says.double() - side).abs()
    right[list(LEADERS)] = 0
    return right.sum().item()


def nearer(graph: nx.Graph) -> Tensor:
    """`[N]`: the side of the leader fewer steps away, or 1/2."""
    steps = [nx.single_source_shortest_path_length(graph, leader) for leader in LEADERS]
    from_hi, from_officer = (torch.tensor([by[v] for v in graph]) for by in steps)
    return 0.5 + 0.5 * (from_hi - from_officer).sign()


def cheapest_cut(graph: nx.Graph) -> Tensor:
    """`[N]`: the sides of Zachary's rule."""
    _, (_, officers) = nx.minimum_cut(graph, *LEADERS, capacity="weight")
    return torch.tensor([float(v in officers) for v in graph])


def leaning(h: Tensor) -> Tensor:
    """`[N]`: where a state lies between those of the leaders, 0 being Mr. Hi's and 1 the officer's."""
    hi, officer = h[list(LEADERS)]
    across = officer - hi
    return ((h - hi) @ across / across.square().sum()).clamp(0, 1)


def draw(club: Club, network: Network, said: list[Tensor]) -> Any:
    """Above, what members know round by round; below, where they are after the last one while the network learns."""
    from matplotlib.colors import LinearSegmentedColormap

    hi, officer = common.COLOURS[0], common.COLOURS[3]
    shades = LinearSegmentedColormap.from_list("sides", [hi, "#9CC3DE", "#FFFFFF", "#EDB48B", officer])
    with torch.no_grad():
        states = network.rounds(club.s)
    at = nx.kamada_kawai_layout(club.graph)
    place = torch.tensor([list(map(float, at[v])) for v in sorted(club.graph)])
    if place[LEADERS[0], 0] > place[LEADERS[1], 0]:
        place[:, 0] *= -1  # Mr. Hi on the left, as in the legend
    epochs = len(said) - 1
    fig = common.figure(14.4, 8.0)
    above, below = fig.subplots(2, len(states))
    rings = [(hi, officer)[side] for side in club.side.tolist()]

    def members(ax: Any, where: Tensor, values: Tensor, wrong: Tensor) -> None:
        a, b = where[club.s.source], where[club.s.target]
        ax.plot(
            torch.stack([a[:, 0], b[:, 0]]), torch.stack([a[:, 1], b[:, 1]]), color=FAINT, lw=0.6, zorder=1
        )
        look: dict[str, Any] = {"cmap": shades, "vmin": 0, "vmax": 1, "edgecolors": rings, "linewidths": 2.0}
        sizes = torch.full((len(where),), 130.0).index_fill(0, torch.tensor(LEADERS), 330.0)
        ax.scatter(where[:, 0], where[:, 1], c=values, s=sizes, zorder=2, **look)
        for leader, letter in zip(LEADERS, "HO", strict=True):
            ax.text(
                *where[leader],
                letter,
                ha="center",
                va="center_baseline",
                color="white",
                weight="bold",
                zorder=3,
            )
        if wrong.any():
            ax.scatter(*where[wrong].T, marker="x", s=45, color=INK, linewidths=1.8, zorder=4)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.margins(0.08)
        ax.spines[:].set_visible(False)

    nobody = torch.zeros_like(club.side, dtype=torch.bool)
    for number, (ax, h) in enumerate(zip(above, states, strict=True)):
        last = number == len(states) - 1
        members(ax, place, leaning(h), (h.argmax(1) != club.side) if last else nobody)
        ax.set_title("before the first round" if not number else f"after round {number}", fontsize=11)
    for ax, part in zip(below, STAGES, strict=True):
        h = said[round(part * epochs)]
        members(ax, h, leaning(h), h.argmax(1) != club.side)
        right = count_right(club.side, h.argmax(1))
        ax.set_title(f"epoch {round(part * epochs)}: {right:.0f} of {len(h) - 2} right", fontsize=11)
        low, high = ax.get_xlim(), ax.get_ylim()
        ends = (min(low[0], high[0]), max(low[1], high[1]))
        ax.plot(ends, ends, color=INK, lw=0.8, ls=":", zorder=0)  # on this line both sides are as likely
        ax.set(xlim=low, ylim=high, xlabel="says Mr. Hi", ylabel="says Officer")
        ax.spines[["left", "bottom"]].set_visible(True)
        ax.spines[["left", "bottom"]].set_color(FAINT)
    for colour, side in zip((hi, officer), SIDES, strict=True):
        ring: dict[str, Any] = {"facecolors": "white", "edgecolors": colour, "linewidths": 2.0}
        above[0].scatter([], [], s=110, label=f"took the side of {side}", **ring)
    above[0].scatter([], [], marker="x", s=45, color=INK, linewidths=1.8, label="wrong in the end")
    handles, labels = above[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=11)
    above[0].set_ylabel("one network, round by round:\nfill is the leader whose state is nearer", fontsize=11)
    return fig


def main(argv: list[str] | None = None) -> None:
    flags = common.parser(__doc__, name="karate", epochs=200)
    flags.add_argument("--runs", type=common.count, default=20, help="seeds of each network (default: 20)")
    run = common.start(flags, argv)
    runs = min(run.args.runs, 3) if run.args.quick else run.args.runs
    club = load()
    others = len(club.side) - len(LEADERS)
    rows: list[list[object]] = [
        ["the nearer leader", f"{count_right(club.side, nearer(club.graph)):.1f}", ""],
        ["Zachary's cut", "", f"{count_right(club.side, cheapest_cut(club.graph)):.1f}"],
    ]
    shown: tuple[Network, list[Tensor]] | None = None
    for rounds in ROUNDS:
        cells = []
        for weighted in (False, True):
            right = []
            for seed in range(run.args.seed, run.args.seed + runs):
                torch.manual_seed(seed)
                network = Network(len(club.side), rounds, weighted)
                said = learn(network, club, run.args.epochs)
                right.append(count_right(club.side, said[-1].argmax(1)))
                if (rounds, weighted, seed) == (SHOWN, True, run.args.seed):
                    shown = network, said
            scores = torch.tensor(right)
            cells.append(f"{scores.mean():.1f} ± {scores.std():.1f}" if runs > 1 else f"{scores[0]:.0f}")
        rows.append([f"GCN, {rounds} round{'s' * (rounds > 1)}", *cells])
        common.say(f"{rows[-1][0]}: done.")
    assert shown is not None
    draw(club, *shown).savefig(run.folder / "club.png")
    header = [f"right, of {others}", "friendships alike", "by strength"]
    table = common.table(header, rows)
    run.finish(f"{table}\n\nGCN: mean and deviation of {runs} seeds; trained on the two leaders alone.")


if __name__ == "__main__":
    main()
