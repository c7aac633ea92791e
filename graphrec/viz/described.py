"""A recorded run as plain numbers and texts, from which a page draws it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..dynamics import GradientFlow, gradient_flow
from ..schedule import Schedule, levels, segments
from ..structure import Structure
from .arrange import arrange, parts_of
from .recorded import Recorded, texts_of
from .routes import Routes

EXACT = 2e7  # numbers: Jacobians up to this size are computed; larger ones are estimated
PROBES = 16


def describe(runs: list[Recorded], labels: Any, gradients: bool) -> list[dict[str, Any]]:
    """Each run, and where its nodes stand; labels are of the runs over as many nodes as there are labels."""
    described: list[dict[str, Any]] = []
    arranged: list[tuple[Structure, Routes]] = []
    for recorded in runs:
        s = recorded.plan.structure
        places = next((known for other, known in arranged if _same_lines(s, other)), None)
        if places is None:
            places = arrange(s)
            arranged.append((s, places))
        described.append(
            {
                "cell": type(recorded.cell).__name__,
                "schedule": repr(recorded.plan),
                "backend": recorded.backend,
                "reasons": _reasons(recorded.reasons),
                "nodes": s.num_nodes,
                **_places(places),
                **_structure(s, labels if labels is not None and len(labels) == s.num_nodes else None),
                **_steps(recorded.plan),
                "states": _states(recorded),
                "gradients": _gradients(recorded) if gradients else "not asked for",
            }
        )
    return described


def _same_lines(a: Structure, b: Structure) -> bool:
    """Whether the same nodes are joined, in whichever direction."""
    return a.num_nodes == b.num_nodes and any(
        torch.equal(a.edge_index, edges) for edges in (b.edge_index, b.edge_index.flip(0))
    )


def _places(places: Routes) -> dict[str, Any]:
    bends: dict[int, list[float]] = {}
    for edge, point in zip(places.edge.tolist(), places.bends.tolist(), strict=True):
        bends.setdefault(edge, []).extend(round(value, 2) for value in point)
    x, y = ([round(value, 2) for value in column] for column in places.at.T.tolist())
    return {"x": x, "y": y, "bends": bends}


def _structure(s: Structure, labels: Any) -> dict[str, Any]:
    return {
        "texts": texts_of(s, labels),
        "source": s.source.tolist(),
        "target": s.target.tolist(),
        "slot": s.slot.tolist(),
        "relation": _named(s.relation, s.relation_names),
        "kind": _named(s.kind, s.kind_names),
        "graph": s.graph.tolist() if s.num_graphs > 1 else None,
    }


def _named(numbers: Tensor | None, names: tuple[str, ...] | None) -> list[str] | None:
    if numbers is None:
        return None
    return [names[number] if names else str(number) for number in numbers.tolist()]


def _steps(plan: Schedule) -> dict[str, Any]:
    """Which step updates each node (in sync mode every one does), and the segments."""
    count = plan.num_nodes
    found = segments(plan)
    step = None
    if plan.mode == "async":
        step = torch.zeros(count, dtype=torch.long)
        step[plan.perm.cpu()] = torch.repeat_interleave(
            torch.arange(len(plan.steps)), plan.steps.nodes.diff()
        )
    iterated = plan.cycles.steps if plan.cycles else ()
    return {
        "mode": plan.mode,
        "steps": len(plan.steps),
        "sweeps": plan.sweeps,
        "step": None if step is None else step.tolist(),
        "iterated": [number for number, again in enumerate(iterated) if again],
        "segment": None if found is None else found.segment.tolist(),
        "segments": None if found is None else [found.num_segments, found.num_levels],
    }


def _states(recorded: Recorded) -> dict[str, Any]:
    """The norm of each node's state, by field: of the last state, or of each round's."""
    fields = recorded.cell.State._fields
    return {
        name: [_short(_norms(state[index])) for state in recorded.states] for index, name in enumerate(fields)
    }


def _norms(field: Tensor) -> Tensor:
    """The norm of each row, which may be a single number."""
    return field.unsqueeze(-1).flatten(1).norm(dim=1)


def _short(values: Tensor) -> list[float | None]:
    """To four digits; None for what is not finite, which JSON has not."""
    finite = values.isfinite().tolist()
    return [float(f"{v:.4g}") if ok else None for v, ok in zip(values.tolist(), finite, strict=True)]


def _reasons(reasons: dict[str, str]) -> list[list[str]]:
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    return [[", ".join(of), reason] for reason, of in names.items()]


def _gradients(recorded: Recorded) -> dict[str, Any] | str:
    """How the last node of each connected part depends on the others, or why that was not measured."""
    plan, s = recorded.plan, recorded.plan.structure
    if not s.num_nodes:
        return "there are no nodes"
    if plan.mode != "async" or plan.cycles or plan.sweeps:
        return "measured in async mode only, where each state is computed once"
    targets = _last_nodes(s)
    width = sum(field[0].numel() for field in recorded.states[0])
    options: dict[str, Any] = {"norm": "frobenius"}
    if width * width * s.num_nodes > EXACT:
        options |= {"probes": PROBES, "seed": 0}
    flow = gradient_flow(recorded.cell, recorded.x, s, recorded.initial, targets=targets, **options)
    return _flow(flow, s.num_nodes, "probes" in options)


def _last_nodes(s: Structure) -> Tensor:
    """Of each connected part the node on its highest level, the first of them."""
    part = torch.from_numpy(parts_of(s)).long()
    level = levels(s).cpu()
    order = torch.argsort(level, descending=True, stable=True)
    order = order[torch.argsort(part[order], stable=True)]
    first = torch.ones_like(order, dtype=torch.bool)
    first[1:] = part[order[1:]] != part[order[:-1]]
    return order[first].sort().values


def _flow(flow: GradientFlow, count: int, estimated: bool) -> dict[str, Any]:
    norm: list[float | None] = [None] * count
    hops: list[int | None] = [None] * count
    for node, value, distance in zip(
        flow.source.tolist(), _short(flow.norm), flow.distance.tolist(), strict=True
    ):
        norm[node], hops[node] = value, distance
    low, median, high = (_short(flow.quantile(q)) for q in (0.1, 0.5, 0.9))
    return {
        "measured": flow.measured + (f", estimated from {PROBES} random rows" if estimated else ""),
        "words": str(flow).split("\n\n")[0],
        "targets": flow.target.unique().tolist(),
        "norm": norm,
        "hops": hops,
        "distances": flow.distances.tolist(),
        "low": low,
        "median": median,
        "high": high,
    }
