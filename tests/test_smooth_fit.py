"""Fits with smooth neurons and product lanes: accuracy on points that nothing saw, widths, float32, kinks, shared lattices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from atlasmoe.constructions.relu import Fit, Target
from atlasmoe.constructions.relu.dictionary import Coordinates
from atlasmoe.constructions.relu.samples import Samples
from atlasmoe.constructions.relu.shared import SharedSamples
from atlasmoe.constructions.smooth import COSTS, fit, fit_shared, fit_to
from atlasmoe.constructions.smooth.bending import bending
from atlasmoe.constructions.smooth.lattice import FRACTION, Shape
from atlasmoe.constructions.smooth.pruning import _costs
from atlasmoe.constructions.smooth.search import STEPS, Search
from atlasmoe.errors import EpsilonNotReached, InvalidArgument
from atlasmoe.moe.activations import GELU, RELU, RELU2, SILU

Array = np.ndarray
Function = Callable[[Array], Array]


def chart2(x: Array) -> Array:
    """A generic analytic target, as of a chart of half-width 0.3."""
    return np.exp(np.sin(3 * x[:, :1]) + x[:, :1] * x[:, 1:2]) * np.cos(2 * x[:, 1:2])


def chart3(x: Array) -> Array:
    return np.exp(np.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:]) * np.cos(2 * x[:, 2:] + x[:, :1])


def cube(f: Function, d: int, half: float = 0.3, middle: float = 0.0, evaluate: bool = True) -> Target:
    """f on a cube, sampled with points on its faces."""

    def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
        x = middle + half * np.clip(np.random.default_rng([seed, d]).uniform(-1.1, 1.1, (count, d)), -1, 1)
        return x, f(x)

    def values(x: Array) -> Array:
        return np.where((np.abs(x - middle) <= half).all(1)[:, None], f(x), np.nan)

    return Target(draw, "t", "test", evaluate=values if evaluate else None)


def sup(f: Function, fitted: Fit, d: int, half: float = 0.3, middle: float = 0.0) -> float:
    """The largest error on fresh points with faces, edges and corners."""
    x = middle + half * np.clip(np.random.default_rng(99).uniform(-1.25, 1.25, (20000, d)), -1, 1)
    return float(np.abs(fitted.net(x) - f(x)).max())


@pytest.mark.parametrize(
    ("f", "d", "width", "gated", "least"),
    [
        (chart2, 2, 64, False, 5e-6),
        (chart2, 2, 32, True, 5e-8),
        (chart3, 3, 128, False, 1e-3),
        (chart3, 3, 64, True, 1e-4),
    ],
)
def test_charts_are_fitted_as_the_table_says(f: Function, d: int, width: int, gated: bool, least: float) -> None:
    fitted = fit(cube(f, d), width, activation=SILU, gated=gated)
    error = sup(f, fitted, d)
    assert fitted.width <= width
    assert error <= least
    # What is reported is what fresh points find.
    assert error / 1.1 <= fitted.error <= 1.5 * error


def test_one_dimension_needs_a_handful_of_neurons() -> None:
    def f(x: Array) -> Array:
        return np.exp(np.sin(3 * x) + x * x)

    assert sup(f, fit(cube(f, 1), 8, activation=SILU), 1) <= 1e-5
    assert sup(f, fit(cube(f, 1), 16, activation=GELU), 1) <= 1e-7


@pytest.mark.parametrize("gated", [False, True])
def test_float32_weights_keep_the_error(gated: bool) -> None:
    fitted = fit(cube(chart2, 2), 32 if gated else 128, activation=SILU, gated=gated, dtype="float32")
    stored = fitted.net.astype(np.float32)
    x = np.clip(np.random.default_rng(1).uniform(-0.33, 0.33, (5000, 2)), -0.3, 0.3)
    assert np.abs(stored.astype(float)(x) - chart2(x)).max() <= 2 * fitted.error + 1e-7
    # Inference in float32, inputs rounded too.
    assert np.abs(stored(x.astype(np.float32)) - chart2(x)).max() <= fitted.error + 5e-6
    # Rows and biases do not change when they are stored.
    assert np.array_equal(stored.affines[0].weight, fitted.net.affines[0].weight)
    assert np.array_equal(stored.affines[0].bias, fitted.net.affines[0].bias)


def test_knots_lie_on_one_lattice() -> None:
    ridge = fit(cube(chart2, 2, middle=0.4), 40, activation=SILU).ridge
    assert ridge is not None
    gaps = np.concatenate([np.diff(np.unique(t)) for t in np.split(ridge.dictionary.knots, np.cumsum(ridge.dictionary.counts)[:-1])])
    # Pruning leaves gaps of several steps.
    steps = [step for step in STEPS if np.all(np.mod(gaps, step) == 0)]
    assert steps
    assert np.all(np.mod(ridge.dictionary.knots, max(steps) / FRACTION) == 0)


def test_an_isometric_embedding_drops_out() -> None:
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 2)))[0]
    shift = np.arange(5.0)
    inner = cube(chart2, 2, evaluate=False)

    def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
        x, values = inner.draw(count, seed, held_out)
        return x @ basis.T + shift, values

    for width, gated, least in ((64, False, 5e-6), (32, True, 1e-7)):
        fitted = fit(Target(draw, "t", "test"), width, activation=SILU, gated=gated)
        x, values = draw(5000, 99, True)
        assert np.abs(fitted.net(x) - values).max() <= least


def test_several_outputs_share_gates() -> None:
    def f(x: Array) -> Array:
        return np.stack([np.sin(2 * x[:, 0] + x[:, 1]), np.exp(x[:, 0] * x[:, 1]), x[:, 0]], axis=1)

    for gated in (False, True):
        fitted = fit(cube(f, 2), 64, activation=SILU, gated=gated)
        assert fitted.width <= 64
        assert sup(f, fitted, 2) <= 1e-5


def test_polynomials_of_second_degree_are_exact_where_the_activation_can() -> None:
    def f(x: Array) -> Array:
        return x[:, :1] ** 2 - 3 * x[:, :1] * x[:, 1:2] + x[:, 1:2]

    assert sup(f, fit(cube(f, 2, 1.0), 16, activation=RELU2), 2, 1.0) <= 1e-11
    assert sup(f, fit(cube(f, 2, 1.0), 16, activation=RELU, gated=True), 2, 1.0) <= 1e-11


def test_sums_need_no_other_directions_than_the_axes() -> None:
    def f(x: Array) -> Array:
        return np.sin(2 * np.pi * x).sum(1, keepdims=True)

    fitted = fit(cube(f, 3, 0.5), 48, activation=SILU)
    assert fitted.direction_count == 0
    assert sup(f, fitted, 3, 0.5) <= 2e-6


def test_affine_functions_take_no_more_than_they_need() -> None:
    def f(x: Array) -> Array:
        return x @ np.array([[2.0], [-3.0]]) + 1

    for gated, widest in ((False, 4), (True, 1)):
        fitted = fit(cube(f, 2), 2, activation=SILU, gated=gated)
        assert fitted.width <= widest
        assert sup(f, fitted, 2) <= 1e-9


def test_a_straight_kink_gets_a_relu_and_the_rest_smooth_neurons() -> None:
    def f(x: Array) -> Array:
        return np.abs(x[:, :1] - x[:, 1:2]) + chart2(x / 3)

    fitted = fit(cube(f, 2, 1.0), 64, activation=SILU)
    assert fitted.ridge is None
    assert {a.name for _, a in fitted.net.activations[0]} == {"silu", "relu"}
    assert fitted.width == 64
    assert sup(f, fitted, 2, 1.0) <= 2e-4
    lanes = fit(cube(f, 2, 1.0), 32, activation=SILU, gated=True)
    assert sup(f, lanes, 2, 1.0) <= 1e-5


def test_pruning_pays_where_the_target_is_not_resolved() -> None:
    def f(x: Array) -> Array:
        return np.exp(-50 * (x**2).sum(1, keepdims=True))

    samples = Samples(cube(f, 2, 0.5), 0)
    data = samples.for_width(160)
    search = Search(np.zeros((0, 2)), data, Coordinates.of(data.inputs), 160, 1, SILU, False, COSTS["float64"])
    lattice = search.run()[0]
    pruned = search.sharpened(lattice)
    assert pruned.error <= 0.5 * lattice.error
    net = pruned.form.net(pruned.weights, "t", "test")
    assert net.widths == (160,)
    x = data.held_inputs
    assert np.abs(net(x) - f(x)).max() == pytest.approx(pruned.error, rel=1e-6)


def test_what_neurons_cost_that_depend_on_each_other() -> None:
    """(G⁻¹)_jj of nearly dependent columns, which floats cannot invert as it stands."""
    factors = np.array([[[1e9, 0.0, 1.0], [1e9, 0.0, 0.0]], [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    weights = np.array([[[1.0], [0.0]], [[3.0], [2.0]]])
    # The first: F·Fᵀ = [[1e18 + 1, 1e18], [1e18, 1e18]], whose inverse has 1 in the corner.
    assert _costs(weights, factors) == pytest.approx([1.0, 9 / 4 + 4])


def test_within_a_budget_profiles_bend_less() -> None:
    """In three dimensions: the sum of what enclosures are off by, for the same width and an error still within the budget."""
    samples = Samples(cube(chart3, 3), 0)
    data = samples.for_width(120)
    made, sums = [], []
    for budget in (None, 1e-2):
        cost = replace(COSTS["float64"], budget=budget)
        search = Search(np.zeros((0, 3)), data, Coordinates.of(data.inputs), 100, 1, SILU, False, cost)
        attempt = search.full(Shape(20, 1.0, 0.15))
        assert attempt.error <= 1e-2
        bends = bending(search.lattice(attempt.shape), data.inputs)
        made.append(attempt)
        sums.append(np.abs(bends @ attempt.weights).max(1).sum())
    assert sums[1] <= 0.5 * sums[0]
    # The fifth derivative of every profile along its direction, by differences.
    lattice = search.lattice(made[1].shape)
    ridge = lattice.ridge(made[1].weights)
    k, h, start = 3, 0.02, sum(ridge.dictionary.counts[:3])
    own = slice(start, start + ridge.dictionary.counts[k])
    t = data.inputs @ ridge.dictionary.directions[k]
    half = np.ptp(t) / 2
    middle, steps = t.min() + half, (np.arange(6) - 2.5) * h
    d = ridge.dictionary
    inside = lambda at: SILU(d.facing[own] * (at - d.knots[own])) @ ridge.weights[0, own]  # noqa: E731
    fifth = sum(c * inside(middle + half / 15 + s) for c, s in zip((-1, 5, -10, 10, -5, 1), steps, strict=True)) / h**5
    assert (bends[k] @ made[1].weights)[8, 0] == pytest.approx(fifth * half**5 / (120 * 16), rel=1e-2, abs=1e-6)


@pytest.mark.parametrize(("gated", "widest"), [(False, 40), (True, 16)])
def test_the_narrowest_net_is_found(gated: bool, widest: int) -> None:
    fitted = fit_to(cube(chart2, 2), 1e-4, activation=SILU, gated=gated, limit=256, remedy="")
    assert sup(chart2, fitted, 2) <= 1.05e-4
    assert fitted.width <= widest
    # From a start that is too wide, the way down ends in the same place, give or take a sixteenth.
    again = fit_to(cube(chart2, 2), 1e-4, activation=SILU, gated=gated, start=2 * widest, limit=256, remedy="")
    assert again.width <= 1.2 * fitted.width


def test_out_of_reach_is_said_with_what_was_reached() -> None:
    def f(x: Array) -> Array:
        return np.abs((x**2).sum(1, keepdims=True) - 0.5)

    with pytest.raises(EpsilonNotReached, match="refine") as caught:
        fit_to(cube(f, 2, 1.0), 1e-6, activation=SILU, limit=2048, remedy="refine")
    assert caught.value.width < 2048
    assert 1e-4 < caught.value.reached < 1
    with pytest.raises(InvalidArgument, match="width 1 is too small"):
        fit(cube(f, 2), 1, activation=SILU)
    with pytest.raises(InvalidArgument, match="float16"):
        fit(cube(f, 2), 8, activation=SILU, dtype="float16")


def test_the_same_seed_gives_the_same_net() -> None:
    first, second = (fit(cube(chart2, 2), 24, activation=GELU, seed=3) for _ in range(2))
    assert np.array_equal(first.net.affines[1].weight, second.net.affines[1].weight)
    assert first.error == second.error


@pytest.mark.parametrize("gated", [False, True])
def test_many_functions_share_one_lattice(gated: bool) -> None:
    rng = np.random.default_rng(0)
    x, held = rng.uniform(-1, 1, (4096, 2)), rng.uniform(-1, 1, (1024, 2))
    a, b = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))

    def f(x: Array) -> Array:
        return np.stack([np.sin(x @ a.T), np.cos(x @ b.T)], axis=2)

    samples = SharedSamples(x, f(x), held, f(held))
    shared = fit_shared(samples, 48, activation=SILU, gated=gated)
    for i in (0, 7, 19):
        ridge = shared.ridge(i)
        errors = np.abs(ridge.to_net("t", "test")(held) - samples.held_values[:, i]).max(1)
        assert ridge.dictionary.width <= 48
        assert errors.max() == pytest.approx(shared.errors[i], rel=1e-3, abs=1e-11)
        assert errors[shared.worst[i]] == pytest.approx(shared.errors[i], rel=1e-3, abs=1e-11)
    assert shared.errors.max() <= 1e-2
    assert np.median(shared.errors) <= 1e-4
    # A number of directions that is known saves the search.
    again = fit_shared(samples, 48, shared.direction_count, activation=SILU, gated=gated)
    assert again.direction_count == shared.direction_count
