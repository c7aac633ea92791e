"""Bad input is refused before any work: the error says what was expected, what came, and how to mend it."""

from __future__ import annotations

import ast
from collections import namedtuple
from itertools import pairwise

import networkx as nx
import nltk
import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import graphrec as gr

CELL = gr.SRNCell(3, 4)
TREE_CELL = gr.RecNNCell(3, 4, arity=2)


def plan(length: int = 5) -> gr.Schedule:
    return gr.schedule(gr.chain(length))


def x_for(length: int = 5, width: int = 3, **options) -> torch.Tensor:
    return torch.zeros(length, width, **options)


def in_itself(nodes: list, wrap=lambda inner: inner):
    nodes.append(wrap([nodes]) if wrap is tuple else nodes)
    return nodes


def syntax_in_itself() -> ast.AST:
    node = ast.UnaryOp(ast.Not(), ast.Name("a", ast.Load()))
    node.operand = node
    return node


def shared(times: int, join):
    below = "a"
    for _ in range(times):
        below = join(below)
    return below


def networkx_graph(second: dict | None = None, **first) -> gr.Structure:
    return gr.from_networkx(nx.DiGraph([("a", "b", first), ("b", "c", first if second is None else second)]))


def named(*names: str) -> gr.Structure:
    return gr.dag([[0], [1]], relation=torch.tensor([1])).replace(relation_names=names)


