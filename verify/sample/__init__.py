"""Evidence: every claim sampled on the weights as they are. Imported on first use: whoever prints a report samples nothing."""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"report": ["Pieces", "Report", "ViolationRate", "WorstPoint", "clopper_pearson"], "sample": ["verify", "verify_network"]},
)

if TYPE_CHECKING:
    from .report import Pieces as Pieces
    from .report import Report as Report
    from .report import ViolationRate as ViolationRate
    from .report import WorstPoint as WorstPoint
    from .report import clopper_pearson as clopper_pearson
    from .sample import verify as verify
    from .sample import verify_network as verify_network
