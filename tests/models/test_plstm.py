"""pLSTM: the sum over all paths, the linear recurrence that it is on chains, and states that do not grow."""

import pytest
import torch

import graphrec as gr
from tests import oracles
from tests.tolerances import GRADCHECK, assert_all_close, assert_close
from tests.trials import edges_of, gradients

D, H = 3, 4


def diamonds():
    """A shared node, a long side, an edge that is there twice, an isolated node."""
    return gr.dag([[4, 4, 1, 1, 3, 0, 2], [1, 3, 0, 0, 2, 5, 5]], 7)


STRUCTURES = {
    "chain": lambda: gr.chain(5),
    "tree": lambda: gr.tree(parents=[4, 4, 5, 5, 6, 6, -1]),
    "grid": lambda: gr.grid([3, 2], 3),
    "dag": diamonds,
    "no edges": lambda: gr.dag([[], []], 3),
}


def case(mode, structure, arity=2, heads=2, edges=None):
    """A model in float64 with gates far from where they begin, a structure, and rows."""
    torch.manual_seed(len(mode + structure))
    s = STRUCTURES[structure]()
    if edges is not None:
        s = s.replace(edge_attr=torch.randn(s.num_edges, edges).double().requires_grad_())
    model = gr.PLSTM(D, H, heads, keys=3, mode=mode, arity=arity, edges=edges).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model, s, torch.randn(s.num_nodes, D).double().requires_grad_()


def pairs_of(s, mode):
    line = gr.line_graph(s, multitree=mode == "D")
    return set(zip(*line.edge_index.tolist(), strict=True))


def outcome(h, model, s, x):
    inputs = {"x": x, **dict(model.named_parameters())}
    if s.edge_attr is not None:
        inputs["edge_attr"] = s.edge_attr
    return {"h": h, **gradients((h,), inputs)}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("arity", [None, 2])
@pytest.mark.parametrize("mode", ["P", "D"])
def test_it_is_the_sum_over_all_paths(mode, arity, structure):
    model, s, x = case(mode, structure, arity)
    expected = oracles.plstm_by_paths(model, x, edges_of(s), pairs_of(s, mode))
    assert_all_close(outcome(model(x, s), model, s, x), outcome(expected, model, s, x))


@pytest.mark.parametrize("mode", ["P", "D"])
def test_features_of_edges_are_read(mode):
    model, s, x = case(mode, "dag", arity=None, edges=2)
    expected = oracles.plstm_by_paths(model, x, edges_of(s), pairs_of(s, mode), s.edge_attr)
    assert_all_close(outcome(model(x, s), model, s, x), outcome(expected, model, s, x))
    assert_close(model(x, s.edge_index, s.edge_attr), expected)


@pytest.mark.parametrize("mode", ["P", "D"])
def test_gradients_are_those_of_finite_differences(mode):
    model, s, x = case(mode, "grid")
    assert torch.autograd.gradcheck(lambda rows: model(rows, s), (x,), **GRADCHECK, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda rows: model(rows, s), (x,), **GRADCHECK, fast_mode=True)


@pytest.mark.parametrize("mode", ["P", "D"])
def test_on_a_chain_it_is_a_gated_linear_recurrence(mode):
    """C_t = T_t C_{t-1} + S_t k_t v_t, and what is read at t is C_{t-1}, and directly (q_t k_t) v_t."""
    model, s, x = case(mode, "chain", arity=None, heads=1)
    q, k, v = model.query(x), model.key(x), model.value(x)
    source, mark, direct = (torch.sigmoid(layer(x)) for layer in (model.source, model.mark, model.direct))
    transition = torch.tanh(5 * model.transition(x))
    state, rows = torch.zeros(3, H).double(), []
    for t in range(5):
        rows.append(mark[t] * q[t] @ state + direct[t] * (q[t] @ k[t]) * v[t])
        state = transition[t] * state + source[t] * torch.outer(k[t], v[t])
    assert_close(model(x, s), torch.stack(rows))


@pytest.mark.parametrize("mode", ["P", "D"])
def test_a_batch_is_its_members(mode):
    model, _, _ = case(mode, "grid")
    members = [gr.grid([3], 2), gr.chain(4), gr.grid([2, 0], 3), gr.tree(parents=[2, 2, -1])]
    members = [member.replace(kind=None, past=None) for member in members]
    rows = [torch.randn(member.num_nodes, D).double() for member in members]
    alone = [model(x, s) for x, s in zip(rows, members, strict=True)]
    assert_close(model(torch.cat(rows), gr.batch(members)), torch.cat(alone))


