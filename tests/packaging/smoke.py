"""An installed graphrec, looked at from outside of its repository: `python -I smoke.py`. `make wheel-check` runs it.

It needs what a plain `pip install graphrec` brings, and nothing else.
"""

import sys
from importlib.metadata import files, version
from importlib.util import find_spec
from pathlib import Path

import torch

import graphrec as gr

REPOSITORY = Path(__file__).resolve().parents[2]


def check_files() -> None:
    """The package is the installed one, whole, and nothing beside it was installed."""
    folder = Path(gr.__file__).parent
    assert folder != REPOSITORY / "graphrec", f"{folder} is the checkout: run this with python -I"
    assert gr.__version__ == version("graphrec"), (gr.__version__, version("graphrec"))
    found = [str(file) for file in files("graphrec") or []]
    others = [
        name for name in found if not name.startswith(("graphrec/", f"graphrec-{gr.__version__}.dist-info/"))
    ]
    assert not others, f"installed beside the package: {others}"
    assert not [name for name in found if name.endswith((".cpp", ".h"))], (
        "sources of the native library in the wheel"
    )
    for name in ("py.typed", "__init__.pyi"):
        assert (folder / name).is_file(), f"{name} is missing"
    for path in (REPOSITORY / "graphrec" / ".agents").rglob("*"):
        assert (folder / path.relative_to(REPOSITORY / "graphrec")).exists(), f"{path} is missing"


def check_native() -> None:
    """The native library is there and loads."""
    native = next(backend for backend in gr.backends() if backend.name == "native")
    assert native.missing is None, native.missing


def check_runs() -> None:
    """Forwards and backwards, by the fastest backend as by the loop."""
    graph = torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])
    runs = {
        "chains": (gr.GRU(4, 5), gr.chains([5, 3, 7])),
        "a tree": (gr.TreeLSTM(4, 5), gr.tree("(3 (2 It) (4 (2 's) (4 good)))")),
        "a DAG": (gr.DAGNN(4, 5), gr.dag([[0, 1, 0, 2], [1, 2, 2, 3]], 4)),
        "a graph": (gr.GNN([gr.GCNCell(4, 5), gr.GATCell(5, 5)]), graph),
    }
    for name, (model, s) in runs.items():
        nodes = s.num_nodes if isinstance(s, gr.Structure) else 3
        x = torch.randn(nodes, 4, requires_grad=True)
        found = []
        for backend in (None, "loop"):
            h = model(x, s, backend=backend)
            gradient = torch.autograd.grad(h.square().sum(), [x, *model.parameters()])
            found.append([h, *gradient])
        for got, expected in zip(*found, strict=True):
            torch.testing.assert_close(
                got, expected, rtol=1e-4, atol=1e-5, msg=lambda text, of=name: f"{of}: {text}"
            )


def check_extras() -> None:
    """What an extra brings is asked for by its name."""
    if find_spec("matplotlib") is not None:
        return
    message = ""
    try:
        gr.viz.draw_tree(gr.tree("(a b c)"))
    except ImportError as error:
        message = str(error)
    assert "graphrec[viz]" in message, message


if __name__ == "__main__":
    torch.manual_seed(0)
    for check in (check_files, check_native, check_runs, check_extras):
        check()
    sys.stdout.write(f"graphrec {gr.__version__} in {Path(gr.__file__).parent}: installed as it should be\n")
