"""Which side does a member take? Zachary's karate club, learnt from its two leaders only.

    python examples/karate.py            # networks of one to four rounds, from twenty seeds each: a minute or two
    python examples/karate.py --quick    # two seeds, few epochs: seconds

A karate club of 34 members split over a quarrel between its teacher, Mr. Hi, and its officer. The friendships, their
strengths and the sides of these two leaders are given. A graph convolutional network knows the members by number only
and is trained on the two leaders, so what it predicts for the others comes from the friendships. One round passes
messages between friends, two between friends of friends; nobody is more than two steps away from a leader. The result
is how many of the other 32 members it puts on the side that they took.

Two rules without learning are compared: the nearer leader in steps, where a tie counts as half, and Zachary's own rule,
the minimum cut between the leaders, where a friendship costs its strength. Zachary's rule is wrong about one member
(number 8, counted from 0), who supported the officer but went with Mr. Hi to get his black belt.

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
COLOURS = (common.COLOURS[0], common.COLOURS[3])
INK, FAINT = "#39424C", "#C9D0D7"


class Network(nn.Module):
    """Rounds of graph convolutions over members known by their numbers only.

    Args:
        members: how many there are.
        rounds: how many.
    """

    x: Tensor

    def __init__(self, members: int, rounds: int) -> None:
        super().__init__()
        widths = [members, *[HIDDEN] * (rounds - 1), len(SIDES)]
        cells = [gr.GCNCell(inputs, hidden) for inputs, hidden in pairwise(widths)]
        self.net = gr.GNN(cells, between=nn.Tanh())
        self.register_buffer("x", torch.eye(members))

    def forward(self, s: gr.Structure) -> Tensor:
        """`[N, 2]`: logits of the sides."""
        return self.net(self.x, s)

    def rounds(self, s: gr.Structure) -> list[Tensor]:
        """The states before the first round and after each."""
        return [self.x, *self.net.rounds(self.x, s)]


class Club(NamedTuple):
    """The club: its networkx graph, the friendships in both directions with their strengths, and the sides taken."""

    graph: nx.Graph
    s: gr.Structure
    side: Tensor


def load() -> Club:
    graph = nx.karate_club_graph()
    s = gr.from_networkx(graph)  # the strengths are its edges' weights
    return Club(graph, s, torch.tensor([SIDES.index(graph.nodes[v]["club"]) for v in graph]))


def train(club: Club, rounds: int, weighted: bool, epochs: int, seed: int) -> tuple[Network, list[Tensor]]:
    """A network trained on the leaders' sides, and its outputs, `[N, 2]`, before the first epoch and after each.

    Args:
        club, rounds, epochs, seed: the data, and how to train.
        weighted: whether strong friendships count for more.
    """
    s = club.s if weighted else club.s.replace(edge_weight=None)
    torch.manual_seed(seed)
    network = Network(len(club.side), rounds)
    adam = torch.optim.Adam(network.parameters(), 0.01, weight_decay=5e-4)
    leaders, said = list(LEADERS), []
    for _ in range(epochs):
        logits = network(s)
        said.append(logits.detach())
        adam.zero_grad()
        nn.functional.cross_entropy(logits[leaders], club.side[leaders]).backward()
        adam.step()
    with torch.no_grad():
        return network, [*said, network(s)]


def count_right(side: Tensor, says: Tensor) -> float:
    """Correct answers for all but the leaders, where `says` `[N]` is 0, 1, or 1/2 for a tie."""
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


def spread(scores: Tensor) -> str:
    """The mean, and where there are several the standard deviation."""
    return f"{scores.mean():.1f}" + (f" ± {scores.std():.1f}" if len(scores) > 1 else "")


def draw(club: Club, network: Network, said: list[Tensor]) -> Any:
    """Above, the members' states round by round; below, those after the last round during training."""
    with torch.no_grad():
        states = network.rounds(club.s)
    layout = nx.kamada_kawai_layout(club.graph)
    place = torch.tensor([layout[v].tolist() for v in club.graph])
    place = place @ torch.linalg.svd(place - place.mean(0))[2].T  # the long side across
    if place[LEADERS[0], 0] > place[LEADERS[1], 0]:
        place[:, 0] *= -1  # Mr. Hi on the left, as in the legend
    fig = common.figure(14.4, 7.6)
    above, below = fig.subplots(2, len(states))
    wrong = said[-1].argmax(1) != club.side
    for number, (ax, h) in enumerate(zip(above, states, strict=True)):
        last = number == len(states) - 1
        draw_members(ax, club, place, leaning(h), wrong if last else torch.zeros_like(wrong))
        ax.set_title(f"after round {number}" if number else "before the first round", fontsize=11)
        ax.spines[:].set_visible(False)
    for ax, part in zip(below, STAGES, strict=True):
        epoch = round(part * (len(said) - 1))
        draw_answers(ax, club, said[epoch], epoch)
    for colour, label in zip(COLOURS, ("Mr. Hi's side", "the officer's side"), strict=True):
        ring: dict[str, Any] = {"facecolors": "white", "edgecolors": colour, "linewidths": 2.0}
        above[0].scatter([], [], s=110, label=f"took {label}", **ring)
    above[0].scatter([], [], marker="x", s=45, color=INK, linewidths=1.8, label="the network is wrong")
    handles, labels = above[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=11)
    above[0].set_ylabel("round by round, trained:\nfill is the leader whose state is nearer", fontsize=11)
    below[0].set_ylabel("epoch by epoch, after the last round:\nsays officer", fontsize=11)
    return fig


