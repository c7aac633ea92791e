"""The pictures that token_roles.py draws: a function's code with predicted roles, and the recall of each role."""

from __future__ import annotations

import itertools
import re
from typing import Any

import common
from data.corpus import parse_file
from data.role_tables import FAMILIES, ROLES
from data.roles import Token
from data.syntax import functions
from data.token_roles import TokenRoles
from torch import Tensor

Statements = list[list[Token]]

COLOURS = {  # of families of roles; light enough for text
    "variables": "#9CC9E8",
    "definitions": "#7FD1B2",
    "calls": "#F6C667",
    "attributes": "#C9BFEA",
    "imports": "#EDA6C8",
    "literals": "#F3EC8F",
    "words": "#C9CED3",
    "operators": "#DDA38C",
    "brackets": "#DCD2B4",
}
COLOUR = {role: COLOURS[family] for family, roles in FAMILIES.items() for role in roles}


def passage(data: TokenRoles, most_lines: int = 16, columns: int = 72) -> tuple[str, list[str], Statements]:
    """The function with the most different roles among those that fit: its path, its lines, and its statements.

    The statements have their positions in these lines, the first of which is number 0.
    """
    best: Any = (False, 0), ()
    for path in data.files():
        text, statements = data.source(path).split("\n"), data.statements(path)
        for _, node in functions(parse_file(data.folder / path)):
            first, last, indent = node.lineno, node.end_lineno or 0, node.col_offset
            lines = text[first - 1 : last]
            inside = [s for s in statements if first <= s[0].start[0] and s[-1].end[0] <= last]
            fits = len(lines) <= most_lines and max(map(len, lines)) - indent <= columns
            cut = any(line[:indent].strip() for line in lines)  # a string whose lines start at column 0
            merit = fits and not cut, len({token.role for statement in inside for token in statement})
            if merit > best[0]:
                best = merit, (path, [line[indent:] for line in lines], inside, first, indent)
    if not best[1]:
        raise ValueError(
            f"expected functions in the test files of {data.folder}, got none: name a larger one."
        )
    path, code, inside, first, indent = best[1]

    def moved(at: tuple[int, int]) -> tuple[int, int]:
        return at[0] - first, at[1] - indent

    return path, code, [[t._replace(start=moved(t.start), end=moved(t.end)) for t in s] for s in inside]


def draw_code(title: str, code: list[str], statements: Statements, guesses: dict[str, Any]) -> Any:
    """The code once per model: each token in the colour of its predicted role's family, errors in red with it."""
    from matplotlib.patches import Rectangle

    red, text, middle = "#C00020", {"size": 8, "family": "monospace", "color": "#20262C"}, {"va": "center"}
    width, height = max(*map(len, code), 60) + 4, len(code) + 2.5  # of a panel, in characters and lines
    fig = common.figure(2 * width * 0.602 * 8 / 72, 0.29 * (2 * height + 4))
    fig.set_layout_engine("none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, 2 * width), ylim=(2 * height + 4, 0))
    ax.set_axis_off()

    def fill(x: float, y: float, length: float, thickness: float, colour: str) -> None:
        ax.add_patch(Rectangle((x, y), length, thickness, color=colour, lw=0))

    ax.text(2, 1.2, title, size=12, weight="bold", **middle)
    for panel, (name, said) in enumerate(guesses.items()):
        left, top = 2 + panel % 2 * width, 4.1 + panel // 2 * height
        pairs = list(zip(itertools.chain(*statements), itertools.chain(*said), strict=True))
        wrong = sum(token.role != role for token, role in pairs)
        ax.text(left, top - 1.3, f"{name}: {wrong or 'none'} of {len(pairs)} wrong", size=10, **middle)
        for row, line in enumerate(code):
            for word in re.finditer(r"\S+", line):
                ax.text(left + word.start(), top + row, word[0], **text, **middle)
        free = [0.0] * len(code)  # by line, where the free space below it starts
        for token, role in pairs:
            (row, begin), (last, end) = token.start, token.end
            ends = [len(line) for line in code[row:last]] + [end]  # of a string over several lines
            for line, stop in enumerate(ends, start=row):
                start = begin if line == row else len(code[line]) - len(code[line].lstrip())
                fill(left + start + 0.04, top + line - 0.35, max(0, stop - start - 0.08), 0.7, COLOUR[role])
            if role != token.role:
                fill(left + begin, top + row + 0.34, ends[0] - begin, 0.09, red)
                x = max(left + begin, free[row])
                ax.text(x, top + row + 0.53, role, color=red, size=5, **middle)
                free[row] = x + 0.6 * len(role) + 0.5
    for i, (family, colour) in enumerate([*COLOURS.items(), ("wrong, and the prediction", red)]):
        x, y = 2 + i * (2 * width - 28) / len(COLOURS), 2 * height + 2.5
        fill(x, y, 1.6, 0.1 if colour == red else 0.6, colour)
        ax.text(x + 2, y + 0.3, family, size=8.5, color=red if colour == red else "black", **middle)
    return fig


def draw_roles(y: Tensor, guesses: dict[str, Tensor], title: str) -> Any:
    """For each role the share of its tokens that each model finds; roles by family."""
    fig = common.figure(8.6, 10)
    ax = fig.subplots()
    there = y.unique().tolist()
    for row, role in enumerate(there):
        ax.axhspan(row - 0.5, row + 0.5, color=COLOUR[ROLES[role]], alpha=0.4, lw=0)
        ax.axhline(row - 0.5, color="white", lw=1)
    styles = [("#56B4E9", "s"), ("#0072B2", "D"), ("#E69F00", "s"), ("#9A2A00", "D")]
    for i, ((name, guess), (colour, marker)) in enumerate(zip(guesses.items(), styles, strict=True)):
        found = [100 * float((guess[y == role] == role).double().mean()) for role in there]
        rows = [row + 0.2 * (i - 1.5) for row in range(len(there))]
        ax.plot(found, rows, marker, color=colour, ms=4.2, label=name, clip_on=False)
    names = [f"{ROLES[role]}  ({int((y == role).sum()):,})" for role in there]
    ax.set_yticks(range(len(there)), names, fontsize=9)
    ax.set(
        xlim=(0, 100),
        ylim=(len(there) - 0.5, -0.5),
        xlabel="share of the tokens with this role that is found, %",
        title=title,
    )
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    fig.legend(loc="outside lower center", ncols=2, frameon=False)
    return fig
