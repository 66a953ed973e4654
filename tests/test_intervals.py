"""Interval arithmetic against 200-bit values, and what it does not know."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe.errors import InvalidArgument
from atlasmoe.intervals import Decoration, Interval
from atlasmoe.intervals.derivatives import SMOOTH, powers
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


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.5, 2.5, 17.25, -0.5, -2.75, 1e-3, 255.5])
def test_real_powers_hold_their_values(exponent: float) -> None:
    ctx.prec = 200
    rng = np.random.default_rng(3)
    x = np.concatenate(
        [SPECIAL, 10.0 ** rng.uniform(-320, 308, ARGUMENTS), rng.uniform(0, 2, ARGUMENTS), 1 + 2.0 ** -rng.integers(1, 53, 50)]
    )
    x = np.abs(np.concatenate([x, np.nextafter(x, np.inf)]))
    image = Interval.of(x).raised(Interval.of(exponent))
    for k, value in enumerate(x):
        if value == 0:
            assert image.decoration[k] == (
                Decoration.NOTHING if exponent < 0 else min(Decoration.CONTINUOUS + int(exponent), Decoration.SMOOTH)
            )
            continue
        found = arb(float(value)) ** arb(exponent)
        assert not found < float(image.lower[k]), value
        assert not found > float(image.upper[k]), value
        assert image.decoration[k] == Decoration.SMOOTH
    third = Interval.of([1 / 3], [np.nextafter(1 / 3, 1)])
    root = Interval.of([8.0]).raised(third[0])
    assert root.lower <= 2 <= root.upper


def test_products_with_powers_of_two_and_short_squares_are_exact() -> None:
    x = Interval.of([0.1, -3.0, 5e-324], [0.3, 1.0, 1e300])
    quarter = x * Interval.of(-0.25)
    assert quarter.lower[:2].tolist() == [-0.075, -0.25]
    assert quarter.upper[:2].tolist() == [-0.025, 0.75]
    assert quarter.upper[2] >= 0  # the true end, -5e-324/4, is no float
    assert quarter.lower[2] == -2.5e299
    large = Interval.of([1e308]) * Interval.of(4.0)
    assert np.isfinite(large.lower).all() & np.isinf(large.upper).all()
    square = Interval.of([-1.0, 0.5, 0.1], [1.0, 2.0, 0.2]).power(2)
    assert square.lower[:2].tolist() == [0.0, 0.25]
    assert square.upper[:2].tolist() == [1.0, 4.0]
    assert square.lower[2] < 0.1**2 < 0.2**2 < square.upper[2]


@pytest.mark.parametrize("n", [3, -3, 10**6 + 1, -(10**6) - 1, 3 * 10**15 + 1, 10**200, -(10**200)])
def test_derivatives_of_large_powers(n: int) -> None:
    """At 1 they are n, n(n − 1), n(n − 1)(n − 2), which floats need not hold."""
    for image, exact in zip(powers(Interval.of([1.0]), n), (1, n, n * (n - 1), n * (n - 1) * (n - 2)), strict=True):
        low, high = float(image.lower[0]), float(image.upper[0])
        assert np.isinf(low) or int(low) <= exact
        assert np.isinf(high) or int(high) >= exact
        assert low <= high
