"""`lint`: each assumption of the theorems, broken by a minimal task, gives its finding; sound tasks give none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import (
    Atlas,
    BallChart,
    Box,
    CallableTarget,
    Chart,
    ChartTarget,
    ExpressionMap,
    ExpressionTarget,
    ManifoldTask,
    PartitionOfUnity,
    ball_atlas,
    builtin,
    lint,
)
from atlasmoe.errors import InvalidArgument, Severity
from lint_tasks import ARCS, THIRD, arc, cap, circle, hemispheres, on_circle, on_sphere, over, sheet, sphere, u, v, x, y, z
from sympy import Abs, Max, Piecewise, Rational, acos, atan2, cos, pi, sign, sin, sqrt


def summary(task: ManifoldTask) -> list[str]:
    return [f"{finding.severity}: {finding}" for finding in lint(task, samples=1024)]


def found(task: ManifoldTask, where: str, problem: str, severity: Severity = Severity.ERROR) -> bool:
    return any(f.where == where and problem in f.problem and f.severity is severity for f in lint(task, samples=1024))


@pytest.mark.parametrize(
    "task",
    [
        circle(*ARCS),
        sphere(cap("north", 1), cap("south", -1)),
        sphere(*hemispheres(0.8)),
        sphere(sheet("a", 0), sheet("b", THIRD), sheet("c", -THIRD)),
        circle(*ARCS, target=Max(x, 0) ** 4),
        circle(*ARCS, target=3),
        circle(*ARCS, target=Abs(x + 2) + Max(x, -3)),
        circle(*ARCS, target=ChartTarget(tuple(over((u,), cos(u + c)) for c in (0, THIRD, -THIRD)))),
        circle(*ARCS, target=CallableTarget(lambda points: points[:, 0])),
        circle(*ARCS, target=CallableTarget(lambda points: points, outputs=2)),
        circle(
            *(
                arc(c.name, k, forward=False, bump=on_circle(Max(0, x * cos(k) + y * sin(k) - Rational(1, 5)) ** 4))
                for c, k in zip(ARCS, (0, THIRD, -THIRD), strict=True)
            )
        ),
    ],
    ids=[
        "circle",
        "stereographic",
        "graph",
        "cylinder",
        "C3 target",
        "constant",
        "idle kinks",
        "chart targets",
        "callable",
        "vector callable",
        "no forward maps",
    ],
)
def test_sound_tasks_have_no_findings(task: ManifoldTask) -> None:
    assert summary(task) == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("interval", {}),
        ("circle", {}),
        ("sphere", {}),
        ("sphere", {"atlas": "graph"}),
        ("torus", {}),
        ("cylinder", {}),
        ("swiss_roll", {}),
        ("moebius_band", {}),
        ("ellipsoid", {}),
    ],
)
def test_the_library_is_sound(name: str, options: dict[str, object]) -> None:
    atlas = builtin(name, **options)
    symbols = sympy.symbols(atlas.coordinates, real=True)
    assert summary(ManifoldTask(name, atlas, ExpressionTarget(ExpressionMap(tuple(symbols), (symbols[0],))))) == []


def ball_task(atlas: Atlas) -> ManifoldTask:
    symbols = tuple(sympy.symbols(atlas.coordinates, real=True))
    return ManifoldTask("balls", atlas, ExpressionTarget(ExpressionMap(symbols, (symbols[0],))))


def test_ball_atlases_are_sound() -> None:
    assert summary(ball_task(ball_atlas(builtin("sphere"), charts=12))) == []


POLE = over((u,), 1 / (u - Rational(123, 1000)), sin(u))
CUBE_ROOT = on_circle(sign(y) * Abs(atan2(y, x)) ** Rational(1, 3))
BENT = arc("a", 0).inverse.expressions
STRETCH = u + Abs(u) / 4

CASES: dict[str, tuple[Callable[[], ManifoldTask], str, str]] = {
    "forward swaps coordinates": (
        lambda: sphere(cap("north", 1, forward=on_sphere(y / (1 + z), x / (1 + z))), cap("south", -1)),
        'chart "north": forward',
        "forward(inverse(u, v)) is not (u, v) at nearly all points: off by up to 1 box widths",
    ),
    "image outside the box": (
        lambda: sphere(cap("north", 1, forward=on_sphere(2 * x / (1 + z), 2 * y / (1 + z))), cap("south", -1)),
        'chart "north": forward',
        "forward(inverse(u, v)) leaves the box",
    ),
    "angle wraps": (lambda: circle(arc("a", 0, 3.5)), 'chart "a": forward', "forward(inverse(u)) is not u"),
    "inverse is NaN": (
        lambda: sphere(
            Chart("n", Box((-0.8,) * 2, (0.8,) * 2), over((u, v), u, v, sqrt(1 - u**2 - v**2)), on_sphere(x, y)), cap("south", -1)
        ),
        'chart "n": inverse[2]',
        "sqrt(-u**2 - v**2 + 1) has a value only where -u**2 - v**2 + 1 is not negative",
    ),
    "inverse has a pole": (
        lambda: circle(*ARCS[:2], Chart("c", Box((-1.4,), (1.4,)), POLE, on_circle(1 / x + Rational(123, 1000)))),
        'chart "c": inverse[0]',
        "is undefined at a point: 1/(u - 123/1000) has a value only where",
    ),
    "inverse is complex": (
        lambda: circle(*ARCS, Chart("d", Box((-1.0,), (1.0,)), over((u,), sympy.I, u))),
        'chart "d": inverse[0]',
        "`I` is not a real number",
    ),
    "region does not end in the box": (
        lambda: sphere(cap("north", 1, region=over((u, v), 4 - u**2 - v**2)), cap("south", -1)),
        'chart "north": region',
        "is still positive (1.8) on the face u = -1.5, where the bump must vanish",
    ),
    "region not positive at the centre": (
        lambda: sphere(cap("north", 1, region=over((u, v), (u**2 + v**2) * (2 - u**2 - v**2))), cap("south", -1)),
        'chart "north": region',
        "is 0, not positive, at the centre of the box",
    ),
    "region empty": (
        lambda: sphere(cap("north", 1, region=over((u, v), -1 - u**2)), cap("south", -1)),
        'chart "north": region',
        "is positive nowhere on the box",
    ),
    "degenerate Jacobian": (
        lambda: circle(Chart("a", Box((-1.1,), (1.1,)), over((u,), cos(u**3), sin(u**3)), CUBE_ROOT), *ARCS[1:]),
        'chart "a": inverse',
        "its Jacobian is degenerate",
    ),
    "constant inverse": (
        lambda: circle(*ARCS, Chart("d", Box((-1.0,), (1.0,)), over((u,), 1, 0), bump=on_circle(0))),
        'chart "d": inverse',
        "has a zero derivative everywhere",
    ),
    "duplicated chart": (lambda: circle(*ARCS, arc("d", 0)), 'chart "d"', 'same domain and same inverse as chart "a"'),
    "no chart meets a face": (lambda: circle(*ARCS[:2]), 'chart "a"', "no other chart covers its face u = -1.4"),
    "touching is not covering": (
        lambda: circle(arc("a", 0, np.pi / 2), arc("b", pi, np.pi / 2)),
        'chart "a"',
        "no other chart covers its faces u = -1.5708, u = 1.5708",
    ),
    "undeclared boundary": (
        lambda: sphere(*(sheet(n, c, ()) for n, c in (("a", 0), ("b", THIRD), ("c", -THIRD)))),
        'chart "a"',
        "no other chart covers its faces v = -1, v = 1",
    ),
    "hole": (lambda: sphere(cap("north", 1, 0.9), cap("south", -1, 0.9)), 'chart "north"', "no chart covers"),
    "hole between the samples": (lambda: sphere(*hemispheres(0.6666)), 'chart "+3"', "no chart covers"),
    "missing forward map": (
        lambda: circle(arc("a", 0, forward=False), *ARCS[1:]),
        'chart "a": forward',
        "is missing, but the default bump needs it",
    ),
    "bump needs forward map": (
        lambda: circle(arc("a", 0, forward=False, bump=over((u,), 1 - (u / 1.4) ** 2)), *ARCS[1:]),
        'chart "a": forward',
        "is missing, but a bump in intrinsic coordinates needs it",
    ),
    "negative bump": (
        lambda: circle(arc("a", 0, bump=over((u,), (1 - (u / 1.4) ** 2) * (u - 1))), *ARCS[1:]),
        'chart "a": bump',
        "is negative (-1.3)",
    ),
    "NaN bump": (
        lambda: circle(arc("a", 0, bump=on_circle(sqrt(x - Rational(1, 2)))), *ARCS[1:]),
        'chart "a": bump',
        "sqrt(x - 1/2) has a value only where x - 1/2 is not negative",
    ),
    "empty bump": (lambda: circle(arc("a", 0, bump=on_circle(0)), *ARCS[1:]), 'chart "a": bump', "is positive nowhere on its chart"),
    "bump at the edge": (
        lambda: circle(arc("a", 0, bump=over((u,), 2 + cos(u))), *ARCS[1:]),
        'chart "a": bump',
        "does not vanish at the edge of its chart: it is 2.2 on the face u = -1.4",
    ),
    "leaking bump": (
        lambda: circle(arc("a", 0, bump=on_circle(Max(0, x - Rational(1, 5)) ** 4 + Max(0, -x - Rational(1, 2)) ** 4)), *ARCS[1:]),
        'chart "a": bump',
        "leaks out of its chart: it is 0.06",
    ),
    "leaking bump, no forward map": (
        lambda: circle(
            arc("a", 0, forward=False, bump=on_circle(Max(0, x - Rational(1, 5)) ** 4 + Max(0, -x - Rational(1, 2)) ** 4)), *ARCS[1:]
        ),
        'chart "a": bump',
        "leaks out of its chart: it is 0.06",
    ),
    "partition does not sum to one": (
        lambda: circle(
            *(
                arc(c.name, k, partition=on_circle(Max(0, x * cos(k) + y * sin(k) - Rational(1, 5)) ** 4))
                for c, k in zip(ARCS, (0, THIRD, -THIRD), strict=True)
            )
        ),
        "partition",
        "not 1, on chart",
    ),
    "partition for one chart only": (
        lambda: circle(arc("a", 0, partition=on_circle(Max(0, x - Rational(1, 5)) ** 4)), *ARCS[1:]),
        "partition",
        'chart "a" gives ρ itself, but chart "b" does not',
    ),
    "target is NaN": (lambda: circle(*ARCS, target=sqrt(x)), "target", 'is undefined on chart "b" at about 70 % of the points'),
    "target is NaN on a speck": (
        lambda: sphere(cap("n", 1), cap("s", -1), target=sqrt((x - 0.123) ** 2 + (y - 0.211) ** 2 - 1e-6)),
        "target",
        'is undefined on chart "n" at a point',
    ),
    "target is complex": (lambda: circle(*ARCS, target=Abs(x) + sympy.I), "target", "`Abs(x) + I` is not a real number"),
    "target has a pole": (lambda: circle(*ARCS, target=1 / (x - Rational(1, 10))), "target", "and next to this one it changes its sign"),
    "target has a pole of even order": (
        lambda: circle(*ARCS, target=1 / (x - sqrt(2) / 3) ** 2),
        "target",
        "changes its sign",
    ),
    "target has a pole without a change of sign": (
        lambda: circle(*ARCS, target=1 / (Abs(x - sqrt(2) / 3) + (x - sqrt(2) / 3) ** 2)),
        "target",
        "grows without bound on chart",
    ),
    "target jumps": (lambda: circle(*ARCS, target=sign(y - Rational(1, 3))), "target", "where the branches of `sign(y - 1/3)` meet"),
    "target's branches do not meet": (lambda: circle(*ARCS, target=Piecewise((x, x < 0), (x**2 + 1, True))), "target", "jumps on chart"),
    "angle as target": (lambda: circle(*ARCS, target=atan2(y, x)), "target", "jumps on chart"),
    "targets disagree": (
        lambda: circle(*ARCS, target=ChartTarget((over((u,), cos(u)), over((u,), cos(u + THIRD)), over((u,), cos(u - THIRD) + u / 100)))),
        'target on charts "a" and "c"',
        "differs by 0.014 at a point of both charts (wrong at all points common to both)",
    ),
    "chart target is NaN": (
        lambda: circle(*ARCS, target=ChartTarget((over((u,), sqrt(u)), over((u,), 0), over((u,), 0)))),
        'chart "a": target',
        "sqrt(u) has a value only where u is not negative",
    ),
    "callable of the wrong shape": (
        lambda: circle(*ARCS, target=CallableTarget(lambda points: points)),
        "target 'callable'",
        "returns shape (1026, 2) for 1026 points, not (1026,) or (1026, 1)",
    ),
    "callable raises": (
        lambda: circle(*ARCS, target=CallableTarget(lambda points: points[:, 3])),
        "target 'callable'",
        "raises IndexError for points of shape (1026, 2)",
    ),
    "callable is NaN": (
        lambda: circle(*ARCS, target=CallableTarget(lambda points: np.where(points[:, 0] > 2, 0, np.nan))),
        "target 'callable'",
        "is not finite at all points",
    ),
    "callable depends on the batch": (
        lambda: circle(*ARCS, target=CallableTarget(lambda points: points[:, 0] * np.arange(len(points)))),
        "target 'callable'",
        "gives another value for the same point in another order",
    ),
    "self-intersection": (
        lambda: circle(Chart("e", Box((-0.5,), (5.0,)), over((u,), sin(u), sin(2 * u)), None, ((True, True),), bump=on_circle(1))),
        'chart "e": inverse',
        "is not injective: two points u that are 0.6 box widths apart have the same image",
    ),
    "crossing sheets": (
        lambda: sphere(
            Chart("flat", Box((-1.0,) * 2, (1.0,) * 2), over((u, v), u, v, 0), on_sphere(x, y), ((True, True),) * 2),
            Chart("steep", Box((-0.5,) * 2, (0.7,) * 2), over((u, v), u, 0, v), on_sphere(x, z), ((True, True),) * 2),
        ),
        'chart "flat": inverse',
        'crosses chart "steep"',
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_broken_assumption_is_found(case: str) -> None:
    make, where, problem = CASES[case]
    task = make()
    assert found(task, where, problem), "\n".join(summary(task))


@pytest.mark.parametrize(
    ("task", "where", "problem"),
    [
        (circle(*ARCS, target=Abs(x)), "target", "has a kink on chart"),
        (circle(*ARCS, target=Max(x, y)), "target", "where the branches of `Max(x, y)` meet"),
        (circle(*ARCS, target=Abs(x) ** Rational(1, 2)), "target", "has an unbounded slope on chart"),
        (sphere(cap("n", 1), cap("s", -1), target=acos(z)), "target", "where the branches of `acos(z)` meet"),
        (sphere(cap("n", 1), cap("s", -1), target=sqrt(x**2 + y**2)), "target", "has a kink on chart"),
        (circle(arc("a", 0, bump=over((u,), Max(0, 1 - Abs(u)))), *ARCS[1:]), 'chart "a": bump', "has a kink"),
        (
            circle(
                Chart(
                    "a",
                    Box((-1.1,), (1.1,)),
                    over((u,), cos(STRETCH), sin(STRETCH)),
                    on_circle(Piecewise((atan2(y, x) * Rational(4, 5), y > 0), (atan2(y, x) * Rational(4, 3), True))),
                ),
                *ARCS[1:],
            ),
            'chart "a": inverse[1]',
            "has a kink, where the branches of `Abs(u)` meet",
        ),
    ],
)
def test_kinks_are_warnings(task: ManifoldTask, where: str, problem: str) -> None:
    assert found(task, where, problem, Severity.WARNING), "\n".join(summary(task))
    assert not any(finding.severity is Severity.ERROR for finding in lint(task, samples=1024))


def test_a_polar_edge_that_no_point_is_routed_to_is_a_warning() -> None:
    longitude = Chart(
        "long",
        Box((0.0, -3.0), (3.0, 3.0)),
        over((u, v), sin(u) * cos(v), sin(u) * sin(v), cos(u)),
        on_sphere(acos(z), atan2(y, x)),
    )
    task = sphere(longitude, cap("n", 1), cap("s", -1))
    assert found(task, 'chart "long": inverse', "its Jacobian is degenerate", Severity.WARNING), summary(task)


def test_low_power_of_the_default_bump_is_one_warning() -> None:
    atlas = Atlas(("x", "y"), ARCS, PartitionOfUnity(power=2))
    (finding,) = lint(ManifoldTask("circle", atlas, ExpressionTarget(on_circle(x))), samples=256)
    assert finding.severity is Severity.WARNING
    assert finding.problem == "the default bump of power 2 has 2 bounded derivatives; Theorem 4.8 asks more than 2.5"


def test_broken_ball_atlases() -> None:
    atlas = ball_atlas(builtin("circle"), charts=6)
    balls = [chart for chart in atlas.charts if isinstance(chart, BallChart)]
    first = balls[0]

    def changed(*charts: BallChart, embedding: np.ndarray | None = None) -> ManifoldTask:
        return ball_task(Atlas(atlas.coordinates, charts, cover=atlas.cover, embedding=embedding))

    assert any("no chart covers" in f.problem for f in lint(changed(*balls[1:]), samples=256))
    twin = BallChart("twin", first.center, first.frame, first.radius, first.pieces)
    assert found(changed(*balls, twin), 'chart "twin"', "is a duplicated chart")
    wide = BallChart("wide", first.center, first.frame, 1.9, first.pieces)
    assert found(changed(wide, *balls[1:]), 'chart "wide"', "is not injective on the ball")
    away = BallChart("away", 5 + first.center, first.frame, 1.0, first.pieces)
    assert found(changed(*balls, away), 'chart "away"', "holds none of the sampled points")
    skew = BallChart("skew", first.center, 2 * first.frame, first.radius, first.pieces)
    assert found(changed(skew, *balls[1:]), 'chart "skew": frame', "not orthonormal")
    assert found(changed(*balls, embedding=2 * np.eye(2)), "embedding", "not orthonormal")


def test_errors_come_first_and_findings_are_deterministic() -> None:
    task = circle(*ARCS[:2], target=Abs(x))
    once, twice = lint(task, samples=256), lint(task, samples=256)
    assert list(map(str, once)) == list(map(str, twice))
    severities = [finding.severity for finding in once]
    assert severities == sorted(severities, key=lambda s: s is not Severity.ERROR)
    assert set(severities) == set(Severity)


def test_samples_must_suffice() -> None:
    with pytest.raises(InvalidArgument, match="samples must be an integer from 64 up"):
        lint(circle(*ARCS), samples=10)


def test_an_atlas_that_was_looked_at_is_not_looked_at_again_and_every_target_is() -> None:
    first = circle(*ARCS[:2])
    assert summary(first)
    smooth, rough = (circle(*ARCS[:2], target=target) for target in (x, Abs(x)))
    for one in (smooth, rough):
        assert summary(ManifoldTask("other", first.atlas, one.target)) == summary(one)
    assert builtin("circle", charts=5) is builtin("circle", charts=5)
