"""The two formats in which graphs with cycles are published, read strictly.

PyG's readers of them lose the last line of a file that does not end in a line feed and the last graphs where these
have no edges, add up the labels of an edge that is listed twice, and repair gaps among tested papers under the name
CiteSeer alone; where none of this is the case, what is read here is what they read.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.datasets import Planetoid, TUDataset
from torch_geometric.io import fs
from torch_geometric.utils import coalesce, remove_self_loops

VAL = 500  # papers that the public split chooses by


class TUFiles(TUDataset):
    """PyG's `TUDataset`, but for how the files are read."""

    def process(self) -> None:
        """Read the files, and keep what they say in the form that PyG reads again."""
        data, slices, sizes = read_tu(Path(self.raw_dir), self.name)
        fs.torch_save((data.to_dict(), slices, sizes, Data), self.processed_paths[0])


class PlanetoidFiles(Planetoid):
    """PyG's `Planetoid`, but for how the files are read."""

    def process(self) -> None:
        """Read the files, and keep what they say."""
        self.save([read_planetoid(Path(self.raw_dir), self.name.lower())], self.processed_paths[0])


def read_tu(folder: Path, name: str) -> tuple[Data, dict[str, Tensor], dict[str, int]]:
    """The graphs of a folder in the form of TUDataset, https://chrsmrrs.github.io/datasets/docs/format.

    Returns:
        Graphs in PyG's storage: `edge_index`, sorted, without loops and repeated edges; `x` and `edge_attr`, the
        attributes and then each column of labels one-hot, if there are any; `y`, the classes, numbered in the order of
        their labels. Where each graph begins. How many columns are attributes, and how many labels.

    Raises:
        ValueError: what cannot be right, with the file.
    """

    def read(part: str) -> Any:
        path = folder / f"{name}_{part}.txt"
        return _numbers(path) if path.is_file() else None

    indicator = read("graph_indicator")[:, 0].astype(np.int64) - 1
    by_graph = np.argsort(indicator, kind="stable")  # the format lists nodes graph by graph already
    graph, count = indicator[by_graph], len(indicator)
    labels = read("graph_labels")
    y = torch.from_numpy(np.unique(labels, return_inverse=True)[1].reshape(labels.shape)).squeeze(1)
    if count and not 0 <= graph[0] <= graph[-1] < len(y):
        raise ValueError(
            f"{name}_graph_indicator.txt names graphs from {graph[0] + 1} to {graph[-1] + 1}, but there are labels of "
            f"{len(y)}."
        )
    edges = read("A").astype(np.int64).reshape(-1, 2) - 1
    if edges.size and not 0 <= edges.min() <= edges.max() < count:
        raise ValueError(
            f"{name}_A.txt names a node that is none of the {count} in {name}_graph_indicator.txt."
        )
    place = np.empty_like(by_graph)
    place[by_graph] = np.arange(count)
    source, target = place[edges].T
    if (graph[source] != graph[target]).any():
        row = int((graph[source] != graph[target]).argmax())
        raise ValueError(f"{name}_A.txt, line {row + 1}: an edge between two graphs.")

    node = _columns(name, "node", read("node_attributes"), read("node_labels"), count)
    edge = _columns(name, "edge", read("edge_attributes"), read("edge_labels"), len(edges))
    key, first = np.unique(source * count + target, return_index=True)
    repeated = first[np.searchsorted(key, source * count + target)]
    if any((part[repeated] != part).any() for part in edge):
        raise ValueError(
            f"{name}_A.txt lists an edge twice, with different labels or attributes: keep one of them."
        )
    kept = first[source[first] != target[first]]

    start = np.concatenate([[0], np.bincount(graph, minlength=len(y)).cumsum()])
    edge_start = np.concatenate([[0], np.bincount(graph[source[kept]], minlength=len(y)).cumsum()])
    data = Data(
        edge_index=torch.from_numpy(np.stack([source, target])[:, kept] - start[graph[source[kept]]]), y=y
    )
    slices = {"edge_index": torch.from_numpy(edge_start), "y": torch.arange(len(y) + 1)}
    if sum(part.shape[1] for part in node):
        data.x = torch.from_numpy(np.concatenate(node, axis=1)[by_graph]).float()
        slices["x"] = torch.from_numpy(start)
    else:
        data.num_nodes = count
        data._num_nodes = np.diff(start).tolist()
    if sum(part.shape[1] for part in edge):
        data.edge_attr = torch.from_numpy(np.concatenate(edge, axis=1)[kept]).float()
        slices["edge_attr"] = slices["edge_index"]
    widths = [part.shape[1] for part in (*node, *edge)]
    of = ("num_node_attributes", "num_node_labels", "num_edge_attributes", "num_edge_labels")
    return data, slices, dict(zip(of, widths, strict=True))


