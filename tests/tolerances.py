"""How close counts as equal, which `graphrec.testing` says for users' cells as well, and what tests alone need."""

from graphrec.testing.tolerances import GRADCHECK, RELATIVE_AND_ABSOLUTE, assert_all_close, assert_close

__all__ = ["BF16_PRODUCTS", "GRADCHECK", "RELATIVE_AND_ABSOLUTE", "assert_all_close", "assert_close"]

# The relative error, in norm, of float32 values and gradients whose products are computed in bfloat16.
BF16_PRODUCTS = 1e-2
