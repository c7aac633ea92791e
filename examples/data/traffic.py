"""Series of sensors on roads: drawn ones, and the public files of METR-LA, PEMS-BAY and PEMS03 to PEMS08."""

from __future__ import annotations

from typing import NamedTuple

import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from graphrec import Structure, dag
from graphrec.structure.checks import as_count, as_whole_numbers

DAY = 288  # steps of five minutes


class Traffic(NamedTuple):
    """N sensors over T steps of five minutes.

    Attributes:
        values: `[T, N]`, what they measured, 0 where that is missing.
        observed: `[T, N]` bool, where it is not.
        time_of_day: `[T]`, from 0 to 1.
        graph: of the sensors, with weights by their distance, see `road_graph`; their names, if any, are tokens.
    """

    values: Tensor
    observed: Tensor
    time_of_day: Tensor
    graph: Structure


def road_graph(
    ends: Tensor,
    distances: Tensor,
    num_sensors: int,
    threshold: float = 0.1,
    names: tuple[str, ...] | None = None,
) -> Structure:
    """Sensors joined where the road from one to the other is short.

    W_ij = exp(-(d_ij / s)^2) where that is at least the threshold, s the standard deviation of the distances

    Li, Yu, Shahabi & Liu, *Diffusion convolutional recurrent neural network*, ICLR 2018, section 4, as in the authors'
    code: the distances are those that are listed, in each direction its own.

    Args:
        ends: `[2, P]` long, from which sensor to which; pairs that are not listed are not joined.
        distances: `[P]`, by road.
        num_sensors: N.
        threshold: the least weight.
        names: of the sensors.

    Raises:
        ValueError: negative distances, a pair that is listed twice, or ends that are no sensors.
    """
    size = as_count("num_sensors", num_sensors)
    ends = as_whole_numbers(ends, "ends must hold the numbers of sensors, in two rows")
    distances = torch.as_tensor(distances).double()
    if ends.dim() != 2 or ends.shape[0] != 2 or distances.shape != ends.shape[1:]:
        raise ValueError(
            f"expected ends [2, P] and distances [P], got {list(ends.shape)} and {list(distances.shape)}."
        )
    odd = (~((distances >= 0) & distances.isfinite())).nonzero().flatten()
    if len(odd):
        raise ValueError(
            f"distances must be 0 or more, and finite, got {float(distances[odd[0]])} for pair {int(odd[0])}."
        )
    graph = dag(ends, size)  # refuses ends that are not there
    pair, count = torch.unique(graph.source * size + graph.target, return_counts=True)
    if bool((count > 1).any()):
        twice = int(pair[count > 1][0])
        raise ValueError(
            f"the distance from sensor {twice // size} to sensor {twice % size} is listed twice."
        )
    spread = float(distances.std(correction=0)) if len(distances) else 0.0
    weight = torch.exp(-((distances / spread) ** 2)) if spread else torch.ones_like(distances)
    near = weight >= threshold
    return Structure(size, graph.edge_index[:, near], edge_weight=weight[near].float(), tokens=names)


def road_traffic(days: int = 8, roads: int = 4, sensors: int = 10, seed: int = 0) -> Traffic:
    """Speeds on crossing roads, in which jams begin by chance and travel against the traffic.

    A road is a line of sensors one way, any two roads cross once. A share c of the traffic at a sensor is jammed:

    c_{t+1} = 0.4 c_t + 0.58 (mean of c_t at the next sensors downstream), and at an incident at least its strength

    Incidents last 15 to 45 minutes and are likelier at rush hours. The speed is that of the free road, from 60 to 70,
    15 % less at rush hours, times 1 - 0.75 c, with noise of 1; 2 % of the values are missing. So the speed half an
    hour from now is told by the sensors downstream, and hardly by the sensor's own past.

    Args:
        days: of 288 steps.
        roads, sensors: how many roads, and sensors on each.
        seed: of the random numbers: the same seed, the same series.

    Raises:
        ValueError: no days, roads or sensors.
    """
    for name, value in (("days", days), ("roads", roads), ("sensors", sensors)):
        as_count(name, value, 1)
    draw = torch.Generator().manual_seed(seed)
    size, steps = roads * sensors, days * DAY
    lengths = _roads(roads, sensors, draw)
    time = torch.arange(steps) / DAY % 1
    rush = torch.exp(-(((24 * time - 8) / 1.2) ** 2)) + torch.exp(-(((24 * time - 17.5) / 1.5) ** 2))
    free = 60 + 10 * torch.rand(size, generator=draw)
    jam = _jams(lengths, rush, draw)
    speed = free * (1 - 0.15 * rush[:, None]) * (1 - 0.75 * jam)
    speed = (speed + torch.randn(steps, size, generator=draw)).clamp(min=1)
    observed = torch.rand(steps, size, generator=draw) >= 0.02
    by_road = torch.from_numpy(dijkstra(lengths, limit=8.0))
    ends = by_road.isfinite().nonzero().t()
    graph = road_graph(ends, by_road[ends[0], ends[1]], size)
    return Traffic(speed * observed, observed, time, graph)


def _roads(roads: int, sensors: int, draw: torch.Generator) -> sp.csr_array:
    """`[N, N]`: the length of road from each sensor to the next, in kilometres."""
    first = torch.arange(roads * sensors).view(roads, sensors)
    one, other = torch.triu_indices(roads, roads, offset=1)
    a, b = (first[road, torch.randint(sensors, road.shape, generator=draw)] for road in (one, other))
    source = torch.cat([first[:, :-1].flatten(), a, b])
    target = torch.cat([first[:, 1:].flatten(), b, a])
    along = 0.8 + 0.8 * torch.rand(roads * (sensors - 1), generator=draw)
    across = 0.3 + 0.5 * torch.rand(len(a), generator=draw).repeat(2)
    length = torch.cat([along, across]).double().numpy()
    return sp.csr_array((length, (source.numpy(), target.numpy())), (roads * sensors, roads * sensors))


def _jams(lengths: sp.csr_array, rush: Tensor, draw: torch.Generator) -> Tensor:
    """`[T, N]`: the share of traffic that is jammed."""
    downstream = torch.from_numpy(lengths.toarray() > 0).float()
    steps, size = len(rush), len(downstream)
    begins = torch.rand(steps, size, generator=draw) < 0.004 * (0.3 + rush[:, None])
    strength = 0.5 + 0.5 * torch.rand(steps, size, generator=draw)
    lasts = torch.randint(3, 10, (steps, size), generator=draw)
    downstream = 0.58 * downstream / downstream.sum(1, keepdim=True).clamp(min=1)
    jam, now, left = [], torch.zeros(size), torch.zeros(size, dtype=torch.long)
    level = torch.zeros(size)
    for t in range(steps):
        level = torch.where(begins[t], strength[t], level)
        left = torch.where(begins[t], lasts[t], left - 1)
        now = torch.where(left > 0, torch.maximum(now, level), now)
        jam.append(now)
        now = 0.4 * now + downstream @ now
    return torch.stack(jam)
