"""Mini-batches of one large graph: the nodes that reach some targets, and the edges on the way."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Data, HeteroData

from ..io.pyg import with_edges
from ..structure import EdgeFeatures, Structure
from ..structure.checks import as_count, as_flag, as_whole_numbers, check_layout
from ..structure.features import RelationFeatures
from .loader import DataLoader
from .samplers import InOrderSampler, ShuffledSampler

# PyG tells by the number of rows what belongs to edges, and where there are as many nodes by the name.
_OF_EDGES = {"slot", "edge_type", "edge_attr", "edge_weight"}
# Of the whole graph alone: a cone has levels of its own, and other graphs.
_NOT_OF_CONES = {"edge_index", "num_nodes", "level", "level_reversed", "ptr"}


class Cone(NamedTuple):
    """The cones of some target nodes as one structure.

    Attributes:
        structure: of n nodes and e edges, in the order in which they stand in the whole graph. Kinds, slots, relations,
            features, texts and graphs are those of the whole.
        node: `[n]` long, the number of each node in the whole graph: `x[cone.node]` are its rows.
        edge: `[e]` long, the number of each edge.
        target: `[t]` long, where the targets are in the structure, in the order in which they were given.
        distance: `[n]` long, how many edges lead from each node to the nearest target.
        is_cut: `[n]` bool, the nodes of which sources were left out, because they are too far away.
    """

    structure: Structure
    node: Tensor
    edge: Tensor
    target: Tensor
    distance: Tensor
    is_cut: Tensor


class Cones(Dataset[Any]):
    """Mini-batches of one large graph: to some target nodes all nodes within `depth` edges before them.

        cones = gr.loader.Cones(data, targets=data.train_mask.nonzero().flatten(), depth=3)
        for batch in cones.loader(batch_size=256, num_workers=2):
            loss = cross_entropy(model(batch.x, batch)[batch.target_index], batch.y[batch.target_index])

    An edge is in the cone of a target if it enters a node fewer than `depth` edges before it. **Exact**, in values and
    in all gradients at the targets, are cones

    - of at least as many edges as the longest path to a target, or `depth=None`, all ancestors: for every cell;
    - of k edges in k sync rounds, with cells that know of a source its state alone. A convolution that also reads the
      degrees of its sources (`GCNCell`) needs one edge more.

    Others are approximations: a node that was cut (`is_cut`) begins as one without sources does, with zero or with the
    initial state that the run is given. See docs/scaling.md for cut nodes that read stored states.

    As a data set it has one cone for each target: `cones[3]`; `cones[[3, 8]]` is one batch in which both share their
    common nodes, which are computed once. That is what `loader` makes. (A node that is cut for one target and not for
    another is not cut, so a result at a target may depend on the batch where cones are approximations. Separate
    cones, each as if alone, are those of `graphrec.DataLoader(cones, batch_size=...)`, from PyG's data.)

    A cone takes time linear in its nodes and in the edges that enter them, whatever the size of the graph.

    Args:
        source: the whole graph, a structure or PyG's `Data`.
        targets: `[t]` long, or a list: the nodes that a cone is wanted of; a mask `[N]` bool; None: all.
        depth: k, 0 or more; None: all ancestors.

    Raises:
        TypeError: neither a structure nor `Data`.
        ValueError: targets that are no nodes.
    """

    def __init__(self, source: Structure | Data, targets: Any = None, depth: int | None = None) -> None:
        self.source: Any = _checked(source)
        self.depth = None if depth is None else as_count("depth", depth)
        self.num_nodes = int(self.source.num_nodes or 0)
        self.targets = _as_nodes(targets, self.num_nodes)
        target = self.source.edge_index[1]
        # The edges by target, and in a target in the order in which they stand.
        self._by_target = torch.argsort(target, stable=True)
        self._sources = self.source.edge_index[0][self._by_target]
        degree = torch.bincount(target, minlength=self.num_nodes)
        self._first = torch.cat([degree.new_zeros(1), degree.cumsum(0)])
        self._local = threading.local()

    def __len__(self) -> int:
        """How many targets there are."""
        return len(self.targets)

    def __getitem__(self, index: int | Sequence[int] | Tensor) -> Cone | Data:
        """The cone of one target, or of several as one: of `Data` with all its attributes, and `n_id`, `e_id`,
        `target_index`, `distance` and `is_cut`, as `Cone` explains them; of a structure a `Cone`.
        """
        chosen = as_whole_numbers(
            index, "cones must be chosen by a whole number, or a list of them,"
        ).reshape(-1)
        odd = chosen[(chosen < -len(self)) | (chosen >= len(self))]
        if len(odd):
            # (An IndexError ends a loop over cones, as it does with any other data set.)
            raise IndexError(f"there is no cone {int(odd[0])}: there is one for each of {len(self)} targets.")
        return self.of(self.targets[chosen])

    def of(self, targets: Tensor) -> Cone | Data:
        """As above, of any nodes of the graph, `[t]` long."""
        targets = _as_nodes(targets, self.num_nodes)
        node, edge, distance = self._reached(targets)
        place = self._places()
        place[node] = torch.arange(len(node))
        edge_index, target = place[self.source.edge_index[:, edge]], place[targets]
        place[node] = -1
        kept = torch.bincount(edge_index[1], minlength=len(node))
        is_cut = kept < self._first[node + 1] - self._first[node]
        if isinstance(self.source, Structure):
            return Cone(_part(self.source, node, edge, edge_index), node, edge, target, distance, is_cut)
        data = _part_of_data(self.source, node, edge, edge_index)
        data.n_id, data.e_id, data.target_index = node, edge, target
        data.distance, data.is_cut = distance, is_cut
        return data

    def loader(self, batch_size: int, *, shuffle: bool = True, seed: int = 0, **options: Any) -> DataLoader:
        """Batches of so many targets each, whose cones share nodes; resumable, and dealt to processes.

        Args:
            batch_size: targets per batch.
            shuffle: in a new order in each epoch, by the seed; else as the targets stand.
            seed: of the order.
            options: of torch's `DataLoader`, such as `num_workers`.
        """
        kind = ShuffledSampler if as_flag("shuffle", shuffle) else InOrderSampler
        batches = kind(len(self), batch_size, seed=seed)
        return DataLoader(_Shared(self), batch_sampler=batches, collate_fn=_as_it_is, **options)

    def _reached(self, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The nodes of a cone, ascending, its edges, ascending, and the distance of each node."""
        place = self._places()
        layers, edges, frontier, number = [], [], torch.unique(targets), 0
        while len(frontier):
            place[frontier] = 0
            layers.append(frontier)
            if number == self.depth:
                break
            entering = self._entering(frontier)
            edges.append(self._by_target[entering])
            found = self._sources[entering]
            frontier, number = torch.unique(found[place[found] < 0]), number + 1
        node = torch.cat([targets[:0], *layers])
        place[node] = -1
        distance = torch.repeat_interleave(torch.tensor([len(layer) for layer in layers], dtype=torch.long))
        node, order = node.sort()
        return node, torch.cat([targets[:0], *edges]).sort().values, distance[order]

    def _entering(self, nodes: Tensor) -> Tensor:
        """Where the edges into some nodes stand, sorted by target."""
        first, count = self._first[nodes], self._first[nodes + 1] - self._first[nodes]
        before = count.cumsum(0) - count
        return torch.arange(int(count.sum())) + torch.repeat_interleave(first - before, count)

    def _places(self) -> Tensor:
        """`[N]`, a number for each node, -1 between two uses: made once for each thread, so that a cone does not cost
        as much as the graph."""
        if not hasattr(self._local, "places"):
            self._local.places = torch.full((self.num_nodes,), -1)
        return self._local.places

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_local": None}  # of this process

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "_local": threading.local()})


