"""A failing cell made smaller: terms of its results are left out, and then what nobody reads, as long as it fails."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import graphrec as gr
from tests.fuzz.author import RandomCell, define


def shrunk(cell: gr.Cell, fails: Callable[[], bool]) -> str:
    """The source of a cell that still fails; the cell itself is changed to it."""
    parts = [part for part in cell.modules() if isinstance(part, RandomCell)]
    changed = True
    while changed:
        changed = False
        for part in parts:
            for smaller in _smaller(part.source):
                before = part.source
                define(part, smaller)
                if fails():
                    changed = True
                    break
                define(part, before)
    return "\n".join(f"# part {number}\n{part.source}" for number, part in enumerate(parts))


def _smaller(source: str) -> Iterator[str]:
    """Each way to leave out a term, or one of a method's own calls."""
    count = sum(isinstance(node, ast.BinOp) for node in ast.walk(ast.parse(source)))
    for number in range(count):
        for keeps_left in (True, False):
            tree = _Leaving(number, keeps_left).visit(ast.parse(source))
            yield ast.unparse(_without_dead(tree))


class _Leaving(ast.NodeTransformer):
    """Leaves out one side of the operation of this number."""

    def __init__(self, number: int, keeps_left: bool) -> None:
        self.number, self.keeps_left, self.seen = number, keeps_left, 0

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.seen += 1
        if self.seen - 1 == self.number:
            return node.left if self.keeps_left else node.right
        return self.generic_visit(node)


def _without_dead(tree: ast.Module) -> ast.Module:
    for function in tree.body:
        assert isinstance(function, ast.FunctionDef)
        read: set[str] = set()
        kept: list[ast.stmt] = []
        for line in reversed(function.body):
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) not in read:
                continue
            read |= {node.id for node in ast.walk(line) if isinstance(node, ast.Name)}
            kept.insert(0, line)
        function.body = kept
    return tree
