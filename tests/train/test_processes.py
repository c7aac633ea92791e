"""Several processes give the gradients of one with the union of their batches."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch_geometric.data import Batch, Data

import graphrec as gr
from graphrec import train
from graphrec.learning import RTRL, TruncatedBPTT
from graphrec.train.processes import mean_over_processes
from tests.tolerances import assert_close
from tests.train.runs import trees

QUIET: dict[str, Any] = {"max_steps": 1, "enable_progress_bar": False}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def in_processes(count: int, function: Any) -> None:
    """Call it with each rank, in as many forked processes, as torchrun would start them."""
    port, children = free_port(), []
    for rank in range(count):
        child = os.fork()
        if not child:
            place = {
                "LOCAL_RANK": rank,
                "RANK": rank,
                "WORLD_SIZE": count,
                "NODE_RANK": 0,
                "MASTER_PORT": port,
            }
            os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
            try:
                function(rank)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    while children:  # one that has failed leaves the others waiting for it
        child, status = os.waitpid(-1, 0)
        children.remove(child)
        if status:
            for other in children:
                os.kill(other, signal.SIGKILL)
                os.waitpid(other, 0)
            raise AssertionError(
                f"a process ended with {os.waitstatus_to_exitcode(status)}; see what it printed."
            )


class Recorder(Callback):
    """Keeps the gradients of the first step."""

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.grads = getattr(
            self,
            "grads",
            {
                name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
                for name, p in pl_module.named_parameters()
            },
        )


def node_data() -> list[Data]:
    data = trees(9)
    for i, tree in enumerate(data):
        tree.y = torch.randint(3, (tree.num_nodes,), generator=torch.Generator().manual_seed(i))
        tree.train_mask = torch.arange(tree.num_nodes) % (2 + i % 3) == 0
        tree.val_mask = ~tree.train_mask
    return data


def make_task(kind: str) -> train.Task:
    torch.manual_seed(0)
    sgd = partial(torch.optim.SGD, lr=0.1)
    weight = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    if kind == "nodes":
        made: train.Task = train.NodeTask(
            gr.TreeLSTM(3, 4), nn.Linear(4, 3), train.classification(3, weight=weight), optimizer=sgd
        )
    else:
        rules = {"graphs": None, "truncated": TruncatedBPTT(2), "rtrl": RTRL()}
        model = gr.Recursive(gr.TreeGRUCell(3, 4))
        made = train.GraphTask(
            model, gr.readout.root, nn.Linear(4, 2), train.classification(2), rule=rules[kind], optimizer=sgd
        )
    return made.double()


def make_data(kind: str) -> list[Data]:
    data = node_data() if kind == "nodes" else trees(9)
    for tree in data:
        tree.x = tree.x.double()
    return data


@pytest.mark.parametrize("kind", ["nodes", "graphs", "truncated", "rtrl"])
def test_two_processes_give_the_gradients_of_the_union(kind, tmp_path):
    data = make_data(kind)
    sampler = partial(gr.loader.BalancedSampler, data, 40)
    held_out = gr.DataLoader(data, batch_sampler=gr.loader.InOrderSampler(9, 9))

    def one(rank: int) -> None:
        loader = gr.DataLoader(data, batch_sampler=sampler())
        recorder, task = Recorder(), make_task(kind)
        trainer = train.make_trainer(devices=2, **QUIET, callbacks=[recorder])
        trainer.fit(task, loader, held_out)
        weights = {name: p.detach().clone() for name, p in task.named_parameters()}
        torch.save({"grads": recorder.grads, "weights": weights}, tmp_path / f"{rank}.pt")

    in_processes(2, one)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]

    batches = [next(iter(sampler(rank=rank, world_size=2))) for rank in (0, 1)]
    assert len(batches[0]) != len(batches[1]) or kind == "nodes"
    task, recorder = make_task(kind), Recorder()
    union = [Batch.from_data_list([data[i] for i in batches[0] + batches[1]])]
    train.make_trainer(**QUIET, callbacks=[recorder]).fit(
        task, torch.utils.data.DataLoader(union, batch_size=None), held_out
    )
    for name, grad in recorder.grads.items():
        for part in found:
            assert_close(part["grads"][name], grad, name)
    for name, weight in task.named_parameters():
        assert torch.equal(found[0]["weights"][name], found[1]["weights"][name])
        assert_close(found[0]["weights"][name], weight.detach(), name)
    assert sum(float(grad.abs().sum()) for grad in recorder.grads.values()) > 0


def test_a_mean_over_processes_by_hand(tmp_path):
    def one(rank: int) -> None:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
        w = torch.ones((), requires_grad=True, dtype=torch.float64)
        losses = w * torch.tensor([[1.0, 2.0, 3.0], [10.0]][rank], dtype=torch.float64)
        loss, count = mean_over_processes(losses, 0)
        (grad,) = torch.autograd.grad(loss, w)
        assert count == [3, 1][rank]
        torch.distributed.all_reduce(grad)
        assert float(grad / 2) == pytest.approx(16 / 4)  # DDP's mean
        with pytest.raises(ValueError, match="one number, and in several processes"):
            mean_over_processes(losses.mean(), 3)
        nothing, _ = mean_over_processes(losses[:0], 0)
        assert float(nothing.detach()) == 0

    in_processes(2, one)


def test_validation_of_two_processes_is_that_of_one(tmp_path):
    data = make_data("graphs")

    def scores(**options: Any) -> dict[str, float]:
        samples = train.Samples(data[:4], data[4:], data[4:], batches=2)
        return train.test(make_task("graphs"), samples, **options)

    def one(rank: int) -> None:
        torch.save(scores(devices=2), tmp_path / f"{rank}.pt")

    in_processes(2, one)
    expected = scores()
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx(expected)


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {root!r})
from tests.train.runs import samples, task
from graphrec import train
folder, devices, nodes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
train.fit(task(), samples(), folder, max_epochs=2, devices=devices, num_nodes=nodes)
"""


@pytest.mark.slow
@pytest.mark.parametrize("nodes", [1, 2])
def test_torchrun(nodes, tmp_path):
    """Two processes on one machine, and two machines (two agents on the loopback) of one process each."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(root=str(Path(__file__).parents[2])))
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "torch.distributed.run",
        f"--nproc-per-node={2 // nodes}",
        f"--nnodes={nodes}",
    ]
    command += [
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint=127.0.0.1:{free_port()}",
        "--rdzv-id=test",
        "--local-addr=127.0.0.1",
    ]
    command += [str(script), str(tmp_path / "run"), str(2 // nodes), str(nodes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    agents = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(nodes)
    ]
    said = [agent.communicate(timeout=500) for agent in agents]
    assert [agent.returncode for agent in agents] == [0] * nodes, said
    assert (tmp_path / "run" / "done.json").exists()
    rows = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert len(rows) == 3
    assert "".join(out for out, _ in said).count("epoch   2") == 1