STRUCTURES = {
    "edge to a node that is not there": (
        lambda: gr.dag([[0, 1], [1, 7]], 3),
        ["edge 1", "node 7", "0 to 2", "raise num_nodes"],
    ),
    "edge from a negative node": (lambda: gr.dag([[0, -1], [1, 2]], 3), ["edge 1", "node -1", "0 to 2"]),
    "edge_index of floats": (lambda: gr.dag(torch.zeros(2, 3), 3), ["whole numbers", "float32"]),
    "edge_index of one row": (lambda: gr.dag(torch.zeros(1, 3, dtype=torch.long), 3), ["[2, E]", "(1, 3)"]),
    "slots of the wrong length": (
        lambda: gr.dag([[0], [1]], 2, slot=torch.zeros(3, dtype=torch.long)),
        ["slot", "expected 1", "got 3"],
    ),
    "a negative slot": (
        lambda: gr.dag([[0, 1], [2, 2]], slot=torch.tensor([0, -1])),
        ["slot", "0 to 2147483647", "-1"],
    ),
    "a graph that is not there": (
        lambda: gr.chain(2).replace(graph=torch.tensor([0, 1])),
        ["graph", "0 to 0", "got 1"],
    ),
    "kinds that are no whole numbers": (
        lambda: gr.dag([[0], [1]], 2, kind=torch.zeros(2)),
        ["kind", "torch.long"],
    ),
    "negative length": (lambda: gr.chains([3, -2]), ["0 or more", "-2", "sequence 1"]),
    "lengths that are no whole numbers": (lambda: gr.chains([1.5]), ["whole numbers", "float"]),
    "grid without layers": (lambda: gr.grid([3], layers=0), ["layers", "1 or more", "0"]),
    "batch of something else": (lambda: gr.batch(["(a b)"]), ["takes structures", "str"]),
    "members that carry different things": (
        lambda: gr.batch([gr.chain(3), gr.chain(2).replace(relation=torch.zeros(1, dtype=torch.long))]),
        ["member 0", "relation", "drop it from all"],
    ),
    "two roots in parents": (
        lambda: gr.tree(parents=[-1, 0, -1]),
        ["one root", "got 2", "0, 2", "graphrec.batch"],
    ),
    "two roots in edges": (lambda: gr.tree(torch.tensor([[0, 2], [1, 3]])), ["one root", "got 2"]),
    "two parents": (
        lambda: gr.tree(torch.tensor([[0, 0, 1, 2], [1, 2, 3, 3]])),
        ["node 0", "2 parents", "1, 2", "graphrec.dag"],
    ),
    "a node that is its own parent": (lambda: gr.tree(parents=[-1, 1]), ["cycle", "1 → 1"]),
    "a root that is its own parent": (lambda: gr.tree(parents=[0]), ["cycle", "0 → 0"]),
    "parents that are no numbers": (lambda: gr.tree(parents=[-1, None]), ["parents", "whole numbers"]),
    "slots in a list": (lambda: gr.dag([[0], [1]], slot=[0]), ["slot", "tensor", "list"]),
    "slots in a column": (
        lambda: gr.dag([[0], [1]], slot=torch.zeros(1, 1, dtype=torch.long)),
        ["slot", "one dimension", "(1, 1)"],
    ),
    "a slot beyond all sense": (
        lambda: gr.dag([[0], [1]], slot=torch.tensor([2**31])),
        ["slot", "0 to 2147483647"],
    ),
    "edge attributes on another device": (
        lambda: gr.dag([[0], [1]], edge_attr=torch.zeros(1, 2, device="meta")),
        ["edge_attr", "meta", "cpu", ".to("],
    ),
    "a number of nodes that is none": (
        lambda: gr.dag([[0], [1]], 3.0),
        ["num_nodes", "whole number", "float"],
    ),
    "fewer nodes than none": (lambda: gr.dag([[0], [1]], -1), ["num_nodes", "0 or more", "-1"]),
    "ragged edges": (lambda: gr.dag([[0, 1], [1]]), ["edge_index", "equally long"]),
    "a number for lengths": (lambda: gr.chains(5), ["lengths", "per sequence", "5"]),
    "a structure for a list of them": (lambda: gr.batch(gr.chain(3)), ["list of structures", "Structure"]),
    "a batch of two widths": (
        lambda: gr.batch([gr.chain(2).replace(edge_attr=torch.zeros(1, n)) for n in (2, 3)]),
        ["edge_attr", "one shape", "[2]", "[3]"],
    ),
    "something else for PyG data": (lambda: gr.from_pyg(None), ["PyG", "NoneType"]),
    "parents in a circle": (lambda: gr.tree(parents=[1, 0, -1]), ["cycle", "0 → 1 → 0"]),
    "a parent that is not there": (lambda: gr.tree(parents=[-1, 5]), ["parent of node 1", "5", "0 to 1"]),
    "neither source nor parents": (lambda: gr.tree(), ["source", "parents"]),
    "a tree of something else": (lambda: gr.tree(3.5), ["brackets", "nested lists", "float"]),
    "an empty list in nested lists": (lambda: gr.tree(["a", []]), ["empty", "token"]),
    "nothing as a leaf": (lambda: gr.tree(["a", [None]]), ["a text or a number", "None"]),
    "a tensor as a leaf": (lambda: gr.tree(["a", torch.zeros(3)]), ["a text or a number", "Tensor"]),
    "a mapping as a leaf": (lambda: gr.tree(["a", {"b": "c"}]), ["a text or a number", "dict"]),
    "a syntax tree as a leaf": (lambda: gr.tree([ast.parse("a")]), ["a text or a number", "Module"]),
    "parents in a list": (
        lambda: gr.tree([1, -1, 1]),
        ["flat list of numbers", "parents=[1, …]", "['1', …]"],
    ),
    "parents in an array": (lambda: gr.tree(np.array([1, -1, 1])), ["two rows", "3 numbers", "parents="]),
    "parents in a tensor": (lambda: gr.tree(torch.tensor([1, -1, 1])), ["two rows", "parents="]),
    "numbers that are no parents": (lambda: gr.tree((0.5, True)), ["flat list of numbers", "['0.5', …]"]),
    "edges in lists": (lambda: gr.tree([[0, 1], [2, 2]]), ["edges of a tree", "torch.tensor(edges)"]),
    "an edge_index of texts": (
        lambda: gr.tree(np.array(["a", "b"])),
        ["edge_index", "whole numbers", "str_"],
    ),
    "a list in itself": (lambda: gr.tree(in_itself(["a"])), ["a list", "contains itself, 1 deep"]),
    "a tuple in itself": (lambda: gr.tree(in_itself(["a"], tuple)), ["contains itself, 2 deep"]),
    "an nltk.Tree in itself": (
        lambda: gr.tree(in_itself(nltk.Tree("S", ["a"]))),
        ["a Tree", "contains itself"],
    ),
    "a syntax tree in itself": (
        lambda: gr.tree(syntax_in_itself()),
        ["a UnaryOp", "contains itself, 1 deep"],
    ),
    "lists that are shared again and again": (
        lambda: gr.tree(shared(40, lambda below: [below, below])),
        ["40 nested nodes", "200,000", "one parent", "graphrec.dag"],
    ),
    "nltk.Trees that are shared again and again": (
        lambda: gr.tree(shared(40, lambda below: nltk.Tree("S", [below, below]))),
        ["40 nested nodes", "graphrec.dag"],
    ),
    "a list within an nltk.Tree": (
        lambda: gr.tree(nltk.Tree("S", [["a", "b"]])),
        ["list", "nltk.Tree throughout"],
    ),
    "an nltk.Tree of nothing": (
        lambda: gr.tree(nltk.Tree("S", [nltk.Tree("", [])])),
        ["neither a label nor"],
    ),
    "tokens beside brackets": (lambda: gr.tree("(S a)", tokens=["b"]), ["parents", "s.replace(tokens="]),
    "labels beside brackets": (lambda: gr.tree("(S a)", labels=["b"]), ["parents", "s.replace(tokens="]),
    "too few tokens": (lambda: gr.tree(parents=[-1, 0], tokens=["a"]), ["tokens", "expected 2, got 1"]),
    "tokens in one text": (
        lambda: gr.tree(parents=[-1, 0], tokens="ab"),
        ["tokens", "list of texts", "'ab'"],
    ),
    "pairs for rows": (lambda: gr.dag([(0, 1), (1, 2), (2, 3)]), ["two rows", "3 pairs", ".t()"]),
    "pairs in a tensor": (lambda: gr.dag(torch.tensor([[0, 1]])), ["two rows", "1 pairs", ".t()"]),
    "pairs or rows": (lambda: gr.dag([(0, 1), (0, 2)], 3), ["two rows", "2 pairs", "as lists"]),
    "numbers beyond their names": (
        lambda: gr.dag([[0], [1]], kind=torch.tensor([0, 2])).replace(kind_names=["a", "b"]),
        ["kind", "0 to 1", "2 kind_names", "got 0 to 2"],
    ),
    "names in one text": (
        lambda: gr.dag([[0], [1]], kind=torch.tensor([0, 1])).replace(kind_names="ab"),
        ["kind_names", "list of texts"],
    ),
    "members whose numbers mean different things": (
        lambda: gr.batch([named("reads", "writes"), named("writes", "reads")]),
        ["relation_names", "members 0 and 1", "reads", "relations=[...]"],
    ),
    "arrays of texts": (lambda: gr.from_list([np.array(["a"])]), ["numbers", "array of <U1 at 0"]),
    "an array for a list": (lambda: gr.from_list(np.zeros((2, 3, 4))), ["one ndarray", "from_padded"]),
    "lists of numbers for tensors": (lambda: gr.from_list([[1.0, 2.0]]), ["list at 0", "torch.tensor(...)"]),
    "a nested tensor for a padded one": (
        lambda: gr.from_padded(torch.nested.nested_tensor([torch.zeros(2, 3)], layout=torch.jagged)),
        ["padded", "nested", "from_list"],
    ),
    "wiring replaced": (lambda: gr.chain(3).replace(num_nodes=4), ["num_nodes", "build a new structure"]),
    "slot on some networkx edges only": (
        lambda: gr.from_networkx(nx.DiGraph([(0, 1, {"slot": 0}), (1, 2)])),
        ["slot", "1 of 2", "every edge"],
    ),
    "a number of nodes beyond all memory": (
        lambda: gr.dag([[0], [1]], 10**5000),
        ["num_nodes", "64 bits", "0x"],
    ),
    "a length beyond all memory": (lambda: gr.chain(10**5000), ["lengths", "64 bits", "very long"]),
    "far fewer nodes than none": (lambda: gr.dag([[0], [1]], -(10**5000)), ["num_nodes", "0 or more", "-0x"]),
    "a flat list of a very long number": (lambda: gr.tree([10**5000]), ["flat list", "parents=[0x"]),
    "a slot of a very long number": (
        lambda: gr.from_networkx(nx.DiGraph([(0, 10**5000, {"slot": 10**5000})])),
        ["slot of edge a tuple of very long numbers", "64 bits", "0x"],
    ),
    "something else for a networkx graph": (lambda: gr.from_networkx([1, 2]), ["networkx graph", "list"]),
    "nothing as an edge attribute": (
        lambda: networkx_graph(edge_attr=None),
        ["edge_attr of edge ('a', 'b')", "a number or a list", "None"],
    ),
    "text as an edge attribute": (
        lambda: networkx_graph(edge_attr="0.5"),
        ["edge_attr of edge ('a', 'b')", "a number or a list", "'0.5'"],
    ),
    "edge attributes of two widths": (
        lambda: networkx_graph({"edge_attr": [1.0]}, edge_attr=[1.0, 2.0]),
        ["edge_attr of edge ('b', 'c')", "shape [2] as on edge ('a', 'b')", "[1.0]"],
    ),
    "an edge attribute that is ragged itself": (
        lambda: networkx_graph(edge_attr=[[1.0], [1.0, 2.0]]),
        ["edge_attr of edge ('a', 'b')", "a number or a list"],
    ),
    "arrays of two widths": (
        lambda: networkx_graph({"edge_attr": np.zeros(3)}, edge_attr=np.zeros(2)),
        ["edge_attr of edge ('b', 'c')", "shape [2]"],
    ),
    "a relation beyond 64 bits": (
        lambda: networkx_graph(relation=2**70),
        ["relation of edge ('a', 'b')", "whole number of 64 bits", "11805"],
    ),
    "half a slot": (lambda: networkx_graph(slot=0.5), ["slot of edge", "whole number", "0.5"]),
    "a slot in a text": (lambda: networkx_graph(slot="0"), ["slot of edge", "whole number", "'0'"]),
    "a relation that is yes or no": (lambda: networkx_graph(relation=True), ["relation of edge", "True"]),
    "a relation in text and in number": (
        lambda: networkx_graph({"relation": "reads"}, relation=1),
        ["relation of edge ('b', 'c')", "a number as on others, or a text on all", "'reads'"],
    ),
    "a relation with another name": (
        lambda: gr.from_networkx(nx.DiGraph([(0, 1, {"relation": "owns"})]), relations=["reads"]),
        ["relation of edge (0, 1)", "relations=['reads']", "'owns'"],
    ),
    "kinds that no node has": (
        lambda: gr.from_networkx(nx.path_graph(2), kinds=["a"]),
        ["no node has a kind", "every node"],
    ),
    "a weight in a text": (
        lambda: networkx_graph(weight="3"),
        ["weight of edge ('a', 'b')", "number", "'3'"],
    ),
    "a weight beyond all floats": (lambda: networkx_graph(weight=10**400), ["weight of edge", "a number"]),
    "no weight at all": (lambda: networkx_graph(weight=None), ["weight of edge", "None"]),
    "a dtype that torch does not have": (
        lambda: gr.from_networkx(nx.DiGraph([(0, 1, {"edge_attr": 1})], edge_attr_dtype="nonsense")),
        ["edge_attr_dtype", "float32", "nonsense"],
    ),
    "names that are no list": (
        lambda: gr.from_networkx(nx.DiGraph([(0, 1, {"relation": "a"})], relation_names=3)),
        ["relation_names", "json", "3"],
    ),
    "a lag of nothing": (lambda: gr.lagged([3], 0), ["lags", "1 or more", "got 0"]),
    "a lag of nothing among others": (
        lambda: gr.lagged([3], [1, 0]),
        ["a lag must be 1 or more", "got 0", "its own input"],
    ),
    "a lag into the future": (lambda: gr.lagged([3], [-2]), ["1 or more", "got -2"]),
    "no lags": (lambda: gr.lagged([3], []), ["whole number, or a list", "[]"]),
    "the same lag twice": (lambda: gr.lagged([3], [2, 1, 2]), ["differ", "[2, 1, 2]"]),
    "lags that are no whole numbers": (lambda: gr.lagged([3], [1.5]), ["whole number", "float32"]),
    "lags in rows": (lambda: gr.lagged([3], [[1, 2]]), ["whole number, or a list", "[[1, 2]]"]),
    "lags where a node has two predecessors": (
        lambda: gr.lagged(gr.tree("(x (a b) (c d))"), 2),
        ["one predecessor at most", "node 2 has 2"],
    ),
    "a past for some nodes only": (
        lambda: gr.chain(3).replace(past=torch.tensor([1, 1])),
        ["past", "expected 3", "got 2"],
    ),
    "a past of less than nothing": (
        lambda: gr.chain(2).replace(past=torch.tensor([1, -1])),
        ["past", "0 to 2147483647", "-1"],
    ),
    "PyG data without edges": (lambda: gr.from_pyg(Data(num_nodes=2)), ["edge_index", "[2, 0]"]),
}

