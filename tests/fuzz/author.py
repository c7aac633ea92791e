"""Random cells, written as code: lines of the catalogue, chosen while they are computed on an example."""

from __future__ import annotations

import math
import string
import textwrap
from collections import namedtuple
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphrec as gr
from tests.fuzz import catalogue
from tests.fuzz.structures import RELATIONS, Carried

MOST_COLUMNS, LARGEST = 24, 30.0  # of a value
SHAPES: tuple[tuple[int, ...], ...] = ((3,), (3,), (4,), (1,), (), (2, 2), (5,))
_CONSTANTS = (0.37, -0.6, 1.5, 0.0, 2, 1)
# More nodes than columns, and another number of edges: what takes one for the other fails, and is drawn again.
NODES, EDGES = 29, 31
_EXAMPLE = gr.dag(
    [[0, 0, 3, *range(1, 28), 28], [0, 1, 1, *range(2, 29), 28]],
    NODES,
    relation=torch.arange(EDGES) % RELATIONS,
)


@dataclass
class Manner:
    """How cells of a case are written."""

    carried: Carried
    fields: dict[str, tuple[int, ...]]
    x_shape: tuple[int, ...]
    dtype: torch.dtype
    lines: int
    sends: bool = False  # messages of its own
    projects: bool = False
    begins_with_x: bool = False
    asks: bool = True  # whether there are edges, which in rounds is no question of a node's

    @classmethod
    def drawn(cls, random: Random) -> Manner:
        carried = Carried.drawn(random)
        names = ["h", "c", "z"][: random.choice([1, 1, 2, 2, 3])]
        fields = {name: random.choice(SHAPES) for name in names}
        begins = random.random() < 0.12
        return cls(
            carried,
            fields,
            random.choice([(3,), (3,), (4,), (1,), (), (2, 3)]) if not begins else (3,),
            torch.float64 if random.random() < 0.8 else torch.float32,
            random.choice([3, 6, 10, 16]),
            random.random() < 0.25,
            random.random() < 0.3,
            begins,
        )

    @property
    def is_exact(self) -> bool:
        return self.dtype == torch.float64


class RandomCell(gr.Cell):
    """A cell whose methods are written for it."""

    def __init__(self, manner: Manner) -> None:
        super().__init__()
        self.State = namedtuple("State", list(manner.fields))
        self.Message = namedtuple("Message", "m q") if manner.sends else None
        self.arity, self.begins_with_x = manner.carried.arity, manner.begins_with_x
        self._shapes = list(manner.fields.values())

    def shapes(self) -> list[tuple[int, ...]]:
        return self._shapes

    def initial_from_x(self, x: Tensor, s: gr.Structure) -> Any:
        if not self.begins_with_x:
            return None
        flat = x.flatten(1).repeat(1, 4)
        return self.State(*(flat[:, : math.prod(f)].reshape(-1, *f).sin() for f in self._shapes))


def write_cell(random: Random, manner: Manner) -> tuple[gr.Cell, str]:
    """A cell, and its source."""
    cell = RandomCell(manner)
    author = _Author(random, manner, cell)
    with torch.no_grad():
        source = author.write()
    define(cell, source)
    return cell, source


def define(cell: RandomCell, source: str) -> None:
    """Give a cell its methods."""
    cell.__dict__["source"] = source
    found: dict[str, Any] = {}
    exec(compile(source, "<random cell>", "exec"), {"torch": torch, "F": F}, found)
    cell.__class__ = type("RandomCell", (RandomCell,), found)


