"""The library once for each instruction set that this processor has."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from graphrec.cprogram import declare

SOURCES = Path(__file__).parents[2] / "graphrec" / "csrc"
FLAGS = [
    "-O3",
    "-std=c++17",
    "-fPIC",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-pthread",
    "-fvisibility=hidden",
]
OF_ISA = {
    "_avx2.cpp": ["-mavx2", "-mfma"],
    "_avx512.cpp": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mprefer-vector-width=512"],
}
ISAS = ("avx512", "avx2", "base")


# Until graphrec.clib builds it: compiled here, once for each version of the sources.
@functools.cache
def built() -> Path:
    files = sorted(SOURCES.glob("*"))
    version = hashlib.sha256(b"".join(f.read_bytes() for f in files if f.is_file())).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"graphrec-native-{version}"
    library = folder / "libgraphrec.so"
    if not library.exists():
        folder.mkdir(exist_ok=True)
        objects = []
        for source in SOURCES.glob("*.cpp"):
            extra = next((flags for end, flags in OF_ISA.items() if source.name.endswith(end)), [])
            objects.append(str(folder / source.with_suffix(".o").name))
            subprocess.run(["g++", *FLAGS, *extra, "-c", str(source), "-o", objects[-1]], check=True)
        subprocess.run(["g++", "-shared", "-pthread", *objects, "-o", str(library)], check=True)
    return library


@functools.cache
def loaded(isa: str) -> ctypes.CDLL | None:
    """A copy of the library of its own, which chose its kernels when it was loaded; None where it chose others."""
    copy = Path(tempfile.mkdtemp()) / f"{isa}.so"
    shutil.copy(built(), copy)
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
