"""What the user gives: charts, partitions of unity, targets; as sympy objects or a TOML file."""

from ..expressions.box import Array, Box
from ..expressions.maps import ExpressionMap
from ..expressions.parse import caret, format_expression, parse_expression
from .atlas import Atlas
from .ball import ball_atlas
from .chart import BallChart, Chart, Piece
from .domain import Domain
from .graph import Block, BoxPiece, Combine, Input, TaskGraph, Tiling, Trace
from .lint import lint
from .manifolds import LIBRARY, Entry, builtin, embed, product
from .partition import PartitionOfUnity
from .points import Points, concatenate
from .power import power_atlas
from .spec.task import load_task, task_from_spec, task_to_spec
from .task import CallableTarget, ChartTarget, ExpressionTarget, ManifoldTask, StackedTarget, Target
from .wanted import Wanted

__all__ = [
    "LIBRARY",
    "Array",
    "Atlas",
    "BallChart",
    "Block",
    "Box",
    "BoxPiece",
    "CallableTarget",
    "Chart",
    "ChartTarget",
    "Combine",
    "Domain",
    "Entry",
    "ExpressionMap",
    "ExpressionTarget",
    "Input",
    "ManifoldTask",
    "PartitionOfUnity",
    "Piece",
    "Points",
    "StackedTarget",
    "Target",
    "TaskGraph",
    "Tiling",
    "Trace",
    "Wanted",
    "ball_atlas",
    "builtin",
    "caret",
    "concatenate",
    "embed",
    "format_expression",
    "lint",
    "load_task",
    "parse_expression",
    "power_atlas",
    "product",
    "task_from_spec",
    "task_to_spec",
]
