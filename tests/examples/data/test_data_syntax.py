"""Functions as trees: every node there, typed and in order, the name nowhere."""

import ast
import sys
import textwrap

import pytest
from data.syntax import (
    FIELDS,
    MASK,
    NODE_TYPES,
    FunctionNode,
    FunctionTree,
    function_tree,
    functions,
    split_name,
)


def tree_of(source: str, max_words: int = 100) -> FunctionTree:
    """The tree of the first function of a source text."""
    _, function = next(functions(ast.parse(textwrap.dedent(source))))
    return function_tree(function, max_words)


def words_by_type(tree: FunctionTree, node_type: str) -> list[list[str]]:
    """The words of all nodes of a type, in order."""
    return [
        said for kind, said in zip(tree.node_type, tree.words, strict=True) if NODE_TYPES[kind] == node_type
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("get_data", ["get", "data"]),
        ("__getHTTPHeader2", ["get", "http", "header", "2"]),
        ("XMLParser", ["xml", "parser"]),
        ("_", []),
        ("utf-8 Größe", ["utf", "8", "größe"]),
        ("A", ["a"]),
    ],
)
def test_names_are_split_into_words(text: str, words: list[str]) -> None:
    assert split_name(text) == words


def test_a_function_by_hand() -> None:
    tree = tree_of("def f(x): y = -x + 1; return y")
    types = [NODE_TYPES[kind] for kind in tree.node_type]
    assert types == [
        "arg", "arguments", "Name.Store", "USub", "Name", "UnaryOp", "Add", "Constant.int", "BinOp", "Assign",
        "Name", "Return", "FunctionDef",
    ]  # fmt: skip
    fields = [FIELDS[field] for field in tree.field]
    assert fields == [
        "args", "args", "targets", "op", "operand", "left", "op", "right", "value", "body", "value", "body",
        "?",
    ]  # fmt: skip
    assert tree.rows.parent == [1, 12, 9, 5, 5, 8, 8, 8, 9, 12, 11, 12, -1]
    assert tree.rows.slot == [0, 0, 0, 0, 1, 0, 1, 2, 1, 1, 0, 2, 0]
    assert tree.words == [["x"], [], ["y"], [], ["x"], [], [], ["1"], [], [], ["y"], [], [MASK]]


def test_the_name_is_masked_wherever_it_stands() -> None:
    tree = tree_of(
        """
        @get_data.setter
        def _get_data(self, get_data=None, *, getData: "GetData" = b"get data"):
            import get_data as g
            global get_data
            def inner(get_DATA): return super().get_data()
            try:
                self._get_data(get_data=1)
            except E as get_data:
                raise ValueError("cannot get data from get_data()", f"get_data {self} GET_DATA")
            return self.__get_data_fast and data.get
        """
    )
    names = [("get", "data")]
    runs = [tuple(said[i : i + 2]) for said in tree.words for i in range(len(said))]
    assert not set(names) & set(runs)
    assert words_by_type(tree, "Constant.str") == [
        [MASK],
        ["cannot", MASK, "from", MASK],
        [MASK],
        [MASK],
    ]
    assert words_by_type(tree, "alias") == [[MASK, "g"]]
    assert words_by_type(tree, "Global") == [[MASK]]
    assert words_by_type(tree, "arg") == [["self"], [MASK], [MASK], [MASK]]
    assert words_by_type(tree, "keyword") == [[MASK]]
    assert words_by_type(tree, "ExceptHandler") == [[MASK]]
    assert words_by_type(tree, "Constant.bytes") == [[MASK]]
    assert words_by_type(tree, "FunctionDef") == [["inner"], [MASK]]
    # A part of the name is no secret, nor is the name a secret within a longer one: it is masked there too.
    assert words_by_type(tree, "Attribute") == [[MASK], [MASK], [MASK, "fast"], ["get"], ["setter"]]


def test_words_beyond_the_limit_are_dropped_after_masking() -> None:
    tree = tree_of("def f_g(): return 'one f g two three'", max_words=3)
    assert words_by_type(tree, "Constant.str") == [["one", MASK, "two"]]


def test_docstrings_are_dropped_everywhere() -> None:
    tree = tree_of(
        '''
        def f():
            """outer"""
            class C:
                """of the class"""
                "not a docstring"
            async def g():
                """inner"""
            return "kept"
        '''
    )
    assert words_by_type(tree, "Constant.str") == [["not", "a", "docstring"], ["kept"]]


