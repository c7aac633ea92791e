"""What torch's functions do to the columns of a program: one definition each, for recording and for compiling.

A function gets the side that it works for, `b`, which makes values: `Shapes` while a cell is recorded, when arrays
stand for shapes alone, or `Builder`, when they say which column of which value stands where.
"""

# (Each of these modules registers what it defines.)
from .elementwise import elementwise
from .products import linear
from .registry import OPERATIONS
from .rows import segment_sum
from .views import split

__all__ = ["OPERATIONS", "elementwise", "linear", "segment_sum", "split"]
