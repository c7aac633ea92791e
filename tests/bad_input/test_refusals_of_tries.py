"""What is no prefix tree, and rows that do not fit one, are refused before any work."""

import re

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import graphrec as gr

TRIE = gr.Trie.from_branches([[1, 2], [3]], [[[3], []], [[4]]])  # 5 nodes, 7 rows, 3 sequences
STATE = gr.LSTMCell.State
FOLDED = torch.zeros(TRIE.num_rows)


@pytest.mark.parametrize(
    ("sequences", "error", "says"),
    [
        ([1, 2], TypeError, "got 1 at 0: put a single sequence into a list"),
        (torch.tensor([1, 2]), TypeError, "got one of shape [2]: put a single sequence into a list"),
        (torch.zeros(1, 2, 3, dtype=torch.long), TypeError, "got one of shape [1, 2, 3]"),
        (7, TypeError, "must be a list with the tokens of each sequence, whole numbers, got 7"),
        ("text", TypeError, "got 'text'"),
        (["text"], TypeError, "got 'text' at 0"),
        ({1: [2]}, TypeError, "got {1: [2]}"),
        ([[1.5]], TypeError, "whole numbers, got dtype torch.float64"),
        ([[1], [None]], TypeError, "whole numbers of 64 bits, got [1, None]"),
        ([[2**63]], TypeError, "of 64 bits"),
        (np.array([[2**63]], dtype=np.uint64), TypeError, "of 64 bits with a sign, got"),
        ([torch.tensor([2**63], dtype=torch.uint64)], TypeError, "of 64 bits with a sign, got"),
        ([[True, False]], TypeError, "got dtype torch.bool"),
        ([[[1]]], TypeError, "lists within its sequences"),
        ([torch.tensor([1]), torch.tensor([1.0])], TypeError, "sequences[1] must hold tokens"),
        ([torch.tensor([1]), torch.tensor([[1]])], TypeError, "sequences[1] must have one dimension"),
        ([np.array([0.5])], TypeError, "got dtype torch.float64"),
    ],
)
def test_sequences(sequences, error, says):
    with pytest.raises(error, match=re.escape(says)):
        gr.trie(sequences)


@pytest.mark.parametrize(
    ("prompts", "branches", "error", "says"),
    [
        ([[1]], [], ValueError, "expected 1, got 0"),
        ([[1]], [[[2]], [[3]]], ValueError, "expected 1, got 2"),
        ([[1]], 5, TypeError, "branches[0] must be a list"),
        (
            [[1]],
            [[2]],
            TypeError,
            "branches[0] must be a list with the tokens of each sequence, whole numbers, got 2",
        ),
        ([1], [[[2]]], TypeError, "prompts must be a list"),
    ],
)
def test_branches(prompts, branches, error, says):
    with pytest.raises(error, match=re.escape(says)):
        gr.Trie.from_branches(prompts, branches)


@pytest.mark.parametrize(
    ("parents", "given", "error", "says"),
    [
        (
            [-1, 2, 1],
            {},
            ValueError,
            "must point back, to an earlier node or -1 for none, but the parent of node 1 is 2",
        ),
        ([0], {}, ValueError, "the parent of node 0 is 0"),
        ([-1, -2], {}, ValueError, "the parent of node 1 is -2"),
        ([-1, 9], {}, ValueError, "the parent of node 1 is 9"),
        ([-1.0], {}, TypeError, "got dtype torch.float32"),
        ([[-1]], {}, ValueError, "got shape [1, 1]"),
        (
            [-1, 0, 0],
            {"position": [0, 1, 2]},
            ValueError,
            "node 2 is at 1, got 2: these are no sequences of one trie",
        ),
        (
            [-1, 0],
            {"position": [0]},
            ValueError,
            "position must hold a whole number for each node: expected 2",
        ),
        (
            [-1, 0],
            {"token": [1, 2, 3]},
            ValueError,
            "token must hold a whole number for each node: expected 2",
        ),
        ([-1, 0], {"token": [1, 0.5]}, TypeError, "token must hold a whole number for each node, got dtype"),
        (
            [-1, 0],
            {"ends": [2]},
            ValueError,
            "ends must hold numbers 0 to 1, or -1 for an empty sequence, got 2",
        ),
        ([-1, 0], {"ends": [-2]}, ValueError, "got -2"),
        ([-1, 0], {"ends": 1}, ValueError, "ends must hold for each sequence"),
        ([-1, 0], {"ends": [0.5]}, TypeError, "ends must hold for each sequence"),
    ],
)
def test_packings(parents, given, error, says):
    with pytest.raises(error, match=re.escape(says)):
        gr.Trie.from_parents(parents, **given)


