"""Trees from rows, parents and edges are one tree, wherever they are made."""

import pytest
import torch

from graphrec.structure import TreeRows, tree_from_edges, tree_from_parents, tree_from_rows

WAYS = {
    "rows": lambda: tree_from_rows(TreeRows([2, 2, -1], [0, 1, 0], [None] * 3, [None] * 3)),
    "parents": lambda: tree_from_parents([2, 2, -1]),
    "edges": lambda: tree_from_edges(torch.tensor([[0, 1], [2, 2]], device="cpu")),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_one_tree(way, device):
    with torch.device(device):
        s = WAYS[way]()
    assert s.edge_index.tolist() == [[0, 1], [2, 2]]
    assert s.slot.tolist() == [0, 1]
    assert s.graph.tolist() == [0, 0, 0]
