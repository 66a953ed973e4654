"""Plans: laws recovered from their values, predictions that building confirms, the cheapest row compiled, and the command line."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe import EpsilonNotReached, ExpressionMap, ExpressionTarget, Frontier, InvalidArgument, ManifoldTask, builtin, refine
from atlasmoe.cli.main import main
from atlasmoe.constructions import pilots
from atlasmoe.constructions import plan as planning
from atlasmoe.constructions.pilots import NEAR, Law, measured, polynomial_misses
from atlasmoe.constructions.plan import CALL, WITHIN, Plan, latency, plan
from atlasmoe.constructions.relu import NARROWEST
from atlasmoe.constructions.routers import affine as affine_router
from click.testing import CliRunner, Result
from planned_tasks import helicoid, klein_bottle, library

X = sympy.symbols("x1:5", real=True)


def task_on(name: str, expression: sympy.Expr, **options: object) -> ManifoldTask:
    atlas = builtin(name, **options)
    return ManifoldTask(name, atlas, ExpressionTarget(ExpressionMap(X[: atlas.base_dimension], (expression,))))


compiling = importlib.import_module("atlasmoe.constructions.compile")


@pytest.fixture(scope="module", autouse=True)
def nothing_twice() -> Iterator[None]:
    """What planning has done need not be done again in building: atlases are refined once, and tasks checked when they are planned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "refine", cache(planning.refine))
        patch.setattr(compiling, "check_task", lambda task: [])
        yield


CIRCLE = task_on("circle", sympy.sin(5 * X[0]) + sympy.cos(3 * X[1]))


@pytest.fixture(scope="module")
def circle() -> Frontier:
    """Planned while nothing can be built."""

    def builds(*_: object, **__: object) -> None:
        raise AssertionError("a model was built")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "construct", builds)
        return plan(CIRCLE, 1e-3)


# Laws ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dimension", "slope"), [(1, 2.0), (2, 1.25), (2, 0.8), (3, 1.0), (3, 0.5)])
@pytest.mark.parametrize("width", [12, 100, 5000])
def test_power_laws_are_recovered(dimension: int, slope: float, width: int) -> None:
    """error = (m/width)^(−slope), budget 1: m = width, whether that is measured, between measured widths or far beyond them."""
    tried: list[int] = []

    def error(m: int) -> float:
        tried.append(m)
        return (m / width) ** -slope

    law = measured(error, 1.0, first=64, limit=512, dimension=dimension, smooth=np.inf)
    assert width <= law.width(1.0) * (1 + 1e-9)
    assert law.width(1.0) <= NEAR * width + 1
    assert law.error(width) == pytest.approx(1, rel=0.02)
    assert max(tried) <= 512
    assert len(tried) <= 4


def test_no_law_is_faster_than_b3_allows() -> None:
    """Slopes seen early are not kept up: 2 while the quadratic part limits, (d+3)/(2d) when it does not."""

    def steep(m: int) -> float:
        return 1e3 * m**-3.0

    smooth = measured(steep, 1e-9, first=64, limit=512, dimension=2, smooth=np.inf)
    quadratic = measured(steep, 1e-9, first=64, limit=512, dimension=2, smooth=0.0)
    assert (smooth.slope, smooth.quadratic) == (1.25, False)
    assert (quadratic.slope, quadratic.quadratic) == (2.0, True)
    assert smooth.error(1e5) / smooth.error(2e5) == pytest.approx(2**1.25)


def test_noise_cannot_make_laws_increase() -> None:
    """A wider pilot that comes out worse counts as the narrower one, and a slope of zero as the least there is."""
    law = measured(lambda m: 0.1 if m != 64 else 0.05, 1e-3, first=64, limit=512, dimension=2, smooth=np.inf)
    assert list(law.errors) == sorted(law.errors, reverse=True)
    assert 0 < law.slope < 0.2
    assert law.width(1e-3) > 512


def test_targets_that_are_met_exactly_take_the_narrowest_net() -> None:
    assert measured(lambda m: 0.0, 1e-9, first=64, limit=512, dimension=2, smooth=0.0).width(1e-9) == NARROWEST


def test_sudden_drops_are_not_interpolated_across_a_little() -> None:
    """Within 15 % of a measured width, that one: its error is known."""
    law = Law((64, 70, 256), (1.0, 1e-3, 1e-4), 1.25, False)
    assert law.width(0.1) == 70
    assert law.error(70) == pytest.approx(1e-3)


