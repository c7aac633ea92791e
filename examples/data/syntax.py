"""Python functions as trees: typed nodes, and the words that their identifiers and constants are made of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeGuard

from graphrec.io.syntax import FIELD_NUMBER, SYNTAX_FIELDS, children_of, listed
from graphrec.structure import TreeRows

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

_HOLDS_STATEMENTS = ast.stmt | ast.ExceptHandler | ast.match_case


# A fixed list, so that a number means the same under every version of Python; 0 is for what is not in it.
# Name.Store is a Name that is assigned to; a plain Name is read. Constants are told apart by type.
NODE_TYPES = listed(
    """
    ? FunctionDef AsyncFunctionDef ClassDef Return Delete Assign TypeAlias AugAssign AnnAssign For AsyncFor
    While If With AsyncWith Match Raise Try TryStar Assert Import ImportFrom Global Nonlocal Expr Pass Break
    Continue BoolOp NamedExpr BinOp UnaryOp Lambda IfExp Dict Set ListComp SetComp DictComp GeneratorExp Await
    Yield YieldFrom Compare Call FormattedValue JoinedStr Interpolation TemplateStr Slice
    Constant.str Constant.bytes Constant.int Constant.float Constant.complex Constant.bool Constant.NoneType
    Constant.ellipsis Attribute Attribute.Store Attribute.Del Subscript Subscript.Store Subscript.Del
    Starred Starred.Store Name Name.Store Name.Del List List.Store List.Del Tuple Tuple.Store Tuple.Del
    And Or Add Sub Mult MatMult Div Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv Invert Not UAdd USub
    Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn
    comprehension ExceptHandler arguments arg keyword alias withitem match_case
    MatchValue MatchSingleton MatchSequence MatchMapping MatchClass MatchStar MatchAs MatchOr
    TypeVar ParamSpec TypeVarTuple
    """
)
FIELDS = SYNTAX_FIELDS
MASK = "<name>"

_TYPE_NUMBER = {name: i for i, name in enumerate(NODE_TYPES)}
# A run of capitals, a word with or without a capital, or a number; other alphabets count as small letters.
_SUBTOKEN = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_LONGEST_NUMBER = 4  # characters; longer numbers are rarely seen twice


class FunctionTree(NamedTuple):
    """A function's syntax tree, n nodes, children first."""

    rows: TreeRows
    node_type: list[int]  # in NODE_TYPES
    field: list[int]  # in FIELDS: the field of its parent that the node fills; 0 for the root
    words: list[list[str]]


def split_name(text: str) -> list[str]:
    """The words of an identifier or a text in lower case: `getHTTPHeader_2` is get, http, header, 2."""
    return [word.lower() for word in _SUBTOKEN.findall(text)]


def functions(module: ast.Module) -> Iterator[tuple[str, FunctionNode]]:
    """Every function and method with its qualified name, in the order of the source. No recursion."""
    stack: list[tuple[str, ast.AST]] = [("", module)]
    while stack:
        prefix, node = stack.pop()
        if isinstance(node, FunctionNode):
            yield prefix + node.name, node
            prefix += f"{node.name}.<locals>."
        elif isinstance(node, ast.ClassDef):
            prefix += f"{node.name}."
        # Only statements hold functions; expressions, most of the nodes, are left aside.
        below = [child for child in ast.iter_child_nodes(node) if isinstance(child, _HOLDS_STATEMENTS)]
        stack += [(prefix, child) for child in reversed(below)]


def function_tree(function: FunctionNode, max_words: int) -> FunctionTree:
    """The tree of a function, with its name masked and all docstrings dropped.

    Operators (`Add`, `Is`) are nodes. Contexts (`Load`, `Store`) are not: they are told by the node's type.

    Args:
        function: the definition, decorators included.
        max_words: how many words of a node are kept.
    """
    name = split_name(function.name)
    rows = TreeRows([], [], [], [])
    node_type, field, words = [], [], []
    # Parents first and the last child first: the reverse of children first, in order.
    stack: list[tuple[ast.AST, int, int, str]] = [(function, -1, 0, "")]
    while stack:
        node, above, slot, role = stack.pop()
        here = len(rows.parent)
        rows.parent.append(above)
        rows.slot.append(slot)
        node_type.append(_TYPE_NUMBER.get(_type_name(node), 0))
        field.append(FIELD_NUMBER.get(role, 0))
        words.append(_mask(_words(node), name)[:max_words])
        stack += [(child, here, i, role) for i, (role, child) in enumerate(_children(node)) if child]
    last = len(rows.parent) - 1
    rows = TreeRows([last - p for p in reversed(rows.parent)], rows.slot[::-1], [], [])
    rows.parent[last] = -1
    return FunctionTree(rows, node_type[::-1], field[::-1], words[::-1])


def _type_name(node: ast.AST) -> str:
    name = type(node).__name__
    if isinstance(node, ast.Constant):
        return f"{name}.{type(node.value).__name__}"
    context = getattr(node, "ctx", None)
    return name if context is None or isinstance(context, ast.Load) else f"{name}.{type(context).__name__}"


def _children(node: ast.AST) -> list[tuple[str, ast.AST | None]]:
    found = [(field, child) for field, child in children_of(node) if not isinstance(child, ast.expr_context)]
    if _begins_with_docstring(node):
        found.remove(("body", node.body[0]))
    return found


def _begins_with_docstring(node: ast.AST) -> TypeGuard[FunctionNode | ast.ClassDef]:
    if not isinstance(node, FunctionNode | ast.ClassDef):
        return False
    first = node.body[0]
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _words(node: ast.AST) -> list[str]:
    """What a node says itself, its children aside."""
    if isinstance(node, ast.Constant | ast.MatchSingleton):
        return _constant_words(node.value)
    words = ["async"] if isinstance(node, ast.comprehension) and node.is_async else []
    for _, value in ast.iter_fields(node):
        for name in value if isinstance(value, list) else [value]:
            if isinstance(name, str):
                words += split_name(name)
    if isinstance(node, ast.FormattedValue) and node.conversion >= 0:
        words.append(chr(node.conversion))  # !r
    return words


def _constant_words(value: object) -> list[str]:
    if isinstance(value, str):
        return split_name(value)
    if isinstance(value, bytes):
        return split_name(value.decode("latin-1"))
    written = repr(value).lower()
    return [written] if len(written) <= _LONGEST_NUMBER or isinstance(value, bool) else []


def _mask(words: list[str], name: list[str]) -> list[str]:
    """The words with every run that spells the name replaced by one MASK."""
    masked, place = [], 0
    while place < len(words):
        if name and words[place : place + len(name)] == name:
            masked.append(MASK)
            place += len(name)
        else:
            masked.append(words[place])
            place += 1
    return masked
