"""What notebooks show of structures and schedules: a small picture of small ones, and never a text as markup."""

import re
import xml.etree.ElementTree as ET

import pytest
import torch

import graphrec as gr

NASTY = "</svg><img src=x onerror=alert(1)>"


def svg_in(text):
    (found,) = re.findall(r"<svg.*</svg>", text, re.DOTALL)
    return ET.fromstring(found)


@pytest.mark.parametrize("s", [gr.chain(5), gr.chain(5).reverse(), gr.dag([[0, 1, 1, 2], [1, 0, 1, 1]], 3)])
def test_small_ones_are_drawn(s):
    for shown in (s._repr_html_(), *([] if s.num_nodes == 3 else [gr.schedule(s)._repr_html_()])):
        picture = svg_in(shown)
        assert len(picture.findall("path")) == s.num_edges
        assert len(picture.findall("circle")) == s.num_nodes + s.num_edges


def test_tokens_are_texts():
    s = gr.chain(2).replace(tokens=(NASTY, None))
    shown = s._repr_html_()
    assert "<img" not in shown
    assert svg_in(shown).find("text/title").text == NASTY


def test_a_schedule_has_its_steps():
    plan = gr.schedule(gr.tree("(3 (2 It) (4 (2 's) (4 good)))"))
    shown = plan._repr_html_()
    assert re.findall(r"<td[^>]*>(\d+)</td>", shown) == ["0", "3", "0", "1", "1", "2", "2", "1", "2"]
    assert "level" in shown
    assert "round" in gr.schedule(gr.chain(3), "sync", 2)._repr_html_()


def test_large_ones_are_told_in_words():
    s = gr.chain(1_000_000)
    for shown in (s._repr_html_(), gr.schedule(s)._repr_html_()):
        assert "<svg" not in shown
        assert len(shown) < 2000
    assert "999991 more" in gr.schedule(s)._repr_html_()


def test_nothing_at_all():
    s = gr.dag(torch.zeros(2, 0, dtype=torch.long), 0)
    assert "nodes=0" in s._repr_html_()
    assert "nodes=0" in gr.schedule(s)._repr_html_()
