"""Fields in expressions: a table is called like a function, its interpolant is enclosed in two ways, and exactly at points."""

from __future__ import annotations

import itertools
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from atlasmoe.errors import InvalidArgument, SpecError
from atlasmoe.expressions.defined import undefined
from atlasmoe.expressions.fields import SMOOTH, callables, field_of
from atlasmoe.expressions.maps import ExpressionMap
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.expressions.precise import Enclosed, Undefined, enclose_at
from atlasmoe.expressions.text import text_of
from atlasmoe.intervals import Decoration, Interval, NaturalEnclosure
from atlasmoe.intervals.patch import Patch, PatchMap
from atlasmoe.intervals.splines import Axis, Spline, interpolant
from atlasmoe.verify.check.expressions import Functions, JetMap
from atlasmoe.verify.check.polynomials import space
from atlasmoe.verify.enclosure import ExpressionEnclosure
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator, make_interp_spline

RNG = np.random.default_rng(0)
GRID = [np.sort(RNG.uniform(0, 1, 7)), np.linspace(-1, 2, 6)]
VALUES = RNG.normal(size=(7, 6, 2))
VALUES[-1] = VALUES[0]


@pytest.fixture(scope="module", params=["linear", "cubic", "linear turning", "cubic turning"])
def spline(request: Any) -> Spline:
    word, *turning = request.param.split()
    return interpolant("T", GRID, VALUES, {"linear": 1, "cubic": 3}[word], (bool(turning), False))


def made(field: Spline, text: str = "T_1(x, y)") -> ExpressionMap:
    symbols = real_symbols(("x", "y"))
    return ExpressionMap.of(symbols.values(), [read_expression(text, {**symbols, **callables(field)})])


def boxes(field: Spline, count: int, scale: float) -> tuple[NDArray, NDArray]:
    """Boxes of the domain, of which many have corners at breaks, some no width."""
    low = np.where(np.isfinite(field.lower), field.lower, -3.0)
    high = np.where(np.isfinite(field.upper), field.upper, 5.0)
    a = RNG.uniform(low, high, (count, 2))
    b = a + RNG.uniform(size=a.shape) * scale
    for k, axis in enumerate(field.axes):
        for end in (a, b):
            some = RNG.uniform(size=count) < 0.2
            end[some, k] = RNG.choice(axis.breaks, int(some.sum()))
        flat = RNG.uniform(size=count) < 0.1
        b[flat, k] = a[flat, k]
    a, b = np.clip(a, low, high), np.clip(b, low, high)
    return np.minimum(a, b), np.maximum(a, b)


def inside(lower: NDArray, upper: NDArray) -> NDArray:
    share = RNG.uniform(size=lower.shape)
    share = np.where(RNG.uniform(size=share.shape) < 0.15, np.round(share), share)
    return np.asarray(np.clip(lower + share * (upper - lower), lower, upper))


def test_a_spline_goes_through_the_values_of_the_table_as_scipy_has_it() -> None:
    points = np.stack([RNG.uniform(axis[0], axis[-1], 400) for axis in GRID], axis=1)
    linear = interpolant("T", GRID, VALUES, 1)
    for k in range(2):
        assert np.abs(linear.evaluate(k, (0, 0), points) - RegularGridInterpolator(GRID, VALUES[..., k])(points)).max() < 1e-13
    for kind in (None, "periodic"):
        y = VALUES[:, 0, 0]
        cubic, other = interpolant("T", GRID[:1], y, 3, (kind is not None,)), make_interp_spline(GRID[0], y, k=3, bc_type=kind)
        for order in range(4):
            truth = other(points[:, 0], order)
            assert np.abs(cubic.evaluate(0, (order,), points[:, :1]) - truth).max() < 1e-10 * np.abs(truth).max()


@pytest.mark.parametrize("scale", [1.0, 0.05, 1e-9])
def test_what_a_spline_is_enclosed_in_holds_it_and_its_derivatives(spline: Spline, scale: float) -> None:
    lower, upper = boxes(spline, 1500, scale)
    order = spline.order(lower, upper)
    assert set(np.unique(order)) <= {spline.degree, SMOOTH}
    for orders in itertools.product(range(4), repeat=2):
        if sum(orders) > 3:
            continue
        # A derivative that jumps at the end of a box is that of another cell there.
        sharp = sum(orders) < spline.degree
        ends = [spline.enclose(1, orders, lower, upper, again=again) for again in (False, True)]
        for _ in range(3):
            points = inside(lower, upper)
            if not sharp:
                points = lower + (0.01 + 0.98 * RNG.uniform(size=lower.shape)) * (upper - lower)
            kept = (points > lower).all(1) & (points < upper).all(1) | sharp
            value = spline.evaluate(1, orders, points)
            for low, high in ends:
                slack = 1e-13 * np.maximum(np.abs(low), np.abs(high)) if sharp else 1e-9 * (1 + np.abs(value))
                assert (value >= low - slack)[kept].all()
                assert (value <= high + slack)[kept].all()
                assert (low <= high).all()


