"""The native library, found beside this file: loaded once, or the reason why not. Without it all runs in PyTorch.

GRAPHREC_NATIVE=0 in the environment turns it off.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
from functools import cache
from pathlib import Path

import torch  # (first: the library shares the C++ and thread runtimes that torch brings)

# Of the interface, as `graphrec_version` of csrc/version.cpp returns it; both are raised together.
VERSION = 7
FILE = Path(__file__).with_name("_native.so")

# The entry that GCC's runtime has for a parallel region (LLVM's and Intel's have it, too), and what is asked in one.
_OF_OPENMP = ("GOMP_parallel", "omp_get_max_threads", "omp_get_num_threads", "omp_get_thread_num")


def library() -> ctypes.CDLL | None:
    """The library, or None where there is none to use; `why_not` then says why."""
    return _load()[0]


def why_not() -> str | None:
    """Why there is no library; None where there is one."""
    return _load()[1]


def instruction_set() -> str:
    """The processor's vector instructions that the library has chosen, as "avx2"; "" where it does not say."""
    found = library()
    if found is None or not hasattr(found, "graphrec_isa"):
        return ""
    found.graphrec_isa.restype = ctypes.c_char_p
    return found.graphrec_isa().decode()


def has_bf16() -> bool:
    """Whether the library multiplies in bfloat16: it was built for that, and the processor has the instructions."""
    found = library()
    return found is not None and bool(found.graphrec_has_bf16())


def say_if_missing() -> None:
    """Log one line where the library is missing and was not turned off.

    A log record and no warning: nothing is wrong with the user's program or with its numbers, and programs that turn
    warnings into errors go on. Python prints it to stderr where logging is not set up; the logger "graphrec" silences
    it. Worker processes leave it to the process that started them.
    """
    if why_not() and not _is_off() and multiprocessing.parent_process() is None:
        logging.getLogger("graphrec").warning(
            "graphrec runs without its native library, more slowly: %s. GRAPHREC_NATIVE=0 silences this line.",
            why_not(),
        )


@cache
def _load() -> tuple[ctypes.CDLL | None, str | None]:
    if _is_off():
        return None, "GRAPHREC_NATIVE=0 turns it off"
    if not FILE.exists():
        return None, f"it was not built ({FILE} is not there): install graphrec again, with a C++ compiler"
    try:
        found = ctypes.CDLL(str(FILE))
        version = found.graphrec_version()
    except (OSError, AttributeError) as error:  # not for this machine, damaged; not graphrec's
        return None, f"it cannot be loaded ({error}): install graphrec again"
    if version != VERSION:
        return None, f"{FILE} has version {version}, {VERSION} is needed: install graphrec again"
    if (functions := _of_openmp()) is not None and not _is_forked():
        found.graphrec_use_openmp(*functions)
    return found, None


def shares_threads() -> bool:
    """Whether the library runs on torch's own threads; it has a few of its own where torch's are not OpenMP's."""
    return library() is not None and _of_openmp() is not None and not _is_forked()


@cache
def _of_openmp() -> list[ctypes.c_void_p] | None:
    """The functions of the runtime whose threads torch runs on; None: it has others."""
    try:
        runtime = ctypes.CDLL(torch._C.__file__)  # (symbols are looked for in all that was loaded with it)
        return [ctypes.cast(getattr(runtime, name), ctypes.c_void_p) for name in _OF_OPENMP]
    except (OSError, AttributeError):
        return None


def _is_forked() -> bool:
    """Whether this process is a child of fork, where OpenMP's runtime would wait for threads that are gone.

    (Linux says so; elsewhere torch brings a runtime that begins anew.)
    """
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return bool(int(fields[6]) & 0x40)  # (the kernel's PF_FORKNOEXEC)


def _is_off() -> bool:
    return os.environ.get("GRAPHREC_NATIVE") == "0"
