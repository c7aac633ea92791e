"""Endless streams: a model that continues where the last call has stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..engine.rules import differentiated_by
from ..models import Model
from ..models.in_time import cells_in_time
from ..models.model import check_initial
from ..structure import episodes
from ..structure.checks import check_layout
from .bptt import BPTT
from .forward import ForwardRule
from .losses import backward, check_is_function
from .rule import Rule
from .stream_checks import checked_mask


class Call(NamedTuple):
    """A call that later losses still reach: inputs `[B, T, D]`, where streams begin again `[B, T]`, and each layer's
    initial state, a State of `[B, ·]` tensors."""

    x: Tensor
    begins: Tensor
    start: list[Any]


class StreamState(NamedTuple):
    """The current state of all streams.

    Attributes:
        calls: the calls that later losses still reach.
        start: each layer's state, a State of `[B, ·]` tensors.
        begins: `[B]` bool, the streams that begin again with the next call.
    """

    calls: list[Call]
    start: list[Any]
    begins: Tensor


class Stream:
    """A model over endless sequences, B of them side by side, given some steps at a time.

        stream = graphrec.learning.Stream(model, graphrec.learning.TruncatedBPTT(20, every=5))
        for x, y in chunks:                          # x [B, 5, D]
            loss = mse_loss(head(stream(x)), y)      # [B, 5, H]: each stream continues where it stopped
            loss.backward()

    The initial state of a call is a constant to autograd. Where the rule reaches further back than that, the
    earlier calls within its reach are run again, with the current weights, from the initial state of the earliest
    of them: so losses send their errors into earlier calls, and memory is bounded by the reach and two calls,
    however long the streams. As long as weights do not change, the gradients of all calls add up to those of one run
    over whole sequences, if calls end where the rule sends errors back.

    Args:
        model: of `Recursive`, `LSTM`, ..., `Stacked` or others made of these, all running forward in time.
        rule: how calls are differentiated; None: `BPTT()`, each call separately.
        optimizer: of torch, for `step`.
        initial: the initial state of streams, as in a call of the model, with one row for all; it may be a
            parameter. None: zero.

    Raises:
        TypeError, ValueError: a model that has no state to continue from, or runs backward in time or in rounds.
    """

    model: Model
    rule: BPTT | Rule

    def __init__(
        self,
        model: Model,
        rule: Rule | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        initial: Any = None,
    ) -> None:
        self._cells = cells_in_time(model, "a stream")
        self.model, self.rule = model, BPTT() if rule is None else rule
        self.optimizer: torch.optim.Optimizer | None = optimizer
        if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(
                f"optimizer must be one of torch, such as torch.optim.AdamW(model.parameters()), got "
                f"{type(optimizer).__name__}."
            )
        if not isinstance(self.rule, Rule):
            raise TypeError(f"rule must be a graphrec.learning.Rule, got {type(rule).__name__}.")
        if isinstance(self.rule, ForwardRule):
            raise TypeError(
                f"a stream hands on states alone, and {type(rule).__name__} has sensitivities to hand on, too: use "
                f"rule.online(cell), which does."
            )
        self._initial = None if initial is None else self._checked(check_initial(model, initial))
        self._state: StreamState | None = None

    def __call__(self, x: Tensor, begins: Tensor | None = None) -> Tensor:
        """The model's rows for the next T steps of all streams, `[B, T, D] → [B, T, H]`.

        Args:
            x: the inputs.
            begins: `[B, T]` bool, the steps at which a stream begins again, from the initial state; they need not be
                first ones. No gradient passes from there to earlier steps.

        Raises:
            ValueError: another number of streams than in the last call; no steps, or a number of them that is not a
                multiple of the rule's `every`.
            TypeError: begins is not such a mask.
        """
        self._check_x(x)
        begins = checked_mask("begins", begins, x.shape[:2], x.device)
        old = self._state
        if old is None:
            begins[:, 0] = True
            calls = [Call(x, begins, self._initial_states(x, len(x)))]
        else:
            begins[:, 0] |= old.begins
            calls = [*old.calls, Call(x, begins, old.start)]
        cut = episodes(torch.cat([call.begins for call in calls], dim=1), batch_first=True)
        rows = torch.cat([call.x for call in calls], dim=1)
        initial = cut.initial(calls[0].start, reset=self._initial_states(x, 1))
        with differentiated_by(self.rule):
            h, final = self.model(rows.flatten(0, 1), cut.structure, initial=initial, return_states=True)
        start = [type(state)(*(field.detach() for field in state)) for state in cut.final(final)]
        # A copy: the caller may reuse x for the next call.
        calls[-1] = calls[-1]._replace(x=x.detach().clone())
        self._state = StreamState(self._within_reach(calls), start, torch.zeros_like(begins[:, 0]))
        return h.unflatten(0, rows.shape[:2])[:, -x.shape[1] :]

    def step(self, x: Tensor, loss: Callable[[Tensor], Tensor], begins: Tensor | None = None) -> Tensor:
        """One step of learning: a call, the gradients of a loss of its rows `[B, T, H]`, and a step of the optimizer.

        Without an optimizer gradients are added to `.grad`, as `Rule.gradients` does, which lists what is refused.

        Returns:
            the loss, `[]`, detached.
        """
        check_is_function(loss)
        if self.optimizer is not None:
            self.optimizer.zero_grad()
        value = backward(loss, self(x, begins), self.model, x)
        if self.optimizer is not None:
            self.optimizer.step()
        return value

    def reset(self, mask: Tensor | None = None) -> None:
        """Let streams begin again with the next call: those of a mask `[B]` bool, or all, whose number may then change.

        Raises:
            ValueError, TypeError: another mask; a mask before the first call.
        """
        if mask is None:
            self._state = None
            return
        if self._state is None:
            raise ValueError(
                "there are no streams yet, so none can start over: reset() takes a mask after a call."
            )
        begins = self._state.begins
        self._state = self._state._replace(
            begins=begins | checked_mask("mask", mask, begins.shape, begins.device)
        )

    def state_dict(self) -> dict[str, Any]:
        """The current state of the streams, in tensors, lists, dictionaries and names, to store with a checkpoint."""
        if self._state is None:
            return {"layers": self._layers, "streams": None}
        calls = [
            {**call._asdict(), "start": [list(state) for state in call.start]} for call in self._state.calls
        ]
        start = [list(state) for state in self._state.start]
        return {
            "layers": self._layers,
            "streams": {"calls": calls, "start": start, "begins": self._state.begins},
        }

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Continue from the stored state of an equal model's streams.

        Raises:
            TypeError, ValueError: not such a state, or one of another model.
        """
        if not isinstance(stored, dict) or stored.keys() != {"layers", "streams"}:
            raise TypeError(
                f"expected what state_dict() of a stream returned, got {type(stored).__name__}"
                f"{' with ' + ', '.join(map(str, stored)) if isinstance(stored, dict) else ''}."
            )
        if stored["layers"] != self._layers:
            raise ValueError(
                f"the state is that of a model with other layers: it has {stored['layers']}, the model {self._layers}. "
                f"Take the state of an equal model, or start over with reset()."
            )
        streams = stored["streams"]
        if streams is None:
            self._state = None
            return
        calls = [Call(**{**call, "start": self._as_states(call["start"])}) for call in streams["calls"]]
        self._state = StreamState(calls, self._as_states(streams["start"]), streams["begins"])

    def _as_states(self, fields: list[list[Tensor]]) -> list[Any]:
        return [cell.State(*values) for cell, values in zip(self._cells, fields, strict=True)]

    @property
    def _layers(self) -> list[list[Any]]:
        """For each layer its cell, and the shape of each field of its state."""
        return [
            [
                type(cell).__name__,
                {n: list(shape) for n, shape in zip(cell.State._fields, cell.shapes(), strict=True)},
            ]
            for cell in self._cells
        ]

    def _within_reach(self, calls: list[Call]) -> list[Call]:
        """The last of these calls, as many as later losses can reach through all layers."""
        reach = self.rule.lookback * len(self._cells)
        while calls and sum(call.x.shape[1] for call in calls[1:]) >= reach:
            calls = calls[1:]
        return calls

    def _initial_states(self, x: Tensor, count: int) -> list[Any]:
        if self._initial is None:
            zero = [[x.new_zeros(1, *shape) for shape in cell.shapes()] for cell in self._cells]
            states = [cell.State(*fields) for cell, fields in zip(self._cells, zero, strict=True)]
        else:
            states = self._initial
        return [type(state)(*(field.expand(count, *field.shape[1:]) for field in state)) for state in states]

    def _checked(self, initial: list[Any]) -> list[Any]:
        states = []
        for cell, given in zip(self._cells, initial, strict=True):
            fields = [given] if isinstance(given, Tensor) else list(given)
            wanted = [(1, *shape) for shape in cell.shapes()]
            if [tuple(field.shape) for field in fields] != wanted:
                raise ValueError(
                    f"initial states of a stream have one row for all streams, of {type(cell).__name__} of shapes "
                    f"{wanted}, got {[tuple(field.shape) for field in fields]}."
                )
            states.append(cell.State(*fields))
        return states

    def _check_x(self, x: Any) -> None:
        if isinstance(x, Tensor):
            check_layout("x", x)
        if not isinstance(x, Tensor) or x.dim() != 3 or not x.shape[1]:
            got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"a stream takes x of shape [B, T, D], T steps (1 or more) of B streams, got {got}."
            )
        if self._state is not None and len(self._state.begins) != len(x):
            raise ValueError(
                f"there are {len(self._state.begins)} streams, which go on with this call, got x for {len(x)}: give as "
                f"many rows, in the same order, or call reset() first, so that others begin."
            )
        if self._state is not None and self._state.start[0][0].dtype != x.dtype:
            raise TypeError(
                f"the streams have states of {self._state.start[0][0].dtype}, got x of {x.dtype}: convert it, or call "
                f"reset() first."
            )
        if self._state is not None and any(call.x.shape[2] != x.shape[2] for call in self._state.calls):
            width = self._state.calls[0].x.shape[2]
            raise ValueError(
                f"the streams' earlier steps have inputs of width {width}, got x of width {x.shape[2]}."
            )
        if self.rule.lookback and x.shape[1] % self.rule.every:
            raise ValueError(
                f"{self.rule} sends errors back every {self.rule.every} steps, so a call takes a multiple of "
                f"{self.rule.every} steps, got {x.shape[1]}."
            )
