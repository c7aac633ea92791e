"""Batches: which samples go into one, how they are joined, and cones of one large graph.

Belongs here: loaders, samplers, mini-batches of a graph. Does not: what is done with a batch (train), structures
themselves (structure).
"""

from .balanced import BalancedSampler, Sizes, measure
from .cones import Cone, Cones
from .loader import DataLoader
from .samplers import InOrderSampler, Sampler, ShuffledSampler

__all__ = [
    "BalancedSampler",
    "Cone",
    "Cones",
    "DataLoader",
    "InOrderSampler",
    "Sampler",
    "ShuffledSampler",
    "Sizes",
    "measure",
]
