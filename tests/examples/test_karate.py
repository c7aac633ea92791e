"""The example on the karate club: its rules by hand, networks against matrices, and the whole of it with one seed."""

import networkx as nx
import pytest
import torch


@pytest.fixture
def club(example):
    return example.load()


def test_the_club_is_networkx_s(example, club):
    graph = nx.karate_club_graph()
    strengths = {
        (a, b): club.s.edge_weight[e].item() for e, (a, b) in enumerate(club.s.edge_index.t().tolist())
    }
    expected = {(a, b): float(w) for a, b, w in graph.edges(data="weight")}
    assert strengths == expected | {(b, a): w for (a, b), w in expected.items()}
    assert [example.SIDES[side] for side in club.side] == [club for _, club in graph.nodes(data="club")]
    assert club.side[list(example.LEADERS)].tolist() == [0, 1]


def test_nobody_is_more_than_two_steps_away_from_a_leader(example, club):
    steps = dict(nx.all_pairs_shortest_path_length(club.graph))
    assert max(min(steps[leader][v] for leader in example.LEADERS) for v in club.graph) == 2


@pytest.mark.parametrize("weighted", [False, True])
def test_rounds_are_products_with_a_matrix(example, club, weighted):
    torch.manual_seed(0)
    network = example.Network(34, 3)
    s = club.s if weighted else club.s.replace(edge_weight=None)
    strength = torch.tensor(nx.to_numpy_array(club.graph)).float()
    a = (strength if weighted else (strength > 0).float()) + torch.eye(34)
    a = a / (a.sum(0) * a.sum(1)[:, None]).sqrt()
    h, expected = torch.eye(34), [torch.eye(34)]
    for number, cell in enumerate(network.net.cells):
        h = a @ (h.tanh() if number else h) @ cell.lin.weight.T + cell.bias
        expected.append(h)
    rounds = network.rounds(s)
    assert [r.shape[1] for r in rounds] == [34, 4, 4, 2]
    for state, by_hand in zip(rounds, expected, strict=True):
        torch.testing.assert_close(state, by_hand)
    torch.testing.assert_close(network(s), expected[-1])


def test_rules_by_hand(example, monkeypatch):
    monkeypatch.setattr(example, "LEADERS", (0, 4))
    path = nx.Graph()
    path.add_weighted_edges_from([(0, 1, 1), (1, 2, 3), (2, 3, 4), (3, 4, 2)], weight="weight")
    assert example.nearer(path).tolist() == [0, 0, 0.5, 1, 1]
    assert example.cheapest_cut(path).tolist() == [0, 1, 1, 1, 1]
    path[0][1]["weight"] = 5
    assert example.cheapest_cut(path).tolist() == [0, 0, 0, 0, 1]


def test_zachary_s_rule_is_wrong_about_one_member(example, club):
    says = example.cheapest_cut(club.graph)
    assert (says != club.side).nonzero().flatten().tolist() == [8]
    assert example.count_right(club.side, says) == 31


def test_leaders_are_not_counted_and_ties_by_half(example, monkeypatch):
    monkeypatch.setattr(example, "LEADERS", (0, 1))
    side = torch.tensor([0, 1, 0, 1, 1])
    assert example.count_right(side, torch.tensor([0, 1, 0, 0, 1])) == 2
    assert example.count_right(side, torch.tensor([1, 0, 0, 0.5, 1])) == 2.5


def test_leaning_by_hand(example, monkeypatch):
    monkeypatch.setattr(example, "LEADERS", (0, 1))
    h = torch.tensor([[1.0, 0.0], [5.0, 0.0], [2.0, 7.0], [9.0, 0.0]])
    assert example.leaning(h).tolist() == [0, 1, 0.25, 1]


def test_only_the_leaders_sides_are_learnt(example, club):
    others = torch.ones(34, dtype=torch.bool).index_fill(0, torch.tensor(example.LEADERS), False)
    elsewhere = club._replace(side=torch.where(others, 1 - club.side, club.side))
    _, said = example.train(club, 2, True, 20, seed=3)
    _, same = example.train(elsewhere, 2, True, 20, seed=3)
    assert len(said) == 21
    assert torch.equal(torch.stack(said), torch.stack(same))
    assert not torch.allclose(said[0], said[-1])
    other_leaders = club._replace(side=1 - club.side)
    assert not torch.allclose(said[-1], example.train(other_leaders, 2, True, 20, seed=3)[1][-1])


def results(example, folder):
    """What a quick run prints."""
    example.main(["--quick", "--runs", "1", "--out", str(folder)])
    return (folder / "results.txt").read_text()


@pytest.mark.slow
def test_repeats_itself(example, tmp_path):
    assert results(example, tmp_path / "a") == results(example, tmp_path / "b")


def test_finds_the_sides(example, tmp_path):
    said = results(example, tmp_path / "a")
    rows = [line.rsplit(maxsplit=2) for line in said.split("\n\n")[0].splitlines()[2:]]
    assert [row[0] for row in rows[:2]] == ["the nearer leader", "Zachary's cut"]
    assert len(rows) == 2 + len(example.ROUNDS)
    assert all(float(cell) >= 28 for row in rows[2:] for cell in row[1:])
    assert (tmp_path / "a" / "club.png").stat().st_size > 100_000
