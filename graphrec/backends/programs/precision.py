"""Whether products of float32 are computed in bfloat16: torch's own setting says so."""

from __future__ import annotations

import torch

from ... import clib
from ...cprogram import DOUBLES, FLOATS, FLOATS_BY_BF16


def is_bf16_asked_for() -> bool:
    """Whether torch is told to: `set_float32_matmul_precision("medium")`, or `backends.mkldnn.matmul.fp32_precision`.

    The first sets the second, and so do the settings for all operators and for all backends.
    """
    of_products = getattr(torch.backends.mkldnn, "matmul", None)  # (since torch 2.9)
    if of_products is None:
        return torch.get_float32_matmul_precision() == "medium"
    return of_products.fp32_precision == "bf16"


def is_bf16_used() -> bool:
    """Whether it is asked for, and the native library can do it here."""
    return is_bf16_asked_for() and clib.has_bf16()


def numbers_of(dtype: torch.dtype) -> int:
    """As the library takes them; the setting is read at every call."""
    if dtype == torch.float64:
        return DOUBLES
    return FLOATS_BY_BF16 if is_bf16_used() else FLOATS
