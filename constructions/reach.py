"""`Reach`: the values of components, enclosed when somebody asks for them, and not before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..atlas import Block, Combine, Input, TaskGraph
from .ranges import Values, block_values, combine_values, finite, input_values


class Reach(Mapping[str, Values]):
    """Component ↦ all values that it has in the task (`ranges`).

    A block that reads inputs exactly asks for none, so a task whose values cannot be enclosed is compiled as long as nothing reads them.
    """

    def __init__(self, graph: TaskGraph) -> None:
        self.graph = graph
        self._known: dict[str, Values] = {}

    def __getitem__(self, name: str) -> Values:
        """Raises `InvalidArgument` naming the node whose values cannot be bounded."""
        if name not in self._known:
            node = self.graph.sources[name]
            read = [self[name] for name in node.reads]
            match node:
                case Input():
                    found = input_values(node)
                case Block():
                    found = block_values(node, read)
                case Combine():
                    found = combine_values(node, read)
            self._known |= zip(node.components, finite(self.graph, node.components, found), strict=True)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.graph.sources)

    def __len__(self) -> int:
        return len(self.graph.sources)
