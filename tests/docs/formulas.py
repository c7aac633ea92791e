"""The formulas of finished pages as MathML, which browsers draw by themselves: no script, and nothing to load.

GitHub reads `$...$` and blocks of `math`; mkdocs.yml marks what they become in the site, and this converts it.
"""

from __future__ import annotations

import re
from html import unescape

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BLOCK = re.compile(r'<div class="formula">(.*?)</div>', re.DOTALL)


def to_mathml(latex: str, display: str = "inline") -> str:
    """A formula as MathML.

    Raises:
        ValueError: something in it that is not converted, which would be shown as LaTeX.
    """
    from latex2mathml.converter import convert  # of the extra `docs`

    found = convert(latex.strip().replace("{aligned}", "{align*}"), display=display)
    left = re.search(r">\s*\\[A-Za-z|]+", found)
    if left:
        raise ValueError(
            f"{left[0][1:].strip()} is not converted to MathML: write {latex.strip()!r} without it."
        )
    return found


def convert(page: str) -> str:
    """A finished page, its formulas as MathML."""
    page = BLOCK.sub(lambda m: f'<div class="formula">{to_mathml(unescape(m[1]), "block")}</div>', page)
    return INLINE.sub(lambda m: to_mathml(unescape(m[1])), page)
