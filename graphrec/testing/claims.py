"""What holds of every cell that keeps to the contract; each claim is a function of the cell and one structure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..backends import running_on
from ..runs import rounds as all_rounds
from ..runs import steps
from ..schedule import levels, schedule
from ..structure import EdgeFeatures, Structure, batch, dag
from .one_node import edges_of
from .recursion import Equations, evaluate, evaluate_rounds
from .structures import NOTHING, dressed, in_one_slot, renumbered, with_edges_listed
from .subject import NotApplicable, Subject, is_acyclic
from .tolerances import assert_all_close
from .trial import Trial, outcome, plain_operators


class Claim(NamedTuple):
    """A claim.

    Attributes:
        name: in reports.
        about: what is claimed.
        check: raises AssertionError where it does not hold of the cell on the structure, `NotApplicable` where it says
            nothing; what it returns is noted beside the result.
        on: which structures it is tested on, of those that the cell takes, the smallest first.
    """

    name: str
    about: str
    check: Callable[[Subject, Structure], str | None]
    on: Callable[[list[Structure]], list[Structure]] = list


def equations(subject: Subject, s: Structure) -> None:
    """The states, and all gradients, are those of the equations applied to one node after the other."""
    for trial in subject.trials(s):
        own = subject.one_node_at_a_time(trial)
        initial = None if trial.initial is None else trial.states_of_nodes()
        if subject.oracle is None:
            found = own.run(initial) if trial.mode == "async" else own.run_rounds(trial.rounds or 1, initial)
        else:
            found = _by_oracle(subject.oracle, trial, initial)
        expected = trial.cell.State(*found)
        assert_all_close(subject.by_loop(trial), outcome(expected, trial.inputs))


def _by_oracle(oracle: Equations, trial: Trial, initial: Any) -> Any:
    """The states that the equations give; a message has what its edge carries."""
    s = trial.structure

    def carrying(cell: Any, x: Tensor, inbox: Any) -> Any:
        for message in inbox:
            for name in ("edge_attr", "edge_weight", "relation"):
                rows = getattr(s, name)
                if isinstance(rows, Tensor):
                    virtual = rows.new_full(rows.shape[1:], int(name == "edge_weight"))
                    setattr(message, name, virtual if message.edge is None else rows[message.edge])
        return oracle(cell, x, inbox)

    if trial.mode == "async":
        past = None if s.past is None else s.past.tolist()
        return evaluate(carrying, trial.cell, trial.x, edges_of(s), initial, past)
    begins = trial.states_of_nodes()
    return evaluate_rounds(carrying, trial.cell, trial.x, edges_of(s), trial.rounds or 1, begins)


def numbering(subject: Subject, s: Structure) -> None:
    """Other numbers for the nodes permute the states, and the gradients of x, and change nothing else."""
    for trial in subject.trials(s):
        number = torch.randperm(s.num_nodes)
        place = torch.argsort(number)
        initial = trial.initial
        if initial is not None and len(initial[0]) == s.num_nodes != s.num_graphs:
            initial = type(initial)(*(field[place] for field in initial))
        other = replace(
            trial, structure=renumbered(trial.structure, number), x=trial.x[place], initial=initial
        )
        _assert_same_run(subject, trial, lambda other=other, number=number: _rows(other.run(), number))


def order_of_edges(subject: Subject, s: Structure) -> None:
    """The order in which edges are listed changes nothing, where their slots stay as they are."""
    for trial in subject.trials(s):
        order = torch.randperm(s.num_edges)
        _assert_same_run(
            subject, trial, replace(trial, structure=with_edges_listed(trial.structure, order)).run
        )


def edges_of_one_slot(subject: Subject, s: Structure) -> None:
    """Edges that share a slot are alike: none of them is the first."""
    if subject.cell.arity is not None:
        raise NotApplicable("the cell has slots, each for one edge")
    if s.past is not None:
        raise NotApplicable("slots are the past")
    alike = in_one_slot(s)
    for trial in subject.trials(alike):
        for order in (torch.randperm(s.num_edges), torch.arange(s.num_edges).flip(0)):
            _assert_same_run(
                subject, trial, replace(trial, structure=with_edges_listed(trial.structure, order)).run
            )


def members(subject: Subject, s: Structure) -> None:
    """A batch computes what its members compute alone: states, and gradients, where those of the weights add up."""
    for company in (s, *(t for t in subject.structures if t is not s and _goes_with(s, t))):
        joint = batch([s, company, s])
        for trial in subject.trials(joint, initial=(None,)):
            parts = [s, company, s]
            alone = [
                replace(
                    trial,
                    structure=_carrying(part, trial.structure, sum(p.num_edges for p in parts[:i])),
                    x=trial.x[first : first + part.num_nodes],
                )
                for i, (part, first) in enumerate(zip(parts, _firsts(parts), strict=True))
            ]

            def separately(alone: list[Trial] = alone) -> Any:
                states = [one.run() for one in alone]
                return subject.cell.State(*(torch.cat(field) for field in zip(*states, strict=True)))

            _assert_same_run(subject, trial, separately)
        if company is not s:
            return


def without_gradients(subject: Subject, s: Structure) -> None:
    """The states do not depend on whether gradients are wanted."""
    for trial in subject.trials(s):
        with running_on("loop"), torch.no_grad():
            found = trial.run()
        expected = subject.by_loop(trial)
        assert_all_close({name: expected[name] for name in _values(found)}, _values(found))


def plain(subject: Subject, s: Structure) -> None:
    """The engine's gathers and sums compute what torch's own operators do."""
    for trial in subject.trials(s):
        with plain_operators():
            assert_all_close(subject.by_loop(trial), trial.outcome())


def determinism(subject: Subject, s: Structure) -> None:
    """Two equal runs give the same numbers, bit for bit, whatever random numbers are drawn between them."""
    for trial in subject.trials(s):
        with running_on("loop"):
            first, second = subject.by_loop(trial), trial.outcome()
        for name, value in first.items():
            if value is not None and not torch.equal(value.nan_to_num(), second[name].nan_to_num()):
                raise AssertionError(
                    f"{name} is another in each run, apart by {float((value - second[name]).abs().max()):.3g}: a step "
                    f"must not draw random numbers, unless cell.training is true, or depend on what ran before."
                )


def inputs_unchanged(subject: Subject, s: Structure) -> None:
    """A step leaves x, the inbox and its own state as it was given them."""
    for trial in subject.trials(s):
        alone = subject.one_node_at_a_time(trial)
        initial = None if trial.initial is None else trial.states_of_nodes()
        with torch.no_grad():
            alone.run(initial) if trial.mode == "async" else alone.run_rounds(trial.rounds or 1, initial)
        if alone.written:
            raise AssertionError(
                f"a step writes into {', '.join(sorted(alone.written))}, which it was given to read: what the inbox's "
                f"methods return may share its memory. Write h = h + x, not h += x."
            )


def cell_unchanged(subject: Subject, s: Structure) -> None:
    """A run leaves parameters and buffers of the cell as they were."""
    cell = subject.cell
    parameters = dict(cell.named_parameters())
    before = {name: value.clone() for name, value in cell.state_dict().items()}
    for trial in subject.trials(s):
        trial.outcome()
        after = dict(cell.named_parameters())
        assert after.keys() == parameters.keys(), "a run adds or removes parameters"
        for name, value in cell.state_dict().items():
            assert torch.equal(value, before[name]), f"a run changes {name}"
        for name, parameter in parameters.items():
            assert after[name] is parameter, f"a run replaces {name}"
            assert parameter.grad is None, f"a run leaves a gradient in {name}"


def rounds_are_one_sweep(subject: Subject, s: Structure) -> None:
    """As many sync rounds as there are levels compute what one async sweep does."""
    _needs_no_own(subject)
    if not is_acyclic(s):
        raise NotApplicable("there are cycles")
    trial = subject.trial(s)
    depth = int(levels(s).max()) + 1 if s.num_nodes else 1
    for more in (0, 1):
        in_rounds = replace(trial, mode="sync", rounds=depth + more)
        with running_on("loop"):
            _assert_same_run(subject, trial, in_rounds.run)


def time_expanded(subject: Subject, s: Structure) -> None:
    """Sync rounds are the async run of the time-expanded DAG, in which a node of each round reads those of the last."""
    _needs_no_own(subject)
    if s.past is not None:
        raise NotApplicable("the past is the initial state's")
    if isinstance(s.edge_attr, EdgeFeatures):
        raise NotApplicable("features of each relation have a width of their own")
    trial, count = subject.trial(s, mode="sync", rounds=3), 3
    with running_on("loop"):
        states = all_rounds(trial.cell, trial.plan, trial.x)[1:]
        expanded = _expanded(trial.structure, count)
        loop, found = steps(trial.cell, schedule(expanded), trial.x.repeat(count, 1)), {}
        sent = None
        while True:
            try:
                visit = loop.send(sent)
            except StopIteration:
                break
            sent = visit.state
            if visit.number == 0:  # the first round reads zeros, which no node of the DAG sends: it is put in
                first = visit.nodes < s.num_nodes
                row = visit.nodes.clamp(max=max(s.num_nodes - 1, 0))
                sent = type(sent)(
                    *(
                        torch.where(first.view(-1, *[1] * (new.dim() - 1)), given[row], new)
                        for given, new in zip(states[0], sent, strict=True)
                    )
                )
            for name, rows in sent._asdict().items():
                found.setdefault(name, []).append((visit.nodes, rows))
    for number, name in enumerate(trial.cell.State._fields):
        nodes, rows = (torch.cat(part) for part in zip(*found[name], strict=True))
        every_round = torch.cat([state[number] for state in states])
        assert_all_close({name: rows[torch.argsort(nodes)]}, {name: every_round})


def empty(subject: Subject, s: Structure) -> None:
    """Of no nodes, no edges or no graphs it makes no rows, through which gradients pass."""
    for make in NOTHING:
        nothing = dressed(subject.cell, make())
        if s.edge_attr is not None and nothing.edge_attr is None and isinstance(s.edge_attr, Tensor):
            nothing = nothing.replace(edge_attr=s.edge_attr.new_zeros(0, *s.edge_attr.shape[1:]))
        for trial in subject.trials(nothing, initial=(None, "for all")):
            state = trial.run()
            for name, rows, shape in zip(state._fields, state, subject.cell.shapes(), strict=True):
                assert rows.shape == (0, *shape), (
                    f"{name} of no nodes has shape {list(rows.shape)}, not {[0, *shape]}"
                )
            for name, grad in outcome(state, trial.inputs).items():
                assert grad is None or not grad.any(), f"{name} is not zero, though there are no nodes"


def backend(name: str, subject: Subject, s: Structure) -> str | None:
    """A backend, asked for by name, computes what the loop does, or says why it does not run the cell."""
    refusals: list[str] = []
    trials = subject.trials(s)
    for trial in trials:
        expected = subject.by_loop(trial)
        try:
            with running_on(name):
                actual = trial.outcome()
        except ValueError as refusal:
            if f"backend {name!r} does not run" not in str(refusal):
                raise
            refusals.append(
                str(refusal)
                .partition(": ")[2]
                .removesuffix(". Leave backend out for the fastest one that does.")
            )
        except TypeError as error:
            raise AssertionError(f"TypeError: {error}") from error
        else:
            assert_all_close(actual, expected)
    if len(refusals) == len(trials):
        raise NotApplicable(refusals[0])
    return refusals[0] if refusals else None


def backend_claims(names: tuple[str, ...]) -> list[Claim]:
    """A claim for each backend."""
    return [
        Claim(f"backend {name}", "what it runs, it runs as the loop does", functools.partial(backend, name))
        for name in names
    ]


def _needs_no_own(subject: Subject) -> None:
    if subject.runs_one_round:
        raise NotApplicable(
            "x has another width than the state that it is turned into, so that there is one round only"
        )
    if subject.reads_own:
        raise NotApplicable("the cell reads its own previous state, of which one sweep has none")


def _assert_same_run(subject: Subject, trial: Trial, other: Callable[[], Any]) -> None:
    """`other` gives the states and gradients of the trial, in its numbering, and from its inputs."""
    with running_on("loop"):
        assert_all_close(trial.outcome(other), subject.by_loop(trial))


def _rows(state: Any, index: Tensor) -> Any:
    return type(state)(*(field[index] for field in state))


def _values(state: Any) -> dict[str, Tensor]:
    return {f"value of {name}": rows for name, rows in state._asdict().items()}


def _goes_with(s: Structure, other: Structure) -> bool:
    """Whether two structures carry the same, so that they make a batch."""
    names = ("relation", "edge_attr", "edge_weight", "kind", "past")
    return all((getattr(s, name) is None) == (getattr(other, name) is None) for name in names) and (
        is_acyclic(s) == is_acyclic(other)
    )


def _firsts(parts: list[Structure]) -> list[int]:
    return [sum(part.num_nodes for part in parts[:number]) for number in range(len(parts))]


def _carrying(part: Structure, joint: Structure, first: int) -> Structure:
    """A member with the features and weights that its edges have in the batch, so that gradients go there."""
    rows = slice(first, first + part.num_edges)
    fields = {
        name: value[rows]
        for name in ("edge_attr", "edge_weight")
        if isinstance(value := getattr(joint, name), Tensor)
    }
    if isinstance(joint.edge_attr, EdgeFeatures):
        picked = joint.edge_attr.select(torch.arange(rows.start, rows.stop))
        fields["edge_attr"] = [None if one is None else one.rows for one in picked.relations]  # type: ignore[assignment]
    return part.replace(**fields)


def _expanded(s: Structure, rounds: int) -> Structure:
    """Node v in round t is number t N + v, from the first round on; edges lead from each round to the next."""
    size, copies = s.num_nodes, rounds - 1
    shifts = [torch.tensor([[t * size], [(t + 1) * size]]) for t in range(copies)]
    edge_index = torch.cat([s.edge_index + shift for shift in shifts], dim=1)
    carried = {
        name: None if (value := getattr(s, name)) is None else value.repeat(copies, *[1] * (value.dim() - 1))
        for name in ("slot", "relation", "edge_attr", "edge_weight")
    }
    kind = None if s.kind is None else s.kind.repeat(rounds)
    return dag(edge_index, rounds * size, **carried).replace(kind=kind)
