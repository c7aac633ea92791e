"""Structures that are inputs of a program while it is traced: their tensors have shapes, and no numbers yet."""

from __future__ import annotations

from typing import Any

from .structure import Structure


class TracedStructure(Structure):
    """A structure of tensors that stand for inputs.

    Attributes:
        given: the structure as the program gets it, of which this is the reverse if `backward`.
        backward: see above.
    """

    given: TracedStructure
    backward: bool

    @classmethod
    def of(cls, num_nodes: Any, num_graphs: Any, tensors: dict[str, Any]) -> TracedStructure:
        """A structure of these tensors, which are checked when the program runs."""
        if tensors.get("graph") is None:
            tensors = {**tensors, "graph": tensors["edge_index"].new_zeros(num_nodes)}
        made: Any = cls.counted_out(num_nodes=num_nodes, num_graphs=num_graphs, **tensors)
        made.__dict__.update(given=made, backward=False)
        return made

    def reverse(self) -> TracedStructure:
        """The same nodes and edges with information flowing the other way."""
        if self.backward:
            return self.given
        if "reverse" not in self.cache:
            other = object.__new__(type(self))
            turned = {"edge_index": self.edge_index.flip(0), "backward": True, "cache": {}}
            other.__dict__.update(self.__dict__, **turned)
            self.cache["reverse"] = other
        return self.cache["reverse"]

    def alone(self) -> TracedStructure:
        """Itself: it does not outlive the tracing."""
        return self
