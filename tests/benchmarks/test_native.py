"""`python -m benchmarks native`: what it compares computes the same, and its ratios and verdicts are what they say."""

import itertools
import os
from types import SimpleNamespace

import pytest
import torch

import graphrec as gr
from benchmarks import native, peak
from benchmarks.__main__ import main
from benchmarks.forests import sentiment_forest, sentiment_tree
from benchmarks.native import batches, busy, forests, memory, steps
from benchmarks.native.figures import MISSING, Figure, Target, Timed, summary, table
from benchmarks.native.products import Products
from benchmarks.native.race import LOOP, NEW, Race, backends_of
from benchmarks.native.user_cells import ChildAttention, SourceTargetProduct
from benchmarks.timing import Timing
from benchmarks.trees import make_layer
from graphrec import clib
from tests.tolerances import assert_close

H = 3


@pytest.fixture(autouse=True)
def _nobody_is_timed(monkeypatch):
    """Python's garbage is left alone before each timing, of which these tests ask only that there is one."""
    monkeypatch.setattr("benchmarks.timing.gc", SimpleNamespace(collect=lambda: 0))


def small_tree():
    """A root with a leaf and two inner children, of which one has one child, the other two."""
    return gr.tree([["a"], ["b", "c"], "d"])


def children(s):
    kept = {v: [] for v in range(s.num_nodes)}
    for source, target in s.edge_index.T.tolist():
        kept[target].append(source)
    return kept


@pytest.mark.parametrize(
    ("target", "reached", "held", "missed"),
    [(Target(2, 3), 3.0, 2.0, 1.99), (Target(1.5, 1.1, small=True), 1.1, 1.5, 1.51)],
    ids=["large is good", "small is good"],
)
def test_a_ratio_is_judged_by_its_target(target, reached, held, missed):
    assert [target.verdict(ratio) for ratio in (reached, held, missed)] == ["reached", "held", "missed"]


def test_without_anything_to_reach_for_a_ratio_is_held_or_missed():
    target = Target(1.3, None, small=True)
    assert [target.verdict(ratio) for ratio in (0.1, 1.3, 1.4)] == ["held", "held", "missed"]


def test_ratios_are_paired_by_round_and_of_several_the_fastest_counts():
    timings = {
        NEW: Timing([1.0, 2.0, 10.0]),
        "slow": Timing([9.0, 9.0, 90.0]),
        "fast": Timing([2.0, 6.0, 40.0]),
    }
    timed = Timed(timings, {"absent": "it is not installed"}, {NEW: "loop"})
    figure = timed.figure("job", "case", ("absent", "slow", "fast"), NEW, Target(3, 5))
    assert figure.quotient == "fast / new"
    assert figure.ratios == [2.0, 3.0, 4.0]
    assert figure.verdict == "held"
    assert figure.detail == "fast 6e+03; new (loop) 2e+03"


def test_a_side_that_is_not_there_is_named_with_the_reason():
    timed = Timed({NEW: Timing([1.0])}, {"absent": "it is not installed"}, {})
    for top, bottom in (("absent", NEW), (NEW, "absent")):
        figure = timed.figure("job", "case", top, bottom, Target(1, 2))
        assert (figure.ratios, figure.verdict) == ([], MISSING)
        assert "it is not installed" in table([figure])
    assert summary([figure]) == "1 figures with a target: 0 reached, 0 held, 0 missed, 1 not available"


def test_the_table_has_all_figures_and_their_targets():
    figures = [
        Figure("trees", "25", "loop / new", [2.0, 4.0, 3.0], Target(2.2, 3), "ms"),
        Figure("steps", "8", "new / other", [2.0], Target(1.5, 1.1, small=True), "ms"),
        Figure("dags", "1", "peer / new", [2.0], None, "ms"),
    ]
    rows = table(figures).splitlines()[2:]
    assert rows == [
        "| trees | 25 | loop / new | **3.00** (2.00 to 4.00) | 2.2 | 3 | reached | ms |",
        "| steps | 8 | new / other | **2.00** (2.00 to 2.00) | at most 1.5 | 1.1 | missed | ms |",
        "| dags | 1 | peer / new | **2.00** (2.00 to 2.00) | – | – | – | ms |",
    ]


