"""How far two computations of the same thing may be apart: one table, by dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

RELATIVE_AND_ABSOLUTE: dict[torch.dtype, tuple[float, float]] = {
    torch.float64: (1e-9, 1e-11),
    torch.float32: (1e-4, 1e-5),
    torch.bfloat16: (5e-2, 5e-2),
    torch.float16: (1e-2, 1e-2),
}

# For torch.autograd.gradcheck and gradgradcheck, which compare with finite differences in float64.
GRADCHECK: dict[str, float] = {"eps": 1e-6, "atol": 1e-5, "rtol": 1e-3}


def assert_close(actual: Tensor, expected: Tensor, what: str = "values") -> None:
    """Same shape and dtype, and numbers as close as the table says."""
    relative, absolute = RELATIVE_AND_ABSOLUTE[expected.dtype]
    torch.testing.assert_close(actual, expected, rtol=relative, atol=absolute, msg=lambda m: f"{what}: {m}")


def assert_all_close(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """The same names, and a close tensor under each; None stands for a gradient of zero."""
    assert actual.keys() == expected.keys()
    for name in expected:
        one, other = actual[name], expected[name]
        if one is None and other is None:
            continue
        like: Any = one if other is None else other
        zero = torch.zeros_like(like)
        assert_close(zero if one is None else one, zero if other is None else other, name)
