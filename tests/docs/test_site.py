"""The site holds every page and every public name, once, and what checks the finished site finds what is wrong.

`make docs` builds and checks the site itself.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections import Counter
from pathlib import Path

import pytest

import graphrec as gr
from tests.docs import formulas, llms
from tests.docs.build_site import ROOT, bring_along, faults, nav_pages
from tests.docs.llms import DIRECTIVE, DOCS, named, public_names

REFERENCE = sorted((DOCS / "reference").glob("*.md"))
# Folders and modules of the package that users import from, where they are there.
MODULES = [
    f"graphrec.{name}"
    for name in (
        "datasets",
        "dynamics",
        "io.circuits",
        "learning",
        "loader",
        "readout",
        "testing",
        "train",
        "transforms",
        "viz",
    )
    if importlib.util.find_spec(f"graphrec.{name}")
]


def directives() -> list[str]:
    """The dotted names of objects and modules that the reference asks for."""
    return [path for page in REFERENCE for path in DIRECTIVE.findall(page.read_text())]


def exists(path: str) -> bool:
    try:
        named(path)
    except ModuleNotFoundError:
        return False
    return True


def shown() -> list[str]:
    """The dotted names whose docstrings the reference shows."""
    names = []
    for path in filter(exists, directives()):
        if inspect.ismodule(named(path)):
            names += [f"{path}.{name}" for name in public_names(named(path))]
        else:
            names.append(path)
    return names


def offered() -> list[str]:
    """The dotted names that users may import."""
    names = [f"graphrec.{name}" for name in gr.__all__ if not inspect.ismodule(getattr(gr, name))]
    return names + [f"{module}.{name}" for module in MODULES for name in public_names(named(module))]


def test_the_navigation_names_every_page_and_nothing_else():
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    listed = Counter(page for _, page in nav_pages())
    assert there == set(listed), "mkdocs.yml: nav is to name each page of docs/"
    assert max(listed.values()) == 1


def test_the_reference_asks_for_what_there_is():
    assert [path for path in directives() if not exists(path)] == []


def test_names_that_modules_have_too_are_those_of_the_defining_module():
    """Reading the sources, griffe finds the module `schedule` where Python finds the function."""
    for path in filter(exists, directives()):
        value = named(path)
        if not inspect.isroutine(value):
            continue
        file = (ROOT / path.replace(".", "/")).with_suffix(".py")
        if file.exists() or value.__name__ in value.__module__.split("."):
            assert path == f"{value.__module__}.{value.__name__}"


def test_the_reference_shows_every_public_name_once():
    pages = {id(named(name)): name for name in shown()}  # what has two names is shown under one of them
    assert len(pages) == len(shown()), [name for name, count in Counter(shown()).items() if count > 1]
    missing = [name for name in offered() if id(named(name)) not in pages]
    assert not missing, "add to a page of docs/reference:\n" + "\n\n".join(f"::: {name}" for name in missing)


def test_the_reference_shows_nothing_that_is_private():
    names = [*offered(), *(f"graphrec.io.{name}" for name in public_names(gr.io))]
    objects = {id(named(name)) for name in names}
    assert [name for name in shown() if id(named(name)) not in objects] == ["graphrec.cell.Own"]


@pytest.mark.parametrize("name", sorted(set(offered())))
def test_docstrings_name_parameters_that_exist(name):
    value = named(name)
    text = inspect.getdoc(value) or ""
    if not inspect.isroutine(value) and not inspect.isclass(value):  # a constant, the name of a type
        return
    assert text, f"{name} has no docstring"
    if "\nArgs:\n" not in text:
        return
    section = re.split(r"\n(?=\S)", text.split("\nArgs:\n")[1])[0]
    documented = [
        word.strip(" *")
        for line in re.findall(r"^    (\S[^:`(]*):", section, re.M)
        for word in line.split(",")
    ]
    parameters = inspect.signature(value).parameters
    assert set(documented) <= set(parameters), f"{name} has {', '.join(parameters)}"


def test_the_contract_lists_every_field_and_method_of_the_inbox():
    page = (DOCS / "reference" / "contract.md").read_text()
    names = [name for name in vars(gr.Inbox) if not name.startswith("_")]
    missing = [name for name in names if not re.search(rf"`(inbox\.)?{name}[`(]", page)]
    assert not missing


def test_llms_txt_links_to_every_page():
    text = llms.index(nav_pages())
    assert text.startswith("# graphrec\n\n> ")
    links = re.findall(r"^- \[[^]]+\]\(([^)]+)\): \S", text, re.M)
    assert links == [page for _, page in nav_pages()]
    assert all((DOCS / link).is_file() for link in links)


def test_what_assistants_read_has_the_docstrings():
    text = "\n".join(llms.source(page) for _, page in nav_pages())
    assert "\n::: " not in text
    assert inspect.getdoc(gr.readout.Gated) in text


MODULE = "shows a module: name the function by the module that defines it"


def page(body: str) -> str:
    return f'<html><head><link rel="stylesheet" href="a.css"></head><body>{body}</body></html>'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "a.css").write_text("p { background: url(data:image/png;base64,AA) }")
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        page('<h1 id="top">x</h1><a href="sub/b.html#here">b</a><a href="#top">up</a>')
    )
    (tmp_path / "sub" / "b.html").write_text(
        '<p id="here"></p><a href="../index.html">x</a> <a href="https://arxiv.org">'
    )
    return tmp_path


def test_a_site_in_order_has_no_faults(site):
    assert faults(site) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="c.html">', "index.html links to c.html, which is not there"),
        (
            '<a href="sub/b.html#there">',
            "index.html links to sub/b.html#there, where there is no such anchor",
        ),
        ('<a href="#there">', "index.html links to #there, where there is no such anchor"),
        ('<img src="c.png">', "index.html links to c.png, which is not there"),
        ('<script src="https://cdn.net/a.js"></script>', "index.html loads https://cdn.net/a.js"),
        ('<h2 class="doc-symbol-module">', f"index.html {MODULE}"),
        ('<img src="//cdn.net/a.png">', "index.html loads //cdn.net/a.png"),
        ('<link rel="preconnect" href="https://fonts.net">', "index.html loads https://fonts.net"),
    ],
)
def test_faults_of_pages_are_found(site, body, fault):
    (site / "index.html").write_text(page(body))
    assert faults(site) == [fault]


@pytest.mark.parametrize(
    "rule", ["@import 'https://a.net/x.css';", "@font-face { src: url(https://a.net/x.woff) }"]
)
def test_faults_of_style_sheets_are_found(site, rule):
    (site / "a.css").write_text(rule)
    assert len(faults(site)) == 1


def test_files_that_pages_link_to_come_along(site, tmp_path_factory):
    repository = tmp_path_factory.mktemp("repository")
    (repository / "examples").mkdir()
    (repository / "examples" / "x.py").write_text("print()")
    (site / "sub" / "b.html").write_text(
        '<a href="../../examples/x.py">x</a> <a href="../../examples/y.py">y</a>'
    )
    bring_along(site, repository)
    assert (site / "repository" / "examples" / "x.py").read_text() == "print()"
    assert faults(site) == [
        "index.html links to sub/b.html#here, where there is no such anchor",
        "sub/b.html links to ../../examples/y.py, which is not there",
    ]


def test_pages_need_no_foreign_script_for_their_search(site):
    body = '<script src="https://unpkg.com/iframe-worker/shim"></script>'
    (site / "sub" / "b.html").write_text(f'<p id="here">{body}')
    (site / "assets").mkdir()
    (site / "assets" / "offline.js").write_text(Path(DOCS / "assets" / "offline.js").read_text())
    bring_along(site)
    assert faults(site) == []


def test_formulas_become_mathml():
    pytest.importorskip("latex2mathml")
    page = r'<p><span class="arithmatex">\(x_1 &lt; y\)</span></p><div class="formula">\frac{a}{b}</div>'
    found = formulas.convert(page)
    assert "arithmatex" not in found
    assert "<msub><mi>x</mi><mn>1</mn></msub><mo>&#x0003C;</mo><mi>y</mi>" in found
    assert '<div class="formula"><math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in found
    with pytest.raises(ValueError, match=r"\\nonsense is not converted to MathML"):
        formulas.to_mathml(r"a \nonsense b")
