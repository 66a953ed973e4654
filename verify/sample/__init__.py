"""Evidence: every claim sampled on the weights as they are."""

from .report import Pieces, Report, ViolationRate, WorstPoint, clopper_pearson
from .sample import verify, verify_network

__all__ = ["Pieces", "Report", "ViolationRate", "WorstPoint", "clopper_pearson", "verify", "verify_network"]
