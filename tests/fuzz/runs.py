"""Random runs, by every executor: values and all gradients against the loop."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

import graphrec as gr
from graphrec import clib
from tests.fuzz.author import Manner, write_cell
from tests.fuzz.structures import (
    ACYCLIC,
    ALONE,
    ANY,
    Carried,
    chain,
    cyclic,
    isolated,
    random_structure,
)
from tests.tolerances import RELATIVE_AND_ABSOLUTE
from tests.torch_threads import on_threads
from tests.zoo import CELLS, GRAPH_CELLS

BACKENDS = ("native", "torch_programs") if clib.library() is not None else ("torch_programs",)
Found = dict[str, Tensor | None]


class Wrong(AssertionError):
    """A run that is not the loop's; the message shows what was run."""


@dataclass
class Case:
    """A run, and all that it depends on."""

    cell: gr.Cell
    source: str
    s: gr.Structure
    x: Tensor
    initial: Any
    given: Any
    how: dict[str, Any]  # of the schedule
    threads: int = 1
    trains: bool = True
    twice: bool = False  # the graph is kept, and differentiated again
    second: bool = False  # and so are the gradients
    exact: bool = True
    upstream: list[Tensor] = field(default_factory=list)

    @property
    def inputs(self) -> dict[str, Tensor]:
        named = {"x": self.x, "edge_attr": self.s.edge_attr, "edge_weight": self.s.edge_weight}
        named |= {} if self.initial is None else self.initial._asdict()
        named |= dict(self.cell.named_parameters())
        return {name: tensor for name, tensor in named.items() if tensor is not None and tensor.requires_grad}

    def run(self, backend: str) -> Found:
        """The state, and the gradients of a random function of it."""
        plan = gr.schedule(self.s, **self.how)
        if not self.trains:
            with torch.inference_mode():
                return dict(gr.run(self.cell, plan, self.x, self.given, backend=backend)._asdict())
        state = gr.run(self.cell, plan, self.x, self.given, backend=backend)
        found: Found = {name: rows.detach() for name, rows in state._asdict().items()}
        inputs = self.inputs
        parts = [(rows, up) for rows, up in zip(state, self.upstream, strict=True) if rows.requires_grad]
        if not parts or not inputs:
            return found
        loss = sum((rows * up).sum() for rows, up in parts)
        keep = self.twice or self.second
        grads = torch.autograd.grad(
            loss, list(inputs.values()), allow_unused=True, retain_graph=keep, create_graph=self.second
        )
        found |= {f"gradient of {name}": grad for name, grad in zip(inputs, grads, strict=True)}
        if self.second:
            total = sum(
                (grad * grad.detach().sin()).sum()
                for grad in grads
                if grad is not None and grad.requires_grad
            )
            if isinstance(total, Tensor):
                grads = torch.autograd.grad(total, list(inputs.values()), allow_unused=True)
                found |= {
                    f"second gradient of {name}": grad for name, grad in zip(inputs, grads, strict=True)
                }
        elif self.twice:
            grads = torch.autograd.grad(2 * loss, list(inputs.values()), allow_unused=True)
            found |= {f"gradient again of {name}": grad for name, grad in zip(inputs, grads, strict=True)}
        return found


