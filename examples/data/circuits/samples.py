"""Samples made of circuits."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch_geometric.data import Batch, Data, InMemoryDataset

from graphrec.datasets import Samples
from graphrec.io.circuits import Kind, Netlist
from graphrec.transforms import AddLevels

from .pairs import equal_pairs
from .simulation import PATTERNS, probabilities

INFO = {"vocabulary": [kind.name for kind in Kind], "classes": ["different", "equal"]}


def store_circuits(netlists: Mapping[str, Netlist], pairs: int, seed: int, count: int = PATTERNS) -> Samples:
    """Store circuits by their names, with what is to be learned of them.

    All are combinational, and have levels, or all have latches, and have none: samples of a data set are alike.
    The levels of all are computed in one go, as they are the same in a disjoint union.
    """
    members = []
    for name, netlist in netlists.items():
        structure = netlist.structure()
        pair_index, equal = equal_pairs(netlist, pairs, seed, count=count)
        members.append(
            Data(
                edge_index=structure.edge_index,
                slot=structure.slot,
                node_type=structure.kind,
                y=probabilities(netlist, count, seed=seed),
                pair_index=pair_index,
                pair_y=equal.long(),
                name=name,
                num_nodes=len(netlist),
            )
        )
    if not any(netlist.latches for netlist in netlists.values()):
        whole = AddLevels()(Batch.from_data_list(members))
        sizes = [len(netlist) for netlist in netlists.values()]
        for attribute in ("level", "level_reversed"):
            for member, level in zip(members, torch.split(whole[attribute], sizes), strict=True):
                member[attribute] = level.clone()
    data, slices = InMemoryDataset.collate(members)
    assert isinstance(data, Data)  # as all members
    # PyG hands out the storage itself as the one sample.
    return Samples(data, slices or {"y": torch.tensor([0, data.num_nodes])}, INFO)
