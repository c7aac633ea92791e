"""All that a cell may do and a program can say, as lines of code: each of torch's functions in a few spellings.

In braces stands what a line is given:
    a, b, c     values of the same rows; m: one of shape `[., K]`; e: one of edges, n: one of nodes
    d, i, k     a dimension of `a`; a whole number, 0 to 2; a number
    w           a parameter that broadcasts with `a`
    W, V        matrices `[K, M]` and `[M, K]` for its last dimension; v: a vector `[K]`; bias: one of `[M]`
    G3, g3      the weight and bias of three gates, likewise G1, g1, G4, g4
    s, f, t     a slot; a field of the inbox; 0 or 1; arity: how many slots; float: the name of the type

A line that fails on the example for which it is written is drawn again, so none says to what it applies.
"""

from __future__ import annotations

FUNCTIONS = (
    "torch.tanh({a})", "{a}.tanh()", "{a}.sigmoid()", "torch.special.expit({a})", "torch.exp({a}.tanh())",
    "torch.log({a}.square() + 0.5)", "(torch.square({a}) + 0.3).sqrt()", "torch.rsqrt({a} * {a} + 0.3)",
    "torch.reciprocal({a}.square() + 0.5)", "{a}.sin()", "torch.cos({a})", "torch.erf({a})",
    "({a}.tanh()).expm1()", "torch.log1p({a} ** 2)", "-{a}", "torch.negative({a})", "{a}.tanh().pow(3)",
    "({a}.square() + 0.2) ** 0.5", "({a}.square() + 0.2) ** -0.5", "({a}.square() + 0.4) ** -1",
    "F.softplus({a})", "F.logsigmoid({a})", "F.silu({a})", "F.gelu({a})", "F.gelu({a}, approximate='tanh')",
    "F.softsign({a})", "F.elu({a}, {k})", "F.dropout({a}, 0.5, False)", "{a}.clone()",
    "{a}.contiguous() + 1", "{a}.detach() * {a}", "{a} + {k}", "{k} - {a}", "{k} * {a}", "{a} / 3",
    "{k} / ({a}.square() + 1)", "torch.rsub({a}, {k})", "{a} * 0", "torch.softmax({a}, {d})",
    "{a}.softmax(dim={d})", "F.softmax(input={a}, dim={d})", "torch.log_softmax({a}, {d})",
    "torch.tanh(input={a})", "F.layer_norm({m}, [{m}.shape[1]])",
    "F.layer_norm({m}, [{m}.shape[1]], {v}, {v})", "torch.zeros_like({a}) + 0.5",
    "torch.ones_like({a}) * {a}", "torch.full_like({a}, {k})", "{a}.new_zeros({a}.shape) - {a}",
    "{a}.new_ones({a}.shape)", "{a}.new_full({a}.shape, {k})",
)  # fmt: skip

# With others of the same rows.
OF_SEVERAL = (
    "{a} + {b}", "{a} - {b}", "{a} * {b}.tanh()", "{a} / ({b}.square() + 0.7)",
    "torch.add({a}, {b}, alpha={k})", "torch.sub({a}, {b}, alpha=0.5)", "torch.subtract({a}, {b})",
    "torch.multiply({a}, torch.sin({b}))", "torch.divide({a}, 1 + {b}.square())",
    "torch.true_divide({a}, 2)", "torch.lerp({a}, {b}, torch.sigmoid({a}))", "torch.lerp({a}, {b}, 0.3)",
    "torch.addcmul({a}, {b}, {c}.tanh(), value={k})", "{a}.type_as({b}) + {b}",
)  # fmt: skip

WITH_PARAMETERS = (
    "{a} * {w}", "{a} + {w}", "{w} - {a}", "{a} / ({w}.abs() + 0.5)", "torch.addcmul({a}, {a}.sin(), {w})",
)  # fmt: skip

