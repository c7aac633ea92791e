"""Python code as tokens, each with the role that it plays in its statement."""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize
from collections.abc import Iterator
from typing import Any, NamedTuple

from .role_tables import FORMS, IDENTIFIERS, LITERALS, REST, SIGNS, USES

_DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_SHOWN = frozenset(FORMS)
_PREFIX = re.compile("[A-Za-z]*")


class Token(NamedTuple):
    """A token of Python code."""

    form: str  # in FORMS
    role: str  # in ROLES
    start: tuple[int, int]  # line, from 1; column in characters, from 0
    end: tuple[int, int]


class _Word(NamedTuple):
    """A token before its role is known."""

    form: str
    start: tuple[int, int]
    end: tuple[int, int]


class _Owner(NamedTuple):
    """The innermost node that covers a token."""

    node: ast.AST
    use: str  # what a node above makes of it, see _children
    first: int  # its tokens, by number
    last: int


def statements(text: str, tree: ast.Module) -> list[list[Token]]:
    """The statements of a source text, with the roles of their tokens; see `TokenRoles`.

    A statement is what Python calls a logical line: a compound one ends with its colon, unless its body is on the
    same line. Comments and line breaks are no tokens.

    Args:
        text: the source.
        tree: what `ast` makes of it.
    """
    lines = _words(text)
    words = [word for line in lines for word in line]
    owners = _owners(tree, words, text)
    brackets = _round_brackets(words, owners)
    roles = [
        brackets.get(i) or _role(word.form, words[i - 1].form, owners[i]) for i, word in enumerate(words)
    ]
    in_order = iter(roles)
    return [[Token(word.form, next(in_order), word.start, word.end) for word in line] for line in lines]


def _words(text: str) -> list[list[_Word]]:
    """The tokens of each logical line; strings with replacement fields, which newer Pythons cut up, in one."""
    opening = [getattr(tokenize, f"{kind}STRING_START", None) for kind in "FT"]
    closing = [getattr(tokenize, f"{kind}STRING_END", None) for kind in "FT"]
    lines: list[list[_Word]] = [[]]
    cut_up: list[tuple[int, int]] = []  # where the strings around a token begin
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in opening:
            cut_up.append(token.start)
        elif token.type in closing:
            start = cut_up.pop()
            if not cut_up:
                lines[-1].append(_Word("<fstring>", start, token.end))
        elif token.type == tokenize.NEWLINE:
            lines.append([])
        elif not cut_up and token.type in (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP):
            lines[-1].append(_Word(_form(token), token.start, token.end))
    return [line for line in lines if line]


def _form(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NUMBER:
        return "<number>"
    if token.type == tokenize.STRING:
        prefix = _PREFIX.match(token.string)[0].lower()  # pyright: ignore
        return "<bytes>" if "b" in prefix else "<fstring>" if "f" in prefix else "<string>"
    return token.string if token.string in _SHOWN else "<name>"


def _owners(tree: ast.Module, words: list[_Word], text: str) -> list[_Owner]:
    """Per token. A node is painted over its parent, so that in the end the innermost is to be seen."""
    lines = text.split("\n")

    def place(line: int, column: int) -> tuple[int, int]:
        """As `ast` counts: in bytes."""
        before = lines[line - 1][:column]
        return line, column if before.isascii() else len(before.encode())

    beginning = {place(*word.start): i for i, word in enumerate(words)}
    ending = {place(*word.end): i for i, word in enumerate(words)}
    owners = [_Owner(tree, "", 0, len(words) - 1)] * len(words)
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, use = stack.pop()
        if hasattr(node, "end_lineno"):
            at: Any = node
            first = beginning[at.lineno, at.col_offset]
            last = ending[at.end_lineno, at.end_col_offset]
            owner = _Owner(node, use, first, last)
            if isinstance(node, _DEFINITIONS) and node.decorator_list:
                decorator = node.decorator_list[0]
                first = beginning[decorator.lineno, decorator.col_offset]
                while words[first].form != "@":
                    first -= 1
            owners[first : last + 1] = [owner] * (last + 1 - first)
        stack += _children(node, use)
    return owners


def _children(node: ast.AST, use: str) -> Iterator[tuple[ast.AST, str]]:
    """The nodes below a node, each with what it is used for."""
    kind = type(node).__name__
    if kind in ("JoinedStr", "TemplateStr"):
        return  # one token
    for field, value in ast.iter_fields(node):
        if use == "annotation" or field in ("annotation", "returns"):
            below = "annotation"
        elif field == "func" and use in ("decorator", "base class"):
            below = use
        else:
            below = USES.get((kind, field), "")
        for child in value if isinstance(value, list) else [value]:
            if kind == "Call" and isinstance(child, ast.GeneratorExp) and _end(child) == _end(node):
                yield child, "sole argument"  # in the brackets of the call
            elif isinstance(child, ast.AST):
                yield child, below


def _end(node: Any) -> tuple[int, int]:
    return (node.end_lineno, node.end_col_offset)


def _round_brackets(words: list[_Word], owners: list[_Owner]) -> dict[int, str]:
    """The roles of round brackets: those that belong to nothing are for grouping."""
    roles: dict[int, str] = {}
    opened: list[int] = []
    headers: set[int] = set()  # the definitions whose first bracket has been met
    for i, word in enumerate(words):
        node, use, first, last = owners[i]
        if word.form == "(":
            opened.append(i)
            if isinstance(node, _DEFINITIONS) and first < i and first not in headers:
                headers.add(first)
                roles[i] = "base class" if isinstance(node, ast.ClassDef) else "parameters"
        elif word.form == ")":
            begin = opened.pop()
            if begin in roles:
                role = roles[begin]
            elif isinstance(node, ast.Call | ast.MatchClass) and i == last:
                role = "call"
            elif isinstance(node, ast.ImportFrom):
                role = "import"
            elif (begin, i) == (first, last) and isinstance(node, ast.Tuple | ast.MatchSequence):
                role = "tuple"
            elif (begin, i) == (first, last) and isinstance(node, ast.GeneratorExp):
                role = "call" if use == "sole argument" else "comprehension"
            else:
                role = "grouping"
            roles[begin] = roles[i] = role
    return roles


def _role(form: str, before: str, owner: _Owner) -> str:
    """The role of a token that is no round bracket, and has the token `before` before it."""
    node, use, *_ = owner
    kind = type(node).__name__
    if form in LITERALS:
        return LITERALS[form]
    if isinstance(node, ast.Name | ast.Attribute) and form != ".":
        if not isinstance(node.ctx, ast.Load):
            stored = "bound" if isinstance(node, ast.Name) else "attribute bound"
            return stored if isinstance(node.ctx, ast.Store) else "deleted"
        if use == "called":
            return "function called" if isinstance(node, ast.Name) else "method called"
        plain = "read" if isinstance(node, ast.Name) else "attribute read"
        return use if use in ("decorator", "base class", "annotation") else plain
    if isinstance(node, ast.alias) and _is_name(form):
        return "bound" if before == "as" else use
    if kind in IDENTIFIERS and _is_name(form):
        return IDENTIFIERS[kind]
    return SIGNS.get((kind, form)) or REST.get(kind, "statement")


def _is_name(form: str) -> bool:
    return form == "<name>" or (form.isidentifier() and not keyword.iskeyword(form))
