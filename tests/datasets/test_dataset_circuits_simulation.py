"""Circuits that are built and what simulation says of them: against Python's integers, and gate by gate."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

import graphrec as gr
from graphrec.datasets.circuits import (
    Kind,
    Netlist,
    NetlistBuilder,
    all_patterns,
    array_multiplier,
    comparator,
    counter,
    format_aiger,
    input_patterns,
    lfsr,
    lookahead_adder,
    parse_aiger,
    parse_bench,
    probabilities,
    random_aig,
    random_datapath,
    random_patterns,
    random_sequential,
    ripple_adder,
    simulate,
    simulate_cycles,
    state_probabilities,
    to_aig,
)
from graphrec.datasets.circuits.simulation import count_ones

RULES = {
    Kind.BUF: all,
    Kind.NOT: lambda values: not values[0],
    Kind.AND: all,
    Kind.NAND: lambda values: not all(values),
    Kind.OR: any,
    Kind.NOR: lambda values: not any(values),
    Kind.XOR: lambda values: sum(values) % 2 == 1,
    Kind.XNOR: lambda values: sum(values) % 2 == 0,
}


def evaluate(netlist: Netlist, inputs: Sequence[int], state: Sequence[int] = ()) -> list[int]:
    """The value of each gate by its definition, one gate and one pattern at a time."""
    values: dict[int, int] = dict(zip(netlist.inputs, inputs, strict=True))
    values |= zip(netlist.latches, state, strict=True)

    def value(gate: int) -> int:
        if gate not in values:
            kind = netlist.kinds[gate]
            if kind in (Kind.CONST0, Kind.CONST1):
                values[gate] = int(kind == Kind.CONST1)
            else:
                values[gate] = int(RULES[kind]([value(source) for source in netlist.fanins[gate]]))
        return values[gate]

    return [value(gate) for gate in range(len(netlist))]


def bits(words: np.ndarray) -> np.ndarray:
    """`[N, W]` words as `[N, 64 W]` zeros and ones."""
    shifted = words[:, :, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)
    return shifted.reshape(words.shape[0], 64 * words.shape[1]).astype(int)


def numbers(rows: np.ndarray) -> list[int]:
    """What words `[bits, P]`, the lowest bit first, say."""
    return (rows * (1 << np.arange(rows.shape[0]))[:, None]).sum(axis=0).tolist()


def drawn() -> list[Netlist]:
    mixed = NetlistBuilder()  # all kinds, wide gates, the same fan-in twice
    a, b, c = mixed.word("a", 3)
    zero, one = mixed.gate(Kind.CONST0), mixed.gate(Kind.CONST1)
    for kind in (Kind.AND, Kind.NAND, Kind.OR, Kind.NOR, Kind.XOR, Kind.XNOR):
        wide = mixed.gate(kind, a, b, c, mixed.gate(Kind.NOT, b))
        mixed.gate(kind, wide, mixed.gate(kind, a, a), one)
        mixed.gate(kind, mixed.gate(Kind.BUF, wide), zero)
    machines = [random_sequential(3, latches, 50, latches) for latches in (1, 4, 8)]
    return [mixed.netlist(), random_aig(5, 70, 1), random_datapath(2, 3, 60, 2), *machines]


@pytest.mark.parametrize("netlist", drawn(), ids=repr)
def test_simulation_is_the_evaluation_of_each_gate(netlist: Netlist) -> None:
    inputs, latches = (
        random_patterns(len(netlist.inputs), 128, 1),
        random_patterns(len(netlist.latches), 128, 2),
    )
    values = bits(simulate(netlist, inputs, latches))
    shown, state = bits(inputs), bits(latches)
    for pattern in range(128):
        expected = evaluate(netlist, shown[:, pattern].tolist(), state[:, pattern].tolist())
        assert values[:, pattern].tolist() == expected


@pytest.mark.parametrize("netlist", drawn(), ids=repr)
def test_lowering_keeps_what_every_gate_shows(netlist: Netlist) -> None:
    lowered = to_aig(netlist)
    kinds = {Kind.INPUT, Kind.LATCH, Kind.AND, Kind.NOT, Kind.CONST0, Kind.CONST1}
    assert set(lowered.kinds) <= kinds
    assert all(len(fanins) <= 2 for fanins in lowered.fanins)
    inverted = [
        fanins for kind, fanins in zip(lowered.kinds, lowered.fanins, strict=True) if kind == Kind.NOT
    ]
    assert len(set(inverted)) == len(inverted), "one NOT per complement"
    inputs, latches = (
        random_patterns(len(netlist.inputs), 128, 1),
        random_patterns(len(netlist.latches), 128, 2),
    )
    before, after = simulate(netlist, inputs, latches), simulate(lowered, inputs, latches)
    assert (after[list(lowered.outputs)] == before[list(netlist.outputs)]).all()
    kept = [name for name in netlist.names if name in lowered.number]
    assert len(kept) > len(netlist.inputs)
    assert all((after[lowered.number[name]] == before[netlist.number[name]]).all() for name in kept)
    assert lowered.resets == netlist.resets
    read_before, read_after = ([n.fanins[latch][0] for latch in n.latches] for n in (netlist, lowered))
    assert (after[read_after] == before[read_before]).all()


def test_all_patterns_count() -> None:
    for inputs in (0, 1, 5, 6, 7, 9):
        words = all_patterns(inputs)
        assert words.shape == (inputs, max(1, 2**inputs // 64))
        counted = numbers(bits(words)) if inputs else [0] * 64
        assert counted == [p % 2**inputs for p in range(64 * words.shape[1])]


def test_ones_are_counted() -> None:
    words = random_patterns(3, 640)
    words[0, 0], words[1, 0] = 2**64 - 1, 0
    assert count_ones(words).tolist() == bits(words).sum(axis=1).tolist()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("build", [ripple_adder, lookahead_adder])
def test_adders_add(build, size: int) -> None:
    adder = build(size)
    patterns = all_patterns(2 * size)
    values, shown = bits(simulate(adder, patterns)), bits(patterns)
    assert [adder.names[gate] for gate in adder.outputs] == [f"s{bit}" for bit in range(size + 1)]
    a, b = numbers(shown[:size]), numbers(shown[size:])
    assert numbers(values[list(adder.outputs)]) == [x + y for x, y in zip(a, b, strict=True)]


def test_lookahead_is_shallow() -> None:
    assert ripple_adder(32).level.max() > 60
    assert lookahead_adder(32).level.max() < 15


@pytest.mark.parametrize("size", [2, 3, 4])
def test_multipliers_multiply(size: int) -> None:
    multiplier = array_multiplier(size)
    patterns = all_patterns(2 * size)
    values, shown = bits(simulate(multiplier, patterns)), bits(patterns)
    a, b = numbers(shown[:size]), numbers(shown[size:])
    assert len(multiplier.outputs) == 2 * size
    assert numbers(values[list(multiplier.outputs)]) == [x * y for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_comparators_compare(size: int) -> None:
    circuit = comparator(size)
    patterns = all_patterns(2 * size)
    values, shown = bits(simulate(circuit, patterns)), bits(patterns)
    a, b = numbers(shown[:size]), numbers(shown[size:])
    less, equal = (values[circuit.number[name]].tolist() for name in ("less", "equal"))
    assert less == [int(x < y) for x, y in zip(a, b, strict=True)]
    assert equal == [int(x == y) for x, y in zip(a, b, strict=True)]


def test_a_counter_counts_when_it_may() -> None:
    circuit = counter(4)
    enable = random_patterns(40, 64)[:, None]  # [T, 1, W]
    counted = np.zeros(64, dtype=int)
    for word, values in zip(enable, simulate_cycles(circuit, enable), strict=True):
        assert numbers(bits(values[list(circuit.outputs)])) == counted.tolist()
        counted = (counted + bits(word)[0]) % 16


@pytest.mark.parametrize("size", range(2, 13))
def test_feedback_registers_go_through_all_states(size: int) -> None:
    register = lfsr(size)
    period = 2**size - 1
    nothing = np.zeros((period + 1, 0, 1), dtype=np.uint64)
    states = [numbers(bits(v[list(register.outputs)]))[0] for v in simulate_cycles(register, nothing)]
    assert states[0] == states[-1] == 1
    assert len(set(states)) == period


def test_a_feedback_register_shifts_its_taps() -> None:
    register = lfsr(5, taps=(5, 2, 1))
    state = [1, 0, 0, 0, 0]
    for values in simulate_cycles(register, np.zeros((30, 0, 1), dtype=np.uint64)):
        assert bits(values[list(register.outputs)])[:, 0].tolist() == state
        state = [state[4] ^ state[1] ^ state[0], *state[:4]]


def test_probabilities_are_exact_for_few_inputs() -> None:
    adder = ripple_adder(3)
    rows = [evaluate(adder, [p >> i & 1 for i in range(6)]) for p in range(64)]
    assert probabilities(adder).tolist() == np.mean(rows, axis=0).tolist()
    few = parse_bench("INPUT(a)\nINPUT(b)\nINPUT(c)\ny = AND(a, b, c)\nz = vdd\n")
    assert probabilities(few).tolist() == [0.5, 0.5, 0.5, 0.125, 1.0]
    assert probabilities(few).dtype == torch.float32


def test_probabilities_of_many_inputs_are_estimates() -> None:
    wide = NetlistBuilder()
    word = wide.word("i", 40)
    wide.gate(Kind.AND, *word[:3])
    wide.gate(Kind.XOR, *word)
    netlist = wide.netlist()
    found = probabilities(netlist)
    assert found[-2:].tolist() == pytest.approx([0.125, 0.5], abs=0.015)
    assert torch.equal(found, probabilities(netlist))
    assert not torch.equal(found, probabilities(netlist, seed=1))
    assert input_patterns(40, 1000).shape == (40, 16)
    exact = probabilities(random_aig(8, 60, 5))
    assert torch.allclose(exact, probabilities(random_aig(8, 60, 5), exhaustive=0), atol=0.02)


def test_many_patterns_are_simulated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    netlist = random_aig(12, 100, 3)
    whole = probabilities(netlist)
    monkeypatch.setattr("graphrec.datasets.circuits.simulation._MOST_WORDS", 5 * len(netlist))
    assert torch.equal(whole, probabilities(netlist))


def test_states_have_probabilities() -> None:
    # A counter of two bits that always counts is in each state every fourth cycle.
    text = "q = DFF(n)\nn = NOT(q)\nr = DFF(x)\nx = XOR(r, q)\nboth = AND(q, r)\n"
    assert state_probabilities(parse_bench(text)).tolist() == [0.5, 0.5, 0.5, 0.5, 0.25]
    # A latch that holds its reset; one that may have started as either; one that keeps its first 1.
    held = parse_aiger("aag 5 1 3 1 1\n2\n4 4 1\n6 6 6\n8 11\n10\n10 9 3\n")
    found = state_probabilities(held)
    number = held.number
    assert float(found[number["l0"]]) == 1.0
    assert float(found[number["l1"]]) == pytest.approx(0.5, abs=0.1)
    assert float(found[number["l2"]]) == 1.0, "after the warm-up"
    assert float(state_probabilities(held, cycles=1, warmup=0)[number["l2"]]) == 0.0
    assert torch.equal(probabilities(held), found)
    assert torch.equal(state_probabilities(held), state_probabilities(held))


def test_state_probabilities_are_shares_of_cycles() -> None:
    netlist = random_sequential(2, 4, 40, 7)
    found = state_probabilities(netlist, cycles=20, warmup=5, streams=64, seed=3)
    rng = np.random.default_rng(3)
    rng.integers(0, 2**64, size=(4, 1), dtype=np.uint64)  # the states that resets replace
    words = [rng.integers(0, 2**64, size=(2, 1), dtype=np.uint64) for _ in range(25)]
    ones = np.zeros(len(netlist))
    for stream in range(64):
        state: Sequence[int] = [reset or 0 for reset in netlist.resets]
        for cycle, word in enumerate(words):
            values = evaluate(netlist, bits(word)[:, stream].tolist(), state)
            state = [values[netlist.fanins[latch][0]] for latch in netlist.latches]
            ones += np.array(values) * (cycle >= 5)
    assert found.tolist() == pytest.approx((ones / (64 * 20)).tolist(), abs=1e-6)


def test_a_long_chain_is_no_trouble() -> None:
    length = 100_000
    names = ("a", *(f"g{i}" for i in range(length)))
    chain = Netlist(
        names, (Kind.INPUT, *(Kind.NOT,) * length), ((), *((i,) for i in range(length))), (length,)
    )
    assert int(chain.level[-1]) == length
    values = simulate(chain, all_patterns(1))[:, 0]
    assert set(values[::2].tolist()) == {0xAAAAAAAAAAAAAAAA}
    assert set(values[1::2].tolist()) == {0x5555555555555555}
    assert len(to_aig(chain)) == 1, "an even number of NOTs"


def test_a_long_text_is_no_trouble() -> None:
    length = 10_000
    lines = [
        "INPUT(a)",
        *(f"g{i} = NAND({'a' if i == length else f'g{i + 1}'}, a)" for i in range(length + 1)),
    ]
    netlist = parse_bench("\n".join(lines))
    assert netlist.level[1:].tolist() == list(range(length + 1, 0, -1))
    again = parse_aiger(format_aiger(to_aig(netlist)))
    assert int(again.level.max()) == 2 * length + 1, "all but the last NAND are read, so inverted"


def test_structures_say_who_reads_whom() -> None:
    netlist = parse_bench("INPUT(a)\nq = DFF(y)\ny = NAND(q, a, q)\n")
    structure = netlist.structure()
    assert structure.edge_index.tolist() == [[2, 1, 0, 1], [1, 2, 2, 2]]
    assert structure.slot.tolist() == [0, 0, 1, 2]
    assert structure.kind is not None
    assert structure.kind.tolist() == [Kind.INPUT, Kind.LATCH, Kind.NAND]
    assert structure.tokens == ("a", "q", "y")
    data = netlist.to_pyg()
    assert data.node_type.tolist() == [0, 11, 6]
    assert gr.from_pyg(data) == structure
    with pytest.raises(gr.CycleError):
        gr.levels(structure)
    adder = ripple_adder(4)
    assert gr.levels(adder.structure()).tolist() == adder.level.tolist()


def test_kinds_have_lasting_numbers() -> None:
    names = ["INPUT", "CONST0", "CONST1", "BUF", "NOT", "AND", "NAND", "OR", "NOR", "XOR", "XNOR", "LATCH"]
    assert [kind.name for kind in Kind] == names
    assert [int(kind) for kind in Kind] == list(range(12))


@pytest.mark.parametrize("seed", range(5))
def test_random_graphs_are_as_promised(seed: int) -> None:
    netlist = random_aig(8, 120, seed)
    assert netlist == random_aig(8, 120, seed)
    assert netlist != random_aig(8, 120, seed + 5)
    assert 120 <= len(netlist) - 8 <= 124
    assert set(netlist.kinds) == {Kind.INPUT, Kind.AND, Kind.NOT}
    ands = [fanins for kind, fanins in zip(netlist.kinds, netlist.fanins, strict=True) if kind == Kind.AND]
    assert len({tuple(sorted(fanins)) for fanins in ands}) == len(ands)
    # No AND of a gate with itself or its complement.
    of = [netlist.fanins[g][0] if netlist.kinds[g] == Kind.NOT else g for g in range(len(netlist))]
    assert all(of[left] != of[right] for left, right in ands)
    read = {source for fanins in netlist.fanins for source in fanins}
    assert set(netlist.inputs) <= read
    assert set(netlist.outputs) == set(range(len(netlist))) - read
    share = probabilities(netlist)
    assert float(share.min()) > 0.01
    assert float(share.max()) < 0.99


def test_graphs_are_deep_where_fan_ins_are_recent() -> None:
    depth = [
        np.mean([random_aig(8, 150, seed, recent=recent).level.max() for seed in range(5)])
        for recent in (0.05, 0.25, 1.0)
    ]
    assert depth[0] > depth[1] > depth[2] > 8


def test_datapaths_and_machines_are_seeded() -> None:
    assert random_datapath(3, 4, 100, 1) == random_datapath(3, 4, 100, 1)
    assert random_datapath(3, 4, 100, 1) != random_datapath(3, 4, 100, 2)
    machines = [random_sequential(2, 6, 60, seed) for seed in range(12)]
    assert machines == [random_sequential(2, 6, 60, seed) for seed in range(12)]
    assert all(len(machine.latches) == 6 and len(machine.inputs) == 2 for machine in machines)
    assert any(Kind.XOR in machine.kinds for machine in machines), "counters and registers"
    assert any(Kind.XOR not in machine.kinds for machine in machines)


def test_machines_rarely_stand_still() -> None:
    found = [state_probabilities(random_sequential(4, 6, 80, seed), streams=64) for seed in range(40)]
    still = [float(((share == 0) | (share == 1)).float().mean()) for share in found]
    assert np.mean(still) < 0.18, "it is 0.23 where latches read any gate"


def test_datapaths_compute_their_second_ways_right() -> None:
    """Of each operation both ways, against integers."""
    from graphrec.datasets.circuits.drawn import _OPERATIONS

    size = 3
    patterns = all_patterns(2 * size)
    shown = bits(patterns)
    a, b = numbers(shown[:size]), numbers(shown[size:])
    expected = [
        [x + y for x, y in zip(a, b, strict=True)],
        [x - y for x, y in zip(a, b, strict=True)],
        [x * y for x, y in zip(a, b, strict=True)],
        [max(x, y) for x, y in zip(a, b, strict=True)],
        [x ^ y for x, y in zip(a, b, strict=True)],
    ]
    for ways, values in zip(_OPERATIONS, expected, strict=True):
        for way in ways:
            build = NetlistBuilder()
            word = way(build, build.word("a", size), build.word("b", size))[:size]
            got = numbers(bits(simulate(build.netlist(), patterns))[word])
            assert got == [value % 2**size for value in values]


def test_bad_numbers_are_refused() -> None:
    for build in (ripple_adder, lookahead_adder, comparator, counter):
        with pytest.raises(ValueError, match=r"bits must be 1 or more, got 0"):
            build(0)
    with pytest.raises(ValueError, match=r"bits must be 2 or more, got 1"):
        array_multiplier(1)
    with pytest.raises(ValueError, match=r"taps are known for 2 to 16 bits, got 17: give taps"):
        lfsr(17)
    with pytest.raises(ValueError, match=r"taps must be two or more of 1 to 4, got \[5, 1\]"):
        lfsr(4, (5, 1))
    with pytest.raises(ValueError, match=r"two or more inputs and one or more gates, got 1 and 5"):
        random_aig(1, 5)
    with pytest.raises(ValueError, match=r"recent and second must be shares up to 1, got 0 and 0.2"):
        random_aig(3, 5, recent=0)
    with pytest.raises(ValueError, match=r"one or more inputs, latches and gates, got 1, 0 and 5"):
        random_sequential(1, 0, 5)
    with pytest.raises(ValueError, match=r"two or more bits, one or more gates, got 2, 1 and 5"):
        random_datapath(2, 1, 5)
    with pytest.raises(ValueError, match=r"patterns must be uint64 words \[6, W\], got int64 \[6, 1\]"):
        simulate(ripple_adder(3), np.zeros((6, 1), dtype=np.int64))
    with pytest.raises(ValueError, match=r"patterns must be uint64 words \[6, W\], got uint64 \[5, 1\]"):
        simulate(ripple_adder(3), all_patterns(5))
    with pytest.raises(ValueError, match=r"state must be uint64 words \[4, 1\], got uint64 \[4, 2\]"):
        simulate(counter(4), all_patterns(1), random_patterns(4, 128))
    for name, numbers_ in (("cycles", {"cycles": 0}), ("streams", {"streams": 0})):
        with pytest.raises(ValueError, match=rf"{name} must be 1 or more, got 0"):
            state_probabilities(counter(2), **numbers_)
    with pytest.raises(ValueError, match=r"warmup must be 0 or more, got -1"):
        state_probabilities(counter(2), warmup=-1)
    with pytest.raises(ValueError, match=r"count must be 1 or more, got 0"):
        random_patterns(3, 0)


def test_drawing_leaves_the_random_numbers_of_others_alone() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002  # what is to be left alone
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    probabilities(random_sequential(2, 3, 30))
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    assert before == after
