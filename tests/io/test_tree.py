"""Every way to write a tree, and that all of them mean the same."""

import ast
from pathlib import Path

import nltk
import numpy as np
import pytest
import torch
from hypothesis import given

import graphrec as gr
from tests import strategies
from tests.assertions import assert_edges

SENTENCE = "(3 (2 It) (4 (2 's) (4 good)))"
EDGES = [(0, 4, 0), (1, 3, 0), (2, 3, 1), (3, 4, 1)]  # of that sentence: children first, the root last


def test_brackets():
    s = gr.tree(SENTENCE)
    assert_edges(s, EDGES)
    assert s.tokens == ("It", "'s", "good", None, None)
    assert s.labels == ("2", "2", "4", "4", "3")


def test_brackets_without_labels():
    s = gr.tree("( not ( a ( and b ) ) )", labels=False)
    assert s.tokens == ("not", "a", "and", "b", None, None, None)
    assert s.labels is None
    assert_edges(s, [(2, 4, 0), (3, 4, 1), (1, 5, 0), (4, 5, 1), (0, 6, 0), (5, 6, 1)])


def test_words_beside_brackets_are_leaves_of_their_own():
    s = gr.tree("(S the (N dog) barks)")
    assert_edges(s, [(0, 3, 0), (1, 3, 1), (2, 3, 2)])
    assert s.tokens == ("the", "dog", "barks", None)
    assert s.labels == (None, "N", None, "S")


@pytest.mark.parametrize(("text", "tokens"), [("word", ("word",)), ("(X word)", ("word",))])
def test_a_tree_of_one_node(text, tokens):
    s = gr.tree(text)
    assert (s.num_nodes, s.num_edges, s.tokens) == (1, 0, tokens)


def test_white_space_means_nothing():
    assert gr.tree("(3\n  (2 It)\t(4 (2 's)(4 good) ) )\n") == gr.tree(SENTENCE)


PTB_ESCAPES = {
    "-LRB-": "(",
    "-RRB-": ")",
    "-LSB-": "[",
    "-RSB-": "]",
    "-LCB-": "{",
    "-RCB-": "}",
    r"1\/2": "1/2",
    r"\*": "*",
    r"\(": "(",
    r"\)": ")",
    r"a\\b": "a\\b",
}


@pytest.mark.parametrize("word", PTB_ESCAPES)
def test_penn_treebank_escapes(word):
    s = gr.tree(f"(S (-LRB- {word}) {word})")
    assert s.tokens == (PTB_ESCAPES[word], PTB_ESCAPES[word], None)
    assert s.labels[0] == "-LRB-"  # labels are names, not text


def test_a_bracket_that_holds_only_a_label_is_a_leaf():
    s = gr.tree("(S (NP) (VP (HYPH ) (V be)) (.))")
    assert_edges(s, [(0, 5, 0), (1, 3, 0), (2, 3, 1), (3, 5, 1), (4, 5, 2)])
    assert s.labels == ("NP", "HYPH", "V", "VP", ".", "S")
    assert s.tokens == (None, None, "be", None, None, None)
    assert gr.tree("(S)").labels == ("S",)
    assert gr.tree("(S)").tokens is None


def test_a_bracket_within_a_bracket_is_a_node_of_its_own():
    s = gr.tree("(NN (kera))")
    assert_edges(s, [(0, 1, 0)])
    assert s.labels == ("kera", "NN")
    assert gr.tree("(NN kera)").num_nodes == 1


def test_a_byte_order_mark_before_brackets_is_none_of_their_characters():
    assert gr.tree(f"\ufeff{SENTENCE}") == gr.tree(SENTENCE)
    with pytest.raises(ValueError, match="position 4:"):
        gr.tree("\ufeff(S ()")


def test_penn_treebank_wraps_a_tree_in_a_bracket_without_label():
    s = gr.tree("((S (N dog) (V barks)))")
    assert_edges(s, [(0, 2, 0), (1, 2, 1), (2, 3, 0)])
    assert s.labels == ("N", "V", "S", "")


def test_nested_lists_and_tuples():
    s = gr.tree([["It"], ("'s", "good")])
    assert_edges(s, [(0, 1, 0), (1, 5, 0), (2, 4, 0), (3, 4, 1), (4, 5, 1)])
    assert s.tokens == ("It", None, "'s", "good", None, None)


@pytest.mark.parametrize(
    "text",
    [
        SENTENCE,
        "(S the (N dog) barks)",
        "(X word)",
        r"(S (A -LRB-) (B (C 1\/2) -RRB-))",
        "(S (NP) (VP (HYPH )) (.))",
        "(NP (NN (kera)))",
        "( (S (N dog) (V barks)))",
        "(S 3 2.5 None)",
    ],
)
def test_an_nltk_tree_reads_as_the_brackets_that_it_prints(text):
    tree = nltk.Tree.fromstring(text)
    assert gr.tree(tree) == gr.tree(text)
    assert gr.tree(tree) == gr.tree(str(tree))


