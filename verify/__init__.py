"""Does it hold? Samples every claim on the weights as they are; imports data types only, never a builder."""

from .check import CheckReport, check
from .graph import GraphPromise
from .promise import ScorePromise
from .report import Pieces, Report, ViolationRate, WorstPoint, clopper_pearson
from .sample import verify, verify_network

__all__ = [
    "CheckReport",
    "GraphPromise",
    "Pieces",
    "Report",
    "ScorePromise",
    "ViolationRate",
    "WorstPoint",
    "check",
    "clopper_pearson",
    "verify",
    "verify_network",
]
