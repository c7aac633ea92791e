"""The suite that the library's own cells pass, for a cell of anyone's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch

from ..backends import backends
from ..cell import Cell
from ..structure import Structure
from .claims import (
    Claim,
    backend_claims,
    cell_unchanged,
    determinism,
    edges_of_one_slot,
    empty,
    equations,
    inputs_unchanged,
    members,
    numbering,
    order_of_edges,
    plain,
    rounds_are_one_sweep,
    time_expanded,
    without_gradients,
)
from .recursion import Equations
from .report import FAILED, NOT_APPLICABLE, PASSED, CellError, Failure, Report, Result
from .structures import smaller
from .subject import NotApplicable, Subject, is_acyclic, subject
from .torch_claims import compiled, copies, dtypes, gradients, second_derivatives, transforms

MOST_TRIES = 100  # to make a failing structure smaller


def _largest(found: list[Structure]) -> list[Structure]:
    """One structure, for what takes long: an acyclic one with edges, where there is one."""
    by_need = sorted(found, key=lambda s: (is_acyclic(s) and s.num_edges > 0, min(s.num_edges, 8)))
    return by_need[-1:]


def _two(found: list[Structure]) -> list[Structure]:
    """The smallest with edges, and the smallest with a cycle."""
    with_edges = [s for s in found if s.num_edges] or found
    return [*with_edges[:1], *[s for s in with_edges[1:] if not is_acyclic(s)][:1]]


def _few(found: list[Structure]) -> list[Structure]:
    """The smallest two with edges, one with a cycle, and the smallest of all."""
    with_edges = [s for s in found if s.num_edges] or found
    cyclic = [s for s in with_edges if not is_acyclic(s)]
    return sorted(
        {id(s): s for s in (*with_edges[:2], *cyclic[:1], found[0])}.values(), key=lambda s: s.num_nodes
    )


CLAIMS: tuple[Claim, ...] = (
    Claim("equations", "the states and gradients are those of the equations, node by node", equations),
    Claim("numbering", "other numbers for the nodes permute the states", numbering),
    Claim("order of edges", "the order in which edges are listed does not matter", order_of_edges),
    Claim("edges of one slot", "no edge comes before another of its slot", edges_of_one_slot),
    Claim("batch", "a batch computes what its members compute alone", members, _few),
    *backend_claims(tuple(one.name for one in backends() if one.name != "loop")),
    Claim("operators", "the engine's gathers and sums are torch's", plain),
    Claim("without gradients", "states do not depend on whether gradients are wanted", without_gradients),
    Claim("rounds are one sweep", "as many sync rounds as levels are one async run", rounds_are_one_sweep),
    Claim("time-expanded", "sync rounds are the async run of the time-expanded DAG", time_expanded),
    Claim("empty structures", "no nodes, edges or graphs make no rows, and no error", empty, _largest),
    Claim("gradients", "the gradients are those of finite differences", gradients, _few),
    Claim("second derivatives", "so are gradients of gradients", second_derivatives, _two),
    Claim(
        "dtype",
        "the state's dtype is that of x, and nothing on the way has fewer digits",
        dtypes,
        _few,
    ),
    Claim("determinism", "equal runs give equal numbers", determinism, _few),
    Claim("inputs unchanged", "a step does not write into what it is given", inputs_unchanged),
    Claim("cell unchanged", "a run leaves parameters and buffers alone", cell_unchanged, _few),
    Claim("copies", "deep copies and loaded state_dicts compute the same", copies, _largest),
    Claim(
        "torch.func",
        "vmap, gradients per sample and forward-mode derivatives",
        transforms,
        _largest,
    ),
    Claim("torch.compile", "a compiled model computes the same", compiled, _largest),
)


def check_cell(
    cell: Cell | Callable[..., Cell],
    structures: Iterable[Structure] | None = None,
    oracle: Equations | None = None,
    *,
    seed: int = 0,
    skip: Mapping[str, str] | None = None,
) -> Report:
    """Check that a cell does what every cell must: the claims that the library's own cells are tested for.

    A copy of the cell is checked, in float64, in training mode unless it is random there. The random numbers of the
    caller are left as they are. It takes a few seconds.

    Args:
        cell: an instance; or its class or any function that makes one, called with two widths, D and H, if it takes
            two arguments, and without arguments else.
        structures: what it is run over; by default small ones of many shapes, with the slots, relations, features and
            kinds that the cell says it reads (`arity`, `relations`, `edges`, `kinds`).
        oracle: the equations for one node, `oracle(cell, x, inbox)`: x is `[D]`, inbox a list of `(slot, state)`, by
            slot, each state a tuple of vectors; it returns the node's state. Of edges a message has `edge_attr`,
            `edge_weight` and `relation`. By default the cell's own `forward`, one node at a time, with a plain inbox.
        seed: of all random numbers.
        skip: claims that are not meant to hold, by name, each with the reason, which the report repeats.

    Returns:
        The report, if all claims hold; it prints as a table.

    Raises:
        CellError: a claim does not hold. An AssertionError, whose message is the report with the smallest failing
            cases, and whose `report` is the report.
        TypeError, ValueError: there is nothing to check: no cell, or one that runs over none of the structures.
    """
    skipped = dict(skip or {})
    unknown = skipped.keys() - {claim.name for claim in CLAIMS}
    if unknown:
        raise ValueError(f"there is no claim {min(unknown)!r} to skip: {', '.join(c.name for c in CLAIMS)}.")
    with torch.random.fork_rng([]), torch.enable_grad():
        found = subject(cell, structures, oracle, seed)
        results = tuple(
            Result(claim.name, claim.about, NOT_APPLICABLE, skipped[claim.name])
            if claim.name in skipped
            else _result(found, claim)
            for claim in CLAIMS
        )
    report = Report(found.name, results)
    if report.failed:
        raise CellError(report)
    return report


def _result(found: Subject, claim: Claim) -> Result:
    tested, notes, reasons = 0, list[str](), list[str]()
    for s in claim.on(found.structures):
        torch.manual_seed(found.seed + tested)
        try:
            note = claim.check(found, s)
        except NotApplicable as reason:
            reasons.append(str(reason))
            continue
        except Exception as error:
            smallest, message = _smallest(found, claim, s, error)
            return Result(claim.name, claim.about, FAILED, failure=Failure(smallest, found.seed, message))
        tested += 1
        notes += [note] if note else []
    if not tested:
        return Result(
            claim.name, claim.about, NOT_APPLICABLE, reasons[0] if reasons else "there is no structure for it"
        )
    refused = [*notes, *reasons]
    beside = f"on {tested} of {tested + len(reasons)} structures; else: {refused[0]}" if refused else ""
    return Result(claim.name, claim.about, PASSED, beside, tested)


def _smallest(found: Subject, claim: Claim, s: Structure, error: Exception) -> tuple[Structure, str]:
    """The structure with nodes and edges left out, as long as the claim fails in the same way."""
    tries = 0
    while True:
        for other in smaller(s):
            tries += 1
            if tries > MOST_TRIES:
                return s, _message(error)
            try:
                for trial in found.trials(other, initial=(None,)):
                    trial.cell.check(other)
                claim.check(found, other)
            except NotApplicable:
                continue  # (the claim says nothing of this smaller structure)
            except Exception as found_here:
                # (Another kind of error is another failure, not a smaller case of the one that is reported.)
                if type(found_here) is type(error):
                    s, error = other, found_here
                    break
        else:
            return s, _message(error)


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
