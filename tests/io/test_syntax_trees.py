"""Different programs are different structures: nothing of a syntax tree is lost but where it stands in the file."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import graphrec as gr


def key(tree: ast.AST) -> tuple:
    """All that a structure tells of a syntax tree."""
    s = gr.tree(tree)
    return s.edge_index.tolist(), s.slot.tolist(), s.relation.tolist(), s.tokens, s.labels


PAIRS = [
    ("x[i:]", "x[:i]"),
    ("x[i::]", "x[::i]"),
    ("lambda *a: 0", "lambda **a: 0"),
    ("lambda a, /: 0", "lambda *, a: 0"),
    ("if a:\n b()\nelse:\n c()", "if a:\n b()\n c()"),
    ("while a:\n b\nelse:\n c", "while a:\n b\n c"),
    ("try:\n a\nexcept E:\n b\nelse:\n c", "try:\n a\nexcept E:\n b\nfinally:\n c"),
    ("try:\n a\nexcept E:\n b", "try:\n a\nexcept* E:\n b"),
    ("try:\n a\nexcept E as a:\n b", "try:\n a\nexcept E as b:\n b"),
    ("{**a, b: c}", "{b: a, **c}"),
    ("def f(*, a=1, b): 0", "def f(*, a, b=1): 0"),
    ("def f(a, b=1): 0", "def f(a, *, b=1): 0"),
    ("f(*a)", "f(**a)"),
    ("f(a=b)", "f(c=b)"),
    ("f(a, b=c)", "f(a, c)"),
    ("class A(b): 0", "class A(metaclass=b): 0"),
    ("1", "True"),
    ("1", "'1'"),
    ("1", "1.0"),
    ("'a'", "b'a'"),
    ("'a'", "u'a'"),
    ("None", "'None'"),
    ("...", "'Ellipsis'"),
    ("0.0", "0j"),
    ("global a", "nonlocal a"),
    ("global a, b", "global b, a"),
    ("import a as b", "import a as c"),
    ("import a", "import a as b"),
    ("from . import a", "from .. import a"),
    ("from a import b", "from .a import b"),
    ("f'{a!r}'", "f'{a!s}'"),
    ("f'{a}'", "f'{a!s}'"),
    ("f'{a:b}'", "f'{a}b'"),
    ("async def f(): 0", "def f(): 0"),
    ("[a async for a in b]", "[a for a in b]"),
    ("[a for a in b if c]", "[a for a in b for c in d]"),
    ("(a): b", "a: b"),
    ("a: b = c", "a: b"),
    ("a - b", "b - a"),
    ("a < b > c", "a > b < c"),
    ("raise a", "raise a from b"),
    ("def f() -> a: 0", "@a\ndef f(): 0"),
    ("with a as b: 0", "with a, b: 0"),
    ("match a:\n case True: 0", "match a:\n case None: 0"),
    ("match a:\n case A(b=c): 0", "match a:\n case A(d=c): 0"),
    ("match a:\n case A(b): 0", "match a:\n case A(b=b): 0"),
    ("match a:\n case [*b]: 0", "match a:\n case [*_]: 0"),
    ("match a:\n case {1: b, **c}: 0", "match a:\n case {1: b}: 0"),
    ("match a:\n case b if c: 0", "match a:\n case b:\n  c\n  0"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_different_programs_are_different_structures(one: str, other: str) -> None:
    first, second = ast.parse(one), ast.parse(other)
    assert ast.dump(first) != ast.dump(second)
    assert key(first) != key(second)


def test_different_pieces_of_programs_are_different_structures() -> None:
    folder = Path(ast.__file__).parent
    told: dict[tuple, str] = {}
    for name in ("ast.py", "dataclasses.py"):
        if (folder / name).exists():
            for node in ast.walk(ast.parse((folder / name).read_text())):
                if isinstance(node, ast.expr | ast.arguments | ast.alias | ast.pattern | ast.ImportFrom):
                    dump = ast.dump(node)
                    assert told.setdefault(repr(key(node)), dump) == dump
    assert len(told) > 1000


def test_type_comments_are_read() -> None:
    one, other = (ast.parse(f"a = b  # type: {name}", type_comments=True) for name in ("int", "str"))
    assert key(one) != key(other)


def test_an_empty_place_in_a_list_is_an_empty_slot() -> None:
    s = gr.tree(ast.parse("{**a, b: c}", mode="eval"))
    # keys: nothing, b; values: a, c
    assert s.slot[s.target == s.labels.index("Dict")].tolist() == [1, 2, 3]


def fields_with_nodes() -> Iterator[str]:
    """As the documentation of this Python's classes tells: `Return(expr? value)`."""
    own = {"identifier", "int", "string", "constant"}
    for name, kind in vars(ast).items():
        if isinstance(kind, type) and issubclass(kind, ast.AST) and kind._fields:
            signature = re.match(rf"{name}\((.*)\)", (kind.__doc__ or "").replace("\n", " "))
            for part in signature[1].split(",") if signature else ():
                content, field = part.split()
                if content.rstrip("*?") not in own:
                    yield field


def test_every_field_that_holds_nodes_has_a_number() -> None:
    found = set(fields_with_nodes())
    assert len(found) > 50
    assert found <= set(gr.SYNTAX_FIELDS)
    assert len(set(gr.SYNTAX_FIELDS)) == len(gr.SYNTAX_FIELDS)


def test_field_numbers_do_not_change() -> None:
    some = {"?": 0, "annotation": 1, "body": 5, "ctx": 12, "orelse": 43, "vararg": 61}
    assert {name: gr.SYNTAX_FIELDS.index(name) for name in some} == some


def test_a_field_that_is_not_known_has_number_0() -> None:
    class Later(ast.AST):
        _fields = ("novelty",)

    assert gr.tree(Later(novelty=ast.Pass())).relation.tolist() == [0]


def test_nodes_that_were_made_by_hand_may_lack_fields() -> None:
    s = gr.tree(ast.Module([ast.Expr(ast.Name("a")), ast.ImportFrom()], []))
    assert s.tokens == ("a", None, None, None)


def test_numbers_of_any_length_have_a_token() -> None:
    assert gr.tree(ast.parse("0x" + "f" * 5000, mode="eval")).tokens[0] == "0x" + "f" * 5000


def test_cells_that_know_no_relations_take_syntax_trees_and_others_read_them() -> None:
    torch.manual_seed(0)
    one, other = (gr.tree(ast.parse(text, mode="eval")) for text in ("x[i:]", "x[:i]"))
    x = torch.randn(one.num_nodes, 3)
    plain = gr.TreeLSTM(3, 4)
    assert torch.equal(plain(x, one), plain(x, other))  # a sum over children, whatever their fields
    cell = gr.GGNNCell(3, 4, relations=len(one.relation_names))
    states = [gr.run(cell, gr.schedule(s), x).h[-1] for s in (one, other)]
    assert not torch.allclose(*states)


def test_the_way_back_has_relations_that_do_not_depend_on_the_program() -> None:
    one, other = (gr.tree(ast.parse(text)).both_ways() for text in ("a", "a[b:c] = d"))
    assert one.relation_names == other.relation_names
    fields = len(gr.SYNTAX_FIELDS)
    assert (
        one.relation[one.num_edges // 2 :].tolist() == (one.relation[: one.num_edges // 2] + fields).tolist()
    )
    assert one.relation_names[fields + gr.SYNTAX_FIELDS.index("body")] == "rev_body"
