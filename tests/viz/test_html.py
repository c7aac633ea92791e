"""The page of a run: one file without requests, what stands in it, and that it works in a browser."""

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import pytest
import torch

import graphrec as gr
from graphrec import viz

NASTY = ["</script><img src=x onerror=alert(1)>", "<!--<script>", "&lt;b&gt; \u2028", "%DATA%", "'\"`${1}\\"]
TREE = gr.tree("(3 (2 It) (4 (2 's) (4 good)))")


def page_of(model, s, **options):
    width = next(part.inputs for part in model.modules() if isinstance(part, gr.Cell))
    return viz.html(model, s, torch.randn(s.num_nodes, width), **options)


def data_in(page):
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.text, re.DOTALL)
    return json.loads(found)


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.asked_for = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.asked_for += [
            value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")
        ]


def test_a_page_holds_the_run():
    torch.manual_seed(0)
    model, x = gr.TreeLSTM(3, 4), torch.randn(5, 3)
    page = viz.html(model, TREE, x)
    assert page.text == viz.html(model, TREE, x).text  # the same run, the same file
    data = data_in(page)
    assert data["title"] == "TreeLSTM"
    (run,) = data["runs"]
    state = model.state(x, TREE)
    for name in ("h", "c"):
        expected = getattr(state, name).norm(dim=1)
        torch.testing.assert_close(torch.tensor(run["states"][name][0]), expected, rtol=1e-3, atol=0)
    assert [run["source"], run["target"]] == TREE.edge_index.tolist()
    assert run["step"] == gr.levels(TREE).tolist()
    assert run["texts"] == ["It", "'s", "good", "4", "3"]
    assert run["backend"] == gr.explain(model, TREE, x)[0].backend
    flow = gr.dynamics.gradient_flow(model, x, TREE, norm="frobenius")
    found = dict(
        zip(range(5), zip(run["gradients"]["norm"], run["gradients"]["hops"], strict=True), strict=True)
    )
    for node, norm, hops in zip(
        flow.source.tolist(), flow.norm.tolist(), flow.distance.tolist(), strict=True
    ):
        assert found[node] == (pytest.approx(norm, rel=1e-3), hops)


def test_rounds_have_a_state_each():
    s = gr.dag([[0, 1, 2], [1, 2, 0]], 3)
    cell, x, initial = gr.SRNCell(2, 3), torch.randn(3, 2), torch.randn(3, 3)
    plan = gr.schedule(s, "sync", 4)
    (run,) = data_in(viz.html(cell, plan, x, gr.per_node(initial)))["runs"]
    expected = [state.h.norm(dim=1) for state in gr.rounds(cell, plan, x, gr.per_node(initial))]
    torch.testing.assert_close(torch.tensor(run["states"]["h"]), torch.stack(expected), rtol=1e-3, atol=0)
    assert run["steps"] == 4
    assert run["step"] is None
    assert "async mode only" in run["gradients"]


def test_a_model_of_several_cells_has_a_run_for_each():
    s = gr.chains([3, 2])
    model = gr.Bidirectional(gr.LSTM(2, 3), gr.GRU(2, 3))
    first, second = data_in(page_of(model, s))["runs"]
    assert (first["cell"], second["cell"]) == ("LSTMCell", "GRUCell")
    assert [first["x"], first["y"]] == [second["x"], second["y"]]  # the nodes stay where they are
    assert first["source"] == second["target"]


def test_segments_and_iterated_steps_are_told():
    (run,) = data_in(page_of(gr.GRU(2, 3), gr.chains([3, 2])))["runs"]
    assert run["segment"] == [0, 0, 0, 1, 1]
    s = gr.dag([[0, 1, 2, 2], [1, 2, 1, 3]], 4)
    model = gr.Recursive(gr.ChildSumTreeLSTMCell(2, 3), cycles="iterate", rounds=2)
    (run,) = data_in(page_of(model, s))["runs"]
    assert run["iterated"] == [1]
    assert run["segment"] is None


def test_a_page_asks_for_nothing_and_runs_no_text():
    s = gr.chain(len(NASTY)).replace(tokens=tuple(NASTY))
    page = page_of(gr.GRU(2, 3), s, title=NASTY[0])
    found = Tags(page.text)
    assert found.tags.count("script") == 2
    assert "img" not in found.tags
    assert found.asked_for == []
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page.text)
    assert data_in(page)["runs"][0]["texts"] == NASTY
    assert "default-src 'none'" in page.text
    shown = Tags(page._repr_html_())
    assert shown.tags == ["iframe"]
    assert shown.asked_for == []


