"""Lemma 3.1: two-layer ReLU networks fitted to samples by linear algebra."""

from .dictionary import Hint
from .fit import NARROWEST, Effort, Fit, fit, fit_to
from .samples import Sampler, Samples, Target

__all__ = ["NARROWEST", "Effort", "Fit", "Hint", "Sampler", "Samples", "Target", "fit", "fit_to"]
