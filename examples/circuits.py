"""How probable is it that a gate is 1, and which gates compute the same? Networks over gate-level circuits.

    python examples/circuits.py                      # minutes on one core; circuits are generated here
    python examples/circuits.py --quick              # small circuits and networks: seconds
    python examples/circuits.py --netlist mine.bench # one network, on a circuit of yours (or .aag, .aig)

All circuits are and-inverter graphs. Inputs are independent, 0 or 1 with equal probability; simulation tells how often
each gate is 1 and which gates are equal. Networks learn both from random circuits of 40 to 120 gates. The tests are on
others, on larger ones, and on adders, multipliers and comparators of 3 to 7 bits, each built in two ways side by side,
so that there are equal gates to find. Half of the pairs are equal; the other pairs are gates of equal probability.
Inputs have codes, 24 random signs, so that networks can tell a AND b from c AND d.

- In dependency order: a cell for each kind of gate, that of D-VAE, DAGNN or the Child-Sum Tree-LSTM, or PyG's SAGEConv;
  each gate is updated once, after its fan-ins. "Up and down" then runs once more from the outputs back.
- In rounds, all gates at once: the same D-VAE cells, GIN, and GGNN, which also sends messages against the edges. D-VAE
  cells in as many rounds as levels would be the first network again, at many times the cost.
- Without learning: medians; probabilities as if the fan-ins of each gate were independent, a textbook method; and
  simulation of only the 24 patterns of the codes.

States have 48 numbers in all networks, so the number of weights differs; tables say how often each gate is updated.

No network is best everywhere, and with one seed differences of thousandths mean nothing. On circuits like those in
training, GGNN with a round per level has the smallest error. Larger circuits are deeper. There D-VAE, DAGNN and
Tree-LSTM cells in dependency order lose least, and only they beat independence. The same D-VAE cells in 10 rounds are
worse from level 10 on, which messages from the inputs no longer reach (levels.png). But 24 simulated patterns are still
better there, and no network finds equal gates as well as they do. On circuits of unseen types, independence is best for
adders, DAGNN and Tree-LSTM cells for multipliers, GGNN for comparators. One adder is drawn, gate by gate (adder.png).

With latches there are cycles, and the probability is that of the long run. Five schedules are compared: cut latches;
rounds of all gates; cycles iterated a fixed number of times (`cycles="iterate"`); cycles iterated to a fixed point,
which needs contracting cells, and these forget what is far away; and sweeps by level, each of which is a clock cycle.
The last one is best, and the only one that beats independence.

M. Li, S. Khan, Z. Shi, N. Wang, Y. Huang and Q. Xu, "DeepGate: Learning Neural Representations of Logic Gates", DAC
2022 (the task); F. Brglez, "On Testability Analysis of Combinational Networks", ISCAS 1984 (independence). The papers
on cells are named where these are defined.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import circuit_models as models
import common
import learning
import torch
from data import circuits
from data.circuits import NetlistBuilder, arithmetic
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import BaseTransform

import graphrec as gr
from graphrec.io.circuits import Kind, Netlist, read_circuit
from graphrec.transforms import AddLevels

NUMBER = {Kind.INPUT: models.INPUT, Kind.NOT: models.NOT, Kind.AND: models.AND, Kind.LATCH: models.LATCH}
PLAIN, SWEPT = "D-VAE cells", f"D-VAE cells, {models.CYCLES} sweeps, each a clock cycle"
INDEPENDENT = "all fan-ins independent"
PICTURED = [
    INDEPENDENT,
    PLAIN,
    "PyG's SAGEConv",
    f"D-VAE cells, {models.ROUNDS} rounds",
    f"GIN, {models.ROUNDS} rounds",
    f"GGNN both ways, {models.ROUNDS} rounds",
    "GGNN both ways, a round per level",
]

Say = Callable[[Any], models.Said]


class Scale(NamedTuple):
    """The sizes of circuits, networks and test sets."""

    train: int = 600
    test: int = 200
    gates: tuple[int, int] = (40, 120)
    larger: tuple[int, int] = (300, 600)
    bits: tuple[int, ...] = (3, 4, 5, 6, 7)
    batch: int = 32
    hidden: int = 48


QUICK = Scale(train=24, test=4, gates=(6, 10), larger=(20, 30), bits=(2,), batch=8, hidden=8)


class Prepare(BaseTransform):
    """The kinds of and-inverter graphs, numbered as the networks count them, and `code` `[N, CODE]`."""

    def __init__(self) -> None:
        self.draw = torch.Generator().manual_seed(0)
        self.number = torch.full((len(Kind),), -1)
        self.number[list(NUMBER)] = torch.tensor(list(NUMBER.values()))

    def forward(self, data: Data) -> Data:
        """`data`, with both."""
        data.node_type = self.number[data["node_type"]]
        data.code = models.draw_code(data["node_type"].numel(), self.draw)
        return data


def drawn(split: str, count: int, gates: tuple[int, int], latches: bool = False) -> Any:
    """Random and-inverter graphs, with latches or without."""
    family = {"family": "sequential", "aig": True, "pairs": 0} if latches else {}
    return circuits.Circuits(split, count, gates, transform=Prepare(), **family)


def sample(netlist: Netlist, prepare: BaseTransform, pairs: int = 32) -> Data:
    """A netlist, an and-inverter graph, as `Circuits` has them."""
    s = netlist.structure()
    pair_index, same = circuits.equal_pairs(netlist, pairs)
    data = Data(edge_index=s.edge_index, slot=s.slot, node_type=s.kind, num_nodes=len(netlist))
    data.update({"y": circuits.probabilities(netlist), "pair_index": pair_index, "pair_y": same.long()})
    return prepare(data if netlist.latches else AddLevels()(data))


def calculations(bits: int) -> dict[str, Netlist]:
    """Arithmetic circuits on two words, each built in two ways side by side, as in equivalence checking."""

    def built(*ways: Callable[[NetlistBuilder, list[int], list[int]], Sequence[int]]) -> Netlist:
        build = NetlistBuilder()
        a, b = build.word("a", bits), build.word("b", bits)
        build.outputs = [gate for way in ways for gate in way(build, a, b)]
        return circuits.to_aig(build.netlist())

    return {
        "adders": built(arithmetic.add_rippling, arithmetic.add_looking_ahead),
        "multipliers": built(arithmetic.multiply, lambda build, a, b: arithmetic.multiply(build, b, a)),
        "comparators": built(arithmetic.compare, arithmetic.subtract),
    }


def load(scale: Scale) -> tuple[learning.Samples, dict[str, list[Data]]]:
    """Circuits without latches to learn from, and the test sets by name."""
    samples = random_samples(scale)
    tests = {"as in train": samples.test, "larger": larger_samples(scale)}
    prepare = Prepare()
    for bits in scale.bits:
        for name, netlist in calculations(bits).items():
            tests.setdefault(name, []).append(sample(netlist, prepare))
    return samples, tests


def random_samples(scale: Scale, latches: bool = False) -> learning.Samples:
    """Random circuits in three parts."""
    train, val, test = (
        drawn(split, count, scale.gates, latches)
        for split, count in (("train", scale.train), ("val", scale.test // 2), ("test", scale.test))
    )
    return learning.Samples(train, val, test, scale.batch)


def larger_samples(scale: Scale, latches: bool = False) -> list[Data]:
    """Random circuits that are larger than those in training."""
    data = drawn("test", scale.test // 4, scale.larger, latches)
    return [data[i] for i in range(len(data))]


def by_median(samples: learning.Samples) -> Say:
    """For each gate the median of its kind in train; all pairs count as equal, as half of them are."""
    kind, y = (torch.cat([sample[name] for sample in samples.train]) for name in ("node_type", "y"))
    median = torch.stack(
        [y[kind == k].median() if (kind == k).any() else y.median() for k in range(models.KINDS)]
    )
    return lambda batch: models.Said(median[batch.node_type], torch.ones(batch.pair_y.shape).bool())


class Judged(NamedTuple):
    """Absolute errors of all gates `[N]`, their levels `[N]`, and which pairs were judged correctly `[P]`."""

    error: Tensor
    level: Tensor
    right: Tensor


def judge(say: Say, samples: list[Data], batch_size: int = 64) -> Judged:
    """Ask for a test set."""
    parts = []
    for batch in DataLoader(samples, batch_size):
        said = say(batch)
        level = models.level_in_cycle(gr.from_pyg(batch))
        parts.append(Judged((said.one - batch.y).abs(), level, said.same == (batch.pair_y == 1)))
    return Judged(*map(torch.cat, zip(*parts, strict=True)))


def draw_levels(judged: dict[str, Judged]) -> Any:
    """The mean error of the gates of each level that has enough of them."""
    fig = common.figure(9.5, 4.6)
    ax = fig.subplots()
    colours = iter(common.COLOURS)
    for name, (error, level, _) in judged.items():
        count = torch.bincount(level)
        mean = torch.bincount(level, error) / count
        shown = (count >= max(1, len(level) // 800)).nonzero().flatten()
        style = {"color": "black", "ls": "--"} if name == INDEPENDENT else {"color": next(colours)}
        ax.plot(shown, mean[shown], lw=1.6, label=name, **style)
    ax.axvline(models.ROUNDS, color="#B4BBC4", lw=1, zorder=0)
    note = {"textcoords": "offset points", "fontsize": 9, "color": "#69727C"}
    reach = f"from here on {models.ROUNDS} rounds\ndo not reach down to the inputs"
    ax.annotate(reach, (models.ROUNDS, 0), (5, 5), **note)
    ax.set(xlabel="level of the gate", ylabel="mean absolute error of its probability", ylim=(0, None))
    ax.set_title("random circuits that are larger than in training", fontsize=10, loc="left")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


def draw_circuit(netlist: Netlist, true: Tensor, said: Tensor, title: str) -> Any:
    """The circuit, its inputs lowest; each gate in two halves, true and predicted."""
    from matplotlib.markers import MarkerStyle

    fig = common.figure(9.5, 8)
    ax = fig.subplots()
    shown = {*netlist.inputs, *netlist.outputs}
    names = [name if gate in shown else None for gate, name in enumerate(netlist.names)]
    look: dict[str, Any] = {"sizes": 170, "limits": (0, 1), "fontsize": 9}
    nodes: Any = gr.viz.draw_tree(netlist.structure(), true, names, ax, **look)
    half: dict[str, Any] = {"marker": MarkerStyle("o", fillstyle="right"), "cmap": nodes.get_cmap(), "lw": 0}
    ax.scatter(*nodes.get_offsets().T, 130, said, vmin=0, vmax=1, zorder=nodes.get_zorder() + 1, **half)
    fig.colorbar(nodes, ax=ax, label="probability of being 1", shrink=0.6, aspect=30)
    error = (said - true).abs().mean()
    ax.set_title(
        f"{title}: left halves true, right halves predicted; mean error {error:.3f}", fontsize=10, loc="left"
    )
    return fig


def train(run: common.Run, name: str, build: Callable[[], models.Gates], samples: learning.Samples) -> Any:
    """Train a network, the best of its epochs by the error of probabilities."""
    folder = "".join(c if c.isalnum() else "_" for c in name.lower().replace("'", ""))
    rate = 3e-2 if run.args.quick else 6e-3
    pairs = any(len(sample["pair_y"]) for sample in samples.train)
    # The falling step size ends the training.
    patience = run.args.epochs
    return run.fit(
        folder, lambda: models.Teacher(build(), rate, pairs), samples, patience=patience, monitor="val_error"
    )


def compare(run: common.Run, scale: Scale) -> str:
    """Train and test all networks on circuits without latches; two tables, and the pictures."""
    samples, tests = load(scale)
    says: dict[str, Say] = {
        "median of the kind; equal": by_median(samples),
        INDEPENDENT: models.independent,
        f"{models.CODE} patterns simulated": models.simulated,
    }
    cost: dict[str, list[object]] = {name: [0, "–"] for name in says}
    for name, (updates, build) in models.networks(scale.hidden).items():
        teacher = train(run, name, build, samples)
        says[name] = teacher.network.say
        cost[name] = [f"{sum(p.numel() for p in teacher.parameters()):,}", updates]
    judged = {name: [judge(say, test) for test in tests.values()] for name, say in says.items()}
    draw_levels({name: judged[name][1] for name in PICTURED}).savefig(run.folder / "levels.png")
    adder = circuits.to_aig(circuits.ripple_adder(4))
    batch: Any = Batch.from_data_list([sample(adder, Prepare())])
    picture = draw_circuit(adder, batch.y, says[PLAIN](batch).one, f"an adder of 4 bits, {PLAIN}")
    picture.savefig(run.folder / "adder.png")
    errors = [[name, *cost[name], *(one.error.mean().item() for one in judged[name])] for name in says]
    pairs = [
        [name, *(f"{100 * one.right.mean(dtype=torch.float):.1f}" for one in judged[name])] for name in says
    ]
    return (
        f"{common.table(['mean absolute error', 'weights', 'updates', *tests], errors)}\n\n"
        f"{common.table(['pairs judged correctly, %', *tests], pairs)}"
    )


def compare_latches(run: common.Run, scale: Scale) -> str:
    """Train and test all networks on circuits with latches; a table."""
    samples = random_samples(scale, latches=True)
    tests = {"as in train": samples.test, "larger": larger_samples(scale, latches=True)}
    says: dict[str, Say] = {"median of the kind": by_median(samples), INDEPENDENT: models.independent}
    for name, build in models.latch_networks(scale.hidden).items():
        says[name] = train(run, name, build, samples).network.say
    rows = [
        [name, *(judge(say, test).error.mean().item() for test in tests.values())]
        for name, say in says.items()
    ]
    return common.table(["with latches: mean absolute error", *tests], rows)


def predict(run: common.Run, scale: Scale) -> str:
    """Train one network and predict how probable it is that each gate of a file is 1; a table of its outputs."""
    netlist = readable(run.args.netlist)
    if netlist.latches:
        name, build = SWEPT, models.latch_networks(scale.hidden)[SWEPT]
    else:
        name, build = PLAIN, models.networks(scale.hidden)[PLAIN][1]
    teacher = train(run, name, build, random_samples(scale, bool(netlist.latches)))
    batch: Any = Batch.from_data_list([sample(netlist, Prepare(), pairs=0)])
    said = {name: teacher.network.say(batch).one, INDEPENDENT: models.independent(batch).one}
    rows = [
        [netlist.names[gate], *(one[gate].item() for one in said.values()), batch.y[gate].item()]
        for gate in netlist.outputs or netlist.bad  # ABC writes one or the other
    ]
    errors = [(one - batch.y).abs().mean().item() for one in said.values()]
    rows.append([f"mean error of all {len(netlist):,} gates", *errors, "–"])
    return common.table([f"outputs of {run.args.netlist.name}", *said, "simulated"], rows)


def readable(path: Path) -> Netlist:
    """The and-inverter graph of a file."""
    netlist = circuits.to_aig(read_circuit(path))
    if not set(netlist.kinds) <= NUMBER.keys():
        raise ValueError(f"{path}: gates or outputs read constants, which the networks do not support.")
    return netlist


def readable_path(text: str) -> Path:
    """For --netlist: refuses a file before anything is trained."""
    try:
        readable(Path(text))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return Path(text)


def main(argv: list[str] | None = None) -> None:
    flags = common.parser(__doc__, name="circuits", epochs=9)
    flags.add_argument(
        "--netlist", type=readable_path, help="train one network and predict for this .bench, .aag or .aig"
    )
    run = common.start(flags, argv)
    scale = Scale()
    if run.args.quick:
        scale, run.args.epochs = QUICK, min(run.args.epochs, 2)
    tables = [predict] if run.args.netlist else [compare, compare_latches]
    run.finish("\n\n".join(table(run, scale) for table in tables))


if __name__ == "__main__":
    main()
