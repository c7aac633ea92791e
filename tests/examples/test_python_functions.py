"""The example on Python functions: its parts, and the whole of it on a small folder of code, killed and resumed."""

import ast
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from data.corpus import SPLITS, split_of
from data.python_functions import PythonFunctions
from torch_geometric.data import Batch

EXAMPLES = Path(__file__).parents[2] / "examples"
FUNCTIONS = '''
class {thing}:
    def get_{thing}(self, key, default=None):
        """Return the {thing}."""
        return self.get_{thing}.table[key{more}] if key in self.table else default

    def set_{thing}(self, key, value):
        if key not in self.table:
            raise KeyError("cannot set {thing} " + key)
        self.table[key] = value{more}

    def is_{thing}(self, other):
        return isinstance(other, {thing}) and other.table == self.table{more}

    def close_{thing}(self):
        if self.file is not None:
            self.file.close(){more}
            self.file = None
'''


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A folder of code with functions in all three splits."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "code"
    folder.mkdir()
    more = iter(range(100))  # functions that look the same would be kept once
    for split, count in zip(SPLITS, (6, 2, 3), strict=True):
        names = (f"m{i}" for i in itertools.count() if split_of(f"m{i}") == split)
        for name in itertools.islice(names, count):
            things = [f"{colour}_{name}" for colour in ("red", "green")]
            text = "".join(FUNCTIONS.format(thing=thing, more=" + self" * next(more)) for thing in things)
            (folder / f"{name}.py").write_text(text)
    return folder


def test_the_name_and_the_docstring_are_hidden(example, code):
    data = PythonFunctions(code, "train")
    sample = next(s for s in data if s.name.startswith("get_red"))
    assert example.masked_source(data, sample).splitlines() == [
        "def <name>(self, key, default=None):",
        "    return self.<name>.table[key] if key in self.table else default",
    ]
    assert example.masked_source(data, sample, lines=1).splitlines()[1:] == ["    ..."]


def test_only_whole_names_are_hidden(example):
    class Data:
        def source(self, sample):
            return "def _get(self):\n    return _get(self._get_all, self.budget, get)\n"

    class Sample:
        name = "_get"

    assert example.masked_source(Data(), Sample()).splitlines()[1] == (
        "    return <name>(self.<name>_all, self.budget, <name>)"
    )


def test_texts_may_begin_at_the_edge_of_the_page(example):
    class Data:
        def source(self, sample):
            return '    def run(self):\n        return """a\nb"""\n'

    class Sample:
        name = "run"

    shown = example.masked_source(Data(), Sample()).splitlines()
    assert shown[0] == "def <name>(self):"
    assert "a" in shown[1]


def test_without_edges_only_the_nodes_count(example, code):
    data = PythonFunctions(code, "test")
    network = example.NameSuggester(data.num_subtokens, data.num_classes, width=6).eval()
    tree, bag = data[0], example.without_edges(data[0])
    assert tree.num_edges > 0
    assert bag.num_edges == len(bag.edge_type) == 0
    assert bag.num_nodes == tree.num_nodes

    def states(sample):
        return network.states(sample, example.gr.from_pyg(sample))

    alike = [
        (a, b)
        for a, b in itertools.combinations(range(tree.num_nodes), 2)
        if all(torch.equal(tree[name][a], tree[name][b]) for name in ("node_type", "field", "subtoken"))
    ]
    assert alike  # in a bag equal nodes are in the same state; in a tree their place tells them apart
    in_bag, in_tree = states(bag), states(tree)
    for a, b in alike:
        torch.testing.assert_close(in_bag[a], in_bag[b])
        assert not torch.allclose(in_tree[a], in_tree[b])


def test_the_field_of_a_child_counts(example):
    torch.manual_seed(0)
    trees = [example.gr.tree(ast.parse(text)) for text in ("if a:\n b\nelse:\n c", "if a:\n b\n c")]
    cell = example.FieldTreeLSTMCell(3, 4)
    assert cell.relations == len(example.gr.SYNTAX_FIELDS)
    plain = example.gr.ChildSumTreeLSTMCell(3, 4)
    plain.load_state_dict(cell.state_dict(), strict=False)
    x = torch.randn(trees[0].num_nodes, 3)

    def roots(cell):
        return [example.gr.run(cell, example.gr.schedule(s), x).h[-1] for s in trees]

    torch.testing.assert_close(roots(cell), roots(plain))  # in the beginning
    torch.testing.assert_close(*roots(plain))
    torch.nn.init.normal_(cell.weight.weight)
    assert not torch.allclose(*roots(cell), atol=1e-3)


def test_labels_are_short(example):
    class Data:
        vocabulary = ("", "<name>", "<unknown>", "something", "else")

    assert example.label(Data(), "Constant.str", [3, 3, 0, 0]) == "“something …”"
    assert example.label(Data(), "Attribute", [4, 2]) == ".else ?"


