"""Runs by programs as operators of torch, so that compiled and exported programs contain them.

Belongs here: the operators with their rules, and what of a run is traced around them. Does not: executors.
"""

from .entered import OperatorRun

__all__ = ["OperatorRun"]
