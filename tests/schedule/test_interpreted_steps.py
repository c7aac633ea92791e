"""Building a schedule takes no Python step per node: what numpy and torch do in one call stays one call."""

import sys

import pytest
import torch

import graphrec as gr


def interpreted_lines(work):
    """How many lines of Python are run, counting each turn of a loop or comprehension."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


def path(size):
    nodes = torch.arange(size)
    return torch.stack([nodes[:-1], nodes[1:]])


def random_parents(size):
    return torch.cat([torch.tensor([-1]), (torch.rand(size - 1) * torch.arange(1, size)).long()])


BUILDERS = {
    "chain": gr.chain,
    "chains": lambda size: gr.chains([size // 2] * 2),
    "grid": lambda size: gr.grid([size // 4] * 2, layers=2),
    "lags": lambda size: gr.lagged([size // 2] * 2, [1, size // 4, size]),
    "lags of a chain that runs backwards": lambda size: gr.lagged(gr.chain(size).reverse(), 2),
    "chain of two kinds": lambda size: gr.chain(size).replace(kind=torch.arange(size) % 2),
    "chain as a tree": lambda size: gr.tree(path(size)),
    "random tree": lambda size: gr.tree(parents=random_parents(size)),
    "top-down tree": lambda size: gr.tree(parents=random_parents(size)).reverse(),
    "bipartite": lambda size: gr.dag(
        torch.stack([torch.arange(size) % (size // 2), torch.arange(size) // 2 + size])
    ),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_hundred_times_the_nodes_take_hardly_more_lines(name):
    few = interpreted_lines(lambda: gr.schedule(BUILDERS[name](100)))
    many = interpreted_lines(lambda: gr.schedule(BUILDERS[name](10_000)))
    assert many < few + 200, f"{few} lines for 100 nodes, {many} for 10,000"


def test_the_lines_of_loops_are_counted():
    assert interpreted_lines(lambda: [node for node in range(1000)]) > 1000  # noqa: C416
