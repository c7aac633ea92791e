"""Assertions that several tests make."""


def assert_edges(structure, edges):
    """`edges` are `(source, target, slot)`, in any order."""
    found = zip(*structure.edge_index.tolist(), structure.slot.tolist(), strict=True)
    assert sorted(found) == sorted(edges)