def test_a_batch_is_judged_as_its_members_alone(example, code):
    data = PythonFunctions(code, "test")
    network = example.NameSuggester(data.num_subtokens, data.num_classes, width=6).eval()
    samples = [data[i] for i in range(5)]
    torch.testing.assert_close(
        network(Batch.from_data_list(samples)), torch.cat([network(s) for s in samples])
    )
    share = network.looks_at(samples[0]).detach()
    assert share.shape == (samples[0].num_nodes,)
    assert float(share.sum()) == pytest.approx(1)


def test_the_temperature_fits_the_probabilities(example):
    draw = torch.Generator().manual_seed(0)
    honest = torch.randn(4000, 5, generator=draw)
    y = torch.multinomial(honest.softmax(dim=1), 1, generator=draw).flatten()
    for heat in (0.5, 3.0):
        assert example.temperature(honest * heat, y) == pytest.approx(heat, rel=0.1)
    certain = example.Guesses((honest * 3).softmax(dim=1), y).calibration_error
    assert certain > 0.2 > 0.05 > example.Guesses(honest.softmax(dim=1), y).calibration_error


def test_what_is_shown_is_chosen_by_a_rule(example):
    first = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.55])
    y = torch.tensor([0, 1, 1, 0, 0])  # the second and the third are wrong
    guesses = example.Guesses(torch.stack([first, 1 - first], dim=1), y)
    assert list(example.chosen(guesses, [1, 2, 3, 4]).values()) == [3, 2, 1]
    assert list(example.chosen(guesses, [0]).values()) == [0, 0]  # none is wrong
    lines = example.by_certainty(guesses).splitlines()[2:]
    assert [line.split()[-2:] for line in lines] == [["2", "50%"], ["4", "50%"], ["5", "60%"], ["5", "60%"]]


def test_nodes_are_found_in_the_code(example, code):
    data = PythonFunctions(code, "test")
    sample = next(s for s in data if s.name.startswith("is_red"))
    function, lines = example.without_docstring(data, sample)
    spans = example.function_pictures.positions(function)
    assert len(spans) == sample.num_nodes
    masked, moved = example.function_pictures.masked(lines, sample.name, "<name>")
    words = []
    for at, node_type in zip(spans, sample.node_type.tolist(), strict=True):
        if at and example.NODE_TYPES[node_type] in ("Name", "arg", "Attribute"):
            words.append(masked[at[0]][moved(at[0], at[1]) : moved(at[0], at[2])])
    assert words[:4] == ["self", "other", "isinstance", "other"]
    assert "table" in words


def test_most_frequent_names_first(example, code):
    data = PythonFunctions(code, "train")
    logits = example.MostFrequent(list(data), data.num_classes)(Batch.from_data_list([data[0], data[1]]))
    assert logits.shape == (2, data.num_classes)
    assert (logits.diff(dim=1) <= 0).all()  # classes are in the order of their frequency
    assert logits[0].sum() == len(data)


def test_help(example, capsys):
    with pytest.raises(SystemExit) as ended:
        example.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for flag in ("--seed", "--epochs", "--out", "--quick", "--fresh", "--data"):
        assert flag in said


@pytest.mark.slow
def test_killed_and_started_again_it_gives_the_same_result(code, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    said = run(code, whole)
    assert said.rstrip().endswith(f"All of this is in {whole}/.")
    assert "it is m" in said
    result = (whole / "results.txt").read_text()
    assert result in said
    assert [line.split()[0] for line in result.partition("───\n")[2].splitlines()[:3]] == [
        "most",
        "bag",
        "tree",
    ]
    assert f"{whole}/attention.png" in result
    assert "Next: " in result
    assert (whole / "attention.png").stat().st_size > 10_000
    for model in ("tree", "bag"):
        assert torch.load(whole / model / "best.ckpt", weights_only=True)["state_dict"]

    kill_after("epoch   2", code, killed)
    assert not (killed / "results.txt").exists()
    said = run(code, killed)
    assert f"Continuing the interrupted run in {killed}/" in said
    assert f"Resuming from {killed}/tree/last.ckpt" in said
    assert (killed / "results.txt").read_text() == result.replace(str(whole), str(killed))

    said = run(code, killed)  # the finished run is shown, and nothing is trained
    assert said.startswith("A run with these flags has finished")
    assert said.rstrip().endswith((killed / "results.txt").read_text().rstrip())


def command(code, folder):
    flags = ["--quick", "--epochs", "4", "--data", code, "--out", folder]
    return [sys.executable, "-u", EXAMPLES / "python_functions.py", *flags]


def run(code, folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command(code, folder), capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def kill_after(line, code, folder):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command(code, folder), stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        deadline = time.monotonic() + 600
        for said in process.stdout:
            if line in said:
                process.send_signal(signal.SIGKILL)
                break
            assert time.monotonic() < deadline
        process.wait()
    assert process.returncode == -signal.SIGKILL
