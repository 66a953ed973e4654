"""What the user gives: charts, partitions of unity, targets; as sympy objects or a TOML file."""

from .atlas import Atlas, Points, concatenate
from .box import Array, Box
from .chart import BallChart, Chart, Piece
from .functions import ExpressionMap
from .partition import PartitionOfUnity
from .task import CallableTarget, ChartTarget, ExpressionTarget, ManifoldTask, Target

__all__ = [
    "Array",
    "Atlas",
    "BallChart",
    "Box",
    "CallableTarget",
    "Chart",
    "ChartTarget",
    "ExpressionMap",
    "ExpressionTarget",
    "ManifoldTask",
    "PartitionOfUnity",
    "Piece",
    "Points",
    "Target",
    "concatenate",
]
