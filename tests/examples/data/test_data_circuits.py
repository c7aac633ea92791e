"""Pairs of gates, and a data set of circuits: labels against evaluation of every pattern, splits, batches."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from data.circuits import Circuits, NetlistBuilder, equal_pairs, probabilities, to_aig
from data.circuits.arithmetic import add_looking_ahead, add_rippling
from data.circuits.drawn import random_aig, random_sequential
from data.circuits.pairs import equivalence_classes, signatures
from data.circuits.simulation import all_patterns, simulate, state_probabilities
from data.circuits.split import split_of, wiring
from torch_geometric.data import InMemoryDataset
from torch_geometric.loader import DataLoader

import graphrec as gr
from graphrec.io.circuits import Kind, Netlist, parse_bench

SIZES = (20, 40)
FAMILIES = ("random", "sequential")


def tables(netlist: Netlist) -> list[bytes]:
    """What each gate shows for all values of inputs and latches."""
    inputs = len(netlist.inputs)
    patterns = all_patterns(inputs + len(netlist.latches))
    return [row.tobytes() for row in simulate(netlist, patterns[:inputs], patterns[inputs:])]


def both_adders(bits: int) -> tuple[Netlist, list[int], list[int]]:
    build = NetlistBuilder()
    a, b = build.word("a", bits), build.word("b", bits)
    sums = add_rippling(build, a, b), add_looking_ahead(build, a, b)
    return build.netlist(), *sums


def shuffled(netlist: Netlist, seed: int) -> Netlist:
    """The same circuit with other names, gates and fan-ins in another order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(netlist)).tolist()
    place = {gate: i for i, gate in enumerate(order)}
    resets = dict(zip(netlist.latches, netlist.resets, strict=True))
    return Netlist(
        tuple(f"n{i}" for i in range(len(order))),
        tuple(netlist.kinds[gate] for gate in order),
        tuple(tuple(place[source] for source in netlist.fanins[gate][::-1]) for gate in order),
        (),
        tuple(resets[gate] for gate in order if gate in resets),
    )


def test_two_adders_have_equal_sums() -> None:
    netlist, rippling, ahead = both_adders(4)
    group = equivalence_classes(signatures(netlist))
    assert group[rippling].tolist() == group[ahead].tolist()
    assert len(set(group[rippling].tolist())) == 5
    assert len(set(group.tolist())) == len(set(tables(netlist)))


@pytest.mark.parametrize(
    "netlist",
    [random_aig(8, 150, 1), both_adders(5)[0], to_aig(both_adders(4)[0]), random_sequential(3, 6, 120, 2)],
    ids=repr,
)
def test_half_of_the_pairs_are_equal_and_no_other(netlist: Netlist) -> None:
    pairs, equal = equal_pairs(netlist, 20)
    assert 4 <= pairs.shape[1] <= 20
    assert equal.shape == pairs.shape[1:]
    assert 2 * int(equal.sum()) == len(equal)
    assert len({frozenset(pair) for pair in pairs.t().tolist()}) == len(equal)
    table = tables(netlist)
    share = probabilities(netlist) if not netlist.latches else torch.full((len(netlist),), 0.5)
    for (one, other), same in zip(pairs.t().tolist(), equal.tolist(), strict=True):
        assert same == (table[one] == table[other])
        assert 0 < share[one] < 1
        if same and netlist.kinds[one] == netlist.kinds[other]:
            assert sorted(netlist.fanins[one]) != sorted(netlist.fanins[other]), "two copies"
    again = equal_pairs(netlist, 20)
    assert torch.equal(pairs, again[0])
    assert torch.equal(equal, again[1])
    assert not torch.equal(pairs, equal_pairs(netlist, 20, seed=1)[0])


