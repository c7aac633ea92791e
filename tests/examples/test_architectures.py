"""The example on architectures: what networks read, against plain loops, and the whole of it on invented ones."""

import math
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

from graphrec.datasets import ENAS


@pytest.fixture
def samples(example, tmp_path):
    """Three architectures, two of them with the same edges and accuracy."""
    lines = ["[[1], [4, 0], [5, 0, 1], [0, 1, 1, 0], [2, 0, 1, 0, 0], [3, 1, 0, 0, 0, 1]], 0.73"]
    lines += ["[[0], [0, 0], [1, 0, 0], [0, 0, 0, 0], [4, 0, 0, 0, 0], [3, 0, 0, 0, 0, 1]], 0.74"]
    lines += ["[[2], [3, 0], [5, 0, 0], [2, 0, 0, 0], [1, 0, 0, 0, 0], [3, 0, 0, 0, 0, 1]], 0.74"]
    (tmp_path / example.FILE).write_text("".join(f"{line}\n" for line in [*lines, lines[0]]))
    prepare = Compose([example.Standardise(0.73, 0.01), example.Positions()])
    data = ENAS(tmp_path, "train", 0, prepare)
    drawn: list[Any] = [data[i] for i in range(3)]
    return sorted(drawn, key=lambda sample: sample.node_type.tolist())


@pytest.fixture
def batch(samples):
    return Batch.from_data_list(samples)


def test_accuracies_are_standardised(samples):
    assert {round(float(sample.y), 4) for sample in samples} == {0.0, 1.0}


def test_edges_are_the_same_whatever_the_operations(example, samples):
    by_edges = {example.edges(sample): float(sample.y) for sample in samples}
    assert len(by_edges) == 2
    for sample in samples:
        assert by_edges[example.edges(sample)] == float(sample.y)


def test_baselines_by_hand(example, samples, batch):
    counts, bits = example.Counts()(batch), example.Bits()(batch)
    assert counts.shape == (3, example.D)
    assert bits.shape == (3, example.Bits.width)
    for sample, count, row in zip(samples, counts, bits, strict=True):
        assert count.tolist() == torch.bincount(sample.node_type, minlength=8).tolist()
        for v, (kind, adjacency) in enumerate(row.view(8, 2, 8)):
            assert kind.nonzero().flatten().tolist() == [int(sample.node_type[v])]
            sources = sample.edge_index[0, sample.edge_index[1] == v]
            assert adjacency.nonzero().flatten().tolist() == sorted(sources.tolist())


def gated_sums(cell, sample, reverse):
    """D-VAE's encoder vertex by vertex, as its authors wrote it; the state of the last one."""
    source, target = sample.edge_index.flip(0) if reverse else sample.edge_index
    x, position = torch.eye(8)[sample.node_type], torch.eye(8)
    gru = torch.nn.GRUCell(8, cell.hidden)
    gru.weight_ih.data, gru.bias_ih.data = cell.input.weight.data, cell.input.bias.data
    gru.weight_hh.data, gru.bias_hh.data = cell.recurrent.weight.data, cell.recurrent.bias.data
    gate_e, map_e = cell.edge.weight.chunk(2)
    gate, value = torch.cat([cell.gate.weight, gate_e], dim=1), torch.cat([cell.map.weight, map_e], dim=1)
    h: dict[int, torch.Tensor] = {}
    order = list(reversed(range(8))) if reverse else list(range(8))
    for v in order:
        m = torch.zeros(cell.hidden)
        for u in source[target == v].tolist():
            message = torch.cat([h[u], position[u]])
            m = m + torch.sigmoid(gate @ message + cell.gate.bias) * (value @ message)
        h[v] = gru(x[v], m)
    return h[order[-1]]


def test_dvae_is_what_its_authors_wrote(example, samples, batch):
    torch.manual_seed(0)
    network = example.encoders(5)["D-VAE's encoder"]()
    with torch.no_grad():
        rows = network(batch)
        for sample, row in zip(samples, rows, strict=True):
            along = gated_sums(network.along.cell, sample, reverse=False)
            against = gated_sums(network.against.cell, sample, reverse=True)
            torch.testing.assert_close(row, torch.cat([along, against]))


def test_rounds_are_sums_over_neighbours(example, batch):
    torch.manual_seed(0)
    network = example.Rounds(5, rounds=3)
    x = example.kinds(batch)
    rows = network(batch).view(3, 2, 5)
    directions = (network.model.along, network.model.against.model)
    ways = (batch.edge_index, batch.edge_index.flip(0))
    for way, (model, (source, target)) in enumerate(zip(directions, ways, strict=True)):
        h = x
        for cell in model.cells:  # in training, where the rows of a batch are normalised together
            h = cell.nn(h + torch.zeros_like(h).index_add(0, target, h[source]))
        torch.testing.assert_close(rows[:, way], h.view(3, 8, 5).sum(dim=1))


def test_every_network_learns_and_reads_graphs_one_by_one(example, samples, batch):
    for name, encode in example.encoders(6).items():
        torch.manual_seed(0)
        network = example.Predictor(encode(), 6)
        network(batch).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters()), name
        network.eval()
        with torch.no_grad():
            alone = torch.cat([network(Batch.from_data_list([sample])) for sample in samples])
            torch.testing.assert_close(network(batch), alone)


def test_errors_by_hand(example):
    said, true = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([1.0, 2.0, 2.0])
    row = example.measure(said, true, torch.tensor([False, True, True]), 0.01)
    r = 15 / math.sqrt(78 * 6)  # deviations from the means, in thirds: -5, -2, 7 and -2, 1, 1
    assert row == [pytest.approx(v) for v in (3**0.5, 3**0.5, r, 4.5**0.5, 4.5**0.5)] + ["–"]


def test_files_of_any_name_are_read_and_others_refused_in_one_line(example, tmp_path):
    example.invent(tmp_path / "mine.txt", count=40)
    flags = ["--data", str(tmp_path), "--out", str(tmp_path / "out")]
    run = example.common.start(example.flags(), [*flags, "--burn-in", "10"])
    samples, _ = example.load(run)
    assert [len(part) for part in (samples.train, samples.val, samples.test)] == [25, 2, 3]
    with pytest.raises(
        SystemExit, match=r"after the first 1000, got 0: lower --burn-in, or replace the file"
    ):
        example.main(flags)
    with pytest.raises(
        SystemExit, match=r"which holds: mine\.txt.*\. Correct --file, or name its folder with --data"
    ):
        example.main([*flags, "--file", "yours.txt"])
    (tmp_path / "small.txt").write_text("[[1]], 0.5\n" * 4)
    with pytest.raises(SystemExit, match=r"expected architectures of 6 layers only"):
        example.main([*flags, "--file", "small.txt", "--burn-in", "0"])


@pytest.mark.slow
def test_learns_without_a_download_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("architectures.py", tmp_path / name, "--epochs", "2") for name in ("a", "b")]
    assert said[0] == said[1]
    assert len(said[0].split("\n\n")[0].splitlines()) == 2 + 8
    assert (tmp_path / "a" / "predictions.png").stat().st_size > 20_000