PRODUCTS = (
    "F.linear({a}, {V})", "F.linear({a}, {V}, {bias})", "{a} @ {W}", "torch.matmul({a}, {V}.t())",
    "{a} @ {V}.T", "torch.mm({a}, {W})", "torch.addmm({bias}, {a}, {W})", "{a} @ {v}",
    "torch.bmm({a}, {a}.transpose(1, 2))", "{a}.tanh() @ {b}.mT", "torch.einsum('nk,km->nm', {a}, {W})",
    "torch.einsum('nak,km->nam', {a}, {W})", "torch.gru_cell({m}, {m}.tanh(), {G3}, {G3}, {g3}, {g3})",
    "torch.gru_cell({m}, {m}.tanh(), {G3}, {G3})",
    "torch.lstm_cell({m}, [{m}.sin(), {m}], {G4}, {G4}, {g4}, {g4})[{t}]",
    "torch.rnn_tanh_cell({m}, {m}, {G1}, {G1}, {g1}, {g1})",
)  # fmt: skip

# Over columns.
SUMS = (
    "{a}.sum({d})", "{a}.sum({d}, keepdim=True)", "torch.mean({a}, {d})", "{a}.mean(dim={d}, keepdim=True)",
    "{a}.sum(axis=-1)", "{a}.sum(tuple(range(1, {a}.dim())))",
)  # fmt: skip

SMOOTH = (*FUNCTIONS, *OF_SEVERAL, *WITH_PARAMETERS, *PRODUCTS, *SUMS)

# (A difference in the last digit may be one in the first after these: they are for exact comparisons.)
KINKED = (
    "torch.relu({a})", "F.relu({a})", "{a}.abs()", "torch.absolute({a})", "torch.sign({a})",
    "F.leaky_relu({a}, 0.2)", "F.hardtanh({a})", "F.hardtanh({a}, -0.3, 0.6)", "{a}.clamp(-0.5, 0.7)",
    "torch.clip({a}, min=-0.1)", "torch.clamp_min({a}, 0.1)", "{a}.clamp_max(0.4)",
    "torch.maximum({a}, {b})", "torch.minimum({a}, {b})", "torch.maximum({a}, {w})",
    "torch.where({a} > {b}, {a}, {b}.sin())", "torch.where({a} > {w}, {a}, {w})",
    "{a}.masked_fill({a} < -0.3, 0.25)", "{a}.where({a} > 0, {a}.sin())", "({a} > {b}).to({a}.dtype)",
    "torch.ge({a}, {b}).type_as({a})", "({a} <= {k}).{float}()",
    "torch.lt({a}, 0.2).long().to({a}.dtype) * {a}", "torch.eq({a}, 0).to({a}.dtype) + {a}",
    "torch.ne({a}, {b}).{float}()", "torch.greater({a}, 0).{float}()",
    "torch.greater_equal({a}, {k}).{float}()", "torch.less({a}, 0).{float}()",
    "torch.less_equal({a}, 0).{float}()", "torch.not_equal({a}, {b}).{float}()",
    "torch.where(({a} > 0) & ({b} < 0.5), {a}, {b})", "torch.where(({a} > 0) | ({a} < -1), {a}, 0.5)",
    "torch.where(~({a} > 0), {a}, 2.0)", "torch.logical_and({a} > 0, {a} < 1).{float}()",
    "torch.logical_or({a} > 1, {a} < 0).{float}()", "torch.logical_not({a} > 0).bool().{float}()",
    "torch.bitwise_and({a} > 0, {b} > 0).{float}()", "torch.bitwise_or({a} > 0, {b} > 0).{float}()",
    "torch.bitwise_not({a} > 0).{float}()", "({a} > 0).sum({d}).to({a}.dtype) * 0.3",
    "torch.rnn_relu_cell({m}, {m}, {G1}, {G1}, {g1}, {g1})",
)  # fmt: skip

