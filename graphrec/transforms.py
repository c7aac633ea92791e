"""PyG transforms."""

from __future__ import annotations

from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from .io import from_pyg
from .schedule import levels


class AddLevels(BaseTransform):
    """Store on a sample what its schedule needs, so that compiling a batch of samples walks no graph again.

    Adds `slot` `[E]` (where it is missing), `level` and `level_reversed` `[N]`, all long: the arguments that
    edges fill, and the topological level of each node upwards and downwards. PyG's `DataLoader` collates them like
    any attribute, and `graphrec.from_pyg` finds them on the batch. Use it as `pre_transform` of a dataset.

    Raises:
        CycleError: the sample has a cycle.
    """

    def forward(self, data: Data) -> Data:
        """`data`, with the three attributes."""
        structure = from_pyg(data)
        data.slot = structure.slot
        data.level = levels(structure)
        data.level_reversed = levels(structure.reverse())
        return data
