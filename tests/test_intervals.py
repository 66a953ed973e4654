"""Interval arithmetic against 200-bit values, and what it does not know."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe.errors import InvalidArgument
from atlasmoe.intervals import Interval
from atlasmoe.intervals.derivatives import SMOOTH
from atlasmoe.intervals.natural import IntervalAlgebra
from exact_values import exact_function
from flint import arb, ctx

SPECIAL = np.array([0.0, -0.0, 5e-324, 1e-300, 1e-17, 1e-8, 0.5, 1.0, 2.0, np.pi / 2, np.pi, 22.0, 100.5, 709.0, 1e5, 1e22, 1e300])
ARGUMENTS = 2000
VARIABLE = sympy.Symbol("u", real=True)


@pytest.mark.parametrize("name", [*SMOOTH, "sqrt"])
def test_intervals_of_functions_hold_their_values(name: str) -> None:
    """At random floats of every size, at special ones and their neighbours."""
    ctx.prec = 200
    rng = np.random.default_rng(len(name))
    x = np.concatenate([SPECIAL, rng.normal(size=ARGUMENTS) * 10.0 ** rng.uniform(-12, 3, ARGUMENTS), rng.uniform(-1, 1, ARGUMENTS)])
    x = np.concatenate([x, 1 + 2.0 ** -rng.integers(1, 53, 50), np.pi / 2 * rng.integers(-999, 999, 200)])
    x = np.concatenate([x, -x, np.nextafter(x, np.inf), np.nextafter(x, -np.inf)])
    image = Interval.of(x).sqrt() if name == "sqrt" else IntervalAlgebra().smooth(name, Interval.of(x))
    function = exact_function(getattr(sympy, name)(VARIABLE), [VARIABLE])
    compared = 0
    for k, value in enumerate(x):
        found = function([arb(float(value))])
        if found.is_finite():
            assert not found < float(image.lower[k]), value
            assert not found > float(image.upper[k]), value
            compared += np.isfinite(image.lower[k]) and np.isfinite(image.upper[k])
    assert compared > ARGUMENTS / 2


def test_what_intervals_do_not_know() -> None:
    unknown = Interval.of([np.nan, 1.0], [1.0, np.nan])
    for end in (-unknown.lower, unknown.upper):
        assert (end == np.inf).all()
    with pytest.raises(InvalidArgument, match=r"\[2, 1\] at 1 is empty"):
        Interval.of([0.0, 2.0], [1.0, 1.0])
    infinite = Interval.of(-np.inf, np.inf)
    for found in (infinite * Interval.of(0.0), Interval.of(-1.0, 1.0).inverse(), Interval.of(-1.0).sqrt(), infinite - infinite):
        assert found.lower <= 0 <= found.upper
    assert Interval.of(0.0, 4.0).sqrt().lower == 0
    nonnegative = Interval.of(0.0, 1.0)
    assert (nonnegative * nonnegative + nonnegative).lower == 0
    apart = Interval.of(0.0, 1.0).meet(Interval.of(2.0, 3.0))
    assert (apart.lower, apart.upper) == (-np.inf, np.inf)
