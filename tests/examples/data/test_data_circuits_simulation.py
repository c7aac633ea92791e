"""Circuits that are built and what simulation says of them: against Python's integers, and gate by gate."""

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
import torch
from data.circuits import NetlistBuilder, arithmetic, lowering, probabilities, ripple_adder, to_aig
from data.circuits.drawn import random_aig, random_sequential
from data.circuits.sequential import count_up, shift_with_feedback
from data.circuits.simulation import (
    all_patterns,
    count_ones,
    input_patterns,
    levels,
    random_patterns,
    simulate,
    simulate_cycles,
    state_probabilities,
)

from graphrec.io.circuits import Kind, Netlist, parse_aiger, parse_bench

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
    return [mixed.netlist(), random_aig(5, 70, 1), ripple_adder(4), *machines]


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


def calculation(way: Callable[[NetlistBuilder, list[int], list[int]], Sequence[int]], size: int) -> Netlist:
    build = NetlistBuilder()
    build.outputs = list(way(build, build.word("a", size), build.word("b", size)))
    return build.netlist()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("way", [arithmetic.add_rippling, arithmetic.add_looking_ahead])
def test_adders_add(way, size: int) -> None:
    adder = calculation(way, size)
    patterns = all_patterns(2 * size)
    values, shown = bits(simulate(adder, patterns)), bits(patterns)
    assert len(adder.outputs) == size + 1
    a, b = numbers(shown[:size]), numbers(shown[size:])
    assert numbers(values[list(adder.outputs)]) == [x + y for x, y in zip(a, b, strict=True)]


def test_lookahead_is_shallow() -> None:
    assert int(levels(ripple_adder(32)).max()) > 60
    assert int(levels(calculation(arithmetic.add_looking_ahead, 32)).max()) < 15


@pytest.mark.parametrize("size", [2, 3, 4])
def test_multipliers_multiply(size: int) -> None:
    multiplier = calculation(arithmetic.multiply, size)
    patterns = all_patterns(2 * size)
    values, shown = bits(simulate(multiplier, patterns)), bits(patterns)
    a, b = numbers(shown[:size]), numbers(shown[size:])
    assert len(multiplier.outputs) == 2 * size
    assert numbers(values[list(multiplier.outputs)]) == [x * y for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_comparators_compare(size: int) -> None:
    circuit = calculation(arithmetic.compare, size)
    patterns = all_patterns(2 * size)
    values, shown = bits(simulate(circuit, patterns)), bits(patterns)
    a, b = numbers(shown[:size]), numbers(shown[size:])
    less, equal = (values[gate].tolist() for gate in circuit.outputs)
    assert less == [int(x < y) for x, y in zip(a, b, strict=True)]
    assert equal == [int(x == y) for x, y in zip(a, b, strict=True)]


def test_a_counter_counts_when_it_may() -> None:
    build = NetlistBuilder()
    build.outputs = count_up(build, build.input("enable"), 4)
    circuit = build.netlist()
    enable = random_patterns(40, 64)[:, None]  # [T, 1, W]
    counted = np.zeros(64, dtype=int)
    for word, values in zip(enable, simulate_cycles(circuit, enable), strict=True):
        assert numbers(bits(values[list(circuit.outputs)])) == counted.tolist()
        counted = (counted + bits(word)[0]) % 16


@pytest.mark.parametrize("size", range(2, 13))
def test_feedback_registers_go_through_all_states(size: int) -> None:
    build = NetlistBuilder()
    build.outputs = shift_with_feedback(build, size)
    register = build.netlist()
    period = 2**size - 1
    nothing = np.zeros((period + 1, 0, 1), dtype=np.uint64)
    states = [numbers(bits(v[list(register.outputs)]))[0] for v in simulate_cycles(register, nothing)]
    assert states[0] == states[-1] == 1
    assert len(set(states)) == period


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
    monkeypatch.setattr("data.circuits.simulation._MOST_WORDS", 5 * len(netlist))
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
    assert int(levels(chain)[-1]) == length
    values = simulate(chain, all_patterns(1))[:, 0]
    assert set(values[::2].tolist()) == {0xAAAAAAAAAAAAAAAA}
    assert set(values[1::2].tolist()) == {0x5555555555555555}
    assert len(to_aig(chain)) == 1, "an even number of NOTs"


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
        np.mean([int(levels(random_aig(8, 150, seed, recent=recent)).max()) for seed in range(5)])
        for recent in (0.05, 0.25, 1.0)
    ]
    assert depth[0] > depth[1] > depth[2] > 8


