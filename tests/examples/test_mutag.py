"""The example on MUTAG: who chooses what, by hand, and the whole of it on invented molecules."""

import math
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

import graphrec as gr

REAL_DATA = Path(os.environ.get("GRAPHREC_DATA", "")) / "MUTAG"


def invent(folder: Path, count: int = 24) -> Path:
    """Files such as those of MUTAG: chains of atoms, mutagenic where two of three are oxygen."""
    draw = random.Random(0)
    edges, bonds, graphs, labels, atoms = [], [], [], [], []
    for graph in range(1, count + 1):
        mutagenic = graph % 3 > 0
        chain = [2 if draw.random() < (0.8 if mutagenic else 0.2) else draw.randrange(7) for _ in range(6)]
        for v in range(len(atoms) + 1, len(atoms) + len(chain)):
            edges += [f"{v}, {v + 1}", f"{v + 1}, {v}"]
            bonds += 2 * [draw.randrange(4)]
        atoms += chain
        graphs += len(chain) * [graph]
        labels.append(1 if mutagenic else -1)
    parts = {"A": edges, "edge_labels": bonds, "graph_indicator": graphs}
    for name, lines in (parts | {"graph_labels": labels, "node_labels": atoms}).items():
        (folder / f"MUTAG_{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.fixture
def samples(example, tmp_path):
    return example.load(invent(tmp_path))[0]


@pytest.fixture
def fold(example, samples):
    return example.cut(samples, 4, 0)[0]


def make(example, name, seed=0):
    torch.manual_seed(seed)
    return example.NETWORKS[name][0](7, 4, 8, 0.5)


def check_folds(example, samples, folds):
    """No molecule is learnt from, or chosen by, where it is tested; each is tested once."""
    for number, sample in enumerate(samples):
        sample.number = torch.tensor([number])
    tested_anywhere = []
    for fold in example.cut(samples, folds, 0):
        others, learnt, held_out, tested = (part.number.tolist() for part in fold)
        assert sorted(learnt + held_out) == others
        assert sorted(others + tested) == list(range(len(samples)))
        assert abs(len(held_out) - len(tested)) <= 1
        mix = sum(int(sample.y) for sample in samples) / len(samples)
        for part in fold:
            assert abs(int(part.y.sum()) - mix * len(part.y)) < 2  # cut twice: it may be off by one twice
        tested_anywhere += tested
    assert sorted(tested_anywhere) == list(range(len(samples)))


@pytest.mark.parametrize("folds", [3, 4, 8])
def test_folds_do_not_leak(example, samples, folds):
    check_folds(example, samples, folds)


def test_folds_are_those_of_the_seed(example, samples):
    for number, sample in enumerate(samples):
        sample.number = torch.tensor([number])
    one, again, other = (
        [fold.tested.number.tolist() for fold in example.cut(samples, 4, s)] for s in (0, 0, 1)
    )
    assert one == again != other


needs_mutag = pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason="needs MUTAG in the folder that GRAPHREC_DATA names"
)


@needs_mutag
def test_folds_of_the_published_molecules_do_not_leak(example):
    samples = example.load(REAL_DATA)[0]
    check_folds(example, samples, 10)
    for fold in example.cut(samples, 10, 0):
        assert int(fold.tested.y.sum()) in (12, 13)


@needs_mutag
@pytest.mark.parametrize("place", ["", "raw", ".."])
def test_the_published_molecules_are_what_the_files_say(example, place):
    """Read by numpy alone."""

    def read(part):
        return np.loadtxt(REAL_DATA / "raw" / f"MUTAG_{part}.txt", dtype=int, delimiter=",", ndmin=2)

    graph = read("graph_indicator")[:, 0]
    samples, name = example.load(REAL_DATA / place)
    assert (name, len(samples)) == ("MUTAG", 188)
    edges, bonds, atoms = read("A") - 1, read("edge_labels")[:, 0], read("node_labels")[:, 0]
    for number, (sample, label) in enumerate(zip(samples, read("graph_labels")[:, 0], strict=True), start=1):
        (nodes,) = (graph == number).nonzero()
        inside = graph[edges[:, 0]] == number
        assert sample.node_type.tolist() == atoms[nodes].tolist()
        assert int(sample.y) == (label + 1) // 2
        expected = {
            (a - nodes[0], b - nodes[0], bond)
            for (a, b), bond in zip(edges[inside], bonds[inside], strict=True)
        }
        assert {*zip(*sample.edge_index.tolist(), sample.edge_type.tolist(), strict=True)} == expected
        assert sample.num_edges == inside.sum()
        structure = gr.from_pyg(sample)
        assert structure.kind is not None
        assert structure.relation is not None
        assert torch.equal(structure.kind, sample.x.argmax(1))
        assert torch.equal(structure.relation, sample.edge_attr.argmax(1))
    assert torch.cat([sample.y for sample in samples]).bincount().tolist() == [63, 125]


