"""Importing graphrec costs little more than torch does: each name is imported when it is first asked for, wherever."""

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import graphrec as gr

ROOT = Path(__file__).parents[2]
slow = pytest.mark.slow


def assert_runs(script: str, *options: str) -> str:
    """What a script prints in a process of its own, with warnings as errors where they are of graphrec's making."""
    command = [sys.executable, *options, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_little_is_imported_with_graphrec():
    assert_runs(
        """
        import sys
        import torch
        before = set(sys.modules)
        import graphrec as gr

        new = set(sys.modules) - before
        assert len([name for name in new if name.startswith("graphrec")]) < 80, sorted(new)
        heavy = {"torch_geometric", "torch._dynamo", "scipy", "networkx", "matplotlib", "lightning", "pandas"}
        assert not heavy & new, heavy & new

        # A function that is called as a package is stays the function, whichever is imported first.
        import graphrec.schedule.levels
        assert gr.schedule(gr.chain(3)).num_nodes == 3
        """
    )


def test_more_is_imported_when_it_is_asked_for():
    assert_runs(
        """
        import sys
        import graphrec as gr

        assert gr.tree([["a"], "b"]).num_nodes == 4
        assert "torch_geometric" not in sys.modules
        import graphrec.io
        assert {*dir(graphrec.io)} >= {"as_structure", "circuits", "tree"}
        assert graphrec.io.to_pyg(gr.chain(2)).num_nodes == 2

        assert "graphrec.io.circuits" not in sys.modules
        gr.io.circuits.read_aiger

        import graphrec.viz
        assert "matplotlib" not in sys.modules
        """,
        *("-W", "ignore"),
    )


@slow
def test_a_first_run_imports_what_it_needs():
    assert_runs(
        """
        import sys
        import torch, torch_geometric
        before = set(sys.modules)
        import graphrec as gr
        import graphrec.backends.choice

        assert {backend.name for backend in gr.backends()} > {"loop"}
        gr.TreeLSTM(4, 4)(torch.ones(3, 4), gr.dag([[0, 1], [2, 2]], 3)).sum().backward()
        new = set(sys.modules) - before
        unused = {"scipy", "networkx", "matplotlib", "graphrec.learning", "graphrec.viz", "graphrec.datasets"}
        assert not unused & new, unused & new
        """
    )


def test_names_are_those_of_the_stub():
    stub = (Path(gr.__file__).with_name("__init__.pyi")).read_text(encoding="utf-8")
    assert {*dir(gr)} - {*gr.__all__} <= {"train"}  # (which needs an extra)
    for name in gr.__all__:
        assert getattr(gr, name) is not None
        assert f"{name} as {name}" in stub
    found: dict[str, object] = {}
    exec("from graphrec import *", found)
    assert set(gr.__all__) <= set(found)
    assert callable(gr.schedule)
    assert callable(gr.backends)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="TreeLSTMM") as caught:
        _ = gr.TreeLSTMM
    assert (caught.value.name, caught.value.obj) == ("TreeLSTMM", gr)  # by which Python finds what was meant


def test_the_beginning_of_a_name_is_answered_by_the_names():
    with pytest.raises(AttributeError, match=r"no GAT: is GATCell or GATv2Cell meant\?"):
        _ = gr.GAT
    assert callable(gr.tree)  # (which is the beginning of others)


@pytest.mark.parametrize(("name", "now"), [("RMLP", "graphrec.Stacked"), ("StateSpace", "torch.nn.Linear")])
def test_what_has_left_says_what_to_write(name, now):
    with pytest.raises(AttributeError, match=f"graphrec.{name} has left the library: write {now}"):
        getattr(gr, name)


@pytest.mark.parametrize("made", [gr.GRU(2, 3), gr.chain(3), gr.schedule, gr.readout.root, gr.backends])
def test_what_is_found_by_a_lazy_name_is_pickled(made):
    assert type(pickle.loads(pickle.dumps(made))) is type(made)


FIRST_USES = {
    "compiled": """
        @torch.compile(backend="eager")
        def f(x):
            return gr.readout.root(gr.run(cell, plan, x).h.sum(1, keepdim=True), s)

        import graphrec as gr
        s = gr.chain(3)
        plan, cell = gr.schedule(s), gr.SRNCell(2, 3)
        assert f(torch.ones(3, 2)).shape == (1, 1)
        """,
    "vmap of grad": """
        import graphrec as gr
        f = lambda x: gr.GRU(2, 3)(x, gr.chain(3)).sum()
        assert torch.func.vmap(torch.func.grad(f), randomness="same")(torch.ones(5, 3, 2)).shape == (5, 3, 2)
        """,
    "fake tensors": """
        import graphrec as gr
        from torch._subclasses.fake_tensor import FakeTensorMode
        s = gr.chain(3)
        with FakeTensorMode():
            assert gr.GRU(2, 3)(torch.ones(3, 2), s).shape == (3, 3)
        assert gr.GRU(2, 3)(torch.ones(3, 2), s).isfinite().all()
        """,
    "inference mode": """
        import graphrec as gr
        with torch.inference_mode():
            gr.GRU(2, 3)(torch.ones(3, 2), gr.chain(3))
        gr.GRU(2, 3)(torch.ones(3, 2), gr.chain(3)).sum().backward()
        """,
    "threads": """
        from concurrent.futures import ThreadPoolExecutor
        import graphrec as gr
        names = ["GRU", "learning", "TreeLSTM", "io", "schedule", "backends", "viz", "run", "readout", "dynamics"]
        with ThreadPoolExecutor(20) as pool:
            found = list(pool.map(lambda name: getattr(gr, name), names * 4))
        assert found[:10] * 4 == found
        assert found[0](2, 3)(torch.ones(3, 2), gr.chain(3)).shape == (3, 3)
        """,
}


@slow
@pytest.mark.parametrize("name", FIRST_USES)
def test_first_use_may_be_anywhere(name):
    assert_runs("import torch\n" + textwrap.dedent(FIRST_USES[name]))


@slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_first_use_may_be_in_a_loader_process(tmp_path, method):
    script = tmp_path / "load.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import torch, graphrec as gr

            class Chains(torch.utils.data.Dataset):
                def __len__(self):
                    return 6
                def __getitem__(self, number):
                    return gr.chain(number + 1)

            if __name__ == "__main__":
                loader = torch.utils.data.DataLoader(
                    Chains(), batch_size=3, num_workers=2, collate_fn=gr.batch, multiprocessing_context="{method}"
                )
                assert [s.num_nodes for s in loader] == [6, 15]
            """
        )
    )
    done = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True, env=None)
    assert done.returncode == 0, done.stderr