BRACKETS = {
    "(3 (2 It)": (0, "never closed"),
    "(3 (2 It) (2 (2 is": (13, "never closed"),
    "(3 (2 It))) ": (10, "')' follows"),
    ") (2 It)": (0, "never opened"),
    "(3 (2 It) ()": (10, "nothing"),
    "()": (0, "nothing; a leaf needs a label or a token"),
    "(())": (1, "nothing"),
    "(3 (2 It)) (2 more)": (11, "one tree at a time"),
    "two words": (4, "'words' follows"),
}

SCHEDULES = {
    "unknown mode": (lambda: gr.schedule(gr.chain(3), mode="parallel"), ["one of async, sync", "'parallel'"]),
    "no rounds": (lambda: gr.schedule(gr.chain(3), mode="sync"), ["number of rounds", "None"]),
    "rounds below one": (lambda: gr.schedule(gr.chain(3), mode="sync", rounds=0), ["1 or more", "rounds=0"]),
    "rounds that are no whole number": (lambda: gr.schedule(gr.chain(3), mode="sync", rounds=1.5), ["1.5"]),
    "rounds in async mode": (
        lambda: gr.schedule(gr.chain(3), rounds=2),
        ["no rounds", "rounds=2", "mode='sync'"],
    ),
    "PyG data for a structure": (
        lambda: gr.schedule(gr.to_pyg(gr.chain(2))),
        ["Structure", "got Data", "graphrec.from_pyg"],
    ),
}

