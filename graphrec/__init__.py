"""graphrec: recurrent, recursive and graph neural networks as one thing.

States of nodes are updated from the states of their predecessors. The structure says who depends on whom, the
schedule when each node is updated, the cell how, and the engine runs it.

The public names are those of `__init__.pyi`; each is imported when it is first asked for.
"""

import lazy_loader

from . import (
    clib,
    registered,  # noqa: F401  (for what it tells torch)
)

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

clib.say_if_missing()
