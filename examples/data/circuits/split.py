"""Which split a circuit belongs to: that is in its wiring, so that no two splits share one, whatever was drawn when."""

from __future__ import annotations

import hashlib

import numpy as np

from graphrec.io.circuits import Netlist

from .simulation import groups

SPLITS = ("train", "val", "test")
_ROUNDS = 3  # how often what latches read is followed


def wiring(netlist: Netlist) -> bytes:
    """A checksum that does not change with names, the order of gates or that of fan-ins.

    Circuits that it cannot tell apart are taken for one: it knows of a gate what it is computed from (B. Weisfeiler and
    A. Leman, 1968) and of inputs and latches by how many they are read.
    """
    source = np.array([gate for reads in netlist.fanins for gate in reads], dtype=np.int64)
    readers = np.bincount(source, minlength=len(netlist)).astype(np.uint64)
    # The kind of a gate, the reset of a latch, the readers of what begins a path.
    own = _mixed(np.array(netlist.kinds, dtype=np.uint64))
    label = _mixed(own + readers)
    latches = list(netlist.latches)
    reads = [netlist.fanins[latch][0] for latch in latches]
    resets = np.array([2 if reset is None else reset for reset in netlist.resets], dtype=np.uint64)
    label[latches] = _mixed(label[latches] + resets)
    grouped = groups(netlist)
    for _ in range(_ROUNDS if latches else 1):
        for _, gates, fanins in grouped:
            label[gates] = _mixed(own[gates] + _mixed(label[fanins]).sum(axis=1, dtype=np.uint64))
        label[latches] = _mixed(label[latches] ^ label[reads])
    return hashlib.blake2b(np.sort(label).tobytes(), digest_size=16).digest()


def split_of(checksum: bytes) -> str:
    """Each split has a third of all circuits."""
    return SPLITS[int.from_bytes(checksum, "big") % len(SPLITS)]


def _mixed(words: np.ndarray) -> np.ndarray:
    """Every bit of each word depends on all of it: the last steps of SplitMix64 (G. Steele et al., OOPSLA 2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