RUNS = {
    "x too short": (lambda: gr.run(CELL, plan(), x_for(4)), ["one row per node", "expected 5", "(4, 3)"]),
    "x too wide": (lambda: gr.run(CELL, plan(), x_for(width=6)), ["[5, 3]", "(5, 6)"]),
    "x of another float": (
        lambda: gr.run(CELL, plan(), x_for(dtype=torch.float64)),
        ["float64", "parameters are torch.float32", "convert"],
    ),
    "x of whole numbers": (
        lambda: gr.run(CELL, plan(), x_for(dtype=torch.long)),
        ["floating-point", "embed"],
    ),
    "x on another device": (lambda: gr.run(CELL, plan(), x_for(device="meta")), ["meta", "cpu", ".to()"]),
    "x that is no tensor": (lambda: gr.run(CELL, plan(), [[0.0] * 3] * 5), ["tensor", "list"]),
    "a structure for a schedule": (
        lambda: gr.run(CELL, gr.chain(5), x_for()),
        ["Schedule", "graphrec.schedule"],
    ),
    "a module for a cell": (
        lambda: gr.run(torch.nn.Linear(3, 4), plan(), x_for()),
        ["graphrec.Cell", "Linear"],
    ),
    "more children than slots": (
        lambda: gr.run(TREE_CELL, gr.schedule(gr.tree("(x (a b) (c d) (e f))")), x_for(4)),
        ["2 slots", "slot 2", "node 3", "arity of at least 3"],
    ),
    "two predecessors for a sequence cell": (
        lambda: gr.run(CELL, gr.schedule(gr.tree("(x (a b) (c d))")), x_for(3)),
        ["1 slot", "slot 1", "node 2"],
    ),
    "two edges in one slot": (
        lambda: gr.run(
            TREE_CELL, gr.schedule(gr.dag([[0, 1], [2, 2]], 3).replace(slot=torch.tensor([1, 1]))), x_for(3)
        ),
        ["two edges fill slot 1 of node 2", "s.replace(slot=...)"],
    ),
    "initial state of the wrong width": (
        lambda: gr.run(CELL, plan(), x_for(), torch.zeros(1, 5)),
        ["initial h", "[4]", "(1, 5)"],
    ),
    "initial state of the wrong length": (
        lambda: gr.run(CELL, gr.schedule(gr.chains([2, 3])), x_for(), torch.zeros(3, 4)),
        ["initial h", "5 (one per node)", "2 (one per graph)", "1 (one for all)", "(3, 4)"],
    ),
    "initial state with fields missing": (
        lambda: gr.run(gr.ChildSumTreeLSTMCell(3, 4), plan(), x_for(), torch.zeros(1, 4)),
        ["h, c", "got 1"],
    ),
    "initial state of another float": (
        lambda: gr.run(CELL, plan(), x_for(), torch.zeros(1, 4, dtype=torch.float64)),
        ["initial h", "float32", "float64"],
    ),
    "an initial state that is none": (
        lambda: gr.run(CELL, plan(), x_for(), 0),
        ["initial state", "State(h)", "int"],
    ),
    "a cell that returns no tensors": (
        lambda: gr.run(ReturnsNothing(3, 3), plan(), x_for()),
        ["h", "NoneType"],
    ),
    "a cell that projects to nothing": (
        lambda: gr.run(ProjectsToNothing(3, 3), plan(), x_for()),
        ["project", "row per node", "NoneType"],
    ),
    "a module for the cell of a model": (
        lambda: gr.Recursive(torch.nn.Linear(3, 4)),
        ["graphrec.Cell", "Linear"],
    ),
    "a model in no mode": (lambda: gr.Recursive(CELL, "sync"), ["number of rounds"]),
    "a model of nothing": (
        lambda: gr.SRN(3, 4)(None, gr.chain(3)),
        ["tensor with one row per node", "NoneType"],
    ),
    "numbers for models": (lambda: gr.Bidirectional(1, 2), ["expected a model (torch.nn.Module)", "int"]),
    "edge attributes that are not there": (
        lambda: gr.run(ReadsAttributes(3, 3), plan(), x_for()),
        ["edge_attr", "none"],
    ),
    "relations that are not there": (
        lambda: gr.run(ReadsRelations(3, 3), plan(), x_for()),
        ["relation", "none"],
    ),
    "a cell that does not know its width": (
        lambda: gr.run(Widthless(), plan(), x_for()),
        ["hidden", "shapes()"],
    ),
    "a cell that returns no State": (
        lambda: gr.run(ReturnsTensor(3, 3), plan(), x_for()),
        ["State(h)", "Tensor"],
    ),
    "a cell that returns another width": (
        lambda: gr.run(Narrow(3, 3), plan(), x_for()),
        ["h", "[1, 3]", "[1, 1]"],
    ),
    "a structure that is none": (lambda: gr.SRN(3, 4)(x_for(), "chain"), ["Structure", "Data", "str"]),
}

