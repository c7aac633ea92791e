"""graphrec: recurrent, recursive and graph neural networks as one thing.

States of nodes are updated from the states of their predecessors. The structure says who depends on whom, the
schedule when each node is updated, the cell how, and the engine runs it.

The public names are those of `__init__.pyi`; each is imported when it is first asked for.
"""

from threading import RLock

import lazy_loader

from . import (
    clib,
    registered,  # noqa: F401  (for what it tells torch)
)

__version__ = "0.2.0"  # (the one place: the build reads it here)

# What has left, and what says the same now.
_LEFT = {
    "RMLP": "graphrec.Stacked([graphrec.SRN(d, h) for d, h in pairwise([inputs, *widths])])",
    "StateSpace": "torch.nn.Linear(hidden, outputs, bias=False) over the rows of graphrec.SRN(inputs, hidden)",
}

_find, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
# `from graphrec import *` needs no Lightning; `gr.train` does.
__all__.remove("train")  # pyright: ignore[reportUnsupportedDunderAll]
# Threads import one after another: else one may see packages half made whose modules import each other (PyG, too).
_importing = RLock()


def __getattr__(name: str) -> object:
    if name in _LEFT:
        raise AttributeError(f"graphrec.{name} has left the library: write {_LEFT[name]}.")
    longer = [known for known in __dir__() if known.startswith(name) and known != name]
    if longer and name not in __dir__():
        raise AttributeError(f"graphrec has no {name}: is {' or '.join(longer)} meant?")
    with _importing:
        return _find(name)


clib.say_if_missing()