def one_source(mode, s, arity=None):
    """h `[N]` of a model whose transitions are as large as they get, where node 0 alone has something to send.

    What node 0 sends along an edge, undiminished, is 1 where it is read.
    """
    model = gr.PLSTM(1, 1, mode=mode, arity=arity)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.query.bias.fill_(4), model.key.bias.fill_(1), model.value.weight.fill_(1)  # S = M = 1 / 2
        model.transition.bias.fill_(9), model.direct.bias.fill_(-99)
        x = torch.zeros(s.num_nodes, 1)
        x[0] = 1
        return model, x


@pytest.mark.parametrize("mode", ["P", "D"])
def test_states_do_not_grow_on_a_grid(mode):
    """There are 1e118 paths to the far corner."""
    s = gr.grid([200], 200)
    model, x = one_source(mode, s, arity=2)
    h = model(x, s)[:, 0].view(200, 200)
    if mode == "D":
        # "This node can still reach all other nodes to its bottom right with magnitude one."
        assert_close(h.flatten()[1:], torch.ones(200 * 200 - 1))
    else:  # all that node 0 has sent, on two edges, is on each antidiagonal
        totals = torch.stack([h.flip(0).diagonal(d).sum() for d in range(-198, 200)])
        assert_close(totals, torch.full((398,), 2.0))


@pytest.mark.parametrize("mode", ["P", "D"])
def test_states_do_not_grow_on_a_dag(mode):
    class Sum(gr.AffineCell):
        def factor(self, x):
            return torch.ones_like(x)

        def term(self, x):
            return x

    nodes = torch.arange(1, 1000)
    s = gr.dag(torch.cat([torch.stack([(nodes * share).long(), nodes]) for share in (0.3, 0.6, 0.99)], dim=1))
    model, x = one_source(mode, s)
    leave, enter = (torch.bincount(end, minlength=1000) for end in s.edge_index)
    h = model(x, s)[:, 0]
    most = leave[0] if mode == "P" else leave[0] * enter
    assert (h <= most + 1e-4).all()
    assert h.min() >= 0
    assert gr.run(Sum(1, 1), gr.schedule(s), x).h.max() > 1e6  # as many paths there are


def test_the_angle_is_the_direction_of_the_signal():
    """D.2: on a diagonal of a 2D grid the signal is largest where a share alpha of the steps went to the right."""
    s = gr.grid([60], 60)
    model, x = one_source("P", s, arity=2)
    with torch.no_grad():
        model.angle.bias[0] = torch.logit(torch.tensor(0.7))
    h = model(x, s)[:, 0].view(60, 60)
    up, right = divmod(int(h.where(torch.arange(60) + torch.arange(60)[:, None] == 50, 0).argmax()), 60)
    assert (up, right) == (15, 35)


def test_what_runs_it_can_be_asked():
    (choice,) = gr.explain(gr.PLSTM(D, H, arity=2), gr.grid([50], 40))
    assert (type(choice.cell), choice.nodes, choice.steps) == (gr.PLSTMCell, 49 * 40 + 50 * 39, 49 + 39)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["P", "D"])
def test_torch_compile_gives_the_same(mode):
    model, s, x = case(mode, "grid")
    assert_close(torch.compile(model, backend="eager")(x, s), model(x, s))


def test_bad_input_is_refused():
    x, s = torch.randn(4, D), gr.chain(4)
    with pytest.raises(ValueError, match=r"mode must be one of P, D, got .Q."):
        gr.PLSTM(D, H, mode="Q")
    with pytest.raises(ValueError, match="hidden must be a multiple of their number: got hidden=4, heads=3"):
        gr.PLSTM(D, H, heads=3)
    with pytest.raises(ValueError, match=r"x must have shape \[4, 2\] for this cell"):
        gr.PLSTM(2, H)(x, s)
    with pytest.raises(ValueError, match="the cell has 1 slot, but the structure fills slot 1 of node 2"):
        gr.PLSTM(D, H, arity=1)(x, gr.dag([[0, 1], [2, 2]], 4))
    with pytest.raises(ValueError, match="two edges fill slot 0 of node 2"):
        gr.PLSTM(D, H, arity=2)(x, gr.dag([[0, 1], [2, 2]], 4, slot=torch.tensor([0, 0])))
    with pytest.raises(ValueError, match="there is a cycle: 0 → 1 → 2 → 0"):
        gr.PLSTM(D, H)(x, gr.dag([[0, 1, 2], [1, 2, 0]], 4))
    with pytest.raises(ValueError, match="edge attributes of width 2, but the structure has none"):
        gr.PLSTM(D, H, edges=2)(x, s)
    with pytest.raises(ValueError, match="PLSTMCell does not read edge_attr"):
        gr.PLSTM(D, H)(x, s.edge_index, torch.randn(3, 2))
    with pytest.raises(ValueError, match="PLSTM has no states"):
        gr.PLSTM(D, H)(x, s, initial=torch.zeros(1, H))