def test_enclosures_are_sharp_on_small_boxes_and_agree(spline: Spline) -> None:
    lower = np.stack([RNG.uniform(axis[0], axis[-1] - 1e-4, 300) for axis in GRID], axis=1)
    upper = lower + 1e-4
    one, two = (spline.enclose(0, (0, 0), lower, upper, again=again) for again in (False, True))
    slopes = sum(np.abs(np.stack(spline.enclose(0, orders, lower, upper))).max(0) for orders in ((1, 0), (0, 1)))
    for low, high in (one, two):
        assert (high - low <= 2.1e-4 * slopes + 1e-12).all()
    assert (np.maximum(one[0], two[0]) <= np.minimum(one[1], two[1])).all()


def test_forms_jets_and_patches_hold_what_expressions_make_of_a_table(spline: Spline) -> None:
    function = made(spline, "sin(T_1(x, y)) + x*T_2(x + 0*y, y)**2")
    low, high = boxes(spline, 400, 0.05)
    kept = (low < high).all(1) & (high - low < 0.1).all(1)
    low, high = low[kept], high[kept]
    forms = [ExpressionEnclosure(function).over(low, high, degree) for degree in (2, 3)]
    patch = PatchMap(function)(Patch.coordinates(low, high))
    jets = [JetMap(function)(Functions.coordinates(space(2, degree), low, high)) for degree in (1, 3, 5)]
    natural = NaturalEnclosure(function)([Interval(low[:, k], high[:, k]) for k in range(2)])[0]
    for _ in range(4):
        points = inside(low, high)
        value = function(points)[:, 0]
        slack = 1e-12 * (1 + np.abs(value))
        with np.errstate(all="ignore"):
            t = np.clip(np.nan_to_num((points - (low + high) / 2) / ((high - low) / 2)), -1, 1)
        for form in forms:
            found = form.forms.at(t)
            assert (value >= found.lower[:, 0] - slack).all()
            assert (value <= found.upper[:, 0] + slack).all()
        for jet in jets:
            powers = [np.prod(t ** np.array(exponents), axis=1) for exponents in jet.jets.space.exponents]
            middle = np.einsum("cn,cn->n", jet.jets.coefficients[:, 0], np.array(powers))
            assert (np.abs(value - middle) <= jet.jets.rest[0] + slack).all()
        for enclosed in (natural, patch.value[:, 0]):
            assert (value >= enclosed.lower - slack).all()
            assert (value <= enclosed.upper + slack).all()
    assert np.isfinite(forms[0].forms.radius).mean() > 0.9


def test_kinks_of_a_linear_table_are_kinks() -> None:
    field = interpolant("T", GRID, VALUES, 1)
    middle = float(GRID[0][3])
    sides = [Interval.of(np.array([middle - 0.01, middle, middle - 0.01]), np.array([middle + 0.01, middle + 1e-6, middle]))]
    sides.append(Interval.of(np.full(3, 0.3), np.full(3, 0.4)))
    found = NaturalEnclosure(made(field))(sides)[0]
    assert np.broadcast_to(found.decoration, 3).tolist() == [Decoration.LIPSCHITZ, Decoration.SMOOTH, Decoration.SMOOTH]
    bent = PatchMap(made(field))(Patch.coordinates(np.array([[middle - 0.01, 0.3]]), np.array([[middle + 0.01, 0.4]])))
    assert np.isinf(bent.second.upper[0, 0, 0])
    cubic = NaturalEnclosure(made(interpolant("T", GRID, VALUES, 3)))(sides)[0]
    assert np.broadcast_to(cubic.decoration, 3).tolist() == [Decoration.SMOOTH] * 3


def test_outside_of_a_table_there_is_no_value() -> None:
    function = made(interpolant("T", GRID, VALUES, 3, (True, False)))
    assert np.isnan(function(np.array([[0.5, 2.0 + 1e-12]]))).all()
    assert np.isfinite(function(np.array([[77.5, 2.0], [-5.0, -1.0]]))).all()
    sides = [Interval.of(np.array([0.0, 0.0]), np.array([9.0, 1.0])), Interval.of(np.array([1.0, 1.0]), np.array([2.0, 2.0 + 1e-15]))]
    found = NaturalEnclosure(function)(sides)[0]
    assert np.isfinite(found.lower[0])
    assert np.isinf(found.lower[1])
    columns = {"x": np.array([0.5, 0.5, 0.5]), "y": np.array([2.0, 2.1, -1.1])}
    assert undefined(function.trees, columns)[:, 0].tolist() == [False, True, True]
    assert isinstance(enclose_at(function.trees[0], {"x": 0.5, "y": 2.5}), Undefined)