READOUTS = {
    "two roots": (
        lambda: gr.readout.root(x_for(3), gr.dag([[0, 0], [1, 2]], 3)),
        ["graph 0 has 2", "attention"],
    ),
    "h of the wrong length": (lambda: gr.readout.sum(x_for(4), gr.chain(5)), ["expected 5", "(4, 3)"]),
    "nothing to turn round": (
        lambda: gr.Reversed(gr.SRN(3, 4))(None, gr.chain(3)),
        ["tensor with one row per node", "NoneType"],
    ),
    "nothing to read out": (lambda: gr.readout.sum(None, gr.chain(3)), ["one row per node", "NoneType"]),
    "unknown merge": (
        lambda: gr.Bidirectional(gr.SRN(3, 4), gr.SRN(3, 4), merge="max"),
        ["cat, sum, mean", "'max'"],
    ),
    "unknown activation": (lambda: gr.SRNCell(3, 4, activation="gelu"), ["tanh, logistic, relu", "'gelu'"]),
}


SRN_AND_GRU = [gr.SRNCell(3, 4), gr.TreeGRUCell(3, 4)]  # a cell of one slot, and one that sums


def of_kinds(*kinds: int) -> gr.Structure:
    """A node with two children, and its kinds."""
    return gr.tree(parents=[2, 2, -1]).replace(kind=torch.tensor(kinds))


def grid_plan(layers: int) -> gr.Schedule:
    return gr.schedule(gr.grid([3], layers))


def inbox_of_two() -> gr.Inbox:
    """What the last node of a tree with two children receives."""
    *_, visit = gr.steps(TREE_CELL, gr.schedule(gr.tree(parents=[2, 2, -1])), x_for(3))
    return visit.inbox


