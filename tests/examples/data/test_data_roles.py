"""The roles of tokens: by hand in snippets, by counts in the standard library."""

import ast
import sys
import sysconfig
import textwrap
import tokenize
import warnings
from collections import Counter
from pathlib import Path

import pytest
from data.corpus import SKIPPED_FOLDERS, source_files
from data.role_tables import FAMILIES, FORMS, ROLES
from data.roles import statements

LIBRARY = Path(sysconfig.get_path("stdlib"))


def roles_of(source: str) -> list[tuple[str, str]]:
    """Each token of a text, and its role."""
    source = textwrap.dedent(source)
    lines = source.split("\n")
    said = []
    for statement in statements(source, ast.parse(source)):
        for token in statement:
            (row, begin), (last, end) = token.start, token.end
            text = lines[row - 1][begin:end] if row == last else lines[row - 1][begin:] + "…"
            said.append((text, token.role))
    return said


# A statement, and what is there to be said of its tokens in order; a role stands for all tokens until the next.
BY_HAND = {
    "f(-x * y, *z, key=w, **k)": """
        f function called | ( call | - sign | x read | * arithmetic | y read | , call | * unpacking | z read | , call
        | key argument name | = call | w read | , call | ** unpacking | k read | ) call""",
    "def f(self, a: int = 1, /, *args, b=(2), **kw) -> list[int]: pass": """
        def statement | f function defined | ( parameters | self parameter | , parameters | a parameter | : annotation
        | int annotation | = parameters | 1 number | , parameters | / parameters | , parameters | * parameters
        | args parameter | , parameters | b parameter | = parameters | ( grouping | 2 number | ) grouping
        | , parameters | ** parameters | kw parameter | ) parameters | -> annotation | list annotation | [ subscript
        | int annotation | ] subscript | : statement | pass statement""",
    "async def f(): await g()": """
        async statement | def statement | f function defined | ( parameters | ) parameters | : statement
        | await yield or await | g function called | ( call | ) call""",
    "class A(b.C, metaclass=D): x: int = 1": """
        class statement | A class defined | ( base class | b read | . attribute dot | C base class | , base class
        | metaclass argument name | = call | D read | ) base class | : statement | x bound | : annotation
        | int annotation | = assignment | 1 number""",
    "@(a.b)(c)\nclass A: (1)": """
        @ decorator | ( grouping | a read | . attribute dot | b decorator | ) grouping | ( call | c read | ) call
        | class statement | A class defined | : statement | ( grouping | 1 number | ) grouping""",
    "class A:\n    @staticmethod\n    def f(x): return x": """
        class statement | A class defined | : statement | @ decorator | staticmethod decorator | def statement
        | f function defined | ( parameters | x parameter | ) parameters | : statement | return statement | x read""",
    "a.b.c[1:2, ::3].d(e)(f)": """
        a read | . attribute dot | b attribute read | . attribute dot | c attribute read | [ subscript | 1 number
        | : slice | 2 number | , tuple | : slice | : slice | 3 number | ] subscript | . attribute dot
        | d method called | ( call | e read | ) call | ( call | f read | ) call""",
    "x, (y, z.w) = a[0], (b, (c))": """
        x bound | , tuple | ( tuple | y bound | , tuple | z read | . attribute dot | w attribute bound | ) tuple
        | = assignment | a read | [ subscript | 0 number | ] subscript | , tuple | ( tuple | b read | , tuple
        | ( grouping | c read | ) grouping | ) tuple""",
    "(a), (b)": "( grouping | a read | ) grouping | , tuple | ( grouping | b read | ) grouping",
    "()": "( tuple | ) tuple",
    "for i in [j for j in k if j not in l]: x += i": """
        for statement | i bound | in statement | [ comprehension | j read | for comprehension | j bound
        | in comprehension | k read | if comprehension | j read | not comparison | in comparison | l read
        | ] comprehension | : statement | x bound | += assignment | i read""",
    "f(x for x in y)": """
        f function called | ( call | x read | for comprehension | x bound | in comprehension | y read | ) call""",
    "f((x for x in y), (z))": """
        f function called | ( call | ( comprehension | x read | for comprehension | x bound | in comprehension
        | y read | ) comprehension | , call | ( grouping | z read | ) grouping | ) call""",
    "f((x for x in y))": """
        f function called | ( call | ( comprehension | x read | for comprehension | x bound | in comprehension
        | y read | ) comprehension | ) call""",
    "{a: 1, **b}; {c, *d}; {e: f for e, f in g}; []": """
        { dict or set | a read | : dict or set | 1 number | , dict or set | ** unpacking | b read | } dict or set
        | ; statement | { dict or set | c read | , dict or set | * unpacking | d read | } dict or set | ; statement
        | { comprehension | e read | : dict or set | f read | for comprehension | e bound | , tuple | f bound
        | in comprehension | g read | } comprehension | ; statement | [ list | ] list""",
    "x = a if not b else lambda c, d=1: -c ** 2": """
        x bound | = assignment | a read | if conditional | not logic | b read | else conditional | lambda lambda
        | c parameter | , parameters | d parameter | = parameters | 1 number | : lambda | - sign | c read
        | ** arithmetic | 2 number""",
    "if (n := a.b) is not None and True or ...: pass": """
        if statement | ( grouping | n bound | := assignment | a read | . attribute dot | b attribute read | ) grouping
        | is comparison | not comparison | None constant | and logic | True constant | or logic | ... constant
        | : statement | pass statement""",
    "from ...a.b import (c as d, e)": """
        from import | ... import | a module | . import | b module | import import | ( import | c imported name
        | as import | d bound | , import | e imported name | ) import""",
    "from a import *": "from import | a module | import import | * import",
    "import a.b as c, d": """
        import import | a module | . import | b module | as import | c bound | , import | d module""",
    "with (open(a) as b, c): yield from d": """
        with statement | ( grouping | open function called | ( call | a read | ) call | as statement | b bound
        | , statement | c read | ) grouping | : statement | yield yield or await | from yield or await | d read""",
    "try: raise A from b\nexcept (B, C) as e: del x, y.z, w[0]": """
        try statement | : statement | raise statement | A read | from statement | b read | except statement | ( tuple
        | B read | , tuple | C read | ) tuple | as statement | e bound | : statement | del statement | x deleted
        | , statement | y read | . attribute dot | z deleted | , statement | w read | [ subscript | 0 number
        | ] subscript""",
    "def f():\n    global a, b\n    assert a, b'c' rb'd'": """
        def statement | f function defined | ( parameters | ) parameters | : statement | global statement | a bound
        | , statement | b bound | assert statement | a read | , statement | b'c' text | rb'd' text""",
    "f'{a+b:{c}}' 'd' % (e,)": "f'{a+b:{c}}' text | 'd' text | % arithmetic | ( tuple | e read | , tuple | ) tuple",
    "match(match.case, type, _)": """
        match function called | ( call | match read | . attribute dot | case attribute read | , call | type read
        | , call | _ read | ) call""",
    "match a:\n  case B(c, d=-1) | [_, *e] if f: pass\n  case {'g': (h), **i}: pass\n  case (None, j) as k: pass": """
        match statement | a read | : statement | case statement | B function called | ( call | c bound | , call
        | d argument name | = call | - sign | 1 number | ) call | | logic | [ list | _ bound | , tuple | * unpacking
        | e bound | ] list | if statement | f read | : statement | pass statement
        | case statement | { dict or set | 'g' text | : dict or set | ( grouping | h bound | ) grouping
        | , dict or set | ** unpacking | i bound | } dict or set | : statement | pass statement
        | case statement | ( tuple | None constant | , tuple | j bound | ) tuple | as statement | k bound
        | : statement | pass statement""",
}