def test_a_race_forces_backends_and_leaves_out_those_that_do_not_exist():
    s, x = gr.chains([2, 1]), torch.randn(3, H)
    model = gr.GRU(H, H)
    race = Race(lambda: model(x, s))
    race.add_backend(LOOP)
    race.add_backend("no such backend")
    assert race.told == {NEW: "torch" if clib.library() is None else "native"}
    assert list(race.tasks) == [NEW, LOOP]
    assert backends_of(race.tasks[LOOP]) == [LOOP]
    assert "no such backend" in race.missing["no such backend"]


def test_attention_over_children_computes_its_equations():
    s, cell = small_tree(), ChildAttention(2, H).double()
    x = torch.randn(s.num_nodes, 2, dtype=torch.float64)
    inbox, found = children(s), {}
    for v in range(s.num_nodes):
        q, n = cell.input(x[v]).split(H)
        m = torch.zeros(H, dtype=torch.float64)
        if inbox[v]:
            h = torch.stack([found[u] for u in inbox[v]])
            weights = torch.softmax((h @ cell.key.weight.T) @ q / H**0.5, dim=0)
            m = weights @ h
        z = torch.sigmoid(cell.gate.weight @ m + cell.gate.bias)
        found[v] = z * m + (1 - z) * torch.tanh(n)
    expected = torch.stack([found[v] for v in range(s.num_nodes)])
    assert_close(gr.Recursive(cell)(x, s), expected)


def test_source_target_product_computes_its_equations():
    s, cell = small_tree(), SourceTargetProduct(2, H).double()
    x = torch.randn(s.num_nodes, 2, dtype=torch.float64)
    inbox, found = children(s), {}
    for v in range(s.num_nodes):
        b, r = cell.input(x[v]).split(H)
        m = torch.zeros(H, dtype=torch.float64)
        for u in inbox[v]:
            m = m + cell.source(found[u]) * torch.tanh(b) / len(inbox[v])
        found[v] = torch.tanh(r + cell.out.weight @ m)
    expected = torch.stack([found[v] for v in range(s.num_nodes)])
    assert_close(gr.Recursive(cell)(x, s), expected)


def test_products_alone_are_those_of_the_equations():
    """Multiplications, counted node by node and edge by edge; a backward pass does all of them twice over."""
    s = small_tree()
    products = Products(make_layer(s, H), gr.levels(s))
    forward = 0
    for inbox in children(s).values():
        forward += H * 4 * H  # W x
        forward += (H * 3 * H if inbox else 0) + len(inbox) * H * H  # U of the sum, U_f of each child

    def multiplications(of):
        return sum(p.args[0].shape[0] * p.args[0].shape[1] * p.args[1].shape[1] for p in of)

    assert multiplications(products.forward) == forward
    assert multiplications(products.backward) == 2 * forward
    rows = [p.args[0].shape[0] for p in products.forward]
    assert rows == [s.num_nodes, 2, 3, 1, 3]  # all; inner nodes and edges of level 1; of level 2
    products.train()
    products.infer()


def test_memory_that_must_be_kept_is_that_of_the_tensors():
    nodes, edges, inputs = 7, 6, 2
    per_node = [torch.zeros(nodes, H) for _ in ("h", "c", "i", "o", "u")]
    model = gr.TreeLSTM(inputs, H)
    kept = [*per_node, torch.zeros(edges, H), torch.zeros(nodes, inputs), *model.parameters()]
    assert memory.must_keep(nodes, edges, inputs, H) == sum(t.numel() * t.element_size() for t in kept)


