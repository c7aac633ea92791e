"""The inbox's methods are their plain definitions, node by node, whatever the degrees of the nodes in a step.

The loop has shortcuts for inboxes that are empty, or full, or of equal size; a cell sees no difference.
"""

import copy
from collections import namedtuple

import pytest
import torch

import graphrec as gr
from graphrec.schedule import masked
from tests.tolerances import assert_all_close, assert_close
from tests.trials import gradients, plain_operators
from tests.zoo import FAMILIES, family

SLOTS = 12  # more than any family fills


def members(inbox, node):
    """The edges into a node, by number."""
    return [e for e in range(inbox.num_edges) if int(inbox.target[e]) == node]


def node_by_node(of_rows, inbox, values, empty):
    inboxes = [values[members(inbox, node)] for node in range(inbox.num_nodes)]
    return torch.stack([of_rows(own) if len(own) else empty for own in inboxes])


def by_slot(inbox, values):
    result = values.new_zeros(inbox.num_nodes, SLOTS, *values.shape[1:])
    for node in range(inbox.num_nodes):
        for e in members(inbox, node):
            result = result.index_put((torch.tensor(node), inbox.slot[e]), values[e])
    return result


def softmax(inbox, scores):
    result = torch.zeros_like(scores)
    for node in range(inbox.num_nodes):
        edges = members(inbox, node)
        result = result.index_put((torch.tensor(edges, dtype=torch.long),), torch.softmax(scores[edges], 0))
    return result


def zero(values):
    return values.new_zeros(values.shape[1:])


# By name, the method and its definition, of an inbox and a value for each edge.
METHODS = {
    "sum": (lambda i, v: i.sum(v), lambda i, v: node_by_node(lambda v: v.sum(0), i, v, zero(v))),
    "mean": (lambda i, v: i.mean(v), lambda i, v: node_by_node(lambda v: v.mean(0), i, v, zero(v))),
    "max": (lambda i, v: i.max(v), lambda i, v: node_by_node(lambda v: v.amax(0), i, v, zero(v))),
    "softmax": (lambda i, v: i.softmax(v), softmax),
    "by_slot": (lambda i, v: i.by_slot(v, SLOTS), by_slot),
    "slots": (lambda i, v: i.slots(SLOTS), lambda i, v: by_slot(i, i.h)),
    "to_edges": (lambda i, v: i.to_edges(rows(i.num_nodes)), lambda i, v: rows(i.num_nodes)[i.target]),
}


def rows(count):
    """For each node twice its number, and one more."""
    return torch.arange(2.0 * count, dtype=torch.float64).view(-1, 2)


class Looking(gr.Cell):
    """Calls back with its inbox."""

    State = namedtuple("State", "h")

    def __init__(self, look):
        super().__init__(hidden=2)
        self.look = look

    def forward(self, x, inbox, own):
        self.look(inbox)
        return self.State(x)


def look_into(structure, mode, operators, look, initial=None):
    """Call `look` with every inbox that a cell sees; a node's state is its row of `rows`."""
    plan = gr.schedule(structure, mode, 2 if mode == "sync" else None)
    x = rows(structure.num_nodes)
    if operators == "plain":
        with plain_operators():
            for visit in gr.steps(Looking(look), plan, x, initial):
                assert visit.inbox.num_nodes == len(visit.nodes)
    else:
        gr.run(Looking(look), plan, x.requires_grad_(), initial)


every_family = pytest.mark.parametrize("build", FAMILIES)
both_operators = pytest.mark.parametrize("operators", ["own", "plain"])


def mode_of(build):
    return "sync" if build.__name__ == "cyclic" else "async"


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)], ids=str)
@pytest.mark.parametrize("name", METHODS)
@both_operators
@every_family
def test_methods(build, operators, name, shape):
    method, definition = METHODS[name]
    seen = 0

    def look(inbox):
        nonlocal seen
        seen += 1
        values = torch.randn(inbox.num_edges, *shape, dtype=torch.float64, requires_grad=True)
        actual, expected = method(inbox, values), definition(inbox, values)
        assert_close(actual + 0, expected)
        assert_all_close(gradients((actual,), {"v": values}), gradients((expected,), {"v": values}))

    look_into(family(build, None), mode_of(build), operators, look)
    assert seen