def test_constants_are_told_apart() -> None:
    tree = tree_of("def f(): return 'a b', b'c', 1, 12345, 0.5, 2j, True, None, ..., 'dé', u'x'")
    constants = [
        (NODE_TYPES[kind].removeprefix("Constant."), said)
        for kind, said in zip(tree.node_type, tree.words, strict=True)
        if NODE_TYPES[kind].startswith("Constant.")
    ]
    assert constants == [
        ("str", ["a", "b"]), ("bytes", ["c"]), ("int", ["1"]), ("int", []), ("float", ["0.5"]),
        ("complex", ["2j"]), ("bool", ["true"]), ("NoneType", ["none"]), ("ellipsis", []),
        ("str", ["dé"]), ("str", ["x"]),
    ]  # fmt: skip


def test_programs_that_differ_in_places_and_marks_alone_are_told_apart() -> None:
    pairs = [
        ("{**a, b: c}", "{b: a, **c}"),
        ("[a async for a in b]", "[a for a in b]"),
        ("f'{a!r}'", "f'{a}'"),
        ("x[i:]", "x[:i]"),
    ]
    for one, other in pairs:
        assert tree_of(f"async def f(): return {one}") != tree_of(f"async def f(): return {other}")
    one, other = (tree_of(f"def f():\n match x:\n  case {value}: pass") for value in ("True", "None"))
    assert one != other


def test_what_is_assigned_to_is_told_from_what_is_read() -> None:
    tree = tree_of("def f(): a.b[c], *d = e; del g[h]")
    types = [NODE_TYPES[kind] for kind in tree.node_type]
    assert types == [
        "arguments", "Name", "Attribute", "Name", "Subscript.Store", "Name.Store", "Starred.Store",
        "Tuple.Store", "Name", "Assign", "Name", "Name", "Subscript.Del", "Delete", "FunctionDef",
    ]  # fmt: skip


def test_all_that_a_function_can_hold_has_a_number() -> None:
    bases = [ast.stmt, ast.expr, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.pattern]
    bases += [ast.type_param] if sys.version_info >= (3, 12) else []
    classes = [c for base in bases for c in base.__subclasses__()]
    classes += [ast.comprehension, ast.ExceptHandler, ast.arguments, ast.arg, ast.keyword, ast.alias]
    classes += [ast.withitem, ast.match_case]
    # Both of these are told apart further, Constant by type and Name by context.
    assert {c.__name__ for c in classes} - set(NODE_TYPES) == {"Constant"}
    source = """
        async def f(a: int, /, b=1, *c, d, e=2, **g) -> None:
            async with x as y, z: pass
            async for i in j: await k
            else: pass
            match m:
                case {"n": 1, **o} | [p, *_]: pass
                case Q(1, r=None) if s: pass
            try: t: int = u
            except* V as w: raise X from Y
            finally: assert a, "b"
            return {**c}, {d: [lambda: e for f in g if h]}, (yield), i if j else k, l[1:2:3]
            return f"{m!r:>{n}}", o < p
        """
    tree = tree_of(source)
    assert 0 not in tree.node_type
    assert 0 not in tree.field[:-1]
    assert tree.field[-1] == 0
    assert len(set(NODE_TYPES)) == len(NODE_TYPES)
    assert len(set(FIELDS)) == len(FIELDS)


def test_functions_are_found_with_their_qualified_names() -> None:
    module = ast.parse(
        textwrap.dedent(
            """
            def a():
                if x:
                    def b(): pass
            class C:
                class D:
                    async def e(self): pass
                def g(self): return lambda: 1
            try:
                def h(): pass
            except E:
                def i(): pass
            match x:
                case 1:
                    def j(): pass
            """
        )
    )
    assert [name for name, _ in functions(module)] == ["a", "a.<locals>.b", "C.D.e", "C.g", "h", "i", "j"]


def test_depth_is_no_obstacle() -> None:
    function = ast.parse("def f(): return x").body[0]
    assert isinstance(function, FunctionNode)
    value: ast.expr = ast.Name("x", ast.Load())
    for _ in range(50_000):
        value = ast.UnaryOp(ast.Not(), value)
    function.body = [ast.Return(value)]
    tree = function_tree(function, 1)
    assert len(tree.words) == 2 * 50_000 + 4
    statement: ast.stmt = ast.Pass()
    for _ in range(5_000):
        statement = ast.If(ast.Name("x", ast.Load()), [statement], [])
    function.body = [statement]
    assert [name for name, _ in functions(ast.Module([function], []))] == ["f"]
