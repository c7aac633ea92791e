"""The library once for each instruction set that this processor has."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import tempfile
from pathlib import Path

from graphrec import clib
from graphrec.cprogram import declare

ISAS = ("avx512", "avx2", "base")


@functools.cache
def loaded(isa: str) -> ctypes.CDLL | None:
    """A copy of the library of its own, which chose its kernels when it was loaded; None where it chose others."""
    copy = Path(tempfile.mkdtemp()) / f"{isa}.so"
    shutil.copy(clib.FILE, copy)
    before = os.environ.get("GRAPHREC_ISA")
    os.environ["GRAPHREC_ISA"] = isa
    try:
        library = declare(ctypes.CDLL(str(copy)))
    finally:
        shutil.rmtree(copy.parent)
        os.environ.pop("GRAPHREC_ISA")
        if before is not None:
            os.environ["GRAPHREC_ISA"] = before
    return library if library.graphrec_isa().decode() == isa else None