def test_machines_are_seeded() -> None:
    machines = [random_sequential(2, 6, 60, seed) for seed in range(12)]
    assert machines == [random_sequential(2, 6, 60, seed) for seed in range(12)]
    assert all(len(machine.latches) == 6 and len(machine.inputs) == 2 for machine in machines)
    assert any(Kind.XOR in machine.kinds for machine in machines), "counters and registers"
    assert any(Kind.XOR not in machine.kinds for machine in machines)


def test_machines_rarely_stand_still() -> None:
    found = [state_probabilities(random_sequential(4, 6, 80, seed), streams=64) for seed in range(40)]
    still = [float(((share == 0) | (share == 1)).float().mean()) for share in found]
    assert np.mean(still) < 0.18, "it is 0.23 where latches read any gate"


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bits must be 1 or more, got 0"):
        ripple_adder(0)
    with pytest.raises(ValueError, match=r"taps are known for 2 to 16 bits, got 17"):
        shift_with_feedback(NetlistBuilder(), 17)
    with pytest.raises(ValueError, match=r"two or more inputs and one or more gates, got 1 and 5"):
        random_aig(1, 5)
    with pytest.raises(ValueError, match=r"recent and second must be shares up to 1, got 0 and 0.2"):
        random_aig(3, 5, recent=0)
    with pytest.raises(ValueError, match=r"one or more inputs, latches and gates, got 1, 0 and 5"):
        random_sequential(1, 0, 5)
    with pytest.raises(ValueError, match=r"patterns must be uint64 words \[6, W\], got int64 \[6, 1\]"):
        simulate(ripple_adder(3), np.zeros((6, 1), dtype=np.int64))
    with pytest.raises(ValueError, match=r"patterns must be uint64 words \[6, W\], got uint64 \[5, 1\]"):
        simulate(ripple_adder(3), all_patterns(5))
    with pytest.raises(ValueError, match=r"state must be uint64 words \[4, 1\], got uint64 \[4, 2\]"):
        simulate(random_sequential(1, 4, 9), all_patterns(1), random_patterns(4, 128))
    for name, numbers_ in (("cycles", {"cycles": 0}), ("streams", {"streams": 0})):
        with pytest.raises(ValueError, match=rf"{name} must be 1 or more, got 0"):
            state_probabilities(random_sequential(1, 2, 9), **numbers_)
    with pytest.raises(ValueError, match=r"warmup must be 0 or more, got -1"):
        state_probabilities(random_sequential(1, 2, 9), warmup=-1)
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


class Queue(deque[int]):
    """Counts what is moved."""

    moved = 0

    def __init__(self, items: Iterable[int]) -> None:
        super().__init__(items)
        Queue.moved += len(self)

    def popleft(self) -> int:
        Queue.moved += 1
        return super().popleft()

    def append(self, item: int) -> None:
        Queue.moved += 1
        super().append(item)


@pytest.mark.parametrize("word", ["AND", "NOR", "XNOR"])
def test_lowering_a_wide_gate_moves_each_literal_a_few_times(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lowering, "deque", Queue)
    moved = {}
    for width in (500, 1000, 2000):
        Queue.moved = 0
        names = [f"i{place}" for place in range(width)]
        text = "".join(f"INPUT({name})\n" for name in names) + f"OUTPUT(y)\ny = {word}({', '.join(names)})\n"
        lowered = to_aig(parse_bench(text))
        moved[width] = Queue.moved
        assert int(levels(lowered).max()) < 50, "a balanced tree"
    assert 0 < moved[1000] - moved[500] <= 4 * 500
    assert moved[2000] - moved[1000] == 2 * (moved[1000] - moved[500])


def test_lowering_keeps_bad_states_and_symbols() -> None:
    read = parse_aiger(b"aig 6 2 1 0 3 1 0\n13 6\n6\n\x02\x02\x03\x02\x01\x02i0 set\nb0 out\n")
    lowered = to_aig(read)
    assert (lowered.outputs, len(lowered.bad), lowered.symbols) == ((), 1, read.symbols)
    assert lowered.resets == read.resets == (None,)
