"""Lemma 3.1 without training: directions, least squares, profiles, pruning, kinks, and what a fit says about itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from atlasmoe.atlas import Array
from atlasmoe.constructions.relu import Effort, Fit, Samples, Target, fit, fit_to
from atlasmoe.constructions.relu.dictionary import Coordinates
from atlasmoe.constructions.relu.directions import directions
from atlasmoe.constructions.relu.knots import profile_grid, uniform_grid
from atlasmoe.constructions.relu.least_squares import solve
from atlasmoe.constructions.relu.profiles import least_squares
from atlasmoe.constructions.relu.pruning import prune
from atlasmoe.constructions.relu.search import Search
from atlasmoe.errors import EpsilonNotReached, InvalidArgument
from atlasmoe.moe.ridge import Ridge

Function = Callable[[Array], Array]
HONEST = 2.0
"""Held-out errors understate the largest error of 50,000 fresh points by less than this factor."""


def target(function: Function, dimension: int, embedding: Array | None = None, noise: float = 0.0) -> Target:
    """A function on the unit cube, seen from R^n if an embedding (n, d) is given, up to noise off the embedded cube."""

    def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
        rng = np.random.default_rng(seed)
        u = rng.random((count, dimension))
        inputs = u if embedding is None else u @ embedding.T
        return inputs + noise * rng.normal(size=inputs.shape), function(u).reshape(count, -1)

    return Target(draw, "target", "test")


def franke(u: Array) -> Array:
    x, y = 9 * u.T
    return np.asarray(
        0.75 * np.exp(-((x - 2) ** 2 + (y - 2) ** 2) / 4)
        + 0.75 * np.exp(-((x + 1) ** 2) / 49 - (y + 1) / 10)
        + 0.5 * np.exp(-((x - 7) ** 2 + (y - 3) ** 2) / 4)
        - 0.2 * np.exp(-((x - 4) ** 2) - (y - 7) ** 2)
    )


def additive(u: Array) -> Array:
    return np.asarray(np.sin(2 * np.pi * u + np.arange(u.shape[1])).sum(1))


def bump(u: Array) -> Array:
    return np.asarray(np.exp(-20 * ((u - 0.5) ** 2).sum(1)))


@cache
def franke_fit(effort: Effort) -> Fit:
    return fit(target(franke, 2), 96, effort=effort)


def largest_error(fitted: Fit, function: Function, dimension: int, count: int = 50_000) -> float:
    u = np.random.default_rng(12345).random((count, dimension))
    return float(np.abs(fitted.net(u) - function(u).reshape(count, -1)).max())


@pytest.mark.parametrize(("count", "dimension"), [(7, 2), (16, 2), (12, 3), (64, 3), (32, 5)])
def test_directions_are_unit_distinct_and_well_spread(count: int, dimension: int) -> None:
    a = directions(count, dimension)
    assert a.shape == (count, dimension)
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1, rtol=0, atol=1e-14)
    cosine = np.abs(a @ a.T) - 2 * np.eye(count)
    nearest = np.arccos(np.clip(cosine.max(1), -1, 1))
    # Caps of half the least angle around lines must fit on the half sphere: within a factor of three of the ideal spacing.
    ideal = np.pi / count if dimension == 2 else (2 * np.pi ** (dimension / 2) / count) ** (1 / (dimension - 1))
    assert nearest.min() > ideal / 4
    np.testing.assert_array_equal(a, directions(count, dimension))


def test_least_squares_recovers_a_planted_net_beside_dead_and_equal_columns() -> None:
    rng = np.random.default_rng(0)
    features = np.maximum(rng.normal(size=(500, 12)), 0)
    weight, bias = rng.normal(size=(2, 12)), rng.normal(size=2)
    values = features @ weight.T + bias
    got = solve(features, values)
    np.testing.assert_allclose(got[0], weight, atol=1e-9)
    np.testing.assert_allclose(got[1], bias, atol=1e-9)
    spoilt = np.concatenate([features, np.zeros((500, 1)), np.full((500, 1), 3.0), features[:, :2]], axis=1)
    w, b = solve(spoilt, values)
    assert not w[:, 12:14].any()
    assert np.abs(spoilt @ w.T + b - values).max() < 1e-9
    assert np.abs(w).max() < 10


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_linear_functions_are_exact(dimension: int) -> None:
    slope = np.arange(1.0, dimension + 1)
    fitted = fit(target(lambda u: u @ slope - 0.3, dimension), 32)
    assert fitted.error < 1e-8


def test_an_embedding_drops_out_and_noise_is_no_direction() -> None:
    embedding = np.linalg.qr(np.random.default_rng(1).normal(size=(128, 2)))[0]
    seen = target(bump, 2, embedding, noise=1e-9)
    coordinates = Coordinates.of(seen.draw(500, 0, False)[0])
    assert coordinates.rank == 2
    embedded, plain = fit(seen, 64), fit(target(bump, 2), 64)
    assert embedded.error < 2 * plain.error
    off = np.linalg.norm(embedded.ridge.dictionary.directions - embedded.ridge.dictionary.directions @ embedding @ embedding.T, axis=1)
    assert off.max() < 1e-6


@pytest.mark.parametrize("effort", ["quick", "thorough"])
def test_the_held_out_error_is_honest(effort: Effort) -> None:
    fitted = franke_fit(effort)
    assert largest_error(fitted, franke, 2) <= HONEST * fitted.error
    at = fitted.witness[None]
    assert np.abs(fitted.net(at) - franke(at)[:, None]).max() == pytest.approx(fitted.error)


def test_thorough_fits_beat_quick_ones() -> None:
    assert franke_fit("thorough").error < 0.75 * franke_fit("quick").error


def test_fits_are_deterministic_for_a_seed() -> None:
    one, two = (fit(target(franke, 2), 48, seed=3, effort="thorough") for _ in range(2))
    np.testing.assert_array_equal(one.net.affines[0].weight, two.net.affines[0].weight)
    np.testing.assert_array_equal(one.net.affines[1].weight, two.net.affines[1].weight)
    assert one.error == two.error


@pytest.mark.parametrize("effort", ["quick", "thorough"])
def test_the_ridge_form_equals_the_plain_weights(effort: Effort) -> None:
    fitted = franke_fit(effort)
    u = np.random.default_rng(2).random((2000, 2))
    np.testing.assert_allclose(fitted.ridge(u), fitted.net(u), rtol=0, atol=1e-10)
    assert fitted.width <= 96


@pytest.mark.parametrize("effort", ["quick", "thorough"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_directions_are_recovered_from_the_weights_bit_by_bit(effort: Effort, dtype: str) -> None:
    fitted = franke_fit(effort)
    built, found = fitted.ridge.dictionary.directions.astype(dtype), Ridge.of(fitted.net.astype(dtype)).dictionary.directions
    assert {tuple(row) for row in np.concatenate([built, -built])} == {tuple(row) for row in np.concatenate([found, -found])}
    np.testing.assert_allclose(np.linalg.norm(fitted.ridge.dictionary.directions, axis=1), 1, atol=1e-14)


def test_neurons_face_outward() -> None:
    dictionary = franke_fit("thorough").ridge.dictionary
    start = 0
    for count in dictionary.counts:
        knots, facing = dictionary.knots[start : start + count], dictionary.facing[start : start + count]
        assert knots[facing < 0].max(initial=-np.inf) <= knots[facing > 0].min(initial=np.inf)
        start += count


def test_hats_and_relus_are_the_same_functions() -> None:
    u = np.random.default_rng(4).random((3000, 3))
    grid = uniform_grid(u, directions(9, 3), 40)
    levels = least_squares(grid, u, np.stack([u[:, 0] * u[:, 1], np.cos(3 * u[:, 2])], axis=1))
    ridge = grid.ridge(levels, Coordinates.of(u))
    np.testing.assert_allclose(ridge(u), grid.hats(u) @ levels, rtol=0, atol=1e-9)
    assert ridge.dictionary.width == 43


def test_pruning_keeps_directions_and_knots_and_beats_a_full_dictionary_of_the_same_width() -> None:
    draw = target(franke, 2).draw
    u, values = draw(4096, 0, False)
    held, truth = draw(4096, 1, True)
    wide = profile_grid(u, values, directions(16, 2), 360)
    narrow, levels = prune(wide, u, values, 120)
    assert narrow.knots == 120
    assert narrow.lines is wide.lines
    assert all(set(z) <= set(x) for z, x in zip(narrow.nodes, wide.nodes, strict=True))
    plain = uniform_grid(u, directions(16, 2), 120)
    errors = [np.abs(g.hats(held) @ c - truth).max() for g, c in ((narrow, levels), (plain, least_squares(plain, u, values)))]
    assert errors[0] < 0.5 * errors[1]


def test_profile_knots_beat_equispaced_ones_on_a_ridge_like_target() -> None:
    steep = directions(5, 2)[1]
    chosen = target(lambda u: np.tanh(20 * (u @ steep - 0.4)) + 0.3 * u[:, 0] ** 2, 2)
    u, values = chosen.draw(4096, 0, False)
    held, truth = chosen.draw(4096, 1, True)
    grids = profile_grid(u, values, directions(5, 2), 50), uniform_grid(u, directions(5, 2), 50)
    bent, plain = (np.abs(g.hats(held) @ least_squares(g, u, values) - truth).max() for g in grids)
    assert bent < 0.25 * plain


@pytest.mark.parametrize("dimension", [2, 3])
def test_straight_kinks_are_found(dimension: int) -> None:
    a = np.array([np.cos(0.7), np.sin(0.7), 0.35][:dimension])
    assert fit(target(lambda u: np.abs(u @ a - 0.6), dimension), 32).error < 1e-6
    smooth = fit(target(lambda u: np.cos(u.sum(1)), dimension), 64).error
    bent = fit(target(lambda u: np.cos(u.sum(1)) + np.abs(u @ a - 0.6), dimension), 64).error
    assert bent < 3 * smooth + 1e-3


def test_smooth_functions_have_no_kinks() -> None:
    chosen = target(franke, 2)
    samples = Samples(chosen, 0)
    assert len(samples.kinks(Coordinates.of(samples.for_width(64).inputs))[0]) == 0


@pytest.mark.parametrize("dimension", [4, 5, 6])
def test_sums_of_one_variable_functions_succeed_in_high_dimensions(dimension: int) -> None:
    fitted = fit_to(target(additive, dimension), 0.1, start=64, limit=1024, remedy="none")
    assert fitted.error <= 0.1
    assert fitted.width <= 128


def test_generic_functions_of_six_variables_are_refused_with_what_was_reached() -> None:
    with pytest.raises(EpsilonNotReached, match="refine") as refusal:
        fit_to(target(lambda u: np.sin(9 * (u - 0.5)).prod(1), 6), 1e-3, start=64, limit=512, remedy="refine")
    assert refusal.value.reached > 1e-2
    assert 8 <= refusal.value.width <= 512


@pytest.mark.parametrize("budget", [3e-2, 1e-2])
def test_fits_to_a_budget_meet_it_narrowly(budget: float) -> None:
    fitted = fit_to(target(franke, 2), budget, start=64, limit=2048, remedy="none")
    assert fitted.error <= budget
    full = fit(target(franke, 2), fitted.width)
    assert fitted.error < full.error


def test_a_search_may_be_given_its_number_of_directions() -> None:
    assert fit(target(franke, 2), 64, direction_count=12, search=False).direction_count == 12


def test_no_width_is_exceeded() -> None:
    chosen = target(bump, 3)
    for width in (8, 9, 17, 40):
        assert fit(chosen, width).width <= width
    samples = Samples(chosen, 0)
    data = samples.for_width(64)
    coordinates = Coordinates.of(data.inputs)
    search = Search(chosen, data, coordinates, samples.kinks(coordinates), 64)
    assert search.ridge(search.pruned(48, 3)).dictionary.width <= 64


def test_bad_inputs_are_named() -> None:
    with pytest.raises(InvalidArgument, match="width 3 is too small"):
        fit(target(bump, 2), 3)
    with pytest.raises(InvalidArgument, match="not finite at"):
        fit(target(lambda u: np.where(u[:, 0] > 0.5, u[:, 0], np.nan), 2), 16)