@both_operators
@every_family
def test_what_belongs_to_an_edge_is_its_own(build, operators):
    """Relation, attribute, weight and slot are those of the edge, and h is its source's state."""
    s = family(build, None)
    s = s.replace(
        edge_attr=torch.randn(s.num_edges, 2, dtype=torch.float64),
        edge_weight=torch.rand(s.num_edges),  # of another dtype than x
        relation=torch.arange(s.num_edges),
    )
    seen = []

    def look(inbox):
        edge = inbox.relation
        seen.extend(edge.tolist())
        assert torch.equal(inbox.edge_attr.detach(), s.edge_attr[edge])
        assert torch.equal(inbox.edge_weight.detach(), s.edge_weight[edge].double())
        assert torch.equal(inbox.slot, s.slot[edge])
        if mode_of(build) == "async":
            assert torch.equal(inbox.h[:, 0].detach() / 2, s.source[edge].double())

    look_into(s, mode_of(build), operators, look)
    assert sorted(set(seen)) == list(range(s.num_edges))


@both_operators
@pytest.mark.parametrize("edges", [[[0, 1], [1, 2]], [[], []]])
def test_the_edge_of_an_initial_state_weighs_one(edges, operators):
    s = gr.dag(edges, 3)
    s = s.replace(edge_attr=torch.full((s.num_edges, 2), 3.0), edge_weight=torch.full((s.num_edges,), 3.0))
    of_edges = []

    def look(inbox):
        of_edges.extend(zip(inbox.edge_weight.tolist(), inbox.edge_attr.tolist(), strict=True))

    look_into(s, "async", operators, look, torch.zeros(1, 2, dtype=torch.float64))
    real = s.num_edges
    assert sorted(of_edges) == [(1, [0, 0])] * (3 - real) + [(3, [3, 3])] * real


@both_operators
def test_softmax_of_large_scores(operators):
    def look(inbox):
        scores = torch.full((inbox.num_edges, 1), 1e4, dtype=torch.float64)
        assert torch.isfinite(inbox.softmax(scores)).all()

    look_into(gr.tree(parents=[3, 3, 3, -1]), "async", operators, look)


@pytest.mark.parametrize("degrees", [[2, 2], [2, 3]], ids=["equal degrees", "unequal degrees"])
@both_operators
def test_values_that_tie_for_the_maximum_share_its_gradient(operators, degrees):
    target = torch.repeat_interleave(torch.arange(2), torch.tensor(degrees)) + 5
    s = gr.dag(torch.stack([torch.arange(len(target)), target]), 7)

    def look(inbox):
        if inbox.num_edges:
            values = torch.ones(inbox.num_edges, 1, dtype=torch.float64, requires_grad=True)
            (grad,) = torch.autograd.grad(inbox.max(values).sum(), values)
            assert_close(
                grad[:, 0], 1 / torch.repeat_interleave(torch.tensor(degrees), torch.tensor(degrees)).double()
            )

    look_into(s, "async", operators, look)


def test_unknown_fields_are_named():
    def look(inbox):
        with pytest.raises(AttributeError, match="no field 'c' here, there are h"):
            _ = inbox.c

    look_into(gr.chain(2), "async", "own", look)


def test_an_inbox_may_be_copied():
    def look(inbox):
        assert_close(copy.copy(inbox).h, inbox.h)

    look_into(gr.chain(2), "async", "own", look)


def test_what_comes_in_by_one_slot_shows_nothing_of_other_edges():
    def look(inbox):
        assert inbox.of_slot(1, 2).message_mask is None
        with pytest.raises(ValueError, match="read is_loop from the whole inbox"):
            _ = inbox.of_slot(1, 2).is_loop

    plan = masked(gr.schedule(gr.dag([[0, 0, 1], [1, 0, 0]], 2), "sync", 1), torch.tensor([0.1, 0.2, 0.3]))
    gr.run(Looking(look), plan, rows(2))
