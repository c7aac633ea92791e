"""Gate-level circuits for `circuits.py`: built, drawn and simulated, and a data set of them.

Files are read by `graphrec.io.circuits`.
"""

from . import arithmetic
from .arithmetic import ripple_adder
from .builder import NetlistBuilder
from .dataset import Circuits
from .lowering import to_aig
from .pairs import equal_pairs
from .simulation import probabilities

__all__ = [
    "Circuits",
    "NetlistBuilder",
    "arithmetic",
    "equal_pairs",
    "probabilities",
    "ripple_adder",
    "to_aig",
]
