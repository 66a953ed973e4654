"""Sums of ridge profiles with a bound, and the gradients that error budgets are made of."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe import EpsilonNotReached, ExpressionMap
from atlasmoe.atlas.graph import expression_map
from atlasmoe.constructions.relu import Target, fit_to
from atlasmoe.constructions.structure.exact import Exact, exact
from atlasmoe.constructions.structure.profiles import T, profiles
from atlasmoe.constructions.structure.smooth import profile_bound
from atlasmoe.constructions.structure.splines import RidgeSum, spline_sum
from atlasmoe.intervals import Interval
from atlasmoe.intervals.gradients import GradientEnclosure
from atlasmoe.moe.activations import GELU, RELU, RELU2, SILU, Activation
from atlasmoe.moe.ridge import Dictionary, Ridge

LOWER, UPPER = np.array([-1.0, 0.2, 3.0, -2.0]), np.array([1.0, 0.7, 5.0, 2.5])
SUMS = [
    "a*b",
    "a*b*c",
    "a**2*b - 0.1*c + 3",
    "a*b + sin(a) - exp(c/2)",
    "cos(2*a - b/3 + 1) + c*d",
    "(a + b)*(c - d) + pi*a",
    "sqrt(c)",
]


def a_priori_sum(function: ExpressionMap, lower: np.ndarray, upper: np.ndarray, **how: float) -> RidgeSum | None:
    parts = profiles(function, lower, upper)
    assert parts is not None
    return spline_sum(parts, **how)


def sample(count: int) -> np.ndarray:
    return LOWER + (UPPER - LOWER) * np.random.default_rng(1).random((count, 4))


@pytest.mark.parametrize("text", SUMS)
def test_profiles_add_up_to_the_function(text):
    function = expression_map("abcd", text)
    parts = profiles(function, LOWER, UPPER)
    x = sample(500)
    v = (x - parts.center) / parts.scale
    total = v @ parts.linear.T + parts.constant
    for row, q, reach in zip(parts.rows, parts.functions, parts.reach, strict=True):
        t = v @ row
        assert np.abs(t).max() <= reach
        total = total + ExpressionMap((T,), q)(t[:, None])
    assert total == pytest.approx(function(x), abs=1e-12 * (1 + np.abs(function(x)).max()))


@pytest.mark.parametrize("text", SUMS)
def test_bounds_hold(text):
    function = expression_map("abcd", text)
    made = a_priori_sum(function, LOWER, UPPER, epsilon=0.05, limit=2048)
    assert made.bound <= 0.05
    x = np.concatenate([sample(20_000), np.array(np.meshgrid(*zip(LOWER, UPPER, strict=True))).reshape(4, -1).T])
    error = np.abs(made.ridge.to_relu("f", "test")(x) - function(x)).max()
    assert error <= made.bound + 1e-12
    # The bound is no wild guess either.
    assert error >= made.bound / 8 or made.bound < 1e-9


def test_several_outputs_share_directions():
    function = expression_map("abcd", ["a*b", "2*a*b + c", "a + d"])
    parts = profiles(function, LOWER, UPPER)
    assert len(parts.directions) == 2
    # The linear parts of the three take a neuron each.
    assert np.linalg.matrix_rank(parts.linear) == 3
    made = a_priori_sum(function, LOWER, UPPER, width=64, limit=2048)
    assert made.ridge.dictionary.width <= 64
    x = sample(5000)
    assert np.abs(made.ridge.to_relu("f", "test")(x) - function(x)).max() <= made.bound + 1e-12


def test_what_is_no_sum_is_none():
    assert profiles(expression_map("abcd", "sin(a*b)"), LOWER, UPPER) is None
    assert profiles(expression_map("abcd", "exp(a)*b"), LOWER, UPPER) is None
    assert a_priori_sum(expression_map("abcd", "a*b + a"), LOWER, UPPER, width=0, limit=64) is None
    with pytest.raises(EpsilonNotReached):
        a_priori_sum(expression_map("abcd", "a*b*c*d"), LOWER, UPPER, epsilon=1e-6, limit=64)


LORENZ = ["10*(b - a)", "a*(28 - c) - b", "a*b - 8*c/3"]
BOXES = {3: ([-30.0, -30.0, 0.0], [30.0, 30.0, 60.0]), 2: ([-1.0, -1.0], [1.0, 1.0])}


def made(text: str | list[str], variables: int, **how: object) -> tuple[Exact, float]:
    """The net of a function, and its largest error at random points and corners."""
    function = expression_map("abc"[:variables], text)
    lower, upper = map(np.array, BOXES[variables])
    found = exact(function, lower, upper, "f", "test", limit=2048, **how)
    assert found is not None
    x = lower + (upper - lower) * np.random.default_rng(2).random((5000, variables))
    x = np.concatenate([x, np.array(np.meshgrid(*zip(lower, upper, strict=True))).reshape(variables, -1).T])
    return found, float(np.abs(found.net(x) - function(x)).max())


@pytest.mark.parametrize(
    ("text", "variables", "activation", "gated", "epsilon", "width"),
    [
        ("a*b", 2, RELU, False, 1e-4, 200),
        ("a*b", 2, RELU2, False, 1e-4, 3),
        ("a*b", 2, SILU, True, 1e-4, 2),
        ("a*b + 3*a - 2*b + 1", 2, RELU2, False, 1e-9, 3),
        ("a*b + 3*a - 2*b + 1", 2, GELU, True, 1e-9, 2),
        ("a**2 + b", 2, RELU2, False, 1e-9, 4),
        ("3*a + b", 2, RELU, False, 1e-9, 1),
        ("3*a + b", 2, SILU, True, 1e-9, 1),
        ("a*b", 2, SILU, False, 1e-4, 8),
        (LORENZ, 3, RELU, False, 0.59, 159),
        (LORENZ, 3, RELU2, False, 1e-6, 8),
        (LORENZ, 3, RELU, True, 1e-6, 6),
        ("sin(a) + exp(b/3 - a/2)", 2, SILU, False, 1e-4, 16),
    ],
)
def test_exact_structure_takes_few_neurons(
    text: str | list[str], variables: int, activation: Activation, gated: bool, epsilon: float, width: int
) -> None:
    found, error = made(text, variables, activation=activation, gated=gated, epsilon=epsilon)
    assert found.net.widths[0] <= width
    assert error <= found.bound <= epsilon
    assert found.net.gated == gated
    if activation is RELU and not gated and found.bound > 1e-9:
        assert error >= found.bound / 2  # the bound is no wild guess either


@pytest.mark.parametrize("activation", [SILU, GELU, RELU2])
def test_bounds_of_profiles_are_bounds(activation: Activation) -> None:
    """Of nets that have nothing to do with the profile, evaluated at many points between the cells' centres."""
    rng = np.random.default_rng(3)
    q = expression_map("t", ["sin(3*t)", "t**3"]).renamed((T,)).expressions
    for _ in range(3):
        dictionary = Dictionary(np.array([[2.0]]), (5,), rng.normal(size=5), rng.choice([-1.0, 1.0], 5), activation)
        ridge = Ridge(dictionary, rng.normal(size=(2, 5)), rng.normal(size=2))
        bound = profile_bound(q, 1.5, ridge)
        t = np.linspace(-1.5, 1.5, 20_001)[:, None]
        error = np.abs(ridge(t) - ExpressionMap((T,), q)(t)).max(0)
        assert (error <= bound).all()
        assert (bound <= 1.02 * error).all()


