"""Lemma 3.1: two-layer ReLU networks fitted to samples by linear algebra."""

from .dictionary import Hint
from .fit import NARROWEST, Fit, Sampler, Target, fit, fit_to

__all__ = ["NARROWEST", "Fit", "Hint", "Sampler", "Target", "fit", "fit_to"]