def test_unequal_pairs_are_hard() -> None:
    netlist = random_aig(10, 400, 3)
    share = probabilities(netlist)
    pairs, equal = equal_pairs(netlist, 100)
    apart = (share[pairs[0]] - share[pairs[1]]).abs()[~equal]
    any_two = (share[:, None] - share).abs().mean()
    assert float(apart.mean()) < 0.1 * float(any_two)
    members = [set(pairs[:, equal == same].flatten().tolist()) for same in (True, False)]
    of_each = [len(set(pair) & members[0]) for pair in pairs[:, ~equal].t().tolist()]
    assert min(of_each) >= 1, "a gate of each unequal pair is in an equal one"


def test_there_may_be_no_pairs() -> None:
    pairs, equal = equal_pairs(parse_bench("INPUT(a)\nINPUT(b)\ny = AND(a, b)\nz = BUF(y)\n"), 10)
    assert pairs.shape == (2, 0)
    assert equal.shape == (0,)
    assert pairs.dtype == torch.long
    assert equal_pairs(random_aig(6, 50), 0)[0].shape == (2, 0)


def test_gates_that_never_change_are_in_no_pair() -> None:
    text = "INPUT(a)\nINPUT(b)\nm = NOT(a)\nn = NOT(b)\nx = AND(a, m)\ny = AND(b, n)\nv = OR(a, m)\nw = OR(b, n)\n"
    assert equal_pairs(parse_bench(text), 10)[0].shape == (2, 0)
    pairs, equal = equal_pairs(parse_bench(text + "p = NOR(m, n)\nq = AND(a, b)\n"), 10)
    assert {frozenset(pair) for pair in pairs[:, equal].t().tolist()} == {frozenset({8, 9})}
    assert not set(pairs.flatten().tolist()) & {4, 5, 6, 7}


def test_wiring_knows_a_circuit_in_any_order() -> None:
    for netlist in (random_aig(6, 50, 1), both_adders(3)[0], random_sequential(2, 5, 40, 3)):
        assert {wiring(shuffled(netlist, seed)) for seed in range(3)} == {wiring(netlist)}
    different = [random_aig(6, 50, seed) for seed in range(80)] + [
        random_sequential(2, 4, 30, s) for s in range(80)
    ]
    assert len({wiring(netlist) for netlist in different}) == 160
    text = "INPUT(a)\nINPUT(b)\nq = DFF(y)\ny = AND(a, b, q)\n"
    others = [text.replace("AND", "OR"), text.replace("b, q", "b, q, q"), text.replace("DFF(y)", "DFF(a)")]
    assert len({wiring(parse_bench(t)) for t in (text, *others)}) == 4
    ports = "INPUT(a)\nINPUT(b)\nINPUT(c)\nINPUT(d)\n"
    machine = ports + "q = DFF(x)\nr = DFF(y)\nx = AND(q, a)\ny = OR(r, b)\n"
    crossed = machine.replace("DFF(x)", "DFF(z)").replace("DFF(y)", "DFF(x)").replace("DFF(z)", "DFF(y)")
    apart = ports + "x = AND(a, b)\ny = AND(c, d)\nz = OR(x, y)\n"
    for one, other in ((machine, crossed), (apart, apart.replace("c, d", "a, d"))):
        assert wiring(parse_bench(one)) != wiring(parse_bench(other))


def test_no_two_splits_share_a_circuit() -> None:
    for family in FAMILIES:
        found = {}
        for split, seed in product(("train", "val", "test"), (0, 1)):
            dataset = Circuits(split, 4, SIZES, family, seed=seed, pairs=0)
            known_by = [wiring(dataset.netlist(sample.name)) for sample in dataset]
            assert len(set(known_by)) == 4, "no circuit twice"
            assert {split_of(wired) for wired in known_by} == {split}
            found[split, seed] = set(known_by)
        for split in ("train", "val", "test"):
            assert found[split, 0] != found[split, 1], "another seed, other circuits"


