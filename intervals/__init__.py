"""Intervals of floats that provably contain real results: their arithmetic, elementary functions and expressions over them."""

from .algebra import Algebra, Decision, NotEnclosed
from .arithmetic import Flags, Interval, outward
from .curvature import CurvatureEnclosure
from .decoration import Decoration
from .extension import NaturalEnclosure
from .jets import Jet
from .numbers import enclose_number
from .program import Program

__all__ = [
    "Algebra",
    "CurvatureEnclosure",
    "Decision",
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