@pytest.mark.parametrize("place", ["", "raw", "MUTAG", "MUTAG/raw"])
def test_folders_given_are_found_and_not_written_to(example, tmp_path, place):
    folder = tmp_path / "given" / place
    folder.mkdir(parents=True)
    before = sorted(invent(folder).parent.rglob("*"))
    folder.chmod(0o555)
    assert len(example.load(tmp_path / "given")[0]) == 24
    folder.chmod(0o755)
    assert sorted(folder.parent.rglob("*")) == before


def test_the_environment_names_a_folder_too(example, tmp_path, monkeypatch):
    (tmp_path / "MUTAG" / "raw").mkdir(parents=True)
    invent(tmp_path / "MUTAG" / "raw")
    monkeypatch.setenv("GRAPHREC_DATA", str(tmp_path))
    assert len(example.load(None)[0]) == 24


def test_a_last_line_without_a_line_feed_is_read_too(example, tmp_path):
    folder = invent(tmp_path)
    expected = example.load(folder)[0]
    for path in folder.glob("*.txt"):
        path.write_text(path.read_text().rstrip())
    for one, other in zip(example.load(folder)[0], expected, strict=True):
        assert one.edge_index.tolist() == other.edge_index.tolist()
        assert one.node_type.tolist() == other.node_type.tolist()
        assert (int(one.y), one.edge_type.tolist()) == (int(other.y), other.edge_type.tolist())


def test_graphs_that_pyg_would_lose_are_said(example, tmp_path):
    folder = other_graphs(tmp_path / "data", described=False)
    for name, line in (("graph_indicator", "25"), ("graph_labels", "0")):
        path = folder / f"RINGS_{name}.txt"
        path.write_text(path.read_text() + f"{line}\n")
    with pytest.raises(
        SystemExit, match=r"RINGS: PyG reads 24 graphs, but there are labels of 25: graphs without"
    ):
        example.load(folder)


def test_what_is_not_there_or_cannot_be_read_is_said(example, tmp_path):
    with pytest.raises(
        SystemExit, match=r"expected the files of a data set, NAME_graph_indicator\.txt and others, in"
    ):
        example.load(tmp_path)
    folder = invent(tmp_path)
    (folder / "MUTAG_A.txt").write_text("1, x\n")
    with pytest.raises(SystemExit, match=r"PyG cannot read the files of MUTAG in .*mend them"):
        example.load(folder)
    (folder / "other").mkdir()
    (folder / "other" / "RINGS_graph_indicator.txt").touch()
    with pytest.raises(SystemExit, match=r"holds several data sets, MUTAG, RINGS: name the folder of one"):
        example.load(folder)


def test_without_files_and_network_the_error_says_what_to_do(example, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(example.TUDataset, "url", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match=r"PyG could not download MUTAG \(.*with --data or the environment"):
        example.load(None)


def test_the_tested_fold_chooses_nothing(example, fold):
    flipped = fold.tested.clone()
    flipped.y = 1 - flipped.y
    one, other = (
        example.learn(make(example, "GIN"), fold.learnt, fold.held_out, tested, 12)
        for tested in (fold.tested, flipped)
    )
    torch.testing.assert_close(one.tested, 100 - other.tested)
    assert (one.best, one.score) == (other.best, other.score)
    for name, weight in one.network.state_dict().items():
        assert torch.equal(weight, other.network.state_dict()[name])


def test_the_samples_held_out_choose_the_epoch(example, fold):
    # Trainings of all lengths, each to its end: the longest goes through all that the others have come to.
    for seed in range(5):
        ends = [
            example.learn(make(example, "GIN", seed), fold.learnt, None, fold.tested, n) for n in range(1, 13)
        ]
        scores = [example.judge(end.network, fold.held_out) for end in ends]
        if max(scores) > scores[-1]:  # else it would be the last epoch's in any case
            break
    else:
        pytest.fail("in every training the last epoch is the best one")
    trained = example.learn(make(example, "GIN", seed), fold.learnt, fold.held_out, fold.tested, 12)
    assert trained.score == max(scores)
    assert trained.best == scores.index(max(scores)) < 11
    assert trained.tested.tolist() == pytest.approx(
        [example.judge(end.network, fold.tested)[0] for end in ends]
    )
    assert example.judge(trained.network, fold.held_out) == trained.score


def test_accuracies_by_hand(example, samples):
    batch = Batch.from_data_list(samples[:4])
    assert batch["y"].tolist() == [1, 1, 0, 1]
    logits = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])

    class Says(torch.nn.Module):
        def forward(self, _):
            return logits

    right, less_loss = example.judge(Says(), batch)
    assert right == 50
    # Each row but the last is off by one, to the right side or to the wrong one.
    losses = [math.log(1 + math.exp(x)) for x in (-1, 1, -1, 0)]
    assert less_loss == pytest.approx(-sum(losses) / 4)


