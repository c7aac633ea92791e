"""Prefix trees: sequences that share what they have in common, and what belongs to which of them.

Belongs here: ways to write them, and the maps between rows of sequences and nodes. Does not: integer work on them
(structure), models.
"""

from .shared import SharedNodes
from .trie import Trie, trie

__all__ = ["SharedNodes", "Trie", "trie"]