class _Shared(Dataset[Any]):
    """Cones as torch's loader wants them: a list of numbers is one sample."""

    def __init__(self, cones: Cones) -> None:
        self.cones = cones

    def __len__(self) -> int:
        return len(self.cones)

    def __getitems__(self, numbers: list[int]) -> Any:
        return self.cones[numbers]


def _as_it_is(batch: Any) -> Any:
    return batch


def _checked(source: Any) -> Structure | Data:
    if isinstance(source, HeteroData):
        raise TypeError(
            "Cones are of a structure or of PyG's Data, got HeteroData: graphrec.from_pyg(data) is a structure with "
            "its types as kinds and relations."
        )
    if not isinstance(source, Structure | Data):
        raise TypeError(f"Cones are of a structure or of PyG's Data, got {type(source).__name__}.")
    if isinstance(source, Data):
        source = with_edges(source)
        if source.edge_index is None:
            raise ValueError(f"expected PyG data with an edge_index, got {source}.")
    if source.edge_index.device.type != "cpu":
        raise ValueError(
            f"Cones are cut out on the CPU, got a graph on {source.edge_index.device}: leave it there, and move "
            f"batches, batch.to({str(source.edge_index.device)!r})."
        )
    return source


def _as_nodes(targets: Any, num_nodes: int) -> Tensor:
    if targets is None:
        return torch.arange(num_nodes)
    mask = _as_mask(targets)
    if mask is not None:
        if mask.shape != (num_nodes,):
            raise ValueError(f"a mask of targets has shape [{num_nodes}], got {tuple(mask.shape)}.")
        return mask.nonzero().flatten()
    given = as_whole_numbers(targets, "targets must be numbers of nodes, [t] long, or a mask [N]")
    if given.dim() != 1:
        raise ValueError(
            f"targets are numbers of nodes, [t] long, or a mask [N], got {given.dtype} of shape {tuple(given.shape)}."
        )
    odd = ((given < 0) | (given >= num_nodes)).nonzero().flatten()
    if len(odd):
        raise ValueError(f"target {int(given[odd[0]])} is no node: they are 0 to {num_nodes - 1}.")
    return given