def test_the_model_is_afterwards_as_it_was(tmp_path):
    model, x = gr.GRU(2, 3), torch.randn(4, 2)
    model.register_buffer("count", torch.zeros(()))
    model.register_forward_hook(lambda module, args, h: module.count.add_(1) + h)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    path = viz.html(model, gr.chain(4), x).save(tmp_path / "run.html")
    assert torch.equal(torch.rand(1), expected)
    assert model.count == 0
    assert all(p.grad is None for p in model.parameters())
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_no_nodes_and_one_node():
    for count in (0, 1):
        (run,) = data_in(page_of(gr.GRU(2, 3), gr.chain(count)))["runs"]
        assert len(run["x"]) == len(run["states"]["h"][0]) == count
        assert (run["gradients"] == "there are no nodes") == (count == 0)


def test_refusals():
    model, x = gr.GRU(2, 3), torch.zeros(4, 2)
    with pytest.raises(ValueError, match="labels must be one per node: expected 4, got 2"):
        viz.html(model, gr.chain(4), x, labels=["a", "b"])
    with pytest.raises(ValueError, match="up to 20,000 nodes, got 20,001: show a part"):
        viz.html(model, gr.chain(20_001), x)
    with pytest.raises(ValueError, match="ran no cell"):
        viz.html(lambda x, s: x, gr.chain(4), x)
    with pytest.raises(TypeError, match="a schedule is what a cell runs over"):
        viz.html(model, gr.schedule(gr.chain(4)), x)
    with pytest.raises(ValueError, match="x must have one row per node: expected 4 rows"):
        viz.html(model, gr.chain(4), torch.zeros(3, 2))


# What a reader would do: step back and on, choose a node by keys, find one, and turn the wheel; then what came of it.
ACTIONS = """
<script>
const press = key => document.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
const said = () => document.getElementById("now").textContent;
const report = {nodes: runs[0].nodes, drawn: 0, end: said()};
press("Home"); report.start = said();
press("ArrowRight"); report.one = said();
press("]"); report.node = document.getElementById("node").textContent;
document.getElementById("find").value = "good";
document.getElementById("find").dispatchEvent(new Event("input"));
document.getElementById("next").click();
report.found = document.getElementById("found").textContent;
const before = picture().scale;
document.getElementById("picture").dispatchEvent(new WheelEvent("wheel", {deltaY: -200, clientX: 200, clientY: 200}));
report.zoomed = picture().scale > before;
press("0");
const circle = picture().circle;
picture().circle = function (...args) { report.drawn += 1; return circle.apply(this, args); };
press("End"); press("Escape");
document.getElementById("find").value = "";
document.getElementById("find").dispatchEvent(new Event("input"));
report.drawn = 0;
paint();
const made = document.createElement("pre");
made.id = "report";
made.textContent = JSON.stringify(report);
document.body.append(made);
</script>
</body>"""


def in_browser(page, tmp_path):
    """What Chromium reports of a page on which `ACTIONS` were done, and what its console said."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("there is no chromium on the path")
    path = tmp_path / "page.html"
    # (The page's own policy lets no other script run.)
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.text)
    path.write_text(text.replace("</body>", ACTIONS), encoding="utf-8")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1000,700",
        "--enable-logging=stderr",
    ]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
    done = subprocess.run([browser, *options, path.as_uri()], capture_output=True, text=True, timeout=300)
    (report,) = re.findall(r'<pre id="report">(.*?)</pre>', done.stdout)
    return json.loads(unescape(report)), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_a_browser_shows_it(tmp_path):
    report, console = in_browser(
        page_of(gr.TreeLSTM(3, 4), TREE, labels=[*NASTY[:2], "good", None, "d"]), tmp_path
    )
    assert console == []
    assert report["nodes"] == report["drawn"] == 5
    assert report["end"] == "step 3 of 3: 1 node, 2 edges"
    assert report["start"] == "step 0 of 3: nothing yet"
    assert report["one"] == "step 1 of 3: 3 nodes, 0 edges"
    assert report["node"].startswith(f"node0text{NASTY[0]}step1segment")
    assert report["found"] == "1 of 1: 2: good"
    assert report["zoomed"]


def test_a_browser_shows_thousands_of_nodes(tmp_path):
    s = gr.tree(parents=[-1, *((node - 1) // 3 for node in range(1, 5000))])
    report, console = in_browser(page_of(gr.TreeGRU(2, 3), s), tmp_path)
    assert console == []
    assert report["nodes"] == report["drawn"] == 5000
    assert report["end"] == "step 9 of 9: 1 node, 3 edges"


def test_fields_that_are_one_number_have_norms():
    s, model = gr.dag([[0, 1, 2], [1, 2, 0]], 3), gr.GNN([gr.GCNCell(2, 4)])
    x = torch.randn(3, 2)
    (run,) = data_in(viz.html(model, s, x))["runs"]
    torch.testing.assert_close(
        torch.tensor(run["states"]["h"][1]), model(x, s).norm(dim=1), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("model", [torch.nn.Linear(2, 2), torch.nn.LSTM(2, 2), gr.LSTM])
def test_what_is_no_model_is_refused_before_it_runs(model):
    with pytest.raises(TypeError, match="expected a model, a cell or a function that calls one, got"):
        viz.html(model, gr.chain(3), torch.randn(3, 2))
