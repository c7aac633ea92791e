"""What torch's functions do to the columns of a program: one definition each, for recording and for compiling.

A function gets the side that it works for, `b`, which makes values: `Shapes` while a cell is recorded, when arrays
stand for shapes alone, or `Builder`, when they say which column of which value stands where.
"""

from . import elementwise, products, rows, views  # (they register what they define)
from .registry import OPERATIONS

__all__ = ["OPERATIONS", "elementwise", "products", "rows", "views"]