def draw_members(ax: Any, club: Club, where: Tensor, fill: Tensor, wrong: Tensor) -> None:
    """The club, with its members at `where` `[N, 2]`, filled by `fill` `[N]` from Mr. Hi's colour to the officer's."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list(
        "sides", [COLOURS[0], "#9CC3DE", "#FFFFFF", "#EDB48B", COLOURS[1]]
    )
    ends = where[torch.stack([club.s.source, club.s.target])]
    ax.plot(*ends.permute(2, 0, 1).numpy(), color=FAINT, lw=0.6, zorder=1)
    sizes = torch.full((len(where),), 130.0).index_fill(0, torch.tensor(LEADERS), 330.0)
    rings = [COLOURS[side] for side in club.side.tolist()]
    look: dict[str, Any] = {"cmap": shades, "vmin": 0, "vmax": 1, "edgecolors": rings, "linewidths": 2.0}
    ax.scatter(*where.T, c=fill, s=sizes, zorder=2, **look)
    letter: dict[str, Any] = {"ha": "center", "va": "center_baseline", "color": "white", "weight": "bold"}
    for leader, initial in zip(LEADERS, "HO", strict=True):
        ax.text(*where[leader].tolist(), initial, zorder=3, **letter)
    wrong = wrong.index_fill(0, torch.tensor(LEADERS), False)  # the leaders are not counted
    ax.scatter(*where[wrong].T, marker="x", s=45, color=INK, linewidths=1.8, zorder=4)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.margins(0.08)


def draw_answers(ax: Any, club: Club, logits: Tensor, epoch: int) -> None:
    """The club by what the network says; on the dotted line both sides are as likely."""
    says = logits.argmax(1)
    draw_members(ax, club, logits, leaning(logits), says != club.side)
    limits = {"xlim": ax.get_xlim(), "ylim": ax.get_ylim()}
    ax.axline((0, 0), slope=1, color=INK, lw=0.8, ls=":", zorder=0)
    ax.set(**limits)  # the line would widen them
    right = count_right(club.side, says)
    ax.set_title(f"epoch {epoch}: {right:.0f} of {len(says) - len(LEADERS)} right", fontsize=11)
    ax.set_xlabel("says Mr. Hi", fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(FAINT)


def main(argv: list[str] | None = None) -> None:
    flags = common.parser(__doc__, name="karate", epochs=200)
    flags.add_argument("--runs", type=common.count, default=20, help="seeds of each network (default: 20)")
    run = common.start(flags, argv)
    runs, epochs = run.args.runs, run.args.epochs
    if run.args.quick:
        runs, epochs = min(runs, 2), min(epochs, 50)
    club = load()
    others = len(club.side) - len(LEADERS)
    rows: list[list[object]] = [
        ["the nearer leader", f"{count_right(club.side, nearer(club.graph)):.1f}", "–"],
        ["Zachary's cut", "–", f"{count_right(club.side, cheapest_cut(club.graph)):.1f}"],
    ]
    wrong = torch.zeros(len(club.side), dtype=torch.long)
    for rounds in ROUNDS:
        cells = []
        for weighted in (False, True):
            right = []
            for seed in range(run.args.seed, run.args.seed + runs):
                _, said = train(club, rounds, weighted, epochs, seed)
                says = said[-1].argmax(1)
                right.append(count_right(club.side, says))
                wrong += says != club.side
            cells.append(spread(torch.tensor(right)))
        rows.append([f"GCN, {rounds} round{'s' * (rounds > 1)}", *cells])
        common.say(f"{rows[-1][0]}: done.")
    draw(club, *train(club, SHOWN, True, epochs, run.args.seed)).savefig(run.folder / "club.png")
    table = common.table([f"correct, of {others}", "unweighted", "by strength"], rows)
    trained = f"mean and deviation of {runs} seed{'s' * (runs > 1)}, trained on the two leaders only"
    most = int(wrong.argmax())
    run.finish(
        f"{table}\n\nGCN: {trained}.\nIt is wrong most often about member {most}, in "
        f"{wrong[most]} of {2 * len(ROUNDS) * runs} trainings."
    )


if __name__ == "__main__":
    main()
