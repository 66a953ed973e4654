"""Does it hold? Samples every claim on the weights as they are; imports data types only, never a builder."""

from .promise import ScorePromise
from .report import Report, ViolationRate, WorstPoint, clopper_pearson
from .sample import verify, verify_network

__all__ = ["Report", "ScorePromise", "ViolationRate", "WorstPoint", "clopper_pearson", "verify", "verify_network"]