@pytest.mark.skipif(not peak.CLEAR.exists(), reason="the system does not tell a process's peak memory")
def test_peak_memory_is_that_of_what_is_held_at_once():
    before = peak.forget_peak()
    size = 64 * 2**20
    for _ in range(3):  # one at a time
        torch.ones(size // 4).sum()
    assert 0.9 * size < peak.peak_so_far() - before < 1.5 * size


@pytest.mark.parametrize("net", batches.NETS)
def test_networks_on_small_graphs_agree_with_pyg_on_every_new_batch(net):
    graphs, _ = batches.small_graphs()
    ours, theirs = batches.networks(net, graphs[0].num_node_features, 4)
    loader = batches.new_batches(graphs, 2)
    for batch in loader:
        assert batch.num_graphs == batches.GRAPHS
        assert_close(ours(batch), theirs(batch))
        batches._check_agreement(ours, theirs, batch)
    with torch.no_grad():
        theirs.answer.weight.mul_(1.1)
    with pytest.raises(RuntimeError, match="off graphrec's"):
        batches._check_agreement(ours, theirs, next(iter(loader)))


def test_batches_are_the_same_for_both_and_new_at_every_step():
    graphs, _ = batches.small_graphs()
    loader = batches.new_batches(graphs, 2)
    first, again = list(loader), list(loader)
    assert not torch.equal(first[0].y, first[1].y)
    for one, other in zip(first, again, strict=True):
        assert one.edge_index is not other.edge_index
        assert torch.equal(one.edge_index, other.edge_index)


def test_without_data_there_are_trees_and_graphs_like_the_real_ones(monkeypatch):
    monkeypatch.delenv("GRAPHREC_DATA", raising=False)
    assert sentiment_tree(71).structure.num_nodes == 71
    assert sentiment_forest(2).structure.num_graphs == 2
    graphs, origin = batches.small_graphs()
    assert origin == "graphs like MUTAG's"
    assert len(graphs) == 188
    assert all(graph.is_undirected() and graph.num_node_features == 7 for graph in graphs)


def test_the_busy_process_is_there_and_gone():
    with busy.busy_core() as process:
        assert process.poll() is None
        if hasattr(os, "sched_getaffinity"):
            assert os.sched_getaffinity(process.pid) == {max(os.sched_getaffinity(0))}
    assert process.poll() is not None


def test_threads_are_as_before_after_a_busy_row():
    threads = torch.get_num_threads()
    busy.run(1, quick=True)
    assert torch.get_num_threads() == threads


def test_targets_are_those_of_the_full_sizes():
    """Quick sizes have none."""
    assert all(figure.target is not None for figure in steps.run(1, quick=True))
    assert all(figure.target is None for figure in native.run(1, quick=True, rows=["steps"]))


def test_figures_are_printed_beside_their_targets(capsys):
    main(["native", "--quick", "--rounds", "1", "--rows", "steps,one-tree"])
    lines = capsys.readouterr().out.splitlines()
    assert "threads" in lines[0]
    assert sum(line.startswith("| GRU") for line in lines) == 2
    assert (
        sum("one random SST-like tree of 71 nodes" in line or "one SST tree" in line for line in lines) == 1
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["native", "--rows", "steps,trunks"], "no 'trunks'; there are trees, "),
        (["trees", "--rows", "steps"], "--rows chooses rows of native"),
        (["native", "--threads", "0"], "--threads must be 1 or more"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")  # torch's, of PyG's sparse matrices
@pytest.mark.parametrize("row", native.ROWS)
def test_every_row_runs(row):
    figures = native.ROWS[row](1, True)
    assert figures
    for figure in figures:
        assert figure.ratios or figure.verdict == MISSING


def test_settings_and_targets_go_together():
    by_setting = [*forests.FROM_LOOP.values(), forests.FROM_DGL, forests.TO_PRODUCTS]
    assert {len(targets) for targets in by_setting} == {len(forests.SETTINGS)}
    for target in itertools.chain(*by_setting):
        assert target.reach is not None
        assert (target.reach < target.bound) == target.small