@pytest.mark.parametrize("source", BY_HAND)
def test_roles_by_hand(source: str) -> None:
    expected = [tuple(said.split(maxsplit=1)) for said in " ".join(BY_HAND[source].split()).split(" | ")]
    assert roles_of(source) == expected


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
def test_roles_in_newer_syntax() -> None:
    source = "type A[T: int] = list[T]\ndef f[*T](x): return f'{x['y']}' 'z'\n"
    expected = """
        type statement | A bound | [ parameters | T parameter | : annotation | int read | ] parameters | = assignment
        | list read | [ subscript | T read | ] subscript | def statement | f function defined | [ parameters
        | * parameters | T parameter | ] parameters | ( parameters | x parameter | ) parameters | : statement
        | return statement | f'{x['y']}' text | 'z' text"""
    assert roles_of(source) == [tuple(s.split(maxsplit=1)) for s in " ".join(expected.split()).split(" | ")]


@pytest.mark.parametrize(
    "source",
    [
        "'é' + ñ.f(ü)",  # ast counts bytes, tokenize characters
        "\f'é' \\\n  + ñ.f(ü)",
        "'é' + ñ.f(ü)  # without an end",
        "\n\n'é' + ñ.f(ü)\n\n",
    ],
)
def test_places_are_found_however_the_text_is_written(source: str) -> None:
    roles = [role for _, role in roles_of(source)]
    assert roles == ["text", "arithmetic", "read", "attribute dot", "method called", "call", "read", "call"]