KINDS = {
    "a structure without kinds": (
        lambda: gr.run(gr.PerKind(SRN_AND_GRU), plan(), x_for()),
        ["equations for each kind", "has no kinds", "kind=..."],
    ),
    "more kinds than cells": (
        lambda: gr.run(gr.PerKind(SRN_AND_GRU), gr.schedule(of_kinds(1, 2, 1)), x_for(3)),
        ["kinds 0 to 1", "nodes of kind 2", "a cell for each kind"],
    ),
    "a kind below zero": (
        lambda: gr.run(gr.PerKind(SRN_AND_GRU), gr.schedule(of_kinds(1, -1, 1)), x_for(3)),
        ["kinds 0 to 1", "nodes of kind -1"],
    ),
    "kinds through a residual cell": (
        lambda: gr.run(gr.ResidualCell(gr.PerKind(SRN_AND_GRU)), plan(), x_for()),
        ["equations for each kind", "has no kinds"],
    ),
    "more children than one kind has slots": (
        lambda: gr.run(gr.PerKind(SRN_AND_GRU), gr.schedule(of_kinds(1, 1, 0)), x_for(3)),
        ["cell of kind 0 has 1 slot,", "slot 1 of node 2", "arity of at least 2", "sums its inbox"],
    ),
    "two edges in one slot of a kind": (
        lambda: gr.run(
            gr.PerKind(SRN_AND_GRU),
            gr.schedule(of_kinds(1, 1, 0).replace(slot=torch.tensor([0, 0]))),
            x_for(3),
        ),
        ["two edges fill slot 0 of node 2", "s.replace(slot=...)", "kind 0"],
    ),
    "no cells for kinds": (lambda: gr.PerKind([]), ["a cell for each kind", "none"]),
    "kinds within kinds": (
        lambda: gr.PerKind([gr.PerKind(SRN_AND_GRU), gr.PerKind(SRN_AND_GRU)]),
        ["kinds of their own", "one list of cells"],
    ),
    "no cells for layers": (lambda: gr.GridCell([]), ["a cell for each kind", "none"]),
    "a module among the cells of kinds": (
        lambda: gr.PerKind([SRN_AND_GRU[0], torch.nn.Linear(3, 4)]),
        ["graphrec.Cell", "Linear"],
    ),
    "kinds with states of other fields": (
        lambda: gr.PerKind([gr.SRNCell(3, 4), gr.LSTMCell(3, 4)]),
        ["same fields and widths", "kind 0 has {'h': (4,)}", "kind 1 has {'h': (4,), 'c': (4,)}"],
    ),
    "kinds with states of other widths": (
        lambda: gr.PerKind([gr.SRNCell(3, 4), gr.SRNCell(3, 4), gr.SRNCell(3, 5)]),
        ["same fields and widths", "kind 2 has {'h': (5,)}"],
    ),
    "kinds with inputs of other widths": (
        lambda: gr.PerKind([gr.SRNCell(3, 4), gr.SRNCell(2, 4)]),
        ["inputs of one width", "2 and 3"],
    ),
    "x of another width for kinds": (
        lambda: gr.run(gr.PerKind(SRN_AND_GRU), gr.schedule(of_kinds(0, 0, 1)), x_for(3, width=2)),
        ["[3, 3]", "(3, 2)"],
    ),
    "a layer that does not take the one below it": (
        lambda: gr.GridCell([gr.SRNCell(3, 4), gr.SRNCell(3, 4)]),
        ["as wide as that one's state, 4", "one for 3"],
    ),
    "layers of two widths": (
        lambda: gr.GridCell([gr.SRNCell(3, 4), gr.SRNCell(5, 5)]),
        ["same fields and widths", "{'h': (4,)}", "{'h': (5,)}"],
    ),
    "a module among the layers": (
        lambda: gr.GridCell([gr.SRNCell(3, 4), torch.nn.RNNCell(4, 4)]),
        ["graphrec.Cell", "RNNCell"],
    ),
    "more layers than cells": (
        lambda: gr.run(gr.GridCell([gr.SRNCell(3, 4), gr.SRNCell(4, 4)]), grid_plan(3), x_for(9)),
        ["kinds 0 to 1", "kind 2"],
    ),
    "a grid upside down": (
        lambda: gr.run(
            gr.GridCell([gr.SRNCell(3, 4), gr.SRNCell(4, 4)]),
            gr.schedule(gr.grid([3], 2).reverse()),
            x_for(6),
        ),
        ["cell of kind 0 has 1 slot,", "slot 1 of node 0"],
    ),
    "a third predecessor in a grid": (
        lambda: gr.run(
            gr.GridCell([gr.SRNCell(3, 4), gr.SRNCell(4, 4)]),
            gr.schedule(gr.dag([[0, 1, 2], [3, 3, 3]], kind=torch.tensor([0, 0, 0, 1]))),
            x_for(4),
        ),
        ["cell of kind 1 has 2 slots,", "slot 2 of node 3"],
    ),
    "a structure that is none for the cell of a kind": (
        lambda: gr.run(gr.PerKind([Picky(3, 4), Picky(3, 4)]), gr.schedule(of_kinds(0, 0, 1)), x_for(3)),
        ["picky about 3 nodes"],
    ),
    "replaced messages with a row too few": (
        lambda: inbox_of_two().replaced(h=torch.zeros(1, 4)),
        ["h, edge_attr, edge_weight", "2 rows", "h with shape (1, 4)"],
    ),
    "replaced messages of a field that is not there": (
        lambda: inbox_of_two().replaced(c=torch.zeros(2, 4)),
        ["fields of the inbox (h, edge_attr, edge_weight)", "got c"],
    ),
    "relations of what comes in by one slot": (
        lambda: inbox_of_two().of_slot(0, 2).relation,
        ["no relation", "whole inbox"],
    ),
    "fewer slots than edges": (
        lambda: inbox_of_two().of_slot(0, 1).h,
        ["1 slot,", "slot 1 of node 2", "arity of at least 2"],
    ),
}


class Picky(gr.TreeGRUCell):
    def check(self, structure):
        raise ValueError(f"picky about {structure.num_nodes} nodes")


class ReturnsDict(torch.nn.Module):
    input_size = 3

    def forward(self, x, state=None):
        return {"h": x}


class ReturnsNone(ReturnsDict):
    def forward(self, x, state=None):
        return x, (x, None)


class ReturnsFour(ReturnsDict):
    def forward(self, x, state=None):
        return x, x, x, x


class NeedsState(ReturnsDict):
    def forward(self, x, state):
        return x + state


class ReturnsOutput(ReturnsDict):
    """An output and a state, which it does not take in one tuple."""

    def forward(self, x, state=0):
        return 2 * x, x + state.sin() if isinstance(state, torch.Tensor) else x + state


class TurnsDouble(ReturnsDict):
    """Two states where `hidden` has said one."""

    def forward(self, x, state):
        return x, x


