"""Cells that are special cases of each other, with the weights arranged to match.

- The N-ary Tree-LSTM with one slot is the Child-Sum Tree-LSTM where no node has more than one child: the sum
  over the children is then the child, and the one forget gate sees it.
- The recursive network with one slot is the SRN wherever a node has one source, also on branching structures
  (top-down trees).
- The Child-Sum cells do not see the order of children: other slots, same states.
- The tensor network without its tensor is the recursive network.
"""

import torch
from hypothesis import given
from hypothesis import strategies as st

import graphrec as gr
from tests import strategies
from tests.tolerances import assert_all_close
from tests.trials import Trial, trial

one_source_each = strategies.acyclic(arity=1)
initial_states = st.sampled_from([None, "per graph", "per node"])


@given(structure=one_source_each, initial=initial_states, hidden=strategies.sizes)
def test_nary_tree_lstm_with_one_slot_is_child_sum_tree_lstm_with_one_child(structure, initial, hidden):
    child_sum = trial(gr.ChildSumTreeLSTMCell, structure, initial, hidden=hidden)
    cell = gr.NaryTreeLSTMCell(3, hidden, arity=1).double()
    with torch.no_grad():
        cell.input.load_state_dict(child_sum.cell.input.state_dict())
        cell.recurrent.weight.copy_(torch.cat([child_sum.cell.iou.weight, child_sum.cell.forget.weight]))
    nary = Trial(cell, structure, child_sum.x, child_sum.initial)

    expected, actual = child_sum.outcome(), nary.outcome()
    of_recurrent = actual.pop("gradient of recurrent.weight")
    if of_recurrent is None:
        of_recurrent = torch.zeros_like(cell.recurrent.weight)
    actual["gradient of iou.weight"], actual["gradient of forget.weight"] = of_recurrent.split(
        [3 * hidden, hidden]
    )
    assert_all_close(actual, expected)


@given(structure=one_source_each, initial=initial_states, hidden=strategies.sizes)
def test_recnn_with_one_slot_is_srn(structure, initial, hidden):
    srn = trial(gr.SRNCell, structure, initial, hidden=hidden)
    recnn = gr.RecNNCell(3, hidden, arity=1).double()
    recnn.load_state_dict(srn.cell.state_dict())
    assert_all_close(Trial(recnn, structure, srn.x, srn.initial).outcome(), srn.outcome())


@given(structure=strategies.trees(arity=2), hidden=strategies.sizes)
def test_rntn_without_its_tensor_is_recnn(structure, hidden):
    rntn = trial(gr.RNTNCell, structure, hidden=hidden)
    with torch.no_grad():
        rntn.cell.tensor.weight.zero_()
    recnn = gr.RecNNCell(3, hidden, arity=2).double()
    recnn.load_state_dict({k: v for k, v in rntn.cell.state_dict().items() if k != "tensor.weight"})
    actual = rntn.outcome()
    del actual["gradient of tensor.weight"]
    assert_all_close(actual, Trial(recnn, structure, rntn.x).outcome())


@given(data=st.data(), make=st.sampled_from([gr.ChildSumTreeLSTMCell, gr.TreeGRUCell]))
def test_child_sum_cells_do_not_see_the_order_of_children(data, make):
    structure = data.draw(strategies.dags())
    slot = torch.tensor(data.draw(st.permutations(structure.slot.tolist())), dtype=torch.long)
    run = trial(make, structure)
    other = Trial(run.cell, structure.replace(slot=slot), run.x)
    assert_all_close(other.outcome(), run.outcome())
