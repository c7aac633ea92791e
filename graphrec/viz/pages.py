"""A run as a page: one HTML file that shows it step by step, and asks for nothing outside of itself."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import nn

from ..structure.checks import as_flag, as_texts
from .described import describe
from .recorded import record

MOST_NODES = 20_000


class Page:
    """A page that shows a run; see `graphrec.viz.html`. In a notebook it shows itself.

    Attributes:
        text: the whole of it.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, and return its path: open it in a browser."""
        path = Path(path)
        path.write_text(self.text, encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        # In a frame: its style and keys are not the notebook's, and scripts can do nothing but draw.
        frame = "width: 100%; height: 640px; border: 1px solid #8884; border-radius: 6px"
        return f'<iframe sandbox="allow-scripts" style="{frame}" srcdoc="{escape(self.text)}"></iframe>'

    def __repr__(self) -> str:
        return f"Page({len(self.text.encode()):,} bytes): .save(path) writes it to a file"


def html(
    model: Callable[..., Any],
    s: Any,
    x: Any,
    initial: Any = None,
    *,
    labels: Sequence[str | None] | None = None,
    title: str | None = None,
    gradients: bool = True,
) -> Page:
    """A page that shows a run step by step: the structure, its levels and segments, the states, and who reads whom.

    It also shows what ran each cell and why nothing faster did (as `graphrec.explain`), and how gradients change
    with distance (`graphrec.dynamics.gradient_flow`, from the last node of each connected part, the first one on its
    highest level). The page is one file, which works without a network; the same run gives the same file. Texts are
    shown as texts, whatever is in them. A model of several cells has a run for each, to choose from.

    Args:
        model: called as `model(x, s)`: a model, a function that calls one, or a cell. It is run without
            gradients in the mode that it is in (dropout, say), once (in sync mode twice, to see all rounds); for
            the gradients each async run is done once more. Buffers and random numbers are afterwards as they were.
        s: what it runs over; for a cell also a Schedule.
        x: its input.
        initial: the initial state, as the model or `graphrec.run` takes it.
        labels: a text for each node, or None; by default the structure's tokens, or else its labels.
        title: of the page; by default the name of the model.
        gradients: whether to measure them. They are estimated where Jacobians are large, and the page says so.

    Returns:
        The page: `.save("run.html")` writes it.

    Raises:
        TypeError: a model that holds no cell.
        ValueError: more than 20,000 nodes, a number of labels that is not the number of nodes of any run; a call that
            runs no cell, or runs all rounds at once (`graphrec.rounds`), of which no page can be made.
    """
    labels = None if labels is None else as_texts("labels", labels)
    gradients = as_flag("gradients", gradients)
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title must be a text, got {type(title).__name__}.")
    count = getattr(s, "num_nodes", None)
    if isinstance(count, int) and count > MOST_NODES:
        raise ValueError(
            f"a page shows up to {MOST_NODES:,} nodes, got {count:,}: show a part, such as one graph of a batch."
        )
    runs = record(model, s, x, initial)
    sizes = sorted({recorded.plan.num_nodes for recorded in runs})
    if sizes[-1] > MOST_NODES:
        raise ValueError(
            f"a page shows up to {MOST_NODES:,} nodes, got a run over {sizes[-1]:,}: show a part, such as one graph "
            f"of a batch."
        )
    if labels is not None and len(labels) not in sizes:
        raise ValueError(
            f"labels must be one per node: expected {' or '.join(map(str, sizes))}, got {len(labels)}."
        )
    name = type(model).__name__ if isinstance(model, nn.Module) else getattr(model, "__name__", "run")
    shown = title or (name if name != "<lambda>" else "run")
    return Page(_page(shown, describe(runs, labels, gradients)))


def _page(title: str, runs: list[dict[str, Any]]) -> str:
    folder = files("graphrec.viz") / "page"
    style, script = (
        "\n".join((folder / name).read_text(encoding="utf-8") for name in names)
        for names in (("page.css",), ("picture.js", "page.js"))
    )
    # In JSON the signs that mean something to HTML occur within strings alone, where they can be written as numbers.
    data = json.dumps(
        {"title": title, "runs": runs}, ensure_ascii=True, separators=(",", ":"), allow_nan=False
    )
    for sign in "<>&":
        data = data.replace(sign, f"\\u{ord(sign):04x}")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = (folder / "page.html").read_text(encoding="utf-8")
    parts = {"TITLE": escape(title), "STYLE": style, "DIGEST": digest, "DATA": data, "SCRIPT": script}
    # In one pass, so that what is put in is not searched.
    return re.sub("%([A-Z]+)%", lambda found: parts[found[1]], text)
