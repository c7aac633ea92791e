"""On a prefix tree sequences compute what each of them computes alone, with the same gradients.

A node's state depends on its prefix alone, which is the same in every sequence that goes through the node; and the
gradient of a shared value is the sum over those who share it.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec as gr
from tests.tolerances import assert_all_close

CELLS = {
    "SRN": gr.SRNCell,
    "GRU": gr.GRUCell,
    "LSTM": gr.LSTMCell,
    "Child-Sum Tree-LSTM": gr.ChildSumTreeLSTMCell,
}
# Prompts with continuations: empty ones, equal ones, prefixes of others; prompts without; nothing at all.
PROMPTS = {
    "one": ([[1, 2, 3]], [[[4, 5], [4], [], [4, 5], [6, 6, 6]]]),
    "first, middle and last empty": ([[]], [[[], [1, 2], [], [1], [2, 2, 2], []]]),
    "several": ([[1], [], [1, 2], [3]], [[[2], [2, 3]], [[], [1, 2, 2]], [], [[], [3, 3]]]),
    "all empty": ([[], []], [[[], []], [[]]]),
    "none": ([], []),
}


def both(cell, trie, initial):
    """States and all gradients, by row of the sequences: of the trie, and of the sequences in full."""
    cell = cell(3, 4).double()
    x = torch.randn(trie.num_nodes, 3, dtype=torch.float64)
    rows = {"none": None, "all": 1, "graphs": len(trie.counts)}[initial]
    begin = None if rows is None else [torch.randn(rows, 4, dtype=torch.float64) for _ in cell.State._fields]
    weights = [torch.randn(trie.num_rows, 4, dtype=torch.float64) for _ in cell.State._fields]
    ends = [torch.randn(len(trie.lengths), 4, dtype=torch.float64) for _ in cell.State._fields]

    def found(s, rows_of, last, of_sequences):
        leaves = {"x": x.clone().requires_grad_()}
        given = None
        if begin is not None:
            leaves |= {f"initial {i}": field.clone().requires_grad_() for i, field in enumerate(begin)}
            fields = [leaves[f"initial {i}"] for i in range(len(begin))]
            given = cell.State(*(of_sequences(field) for field in fields))
        h0 = None if given is None else gr.per_graph(given)
        state = gr.run(cell, gr.schedule(s), rows_of[0](leaves["x"]), initial=h0)
        expanded = [rows_of[1](field) for field in state]
        finals = last(state, given)
        loss = sum((w * field).sum() for w, field in zip(weights, expanded, strict=True))
        loss = loss + sum((w * field).sum() for w, field in zip(ends, finals, strict=True))
        leaves |= dict(cell.named_parameters())
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return {
            **{f"gradient of {name}": grad for name, grad in zip(leaves, grads, strict=True)},
            **{f"states {i}": field for i, field in enumerate(expanded)},
            **{f"finals {i}": field for i, field in enumerate(finals)},
        }

    def last_of_chains(state, given):
        """The last row of each chain, or its initial state, sequence by sequence."""
        parts = []
        for i, field in enumerate(state):
            nothing = field.new_zeros(len(trie.lengths), 4) if given is None else given[i]
            rows = field.split(trie.lengths.tolist()) if len(trie.lengths) else []
            ends = [
                row[-1] if len(row) else nothing[b if len(nothing) > 1 else 0] for b, row in enumerate(rows)
            ]
            parts.append(torch.stack(ends) if ends else field.new_zeros(0, 4))
        return parts

    def same(rows):
        return rows

    def of_sequences(field):
        return field if len(field) == 1 and initial == "all" else field[trie.graph]

    shared = found(trie.structure, (same, trie.expand), trie.last, same)
    in_full = found(trie.sequences, (lambda x: x[trie.node], same), last_of_chains, of_sequences)
    return shared, in_full


@pytest.mark.parametrize("initial", ["none", "all", "graphs"])
@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize("cell", CELLS)
def test_equal_to_every_sequence_in_full(cell, prompts, initial):
    assert_all_close(*both(CELLS[cell], gr.Trie.from_branches(*PROMPTS[prompts]), initial))


@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize("cell", CELLS)
def test_in_the_loop_too(cell, prompts):
    with gr.running_on("loop"):
        assert_all_close(*both(CELLS[cell], gr.Trie.from_branches(*PROMPTS[prompts]), "graphs"))


@given(st.lists(st.lists(st.integers(0, 1), max_size=5), max_size=6), st.sampled_from(sorted(CELLS)))
def test_random_sequences(sequences, cell):
    assert_all_close(*both(CELLS[cell], gr.trie(sequences), "all"))


@pytest.mark.parametrize("net", [torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM])
def test_equal_to_torch_on_each_sequence_alone(net):
    sequences = [[1, 2, 3], [1, 2, 4, 4], [1], [5, 1], [1, 2, 3]]
    trie = gr.trie(sequences)
    theirs = net(3, 4).double()
    ours = gr.from_torch(theirs).model
    embedding = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    h = trie.expand(ours(embedding[trie.token], trie.structure))
    alone = torch.cat([theirs(embedding[torch.tensor(sequence)])[0] for sequence in sequences])
    upstream = torch.randn_like(alone)
    grads = [torch.autograd.grad(rows, embedding, upstream)[0] for rows in (h, alone)]
    assert_all_close({"h": h, "embedding": grads[0]}, {"h": alone, "embedding": grads[1]})


def test_a_loss_of_rows_is_one_of_nodes():
    """Σ_r w_r f(h_node(r)) = Σ_v fold(w)_v f(h_v): f is computed for nodes alone."""
    trie = gr.trie([[1, 2, 3], [1, 2], [], [1, 2, 4]])
    h = torch.randn(trie.num_nodes, 5, dtype=torch.float64, requires_grad=True)
    w = torch.randn(trie.num_rows, dtype=torch.float64, requires_grad=True)

    def score(h):
        return torch.log_softmax(h, 1)[:, 0]

    by_rows, by_nodes = (w * score(trie.expand(h))).sum(), (trie.fold(w) * score(h)).sum()
    by_rows, by_nodes = (
        dict(zip(("loss", "h", "w"), (loss, *torch.autograd.grad(loss, [h, w])), strict=True))
        for loss in (by_rows, by_nodes)
    )
    assert_all_close(by_nodes, by_rows)


def test_a_language_model_scores_each_token_once():
    """`LanguageModel` reads each node's predecessor, so it runs on the trie as it is."""
    sequences = [[1, 2, 3, 0], [1, 2, 0], [1, 4, 0], [0], [1, 2, 3, 0]]
    trie = gr.trie(sequences)
    model = gr.LanguageModel(5, 3, gr.LSTM(3, 4), 4, end=0).double()
    shared = trie.expand(model(trie.token, trie.structure))
    in_full = model(trie.expand(trie.token), trie.sequences)
    upstream = torch.randn_like(in_full)
    parameters = dict(model.named_parameters())
    grads = [torch.autograd.grad(of, list(parameters.values()), upstream) for of in (shared, in_full)]
    assert_all_close(
        {"logits": shared, **dict(zip(parameters, grads[0], strict=True))},
        {"logits": in_full, **dict(zip(parameters, grads[1], strict=True))},
    )