VIEWS = (
    "{a}.unsqueeze({d})", "{a}.unsqueeze(-1)", "{a}[:, None]", "{a}[..., None]", "{a}.squeeze({d})",
    "{a}.flatten(1)", "torch.flatten({a}, 1, -1)", "{a}.unflatten({d}, (2, -1))",
    "{a}.unflatten(-1, (-1, 2))", "{a}.reshape(-1, *{a}.shape[1:])",
    "{a}.view({a}.shape[0], *{a}.shape[:0:-1])", "{a}.view_as({b}) * 2", "{a}.reshape_as({b})",
    "{a}.transpose({d}, -1)", "{a}.mT", "{a}.swapaxes(1, {d})", "{a}.swapdims({d}, -1)",
    "{a}.permute(0, 2, 1)", "torch.permute({a}, (0, 3, 1, 2))", "{a}.expand({a}.shape[0], 3)",
    "{a}.expand(-1, 2)", "{a}.expand_as({b}) + {b}", "{a}.broadcast_to({b}.shape)", "{a}[:, 1:]",
    "{a}[:, ::2]", "{a}[..., 0]", "{a}[:, -1]", "{a}[:, :1]", "{a}.narrow({d}, 1, 1)",
    "torch.narrow({a}, {d}, -1, 1)", "{a}.select({d}, {i})", "{a}.chunk(2, {d})[0]",
    "{a}.chunk(3, dim={d})[-1]", "torch.split({a}, 1, {d})[{i}]",
    "{a}.split([1, {a}.shape[-1] - 1], -1)[1]", "{a}.split_with_sizes([1, {a}.shape[1] - 1], 1)[0]",
    "torch.unbind({a}, {d})[{i}]", "torch.cat([{a}, {b}], {d})", "torch.cat([{a}, {a}.sin()], dim=-1)",
    "torch.concat([{a}, {b}], 1)", "torch.concatenate([{a}, {a}], {d})", "torch.stack([{a}, -{a}], {d})",
    "torch.stack([{a}, {b}], -1)", "torch.cat([{a}[:, 1:], {a}[:, :1]], 1)", "{a}.repeat(1, 2)",
    "{a}.repeat(1, *[2 for _ in {a}.shape[1:]])", "{a}.repeat_interleave(2, {d})",
)  # fmt: skip

# From edges to nodes, and back.
TO_NODES = (
    "inbox.sum({e})", "inbox.sum({e})", "inbox.sum({e})", "inbox.mean({e})", "inbox.mean({e})",
    "inbox.sum({e} * {e}.tanh())", "inbox.sum_of('{f}')", "inbox.replaced({f}={e}).sum_of('{f}')",
    "inbox.renamed({{'z': '{f}'}}).sum(inbox.{f})", "inbox.degree.to(x.dtype)",
    "{n} / inbox.degree.clamp(min=1).view(-1, *[1] * ({n}.dim() - 1))",
    "inbox.sum(inbox.softmax({e}) * inbox.{f})", "inbox.softmax_with_own({e}, {n})[1]",
    "inbox.sum({e}.new_ones(inbox.num_edges, 2))", "{n}.new_zeros(inbox.num_nodes, 2) + 0.1",
)  # fmt: skip

KINKED_TO_NODES = (
    "inbox.max({e})", "inbox.sum({e} > 0).to(x.dtype)", "inbox.max(-{e})",
)  # fmt: skip

# Whether there are edges, which in a round is a question of all nodes together.
ASKING = (
    "({n} if inbox.num_edges else -{n})",
)  # fmt: skip

TO_NODES_WITH_SLOTS = (
    "inbox.by_slot({e}, {arity})", "inbox.by_slot({e}, {arity}).flatten(1)",
    "inbox.of_slot({s}, {arity}).{f}", "inbox.by_slot({e}, {arity})[:, {s}]",
)  # fmt: skip

TO_NODES_WITH_RELATIONS = (
    "inbox.sum_by_relation({e}, 3)", "inbox.sum_by_relation({e}, 3).flatten(1)",
)  # fmt: skip

TO_EDGES = (
    "inbox.to_edges({n})", "inbox.to_edges({n})", "inbox.softmax({e})",
    "inbox.softmax_with_own({e}, {n})[0]", "(inbox.slot == {i}).to(x.dtype)",
    "inbox.slot.to(x.dtype) * 0.3",
    "{e} if inbox.is_loop is None else {e} * (1 - inbox.is_loop.to(x.dtype).view(-1, *[1] * ({e}.dim() - 1)))",
    "inbox.to_edges(inbox.sum({e}))", "{e} * inbox.to_edges({n})", "{e} + inbox.to_edges({n})",
)  # fmt: skip

TO_EDGES_WITH_RELATIONS = (
    "(inbox.relation == {i}).to(x.dtype)", "(inbox.relation > 0).{float}()",
)  # fmt: skip
