"""Tubes of several equations, proved in norms by monotone maps and shown again by contractions: what is larger, and what is no proof."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from atlasmoe.atlas.implicit.spans import Spans
from atlasmoe.atlas.implicit.zeros import ZeroSet
from atlasmoe.expressions import Box, ExpressionMap
from atlasmoe.expressions.implicit import Tube, reflections, turned
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.intervals import Interval
from atlasmoe.intervals.implicit import Equations, prove_all
from atlasmoe.intervals.program import Program, equations_of
from atlasmoe.intervals.spreads import Spread, spectrum
from atlasmoe.verify.check.contraction import contracts
from atlasmoe.verify.check.implicit import single


def functions(texts: Sequence[str], names: Sequence[str]) -> ExpressionMap:
    symbols = real_symbols(names)
    return ExpressionMap.of(symbols.values(), [read_expression(text, symbols) for text in texts])


def frames(n: int, p: int) -> ExpressionMap:
    """n × p matrices with orthonormal columns: the group O(n) for p = n."""
    names = [f"x{i}{j}" for j in range(p) for i in range(n)]
    pairs = [(a, b) for a in range(p) for b in range(a, p)]
    return functions([" + ".join(f"x{i}{a}*x{i}{b}" for i in range(n)) + (" - 1" if a == b else "") for a, b in pairs], names)


def tube(g: ExpressionMap, near: Sequence[float], half: float, height: float) -> Tube:
    center = ZeroSet(g, Box((-2.0,) * g.inputs, (2.0,) * g.inputs)).projected(np.array([near], float))[0]
    m = g.outputs
    return Tube(g, tuple(center), reflections(g.jacobian_at(center)), (half,) * (g.inputs - m), (height,) * m)


ROTATIONS = frames(3, 3)


@pytest.mark.parametrize(("half", "height", "holds"), [(0.45, 0.3, True), (0.45, 0.1, False), (0.8, 0.5, False), (0.2, 1.2, False)])
def test_charts_of_rotations_are_several_times_as_large_as_intervals_prove(half: float, height: float, holds: bool) -> None:
    one = tube(ROTATIONS, np.eye(3).ravel() + 0.1 * np.arange(9) / 9, half, height)
    assert equations_of(one).prove(1 << 9) == holds
    assert contracts(one) == holds


def zeros_over(one: Tube, u: np.ndarray, starts: np.ndarray) -> list[np.ndarray]:
    """Those in the box of w that Newton's method finds from these starts (s, m), in parts of it."""
    w, at = starts * one.heights, np.tile(u, (len(starts), 1))
    for _ in range(30):
        x = one.point(at, w)
        w = w - np.clip((np.linalg.pinv(one.equations.jacobian_at(x) @ one.normal) @ one.equations(x)[..., None])[..., 0], -0.3, 0.3)
    w = w[(np.abs(one.equations(one.point(at, w))).max(1) < 1e-13) & (np.abs(w) <= one.heights).all(1)]
    return [part for n, part in enumerate(w) if not n or np.abs(w[:n] - part).max(1).min() > 1e-5]


PAIRS = [
    ("x**2 + y**2 + z**2 + t**2 - 1", "x*y - z*t - 1/10"),
    ("z**2 - x**2 - y**2", "t - x*y"),  # a cone
    ("(x - t)*(x - t - 1/4)", "y + z**2"),  # two sheets
    ("x**2 + y**2 - 1", "(z - 1/20)**2 + t**2 - 1/4"),
]


@pytest.mark.parametrize("pair", PAIRS)
def test_what_is_shown_in_norms_is_true(pair: tuple[str, str]) -> None:
    """Tubes of any size and height around zeros: over points of those that are shown there is one zero, from wherever it is looked for."""
    g, rng, tubes = functions(pair, "xyzt"), np.random.default_rng(3), []
    zeros = ZeroSet(g, Box((-1.5,) * 4, (1.5,) * 4)).projected(rng.uniform(-1, 1, (12, 4)))
    for center in zeros[np.isfinite(zeros).all(1)]:
        frame = turned(reflections(g.jacobian_at(center)), np.linalg.qr(rng.normal(size=(2, 2)))[0])
        halves = rng.uniform(0.02, 0.5, 2)
        tubes.append(Tube(g, tuple(center), frame, tuple(halves), tuple(halves.max() * 10 ** rng.uniform(-1, 0.5, 2))))
    run = Program(g)
    proved, shown = prove_all([Equations(one, run) for one in tubes], 64), [contracts(one) for one in tubes]
    assert proved.any()
    assert any(shown)
    assert not proved.all()
    starts = np.array(list(product((-0.9, 0.1, 0.8), repeat=2)))
    for one in (one for one, *good in zip(tubes, proved, shown, strict=True) if any(good)):
        assert all(len(zeros_over(one, u, starts)) == 1 for u in rng.uniform(-1, 1, (3, 2)) * one.halves)


def test_what_is_not_quadratic_is_shown_by_faces() -> None:
    one = tube(functions(["x**2 + y**2 + z**2 + t**2 - 1", "x*y - z*t*exp(x)"], "xyzt"), (0.5, 0.5, 0.5, 0.5), 0.1, 0.1)
    assert equations_of(one).prove(1 << 9)
    assert not contracts(one)
    assert single(one)