def test_statements_are_logical_lines_without_comments() -> None:
    source = "if a:  # why\n    f(\n        1,  # one\n    ); g()\n\nelse: pass\n"
    found = statements(source, ast.parse(source))
    assert [[token.form for token in statement] for statement in found] == [
        ["if", "<name>", ":"],
        ["<name>", "(", "<number>", ",", ")", ";", "<name>", "(", ")"],
        ["else", ":", "pass"],
    ]
    assert (found[1][0].start, found[1][-1].end) == ((2, 4), (4, 10))


def test_literals_and_identifiers_are_hidden() -> None:
    source = "match(ab, 1j, 'b', Rb'', f'', U'x', True)"
    (found,) = statements(source, ast.parse(source))
    forms = [token.form for token in found if token.form not in ("(", ")", ",")]
    assert forms == ["match", "<name>", "<number>", "<string>", "<bytes>", "<fstring>", "<string>", "True"]


def test_forms_and_roles_are_listed_once() -> None:
    assert (len(set(FORMS)), len(set(ROLES)), len(FAMILIES)) == (len(FORMS), len(ROLES), 9) == (91, 40, 9)


# Roles that there are as many tokens of as nodes, as `counts_in` calls them.
ONCE = {
    "class defined": "ClassDef",
    "parameter": "arg",
    "argument name": "named",
    "sign": "sign",
    "arithmetic": "BinOp",
    "comparison": "compared",
    "attribute bound": "Attribute.Store",
    "attribute dot": "Attribute",
}
NAMES = ("<name>", "match", "case", "type", "_")


def counts_in(tree: ast.AST) -> Counter[str]:
    """How many tokens must have some roles, counted in the tree alone."""
    found: Counter[str] = Counter()
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.JoinedStr):
            continue  # one token
        stack += ast.iter_child_nodes(node)
        found[type(node).__name__] += 1
        if isinstance(node, ast.Name | ast.Attribute):
            found[f"{type(node).__name__}.{type(node.ctx).__name__}"] += 1
        elif isinstance(node, ast.UnaryOp):
            found["sign"] += not isinstance(node.op, ast.Not)
        elif isinstance(node, ast.keyword):
            found["named"] += node.arg is not None
        elif isinstance(node, ast.Compare):
            found["compared"] += sum(1 + isinstance(op, ast.NotIn | ast.IsNot) for op in node.ops)
    return found


def check_counts(text: str) -> None:
    """Roles as given, against how many nodes of some classes there are; and no token left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        tree = ast.parse(text)
    said = [token for statement in statements(text, tree) for token in statement]
    has, nodes = Counter(token.role for token in said), counts_in(tree)
    assert has["function defined"] == nodes["FunctionDef"] + nodes["AsyncFunctionDef"]
    for role, node in ONCE.items():
        assert has[role] == nodes[node], role
    assert has["lambda"] == 2 * nodes["Lambda"]
    assert has["conditional"] == 2 * nodes["IfExp"]
    assert has["yield or await"] == nodes["Yield"] + 2 * nodes["YieldFrom"] + nodes["Await"]
    assert has["subscript"] == 2 * nodes["Subscript"]
    assert has["deleted"] == nodes["Name.Del"] + nodes["Attribute.Del"]
    names = (
        "read",
        "function called",
        "attribute read",
        "method called",
        "decorator",
        "annotation",
        "base class",
    )
    loads = sum(token.role in names and token.form in NAMES for token in said)
    assert loads == nodes["Name.Load"] + nodes["Attribute.Load"]
    if "MatchAs" not in nodes:
        opened = sum(token.role == "call" and token.form == "(" for token in said)
        assert opened == nodes["Call"]
    assert {token.role for token in said} <= set(ROLES)
    assert {token.form for token in said} <= set(FORMS)


@pytest.mark.parametrize("module", ["dataclasses", "asyncio/base_events", "typing", "fractions"])
def test_counts_of_roles_are_those_of_nodes(module: str) -> None:
    with tokenize.open(LIBRARY / f"{module}.py") as file:
        check_counts(file.read())


@pytest.mark.slow
def test_all_of_the_library_can_be_labelled() -> None:
    for path in source_files(LIBRARY, SKIPPED_FOLDERS):
        with tokenize.open(path) as file:
            check_counts(file.read())
