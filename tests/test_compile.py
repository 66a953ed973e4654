"""Theorem 4.8 and Corollary 4.9: what `compile` builds, claims and refuses."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe import (
    Atlas,
    Box,
    CallableTarget,
    Chart,
    ChartTarget,
    EpsilonNotReached,
    ExpressionMap,
    ExpressionTarget,
    InvalidArgument,
    Known,
    LintError,
    ManifoldTask,
    Model,
    ball_atlas,
    builtin,
    compile,
    embed,
    verify,
)


def task_on(atlas: Atlas, expression) -> ManifoldTask:
    """A task with a target in the atlas's own coordinates."""
    symbols = tuple(sympy.Symbol(name, real=True) for name in atlas.coordinates)
    value = expression(*symbols)
    components = tuple(value) if isinstance(value, tuple) else (value,)
    return ManifoldTask("test", atlas, ExpressionTarget(ExpressionMap(symbols, tuple(map(sympy.sympify, components)))))


def saddle(x, y, z):
    return x * y + z**2


@pytest.fixture(scope="module")
def sphere() -> ManifoldTask:
    return task_on(builtin("sphere", dimension=2), saddle)


@pytest.fixture(scope="module")
def stereographic(sphere) -> Model:
    return compile(sphere, epsilon=0.05)


@pytest.fixture(scope="module")
def graph() -> Model:
    return compile(task_on(builtin("sphere", dimension=2, atlas="graph", partition_power=2), saddle), epsilon=0.05)


def relu(x):
    return np.where(x > 0, x, 0)


