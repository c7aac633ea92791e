"""Gate-level circuits: read, written, built, drawn and simulated, and data sets of them.

Belongs here: what a circuit is and what its gates show. Does not: learning it.
"""

from .aig import to_aig
from .aiger import format_aiger, parse_aiger, read_aiger, write_aiger
from .arithmetic import array_multiplier, comparator, lookahead_adder, ripple_adder
from .bench import format_bench, parse_bench, read_bench, write_bench
from .builder import NetlistBuilder
from .dataset import CircuitFiles, Circuits, read_circuit
from .drawn import random_aig, random_datapath, random_sequential
from .netlist import CombinationalCycleError, Kind, Netlist
from .pairs import equal_pairs, equivalence_classes, signatures
from .sequential import counter, lfsr
from .simulation import (
    all_patterns,
    input_patterns,
    probabilities,
    random_patterns,
    simulate,
    simulate_cycles,
    state_probabilities,
)

__all__ = [
    "CircuitFiles",
    "Circuits",
    "CombinationalCycleError",
    "Kind",
    "Netlist",
    "NetlistBuilder",
    "all_patterns",
    "array_multiplier",
    "comparator",
    "counter",
    "equal_pairs",
    "equivalence_classes",
    "format_aiger",
    "format_bench",
    "input_patterns",
    "lfsr",
    "lookahead_adder",
    "parse_aiger",
    "parse_bench",
    "probabilities",
    "random_aig",
    "random_datapath",
    "random_patterns",
    "random_sequential",
    "read_aiger",
    "read_bench",
    "read_circuit",
    "ripple_adder",
    "signatures",
    "simulate",
    "simulate_cycles",
    "state_probabilities",
    "to_aig",
    "write_aiger",
    "write_bench",
]
