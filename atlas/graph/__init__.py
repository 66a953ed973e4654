"""Task graphs: functions composed of blocks, E^L pieces from L·E subtasks (Theorems 5.2 and 5.3)."""

from .graph import TaskGraph, Trace
from .lower import as_graph
from .nodes import Block, Combine, Input, Node, component_names, expression_map
from .sampling import all_points
from .tiling import CLOSED, BoxPiece, Tiling

__all__ = [
    "CLOSED",
    "Block",
    "BoxPiece",
    "Combine",
    "Input",
    "Node",
    "TaskGraph",
    "Tiling",
    "Trace",
    "all_points",
    "as_graph",
    "component_names",
    "expression_map",
]
