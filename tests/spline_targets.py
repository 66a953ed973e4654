"""Functions of one variable to approximate by splines: smooth, kinked, singular."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import sympy
from atlasmoe.expressions.maps import ExpressionMap

t = sympy.Symbol("t", real=True)
DENSE = np.linspace(0, 1, 100_001)

SMOOTH_TARGETS = {
    "sin": sympy.sin(8.5 * t),
    "oscillatory": sympy.sin(33 * t),
    "Runge": 1 / (1 + 25 * (2 * t - 1) ** 2),
    "exp": sympy.exp(3 * t),
    "layer": sympy.tanh(60 * (t - 0.37)),
    "root": sympy.sqrt(t + 0.01),
    "fractional": (t + 0.1) ** 1.7,
    "angle": sympy.atan2(sympy.sin(3 * t), sympy.cos(3 * t) + 2),
    "chirp": sympy.exp(-3 * t) * sympy.sin(40 * t**2),
}
KINKED_TARGETS = {
    "abs": sympy.Abs(t - 0.3137) + sympy.sin(3 * t),
    "abs sin": sympy.Abs(sympy.sin(9 * t)),
    "branches": sympy.Piecewise((t**2, t < 0.5), (sympy.Rational(1, 4) + sympy.sin(t - 0.5), True)),
    "nested": sympy.Max(0, sympy.Max(0, t - 0.2) - 0.1) + sympy.Min(t, sympy.cos(3 * t)),
    "smooth switch": sympy.Max(0, t - 0.4) ** 4,
}
SINGULAR_TARGETS = {
    "cusp": sympy.Abs(t - 0.3) ** sympy.Rational(3, 2),
    "root of 0": sympy.sqrt(t),
    "root of a kink": sympy.sqrt(sympy.Abs(t - 0.3)),
}
"""F″ unbounded: bounds of F′ and of F have to do near the singularity."""
TARGETS = SMOOTH_TARGETS | KINKED_TARGETS | SINGULAR_TARGETS


def compiled(e: sympy.Expr) -> Callable[[np.ndarray], np.ndarray]:
    """F as a vectorised function (N,) → (N, 1)."""
    function = ExpressionMap((t,), (e,))
    return lambda x: function(np.asarray(x)[:, None])


def between(x: np.ndarray) -> np.ndarray:
    """The dense points within the range of the samples x."""
    return DENSE[np.searchsorted(DENSE, x.min()) : np.searchsorted(DENSE, x.max())]


def optimum(e: sympy.Expr, pieces: int) -> float:
    """S²/(16m²), the asymptotic error of the best continuous spline."""
    bend = np.abs(ExpressionMap((t,), (sympy.diff(e, t, 2),))(DENSE[:, None])[:, 0])
    return float(np.sqrt(bend).mean() ** 2 / (16 * pieces**2))
