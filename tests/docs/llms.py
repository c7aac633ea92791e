"""What assistants read of the site: `llms.txt`, an index of its pages; and `llms-full.txt`, their text.

After https://llmstxt.org: a title, a summary, and links to the pages' sources, which lie beside the pages. Where a page
shows docstrings, its source has them in full.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import graphrec

DOCS = Path(__file__).parents[2] / "docs"
DIRECTIVE = re.compile(r"^::: (\S+)\n(?:    .*\n?)*", re.MULTILINE)

INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


def named(path: str) -> Any:
    """The object of this dotted name; a function that has a module's name goes before the module."""
    module, _, name = path.rpartition(".")
    owner = importlib.import_module(module) if module else None
    return getattr(owner, name) if hasattr(owner, name) else importlib.import_module(path)


def public_names(module: Any) -> list[str]:
    """What a module offers: its `__all__`, or what it defines itself."""
    return list(
        getattr(module, "__all__", None)
        or [
            name
            for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        ]
    )


def described(path: str) -> str:
    """An object's signature and docstring, as text; a module's names one after the other."""
    value = named(path)
    if inspect.ismodule(value):
        return "\n\n".join(described(f"{path}.{name}") for name in public_names(value))
    name = path.rpartition(".")[2]
    lines = [f"### {f'graphrec.{name}' if getattr(graphrec, name, None) is value else path}"]
    if not inspect.isroutine(value) and not inspect.isclass(value):  # a constant, the name of a type
        return "\n\n".join([*lines, f"`{value!r}`"])
    if not (inspect.isclass(value) and issubclass(value, Exception)):
        lines.append(f"```\n{name}{inspect.signature(value)}\n```")
    return "\n\n".join([*lines, inspect.getdoc(value) or ""])


def text_of(page: str) -> str:
    """A page in Markdown, with the file of the repository that it includes."""
    return INCLUDED.sub(lambda found: (DOCS.parent / found[1]).read_text(), (DOCS / page).read_text())


def source(page: str) -> str:
    """A page in Markdown, with the docstrings that it shows."""
    return DIRECTIVE.sub(lambda found: described(found[1]) + "\n", text_of(page))


def summary(page: str) -> tuple[str, str]:
    """A page's title, and what its text begins with: sentences until they say something."""
    text = text_of(page)
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    prose = re.search(r"^(?!```|[#\n!<|:>-]).+(?:\n.+)*", text.split("\n", 1)[1], re.MULTILINE)
    beginning = re.match(r".{50,}?\.(?= |$)|.*", " ".join(prose[0].split()))[0] if prose else ""
    return title[1] if title else page, re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", beginning)


def index(pages: Iterable[tuple[str, str]]) -> str:
    """The text of llms.txt: pages by section, each with its title and its beginning."""
    pages = list(pages)
    lines = [
        "# graphrec",
        "",
        "> Recurrent, recursive and graph neural networks as one thing, for PyTorch and PyTorch Geometric: "
        "states of nodes, updated from the states of their predecessors, in an order.",
        "",
        "`import graphrec as gr`. The installed package holds a skill for assistants, "
        "`graphrec/.agents/skills/graphrec/SKILL.md`: what to import, idioms, the cell contract, errors and remedies.",
    ]
    for section in dict.fromkeys(section for section, _ in pages):
        lines += ["", f"## {section}", ""]
        for page in (page for where, page in pages if where == section):
            title, beginning = summary(page)
            lines.append(f"- [{title}]({page}): {beginning}")
    return "\n".join(lines) + "\n"


def write(site: Path, pages: Iterable[tuple[str, str]]) -> None:
    """llms.txt, llms-full.txt and the sources that they link to."""
    pages = list(pages)
    (site / "llms.txt").write_text(index(pages))
    sources = {page: source(page) for _, page in pages}
    for page, text in sources.items():
        (site / page).parent.mkdir(parents=True, exist_ok=True)
        (site / page).write_text(text)
    (site / "llms-full.txt").write_text("\n\n".join(sources.values()))
