#!/usr/bin/env bash
# braintrace 0.2.6 (brainstate 0.5.4, jax 0.10.2; with Python 3.12 the same in 0.2.8): online learning rules double the
# gradients of most LSTM weights.
#
# Guess: in a single step from a given state nothing travels over time, and so there is nothing for a learning rule to
#   approximate. Rules whose learning signal is the loss's own gradient give that of automatic differentiation.
# Seen: under D-RTRL, e-prop, pp-prop, both kinds of OSTL and SnAp the library's own LSTMCell gets twice the gradient for
#   its input, candidate and forget gates, and the right one for its output gate. UORO gives all of them right, and with
#   a vanilla cell every rule is right. The LSTM has two state fields and computes h from the new c: of a loss that reads
#   h, what comes by way of c is counted with either field; of one that reads c, it is counted once.
# Why it matters: the gradient is not only longer (an adaptive step would hide that) but turned: gates learn at other
#   rates than their loss says, and comparisons of such rules with BPTT on an LSTM measure this too. Nothing warns of it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    braintrace==0.2.6 brainstate==0.5.4 braintools==0.3.0 brainunit==0.5.2 brainevent==0.2.1 jax==0.10.2 numpy==2.4.6

"$work/venv/bin/python" -W ignore - <<'PY'
import brainstate
import braintrace
import jax
import jax.numpy as jnp

x = jnp.array([[0.7, -1.2]])
start = jnp.array([0.3, -0.2, 0.5]), jnp.array([0.1, 0.4, -0.3])
decay = {"decay_or_rank": 0.9}
rules = {
    "d_rtrl": {},
    "eprop": {},
    "pp_prop": decay,
    "ostl_recurrent": {},
    "ostl_feedforward": decay,
    braintrace.SnAp: {"n": 2},
    "uoro": {},
}


def ratios(cell, rule, options, read="h"):
    """Per weight matrix and its bias, the factor between the rule's gradient and the true one."""
    brainstate.random.seed(0)
    model = cell(2, 3)
    learner = braintrace.compile(model, rule, x[0], **options)
    fields = [model.c, model.h] if hasattr(model, "c") else [model.h]

    def begin():
        for field, value in zip(fields, start[-len(fields) :]):
            field.value = value

    def loss(step, row):
        step(row)
        return jnp.sum(getattr(model, read).value ** 2)

    def one_step():
        begin()
        return loss(model, x[0])

    weights = model.states(brainstate.ParamState)
    true = brainstate.transform.grad(one_step, weights)()
    begin()
    online = learner.etrace_grad(x, step_fn=lambda row: loss(learner, row), reduction="sum")
    factors = {}
    for path in true:
        a, b = (jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(g[path])]) for g in (true, online))
        if jnp.any(a != 0):
            factors[path[0]] = round(float(a @ b / (a @ a)), 3)
            assert jnp.allclose(b, factors[path[0]] * a, rtol=1e-3, atol=1e-6)
    return factors


once = {"Wi": 1.0, "Wg": 1.0, "Wf": 1.0, "Wo": 1.0}
twice = {"Wi": 2.0, "Wg": 2.0, "Wf": 2.0, "Wo": 1.0}
for rule, options in rules.items():
    name = rule if isinstance(rule, str) else rule.__name__
    seen = ratios(braintrace.nn.LSTMCell, rule, options)
    print(f"{name}: gradient of one LSTM step, over the true one:", seen)
    assert seen == (once if name == "uoro" else twice)
    assert ratios(braintrace.nn.ValinaRNNCell, rule, options) == {"W": 1.0}
    assert ratios(braintrace.nn.LSTMCell, rule, options, read="c") == {"Wi": 1.0, "Wg": 1.0, "Wf": 1.0}
PY