def _numbers(path: Path) -> np.ndarray:
    """`[rows, columns]`: the numbers of a file with commas between them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*input contained no data", UserWarning)
        try:
            return np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8-sig")
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error


def _columns(
    name: str, what: str, attributes: np.ndarray | None, labels: np.ndarray | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Attributes, and labels one-hot, column by column; `[count, 0]` where there are none."""
    for part, rows in (("attributes", attributes), ("labels", labels)):
        if rows is not None and len(rows) != count:
            raise ValueError(
                f"{name}_{what}_{part}.txt has {len(rows)} lines, but there are {count} {what}s."
            )
    none = np.zeros((count, 0))
    if labels is None or not count:
        return none if attributes is None else attributes, none
    numbers = (labels - labels.min(axis=0)).astype(np.int64)
    hot = [np.eye(int(column.max()) + 1)[column] for column in numbers.T]
    return none if attributes is None else attributes, np.concatenate(hot, axis=1)


def read_planetoid(folder: Path, name: str) -> Data:
    """The graph of a folder in the form of Planetoid, github.com/kimiyoung/planetoid, with its public split.

    Papers that are tested may have gaps among their numbers: papers without words, label and citations (in CiteSeer).
    Loops and repeated citations are left out.
    """

    def read(part: str) -> Any:
        with warnings.catch_warnings():  # scipy's matrices were pickled under an older name of their module
            warnings.filterwarnings("ignore", ".*scipy.sparse.*", DeprecationWarning)
            rows = pickle.loads((folder / f"ind.{name}.{part}").read_bytes(), encoding="latin1")
        return torch.from_numpy(np.asarray(rows.todense() if hasattr(rows, "todense") else rows)).float()

    citations: Mapping[int, list[int]] = pickle.loads((folder / f"ind.{name}.graph").read_bytes())
    tested = torch.from_numpy(_numbers(folder / f"ind.{name}.test.index")[:, 0].astype(np.int64))
    words, hot = read("allx"), read("ally")
    count = max([len(citations), len(words), *(tested + 1).tolist()])
    x, y = words.new_zeros(count, words.shape[1]), torch.zeros(count, dtype=torch.long)
    x[: len(words)], y[: len(words)] = words, hot.argmax(1)
    x[tested], y[tested] = read("tx"), read("ty").argmax(1)

    source = [paper for paper, cited in citations.items() for _ in cited]
    target = [other for cited in citations.values() for other in cited]
    edge_index = torch.tensor([source, target], dtype=torch.long)
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < count:
        raise ValueError(f"ind.{name}.graph names a paper that is none of the {count}.")
    edge_index = coalesce(remove_self_loops(edge_index)[0], num_nodes=count, sort_by_row=False)
    known = len(read("y"))
    number = torch.arange(count)
    return Data(
        x=x,
        edge_index=edge_index,
        y=y,
        train_mask=number < known,
        val_mask=(number >= known) & (number < min(known + VAL, len(words))),
        test_mask=torch.zeros(count, dtype=torch.bool).index_fill(0, tested, True),
    )