@pytest.mark.parametrize("aig", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_samples_are_circuits(family: str, aig: bool) -> None:
    dataset = Circuits("train", 6, SIZES, family, aig=aig, pairs=8, seed=3)
    assert len(dataset) == 6
    assert dataset.vocabulary == [kind.name for kind in Kind]
    assert dataset.classes == ["different", "equal"]
    for sample in dataset:
        netlist = dataset.netlist(sample.name)
        assert sample.num_nodes == len(netlist)
        assert SIZES[0] <= len(netlist) - len(netlist.inputs) - len(netlist.latches) <= SIZES[1]
        structure = gr.from_pyg(sample)
        assert structure == netlist.structure().replace(tokens=None, kind_names=None)
        assert bool(netlist.latches) == (family == "sequential")
        table = tables(netlist)
        equal = [table[one] == table[other] for one, other in sample.pair_index.t().tolist()]
        assert sample.pair_y.tolist() == equal
        expected = state_probabilities(netlist, seed=3) if netlist.latches else probabilities(netlist)
        assert torch.equal(sample.y, expected)
        if aig:
            assert set(netlist.kinds) <= {Kind.INPUT, Kind.LATCH, Kind.AND, Kind.NOT}
    assert sum(int(sample.pair_y.sum()) for sample in dataset) > 6
    assert ("level" in dataset[0]) == (family != "sequential")


def test_levels_and_slots_are_those_of_each_circuit(check_levels: Callable[[InMemoryDataset], None]) -> None:
    check_levels(Circuits("test", 6, SIZES))
    check_levels(Circuits("test", 1, SIZES))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_counts_gates_on(family: str) -> None:
    dataset = Circuits("val", 5, SIZES, family, pairs=6)
    (batch,) = DataLoader(dataset, batch_size=5)
    first = np.cumsum([0, *(sample.num_nodes for sample in dataset)]).tolist()
    for name in ("edge_index", "pair_index"):
        expected = torch.cat([sample[name] + n for sample, n in zip(dataset, first, strict=False)], dim=1)
        assert torch.equal(batch[name], expected)
    for name in ("y", "pair_y", "node_type", "slot"):
        assert torch.equal(batch[name], torch.cat([sample[name] for sample in dataset]))
    assert batch.name == [sample.name for sample in dataset]
    assert batch.num_nodes == first[-1]
    structure = gr.from_pyg(batch)
    assert structure.num_graphs == 5
    if family == "sequential":
        gr.schedule(structure, mode="sync", rounds=3)
    else:
        together = gr.levels(gr.batch([dataset.netlist(sample.name).structure() for sample in dataset]))
        assert torch.equal(gr.levels(structure), together)


def test_the_same_seed_gives_the_same_circuits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [sample.to_dict() for sample in Circuits("train", 5, SIZES, "sequential", seed=4)]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # drawn anew, not read
    again = [sample.to_dict() for sample in Circuits("train", 5, SIZES, "sequential", seed=4)]
    assert [sample.keys() for sample in first] == [sample.keys() for sample in again]
    for one, other in zip(first, again, strict=True):
        for name, value in one.items():
            assert (
                torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
            )
    names = [sample.name for sample in Circuits("train", 9, SIZES, "sequential", seed=4)]
    assert names[:5] == [sample["name"] for sample in first], "more circuits begin with the same"


def test_bad_wishes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"split must be one of train, val, test, got 'dev'"):
        Circuits("dev")
    with pytest.raises(ValueError, match=r"family must be one of random, sequential, got 'aig'"):
        Circuits(family="aig")
    with pytest.raises(ValueError, match=r"count must be 1 or more and pairs 0 or more, got 0 and 32"):
        Circuits(count=0)
    with pytest.raises(ValueError, match=r"gates must be \(fewest, most\) from 1 on, got \(5, 4\)"):
        Circuits(gates=(5, 4))
    with pytest.raises(
        ValueError, match=r"expected 5 different circuits of 1 to 1 gates, found \d+: ask for fewer"
    ):
        Circuits(count=5, gates=(1, 1))
