"""Intervals of floats that provably contain real results: their arithmetic, elementary functions and expressions over them."""

from .arithmetic import Flags, Interval, outward
from .curvature import CurvatureEnclosure, Jet
from .decoration import Decoration
from .natural import NaturalEnclosure
from .numbers import enclose_number
from .program import Algebra, NotEnclosed, Program

__all__ = [
    "Algebra",
    "CurvatureEnclosure",
    "Decoration",
    "Flags",
    "Interval",
    "Jet",
    "NaturalEnclosure",
    "NotEnclosed",
    "Program",
    "enclose_number",
    "outward",
]
