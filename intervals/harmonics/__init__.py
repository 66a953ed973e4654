"""Sums of spherical harmonics as a `Field`: solid and decaying, their derivatives, their enclosures."""

from .coefficients import Coefficients, potential, read_coefficients, vector_field
from .series import Harmonics
from .solid import count, places

__all__ = ["Coefficients", "Harmonics", "count", "places", "potential", "read_coefficients", "vector_field"]
