"""Tensor products of splines: what interpolates a table."""

from .axis import Axis
from .interpolate import INTERPOLATIONS, interpolant
from .spline import Spline

__all__ = ["INTERPOLATIONS", "Axis", "Spline", "interpolant"]
