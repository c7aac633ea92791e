"""Trees and DAGs with labels, each an `InMemoryDataset` of PyG whose samples know their levels.

`TreeDataset` is what a data set of one's own is made from; the others read published corpora. Nothing here is loaded
until it is asked for: `import graphrec.datasets`, or `graphrec.datasets` as an attribute.

Belongs here: finding, checking and caching samples of corpora. Does not: data files (they lie in `/datasets`), what
examples draw or generate (`/examples/data`), formats of single structures (io).
"""

from ._base import Samples, TreeDataset, store
from ._files import cache_folder, checksum, fault, fetch, raw_file, raw_folder, read_lines, read_text
from .listops import ListOps
from .logic import Logic
from .nas import ENAS
from .sst import SST

__all__ = [
    "ENAS",
    "SST",
    "ListOps",
    "Logic",
    "Samples",
    "TreeDataset",
    "cache_folder",
    "checksum",
    "fault",
    "fetch",
    "raw_file",
    "raw_folder",
    "read_lines",
    "read_text",
    "store",
]