CELLS = {
    "three biases": (lambda: gr.SRNCell(3, 4, biases=3), ["biases", "0, 1, or 2", "got 3"]),
    "three biases in an LSTM": (lambda: gr.LSTMCell(3, 4, biases=3), ["0, 1, or 2", "3"]),
    "a bias too few": (lambda: gr.GRUCell(3, 4, biases=-1), ["0, 1, or 2", "-1"]),
    "a forget bias without biases": (
        lambda: gr.LSTMCell(3, 4, forget_bias=1.0, biases=0),
        ["forget_bias needs a bias", "biases=1 or 2"],
    ),
    "a forget bias without biases, with peepholes": (
        lambda: gr.PeepholeLSTMCell(3, 4, forget_bias=1.0, biases=0),
        ["forget_bias needs a bias"],
    ),
    "a forget bias without biases in coupled gates": (
        lambda: gr.CoupledLSTMCell(3, 4, forget_bias=1.0, biases=0),
        ["forget_bias needs a bias"],
    ),
    "an unknown output of Jordan's": (lambda: gr.JordanCell(3, 4, 2, output="softmax"), ["'softmax'"]),
    "a residual module": (lambda: gr.ResidualCell(torch.nn.Linear(3, 3)), ["graphrec.Cell", "Linear"]),
    "a series of nothing": (lambda: gr.SeriesCell([]), ["at least one cell", "none"]),
    "a series in a series": (
        lambda: gr.SeriesCell([gr.SeriesCell([gr.SRNCell(3, 4)]), gr.SRNCell(4, 4)]),
        ["series within a series", "one by one"],
    ),
    "a module in a series": (
        lambda: gr.SeriesCell([gr.SRNCell(3, 4), torch.nn.Linear(4, 4)]),
        ["graphrec.Cell", "Linear"],
    ),
    "a cell that does not take the one below it": (
        lambda: gr.SeriesCell([gr.LSTMCell(3, 4), gr.SRNCell(4, 5), gr.SRNCell(4, 5)]),
        ["cell 2 takes inputs of width 4", "below it has width 5: make"],
    ),
    "more children than an upper cell has slots": (
        lambda: gr.run(
            gr.SeriesCell([gr.TreeGRUCell(3, 4), gr.SRNCell(4, 4)]), gr.schedule(of_kinds(0, 0, 0)), x_for(3)
        ),
        ["1 slot,", "slot 1 of node 2"],
    ),
    "kinds in a series": (
        lambda: gr.run(gr.SeriesCell([gr.PerKind(SRN_AND_GRU)]), plan(), x_for()),
        ["equations for each kind", "has no kinds"],
    ),
    "a TDNN without lags": (lambda: gr.TDNNCell(3, 4, lags=0), ["lags", "1 or more", "0"]),
    "a process without lags": (lambda: gr.ARCell(2, lags=0), ["lags", "1 or more", "0"]),
    "NARX without lags of outputs": (
        lambda: gr.NARXCell(3, 4, 2, input_lags=1, output_lags=0),
        ["output_lags", "1 or more", "0"],
    ),
    "NARX with a lag of inputs less than none": (
        lambda: gr.NARXCell(3, 4, 2, input_lags=-1, output_lags=1),
        ["input_lags", "0 or more", "-1"],
    ),
    "x without room for the true output": (
        lambda: gr.run(gr.ARCell(2, 1), plan(), x_for(width=2)),
        ["[5, 3]", "(5, 2)"],
    ),
    "more lags than a TDNN has": (
        lambda: gr.run(gr.TDNNCell(3, 4, 2), gr.schedule(gr.lagged([5], 3)), x_for()),
        ["2 slots", "slot 2 of node 3", "arity of at least 3"],
    ),
    "a function for a step": (lambda: gr.StepCell(torch.tanh), ["step module", "torch.nn.Module", "builtin"]),
    "a step of unknown inputs": (
        lambda: gr.StepCell(torch.nn.Linear(3, 4)),
        ["Linear has no input_size", "StepCell(step, inputs=D)"],
    ),
    "a step that needs a state": (
        lambda: gr.StepCell(NeedsState()),
        ["NeedsState does not run without a state", "missing 1 required", "hidden=H"],
    ),
    "a step that does not take what it returns": (
        lambda: gr.StepCell(ReturnsOutput()),
        ["ReturnsOutput does not run on the state that it has returned", "tuple", "hidden=(Y, (H,))"],
    ),
    "a step that returns a dict": (
        lambda: gr.StepCell(ReturnsDict()),
        ["ReturnsDict", "tensors", "got dict"],
    ),
    "a step that returns no tensor": (
        lambda: gr.StepCell(ReturnsNone()),
        ["ReturnsNone", "(Tensor, (Tensor, NoneType))"],
    ),
    "a step with too large a state": (
        lambda: gr.StepCell(ReturnsFour()),
        ["one to three tensors", "(3, 3, 3, 3)"],
    ),
    "a layer for a step": (
        lambda: gr.StepCell(torch.nn.LSTM(3, 4)),
        ["LSTM", "[n, H]", "[1, 4] for 2 rows", "not a step"],
    ),
    "widths that are none": (
        lambda: gr.StepCell(torch.nn.GRUCell(3, 4), hidden="4"),
        ["hidden must be a whole number", "'4'"],
    ),
    "more tensors than widths": (
        lambda: gr.run(gr.StepCell(TurnsDouble(), hidden=3), plan(), x_for()),
        ["TurnsDouble must return 1 tensors, as hidden says, got 2"],
    ),
    "another width than hidden says": (
        lambda: gr.run(gr.StepCell(NeedsState(), hidden=1), plan(), x_for()),
        ["h", "[1, 1]", "[1, 3]"],
    ),
}


class _UserCell(gr.Cell):
    State = namedtuple("State", "h")


class ReadsAttributes(_UserCell):
    def forward(self, x, inbox, own):
        return self.State(x + inbox.sum(inbox.edge_attr))


class ReadsRelations(_UserCell):
    def forward(self, x, inbox, own):
        return self.State(x + inbox.sum(inbox.relation[:, None] * inbox.h))