class _Author:
    def __init__(self, random: Random, manner: Manner, cell: RandomCell) -> None:
        self.random, self.manner, self.cell = random, manner, cell
        self.lines: list[str] = []
        self.values: dict[str, Any] = {}  # by name, n1 of nodes and e2 of edges
        self.unread: list[str] = []
        self.given: dict[str, Any] = {}
        self.count = 0
        self.generator = torch.Generator().manual_seed(random.randrange(2**31))

    def rows(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, dtype=torch.float64).to(self.manner.dtype)

    # ---------------------------------------------------------------------------------------------- methods

    def write(self) -> str:
        manner, methods = self.manner, []
        x = self.rows(_EXAMPLE.num_nodes, *manner.x_shape)
        if manner.projects:
            methods.append(self.method("project", "x", {"x": x}, ["x"], [(4,)], 2))
        state = self.cell.State(*(self.rows(_EXAMPLE.num_nodes, *f) for f in manner.fields.values()))
        if manner.sends:
            names = [f"state.{name}" for name in manner.fields]
            methods.append(self.method("as_message", "state", {"state": state}, names, [(4,), (2,)], 3))
        define(self.cell, "\n".join([*methods, _LISTENING]))
        seen: dict[str, Any] = {}
        self.cell.__dict__["seen"] = seen
        carried = manner.carried
        attr = None if carried.attr is None else self.rows(_EXAMPLE.num_edges, *carried.attr)
        s = _EXAMPLE.replace(
            edge_attr=attr, edge_weight=self.rows(_EXAMPLE.num_edges) if carried.weight else None
        )
        gr.run(self.cell, gr.schedule(s, "sync", 1), x, gr.per_node(state), backend="loop")
        del self.cell.__dict__["seen"]
        inbox = seen["inbox"]
        sent = self.cell.Message._fields if manner.sends else self.cell.State._fields
        nodes = ["x", *(f"own.{name}" for name in manner.fields if self.random.random() < 0.5)]
        edges = [f"inbox.{name}" for name in sent]
        edges += ["inbox.edge_attr"] * (attr is not None) + ["inbox.edge_weight"] * carried.weight
        self.sent = sent
        given = {"x": seen["x"], "inbox": inbox, "own": seen["own"]}
        shapes = list(manner.fields.values())
        methods.append(self.method("forward", "x, inbox, own", given, nodes, shapes, manner.lines, edges))
        return "\n".join(methods)

    def method(
        self, name: str, arguments: str, given: dict[str, Any], nodes: list[str],
        shapes: list[tuple[int, ...]], lines: int, edges: list[str] | None = None,
    ) -> str:  # fmt: skip
        """A method that returns a tensor, or a State or Message, of these shapes."""
        self.lines, self.values, self.unread, self.given = [], {}, [], given
        for prefix, expressions in (("n", nodes), ("e", edges or [])):
            for expression in expressions:
                self.note(prefix, expression, eval(expression, {}, given))
        for _ in range(lines):
            self.line(is_step=edges is not None)
        for value in [v for v in self.unread if v.startswith("e")]:
            self.note("n", f"inbox.sum({value})")
        results = [self.result(shape, number == 0) for number, shape in enumerate(shapes)]
        kind = {"as_message": "self.Message", "forward": "self.State"}.get(name, "")
        body = [*self.lines, f"return {kind}({', '.join(results)})"]
        return f"def {name}(self, {arguments}):\n" + textwrap.indent("\n".join(body), "    ")

    def result(self, shape: tuple[int, ...], takes_unread: bool) -> str:
        """A bounded sum of node values, brought to a shape: for the first one, of all that nobody has read."""
        of_nodes = [v for v in self.values if v.startswith("n")]
        chosen = self.random.sample(of_nodes, min(2, len(of_nodes)))
        if takes_unread:
            chosen = list(dict.fromkeys([*chosen, *(v for v in self.unread if v.startswith("n"))]))
        total = " + ".join(self.fitted(value, shape) for value in chosen)
        return self.random.choice(["torch.tanh({})", "torch.sin({})", "({}).tanh() * 0.5"]).format(total)

    def fitted(self, value: str, shape: tuple[int, ...]) -> str:
        mine, wanted = tuple(self.values[value].shape[1:]), math.prod(shape)
        if mine == shape:
            return value
        width = math.prod(mine)
        flat = f"{value}.unsqueeze(1)" if not mine else value if len(mine) == 1 else f"{value}.flatten(1)"
        if width > wanted and self.random.random() < 0.4:
            flat += f"[:, :{wanted}]"
        elif width != wanted:
            flat = f"F.linear({flat}, {self.parameter((wanted, width))})"
        return flat if len(shape) == 1 else f"{flat}.reshape({value}.shape[0], *{shape})"

    # ---------------------------------------------------------------------------------------------- lines

    def line(self, is_step: bool) -> None:
        """One that works on the example and stays in bounds; after some trials none."""
        for _ in range(12):
            prefix, lines = self.choice_of_lines(is_step)
            known = dict(self.cell.named_parameters())
            if self.attempt(prefix, self.random.choice(lines)):
                return
            for name in [name for name, _ in self.cell.named_parameters() if name not in known]:
                delattr(self.cell, name)

    def choice_of_lines(self, is_step: bool) -> tuple[str, tuple[str, ...]]:
        carried, exact, random = self.manner.carried, self.manner.is_exact, self.random
        if is_step and random.random() < 0.3:
            if random.random() < 0.6:
                kinds = [catalogue.TO_NODES] * 3 + [catalogue.KINKED_TO_NODES] * exact
                kinds += [catalogue.TO_NODES_WITH_SLOTS] * (carried.arity is not None)
                kinds += [catalogue.TO_NODES_WITH_RELATIONS] * carried.relation
                kinds += [catalogue.ASKING] * self.manner.asks
                return "n", random.choice(kinds)
            kinds = [catalogue.TO_EDGES] * 2 + [catalogue.TO_EDGES_WITH_RELATIONS] * carried.relation
            return "e", random.choice(kinds)
        kinds = [catalogue.SMOOTH, catalogue.SMOOTH, catalogue.VIEWS] + [catalogue.KINKED] * exact
        return ("n" if not is_step or random.random() < 0.6 else "e"), random.choice(kinds)

    def attempt(self, prefix: str, template: str) -> bool:
        keys = [key for _, key, _, _ in string.Formatter().parse(template) if key is not None]
        filled = self.fill(prefix, keys)
        if filled is None:
            return False
        code = template.format_map(filled)
        try:
            value = eval(code, {"torch": torch, "F": F, "self": self.cell}, {**self.given, **self.values})
        except (RuntimeError, IndexError, ValueError, TypeError):
            return False
        columns = math.prod(value.shape[1:])
        rows = {"n": NODES, "e": EDGES}[prefix]
        if value.shape[:1] != (rows,) or value.dtype != self.manner.dtype or not columns:
            return False
        if columns > MOST_COLUMNS or value.dim() > 4 or not bool((value.abs() < LARGEST).all()):
            return False
        for name in (filled[key] for key in keys if filled[key] in self.unread):
            self.unread.remove(name)
        self.note(prefix, code, value)
        return True

    def note(self, prefix: str, code: str, value: Tensor | None = None) -> None:
        if value is None:
            value = eval(code, {"torch": torch}, {**self.given, **self.values})
        self.count += 1
        name = f"{prefix}{self.count}"
        self.values[name] = value
        self.unread.append(name)
        self.lines.append(f"{name} = {code}")

    def fill(self, prefix: str, keys: list[str]) -> dict[str, str] | None:
        """What stands for each key, or None where there is nothing."""
        random = self.random
        mine = {p: [v for v in self.values if v.startswith(p)] for p in "ne"}
        flat = [v for v in mine[prefix] if self.values[v].dim() == 2]  # (torch's cells crash on others)
        if not mine[prefix] or ("e" in keys and not mine["e"]) or ("m" in keys and not flat):
            return None
        a = random.choice([*mine[prefix], *(v for v in self.unread if v.startswith(prefix))])
        a = random.choice(flat) if "m" in keys else a
        shape = tuple(self.values[a].shape[1:])
        inner, width = (shape[-1] if shape else 1), random.randint(1, 5)
        made = {
            "a": a, "m": a, "b": random.choice(mine[prefix]), "c": random.choice(mine[prefix]),
            "e": random.choice(mine["e"]) if mine["e"] else "", "n": random.choice(mine["n"]) if mine["n"] else "",
            "d": str(random.choice([*range(1, 1 + len(shape)), *range(-len(shape), 0)] or [1])),
            "k": str(random.choice(_CONSTANTS)), "i": str(random.randint(0, 2)), "t": str(random.randint(0, 1)),
            "s": str(random.randrange(self.manner.carried.arity or 1)), "arity": str(self.manner.carried.arity),
            "float": "double" if self.manner.is_exact else "float", "f": random.choice(getattr(self, "sent", ("h",))),
        }  # fmt: skip
        broadcasts = [shape, shape[-1:], (), (1,)] + ([(1, *shape)] if shape else [])
        shapes = {
            "w": random.choice(broadcasts), "W": (inner, width), "V": (width, inner), "v": (inner,), "bias": (width,),
        }  # fmt: skip
        for gates in (1, 3, 4):
            shapes |= {f"G{gates}": (gates * inner, inner), f"g{gates}": (gates * inner,)}
        return made | {key: self.parameter(shapes[key]) for key in keys if key in shapes}

    def parameter(self, shape: tuple[int, ...]) -> str:
        """A new one, or an old one of this shape; as it is, or as something is made of it in each step."""
        cell, random = self.cell, self.random
        old = [name for name, p in cell.named_parameters() if tuple(p.shape) == shape]
        if old and random.random() < 0.25:
            return f"self.{random.choice(old)}"
        way = random.choice(["plain"] * 6 + ["turned", "sliced", "exp", "normed", "detached", "joined"])
        base, made = shape, "self.{}"
        if way == "turned" and len(shape) == 2:
            base, made = shape[::-1], "self.{}.t()"
        elif way == "sliced" and shape:
            base, made = (shape[0] + 2, *shape[1:]), f"self.{{}}[1:{1 + shape[0]}]"
        elif way == "exp":
            made = "self.{}.tanh().exp()"
        elif way == "normed" and len(shape) == 2:
            made = "torch.nn.functional.normalize(self.{}, dim=1, eps=0.1)"
        elif way == "detached":
            made = "self.{}.detach()"
        elif way == "joined" and shape and shape[0] > 1:
            made = "torch.cat([self.{0}[:1], self.{0}[1:] * 2])"
        name = f"p{len(list(cell.parameters()))}"
        value = self.rows(*base) / math.sqrt(base[-1] if base else 1)
        setattr(cell, name, nn.Parameter(value, requires_grad=random.random() < 0.85))
        return made.format(name)


_LISTENING = """
def forward(self, x, inbox, own):
    self.seen.update(x=x, inbox=inbox, own=own)
    return self.State(*(getattr(own, name) for name in self.State._fields))
"""
