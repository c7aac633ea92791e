"""LSTM and GRU on rollouts with resets inside: graphrec beside the loops and the padding that people write.

One layer, from a rollout `[T, B, D]`, its resets and the state to go on from to the states of all steps, the gradients
of inputs and weights included. Whatever has to be found out of the resets is found in the time measured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import graphrec as gr

from . import pictures
from .contending import Contender, Row, table, time_all
from .peers.contender import assign

# As the issue has it; and that of a well-known recurrent PPO (8 environments, 128 steps), which is that of acting, too.
SHAPES = ((128, 128, 256), (128, 8, 128))  # T, B, H
QUICK = (16, 8, 32)
RESETS = 0.03  # the share of first steps
NETS: dict[str, Any] = {"LSTM": nn.LSTM, "GRU": nn.GRU}
CELLS: dict[str, Any] = {"LSTM": nn.LSTMCell, "GRU": nn.GRUCell}

State = tuple[Tensor, ...]


class Rollout(NamedTuple):
    """Inputs `[T, B, D]`, where episodes begin `[T, B]`, and the fields of the state that is carried over, `[B, H]`."""

    x: Tensor
    is_first: Tensor
    state: State


def run(rounds: int, quick: bool, out: Path) -> list[Row]:
    """Print the table, draw `episodes.png` into `out`."""
    rows: list[Row] = []
    for net in NETS:
        for time, batch, hidden in [QUICK] if quick else SHAPES:
            rows += time_all(
                net, f"({time}, {batch}, {hidden})", contenders(net, time, batch, hidden), rounds
            )
    print(
        f"\nfloat32: ms, median of {rounds} rounds (lowest to highest); {RESETS:.0%} of the steps are resets"
    )
    print("and how many times graphrec's time it is; the most memory that a run needs\n")
    print(table(rows, "(T, B, H)"), end="\n\n")
    pictures.draw_rows(rows, out / "episodes.png")
    return rows


def contenders(net: str, time: int, batch: int, hidden: int) -> dict[str, Contender]:
    """All with the same weights, on the same rollout."""
    torch.manual_seed(0)
    layer = NETS[net](hidden, hidden)
    cell = CELLS[net](hidden, hidden)
    for name, weight in cell.named_parameters():
        assign(weight, getattr(layer, f"{name}_l0"))
    generator = torch.Generator().manual_seed(0)
    fields = 2 if net == "LSTM" else 1
    rollout = Rollout(
        torch.randn(time, batch, hidden, generator=generator),
        torch.rand(time, batch, generator=generator) < RESETS,
        tuple(torch.randn(batch, hidden, generator=generator) for _ in range(fields)),
    )
    ways: dict[str, tuple[nn.Module, Callable[..., Tensor]]] = {
        "graphrec": (gr.from_torch(layer), ours),
        "a loop over torch's cell": (cell, loop_over_cell),
        "torch's layer, a step a call": (layer, loop_over_layer),
        "torch's layer, split and padded": (layer, split_and_padded),
        "torch's layer, split and packed": (layer, partial(split_and_padded, packed=True)),
    }
    return {
        name: Contender(module, rollout.x, partial(forward, module, rollout))
        for name, (module, forward) in ways.items()
    }


def ours(net: Any, rollout: Rollout, x: Tensor) -> Tensor:
    """One call, as the first one on a rollout: what is known of an is_first seen before is not used."""
    state = _as_given([field.unsqueeze(0) for field in rollout.state])
    return net(x, state, is_first=rollout.is_first.clone())[0]


def loop_over_cell(cell: Any, rollout: Rollout, x: Tensor) -> Tensor:
    """A step at a time; at a reset the state is multiplied by zero."""
    rows, state = [], rollout.state
    goes_on = (~rollout.is_first).to(x.dtype).unsqueeze(2)
    for x_t, keep in zip(x, goes_on, strict=True):
        state = _fields(cell(x_t, _as_given([field * keep for field in state])))
        rows.append(state[0])
    return torch.stack(rows)


def loop_over_layer(layer: Any, rollout: Rollout, x: Tensor) -> Tensor:
    """The same with torch's layer, called on one step, as CleanRL's recurrent PPO does."""
    rows, state = [], tuple(field.unsqueeze(0) for field in rollout.state)
    goes_on = (~rollout.is_first).to(x.dtype).unsqueeze(2)
    for x_t, keep in zip(x.split(1), goes_on, strict=True):
        row, after = layer(x_t, _as_given([field * keep for field in state]))
        rows.append(row)
        state = _fields(after)
    return torch.cat(rows)


def split_and_padded(layer: Any, rollout: Rollout, x: Tensor, packed: bool = False) -> Tensor:
    """A sequence for each episode, all padded to the longest one, and back; as stable-baselines3's and TorchRL's do."""
    time, batch = rollout.is_first.shape
    begins = rollout.is_first.t().clone()
    begins[:, 0] = True
    first = begins.flatten().nonzero().flatten()
    lengths = torch.diff(first, append=torch.tensor([time * batch]))
    column, start = first // time, first % time
    goes_on = (start == 0) & ~rollout.is_first[0, column]
    fields = [(field[column] * goes_on.unsqueeze(1)).unsqueeze(0) for field in rollout.state]
    step = torch.arange(int(lengths.max())).unsqueeze(1)
    is_step = step < lengths
    place = is_step.flatten().nonzero().flatten()
    row = ((start + step) * batch + column)[is_step]
    rows = x.flatten(0, 1).index_select(0, row)
    padded = rows.new_zeros(is_step.numel(), x.shape[2]).index_copy(0, place, rows).view(*is_step.shape, -1)
    if packed:
        sequences = pack_padded_sequence(padded, lengths, enforce_sorted=False)
        h = pad_packed_sequence(layer(sequences, _as_given(fields))[0])[0]
    else:
        h = layer(padded, _as_given(fields))[0]
    found = h.flatten(0, 1).index_select(0, place)
    return found.new_zeros(time * batch, h.shape[2]).index_copy(0, row, found).view(time, batch, -1)


def _fields(state: Any) -> State:
    return state if isinstance(state, tuple) else (state,)


def _as_given(fields: list[Tensor]) -> Any:
    """As torch's layers and cells take a state."""
    return tuple(fields) if len(fields) > 1 else fields[0]
