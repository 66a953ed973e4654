"""Experts as narrow as can be: searches that end at the least, errors that are climbed to, neurons chosen by what they store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sympy
from atlasmoe import Box, ExpressionMap, ExpressionTarget, ManifoldTask, builtin
from atlasmoe.constructions.asked import Asked, Missed
from atlasmoe.constructions.experts.batching import build_experts
from atlasmoe.constructions.experts.charts import Workshop
from atlasmoe.constructions.experts.narrowest import ladder, narrowest
from atlasmoe.constructions.experts.pieces import _fitted, piece_net
from atlasmoe.constructions.experts.shared_dictionary import adjugate
from atlasmoe.constructions.experts.slopes import lipschitz
from atlasmoe.constructions.experts.tighten import tightened
from atlasmoe.constructions.experts.ways import Way
from atlasmoe.constructions.experts.worst import extremes, worst_on_box
from atlasmoe.constructions.relu import Target
from atlasmoe.constructions.routers import affine as affine_router
from atlasmoe.constructions.smooth import fit
from atlasmoe.moe.activations import SILU

X = sympy.symbols("x1 x2", real=True)


def test_every_expert_gets_the_first_width_that_serves_it():
    need = {0: 8, 1: 9, 2: 33, 3: 33, 4: 130, 5: 10**6}
    tried = []

    def at(width, experts):
        tried.append(width)
        errors = {i: 1e-3 if width >= need[i] else min(1e6, (need[i] / width) ** 2) for i in experts}
        return {i: (i, width) for i in experts if errors[i] <= 1}, errors

    found = narrowest(at, list(need), 1.0, least=8, limit=256, steepest=3.0)
    rungs = ladder(8, 256)
    assert set(found) == {0, 1, 2, 3, 4}
    for i, one in found.items():
        least = min(rung for rung in rungs if rung >= need[i])
        assert one.made == (i, least)
        narrower = [rung for rung in rungs if rung < least]
        assert one.narrower == ((narrower[-1], pytest.approx((need[i] / narrower[-1]) ** 2)) if narrower else None)
    assert len(tried) == len(set(tried))


def test_rungs_are_left_out_where_errors_are_far_from_the_budget():
    tried = []

    def at(width, experts):
        tried.append(width)
        errors = dict.fromkeys(experts, (100 / width) ** 2)
        return {i: width for i in experts if errors[i] <= 1}, errors

    found = narrowest(at, [0], 1.0, least=2, limit=512, steepest=3.0)
    assert found[0].made == 112
    assert len(tried) < len(ladder(2, 112))


def test_widths_at_which_errors_need_not_fall_end_nothing():
    """The narrowest smooth nets are all as wide as the linear part: their errors are equal."""

    def at(width, experts):
        errors = dict.fromkeys(experts, 1e6 if width <= 8 else (8 / width) ** 12 * 1e6)
        return {i: width for i in experts if errors[i] <= 1}, errors

    assert narrowest(at, [0], 1.0, least=2, limit=512, steepest=12.0, patient=64)[0].made == 28
    assert not narrowest(at, [0], 1.0, least=2, limit=512, steepest=12.0)


@pytest.mark.parametrize(("share", "meets"), [(0.2, True), (0.9, True), (2.5, True), (1e9, False)])
def test_budgets_move_until_the_error_is_near_what_is_allowed(share, meets):
    """Something whose error is `share` times the budget it was built to, and whose size falls with that."""
    built = []

    def build(budget):
        built.append(budget)
        return budget * share + (1e9 if not meets else 0)

    made = tightened(build, lambda error: error, lambda error: round(100 / error), 1.0)
    assert (made <= 1) == meets
    assert not meets or made > 0.6
    assert len(built) <= 5


def test_a_spike_in_a_corner_is_found():
    box = Box((-1.0, 0.0), (1.0, 3.0))

    def error(u):
        return np.exp(-2e3 * ((u - [1.0, 3.0]) ** 2).sum(1)) + 0.1 * np.exp(-((u - [0.25, 1.0]) ** 2).sum(1))

    worst = worst_on_box(error, box, 512, 0)
    np.testing.assert_allclose(worst.at, [1.0, 3.0], atol=1e-4)
    ridge = worst_on_box(lambda u: np.exp(-1e3 * (u[:, 1] - u[:, 0] - 1.7) ** 2) * (2 - u[:, 0] ** 2), box, 512, 0)
    assert ridge.error > 1.98


def test_what_a_fit_claims_on_a_box_holds_at_its_corners_and_edges():
    function = ExpressionMap(X, (3 * X[0] * X[1] - X[1],))
    made = _fitted(function, Box((-1.0, -1.0), (1.0, 1.0)), Asked(1e-3, None, 1024, 0), Way(), "n", "o")
    along = np.linspace(-1, 1, 4001)
    edges = np.concatenate([np.column_stack(p) for c in (-1, 1) for p in ((along, 0 * along + c), (0 * along + c, along))])
    assert np.abs(made.net(edges) - function(edges)).max() <= made.bound <= 1e-3
    assert made.bound >= 0.5e-3


def test_slopes_of_smooth_nets_and_lanes():
    rng = np.random.default_rng(0)

    def draw(count, seed, held_out):
        u = rng.uniform(-1, 1, (count, 2))
        return u, np.sin(2 * u[:, :1]) * u[:, 1:]

    u, h = rng.uniform(-1, 1, (200, 2)), 1e-6
    for gated in (False, True):
        net = fit(Target(draw, "t", "o"), 12, activation=SILU, gated=gated).net
        differences = [np.abs(net(u + h * e) - net(u - h * e))[:, 0] / (2 * h) for e in np.eye(2)]
        assert lipschitz(net, u) == pytest.approx(np.sum(differences, axis=0).max(), rel=1e-5)


def test_adjugates():
    rng = np.random.default_rng(1)
    for d in (1, 2, 3, 4):
        a = rng.standard_normal((20, d, d))
        determinant, cofactors = adjugate(a)
        np.testing.assert_allclose(determinant, np.linalg.det(a), rtol=1e-10)
        np.testing.assert_allclose(cofactors @ a, determinant[:, None, None] * np.eye(d), atol=1e-10)


@pytest.fixture(scope="module")
def shop() -> tuple[Workshop, list]:
    atlas = builtin("sphere", dimension=2, atlas="ball", charts=20)
    x, y, z = (sympy.Symbol(name, real=True) for name in atlas.coordinates)
    task = ManifoldTask("test", atlas, ExpressionTarget(ExpressionMap((x, y, z), (sympy.sin(3 * x) * y + z,))))
    routing = affine_router.route(atlas, "float64", prove=False)
    return Workshop(task, routing, 0.02, None, True, 256, 0), affine_router.cells(routing, 0)


def _numbers(experts) -> int:
    return sum(expert.net.parameters for expert in experts)


def test_neurons_that_store_the_least_are_found_and_their_experts_hold(shop):
    workshop, cells = shop
    made = {}
    for activation, gated in (("relu", False), ("silu", False), ("silu", True), ("auto", False)):
        one = replace(workshop, activation=activation, gated=gated, drawn={})
        made[activation, gated] = build_experts(one, cells)
        assert all(expert.claim.holds for expert in made[activation, gated])
    numbers = {way: _numbers(experts) for way, experts in made.items()}
    assert 2 * numbers["silu", False] < numbers["relu", False]
    assert numbers["auto", False] <= 1.1 * min(numbers.values())
    # As near to the budget as the next narrower net is far from it.
    for expert in made["silu", True]:
        assert expert.claim.note or expert.net.widths == (2,)


def test_what_was_missed_widens_its_own_expert_and_no_other(shop):
    workshop, cells = shop
    workshop = replace(workshop, activation="silu", drawn={})
    before = build_experts(workshop, cells)
    missed = {workshop.task.atlas.names[3]: Missed(0.05, np.array([before[3].claim.witness]))}
    after = build_experts(replace(workshop, missed=missed, drawn={}), cells)
    assert after[3].net.widths > before[3].net.widths
    assert after[3].claim.bound <= 0.05 * 0.02
    assert all(a.net.widths == b.net.widths for k, (a, b) in enumerate(zip(after, before, strict=True)) if k != 3)


def test_the_far_ends_of_a_cell_are_its_vertices(shop):
    """The nearest three centres of a vertex are equally far from it."""
    workshop, cells = shop
    drawn = [cells[0].draw(workshop.task.atlas, workshop.routing, 512, 7)[1]]
    (ends,) = extremes(workshop.task, workshop.routing, cells[:1], drawn, 0)
    centers = workshop.task.atlas.balls[0]
    distances = np.sort(np.linalg.norm(ends.base[:, None] - centers, axis=2), axis=1)
    assert np.median(distances[:, 2] - distances[:, 0]) < 0.05
    assert (workshop.routing.lead(ends.base, 0) >= cells[0].threshold).all()


@pytest.mark.parametrize("gated", [False, True])
def test_a_piece_of_neurons_left_open_stores_the_least(gated):
    function = ExpressionMap(X, (sympy.exp(X[0]) * sympy.sin(2 * X[1] + X[0] ** 2),))
    lower, upper = -np.ones(2), np.ones(2)
    made = {
        way: piece_net(function, lower, upper, Asked(1e-2, None, 1024, 0, "float64", *way), "n")
        for way in (("silu", gated), ("auto", gated))
    }
    assert made["auto", gated].net.parameters <= made["silu", gated].net.parameters <= 240
    u = np.random.default_rng(0).uniform(-1, 1, (20_000, 2))
    for one in made.values():
        assert np.abs(one.net(u) - function(u)).max() <= one.bound <= 1e-2