def test_the_weights_compute_what_theorem_4_8_writes_down(stereographic):
    """Layer 1 is x ↦ (x, τ(x)), layer 2 sends x to argmax τ and applies a three-layer net: recomputed from the raw arrays."""
    x = stereographic.task.atlas.sample(500, 3).ambient
    first, second = stereographic.network.layers
    hidden, out = first.experts[0].affines
    state = relu(x @ hidden.weight.T + hidden.bias) @ out.weight.T + out.bias
    np.testing.assert_array_equal(state[:, :3], x)
    routes = np.argmax(state[:, 3:], axis=1)
    assert set(routes) == {0, 1}
    expected = np.empty((500, 1))
    for row, (point, route) in enumerate(zip(x, routes, strict=True)):
        a1, a2, a3 = second.experts[route].affines
        expected[row] = a3.weight @ relu(a2.weight @ relu(a1.weight @ point + a1.bias) + a2.bias) + a3.bias
    np.testing.assert_allclose(stereographic(x), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(second.gate.weight, np.hstack([np.zeros((2, 3)), np.eye(2)]))
    np.testing.assert_array_equal(first.gate.weight, 0)
    assert len(first.experts) == 1
    assert first.serves == (0, 0)


def test_the_error_is_below_epsilon_on_points_nothing_was_fitted_to(stereographic, graph):
    for model in (stereographic, graph):
        points = model.task.atlas.sample(100_000, 987)
        error = np.abs(model(points.ambient) - model.task.evaluate(points)).max()
        assert error <= model.facts["epsilon"] == 0.05
        # Not a constant: the target varies by 1.5.
        assert np.ptp(model(points.ambient)) > 1.4


def test_the_router_picks_a_chart_that_contains_the_point(stereographic, graph):
    for model in (stereographic, graph):
        atlas = model.task.atlas
        points = atlas.sample(20_000, 5)
        routes = model.network.trace(points.ambient).routes[-1]
        for chart in range(len(atlas)):
            assert atlas.contains(chart, points.base[routes == chart]).all()
        rho = atlas.rho(points.base)[np.arange(len(routes)), routes]
        assert rho.min() >= 1 / (2 * len(atlas))


def test_the_ledger_budgets_are_the_papers(stereographic, graph):
    for model, E, theorem in ((stereographic, 2, "4.8"), (graph, 6, "4.9")):
        ledger = model.ledger
        assert model.facts["theorem"] == theorem
        assert model.facts["routing"] == "theorem"
        assert ledger["routing.tau"].budget == pytest.approx(1 / (4 * E), rel=1e-15)
        assert ledger["routing.max_tau"].budget == pytest.approx(3 / (4 * E), rel=1e-15)
        assert ledger["routing.chosen_rho"].budget == pytest.approx(1 / (2 * E), rel=1e-15)
        assert ledger["total"].budget == 0.05
        assert ledger["passthrough"].known is Known.EXACT
        assert {c.known for c in ledger} <= {Known.EXACT, Known.SAMPLED, Known.FORMULA}
        assert ledger.holds
        names = [claim.name for claim in ledger]
        assert len(set(names)) == len(names)


def test_an_expert_comes_near_its_share_of_epsilon_and_its_parts_have_halves(stereographic):
    """|f − g∘ψ| ≤ |F − g| + Lip(g)·|φ − ψ| (B15) is seldom attained: budgets of the parts grow until the expert needs its share."""
    for name in ("north", "south"):
        expert, target, chart = (stereographic.ledger[f"expert[{name}]{part}"] for part in ("", ".target", ".chart"))
        slope = float(chart.statement.split("Lip(g) = ")[1].split()[0])
        assert slope * chart.budget == pytest.approx(target.budget, rel=1e-2)
        assert 0.5 * expert.budget <= expert.bound <= expert.budget == pytest.approx(0.05 * 15 / 16)
        assert expert.bound <= 1.15 * (target.bound + slope * chart.bound)


def test_witnesses_reproduce_their_bounds(stereographic):
    total = stereographic.ledger["total"]
    x = np.array([total.witness])
    assert np.abs(stereographic(x) - stereographic.task(x)).max() == pytest.approx(total.bound, rel=1e-12)


def test_width_is_reported_with_what_carrying_x_costs(stereographic):
    """R1: 2D neurons carry x beside the m that compute τ."""
    network, facts = stereographic.network, stereographic.facts
    m = max(group.count for layer in network.layers for net in layer.experts for groups in net.groups for group in groups)
    assert facts["m"] == m
    assert facts["true_width"] == max(width for layer in network.layers for net in layer.experts for width in net.widths)
    tau = network.layers[0].experts[0].groups[0][1].count
    assert network.layers[0].experts[0].widths == (6 + tau,)
    assert facts["parameters"] == sum(
        a.weight.size + a.bias.size
        for layer in network.layers
        for part in ([layer.gate], *(n.affines for n in layer.experts))
        for a in part
    )


def test_a_smaller_epsilon_takes_wider_experts(sphere, stereographic):
    finer = compile(sphere, epsilon=0.015)
    assert finer.ledger["total"].bound <= 0.015
    assert finer.facts["m"] > stereographic.facts["m"]


def test_compiling_twice_gives_the_same_bits(sphere, stereographic):
    again = compile(sphere, epsilon=0.05)
    for a, b in zip(stereographic.network.layers, again.network.layers, strict=True):
        for p, q in zip(a.experts, b.experts, strict=True):
            for u, v in zip(p.affines, q.affines, strict=True):
                np.testing.assert_array_equal(u.weight, v.weight)
                np.testing.assert_array_equal(u.bias, v.bias)


def test_a_given_width_is_respected_and_epsilon_is_what_it_reaches(sphere):
    model = compile(sphere, width=96)
    assert model.facts["m"] <= 96
    assert model.facts["requested"] == "width"
    points = model.task.atlas.sample(50_000, 77)
    error = np.abs(model(points.ambient) - model.task.evaluate(points)).max()
    assert model.facts["epsilon"] / 4 < error <= model.facts["epsilon"]


@pytest.mark.parametrize(
    ("routing", "budget"), [("multiplicity", lambda facts: 1 / (4 * facts["multiplicity"])), ("plateau", lambda _: 0.25)]
)
def test_relaxed_routing_has_its_own_budget_and_a_witness_partition(sphere, routing, budget):
    model = compile(sphere, epsilon=0.05, routing=routing)
    assert model.ledger["routing.tau"].budget == pytest.approx(budget(model.facts))
    assert model.ledger["routing.witness"].holds
    assert verify(model, samples=5000).holds


def test_plateau_routing_on_balls_of_a_sphere_is_exact_with_a_neuron_a_chart():
    model = compile(task_on(ball_atlas(builtin("sphere", dimension=2), charts=24), saddle), epsilon=0.05, routing="plateau")
    assert model.facts["theorem"] == "4.9"
    assert model.network.layers[0].experts[0].groups[0][1].count == 24
    assert model.ledger["routing.tau"].bound < 1e-9


def test_auto_falls_back_from_the_papers_budget_where_that_is_out_of_reach():
    model = compile(task_on(ball_atlas(builtin("sphere", dimension=2), charts=40), saddle), epsilon=0.05, theorem="4.9")
    assert model.facts["routing"] == "plateau"
    assert verify(model, samples=5000).holds


def test_4_8_takes_affine_charts_too_and_approximates_them():
    atlas = builtin("circle", atlas="stereographic")
    curved = compile(task_on(atlas, lambda x, y: x * y), epsilon=0.05)
    assert [len(net.affines) for net in curved.network.layers[1].experts] == [3, 3]
    flat = compile(task_on(builtin("interval", charts=2), lambda x: sympy.sin(3 * x)), epsilon=0.01)
    assert [len(net.affines) for net in flat.network.layers[1].experts] == [2, 2]
    forced = compile(task_on(builtin("interval", charts=2), lambda x: sympy.sin(3 * x)), epsilon=0.01, theorem="4.8")
    assert [len(net.affines) for net in forced.network.layers[1].experts] == [3, 3]
    assert forced.ledger["expert[" + forced.task.atlas.names[0] + "].chart"].bound < 1e-9


SCORES_ARE_DEAR = {"torus", "moebius_band", "swiss_roll"}
"""Where scores within the theorem's own budget take ten times longer to fit than the experts."""


@pytest.mark.parametrize(
    ("name", "options", "target"),
    [
        ("circle", {"charts": 3}, lambda x, y: sympy.sin(5 * x) + sympy.cos(3 * y)),
        ("cylinder", {}, lambda x, y, z: x * z + y),
        ("moebius_band", {}, lambda x, y, z: x + z * y),
        ("swiss_roll", {}, lambda x, y, z: sympy.sin(3 * x) * y + z),
        ("torus", {"dimension": 2, "partition_power": 2}, lambda a, b, c, d: a * c + b * d),
        ("ellipsoid", {}, lambda x, y, z: x * y + z),
        ("so3", {"atlas": "ball", "charts": 72}, lambda *x: x[0] + x[5]),
        ("interval", {}, lambda x: sympy.exp(x)),
    ],
)
def test_every_kind_of_manifold_compiles_and_verifies(name, options, target):
    task = task_on(builtin(name, **options), target)
    spread = np.ptp(task.evaluate(task.atlas.sample(5000, 0)), axis=0).max()
    dear = name in SCORES_ARE_DEAR
    model = compile(task, epsilon=(0.15 if dear else 0.05) * spread, **({"routing": "plateau"} if dear else {}))
    report = verify(model, samples=5000, seed=11)
    assert report.holds, str(report)


def test_embedding_costs_carrying_neurons_and_nothing_else():
    """The error sees d, not D; weights stay moderate, so that float32 inference stays accurate (R9)."""
    atlas = builtin("circle", charts=4)
    models = [
        compile(task_on(embed(atlas, dimension=D, seed=1), lambda x, y: sympy.sin(3 * x) + sympy.cos(2 * y)), epsilon=0.05, dtype="float32")
        for D in (8, 128)
    ]
    first, second = (model.facts["m"] for model in models)
    assert abs(first - second) <= 0.25 * first
    for model in models:
        assert model.network.dtype == np.float32
        assert max(np.abs(a.weight).max() for layer in model.network.layers for net in layer.experts for a in net.affines) < 1e3
        assert verify(model, samples=5000).holds


def test_in_one_dimension_the_ledger_has_a_formula_above_what_was_sampled():
    task = task_on(builtin("interval", charts=2), lambda x: sympy.sin(9 * x) * sympy.exp(x))
    model = compile(task, epsilon=1e-4)
    for name in task.atlas.names:
        formula, sampled = model.ledger[f"expert[{name}].a_priori"], model.ledger[f"expert[{name}].target"]
        assert formula.known is Known.FORMULA
        assert sampled.bound <= formula.bound <= formula.budget == sampled.budget
        assert formula.bound <= 1.2 * sampled.bound


def test_vector_targets_meet_epsilon_in_every_component():
    model = compile(task_on(builtin("circle"), lambda x, y: (x * y, sympy.sin(3 * x), x - y)), epsilon=0.02)
    points = model.task.atlas.sample(20_000, 9)
    assert model(points.ambient).shape == (20_000, 3)
    assert np.abs(model(points.ambient) - model.task.evaluate(points)).max() <= 0.02


def test_callable_and_chartwise_targets():
    atlas = builtin("circle", charts=3)
    called = compile(ManifoldTask("called", atlas, CallableTarget(lambda y: y[:, 0] * y[:, 1])), epsilon=0.02)
    assert verify(called, samples=3000).holds
    u = atlas.parametrising[0].inverse.variables[0]
    per_chart = tuple(ExpressionMap((u,), (chart.inverse.expressions[0] * chart.inverse.expressions[1],)) for chart in atlas.parametrising)
    chartwise = compile(ManifoldTask("chartwise", atlas, ChartTarget(per_chart)), epsilon=0.02)
    x = atlas.sample(1000, 2).ambient
    np.testing.assert_allclose(chartwise(x)[:, 0], x[:, 0] * x[:, 1], atol=0.02)


def test_charts_without_forward_maps_compile_from_pairs():
    """ψ needs only pairs (φ⁻¹(u), u) when the bumps are given in ambient coordinates."""
    x, y, u = sympy.symbols("x y u", real=True)
    charts = []
    for name, sign in (("right", 1), ("left", -1)):
        inverse = ExpressionMap((u,), (sign * sympy.cos(u), sympy.sin(u)))
        bump = ExpressionMap((x, y), (sympy.Max(0, sign * x + sympy.Rational(1, 2)) ** 2,))
        charts.append(Chart(name, Box((-2.2,), (2.2,)), inverse, bump=bump))
    task = ManifoldTask("pairs", Atlas(("x", "y"), tuple(charts)), ExpressionTarget(ExpressionMap((x, y), (x * y,))))
    model = compile(task, epsilon=0.03)
    assert model.facts["theorem"] == "4.8"
    assert verify(model, samples=3000).holds


def test_the_experts_beside_each_other_are_the_experts_one_by_one(sphere, stereographic):
    from joblib import parallel_config

    with parallel_config(backend="threading", n_jobs=2):
        parallel = compile(sphere, epsilon=0.05)
    for a, b in zip(stereographic.network.layers[1].experts, parallel.network.layers[1].experts, strict=True):
        for p, q in zip(a.affines, b.affines, strict=True):
            np.testing.assert_array_equal(p.weight, q.weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give either epsilon"),
        ({"epsilon": 0.1, "width": 64}, "and not both"),
        ({"epsilon": -1.0}, "positive number, .*got -1.0"),
        ({"epsilon": float("nan")}, "positive number, .*got nan"),
        ({"width": 3}, "width must be an integer from"),
        ({"epsilon": 0.1, "theorem": "4.10"}, "theorem '4.10' is not one of"),
        ({"epsilon": 0.1, "theorem": "4.9"}, "theorem 4.9 needs affine charts, but"),
        ({"epsilon": 0.1, "routing": "softmax"}, "routing 'softmax' is not one of"),
        ({"epsilon": 0.1, "dtype": "bfloat16"}, "dtype 'bfloat16' is not one of"),
        ({"epsilon": 0.1, "max_width": 0}, "max_width must be an integer from"),
    ],
)
def test_bad_arguments_are_named(sphere, arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        compile(sphere, **arguments)


def test_an_epsilon_out_of_reach_says_what_was_reached(sphere):
    with pytest.raises(
        EpsilonNotReached, match=r"widths up to \d+ were tried of the 128 allowed.*\(a\) .* activation=\"auto\"; .* epsilon=0\."
    ) as caught:
        compile(sphere, epsilon=1e-6, max_width=128)
    assert caught.value.width <= 128
    assert caught.value.reached > caught.value.budget > 0


def test_float32_refuses_what_its_rounding_cannot_hold():
    task = task_on(builtin("interval"), lambda x: 1000 + sympy.sin(x))
    with pytest.raises(EpsilonNotReached, match=r'dtype="float64", or allow a larger error: epsilon=0\.0'):
        compile(task, epsilon=1e-5, dtype="float32")
    assert compile(task, epsilon=1e-5).ledger["total"].bound <= 1e-5


def test_a_task_that_breaks_an_assumption_is_refused_before_any_work():
    atlas = builtin("circle", charts=3)
    holed = Atlas(atlas.coordinates, atlas.charts[:2])
    with pytest.raises(LintError) as caught:
        compile(task_on(holed, lambda x, y: x), epsilon=0.1)
    assert caught.value.findings