def test_at_a_point_the_value_is_a_fraction(spline: Spline) -> None:
    tree = made(spline).trees[0]
    for x, y in [(0.51, 0.3), (float(GRID[0][2]), 2.0), (float(GRID[0][-1]), -1.0)]:
        found = enclose_at(tree, {"x": x, "y": y})
        assert isinstance(found, Enclosed)
        assert found.lower == found.upper
        assert abs(float(found.lower) - spline.evaluate(0, (0, 0), np.array([[x, y]]))[0]) < 1e-13
    wide = spline.exactly(0, (0, 0), [(Fraction(1, 2), Fraction(51, 100)), (Fraction(1, 4), Fraction(1, 3))])
    assert wide is not None
    assert wide[0] <= Fraction(float(spline.evaluate(0, (0, 0), np.array([[0.505, 0.3]]))[0])) <= wide[1]


def test_a_break_is_the_same_from_both_sides() -> None:
    field = interpolant("T", GRID, VALUES, 3)
    for k, axis in enumerate(field.axes):
        for i in range(axis.cells - 1):
            left, right = axis.exact(i), axis.exact(i + 1)
            # B-spline i + j ends cell i where it begins cell i + 1, with its value and its first derivative.
            for j in range(1, 4):
                assert left[j][3] == right[j - 1][0]
                width = [Fraction(float(axis.breaks[i + n + 1])) - Fraction(float(axis.breaks[i + n])) for n in range(2)]
                assert (left[j][3] - left[j][2]) / width[0] == (right[j - 1][1] - right[j - 1][0]) / width[1]
        assert k < 2


def test_texts_call_tables_and_say_so_again(spline: Spline) -> None:
    symbols, known = real_symbols(("x", "y")), callables(spline)
    formula = read_expression("2*T_1(x, y) - T_2(x*y, 0.5)", {**symbols, **known})
    assert text_of(formula.tree) == "2*T_1(x, y) - T_2(x*y, 0.5)"
    for wrong, words in [("T_3(x, y)", "unknown function"), ("T_1(x)", "takes 2 arguments"), ("T_1(1, 2)", "constant"), ("T_1", "no arg")]:
        with pytest.raises(SpecError, match=words):
            read_expression(wrong, {**symbols, **known})
    function = made(spline)
    again = pickle.loads(pickle.dumps(ExpressionMap(function.variables, function.expressions)))
    points = np.array([[0.5, 0.5]])
    assert again(points) == function(points)
    assert again.trees == function.trees
    assert field_of(spline.key) == spline
    slopes = function.jacobian(points)[0]
    steps = [(function(points + h) - function(points - h))[0, 0] / 2e-6 for h in 1e-6 * np.eye(2)]
    assert np.allclose(slopes, steps, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("axes", "values", "degree", "periodic", "words"),
    [
        ([[0, 1, 1]], [1, 2, 3], 1, (), "point twice"),
        ([[0, 2, 1]], [1, 2, 3], 1, (), "does not ascend"),
        ([[0, 1, np.nan]], [1, 2, 3], 1, (), "not finite"),
        ([[0, 1, 2]], [1, np.nan, 3], 1, (), "is nan"),
        ([[0, 1, 2]], [1, 2], 1, (), "do not fit"),
        ([[[0, 1, 2]]], [[1, 2, 3]], 1, (), "but is a list of numbers"),
        ([[0, 1, 2]], [1, 2, 3], 3, (), "takes 4"),
        ([[0]], [1], 1, (), "takes 2"),
        ([[0, 1, 2]], [1, 2, 3], 1, (True,), "differ by up to 2"),
        ([[0, 1e-30]], [1, 2], 1, (), "steps from"),
        ([[0, 1]], [1, 1e300], 1, (), "beyond"),
    ],
)
def test_what_is_no_table_is_refused(axes: Any, values: Any, degree: int, periodic: tuple[bool, ...], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        interpolant("T", [np.array(axis, float) for axis in axes], np.array(values, float), degree, periodic)


def test_coefficients_have_to_fit_the_axes() -> None:
    axis = Axis(np.array([0.0, 1.0, 2.0]), 3)
    with pytest.raises(InvalidArgument, match="splines"):
        Spline("T", (axis,), np.zeros((1, 4)))
