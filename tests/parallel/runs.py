"""Models that run in several threads and processes, and what they compute."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.data import Data

import graphrec as gr

# By name: how a model is made, whose runs take different ways, and over which structure it runs.
MODELS: dict[str, Any] = {
    "torch's operators": lambda: (gr.GRU(3, 4), gr.chains([4, 0, 7, 2])),
    "a scan": lambda: (gr.Recursive(gr.MinGRUCell(3, 4)), gr.chains([9, 5, 30])),
    "levels": lambda: (gr.TreeLSTM(3, 4), gr.batch([gr.tree("(1 (2 a b) (3 c))"), gr.tree("(1 a (2 b c))")])),
    "both directions": lambda: (gr.UpDown(gr.TreeGRU(3, 4), gr.TreeGRU(7, 4)), gr.grid([3, 2], 2)),
    "rounds": lambda: (gr.GNN([gr.GCNCell(3, 4), gr.GATCell(4, 4)]), gr.dag([[0, 1, 2, 3], [1, 2, 0, 1]])),
    "layers of PyG": lambda: (gr.DAGNN(3, 4), gr.dag([[0, 0, 1, 2], [1, 2, 3, 3]], 5)),
}


def made(name: str) -> tuple[Any, gr.Structure, torch.Tensor]:
    """The model, its structure, of which nothing is known yet, and rows: the same each time."""
    torch.manual_seed(0)
    model, s = MODELS[name]()
    return model, s, torch.randn(s.num_nodes, 3)


def results(model: Any, s: gr.Structure, x: torch.Tensor) -> list[torch.Tensor]:
    """The rows, and their gradients in x and all weights."""
    x = x.detach().clone().requires_grad_()
    h = model(x, s)
    return [h.detach(), *torch.autograd.grad(h.sin().sum(), [x, *model.parameters()], materialize_grads=True)]


def results_of(name: str) -> list[Any]:
    """The same of a model made anew, as arrays, which need no shared memory on the way to another process."""
    return [tensor.numpy() for tensor in results(*made(name))]


class Chains(torch.utils.data.Dataset):
    """Structures that a loader's process makes, with schedules that it has compiled."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, number: int) -> gr.Structure:
        s = gr.tree(parents=[-1, *range(number)])
        gr.schedule(s)
        return s


def with_schedule(structures: list[gr.Structure]) -> tuple[gr.Structure, gr.Schedule]:
    """A batch and its schedule, both made in the loader's process."""
    s = gr.batch(structures)
    return s, gr.schedule(s)


class Trees(torch.utils.data.Dataset):
    """PyG's data of trees, which a loader's process makes."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, number: int) -> Data:
        data = gr.to_pyg(gr.tree(parents=[-1, *range(number)]))
        data.x = torch.full((number + 1, 3), float(number))
        return gr.transforms.AddLevels()(data)


def run_plan(plan: gr.Schedule) -> Any:
    """What a cell with the same weights in each process computes by a schedule that came from another one."""
    torch.manual_seed(0)
    return gr.run(gr.TreeGRUCell(3, 4), plan, torch.ones(plan.num_nodes, 3)).h.detach().numpy()
