"""The contract between equations and engine: a cell, and what it sees of its neighbours and of itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .operators import in_grad_mode, inbox_softmax, lowest, segment_sum, spread
from .schedule import Part, Schedule, Step, degree, is_loop, parts, slot_fault
from .structure import Structure
from .structure.checks import as_count
from .structure.edge_widths import read_features
from .structure.features import EdgeFeatures
from .weights import Resettable

# From the name of a field to its rows.
Fetch = Callable[[str], Tensor]
# From the name of a field and a weight per edge to the sums over inboxes.
Total = Callable[[str, Tensor | None], Tensor]

# Fields of every inbox that are the edges' own, beside those of the sources' states.
OF_EDGES = ("edge_attr", "edge_weight")


class Fused(NamedTuple):
    """A cell as one of torch's recurrent operators, with its weights in torch's layout.

    Attributes:
        operator: `"rnn_tanh"`, `"rnn_relu"`, `"lstm"` or `"gru"`.
        w_ih, w_hh: `[gates * H, D]` and `[gates * H, H]`.
        b_ih, b_hh: `[gates * H]`, or None.
    """

    operator: str
    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None
    b_hh: Tensor | None

    def weights(self) -> list[Tensor]:
        """As torch's operators take them: with two biases or none."""
        b_ih, b_hh = self.b_ih, self.b_hh
        if b_ih is None and b_hh is None:
            return [self.w_ih, self.w_hh]
        b_ih = torch.zeros_like(b_hh) if b_ih is None else b_ih  # type: ignore[arg-type]
        return [self.w_ih, self.w_hh, b_ih, torch.zeros_like(b_ih) if b_hh is None else b_hh]

    def has_shapes(self, inputs: int, hidden: int) -> bool:
        """Whether the weights are those of a cell of these widths."""
        rows = {"lstm": 4, "gru": 3}.get(self.operator, 1) * hidden
        biases = (self.b_ih, self.b_hh)
        return (
            self.w_ih.shape == (rows, inputs)
            and self.w_hh.shape == (rows, hidden)
            and all(bias is None or bias.shape == (rows,) for bias in biases)
        )


class _Lazy:
    """Fields that are fetched when first read, so that what a cell does not read costs nothing."""

    def __init__(self, fields: tuple[str, ...], fetch: Fetch) -> None:
        self._fields = fields
        self._fetch = fetch
        self._with_grad = torch.is_grad_enabled()

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("_"):  # a copy that is being made has no fields yet
            raise AttributeError(f"{type(self).__name__} has no {name!r}.")
        if name not in self._fields:
            raise AttributeError(f"no field {name!r} here, there are {', '.join(self._fields)}.")
        # What is fetched is kept for later readers: it must not lack a gradient because the first reader wants none.
        value = in_grad_mode(self._with_grad, self._fetch, name)
        self.__dict__[name] = value
        return value


class Own(_Lazy):
    """The nodes' previous state: zeros or the given initial state in async mode, the last round's in sync mode."""

    def __iter__(self) -> Iterator[Tensor]:
        return (getattr(self, name) for name in self._fields)

    def __getitem__(self, index: int) -> Tensor:
        return getattr(self, self._fields[index])