class Widthless(_UserCell):
    def forward(self, x, inbox, own):
        return self.State(x)


class ReturnsTensor(_UserCell):
    def forward(self, x, inbox, own):
        return x


class ReturnsNothing(_UserCell):
    def forward(self, x, inbox, own):
        return self.State(None)


class ProjectsToNothing(_UserCell):
    def project(self, x):
        pass


class Narrow(_UserCell):
    def forward(self, x, inbox, own):
        return self.State(x[:, :1])


EVERYTHING = {**STRUCTURES, **SCHEDULES, **RUNS, **READOUTS, **KINDS, **CELLS}


@pytest.mark.parametrize("case", EVERYTHING)
def test_error_says_what_is_wrong_and_how_to_mend_it(case):
    attempt, parts = EVERYTHING[case]
    with pytest.raises((ValueError, TypeError, AttributeError)) as caught:
        attempt()
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("text", BRACKETS)
def test_malformed_brackets_are_named_with_their_position(text):
    position, part = BRACKETS[text]
    with pytest.raises(ValueError, match=f"position {position}:") as caught:
        gr.tree(text)
    assert part in str(caught.value)


def test_empty_text_is_no_tree():
    with pytest.raises(ValueError, match="empty text"):
        gr.tree("  ")


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ([[0, 1, 2, 5], [1, 2, 0, 4]], {0, 1, 2}),
        ([[0, 0, 1, 2, 3], [1, 2, 3, 3, 1]], {1, 3}),
        ([[0, 1], [1, 0]], {0, 1}),
        ([[3], [3]], {3}),
    ],
)
def test_a_cycle_in_async_mode_is_named_and_the_structure_is_as_before(edges, cycle):
    structure = gr.dag(edges, 6)
    with pytest.raises(gr.CycleError, match="→") as caught:
        gr.schedule(structure)
    assert set(caught.value.cycle) == cycle
    pairs = set(zip(*edges, strict=True))
    walk = [*caught.value.cycle, caught.value.cycle[0]]
    assert all(step in pairs for step in pairwise(walk))
    assert "mode='sync'" in str(caught.value)
    assert structure == gr.dag(edges, 6)
    assert gr.schedule(structure, "sync", 2).rounds == 2


def test_a_reserved_name_for_a_field_of_the_state():
    with pytest.raises(TypeError, match="'slot'"):
        type("Bad", (gr.Cell,), {"State": namedtuple("State", "h slot")})


def test_a_cell_must_have_a_forward():
    with pytest.raises(NotImplementedError, match="forward"):
        gr.run(_UserCell(3, 3), plan(), x_for())


def test_nothing_is_changed_by_a_refused_run():
    structure, x = gr.chain(5), torch.randn(5, 3)
    before, copy = {k: v.clone() for k, v in CELL.state_dict().items()}, x.clone()
    with pytest.raises(ValueError, match="initial h"):
        gr.run(CELL, gr.schedule(structure), x, torch.zeros(7, 4))
    assert structure == gr.chain(5)
    assert torch.equal(x, copy)
    assert all(torch.equal(before[name], value) for name, value in CELL.state_dict().items())


@pytest.mark.parametrize(
    ("structure", "count"),
    [(gr.dag([[0, 0], [1, 2]], 3), 2), (gr.dag([[0, 1], [1, 0]], 2), 0)],
    ids=["two ends", "a circle"],
)
def test_a_final_state_needs_an_end(structure, count):
    model = gr.Recursive(gr.ChildSumTreeLSTMCell(3, 4), "sync", 2)
    x = torch.zeros(structure.num_nodes, 3)
    model(x, structure)  # nobody asked for it
    with pytest.raises(ValueError, match=f"graph 0 has {count} of them: give each part a graph of its own"):
        model.with_states(x, structure)


def test_an_initial_state_needs_a_slot_for_all_the_past():
    s = gr.lagged([3], 3)
    with pytest.raises(ValueError, match="would fill 3 slots of a node, its past, but the cell has 1"):
        gr.run(gr.GRUCell(3, 4), gr.schedule(gr.lagged([1], 3)), torch.zeros(1, 3), torch.ones(1, 4))
    gr.run(gr.RecNNCell(3, 4, arity=3), gr.schedule(s), torch.zeros(3, 3), torch.ones(1, 4))


@pytest.mark.parametrize(
    ("sent", "error", "message"),
    [
        (torch.zeros(1, 4), TypeError, "fields h, as the visit has, got Tensor"),
        (gr.SRNCell.State(torch.zeros(2, 4)), ValueError, r"h that is sent must have shape \[1, 4\]"),
        (
            gr.SRNCell.State(torch.zeros(1, 4).double()),
            ValueError,
            "torch.float32 on cpu, got .* torch.float64",
        ),
    ],
)
def test_states_that_are_sent_must_fit(sent, error, message):
    loop = gr.steps(CELL, plan(), x_for())
    next(loop)
    with pytest.raises(error, match=message):
        loop.send(sent)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_schedule_on_another_device():
    with pytest.raises(ValueError, match=r"x is on cuda.*the schedule is on cpu: .*s\.to\("):
        gr.run(gr.SRNCell(3, 4).to("cuda"), plan(), x_for(device="cuda"))


def test_a_cell_that_begins_with_x_says_how():
    with pytest.raises(TypeError, match=r"Unsaid begins with x: define initial_from_x"):
        type("Unsaid", (_UserCell,), {"begins_with_x": True})