def rows(random: Random, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(random.randrange(2**31))
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


# ---------------------------------------------------------------------------------------------- drawing a case


def carrying(random: Random, s: gr.Structure, carried: Carried, dtype: torch.dtype) -> gr.Structure:
    """The structure with features and weights of edges."""
    fields: dict[str, Tensor] = {}
    if carried.attr is not None:
        fields["edge_attr"] = rows(random, s.num_edges, *carried.attr, dtype=dtype)
    if carried.weight:
        fields["edge_weight"] = rows(random, s.num_edges, dtype=dtype).sigmoid()
    return s.replace(**{name: rows.requires_grad_(random.random() < 0.6) for name, rows in fields.items()})


def random_x(random: Random, count: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Rows of any layout; sometimes many equal ones, sometimes NaN or infinity."""
    x = rows(random, count, *shape, dtype=dtype)
    way = random.random()
    if way < 0.1:
        x = (x * 2).round() / 2
    elif way < 0.2 and shape:
        x = torch.stack([x, x], -1).flatten(-2)[..., ::2]
    elif way < 0.25:
        x = x[:1].expand_as(x)
    elif way < 0.29 and count:
        x.view(-1)[random.randrange(x.numel())] = random.choice([math.nan, math.inf, -math.inf])
    return x.detach().requires_grad_(random.random() < 0.7)


def random_initial(random: Random, cell: gr.Cell, s: gr.Structure, dtype: torch.dtype) -> tuple[Any, Any]:
    """A state, and how it is given to a run; or nothing."""
    if random.random() < 0.5:
        return None, None
    way = random.choice(["graph", "node", "all"])
    count = {"graph": s.num_graphs, "node": s.num_nodes, "all": 1}[way]
    fields = [rows(random, count, *shape, dtype=dtype) for shape in cell.shapes()]
    state = cell.State(*(rows.requires_grad_(random.random() < 0.7) for rows in fields))
    if way != "node" and count == s.num_graphs:
        return state, gr.per_graph(state)
    return state, gr.per_node(state) if count == s.num_nodes else state


def random_how(random: Random) -> dict[str, Any]:
    return {"mode": "sync", "rounds": random.choice([1, 2, 2, 3, 4])} if random.random() < 0.35 else {}


def random_case(seed: int, lines: int | None = None) -> Case:
    """A written cell, of so many lines, or one of the zoo's, on one structure."""
    random = Random(seed)
    torch.manual_seed(seed)
    how = random_how(random)
    families = ANY if how else ACYCLIC
    if random.random() < 0.12:
        case = _of_zoo(random, how)
    else:
        manner = Manner.drawn(random)
        manner.lines = manner.lines if lines is None else lines
        cell, source = written(random, manner)
        s = random_structure(random, manner.carried, families)
        s = carrying(random, s, manner.carried, manner.dtype)
        x = random_x(random, s.num_nodes, manner.x_shape, manner.dtype)
        initial, given = (
            (None, None) if manner.begins_with_x else random_initial(random, cell, s, manner.dtype)
        )
        case = Case(cell, source, s, x, initial, given, how, exact=manner.is_exact)
    if random.random() < 0.15:
        case.cell.requires_grad_(False)
    case.threads = random.choice([1, 1, 2, 3, 4])
    case.trains = random.random() < 0.85
    case.twice, case.second = random.random() < 0.2, random.random() < 0.06 and case.exact
    case.upstream = random_upstream(random, case)
    return case


def random_upstream(random: Random, case: Case) -> list[Tensor]:
    """Gradients of the result: sometimes of some rows or some fields alone."""
    made = []
    for shape in case.cell.shapes():
        up = rows(random, case.s.num_nodes, *shape, dtype=case.x.dtype)
        way = random.random()
        if way < 0.15:
            up[:: random.randint(2, 3)] = 0
        made.append(up * 0 if way > 0.9 else up)
    return made


def written(random: Random, manner: Manner) -> tuple[gr.Cell, str]:
    """A cell; of structures with kinds, one for each."""
    if not manner.carried.kind:
        return write_cell(random, manner)
    made = [write_cell(random, manner) for _ in range(3)]
    return gr.PerKind([cell for cell, _ in made]), "\n".join(f"# kind {k}\n{made[k][1]}" for k in range(3))


def _of_zoo(random: Random, how: dict[str, Any]) -> Case:
    cell, name = _cell_of_zoo(random, how)
    carried = _carried_of(cell)
    families = (*ACYCLIC, cyclic) if how else ACYCLIC
    if cell.arity == 1:
        families = tuple(
            family for family in families if family.__name__ in ("chain", "chains", "isolated", "dag")
        )
    s = carrying(random, random_structure(random, carried, families), carried, torch.float64)
    x = random_x(random, s.num_nodes, (_width(cell),), torch.float64)
    initial, given = (
        random_initial(random, cell, s, torch.float64) if not cell.begins_with_x else (None, None)
    )
    return Case(cell, name, s, x, initial, given, how)


def _cell_of_zoo(
    random: Random, how: dict[str, Any], names: tuple[str, ...] | None = None
) -> tuple[gr.Cell, str]:
    of = random.choice(
        [of for of in ([*CELLS, *GRAPH_CELLS] if how else CELLS) if names is None or of.name in names]
    )
    cell = of.make(3, 3).double()
    for parameter in cell.parameters():  # (gains and peepholes begin alike)
        parameter.data = rows(random, *parameter.shape) * 0.5
    return cell, of.name


def _carried_of(cell: gr.Cell) -> Carried:
    return Carried(
        cell.arity, (2,) if cell.edges is not None else None, False, cell.relations is not None, False
    )


def _width(cell: gr.Cell) -> int:
    return cell.inputs if isinstance(cell.inputs, int) else 3


# ---------------------------------------------------------------------------------------------- comparing


def far(one: Tensor | None, other: Tensor | None, has_nan: bool, margin: float = 1.0) -> str | None:
    """How one tensor differs from the loop's, by the tests' table, which is meant for numbers of about one."""
    if one is None and other is None:
        return None
    like = one if other is None else other
    one, other = (torch.zeros_like(like) if t is None else t for t in (one, other))
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{tuple(one.shape)} of {one.dtype}, expected {tuple(other.shape)} of {other.dtype}"
    if not one.numel():
        return None
    finite = other.isfinite()
    if not has_nan and not bool(finite.all()):
        return None  # it overflows: which step of it does may differ
    relative, absolute = (margin * by for by in RELATIVE_AND_ABSOLUTE[other.dtype])
    size = max(1.0, float(other[finite].detach().abs().max())) if bool(finite.any()) else 1.0
    apart = (one - other).abs()[finite]
    # (Zeros that the structure makes are exact in programs: where the loop has NaN, they may have a number.)
    if bool((apart <= (absolute + relative) * size).all()):
        return None
    return f"apart by {float(apart.max()):.3g} of {size:.3g}"


def compare(case: Case, found: Found, expected: Found, what: str, margin: float = 1.0) -> Counter[str]:
    """Nothing, or that a case says nothing; raises `Wrong` where what was found is not what was expected."""
    has_nan = not bool(case.x.isfinite().all())
    for name in expected:
        if has_nan and "gradient" in name:
            continue  # what a mask leaves out of a gradient is zero times infinity in the loop
        difference = far(found.get(name), expected[name], has_nan, margin)
        if difference is not None:
            if _jumps(case, expected, name, margin):
                return Counter({"a rounding changes the loop's own result": 1})
            raise Wrong(f"{what}: {name} is {difference}.\n{shown(case)}")
    return Counter()


class _OffByARounding(TorchDispatchMode):
    """Every number that an operator computes is a little off, as it may be where the same sum has another order."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if any(returned.alias_info is not None for returned in func._schema.returns):
            return result  # a view, or written in place
        return tree_map_only(
            Tensor,
            lambda t: (
                t * (1 + torch.finfo(t.dtype).eps * torch.randn_like(t)) if t.is_floating_point() else t
            ),
            result,
        )


def _jumps(case: Case, expected: Found, name: str, margin: float) -> bool:
    """Whether the loop itself is as far off when it rounds otherwise: a sign of what cancels, say, is any sign."""
    for _ in range(5):
        with on_threads(1), _OffByARounding():
            again = case.run("loop")
        if far(again.get(name), expected[name], True, margin) is not None:
            return True
    return False


def shown(case: Case) -> str:
    s = case.s
    carried = {name: getattr(s, name) for name in ("slot", "relation", "kind", "past", "graph")}
    lines = [f"{name}={value.tolist()}" for name, value in carried.items() if value is not None]
    given = "no initial state" if case.given is None else f"initial rows {len(case.initial[0])}"
    return (
        f"{s.num_nodes} nodes, edges {s.edge_index.tolist()} {', '.join(lines)}\n{case.how or 'async'}, {given}, "
        f"x {tuple(case.x.shape)} of {case.x.dtype}, gradients of {', '.join(case.inputs) or 'nothing'}, "
        f"{case.threads} threads, {'trains' if case.trains else 'infers'}{', twice' * case.twice}"
        f"{', second derivatives' * case.second}\n{case.source}"
    )


def check_cells(seed: int) -> Counter[str]:
    """One case: a random run by each executor."""
    case = random_case(seed)
    with on_threads(1):
        try:
            expected = case.run("loop")
        except (RuntimeError, ValueError, IndexError) as error:
            return Counter({f"not a cell: {type(error).__name__} {str(error)[:30]}": 1})
    tally = Counter(cases=1)
    for backend in BACKENDS:
        with on_threads(case.threads):
            try:
                found = case.run(backend)
            except ValueError as refusal:
                if "does not run" not in str(refusal):
                    raise Wrong(f"{backend}: {refusal!r}\n{shown(case)}") from refusal
                tally[f"{backend} refuses: {_reason(refusal)}"] += 1
                continue
            except RuntimeError as error:
                raise Wrong(f"{backend}: {error!r}\n{shown(case)}") from error
        tally[backend] += 1
        # (Cells may amplify rounding: in float32 two of a thousand needed more than the table, none 5 times that.)
        tally += compare(case, found, expected, backend, 1.0 if case.exact else 10.0)
    return tally


def _reason(refusal: Exception) -> str:
    return (
        str(refusal).partition(" here: ")[2].partition(" (<")[0].partition(" (/")[0].partition(". Leave")[0]
    )


# ---------------------------------------------------------------------------- one cell, many structures

MEMBERS, MOST_TOGETHER = 240, 40
EVERY_BACKEND = (*BACKENDS, "torch", "scans")
OF_SOME_BACKENDS = (
    "SRN",
    "LSTM",
    "GRU",
    "LRU",
    "MinGRU",
)  # cells of the zoo that the last two run, on some structures


def check_structures(seed: int) -> Counter[str]:
    """As many cases as there are structures: one cell on some at a time by every backend, on all by the loop.

    Compared are values and the gradients of x, edges and initial state of each structure, and the sum of the
    parameters' gradients.
    """
    random = Random(seed)
    torch.manual_seed(seed)
    whole, members = _cell_and_members(random)
    with on_threads(1):
        try:
            expected = whole.run("loop")
        except (RuntimeError, ValueError, IndexError) as error:
            return Counter({f"not a cell: {type(error).__name__} {str(error)[:30]}": 1})
    if any(value is not None and not bool(value.isfinite().all()) for value in expected.values()):
        return Counter({"overflows": 1})
    of_cell = {f"gradient of {name}" for name, _ in whole.cell.named_parameters()} & expected.keys()
    total: dict[str, dict[str, list[Tensor]]] = {
        backend: {name: [] for name in of_cell} for backend in EVERY_BACKEND
    }
    tally, first, node, edge = Counter[str](), 0, 0, 0
    while first < len(members):
        some = members[first : first + random.randint(1, MOST_TOGETHER)]
        s = gr.batch(some)
        rows_of = {"node": slice(node, node + s.num_nodes), "edge": slice(edge, edge + s.num_edges)}
        rows_of["graph"] = slice(first, first + len(some))
        part = _part_of(whole, s, rows_of)
        part.threads = random.choice([1, 1, 2, 3, 4])
        wanted = {
            name: _rows(name, value, rows_of) for name, value in expected.items() if name not in of_cell
        }
        for backend in EVERY_BACKEND:
            try:
                with on_threads(part.threads):
                    found = part.run(backend)
            except ValueError as refusal:
                if "does not run" not in str(refusal):
                    raise Wrong(f"{backend}: {refusal!r}\n{shown(part)}") from refusal
                if backend in BACKENDS:
                    return tally + Counter({f"{backend} refuses: {_reason(refusal)}": 1})
                total[backend].clear()
                continue
            tally += compare(part, found, wanted, f"{backend}, structures {first} to {first + len(some) - 1}")
            for name, parts in total[backend].items():
                parts += [one for one in [found.get(name)] if one is not None]
            tally[f"by {backend}"] += len(some)
        first, node, edge = first + len(some), rows_of["node"].stop, rows_of["edge"].stop
        tally["cases"] += len(some)
    for backend, of_parts in total.items():
        summed: Found = {name: sum(parts) if parts else None for name, parts in of_parts.items()}  # type: ignore[misc]
        tally += compare(
            whole, summed, {name: expected[name] for name in summed}, f"{backend}, all structures together"
        )
    return tally


def _cell_and_members(random: Random) -> tuple[Case, list[gr.Structure]]:
    """A written cell, or one of the zoo's, and a case of all structures together."""
    how = {"mode": "sync", "rounds": random.choice([2, 3])} if random.random() < 0.35 else {}
    families = (*ALONE, cyclic) if how else ALONE
    manner = Manner.drawn(random)
    manner.dtype, manner.lines, manner.asks = torch.float64, min(manner.lines, 10), not how
    # (Each set of kinds is another program.)
    manner.carried = manner.carried._replace(kind=random.random() < 0.03)
    if random.random() < 0.35:
        cell, source = _cell_of_zoo(random, how, OF_SOME_BACKENDS if random.random() < 0.5 else None)
        manner.carried, manner.begins_with_x = _carried_of(cell), cell.begins_with_x
        manner.x_shape = (_width(cell),)
        if cell.arity == 1 or random.random() < 0.3:
            families = chain, isolated
    else:
        cell, source = written(random, manner)
    members = [random_structure(random, manner.carried, families) for _ in range(MEMBERS)]
    return _case_of(random, gr.batch(members), cell, source, manner, how), members


def _case_of(
    random: Random, s: gr.Structure, cell: gr.Cell, source: str, manner: Manner, how: dict[str, Any]
) -> Case:
    """All structures in one run, with all that may have a gradient."""
    fields: dict[str, Tensor] = {}
    if manner.carried.attr is not None:
        fields["edge_attr"] = rows(random, s.num_edges, *manner.carried.attr).requires_grad_()
    if manner.carried.weight:
        fields["edge_weight"] = rows(random, s.num_edges).sigmoid().requires_grad_()
    s = s.replace(**fields)
    initial = given = None
    if not manner.begins_with_x and random.random() < 0.5:
        of_fields = (rows(random, s.num_graphs, *shape).requires_grad_() for shape in cell.shapes())
        initial = cell.State(*of_fields)
        given = gr.per_graph(initial)
    x = rows(random, s.num_nodes, *manner.x_shape).requires_grad_()
    upstream = [rows(random, s.num_nodes, *shape) for shape in cell.shapes()]
    return Case(cell, source, s, x, initial, given, how, upstream=upstream)


def _part_of(whole: Case, s: gr.Structure, rows_of: dict[str, slice]) -> Case:
    """Some structures of a case, with leaves of their own."""
    fields = {name: getattr(whole.s, name) for name in ("edge_attr", "edge_weight")}
    fields = {n: f[rows_of["edge"]].detach().requires_grad_() for n, f in fields.items() if f is not None}
    initial = given = None
    if whole.initial is not None:
        initial = whole.cell.State(*(f[rows_of["graph"]].detach().requires_grad_() for f in whole.initial))
        given = gr.per_graph(initial)
    x = whole.x[rows_of["node"]].detach().requires_grad_()
    upstream = [rows[rows_of["node"]] for rows in whole.upstream]
    return Case(
        whole.cell, whole.source, s.replace(**fields), x, initial, given, whole.how, upstream=upstream
    )


def _rows(name: str, value: Tensor | None, rows_of: dict[str, slice]) -> Tensor | None:
    """Those of some structures, of what the loop has found for all."""
    if value is None:
        return None
    of = name.removeprefix("gradient of ")
    kind = "edge" if of.startswith("edge_") else "node" if of == name or of == "x" else "graph"
    return value[rows_of[kind]]
