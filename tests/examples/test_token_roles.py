"""The example on roles of tokens: its parts, and the whole of it on the code of asyncio."""

import textwrap

import pytest
import torch
from data.corpus import SPLITS, split_of
from data.token_roles import TokenRoles
from torch_geometric.data import Batch


@pytest.fixture
def code(tmp_path):
    """A folder of code with a module in each split, that of the test split with two functions."""
    source = {
        "train": "a = 1\nf(a, *b)\nf(-a)\na - b",
        "val": "a = b",
        "test": """\
            class A:
                def plain(self):
                    return 1

                def rich(self, a):  # why
                    if -a in [a]:
                        return '''b
                        ''', a.c
            """,
    }
    for split in SPLITS:
        name = next(name for name in (f"m{i}" for i in range(1000)) if split_of(name) == split)
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source[split]))
    return tmp_path


def test_forms_and_their_roles_are_counted(example, code):
    data = TokenRoles(code, "train")
    counts = example.count_roles([data[i] for i in range(len(data))])
    minus, name = (counts[data.vocabulary.index(form)] for form in ("-", "<name>"))
    assert {data.classes[i]: int(minus[i]) for i in minus.nonzero()} == {"arithmetic": 1, "sign": 1}
    assert {data.classes[i]: int(name[i]) for i in name.nonzero()} == {
        "bound": 1,
        "function called": 2,
        "read": 5,
    }


def test_the_passage_is_the_function_with_most_roles(example, code):
    path, lines, statements = example.token_pictures.passage(TokenRoles(code, "test"))
    assert path == TokenRoles(code, "test").files()[0]
    assert lines == [
        "def rich(self, a):  # why",
        "    if -a in [a]:",
        "        return '''b",
        "        ''', a.c",
    ]
    assert [[token.start for token in statement][-1] for statement in statements] == [
        (0, 17),
        (1, 16),
        (3, 15),
    ]


def test_statements_of_a_batch_do_not_mix(example, code):
    samples = [TokenRoles(code, "train")[i] for i in range(4)]
    for _, width, make in example.MODELS.values():
        network = example.Labeller(make(width), width)
        together = network(Batch.from_data_list(samples))
        assert together.shape == (sum(s.num_nodes for s in samples), 40)
        torch.testing.assert_close(together, torch.cat([network(sample) for sample in samples]))


@pytest.mark.parametrize(
    ("model", "back", "ahead"),
    [("tdnn_before", 10, 0), ("tdnn", 5, 5), ("lstm", 20, 0), ("bi_lstm", 20, 20)],
)
def test_networks_see_what_is_said_of_them(example, model, back, ahead):
    import graphrec as gr

    _, _, make = example.MODELS[model]
    x = torch.randn(41, example.EMBEDDING, requires_grad=True)
    make(8)(x, gr.chain(41))[20].sum().backward()
    seen = x.grad.abs().sum(dim=1).nonzero().flatten() - 20
    assert seen.tolist() == list(range(-back, ahead + 1))


def test_the_networks_have_about_equally_many_weights(example):
    counts = [
        sum(p.numel() for p in example.Labeller(make(width), width).parameters())
        for _, width, make in example.MODELS.values()
    ]
    assert all(87_000 < count < 93_000 for count in counts)


@pytest.mark.slow
def test_learns_without_a_download_and_repeats_itself(tmp_path, run_quick):
    said = [run_quick("token_roles.py", tmp_path / name) for name in ("a", "b")]
    assert said[0] == said[1]
    rows = [line.split() for line in said[0].splitlines()[2:7]]
    commonest, *trained = (float(row[-3]) for row in rows)
    assert all(accuracy > commonest + 0.05 for accuracy in trained)
    for picture in ("code.png", "roles.png"):
        assert (tmp_path / "a" / picture).stat().st_size > 20_000
