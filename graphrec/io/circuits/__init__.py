"""Gate-level circuits from files, AIGER and `.bench`, as structures with kinds, slots and names.

Belongs here: the formats, and what a circuit is. Does not: building, simulating or learning circuits
(`examples/data/circuits`).
"""

from .aiger import parse_aiger, read_aiger
from .and_inverter import AndInverterGraph
from .bench import parse_bench, read_bench
from .netlist import CombinationalCycleError, Kind, Netlist
from .reading import read_circuit

__all__ = [
    "AndInverterGraph",
    "CombinationalCycleError",
    "Kind",
    "Netlist",
    "parse_aiger",
    "parse_bench",
    "read_aiger",
    "read_bench",
    "read_circuit",
]