def _as_mask(targets: Any) -> Tensor | None:
    """What is true or false for each node, if targets are that: a tensor, an array or a list."""
    if isinstance(targets, Tensor) and targets.dtype == torch.bool:
        check_layout("targets", targets)
        return targets
    if isinstance(targets, np.ndarray) and targets.dtype == np.bool_:
        return torch.tensor(targets.tolist(), dtype=torch.bool)
    if isinstance(targets, list | tuple) and targets and all(isinstance(one, bool) for one in targets):
        return torch.tensor(targets)
    return None


def _part(s: Structure, node: Tensor, edge: Tensor, edge_index: Tensor) -> Structure:
    """The structure of some of the nodes and edges."""
    of_edges: dict[str, Any] = {name: getattr(s, name) for name in ("slot", "relation", "edge_weight")}
    of_nodes: dict[str, Any] = {name: getattr(s, name) for name in ("kind", "past", "graph")}
    features = s.edge_attr
    return Structure(
        len(node),
        edge_index,
        **{name: _rows(rows, edge) for name, rows in of_edges.items()},
        **{name: _rows(rows, node) for name, rows in of_nodes.items()},
        edge_attr=_features(features, edge) if isinstance(features, EdgeFeatures) else _rows(features, edge),
        num_graphs=s.num_graphs,
        tokens=_rows(s.tokens, node),
        labels=_rows(s.labels, node),
        relation_names=s.relation_names,
        kind_names=s.kind_names,
    )


def _part_of_data(data: Data, node: Tensor, edge: Tensor, edge_index: Tensor) -> Data:
    """PyG's data of some of the nodes and edges; what belongs to neither is kept as it is."""
    part = type(data)(edge_index=edge_index, num_nodes=len(node))
    for name, value in data.to_dict().items():
        if name in _NOT_OF_CONES:
            continue
        if name in _OF_EDGES or data.is_edge_attr(name):
            part[name] = _rows(value, edge)
        elif data.is_node_attr(name):
            part[name] = _rows(value, node)
        else:
            part[name] = value
    return part


def _rows(rows: Any, chosen: Tensor) -> Any:
    """Some of the rows of a tensor, or of the entries of a list of texts."""
    if rows is None or isinstance(rows, Tensor):
        return None if rows is None else rows[chosen]
    return type(rows)(rows[i] for i in chosen.tolist())


def _features(features: EdgeFeatures, edge: Tensor) -> EdgeFeatures:
    """Those of some edges, ascending. (`EdgeFeatures.select` looks at all edges.)"""

    def of(part: RelationFeatures | None) -> RelationFeatures | None:
        if part is None or not len(part.edges):
            return part
        at = torch.searchsorted(part.edges, edge).clamp(max=len(part.edges) - 1)
        is_here = part.edges[at] == edge
        return RelationFeatures(is_here.nonzero().flatten(), part.rows[at[is_here]])

    return EdgeFeatures(len(edge), tuple(of(part) for part in features.relations))
