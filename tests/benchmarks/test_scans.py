"""What is compared computes the same."""

import torch

import graphrec as gr
from benchmarks import scans
from tests.tolerances import assert_close


def test_log_space_is_the_cell():
    steps, count, hidden = 12, 3, 5
    cell, x = scans.MinimalGRU(4, hidden), torch.randn(steps, count, 4)
    s = gr.chains([steps] * count)
    plan, chains_first = gr.schedule(s), x.transpose(0, 1).flatten(0, 1)
    wanted = gr.run(cell, plan, chains_first).h.unflatten(0, (count, steps)).transpose(0, 1)
    assert_close(scans.in_log_space(cell, x), wanted)


def test_the_table_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(
        scans, "interleave", lambda tasks, rounds, warm_up: {name: scans.Timing([1.0]) for name in tasks}
    )
    scans._line(scans.Decay, "a chain", gr.chain(9), 4, 1, None)
    assert capsys.readouterr().out.startswith("| Decay | a chain | 1000.0 |")