def test_eigenvalues_of_spreads_lie_between_their_bounds() -> None:
    rng = np.random.default_rng(0)
    middle = rng.normal(size=(50, 5, 5)) * 10.0 ** rng.integers(-9, 9, (50, 1, 1))
    middle, error = middle + np.swapaxes(middle, 1, 2), 1e-3 * np.abs(middle + np.swapaxes(middle, 1, 2))
    least, most = spectrum(Spread(middle, error))
    for _ in range(20):
        off = rng.choice([-1.0, 1.0], middle.shape)
        values = np.linalg.eigvalsh(middle + error * (off + np.swapaxes(off, 1, 2)) / 2)
        assert ((least <= values.min(1)) & (values.max(1) <= most)).all()
    tight = spectrum(Spread.exact(middle))
    assert np.allclose(tight[0], np.linalg.eigvalsh(middle).min(1), rtol=1e-9)
    assert spectrum(Spread(middle[:1], np.full((1, 5, 5), np.inf)))[1] == np.inf


SCALED = [functions([f"2**{a}*({PAIRS[0][0]})", PAIRS[0][1]], "xyzt") for a in (20, -20)]


@pytest.mark.parametrize("g", [functions(PAIRS[0], "xyzt"), functions(PAIRS[3], "xyzt"), *SCALED, frames(2, 2)])
def test_points_and_slopes_lie_where_they_are_enclosed(g: ExpressionMap) -> None:
    """Over boxes of all sizes, of many tubes; tiny boxes have tiny enclosures, whatever the equations are multiplied by."""
    rng, k, m = np.random.default_rng(1), g.inputs, g.outputs
    zeros = ZeroSet(g, Box((-1.5,) * k, (1.5,) * k)).projected(rng.uniform(-1, 1, (40, k)))
    zeros = zeros[np.isfinite(zeros).all(1)]
    tubes = [Tube(g, tuple(x), reflections(g.jacobian_at(x)), (0.1,) * (k - m), (0.1,) * m) for x in zeros]
    tubes = [one for one, good in zip(tubes, prove_all([equations_of(one) for one in tubes], 64), strict=True) if good]
    owner = rng.integers(len(tubes), size=60)
    middle, size = rng.uniform(-0.09, 0.09, (60, k - m)), 10.0 ** rng.uniform(-6, -1, (60, 1))
    lower, upper = np.maximum(middle - size, -0.1), np.minimum(middle + size, 0.1)
    x, span, ball = Spans(tubes, Program(g))(owner, lower, upper)
    small = size[:, 0] < 1e-3
    assert np.isfinite(ball[small]).all()
    assert (ball[small] <= 20 * size[small, 0] ** 2 + 1e-12).all()
    for i, one in enumerate(tubes[n] for n in owner):
        u = lower[i] + rng.uniform(0, 1, (8, k - m)) * (upper[i] - lower[i])
        off = one.point(u) - x[i] - ((u - (lower[i] + upper[i]) / 2) / ((upper[i] - lower[i]) / 2)) @ span[i].T
        assert (np.linalg.norm(off, axis=1) <= ball[i] + 1e-13).all()
        found = equations_of(one).solve([Interval(low[None], high[None]) for low, high in zip(lower[i], upper[i], strict=True)])
        w, slopes = one.solve(u), one.slopes(u)
        for l in range(m):
            assert ((found.values[l].lower - 1e-14 <= w[:, l]) & (w[:, l] <= found.values[l].upper + 1e-14)).all()
            for j in range(k - m):
                assert ((found.slopes[l][j].lower <= slopes[:, l, j] + 1e-13) & (slopes[:, l, j] <= found.slopes[l][j].upper + 1e-13)).all()


def test_equations_that_say_the_same_prove_nothing() -> None:
    x = np.array([0.6, 0.8, 0.0, 0.0])
    g = functions(["x**2 + y**2 - 1", "2*x**2 + 2*y**2 - 2"], "xyzt")
    one = Tube(g, tuple(x), reflections(np.eye(4)[:2]), (0.01, 0.01), (0.01, 0.01))
    assert not equations_of(one).prove(1 << 8)
    assert not np.isfinite(Spans([one], Program(g))(np.zeros(2, int), np.zeros((2, 2)), np.full((2, 2), 1e-6))[2]).any()


@pytest.mark.parametrize("seed", [1, 2])
def test_large_boxes_of_large_charts_are_enclosed_in_norms(seed: int) -> None:
    """Eighths along each side of charts of V₂(R³): of a third of them and more intervals alone say nothing but that w is in the tube."""
    rng = np.random.default_rng(seed)
    half = 0.4
    one = tube(frames(3, 2), np.linalg.qr(rng.normal(size=(3, 3)))[0][:, :2].T.ravel(), half, 0.3)
    solver = equations_of(one)
    assert solver.proved
    lower = half / 4 * (np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), -1).reshape(-1, 3) - 4)
    sides = [Interval(low, low + half / 4) for low in lower.T]
    assert solver.boxes.found(sides)[0].mean() < 0.7
    found = solver.solve(sides)
    assert all((value.upper - value.lower < 0.2).all() for value in found.values)
    for _ in range(20):
        u = rng.uniform(lower, lower + half / 4)
        w, slopes = one.solve(u), one.slopes(u)
        for l, value in enumerate(found.values):
            assert ((value.lower <= w[:, l] + 1e-14) & (w[:, l] <= value.upper + 1e-14)).all()
            for j, slope in enumerate(found.slopes[l]):
                assert ((slope.lower <= slopes[:, l, j] + 1e-13) & (slopes[:, l, j] <= slope.upper + 1e-13)).all()
