"""What `tests/face` found by calling all public names with junk: torch or Python failed, or it was taken for something
else. Now each is refused by name."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import graphrec as gr

X = torch.ones(3, 2)
SPARSE = torch.ones(2, 2).to_sparse()
NO_TRUTH = np.ones((2, 2))  # which is neither true nor false
REFUSED = {
    "no width": (lambda: gr.TreeGRUCell(3, None), TypeError, "hidden must be a whole number, got None"),
    "a truth for a width": (
        lambda: gr.SRNCell(3, torch.tensor(True)),
        TypeError,
        "hidden must be a whole number",
    ),
    "a list of nonlinearities": (
        lambda: gr.SRNCell(3, 4, ["tanh"]),
        ValueError,
        "activation must be one of tanh",
    ),
    "a truth for biases": (lambda: gr.GRUCell(3, 4, True), ValueError, "biases must be 0, 1, or 2"),
    "a text for a bias": (
        lambda: gr.LSTM(3, 4, forget_bias="1"),
        TypeError,
        "forget_bias must be a number, got '1'",
    ),
    "no number": (
        lambda: gr.LSTM(3, 4, forget_bias=float("nan")),
        ValueError,
        "forget_bias must be a finite number, got nan",
    ),
    "a part of a way": (lambda: gr.LeakySRNCell(3, 4, alpha=None), TypeError, "alpha must be a number"),
    "one radius": (lambda: gr.LRUCell(3, 4, radii=0.5), TypeError, "radii must be a list"),
    "a text for a flag": (
        lambda: gr.chains([2], batch_first="no"),
        TypeError,
        "batch_first must be True or False",
    ),
    "a number for a flag": (
        lambda: gr.GCNCell(2, 3, normalize=2),
        TypeError,
        "normalize must be True or False",
    ),
    "a number for cells": (lambda: gr.PerKind(3), TypeError, "cells must be a list, got 3"),
    "a text for an embedding": (
        lambda: gr.EmittingCell(gr.GRUCell(3, 2), "words", nn.Linear(2, 4)),
        TypeError,
        "expected embed, a torch.nn.Embedding",
    ),
    "a share above one": (
        lambda: gr.LanguageModel(5, 3, gr.LSTM(3, 4), 4, 0, dropout=3),
        ValueError,
        "dropout must be a share, from 0 to 1, got 3",
    ),
    "a list for a merge": (
        lambda: gr.Bidirectional(gr.GRU(2, 3), gr.GRU(2, 3), [1]),
        ValueError,
        "merge must be one of",
    ),
    "an array for a mode": (
        lambda: gr.schedule(gr.chain(2), NO_TRUTH),
        ValueError,
        "mode must be one of async, sync",
    ),
    "an array for a backend": (
        lambda: gr.GRU(2, 3)(X, gr.chain(3), backend=NO_TRUTH),
        ValueError,
        "no backend",
    ),
    "an array for a readout": (
        lambda: gr.SequenceToClass(gr.GRU(2, 3), 3, 2, NO_TRUTH),
        ValueError,
        "readout must be one of last",
    ),
    "a text for a tolerance": (lambda: gr.FixedPoint("small"), TypeError, "tolerance must be a number"),
    "levels of data": (
        lambda: gr.levels(gr.to_pyg(gr.chain(2))),
        TypeError,
        "expected a Structure, got Data",
    ),
    "colours of rows": (lambda: gr.colouring(X), TypeError, "expected a Structure, got Tensor"),
    "PyG's data of rows": (lambda: gr.to_pyg(X), TypeError, "expected a Structure, got Tensor"),
    "a graph of rows": (lambda: gr.to_networkx(X), TypeError, "expected a Structure, got Tensor"),
    "a text for a seed": (lambda: gr.colouring(gr.chain(2), "a"), TypeError, "seed must be a whole number"),
    "sparse edges": (lambda: gr.dag(SPARSE.long()), TypeError, "edge_index must be a dense tensor"),
    "sparse features": (
        lambda: gr.chain(3).replace(edge_attr=SPARSE),
        TypeError,
        "edge_attr must be a dense tensor",
    ),
    "one slot for all": (
        lambda: gr.chain(3).replace(edge_attr=torch.tensor(1.0)),
        ValueError,
        "one row per edge",
    ),
    "a number for tokens": (
        lambda: gr.chain(2).replace(tokens=5),
        TypeError,
        "tokens must be a list of texts",
    ),
    "numbers for tokens": (
        lambda: gr.chain(2).replace(tokens=[1, 2]),
        TypeError,
        "tokens must be a list of texts",
    ),
    "tokens in no order": (
        lambda: gr.chain(2).replace(tokens={"a", "b"}),
        TypeError,
        "tokens must be a list of texts",
    ),
    "a dictionary of cells": (
        lambda: gr.PerKind({"a": gr.GRUCell(3, 2)}),
        TypeError,
        "cells must be a list",
    ),
    "an infinite number of numpy": (
        lambda: gr.LSTM(3, 4, forget_bias=np.float32("inf")),
        ValueError,
        "forget_bias must be a finite number, got",
    ),
    "a whole number beyond floats": (
        lambda: gr.LSTM(3, 4, forget_bias=10**400),
        ValueError,
        "forget_bias must be a finite number, got",
    ),
    "a slice of cones": (
        lambda: gr.loader.Cones(gr.chain(3))[0:2],
        TypeError,
        "cones must be chosen by a whole number, or a list of them",
    ),
    "a class for a rule": (
        lambda: gr.learning.Online(gr.learning.RTRL, gr.SRNCell(3, 2)),
        TypeError,
        "got the class RTRL",
    ),
    "a score for all": (
        lambda: gr.readout.attention(X, gr.chain(3), lambda h: h.sum(1)),
        TypeError,
        "to [N, 1], got one that gives shape [3]",
    ),
    "several scores": (
        lambda: gr.readout.attention(X, gr.chain(3), nn.Linear(2, 2)),
        TypeError,
        "to [N, 1], got one that gives shape [3, 2]",
    ),
    "a class for a model": (
        lambda: gr.explain(gr.TreeLSTM, gr.chain(3)),
        TypeError,
        "got the class TreeLSTM",
    ),
    "a function without an input": (
        lambda: gr.explain(lambda x, s: x, gr.chain(3)),
        ValueError,
        "give x, explain(model, s, x)",
    ),
    "too many nodes": (
        lambda: gr.balanced([2**62, 2**62]),
        ValueError,
        "all lengths together must be less than 2**62, got 9223372036854775808",
    ),
    "sequences of one": (lambda: gr.from_list(5), TypeError, "sequences must be a list, got 5"),
    "a nested sequence": (
        lambda: gr.from_list([torch.nested.nested_tensor([X], layout=torch.jagged)]),
        TypeError,
        "sequence 0 is a nested tensor",
    ),
    "a sparse rollout": (lambda: gr.episodes(SPARSE.bool()), TypeError, "is_first must be a dense tensor"),
    "a text for padding": (
        lambda: gr.to_padded(X, gr.chain(3), padding_value="0"),
        TypeError,
        "padding_value must be",
    ),
    "rows that are a range": (
        lambda: gr.from_prefixes(range(3), gr.prefix_scan([2])),
        TypeError,
        "must be a tensor with a row for each, got range",
    ),
    "an initial number": (
        lambda: gr.GRU(2, 3)(X, gr.chain(3), initial=torch.tensor(1.0)),
        ValueError,
        "initial h must have rows",
    ),
    "states or none": (
        lambda: gr.GRU(2, 3)(X, gr.chain(3), return_states=X),
        TypeError,
        "return_states must be",
    ),
    "a score that is none": (
        lambda: gr.readout.attention(X, gr.chain(3), 0.5),
        TypeError,
        "score must be a module",
    ),
    "a score of nothing": (
        lambda: gr.readout.attention(X, gr.chain(3), lambda h: None),
        TypeError,
        "score must be a module",
    ),
    "an aggregation": (
        lambda: gr.readout.aggregate(X, gr.chain(3), X),
        TypeError,
        "aggr must be an aggregation",
    ),
    "explained rows": (lambda: gr.explain(X, gr.chain(3), X), TypeError, "model must be a model"),
    "explained without x": (lambda: gr.explain(X, gr.chain(3)), TypeError, "model must be a model"),
    "an array for a way of folding": (
        lambda: gr.trie([[1]]).fold(torch.ones(1), NO_TRUTH),
        ValueError,
        "reduce must be one of sum, mean",
    ),
    "an array for a mode of pLSTM": (
        lambda: gr.PLSTM(2, 4, mode=NO_TRUTH),
        ValueError,
        "mode must be one of P, D",
    ),
    "tries in a tensor": (lambda: gr.Trie.batch(torch.tensor(1)), TypeError, "batch takes a list of tries"),
}


@pytest.mark.parametrize(("attempt", "error", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(attempt, error, message):
    with pytest.raises(error, match=re.escape(message)):
        attempt()


def test_integers_keep_their_dtype_in_aggregations_of_pyg():
    for dtype in (torch.int32, torch.int64):
        found = gr.readout.aggregate(torch.ones(3, 2, dtype=dtype), gr.chains([2, 0, 1]), "sum")
        assert found.dtype == dtype
        assert found.tolist() == [[2, 2], [0, 0], [1, 1]]


def test_numbers_of_numpy_and_torch_are_numbers():
    for value in (np.float32(3), np.array(3.0), torch.tensor(3.0), torch.tensor(3)):
        assert set(gr.LSTM(3, 4, forget_bias=value).cell.input.bias[4:8].tolist()) == {3.0}


def test_texts_are_a_tuple_however_they_are_given():
    assert gr.chain(2).replace(tokens=["a", None]) == gr.chain(2).replace(tokens=("a", None))
    assert gr.chain(2).replace(labels=iter("ab")).labels == ("a", "b")
