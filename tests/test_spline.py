"""Linear splines: nearly optimal, and kinks cost one knot."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe.constructions.relu.spline.a_priori import a_priori_spline
from atlasmoe.constructions.relu.spline.knots import allocate
from atlasmoe.constructions.relu.spline.spline import fit_spline, relu_form
from atlasmoe.errors import InvalidArgument
from atlasmoe.expressions.maps import ExpressionMap
from atlasmoe.moe.ridge import Ridge
from free_knots import free_knot_spline
from spline_targets import DENSE, KINKED_TARGETS, SMOOTH_TARGETS, between, compiled, optimum, t


@pytest.mark.parametrize("name", SMOOTH_TARGETS)
@pytest.mark.parametrize("width", [64, 1024])
def test_free_knots_reach_the_optimum(name: str, width: int) -> None:
    e = SMOOTH_TARGETS[name]
    spline = free_knot_spline(compiled(e), 0, 1, width)
    error = np.abs(spline(DENSE) - compiled(e)(DENSE)).max()
    assert spline.pieces <= width
    assert spline.bound is None
    # Inflections cost some of the pieces, and the iteration stops before all errors are equal.
    assert error <= {64: 1.3, 1024: 1.2}[width] * optimum(e, width)


@pytest.mark.parametrize("name", SMOOTH_TARGETS)
def test_samples_alone_come_close(name: str) -> None:
    e, width = SMOOTH_TARGETS[name], 256
    x = np.random.default_rng(0).random(16 * width)
    dictionary, weights, constant = fit_spline(x, compiled(e)(x), width)
    inside = between(x)
    error = np.abs(Ridge(dictionary, weights, constant)(inside[:, None]) - compiled(e)(inside)).max()
    assert dictionary.width <= width
    assert error <= 1.5 * optimum(e, width)


def test_error_falls_like_the_square_of_the_width() -> None:
    e = SMOOTH_TARGETS["sin"]
    errors = [np.abs(free_knot_spline(compiled(e), 0, 1, m)(DENSE) - compiled(e)(DENSE)).max() for m in (64, 256, 1024)]
    bounds = [a_priori_spline([e], t, 0, 1, width=m).bound for m in (64, 256, 1024)]
    for values in (errors, bounds):
        assert np.polyfit(np.log([64, 256, 1024]), np.log(values), 1)[0] == pytest.approx(-2, abs=0.05)


@pytest.mark.parametrize("known", ["samples", "function", "expression"])
def test_a_kink_costs_one_knot(known: str) -> None:
    """Two straight parts are exact with two pieces, wherever they meet; five with five."""
    for e, pieces in ((sympy.Abs(t - sympy.pi / 10), 2), (sympy.Abs(sympy.Abs(sympy.Abs(t - 0.501) - 0.25) - 0.1), 8)):
        if known == "samples":
            x = np.random.default_rng(1).random(4000)
            dictionary, weights, constant = fit_spline(x, compiled(e)(x), 2 * pieces)
            inside = between(x)
            error = np.abs(Ridge(dictionary, weights, constant)(inside[:, None]) - compiled(e)(inside)).max()
        else:
            if known == "function":
                spline = free_knot_spline(compiled(e), 0, 1, 2 * pieces)
            else:
                spline = a_priori_spline([e], t, 0, 1, width=pieces)
                assert spline.pieces == pieces
                assert spline.bound is not None
                assert spline.bound < 1e-13
            error = np.abs(spline(DENSE) - compiled(e)(DENSE)).max()
        assert error < 1e-11


def test_a_kink_costs_no_more_than_a_piece_or_two_of_a_curve() -> None:
    kinked, smooth = sympy.Abs(t - 0.3137) + sympy.sin(8 * t), sympy.sin(8 * t)
    x = np.random.default_rng(0).random(3000)
    for make in (
        lambda e, m: free_knot_spline(compiled(e), 0, 1, m),
        lambda e, m: a_priori_spline([e], t, 0, 1, width=m),
        lambda e, m: Ridge(*fit_spline(x, compiled(e)(x), m)),
    ):
        errors = []
        for e, m in ((kinked, 64), (smooth, 61)):
            values = make(e, m)
            inside = between(x)
            found = values(inside[:, None]) if isinstance(values, Ridge) else values(inside)
            errors.append(np.abs(found - compiled(e)(inside)).max())
        assert errors[0] <= 1.15 * errors[1]


def test_components_share_knots() -> None:
    e = (sympy.sin(8 * t), sympy.cos(5 * t), 100 * t)
    function = ExpressionMap((t,), e)
    free = free_knot_spline(lambda x: function(x[:, None]), 0, 1, 100)
    proved = a_priori_spline(e, t, 0, 1, width=100)
    for spline in (free, proved):
        assert spline.levels.shape == (len(spline.knots), 3)
        assert spline.pieces <= 100
        assert np.abs(spline(DENSE) - function(DENSE[:, None])).max() < 1e-3
        assert np.abs(spline(DENSE)[:, 2] - 100 * DENSE).max() < 1e-12


@pytest.mark.parametrize("pieces", [1, 2, 3, 4, 17, 500])
def test_relu_form_is_the_spline_and_faces_outward(pieces: int) -> None:
    rng = np.random.default_rng(pieces)
    knots, levels = np.sort(rng.uniform(-3, 5, pieces + 1)), rng.normal(size=(pieces + 1, 2))
    knots[0], knots[-1] = -3, 5
    knots = np.linspace(-3, 5, pieces + 1) + 0.3 * (knots - np.linspace(-3, 5, pieces + 1)) / pieces
    dictionary, weights, constant = relu_form(knots, levels)
    assert dictionary.width == pieces
    middle = knots[pieces // 2]
    np.testing.assert_array_equal(dictionary.facing, np.where(np.arange(pieces) < pieces - pieces // 2, 1.0, -1.0))
    assert np.all(dictionary.facing * (dictionary.knots - middle) >= 0)
    x = np.linspace(knots[0], knots[-1], 2001)
    expected = np.stack([np.interp(x, knots, column) for column in levels.T], axis=1)
    slopes = np.abs(weights).sum(1).max() * 8
    np.testing.assert_allclose(Ridge(dictionary, weights, constant)(x[:, None]), expected, atol=1e-15 * max(slopes, 100))


def test_relu_form_of_a_fit_is_the_spline_to_13_digits() -> None:
    for e in (SMOOTH_TARGETS | KINKED_TARGETS).values():
        spline = free_knot_spline(compiled(e), 0, 1, 512)
        np.testing.assert_allclose(Ridge(*spline.to_relu())(DENSE[:, None]), spline(DENSE), atol=1e-13, rtol=1e-13)


@pytest.mark.parametrize("samples", [2, 3, 5, 9, 40])
def test_few_samples(samples: int) -> None:
    x = np.random.default_rng(samples).random(samples)
    for width in (1, 2, 8, 64):
        dictionary, weights, constant = fit_spline(x, np.sin(3 * x)[:, None], width)
        assert 1 <= dictionary.width <= width
        found = Ridge(dictionary, weights, constant)(x[:, None])[:, 0]
        assert np.isfinite(found).all()
        assert np.abs(found - np.sin(3 * x)).max() < 1


def test_repeated_and_shuffled_samples() -> None:
    x = np.random.default_rng(0).permutation(np.repeat(np.linspace(0, 1, 500), 3))
    first = Ridge(*fit_spline(x, np.exp(x)[:, None], 32))(DENSE[:, None])
    second = Ridge(*fit_spline(np.unique(x), np.exp(np.unique(x))[:, None], 32))(DENSE[:, None])
    np.testing.assert_array_equal(first, second)


def test_allocate() -> None:
    np.testing.assert_array_equal(allocate(np.array([1.0, 0.0, 9.0]), 12), [1, 1, 10])
    np.testing.assert_array_equal(allocate(np.array([1.0, 1.0, 1.0]), 2), [1, 1, 1])
    assert allocate(np.random.default_rng(0).random(50), 731).sum() == 731


def test_free_knots_refuse() -> None:
    with pytest.raises(InvalidArgument, match="not finite"):
        free_knot_spline(lambda x: np.where(x > 0.5, np.inf, x), 0, 1, 64)
    with pytest.raises(InvalidArgument, match="lower < upper"):
        free_knot_spline(np.sin, 1, 0, 64)
