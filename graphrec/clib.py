"""The native library, built into a folder for temporary files. (A stand-in for the packaged one.)"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch  # noqa: F401

CSRC = Path(__file__).with_name("csrc")


@cache
def library() -> ctypes.CDLL | None:
    """The library, or None where there is none to use."""
    if os.environ.get("GRAPHREC_NATIVE") == "0" or shutil.which("g++") is None:
        return None
    sources = sorted(CSRC.glob("*.cpp"))
    text = b"".join(path.read_bytes() for path in sorted(CSRC.iterdir()))
    file = Path(tempfile.gettempdir()) / f"graphrec-{hashlib.sha256(text).hexdigest()[:16]}.so"
    if not file.exists():
        flags = ["-std=c++17", "-O3", "-fPIC", "-pthread", "-fvisibility=hidden"]
        made = file.with_suffix(f".{os.getpid()}")
        subprocess.run(["g++", *flags, "-shared", *map(str, sources), "-o", str(made)], check=True)
        made.replace(file)
    return ctypes.CDLL(str(file))