def test_leaves_of_an_nltk_tree_may_be_pairs():
    tree = nltk.Tree(
        "S", [nltk.Tree("NP", [("the", "DT"), ("dog", "NN")]), nltk.Tree("V", [("barks", "VBZ")]), 7]
    )
    s = gr.tree(tree)
    assert s == gr.tree(tree.pformat(margin=1000))
    assert s.tokens == ("the/DT", "dog/NN", None, "barks/VBZ", "7", None)
    assert s.labels == (None, None, "NP", "V", None, "S")
    assert gr.tree(nltk.Tree("S", [7, 8])).tokens == ("7", "8", None)  # no parents
    assert gr.tree([tree, "x"]).tokens == (*s.tokens, "x", None)


def test_nested_lists_of_numbers_that_can_be_nothing_else():
    assert gr.tree([[3, 4], [5, 6]]).tokens == ("3", "4", None, "5", "6", None, None)
    assert gr.tree([[1, 2], 3]).tokens == ("1", "2", None, "3", None)
    assert gr.tree(["a", 10**5000]).tokens[1] == hex(10**5000)


def test_a_list_may_stand_in_several_places():
    leaf = ["a", "b"]
    assert gr.tree([leaf] * 5000).num_nodes == 15_001


def test_a_syntax_tree():
    s = gr.tree(ast.parse("f(x, 1)", mode="eval"))
    #  Expression → Call → (Name f → Load), (Name x → Load), Constant 1
    assert s.labels == ("Load", "Name", "Load", "Name", "Constant", "Call", "Expression")
    assert s.tokens == (None, "f", None, "x", "1", None, None)
    assert_edges(s, [(0, 1, 0), (2, 3, 0), (1, 5, 0), (3, 5, 1), (4, 5, 2), (5, 6, 0)])
    fields = [gr.SYNTAX_FIELDS[number] for number in s.relation.tolist()]
    assert fields == ["ctx", "func", "ctx", "args", "args", "body"]
    assert s.relation_names == gr.SYNTAX_FIELDS


def test_a_syntax_tree_has_a_node_for_every_node():
    tree = ast.parse(Path(__file__).read_text())
    assert gr.tree(tree).num_nodes == sum(1 for _ in ast.walk(tree))


def test_parents():
    s = gr.tree(parents=[4, 3, 3, 4, -1])
    assert_edges(s, EDGES)
    assert gr.tree(parents=torch.tensor([4, 3, 3, 4, -1])) == s
    assert gr.tree(torch.tensor([[0, 1, 2, 3], [4, 3, 3, 4]])) == s
    assert gr.tree(np.array([[4, 3, 3, 4], [0, 1, 2, 3]])[::-1]) == s
    words = ["It", "'s", "good", None, None]
    assert gr.tree(parents=[4, 3, 3, 4, -1], tokens=words) == s.replace(tokens=tuple(words))
    assert gr.tree(s.edge_index, labels=words).labels == tuple(words)


def test_parents_in_any_numbering():
    assert_edges(gr.tree(parents=[-1, 0, 0, 1, 1]), [(1, 0, 0), (2, 0, 1), (3, 1, 0), (4, 1, 1)])


def test_edges_in_any_numbering():
    assert_edges(gr.tree(torch.tensor([[2, 0], [1, 2]])), [(2, 1, 0), (0, 2, 0)])
    assert gr.tree(torch.zeros(2, 0, dtype=torch.long)).num_nodes == 1


@given(structure=strategies.trees())
def test_a_trees_parents_and_edges_are_one_tree(structure):
    parents = [-1] * structure.num_nodes
    for child, parent in structure.edge_index.t().tolist():
        parents[child] = parent
    by_parents = gr.tree(parents=parents)
    by_edges = gr.tree(by_parents.edge_index)
    assert by_edges == by_parents
    assert sorted(map(tuple, by_parents.edge_index.t().tolist())) == sorted(
        map(tuple, structure.edge_index.t().tolist())
    )


DEPTH = 100_000


def test_brackets_nested_deeper_than_python_recurses():
    s = gr.tree("(X " * DEPTH + "leaf" + ")" * DEPTH)
    assert s.num_nodes == DEPTH
    assert torch.equal(s.edge_index, gr.chain(DEPTH).edge_index)
    assert s.tokens[0] == "leaf"
    assert int(gr.levels(s).max()) == DEPTH - 1


def test_lists_nested_deeper_than_python_recurses():
    nested = "leaf"
    for _ in range(DEPTH - 1):
        nested = [nested]
    assert torch.equal(gr.tree(nested).edge_index, gr.chain(DEPTH).edge_index)


def test_a_node_with_a_thousand_children():
    s = gr.tree("(S" + " w" * 1000 + ")")
    assert s.slot.tolist() == list(range(1000))
    assert s.target.unique().tolist() == [1000]