def test_quadratic_functions_are_recognised_in_samples() -> None:
    """In a plane of R^3, from a callable alone."""
    frame = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 2)))[0]

    def draw(count: int, seed: int, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
        u = np.random.default_rng([seed, 1]).uniform(-1, 1, (count, 2))
        return u @ frame.T + 1, np.stack([u[:, 0] * u[:, 1] + u[:, 0], 3 * u[:, 0] * u[:, 1] - 1], axis=1)

    found = fit_to(Target(draw, "f", "test"), 1e-3, start=64, limit=512, remedy="")
    assert found.width <= 114
    assert 2e-4 < found.error <= 1e-3
    assert (
        fit_to(Target(lambda *how: (draw(*how)[0], draw(*how)[0] @ np.ones((3, 1))), "f", "test"), 1e-9, start=64, limit=8, remedy="").width
        == 1
    )


def test_a_box_that_ends_where_the_function_does() -> None:
    function = expression_map("ab", ["b", "sqrt(a)"])
    found = exact(function, np.array([0.0, -1.0]), np.array([1.0, 1.0]), "f", "test", epsilon=0.03, limit=64)
    assert found is not None
    assert found.net.widths[0] <= 6


GRADIENTS = [
    "a*b + c**3",
    "sin(a)*exp(b)/c",
    "Abs(a) + Max(b, a) - Min(c, 2*b)",
    "sqrt(c) + log(c)*d",
    "atan2(c, a)",
    "a**2 - b*Abs(d)",
    "tanh(a)*c**-2",
]


@pytest.mark.parametrize("text", GRADIENTS)
def test_gradients_enclose_difference_quotients(text):
    """Mean value bounds: over a box, f(x) − f(y) lies in Σ ∂_k f·(x_k − y_k)."""
    function = expression_map("abcd", text)
    enclosure = GradientEnclosure(function)
    rng = np.random.default_rng(0)
    middle, radius = sample(300), 10 ** rng.uniform(-3, -0.7, (300, 1))
    low, high = middle - radius, middle + radius
    (value,), (row,) = enclosure([Interval(low[:, k], high[:, k]) for k in range(4)])
    for _ in range(8):
        x, y = (low + (high - low) * rng.random(low.shape) for _ in range(2))
        f, g = function(x)[:, 0], function(y)[:, 0]
        assert ((value.lower <= f) & (f <= value.upper)).all()
        most = sum(np.maximum(p.lower * (x - y)[:, k], p.upper * (x - y)[:, k]) for k, p in enumerate(row))
        assert (f - g <= most + 1e-12).all()
    assert all(np.isfinite(p.magnitude).all() for p in row)


@pytest.mark.parametrize("text", ["sign(a)", "Piecewise((a, a > 0), (1, True))"])
def test_jumps_have_no_gradient(text):
    enclosure = GradientEnclosure(expression_map("a", text))
    _, ((partial,),) = enclosure([Interval(np.array([-1.0, 0.5]), np.array([1.0, 1.0]))])
    assert np.isinf(partial.magnitude[0])
    assert np.isfinite(partial.magnitude[1])


def test_the_gradient_is_unknown_where_only_a_condition_depends_on_a_coordinate() -> None:
    enclosure = GradientEnclosure(expression_map(("a", "b"), "Piecewise((1, a > 0), (0, True))"))
    _, partials = enclosure([Interval.of(np.array([-1.0, 0.5]), np.array([1.0, 1.0])), Interval.of(np.zeros(2), np.ones(2))])
    assert np.isinf(partials[0][0].magnitude).tolist() == [True, False]
