"""Two-layer nets with smooth neurons or product lanes, fitted to samples by linear algebra: `fit`, `fit_to` and `fit_shared`.

What `constructions.relu` is for ReLU; where a target is smooth, the nets here are smaller by orders of magnitude.
"""

from .fit import COSTS, NARROWEST, PATIENT, START, fit, fit_to
from .shared import SharedFit, fit_shared

__all__ = ["COSTS", "NARROWEST", "PATIENT", "START", "SharedFit", "fit", "fit_shared", "fit_to"]