def test_choices_by_hand(example):
    def trained(tested, best, *score):
        return example.Trained(torch.tensor(tested), best, score, None)

    narrow, wide = example.Settings(16, 0.0), example.Settings(32, 0.5)
    trainings = {
        narrow: [trained([50.0, 70.0, 80.0], 0, 60.0, -1.0), trained([70.0, 80.0, 60.0], 2, 70.0, -9.0)],
        wide: [trained([90.0, 30.0, 40.0], 2, 60.0, -0.5), trained([40.0, 90.0, 50.0], 1, 60.0, -0.1)],
    }
    # Means over the folds: 60, 75, 70 and 65, 60, 45; a fold's own best epochs, 90 and 90, are not combined.
    setting, epoch, accuracies = example.as_authors(trainings)
    assert (setting, epoch, accuracies.tolist()) == (narrow, 1, [70, 80])
    # Equal in right answers, the first fold's are told apart by loss; the second's by right answers before loss.
    chosen, accuracies = example.fairly(trainings)
    assert chosen[0] is trainings[wide][0]
    assert chosen[1] is trainings[narrow][1]
    assert accuracies.tolist() == [40, 60]


@pytest.mark.parametrize("name", ["GIN", "MPNN", "GGNN"])
def test_networks_learn_and_read_molecules_one_by_one(example, samples, name):
    network, batch = make(example, name), Batch.from_data_list(samples)
    network(batch).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    network.eval()
    with torch.no_grad():
        alone = torch.cat([network(Batch.from_data_list([sample])) for sample in samples])
        torch.testing.assert_close(network(batch), alone)


def test_shares_add_up_to_the_answer(example, samples):
    network = make(example, "GIN").eval()
    bias = sum(answer.bias[1] - answer.bias[0] for answer in network.answers)
    with torch.no_grad():
        for sample in samples[:5]:
            harmless, mutagenic = network(sample)[0]
            torch.testing.assert_close(network.shares(sample).sum() + bias, mutagenic - harmless)


def test_two_folds_are_refused(example, tmp_path):
    with pytest.raises(SystemExit):
        example.main(["--folds", "2", "--data", str(tmp_path), "--out", str(tmp_path / "run")])


def results(example, data, folder):
    """What a quick run on these data prints."""
    example.main(["--quick", "--epochs", "4", "--data", str(data), "--out", str(folder)])
    return (folder / "results.txt").read_text()


@pytest.mark.slow
def test_repeats_itself(example, tmp_path):
    data = invent(tmp_path)
    assert results(example, data, tmp_path / "a") == results(example, data, tmp_path / "b")


def test_learns(example, tmp_path):
    said = results(example, invent(tmp_path), tmp_path / "a")
    rows = {line[:20].strip(): line[20:].split() for line in said.split("\n\n")[0].splitlines()[2:]}
    assert list(rows) == [
        "most common label",
        *(f"{name} (this run)" for name in example.NETWORKS),
        "GIN (published)",
    ]
    assert float(rows["GIN (this run)"][0]) > float(rows["most common label"][0]) == 66.7
    assert (tmp_path / "a" / "choice.png").stat().st_size > 20_000
    assert (tmp_path / "a" / "molecules.png").stat().st_size > 20_000


def other_graphs(folder: Path, *, described: bool) -> Path:
    """Files of another data set: rings of three classes by their size, one graph without edges, and one in two parts.

    Args:
        folder: for the files.
        described: whether nodes have labels and attributes and edges have attributes, or nothing has either.
    """
    edges, graphs, labels = [], [], []
    for graph in range(1, 25):
        first, size = len(graphs) + 1, 3 + graph % 3
        ring = range(first, first + size)
        if graph not in (7, 8):  # of which the latter has two nodes beside one edge
            edges += [(v, first + (v - first + 1) % size) for v in ring]
        if graph == 8:
            edges.append((first, first + 1))
        graphs += size * [graph]
        labels.append(10 * (graph % 3))
    edges += [(target, source) for source, target in edges]
    parts = {"A": [f"{source}, {target}" for source, target in edges], "graph_indicator": graphs}
    parts["graph_labels"] = labels
    if described:
        parts["node_labels"] = [v % 20 for v in range(len(graphs))]  # more than there are hidden units
        parts["node_attributes"] = [f"{v / 100}, {-v / 100}" for v in range(len(graphs))]
        parts["edge_attributes"] = [f"{(source + target) / 100}" for source, target in edges]
    folder.mkdir()
    for name, lines in parts.items():
        (folder / f"RINGS_{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.mark.parametrize("described", [pytest.param(False, marks=pytest.mark.slow), True])
def test_takes_any_folder_of_graphs(example, tmp_path, described):
    folder = other_graphs(tmp_path / "data", described=described)
    samples, name = example.load(folder)
    assert (name, len(samples)) == ("RINGS", 24)
    assert {(s.x.shape[1], s.edge_attr.shape[1]) for s in samples} == {(22, 1) if described else (65, 1)}
    if not described:
        assert samples[0].x.argmax(1).tolist() == [2, 2, 2, 2]  # degrees
        assert samples[7].x.argmax(1).tolist() == [1, 1, 0, 0, 0]
    example.main(["--quick", "--epochs", "3", "--data", str(folder), "--out", str(tmp_path / "out")])
    said = (tmp_path / "out" / "results.txt").read_text()
    assert "on RINGS" in said
    assert "published" not in said
    assert (tmp_path / "out" / "graphs.png").stat().st_size > 20_000
