"""Trees written as brackets."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..structure import TreeRows
from ..structure.checks import as_flag

# A token is a parenthesis, or a run of anything but ASCII blanks (treebanks have words with a
# no-break space inside); a backslash also takes the next character.
_TOKEN = re.compile(r"[()]|(?:\\.|[^()\s\\])+|\\", re.ASCII)

# How the Penn Treebank writes characters that its format needs itself.
_PTB_ESCAPES = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"}
_BYTE_ORDER_MARK = "\ufeff"
_BACKSLASHED = re.compile(r"\\([()\\/*])")


class _Open(NamedTuple):
    """A bracket that has been opened and not yet closed."""

    position: int
    label: list[str]  # empty until it has been read
    children: list[int]
    token: list[str]  # a token that may be all there is inside


def parse_brackets(text: str, labels: bool = True) -> TreeRows:
    r"""Read one tree from brackets, without recursion.

    With labels, the first word after `(` is the node's label: `(3 (2 It) (4 (2 's) (4 good)))`. Without, every
    word is a token: `( not ( a ( and b ) ) )`. A bracket around a single token is one node, a leaf; a token
    beside other children becomes a separate leaf, without label. A bracket that holds only a label, `(NP)`, is a
    leaf without token. `-LRB-`, `-RRB-` (and the square and curly ones) and the backslashed `\(`, `\)`, `\/`, `\*`,
    `\\` stand for the characters themselves.

    Raises:
        ValueError: malformed brackets, with the position of the first fault.
    """
    if not isinstance(text, str):
        raise TypeError(f"expected a tree in brackets as a text, got {type(text).__name__}.")
    labels = as_flag("labels", labels)
    rows = TreeRows([], [], [], [])
    stack: list[_Open] = []
    done = False
    for match in _TOKEN.finditer(text, 1 if text.startswith(_BYTE_ORDER_MARK) else 0):
        word, position = match.group(), match.start()
        if done:
            raise _fault(text, position, f"the tree has ended, but {word!r} follows; give one tree at a time")
        if word == "(":
            if stack:
                _settle(rows, stack[-1])
                if labels and not stack[-1].label:
                    stack[-1].label.append("")  # PTB wraps a whole tree in a bracket without label
            stack.append(_Open(position, [], [], []))
        elif word == ")":
            if not stack:
                raise _fault(text, position, "')' closes a bracket that was never opened")
            node = _close(rows, stack.pop(), text, labels)
            if stack:
                stack[-1].children.append(node)
            done = not stack
        elif not stack:
            rows.add([], unescape(word), None)  # a tree that is one bare token
            done = True
        elif labels and not stack[-1].label:
            stack[-1].label.append(word)
        else:
            if stack[-1].children or stack[-1].token:
                _settle(rows, stack[-1])
                stack[-1].children.append(rows.add([], unescape(word), None))
            else:
                stack[-1].token.append(unescape(word))
    if stack:
        raise _fault(text, stack[-1].position, f"'(' is never closed ({len(stack)} open at the end)")
    if not done:
        raise ValueError("expected a tree in brackets, got an empty text.")
    return rows


def unescape(word: str) -> str:
    """The characters that a word of the Penn Treebank stands for."""
    return _PTB_ESCAPES.get(word) or _BACKSLASHED.sub(r"\1", word)


def _settle(rows: TreeRows, bracket: _Open) -> None:
    """Make a pending token a leaf, now that it has siblings."""
    while bracket.token:
        bracket.children.append(rows.add([], bracket.token.pop(), None))


def _close(rows: TreeRows, bracket: _Open, text: str, labels: bool) -> int:
    if not (bracket.children or bracket.token or bracket.label):
        wanted = "a label or a token" if labels else "a token"
        raise _fault(text, bracket.position, f"the bracket holds nothing; a leaf needs {wanted}")
    token = bracket.token[0] if bracket.token else None
    return rows.add(bracket.children, token, bracket.label[0] if labels else None)


def _fault(text: str, position: int, what: str) -> ValueError:
    start, stop = max(0, position - 20), position + 20
    excerpt = ("…" if start else "") + text[start:stop] + ("…" if stop < len(text) else "")
    return ValueError(f"malformed brackets at position {position}: {what}. Near: {excerpt!r}")
