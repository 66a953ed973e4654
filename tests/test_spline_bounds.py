"""A-priori bounds of linear splines hold for whatever is thrown at them, and stand in the ledger."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ManifoldTask, Piece, ball_atlas, builtin
from atlasmoe.atlas.task import CallableTarget, ChartTarget, ExpressionTarget
from atlasmoe.constructions.experts.a_priori import a_priori_claim, a_priori_fit, local_expression, spline_of
from atlasmoe.constructions.relu import Target, fit
from atlasmoe.constructions.relu.spline.a_priori import _Builder, a_priori_spline
from atlasmoe.constructions.relu.spline.jets import Jets
from atlasmoe.constructions.relu.spline.proof import Local
from atlasmoe.errors import EpsilonNotReached, InvalidArgument
from atlasmoe.expressions.box import Box
from atlasmoe.expressions.maps import ExpressionMap
from atlasmoe.intervals import Interval
from atlasmoe.intervals.derivatives import SMOOTH
from atlasmoe.moe import Known, Ridge
from free_knots import equidistributed_bound, free_knot_spline
from spline_targets import DENSE, SINGULAR_TARGETS, SMOOTH_TARGETS, TARGETS, compiled, optimum, t


def oracle(e: sympy.Expr, x: np.ndarray) -> np.ndarray:
    """F at floats, to 30 digits."""
    function = sympy.lambdify(t, e, "mpmath")
    with mpmath.workdps(30):
        return np.array([float(function(mpmath.mpf(float(v)))) for v in x])


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("width", [9, 200])
def test_bound_holds_and_is_tight(name: str, width: int) -> None:
    e = TARGETS[name]
    spline = a_priori_spline([e], t, 0, 1, width=width)
    assert spline.pieces <= width
    assert spline.bound is not None
    error = np.abs(spline(DENSE) - compiled(e)(DENSE)).max()
    assert error <= spline.bound + 1e-15
    assert spline.bound <= (2.5 if name in SINGULAR_TARGETS else 1.1) * error
    # A proof costs little error: with few pieces, a knot or two at switches that need none.
    assert (
        error
        <= (4.5 if name in SINGULAR_TARGETS else 1.6 if width == 9 else 1.25)
        * np.abs(free_knot_spline(compiled(e), 0, 1, width)(DENSE) - compiled(e)(DENSE)).max()
    )
    # Where the error is largest, and at and beside the knots, with exact values of F.
    worst = DENSE[np.argsort(-np.abs(spline(DENSE) - compiled(e)(DENSE)).max(1))[:10]]
    near = np.concatenate([worst, spline.knots[::20], np.nextafter(spline.knots[1::20], 0)])
    assert np.abs(spline(near)[:, 0] - oracle(e, near)).max() <= spline.bound + 1e-15


@pytest.mark.parametrize("kink", [0.5, 0.25, 1 / 512, 3 / 1024, 0.1, 0.0, 1.0])
def test_kinks_on_the_lattice_of_cells_are_found(kink: float) -> None:
    for e in (sympy.Abs(t - kink), sympy.Max(kink, t), sympy.Piecewise((kink, t < kink), (t, True))):
        spline = a_priori_spline([e], t, 0, 1, width=2)
        assert spline.bound is not None
        assert spline.bound < 1e-13
        assert np.abs(spline(DENSE) - compiled(e)(DENSE)).max() <= spline.bound


def random_expression(rng: np.random.Generator, depth: int) -> sympy.Expr:
    if depth == 0:
        return t if rng.random() < 0.7 else sympy.Float(rng.uniform(-2, 2))
    one = random_expression(rng, depth - 1)
    other = random_expression(rng, rng.integers(depth))
    choices = [
        lambda: one + other,
        lambda: one * other,
        lambda: one - 2 * t,
        lambda: sympy.sin(3 * one),
        lambda: sympy.cos(one + other),
        lambda: sympy.exp(sympy.sin(one)),
        lambda: sympy.atan(2 * one),
        lambda: sympy.tanh(one),
        lambda: one / (1 + other**2),
        lambda: sympy.sqrt(1 + one**2),
        lambda: sympy.log(2 + sympy.cos(one)),
        lambda: sympy.Abs(one, evaluate=False),
        lambda: sympy.Max(one, other, evaluate=False) if one != other else one,
        lambda: sympy.asinh(one) + sympy.acos(sympy.sin(one) / 2),
        lambda: sympy.Piecewise((one, t < rng.uniform(0, 1)), (one + (other - other), True)),
        lambda: sympy.atan2(one, 2 + other**2),
    ]
    return choices[rng.integers(len(choices))]()


@pytest.mark.parametrize("seed", range(24))
def test_bounds_hold_for_random_compositions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    e = random_expression(rng, 4)
    low, high = np.sort(rng.uniform(-2, 2, 2))
    spline = a_priori_spline([e], t, low, high + 0.1, width=int(rng.integers(40, 120)))
    x = np.concatenate([rng.uniform(low, high + 0.1, 20_000), spline.knots])
    error = np.abs(spline(x) - compiled(e)(x)).max()
    scale = np.abs(spline.levels).max()
    assert spline.bound is not None
    assert error <= spline.bound + 1e-14 * (1 + scale)
    assert spline.bound <= 1.25 * error + 1e-12 * (1 + scale)


def test_bound_beats_the_closed_form() -> None:
    for name in ("sin", "Runge", "exp"):
        builder = _Builder(Local((SMOOTH_TARGETS[name],), t, 0.0, 1.0))
        closed = equidistributed_bound(np.diff(builder.edges), builder.curvature, 2048)
        bound = builder.spline(2048).bound
        # Half the constant (B19), and no pieces wasted on the cells.
        assert bound is not None
        assert bound < closed / 2
        assert closed >= 2 * optimum(SMOOTH_TARGETS[name], 2048)
    assert equidistributed_bound(np.ones(4), np.ones(4), 4) == np.inf


def test_closed_form_holds_for_the_spline_it_is_about() -> None:
    """Interpolation with ⌈(m−P)·s_k/S⌉ pieces on cell k."""
    widths, pieces = np.array([0.25, 0.25, 0.5]), 20
    edges = np.concatenate([[0], np.cumsum(widths)])
    curvature = np.exp(3 * edges[1:]) * 9
    shares = widths * np.sqrt(curvature)
    counts = np.ceil((pieces - 3) * shares / shares.sum()).astype(int)
    knots = np.concatenate([np.linspace(a, b, n, endpoint=False) for a, b, n in zip(edges, edges[1:], counts, strict=False)] + [[1.0]])
    assert len(knots) - 1 <= pieces
    error = np.abs(np.interp(DENSE, knots, np.exp(3 * knots)) - np.exp(3 * DENSE)).max()
    assert error <= equidistributed_bound(widths, curvature, pieces)


def test_epsilon_is_met_with_few_pieces() -> None:
    for name in ("sin", "abs sin", "layer"):
        spline = a_priori_spline([TARGETS[name]], t, 0, 1, epsilon=1e-4)
        assert spline.bound is not None
        assert spline.bound <= 1e-4
        fewer = free_knot_spline(compiled(TARGETS[name]), 0, 1, int(0.9 * spline.pieces))
        assert np.abs(fewer(DENSE) - compiled(TARGETS[name])(DENSE)).max() > 1e-4
    with pytest.raises(EpsilonNotReached):
        a_priori_spline([TARGETS["sin"]], t, 0, 1, epsilon=1e-6, limit=100)


@pytest.mark.parametrize(
    ("e", "reason"),
    [
        (1 / (t - 0.5), "no a-priori bound"),
        (sympy.log(t), "no a-priori bound"),
        (sympy.sign(t - 0.5) + t, "jumps at t = 0.5"),
        (sympy.Piecewise((t, t < 0.25), (t + 1, True)), "jumps at t = 0.25"),
        (sympy.floor(t), "floor"),
        (sympy.Abs(sympy.sin(100 * t)), "kinks need at least"),
    ],
)
def test_refusals(e: sympy.Expr, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        a_priori_spline([e], t, 0, 1, width=20)


def test_arguments() -> None:
    for bad in ({}, {"width": 3, "epsilon": 0.1}):
        with pytest.raises(InvalidArgument, match="either a width or an epsilon"):
            a_priori_spline([t], t, 0, 1, **bad)


# Enclosures.

DOMAINS = {sympy.asin: (-1, 1), sympy.acos: (-1, 1), sympy.atanh: (-1, 1), sympy.acosh: (1, 9), sympy.log: (0, 9)}


@pytest.mark.parametrize("name", SMOOTH)
def test_jets_of_functions_contain_their_derivatives(name: str) -> None:
    head = getattr(sympy, name)
    low, high = DOMAINS.get(head, (-7.0, 7.0))
    rng = np.random.default_rng(0)
    x = rng.uniform(low, high, 60)
    # Near multiples of π/2, where sine and cosine are small, too.
    if head not in DOMAINS:
        x[:20] = np.pi / 2 * rng.integers(-4, 5, 20) * (1 + rng.choice([0, 1e-15, -1e-12], 20))
    for radius in (0.0, 1e-6, 0.02):
        left, right = np.maximum(x - radius, low), np.minimum(x + radius, high)
        jet = Jets(t, left, right)(head(t))
        for order, enclosure in enumerate(jet):
            assert enclosure is not None
            exact = sympy.lambdify(t, sympy.diff(head(t), t, order), "mpmath")
            for k in range(len(x)):
                if not np.isfinite([enclosure.lower[k], enclosure.upper[k]]).all():
                    continue
                for point in (left[k], x[k], right[k]):
                    with mpmath.workdps(40):
                        value = exact(mpmath.mpf(float(point)))
                    assert mpmath.mpf(float(enclosure.lower[k])) <= value <= mpmath.mpf(float(enclosure.upper[k]))
        if radius == 0.0:
            finite = np.isfinite(jet[0].upper - jet[0].lower)  # type: ignore[union-attr]
            assert finite.mean() > 0.7


def test_powers_and_quotients_contain_exact_results() -> None:
    rng = np.random.default_rng(0)
    a, b = np.sort(rng.normal(size=(2, 40)) * 10.0 ** rng.integers(-3, 4, (2, 40)), axis=0)
    box = Interval.of(a, b)
    for n in (-3, -2, -1, 1, 2, 3, 7, 64):
        image = box.power(n)
        for k in range(40):
            for x in (a[k], b[k], (a[k] + b[k]) / 2):
                exact = sympy.Rational(float(x)) ** n
                assert sympy.Rational(float(image.lower[k])) <= exact if np.isfinite(image.lower[k]) else True
                assert exact <= sympy.Rational(float(image.upper[k])) if np.isfinite(image.upper[k]) else True
    assert np.isfinite(Interval.of(1.0, 2.0).power(-3).upper)


# In the ledger.

x, y, z = sympy.symbols("x y z", real=True)


def sampled_target(s: np.ndarray, values: np.ndarray) -> Target:
    def draw(count: int, seed: int, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
        rows = np.random.default_rng(seed).integers(0, len(s), count)
        return s[rows, None], values[rows]

    return Target(draw, "g", "test")


@pytest.mark.parametrize("balls", [False, True])
def test_a_priori_claim_of_circle_experts(balls: bool) -> None:
    atlas = builtin("circle")
    names = sympy.symbols(atlas.coordinates, real=True)
    atlas = ball_atlas(atlas, charts=7) if balls else atlas
    f = sympy.sin(5 * names[0]) + names[1] ** 2
    task = ManifoldTask("circle", atlas, ExpressionTarget(ExpressionMap(names, (f,))))
    for chart in range(2):
        mapped = atlas.charts[chart]
        piece = mapped.pieces[0] if balls else Piece(chart, mapped.domain)  # type: ignore[union-attr]
        local = local_expression(task, piece, chart)
        assert local is not None
        assert (local.along is not None) == balls
        spline = spline_of(local, width=50, limit=100)
        assert spline is not None
        assert spline.bound is not None
        u = np.linspace(local.lower, local.upper, 5001)[:, None]
        points = atlas.parametrise(piece.chart, u)
        s = mapped.forward(points.base)[:, 0] if balls else u[:, 0]  # type: ignore[misc]
        error = np.abs(spline(s) - task.evaluate(points)).max()
        assert error <= spline.bound + 1e-15
        assert spline.bound <= 1.1 * error

        target = sampled_target(s, task.evaluate(points))
        fitted = a_priori_fit(Ridge(*spline.to_relu()), target, 4096, 0)
        claim = a_priori_claim(mapped.name, spline, local, 2 * spline.bound)
        assert claim.name == f"expert[{mapped.name}].a_priori"
        assert claim.known is Known.FORMULA
        assert claim.holds
        assert fitted.width <= 50
        assert 0 < fitted.error <= claim.bound
        assert fitted.error <= 1.05 * fit(target, 50).error
        assert spline_of(local, epsilon=spline.bound / 1000, limit=100) is None


def test_local_expressions_of_chart_targets_and_callables() -> None:
    atlas = builtin("circle")
    u = atlas.parametrising[0].inverse.variables[0]
    w = sympy.Symbol("w", real=True)
    by_chart = ChartTarget(tuple(ExpressionMap((w,), (sympy.cos(w + k),)) for k in range(len(atlas))))
    local = local_expression(ManifoldTask("c", atlas, by_chart), Piece(2, Box((-0.5,), (0.5,))), 2)
    assert local == Local((sympy.cos(u + 2),), u, -0.5, 0.5)
    piece = Piece(0, atlas.charts[0].domain)
    assert local_expression(ManifoldTask("c", atlas, by_chart), piece, 1) is None
    assert local_expression(ManifoldTask("c", atlas, CallableTarget(lambda p: p[:, 0])), piece, 0) is None


def test_experiment_1_beats_the_paper_on_its_hardest_quarter() -> None:
    path = Path(__file__).parents[1] / "examples" / "paper_experiment_1.py"
    spec = importlib.util.spec_from_file_location("paper_experiment_1", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = example
    spec.loader.exec_module(example)
    centers = np.pi / 4 + np.pi / 2 * np.arange(4)
    experts = [example.construct(center, sweeps=1, zooms=3) for center in centers]
    theta = np.random.default_rng(0).uniform(-np.pi, np.pi, 20_000)
    errors = [example.mean_square(example.network(experts, centers, D), theta) for D in (2, 128)]
    assert errors[0] < 5.8e-5 / 4
    assert errors[1] == pytest.approx(errors[0], rel=1e-9)
    moe = example.network(experts, centers, 16)
    assert len(moe.layers) == 1
    assert [net.widths for net in moe.layers[0].experts] == [(10,)] * 4
    assert not moe.layers[0].gate.bias.any()
