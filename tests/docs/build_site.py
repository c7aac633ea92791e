"""Build the site, strictly: `python -m tests.docs.build_site`, which is `make docs`.

Zensical renders the pages and checks the links between them. This adds what it has not: a warning of any part is an
error; formulas become MathML; files of the repository that pages link to come along; nothing is loaded from elsewhere;
every link of the finished pages, those between docstrings among them, leads somewhere; and what assistants read
(`llms.txt`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import yaml

from tests.docs import formulas, llms

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
# What Zensical lets pages load for their search when they are read from a folder, and our own that does the same.
SHIM, OWN_SHIM = "https://unpkg.com/iframe-worker/shim", "assets/offline.js"


def nav_pages(config: Path = ROOT / "mkdocs.yml") -> list[tuple[str, str]]:
    """The pages of the navigation, each with its section."""
    # safe_load refuses the names of functions that some extensions are given.
    nav = yaml.safe_load(config.read_text().replace("!!python/name:", ""))["nav"]
    return [(section, page) for part in nav for section, pages in part.items() for page in pages]


def render() -> None:
    """Run Zensical; what it or a part of it warns of is an error."""
    shutil.rmtree(SITE, ignore_errors=True)
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "zensical", "build", "--clean"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    if done.returncode or re.search(r"warning|error|griffe:|[1-9]\d* issues? found", said, re.IGNORECASE):
        sys.exit(f"the site does not build:\n{said}")


class Page(HTMLParser):
    """What a finished page loads, where it links to, and which anchors it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.shows_module = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        self.shows_module |= "doc-symbol-module" in given.get("class", "")
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") != "canonical":
            self.loads.append(given.get("href", ""))
        else:
            self.loads += [given[name] for name in ("src", "srcset", "data", "poster") if name in given]


def is_elsewhere(address: str) -> bool:
    """Whether an address is not the site's own."""
    return bool(re.match(r"(https?:)?//", address))


def bring_along(site: Path = SITE, repository: Path = ROOT) -> None:
    """Convert formulas; copy the files of the repository that pages link to, and let the links lead to the copies."""
    for path in sorted(site.rglob("*.html")):
        up = "../" * len(path.relative_to(site).parent.parts)
        text = path.read_text().replace(SHIM, up + OWN_SHIM)
        text = formulas.convert(text)
        for link in sorted(set(re.findall(rf'href="{up}\.\./([^"#?]+)"', text))):
            if (repository / link).is_file():
                copy = site / "repository" / link
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(repository / link, copy)
                text = text.replace(f'href="{up}../{link}"', f'href="{up}repository/{link}"')
        path.write_text(text)


def faults(site: Path = SITE) -> list[str]:
    """What is wrong with the finished pages: things loaded from elsewhere, links and anchors that lead nowhere."""
    found = []
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site)
        if page.shows_module:
            found.append(f"{name} shows a module: name the function by the module that defines it")
        found += [f"{name} loads {address}" for address in page.loads if is_elsewhere(address)]
        for link in dict.fromkeys([*page.links, *page.loads]):
            if re.match(
                r"[a-z]+:|//|/", link
            ):  # elsewhere, data:, mailto:; 404.html has addresses from the root on
                continue
            address, _, anchor = unquote(link).partition("#")
            target = (path.parent / address).resolve() if address else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                found.append(f"{name} links to {link}, which is not there")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{name} links to {link}, where there is no such anchor")
    for path in sorted(site.rglob("*.css")):
        loaded = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s]+)", path.read_text())
        found += [f"{path.relative_to(site)} loads {a}" for a in loaded if is_elsewhere(a)]
    return found


def main() -> None:
    """Build, add, check."""
    render()
    bring_along()
    llms.write(SITE, nav_pages())
    found = faults()
    if found:
        sys.exit("the site is not as it should be:\n" + "\n".join(found))
    print(f"{len(list(SITE.rglob('*.html')))} pages: {SITE / 'index.html'}")


if __name__ == "__main__":
    main()