def test_polynomials_miss_what_is_no_polynomial() -> None:
    u = np.random.default_rng(0).uniform(-1, 3, (200, 2))
    plane, bowl = 1 + u @ [2.0, -1.0], u[:, 0] ** 2 - 3 * u[:, 0] * u[:, 1]
    linear, quadratic = polynomial_misses(u, np.column_stack([plane, bowl]))
    assert linear > 1
    assert quadratic < 1e-10
    assert polynomial_misses(u, np.sin(3 * plane)[:, None])[1] > 0.1


# Predictions and what becomes of them ----------------------------------------------------------------------------------


def test_a_plan_builds_nothing(circle: Frontier) -> None:
    assert all(row.reached is None for row in circle)


def assert_predicted_well(frontier: Frontier, rows: Sequence[Plan]) -> None:
    """Width, numbers and error within the factor that the documentation states, and the error below ε."""
    for row in rows:
        model = frontier.model(row)
        pairs = {
            "width": (row.width, model.facts["m"]),
            "active": (row.active, model.network.active_parameters),
            "total": (row.total, model.network.parameters),
            "error": (row.predicted, model.ledger.root.bound),
        }
        assert {name: pair for name, pair in pairs.items() if not 1 / WITHIN <= pair[0] / pair[1] <= WITHIN} == {}
        assert model.ledger.root.bound <= frontier.epsilon


def test_predictions_on_the_circle(circle: Frontier) -> None:
    """With the fewest experts, each fitted by itself, and the most, which share their knots."""
    assert_predicted_well(circle, [circle[0], circle[-1]])


def test_predictions_on_the_sphere() -> None:
    frontier = plan(task_on("sphere", sympy.sin(3 * X[0]) + X[1] * X[2]), 5e-2, experts=[24])
    assert_predicted_well(frontier, frontier.rows)


def test_neither_the_ambient_dimension_nor_the_charts_of_the_task_matter(circle: Frontier) -> None:
    """The error sees d, not D; the parameters see D. Rows are ball atlases, whatever was there before."""
    plain = next(row for row in circle if row.experts == 16)
    embedded = ManifoldTask("circle", atlasmoe.embed(CIRCLE.atlas, 50), CIRCLE.target)
    (wide,) = plan(refine(embedded, experts=5), 1e-3, experts=[16])
    assert wide.width == plain.width
    assert wide.law.errors == pytest.approx(plain.law.errors)
    assert wide.active == plain.active + 48 * (16 + plain.width)