@pytest.mark.parametrize(
    ("lengths", "parents", "given", "error", "says"),
    [
        (
            [1, 1],
            [-1, 1],
            {},
            ValueError,
            "an earlier segment or -1 for none, but the parent of segment 1 is 1",
        ),
        ([1, 1], [-1, 2], {}, ValueError, "list each segment after its parent"),
        ([1, -1], [-1, 0], {}, ValueError, "lengths must be 0 or more"),
        ([1], [-1, 0], {}, ValueError, "a number for each segment, got 1 and 2"),
        ([0.5], [-1], {}, TypeError, "lengths must be whole numbers"),
        ([2, 1], [-1, 0], {"position": [0, 1, 0]}, ValueError, "node 2 is at 2, got 0"),
        ([2, 1], [-1, 0], {"token": [0, 1]}, ValueError, "expected 3"),
        ([2, 1], [-1, 0], {"ends": [2]}, ValueError, "ends must hold numbers 0 to 1"),
    ],
)
def test_segments(lengths, parents, given, error, says):
    with pytest.raises(error, match=re.escape(says)):
        gr.Trie.from_segments(lengths, parents, **given)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: TRIE.expand(FOLDED), ValueError, "h must have one row per node: expected 5, got shape [7]"),
        (lambda: TRIE.expand(torch.tensor(1.0)), ValueError, "expected 5, got shape []"),
        (lambda: TRIE.expand([1.0] * 5), TypeError, "h must be a tensor, got list"),
        (
            lambda: TRIE.fold(torch.zeros(5)),
            ValueError,
            "one row per row of the sequences: expected 7, got shape [5]",
        ),
        (lambda: TRIE.fold([1.0] * 7), TypeError, "values must be a tensor, got list"),
        (lambda: TRIE.fold(FOLDED, "max"), ValueError, "reduce must be one of sum, mean, got 'max'"),
        (lambda: TRIE.fold(FOLDED, None), ValueError, "got None"),
        (
            lambda: TRIE.fold(FOLDED.long(), "mean"),
            TypeError,
            "the mean is of floating-point numbers, got torch.int64",
        ),
        (lambda: TRIE.last(FOLDED), ValueError, "state must have one row per node: expected 5"),
        (
            lambda: TRIE.last(torch.zeros(5, 2), torch.zeros(3, 2)),
            ValueError,
            "for each of the 2 graphs, or one for all",
        ),
        (lambda: TRIE.last(torch.zeros(5, 2), torch.zeros(2, 3)), ValueError, "of shape [2], got [2, 3]"),
        (lambda: TRIE.last(torch.zeros(5, 2), 0.0), ValueError, "got float"),
        (lambda: TRIE.last(torch.zeros(5), torch.tensor(0.0)), ValueError, "got []"),
        (
            lambda: TRIE.last(STATE(torch.zeros(5, 2), torch.zeros(5, 2)), torch.zeros(2, 2)),
            TypeError,
            "initial must have the fields of state, 2 of them",
        ),
        (lambda: gr.LSTM(3, 4)(torch.zeros(5, 3), TRIE), TypeError, "got Trie: give its .structure"),
        (lambda: gr.Trie.batch(TRIE), TypeError, "batch takes a list of tries"),
        (lambda: gr.Trie.batch([TRIE, TRIE.structure]), TypeError, "batch takes a list of tries"),
        (lambda: gr.Trie.batch([TRIE, gr.Trie.from_parents([-1])]), ValueError, "1 of 2 tries have tokens"),
        (lambda: gr.Trie.from_pyg(gr.to_pyg(TRIE.structure)), ValueError, "there is no row_index"),
        (lambda: gr.Trie.from_pyg(Data()), ValueError, "with an edge_index"),
    ],
)
def test_rows(call, error, says):
    with pytest.raises(error, match=re.escape(says)):
        call()


def test_data_that_are_not_a_trie():
    for name, wrong in (("lengths", [3, 2, 3]), ("counts", [3]), ("counts", [1, 1]), ("row_index", [0, 1])):
        data = TRIE.to_pyg()
        data[name] = torch.tensor(wrong)
        with pytest.raises(ValueError, match="expected the data of a trie"):
            gr.Trie.from_pyg(data)
    data = TRIE.to_pyg()
    data.row_index = data.row_index + 1
    with pytest.raises(ValueError, match="row_index must hold numbers 0 to 4, got 5"):
        gr.Trie.from_pyg(data)