class Inbox(_Lazy):
    """The messages that n nodes receive over e edges in one step, sorted by receiving node and slot.

    The states of the sources are attributes named as in the cell's `State`, e.g. `inbox.h` of shape `[e, H]`.
    `inbox.edge_attr` `[e, ...]` holds the edges' features, `inbox.edge_weight` `[e]` their weights (1 for the
    virtual edge of an initial state). The methods combine the rows of a node's edges into one row per node, which is
    zero where the inbox is empty.

    A result may share memory with an argument: where every node receives one edge, the sum returns the values
    themselves. So write `m = m + x`, not `m += x`.

    Attributes:
        num_nodes, num_edges: n and e.
    """

    def __init__(
        self,
        plan: Schedule,
        step: Step,
        fields: tuple[str, ...],
        fetch: Fetch,
        like: Tensor,
        part: Part | None = None,
        total: Total | None = None,
    ) -> None:
        super().__init__((*fields, *OF_EDGES), fetch)
        self._of_sources = fields
        self._total = total
        self._plan = plan
        self._step = step
        self._like = like
        # The edges and nodes of a part are counted from the part's first, those of the plan from the step's first.
        self._first_node = part.nodes.start if part else 0
        self._first_edge = part.edges.start if part else 0
        slots = part or plan
        self._num_slots, self._distinct_slots = slots.num_slots, slots.distinct_slots
        self.num_nodes: Any = step.nodes.stop - step.nodes.start
        self.num_edges: Any = step.edges.stop - step.edges.start

    @property
    def structure(self) -> Structure:
        """What the run is over."""
        return self._plan.structure

    @property
    def target(self) -> Tensor:
        """`[e]` long: the receiving node of each edge, counted from 0 in this inbox."""
        target = self._plan.target[self._step.edges]
        return target - self._first_node if self._first_node else target

    @property
    def slot(self) -> Tensor:
        """`[e]` long: which argument of its target each edge fills."""
        return self._plan.slot[self._step.edges]

    @property
    def degree(self) -> Tensor:
        """`[n]` long: how many edges each node receives."""
        return degree(self._plan)[self._step.nodes]

    @property
    def is_loop(self) -> Tensor | None:
        """`[e]` bool: whether an edge leaves the node that it enters; None where no edge of the structure does."""
        loops = is_loop(self._plan)
        return None if loops is None else loops[self._step.edges]

    @property
    def message_mask(self) -> Tensor | None:
        """`[e]`: what an explainer multiplies each message by, or None; applies to sum, mean, max and slots."""
        mask = self._plan.message_mask
        return None if mask is None else mask[self._step.edges]

    @property
    def relation(self) -> Tensor:
        """`[e]` long: the type of each edge."""
        if self._plan.relation is None:
            raise ValueError(
                "the cell reads inbox.relation, but the structure has none: build it with relation=...."
            )
        return self._plan.relation[self._step.edges]

    def has(self, name: str) -> bool:
        """Whether the structure has `"edge_attr"`, `"edge_weight"` or `"relation"`."""
        return getattr(self._plan.structure, name) is not None

    def sum(self, values: Tensor) -> Tensor:
        """`[e, ...] → [n, ...]`: over each node's inbox."""
        return self.sum_unmasked(self._masked(values))

    def sum_unmasked(self, values: Tensor) -> Tensor:
        """`[e, ...] → [n, ...]`: the sum of values that are not messages, so that an explainer does not mask them."""
        each = self._step.degree
        if values.dtype == torch.bool:
            values = values.long()  # as torch's own sum does
        if each == 0 and not values.is_floating_point():
            return values.new_zeros(self.num_nodes, *values.shape[1:])
        if each == 0:
            return self._zeros(self.num_nodes, *values.shape[1:])
        if each == 1:
            return values
        if each is not None:
            return values.reshape(self.num_nodes, each, *values.shape[1:]).sum(1)
        return self._sum_ragged(values)

    def sum_of(self, name: str, weight: Tensor | None = None) -> Tensor:
        """`[n, ...]`: one of the inbox's fields, summed over each node's inbox; in rounds it needs no row per edge.

        Args:
            name: the field, `[e, H]`, or `[e, K, H]` with K weights.
            weight: the factor of each row, `[e]` or `[e, K]`.
        """
        if self._total is not None and self._plan.edge_mask is None:
            return self._total(name, weight)
        values = getattr(self, name)
        return self.sum(values if weight is None else weight.unsqueeze(-1) * values)

    def sum_by_relation(self, values: Tensor, count: int) -> Tensor:
        """`[e, ...] → [n, count, ...]`: over each node's inbox, separately for the edges of each relation."""
        if self._is_empty:
            return self._zeros(self.num_nodes, count, *values.shape[1:])
        values = self._masked(values)
        index = self.target * count + self.relation
        sums = values.new_zeros(self.num_nodes * count, *values.shape[1:]).index_add(0, index, values)
        return sums.view(self.num_nodes, count, *values.shape[1:])

    def mean(self, values: Tensor) -> Tensor:
        """`[e, ...] → [n, ...]`: over each node's inbox."""
        return self._over_count(self.sum(values))

    def max(self, values: Tensor) -> Tensor:
        """`[e, ...] → [n, ...]`: over each node's inbox; where values tie, they share the gradient equally."""
        return self._max(self._masked(values))

    def _max(self, values: Tensor) -> Tensor:
        each = self._step.degree
        if each == 0:
            return self._zeros(self.num_nodes, *values.shape[1:])
        if each is not None:
            return values.reshape(self.num_nodes, each, *values.shape[1:]).amax(1)
        index = self.target.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
        # (Not from zeros that are left out: where the largest value is zero, torch would share its gradient with them.)
        start = values.new_full((self.num_nodes, *values.shape[1:]), lowest(values.dtype))
        highest = start.scatter_reduce(0, index, values, "amax")
        received = (self.degree > 0).view(-1, *[1] * (values.dim() - 1))
        return torch.where(received, highest, torch.zeros_like(highest))

    def softmax(self, scores: Tensor) -> Tensor:
        """`[e, ...] → [e, ...]`: weights that sum to one over each node's inbox."""
        if self._is_empty:
            return scores
        found = self._softmax_at_once(scores, None)
        if found is not None:
            return found[0]
        weight = torch.exp(scores - self.to_edges(self._max(scores.detach())))
        return weight / self.to_edges(self.sum_unmasked(weight))

    def softmax_with_own(self, scores: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """`[e, ...], [n, ...] → [e, ...], [n, ...]`: weights that sum to one over each node's inbox and itself."""
        if self._is_empty:
            shape = torch.broadcast_shapes(scores.shape[1:], own.shape[1:])
            return scores.new_zeros(0, *shape), own.new_ones(len(own), *shape)
        found = self._softmax_at_once(scores, own)
        if found is not None:
            return found
        received = (self.degree > 0).view(-1, *[1] * (own.dim() - 1))
        highest, top = self._max(scores.detach()), own.detach()
        top = torch.where(received, torch.maximum(highest, top), top)
        weight, own_weight = torch.exp(scores - self.to_edges(top)), torch.exp(own - top)
        total = self.sum_unmasked(weight) + own_weight
        return weight / self.to_edges(total), own_weight / total

    def _softmax_at_once(self, scores: Tensor, own: Tensor | None) -> Any:
        """Both as one operation, where there is one for them; or None."""
        if self._step.degree is not None:
            return None
        return inbox_softmax(scores, own, self._first_of_node, self.target)

    def slots(self, count: int) -> Tensor:
        """`[n, count, H]`: the sources' `h` by slot, zero where a slot is empty. See `by_slot` for other fields."""
        return self.by_slot(self.h, count)

    def by_slot(self, values: Tensor, count: int) -> Tensor:
        """`[e, ...] → [n, count, ...]`: the row of each edge put into its slot, zero where a slot is empty."""
        if self._num_slots > count or not self._distinct_slots:
            raise ValueError(slot_fault(self._plan, count))
        shape = (self.num_nodes, count, *values.shape[1:])
        if self._is_empty:
            return self._zeros(*shape)
        values = self._masked(values)
        if self._step.degree == count:  # all slots are full, and an inbox is sorted by slot
            return values.reshape(shape)
        flat = values.new_zeros(self.num_nodes * count, *values.shape[1:])
        return flat.index_copy(0, self.target * count + self.slot, values).view(shape)

    def to_edges(self, values: Tensor) -> Tensor:
        """`[n, ...] → [e, ...]`: to each edge the row of its receiving node."""
        each = self._step.degree
        if each == 0:
            return values[:0]
        if each == 1:
            return values
        if each is not None:
            return values.unsqueeze(1).expand(-1, each, *values.shape[1:]).flatten(0, 1)
        return self._to_edges_ragged(values)

    def parts(self) -> Iterator[tuple[int, Inbox]]:
        """The kinds of the n nodes, which are contiguous and ascending, each with the inbox of its nodes."""
        step, plan = self._step, self._plan
        of_step = parts(plan)[step.number if plan.mode == "async" else 0]
        sizes = [part.edges.stop - part.edges.start for part in of_step]
        # Split once: a slice per kind would cost the whole inbox for each kind in the backward pass.
        cut = functools.cache(lambda name: getattr(self, name).split(sizes))
        for number, part in enumerate(of_step):
            smaller = step._replace(
                nodes=slice(step.nodes.start + part.nodes.start, step.nodes.start + part.nodes.stop),
                edges=slice(step.edges.start + part.edges.start, step.edges.start + part.edges.stop),
                degree=part.degree,
            )

            def fetch(name: str, number: int = number) -> Tensor:
                return cut(name)[number]

            yield part.kind, type(self)(plan, smaller, self._of_sources, fetch, self._like, part)

    def of_slot(self, slot: int, count: int) -> Inbox:
        """The messages in one of `count` slots: one for each of the n nodes, zero where the slot is empty."""

        def fetch(name: str) -> Tensor:
            return self.by_slot(getattr(self, name), count)[:, slot]

        one_each = self._step._replace(edges=slice(0, self.num_nodes), degree=1)
        return _OneEach(self._plan, one_each, self._of_sources, fetch, self._like)

    def renamed(self, names: dict[str, str]) -> Inbox:
        """The same inbox with these fields only, `{new: old}`, for a cell that knows them by the new names."""
        return self._with_fields(tuple(names), lambda name: getattr(self, names.get(name, name)))

    def messages_of(self, cell: Cell) -> Inbox:
        """The inbox of the messages that this cell makes of the sources' states, which are the fields of this inbox."""
        if cell.Message is None:
            return self
        sent = functools.cache(lambda: cell.as_message(self))
        return self._with_fields(
            cell.Message._fields, lambda name: getattr(self if name in OF_EDGES else sent(), name)
        )

    def read_by(self, cell: Cell, of_edges: Callable[[Tensor], Tensor] | None = None) -> Inbox:
        """The inbox as read by a cell that is a part of another, with its own messages and projected edge features.

        Args:
            cell: the cell.
            of_edges: from `edge_attr` as given here to what the cell reads; by default its `project_edges`.
        """
        project = cell.project_edges if of_edges is None else of_edges
        other = self.messages_of(cell)
        return other._with_fields(
            other._of_sources,
            lambda name: project(self.edge_attr) if name == "edge_attr" else getattr(other, name),
        )

    def _with_fields(self, names: tuple[str, ...], fetch: Fetch) -> Inbox:
        other = self._copy()
        for name in self._fields:
            other.__dict__.pop(name, None)
        other._fields, other._of_sources, other._fetch = (*names, *OF_EDGES), names, fetch
        other._with_grad = torch.is_grad_enabled()
        return other

    def replaced(self, **fields: Tensor) -> Inbox:
        """The same inbox with other values, `[e, ...]`, in some of its fields."""
        other = self._copy()
        for name, value in fields.items():
            if name not in self._fields or value.shape[0] != self.num_edges:
                raise ValueError(
                    f"replaced takes fields of the inbox ({', '.join(self._fields)}) with {self.num_edges} rows, got "
                    f"{name} with shape {tuple(value.shape)}."
                )
            other.__dict__[name] = value
        return other

    @property
    def _is_empty(self) -> bool:
        return self.num_edges == 0

    def _copy(self) -> Inbox:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._total = None  # it sums the unchanged fields
        return other

    def _masked(self, values: Tensor) -> Tensor:
        """`[e, ...]`: values that edges bring, multiplied by their masks; see `graphrec.schedule.masked`."""
        mask = self.message_mask
        if mask is None or not values.is_floating_point():
            return values
        return values * mask.to(values.dtype).view(-1, *[1] * (values.dim() - 1))

    def _over_count(self, total: Tensor) -> Tensor:
        each = self._step.degree
        if each is not None:
            return total if each < 2 else total / each
        count = self.degree.clamp(min=1)
        return total / count.view(-1, *[1] * (total.dim() - 1))

    def _sum_ragged(self, values: Tensor) -> Tensor:
        return segment_sum(values, self._first_of_node, self.target)

    def _to_edges_ragged(self, values: Tensor) -> Tensor:
        return spread(values, self._first_of_node, self.target)

    @property
    def _first_of_node(self) -> Tensor:
        first = self._plan.first_edge[self._step.nodes]
        return first - self._first_edge if self._first_edge else first

    def _zeros(self, *shape: int) -> Tensor:
        return self._like.new_zeros(shape)


class _OneEach(Inbox):
    """A message for each node, whether an edge brought it or not."""

    @property
    def target(self) -> Tensor:
        return torch.arange(self.num_nodes, device=self._like.device)

    @property
    def slot(self) -> Tensor:
        return torch.zeros_like(self.target)

    @property
    def degree(self) -> Tensor:
        return torch.ones_like(self.target)

    @property
    def relation(self) -> Tensor:
        raise ValueError("what comes in by one slot has no relation: read it from the whole inbox.")

    @property
    def is_loop(self) -> Tensor | None:
        if is_loop(self._plan) is None:
            return None
        raise ValueError("what comes in by one slot is no edge: read is_loop from the whole inbox.")

    @property
    def message_mask(self) -> None:
        return None  # masked in the whole inbox already

    def by_slot(self, values: Tensor, count: int) -> Tensor:
        one = values.unsqueeze(1)
        return (
            one if count == 1 else torch.cat([one, torch.zeros_like(one).repeat_interleave(count - 1, 1)], 1)
        )


# The names that an inbox uses itself; a state's fields must have others.
_RESERVED = frozenset(
    (*OF_EDGES, *(name for name in dir(Inbox) if not name.startswith("_")), "num_nodes", "num_edges")
)


class Cell(Resettable):
    """How one node's state follows from its input and its inbox.

    A subclass sets `State`, a NamedTuple type of `[N, ·]` tensors, and `self.hidden`, their width, and writes
    `forward`. It knows nothing of schedules, levels, batches or time; write it as its paper does, in plain PyTorch.

    Attributes:
        State: the type of the state, e.g. `namedtuple("State", "h c")`.
        hidden: H, the width of each field of the state; see `shapes`.
        inputs: D, the width of x, or None if the cell does not care; cells with `message_pair` may have a pair, the
            widths of sources and of targets.
        arity: how many slots a node has, or None if any number of edges may enter it.
        edges: the width of edge_attr, or of that of each relation (a list or a dictionary; None: it has none), or
            None if the cell does not care.
        reads_edges: a tuple of what else the equations read of edges, `"edge_attr"` and `"edge_weight"`; None: not
            declared. If all cells of a model declare it, a call that gives what none of them reads is refused.
        begins_with_x: whether the input is the state of round 0; see `initial_from_x`.
        constants: the names of the state's fields that no step changes; at a fixed point they are not solved for.
        relations: how many relations there are, or None if the cell does not care.
        kinds: how many kinds of nodes the cell has equations for, or None if it does not care.
        Message: the type of what nodes send to their targets, or None if that is their state; see `as_message`.
        recurrent_layers: the names of the layers that multiply the predecessor's h, where a mask can be applied; see
            `graphrec.VariationalDropout`.
        elementwise: whether the step consists of `hidden` units that do not see each other: unit u of the new state
            depends on unit u of the sources' states alone, and on rows u, H + u, 2 H + u and so on of each weight; see
            `graphrec.learning.RTRL`.
    """

    State: Any
    Message: Any = None
    hidden: int
    inputs: Any = None  # an int, a pair of ints or None; Any, so that subclasses can say which
    arity: Any = None  # an int or None; Any, so that cells with slots can say int
    edges: Any = None  # as arity
    reads_edges: Any = None  # a tuple of names or None
    relations: Any = None
    kinds: Any = None
    begins_with_x: bool = False
    constants: tuple[str, ...] = ()
    recurrent_layers: tuple[str, ...] = ()
    elementwise: bool = False

    def __init__(self, inputs: int | None = None, hidden: int | None = None) -> None:
        super().__init__()
        if inputs is not None:
            self.inputs = as_count("inputs", inputs)
        if hidden is not None:
            self.hidden = as_count("hidden", hidden, 1)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """One step; see `forward`."""
        if len(args) + len(kwargs) < 3:  # a structure, where an inbox and a state are wanted
            raise TypeError(
                f"{type(self).__name__} is a cell, one step of a run, which the engine calls with (x, inbox, own): "
                f"graphrec.Recursive(cell) makes a model of it, and graphrec.run(cell, schedule, x) runs it."
            )
        return super().__call__(*args, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls) and "reads_edges" not in vars(cls):
            cls.reads_edges = None  # the subclass has new equations, which have not declared it
        fields = {
            field
            for kind in (getattr(cls, "State", None), cls.Message)
            for field in getattr(kind, "_fields", ())
        }
        if cls.begins_with_x is True and cls.initial_from_x is Cell.initial_from_x:
            raise TypeError(
                f"{cls.__name__} begins with x: define initial_from_x(x, s), the state of round 0."
            )
        taken = _RESERVED.intersection(fields)
        if taken:
            raise TypeError(
                f"{cls.__name__}.State has a field {min(taken)!r}, which inboxes use themselves: rename it."
            )

    def project(self, x: Tensor) -> Tensor:
        """`[N, D] → [N, ·]`: all that needs no neighbour, done once for all nodes when a run begins."""
        return x

    def project_edges(self, edge_attr: Any) -> Any:
        """`[E, ...] → [E, ...]`: all that needs the edges' features alone, done once when a run begins.

        Where `edges` has a width for each relation, edge_attr is a `graphrec.EdgeFeatures`; see `PerRelation`.
        """
        return edge_attr

    def edge_rows(self, s: Structure, edges: Tensor | None = None) -> Tensor | None:
        """`[E, ...]`: the structure's features as `project_edges` returns them, or None where there are none.

        Args:
            s: the structure.
            edges: the numbers of the edges wanted, `[e]`, ascending; None: all.
        """
        if s.edge_attr is None and self.edges is None:
            return None
        dtype = next((weight.dtype for weight in self.parameters()), torch.get_default_dtype())
        given = read_features(s, self.edges, dtype, edges)
        if given is None:
            return None
        rows = self.project_edges(given)
        if not isinstance(rows, Tensor) or rows.shape[:1] != (len(given),):
            got = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
            how = ": graphrec.PerRelation makes them" if isinstance(given, EdgeFeatures) else ""
            raise ValueError(
                f"{type(self).__name__}.project_edges must return one row per edge, {len(given)}, got {got}{how}."
            )
        return rows

    def initial_from_x(self, x: Tensor, s: Structure) -> Any:
        """The initial state of a run that is given none, a State of `[N, ·]` tensors; None: zero.

        For cells in whose equations the input is the state of round 0, as in graph convolutions; in async mode it is
        `own`. It may have other widths than the state where there is only one round.
        """
        return None

    def as_message(self, state: Any) -> Any:
        """What a node sends to its targets, a Message, from its state, whose fields are read by name.

        For products that each node can compute once, however many edges leave it. Inbox and `own` have its fields.
        """
        return state

    def message_pair(self, x_source: Tensor, x_target: Tensor | None) -> tuple[Any, Any]:
        """What sources send, and the targets' own fields, where a round goes from one set of nodes to another.

        Args:
            x_source, x_target: `[S, D]` and `[n, D']`, or None where targets have no rows of their own.

        Returns:
            Two named tuples, whose fields inbox and `own` then have; the second has None for what targets lack.

        Raises:
            TypeError: the cell is not defined between two sets of nodes.
        """
        raise TypeError(
            f"{type(self).__name__} is not a layer from one set of nodes to another, (x_source, x_target): take "
            f"SAGECell, GINCell, GATCell or GATv2Cell, or define message_pair."
        )

    def forward(self, x: Tensor, inbox: Inbox, own: Any) -> Any:
        """One step: the new state of n nodes.

        Args:
            x: `[n, ·]`, their rows of what `project` returned.
            inbox: the states of their sources, over e edges; see `graphrec.Inbox`.
            own: a State, their previous state: zeros or the given initial state in async mode, the last
                round's in sync mode.
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward(x, inbox, own).")

    def fused(self) -> Fused | None:
        """The operator of torch that computes this cell on chains, or None; a backend may use it."""
        return None

    def check(self, structure: Structure) -> None:
        """Raise ValueError if this cell cannot run on the structure; called before each run."""

    def initialize(self, x: Tensor, s: Structure) -> None:
        """Take widths that were left open from the input; called before a run, after `check`."""

    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each field of the state, for one node; by default `(hidden,)` for all."""
        if not hasattr(self, "hidden"):
            raise AttributeError(
                f"{type(self).__name__} does not say how wide its state is: set self.hidden, or define shapes()."
            )
        return [(self.hidden,)] * len(self.State._fields)


def check_cell(cell: Any) -> None:
    """Raise unless this is a cell."""
    if isinstance(cell, Cell):
        return
    got, remedy = type(cell).__name__, ""
    if isinstance(cell, type):
        got = f"the class {cell.__name__}"
        remedy = ": make one of it" if issubclass(cell, Cell) else ""
    elif isinstance(getattr(cell, "cell", None), Cell):
        remedy = ", which is a model of one: call it, model(x, s), or give its cell, model.cell"
    raise TypeError(f"expected a graphrec.Cell, got {got}{remedy}.")