@pytest.mark.parametrize(
    ("task", "epsilon", "experts"),
    [
        (library("torus", "sin(2*x1)*x3 + x4", dimension=2), 0.05, 48),
        (helicoid(), 0.1, 24),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_predictions_on_surfaces(task: ManifoldTask, epsilon: float, experts: int) -> None:
    frontier = plan(task, epsilon, experts=[experts])
    assert_predicted_well(frontier, frontier.rows)


def test_predictions_on_a_klein_bottle() -> None:
    """Tangent discs end sooner in the direction in which the bottle curves: all cells share a dictionary on what is left."""
    frontier = plan(klein_bottle(), 0.3, experts=[48])
    assert_predicted_well(frontier, frontier.rows)


def test_predictions_on_rotations() -> None:
    """58 experts of 8 neurons and none above 16: hard cells get directions of their own, not those that did for easy ones.

    That is what compile builds; building all takes as long again, and is left out.
    """
    (row,) = plan(library("so3", "x1*x5 + x9"), 0.2, experts=[100])
    assert 8 <= row.width <= 16 * WITHIN
    assert 12_000 / WITHIN <= row.total <= 12_000 * WITHIN


def test_predictions_with_smooth_neurons() -> None:
    frontier = plan(task_on("sphere", sympy.sin(3 * X[0]) + X[1] * X[2]), 2e-3, experts=[24], activation="silu")
    assert (frontier.activation, frontier.gated) == ("silu", False)
    assert_predicted_well(frontier, frontier.rows)
    assert frontier[0].total < plan(frontier.task, 2e-3, experts=[24])[0].total


def test_pilots_stand_for_all_cells() -> None:
    for count in (1, 2, 5, 7, 15, 16, 31, 32, 100, 1000):
        places, weights = pilots.strata(count)
        assert sum(weights) == pytest.approx(count)
        assert {0, count - 1} <= set(places)
        assert len(places) == len(weights) == min(count, pilots.SOME if count < 16 else pilots.SHARING)


def test_there_is_something_to_choose_from() -> None:
    """Even where more balls can only cost more."""
    rows = plan(task_on("circle", X[0]), 0.5)
    assert len(rows) == planning.LEAST_ROWS
    assert [row.total for row in rows] == sorted(row.total for row in rows)


def law_of(task: ManifoldTask, epsilon: float, experts: int) -> Law:
    """What pilots of given widths measure, whatever `compile` would build."""
    finer = refine(task, experts=experts)
    routing = affine_router.route(finer.atlas, "float64", 0, prove=False)
    return pilots.law(finer, routing, affine_router.cells(routing, 0), epsilon, limit=512, seed=0)


def test_experts_for_width_while_smoothness_limits() -> None:
    """B3, d = 1, K = 2: m·E stays what it is."""
    laws = {count: law_of(CIRCLE, 6e-4, count) for count in (4, 6, 8)}
    products = [law.width(6e-4) * count for count, law in laws.items()]
    assert max(products) / min(products) < 1.25
    assert not any(law.quadratic for law in laws.values())


def test_the_default_ladder(circle: Frontier) -> None:
    """Doublings from the least number of balls that will do, until more can only cost more."""
    counts = [row.experts for row in circle]
    assert counts[0] == len(atlasmoe.ball_atlas(CIRCLE.atlas))
    assert counts == [counts[0] * 2**k for k in range(len(counts))]
    assert 2 * counts[-1] * 3 >= min(row.active for row in circle), "the next gate alone costs as much"


def test_costs() -> None:
    """The latency model as documented; large batches share the calls of experts."""
    assert latency(8, 100, 3, 2, 1) == 8 * 3 + 100 * 5 + CALL
    assert latency(8, 100, 3, 2, 1000) == 8 * 3 + 100 * 5 + CALL * 8 / 1000
    assert latency(64, 10, 3, 2, 4) > latency(4, 300, 3, 2, 10**6)


def test_what_is_least_depends_on_what_counts(circle: Frontier) -> None:
    """A gate of 3·E numbers for experts of width 1024/E: sixteen experts are least to run, four least to store."""
    rows = tuple(
        dataclasses.replace(circle[0], experts=E, width=1024 // E, active=3 * E + 4 * 1024 // E, total=3 * E + 4 * 1024)
        for E in (4, 16, 256)
    )
    made = dataclasses.replace(circle, rows=rows)
    assert (made.best("active").experts, made.best("total").experts) == (16, 4)
    assert [row.total for row in made.ranked("total")] == sorted(row.total for row in made)
    assert [row.total for row in circle.ranked("total")] == sorted(row.total for row in circle)


def test_too_narrow_a_limit_is_refused_with_what_would_do(circle: Frontier) -> None:
    narrow = plan(CIRCLE, 1e-3, experts=[4, 8], max_width=16)
    assert not any(row.buildable for row in narrow)
    assert [row.reached for row in narrow.built()] == [None, None]
    with pytest.raises(
        EpsilonNotReached, match=r"8 experts, the best of 4, 8 .*at width 16.*allow wider experts, max_width=3\d, plan with more of them"
    ):
        narrow.best()


# compile(minimise=…) ---------------------------------------------------------------------------------------------------


def test_compile_to_the_least_cost(circle: Frontier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(planning, "plan", lambda *given, **_: asked.append(given) or circle)
    model = atlasmoe.compile(CIRCLE, epsilon=1e-3, minimise="total")
    assert asked == [(CIRCLE, 1e-3)]
    chosen = model.facts["plan"]
    assert (chosen["minimise"], chosen["experts"], chosen["width"]) == ("total", circle.best("total").experts, circle.best("total").width)
    assert model.ledger.holds
    assert model.ledger.root.budget == 1e-3
    assert chosen["reached"] == {
        "width": model.facts["m"],
        "active": model.network.active_parameters,
        "total": model.network.parameters,
        "error": model.ledger.root.bound,
    }
    assert f"m = {chosen['width']} predicted, {model.facts['m']} reached" in model.ledger.root.note
    assert chosen["total"] / WITHIN <= model.network.parameters <= chosen["total"] * WITHIN
    assert atlasmoe.verify(model, samples=2000).holds
    atlasmoe.save(model, tmp_path / "model")
    assert atlasmoe.load(tmp_path / "model").facts["plan"] == chosen


def test_a_row_that_breaks_its_promise_is_passed_over(circle: Frontier, monkeypatch: pytest.MonkeyPatch) -> None:
    real = planning.construct
    first: list[int] = []

    def fails_once(task: ManifoldTask, **choices: object) -> atlasmoe.Model:
        if not first:
            first.append(len(task.atlas))
            raise EpsilonNotReached("test", budget=1.0, reached=2.0, width=8, remedy="none")
        return real(task, **choices)

    monkeypatch.setattr(planning, "plan", lambda *_, **__: circle)
    monkeypatch.setattr(planning, "construct", fails_once)
    model = atlasmoe.compile(CIRCLE, epsilon=1e-3, minimise="active")
    assert model.facts["plan"]["passed_over"] == first
    assert model.facts["experts"] not in first


# Refusals --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"epsilon": -1.0}, "epsilon must be a positive number"),
        ({"experts": []}, "at least one number of experts"),
        ({"experts": [4.5]}, "experts must be an integer from 1 to 4096, got 4.5"),
        ({"experts": "8"}, "experts must be a list of integers, got '8'"),
        ({"max_width": 4}, "max_width must be an integer from 8"),
        ({"batch": 0}, "batch must be an integer from 1"),
        ({"experts": [2, 3]}, "(?s)no number of experts on the list will do:.*2 balls.*3 balls"),
    ],
)
def test_bad_arguments(choices: dict, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        plan(task_on("sphere", X[0]), **{"epsilon": 0.1, **choices})


@pytest.mark.parametrize("choices", [{"width": 32}, {"epsilon": 0.1, "theorem": "4.8"}, {"epsilon": 0.1, "routing": "plateau"}])
def test_minimise_goes_with_an_epsilon_alone(choices: dict) -> None:
    with pytest.raises(InvalidArgument, match="minimise chooses charts and widths for an epsilon"):
        atlasmoe.compile(CIRCLE, minimise="active", **choices)


def test_unknown_costs_are_refused_before_the_work() -> None:
    with pytest.raises(InvalidArgument, match="unknown minimise 'totel'; did you mean 'total'"):
        atlasmoe.compile(CIRCLE, epsilon=1e-12, minimise="totel")


# The command line ------------------------------------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "circle.toml"
    path.write_text('[task]\nname = "ring"\nkind = "manifold"\n[manifold]\nbuiltin = "circle"\n[target]\nexpression = "x1*x2"\n')
    return path


def test_the_table(spec: Path, tmp_path: Path) -> None:
    figure = tmp_path / "plan.png"
    result = run("plan", spec, "--epsilon", "1%", "--experts", "4,2", "--build", "--figure", figure)
    assert result.exit_code == 0, result.output
    assert "ε = 0.01" in result.stdout
    for word in ("active", "total", "latency", "predicted", "reached", "E = 2 left out: task 'ring' cannot be refined to 2 balls"):
        assert word in result.stdout
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_json(spec: Path) -> None:
    document = json.loads(run("plan", spec, "--epsilon", "0.01", "--experts", "4 8", "--max-width", "9", "--json").stdout)
    assert [row["experts"] for row in document["rows"]] == [4, 8]
    assert [row["buildable"] for row in document["rows"]] == [row["width"] <= 9 for row in document["rows"]]
    assert all(row["reached"] is None for row in document["rows"])


def test_compile_minimise(spec: Path, tmp_path: Path) -> None:
    result = run("compile", spec, "-o", tmp_path / "m", "--epsilon", "0.01", "--minimise", "active")
    assert result.exit_code == 0, result.output
    assert "planned for least active: E = " in result.stdout
    assert run("compile", spec, "-o", tmp_path / "n", "--minimise", "size").exit_code == 2
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--experts", "4,x"), "--experts '4,x': 'x' is no number of experts"),
        (("--experts", ""), "is no number of experts"),
        (("--experts", "5000"), "experts must be an integer from 1 to 4096"),
        (("--epsilon", "much"), "neither a number nor a percentage"),
        (("--batch", "0"), "0 is not in the range x>=1"),
        (("--figure", "no/where.png"), "there is no folder"),
    ],
)
def test_errors_exit_with_2_and_no_traceback(spec: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run("plan", spec, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert json.loads(run("plan", spec, *arguments, "--json").stdout)["error"]["exit_code"] == 2
