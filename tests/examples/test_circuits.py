"""The example on circuits: baselines and networks against plain loops and by hand, files, and the whole of it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from data import circuits
from data.circuits import drawn, simulation
from torch_geometric.data import Batch

import graphrec as gr
from graphrec.io.circuits import Kind, parse_bench

# n4 = a AND b; n5 = NOT n4; n6 = n4 AND n5, which is always 0; n7 = b AND a.
BENCH = "INPUT(a)\nINPUT(b)\nOUTPUT(n6)\nOUTPUT(n7)\nn4 = AND(a, b)\nn5 = NOT(n4)\nn6 = AND(n4, n5)\nn7 = AND(b, a)\n"


@pytest.fixture
def models(example):
    return example.models


@pytest.fixture
def small(example):
    """The circuit above, and pairs of its gates: n4 and n7 are equal, n4 and n5 are not."""
    data = example.sample(parse_bench(BENCH), example.Prepare(), pairs=0)
    data.pair_index, data.pair_y = torch.tensor([[2, 2], [5, 3]]), torch.tensor([1, 0])
    return data


@pytest.fixture
def batch(example):
    """Three random circuits of different depths."""
    prepare = example.Prepare()
    netlists = [drawn.random_aig(6, gates, seed=gates) for gates in (10, 20, 30)]
    return Batch.from_data_list([example.sample(netlist, prepare) for netlist in netlists])


@pytest.fixture
def machine(example):
    """A random circuit with latches."""
    netlist = circuits.to_aig(drawn.random_sequential(3, 4, 30, seed=1))
    return Batch.from_data_list([example.sample(netlist, example.Prepare(), pairs=0)])


def one_batch(*samples) -> Any:
    return Batch.from_data_list(list(samples))


def test_kinds_are_renumbered_and_codes_stand_where_gates_begin(models, small, machine):
    assert small.node_type.tolist() == [models.INPUT] * 2 + [models.AND, models.NOT, models.AND, models.AND]
    assert small.y.tolist() == [0.5, 0.5, 0.25, 0.75, 0.0, 0.25]
    assert small.code.shape == (6, models.CODE)
    assert set(small.code.unique().tolist()) == {-1.0, 1.0}
    for data in (small, machine):
        x = models.features(data.node_type, data.code)
        assert x.shape == (data.num_nodes, models.D)
        for kind, code, row in zip(data.node_type.tolist(), data.code, x, strict=True):
            assert row[: models.KINDS].nonzero().flatten().tolist() == [kind]
            shown = kind in (models.INPUT, models.LATCH)
            assert row[models.KINDS :].tolist() == (code.tolist() if shown else [0.0] * models.CODE)
    assert (machine.node_type == models.LATCH).sum() == 4


def test_independence_by_hand(models, small):
    said = models.independent(one_batch(small))
    assert said.one.tolist() == [0.5, 0.5, 0.25, 0.75, 0.25 * 0.75, 0.25]
    assert said.same.tolist() == [True, False]


def test_products_of_bits_are_a_simulation(models, batch):
    said = models.simulated(batch)
    first = 0
    for data in batch.to_data_list():
        bits = (data.code + 1) / 2
        shown = bits.clone()
        for gate in data.level.argsort().tolist():
            fanins = shown[data.edge_index[0, data.edge_index[1] == gate]]
            if data.node_type[gate] == models.NOT:
                shown[gate] = 1 - fanins[0]
            elif data.node_type[gate] == models.AND:
                shown[gate] = fanins[0] * fanins[1]
        torch.testing.assert_close(said.one[first : first + data.num_nodes], shown.mean(dim=1))
        first += data.num_nodes
    # Equal gates show the same whatever the patterns; most others do not for 24 of them.
    assert said.same[batch.pair_y == 1].all()
    assert not said.same[batch.pair_y == 0].all()


def test_a_latch_that_reads_its_own_complement_settles(example, models):
    netlist = parse_bench("INPUT(a)\nq = DFF(n)\nn = NOT(q)\ny = AND(a, q)\n")
    said = models.independent(one_batch(example.sample(netlist, example.Prepare(), pairs=0)))
    assert said.one.tolist() == pytest.approx([0.5, 0.5, 0.5, 0.25], abs=1e-3)


def test_calculations_are_right_in_both_ways(example):
    patterns = simulation.all_patterns(6)
    made = example.calculations(3)
    shown = {
        name: np.unpackbits(
            simulation.simulate(one, patterns)[list(one.outputs)].view(np.uint8), axis=1, bitorder="little"
        )
        for name, one in made.items()
    }  # [outputs, 64]
    a, b = np.arange(64) & 7, np.arange(64) >> 3
    places = 2 ** np.arange(6)[:, None]
    for way in (shown["adders"][:4], shown["adders"][4:]):
        assert ((way * places[:4]).sum(axis=0) == a + b).all()
    for way in (shown["multipliers"][:6], shown["multipliers"][6:]):
        assert ((way * places).sum(axis=0) == a * b).all()
    less, equal, *difference, no_borrow = shown["comparators"]
    assert (less == (a < b)).all()
    assert (equal == (a == b)).all()
    assert (no_borrow == (a >= b)).all()
    assert ((np.array(difference) * places[:3]).sum(axis=0) == (a - b) % 8).all()
    assert all(set(one.kinds) <= {Kind.INPUT, Kind.NOT, Kind.AND} for one in made.values())


def test_structures_made_of_others(models):
    # 0 and latch 1 → 2, 2 → 3 → latch 1
    kind = torch.tensor([models.INPUT, models.LATCH, models.AND, models.NOT])
    edge_index, slot = torch.tensor([[0, 1, 2, 3], [2, 2, 3, 1]]), torch.tensor([0, 1, 0, 0])
    s = gr.Structure(4, edge_index, slot, kind=kind)
    cut = models.without_latches(s)
    assert cut.edge_index.tolist() == [[0, 1, 2], [2, 2, 3]]
    assert cut.slot.tolist() == [0, 1, 0]
    assert models.level_in_cycle(s).tolist() == [0, 0, 1, 2]
    both = s.both_ways()
    assert both.edge_index.tolist() == [[0, 1, 2, 3, 2, 2, 3, 1], [2, 2, 3, 1, 0, 1, 2, 3]]
    assert both.relation is not None
    assert both.relation.tolist() == [0] * 4 + [1] * 4


def test_as_many_rounds_as_levels_are_one_sweep_in_order(models, small, batch):
    torch.manual_seed(0)
    cell = models.per_kind(gr.DVAECell, models.D, 7)
    for data in (one_batch(small), batch):  # the small one has levels 0 to 3
        x, s = models.features(data.node_type, data.code), gr.from_pyg(data)
        near = gr.levels(s) < 3
        with torch.no_grad():
            in_order = gr.Recursive(cell)(x, s)
            torch.testing.assert_close(models.Rounds(cell, None)(x, s), in_order)
            too_few = models.Rounds(cell, 3)(x, s)
        torch.testing.assert_close(too_few[near], in_order[near])
        assert not torch.isclose(too_few[~near], in_order[~near]).all(dim=1).any()


def check_network(models, network, batch, name):
    """Gradients reach all weights but those of pairs where there are none, and those by which inputs would read
    others, by which a NOT would attend to one of several, and by which latches that are cut off would read.
    """
    idle = [f"cells.{models.INPUT}.", f"cells.{models.NOT}.score", *["same."] * (not len(batch.pair_y))]
    if "cut" in name:
        idle += [f"cells.{models.LATCH}.{part}" for part in ("recurrent.weight", "gate", "map")]
    network.train()
    teacher = models.Teacher(network, 1e-3)
    teacher.loss(teacher(batch), teacher.targets(batch)).backward()
    for weights, p in network.named_parameters():
        if not any(part in weights for part in idle):
            assert p.grad is not None, (name, weights)
            assert p.grad.isfinite().all(), (name, weights)
            assert p.grad.any(), (name, weights)
    network.eval()
    return network.say(batch)


def test_every_network_learns_and_reads_circuits_one_by_one(models, batch):
    for name, (updates, build) in models.networks(5).items():
        torch.manual_seed(0)
        network = build()
        said = check_network(models, network, batch, name)
        assert said.one.shape == (batch.num_nodes,)
        assert said.same.shape == batch.pair_y.shape
        if updates == "levels":  # of the deepest circuit of the batch
            continue
        alone = [network.say(one_batch(data)) for data in batch.to_data_list()]
        torch.testing.assert_close(said.one, torch.cat([one.one for one in alone]))


def test_orders_differ_once_latches_are_read(models, machine):
    built = models.latch_networks(5)
    said = {}
    for name, build in built.items():
        torch.manual_seed(0)
        said[name] = check_network(models, build(), machine, name).one
    cut, others = said.pop(next(iter(said))), list(said.values())
    assert all((one - cut).abs().max() > 1e-6 for one in others)


def test_contracting_cells_contract_and_settle(models, machine):
    torch.manual_seed(0)
    network = models.latch_networks(5)["contracting cells, cycles to a fixed point"]()
    teacher = models.Teacher(network, 1e-3)
    cells = [module for module in network.modules() if isinstance(module, models.Contracting)]
    assert len(cells) == models.KINDS
    for cell in cells:
        assert (cell.recurrent.weight.abs().sum(dim=1) <= models.SHARE + 1e-5).all()
        cell.recurrent.weight.data[0] *= 10
        cell.recurrent.weight.data[1] *= 0.1
    kept = [cell.recurrent.weight[1].clone() for cell in cells]
    teacher.on_train_batch_end(None, None, 0)
    for cell, row in zip(cells, kept, strict=True):
        assert cell.recurrent.weight[0].abs().sum().item() == pytest.approx(models.SHARE)
        assert torch.equal(cell.recurrent.weight[1], row)

    x, s = models.features(machine.node_type, machine.code), gr.from_pyg(machine)
    model = network.encode
    with torch.no_grad():
        settled = model(x, s)
        again = gr.run(model.cell, gr.schedule(s, "sync", 1), x, model.cell.State(settled))[0]
    torch.testing.assert_close(again, settled, atol=2e-3, rtol=0)


def test_what_is_trained_and_judged_by_hand(example, models, small):
    batch = one_batch(small)
    network = models.Gates(torch.nn.Identity(), models.D)
    teacher = models.Teacher(network, 1e-3)
    y = teacher.targets(batch)
    assert y.tolist() == [[p, 0.0] for p in small.y.tolist()] + [[1.0, 1.0], [0.0, 1.0]]
    outputs = torch.tensor([0.0] * 6 + [2.0, 3.0])  # probabilities of 1/2, "equal" twice
    error = (0 + 0 + 0.25 + 0.25 + 0.5 + 0.25) / 6
    entropy = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(3))) / 2
    assert float(teacher.loss(outputs, y)) == pytest.approx(error + 0.3 * entropy)
    metrics = models.GateError(), models.PairAccuracy()
    for metric in metrics:
        metric.update(outputs, y)
    assert [float(metric.compute()) for metric in metrics] == [pytest.approx(error), 0.5]

    judged = example.judge(
        lambda b: models.Said(torch.full_like(b.y, 0.5), torch.tensor([True, True])), [small]
    )
    assert judged.error.tolist() == [0, 0, 0.25, 0.25, 0.5, 0.25]
    assert judged.level.tolist() == [0, 0, 1, 2, 3, 1]
    assert judged.right.tolist() == [True, False]


def test_medians_by_hand(example, small):
    samples = example.learning.Samples([small], [small], [small], 1)
    said = example.by_median(samples)(one_batch(small))
    assert said.one.tolist() == [0.5, 0.5, 0.25, 0.75, 0.25, 0.25]
    assert said.same.tolist() == [True, True]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.bench", "INPUT(a)\nINPUT(b)\ny = MAJ(a, b)\n", "line 3"),
        ("a.aag", "aag 3 2 0 1 1\n2\n4\n6\n6 2 8\n", "line 5"),
        ("a.bench", "INPUT(a)\nOUTPUT(y)\ny = vdd\n", "constants"),
        (
            "a.v",
            "module a;",
            "expected AIGER, which begins with 'aag ' or 'aig ', or a name that ends in .bench",
        ),
        ("a.aig", "aig 3 2 0 1 1\n6\n\x02", "byte 17"),
        ("a.bench", None, "No such file"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_done(example, tmp_path, capsys, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as ended:
        example.main(["--quick", "--netlist", str(tmp_path / name), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert said in message
    assert name in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sequential", [False, True])
def test_a_file_is_predicted_and_that_repeats_itself(example, tmp_path, sequential):
    path = tmp_path / "mine.bench"
    path.write_text(BENCH + ("OUTPUT(q)\nq = DFF(n5)\n" if sequential else ""))
    flags = ["--quick", "--netlist", str(path), "--out"]
    results = []
    for out in (tmp_path / "a", tmp_path / "b"):
        example.main([*flags, str(out)])
        results.append((out / "results.txt").read_text())
    assert results[0] == results[1]
    header, _, *rows = results[0].splitlines()
    assert header.startswith("outputs of mine.bench")
    assert [row.split()[0] for row in rows] == ["n6", "n7", *["q"] * sequential, "mean"]
    assert rows[0].split()[-2:] == ["0.188", "0.000"]


@pytest.mark.slow
def test_the_whole_of_it(tmp_path, run_quick):
    errors, pairs, latches = run_quick("circuits.py", tmp_path).split("\n\n")[:3]
    assert [len(part.splitlines()) for part in (errors, pairs, latches)] == [2 + 12, 2 + 12, 2 + 7]
    for name in ("levels.png", "adder.png"):
        assert (tmp_path / name).stat().st_size > 20_000
