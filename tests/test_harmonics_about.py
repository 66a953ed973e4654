"""Sums of harmonics about points: what is left out is no more than is said, and forms of all components hold their values."""

from __future__ import annotations

from itertools import combinations_with_replacement
from math import comb, prod

import mpmath
import numpy as np
import pytest
from atlasmoe.atlas import ExpressionMap
from atlasmoe.atlas.fields import field_map
from atlasmoe.expressions.fields import callables
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.intervals.harmonics import Harmonics, count, places
from atlasmoe.verify.enclosure import ExpressionEnclosure, TaylorForms, abouts
from numpy.typing import NDArray

RNG = np.random.default_rng(0)
SPHERE = ("1/sqrt(1 + u**2 + v**2)", "u/sqrt(1 + u**2 + v**2)", "v/sqrt(1 + u**2 + v**2)")


def made_up(degree: int, decaying: bool, outputs: int = 2, size: float = 1.0) -> Harmonics:
    return Harmonics("B", np.random.default_rng(1).standard_normal((outputs, 2, count(degree))) * size, decaying)


def exact(series: Harmonics, point: NDArray | list[mpmath.mpf]) -> list[mpmath.mpf]:
    """All components at a point by the recursion of `solid`, with 60 digits."""
    p, scale = [mpmath.mpf(v) for v in point], mpmath.mpf(1)
    if series.decaying:
        square = sum(v * v for v in p)
        p, scale = [v / square for v in p], 1 / mpmath.sqrt(square)
    x, y, z = p
    square, found = x * x + y * y + z * z, {(0, 0): mpmath.mpc(1)}
    for l in range(1, series.degree + 1):
        for m in range(l):
            found[l, m] = (2 * l - 1) * z * found[l - 1, m]
            if m < l - 1:
                found[l, m] -= mpmath.sqrt((l - 1) ** 2 - m * m) * square * found[l - 2, m]
            found[l, m] /= mpmath.sqrt(l * l - m * m)
        found[l, l] = (mpmath.sqrt(mpmath.mpf(2 * l - 1) / (2 * l)) if l > 1 else 1) * mpmath.mpc(x, y) * found[l - 1, l - 1]
    numbers = [found[int(l), int(m)] for l, m in zip(*places(series.degree), strict=True)]
    return [
        scale * sum(float(a) * s.real + float(b) * s.imag for a, b, s in zip(*row, numbers, strict=True)) for row in series.coefficients
    ]


HOSTILE = np.array([[0, 0, 1], [0, 0, -1], [1e-300, 5e-324, 1], [0.6, -0.8, 0], [1e-160, 1, 0], [30, 0.1, 2], [3e-3, 0, 1e-3]])


@pytest.mark.parametrize(("degree", "decaying", "size"), [(0, False, 1.0), (2, True, 1e-190), (9, False, 1e90), (9, True, 300.0)])
def test_an_expansion_leaves_out_no_more_than_it_says(degree: int, decaying: bool, size: float) -> None:
    series, order = made_up(degree, decaying, size=size), 3
    width = np.abs(HOSTILE).max(1, keepdims=True) * 10.0 ** RNG.uniform(-17, -0.5, HOSTILE.shape)
    width[0], width[1] = 0.0, 5e-324
    lower, upper = HOSTILE - width, HOSTILE + width * RNG.uniform(size=width.shape)
    found = series.about(HOSTILE, lower, upper, order)
    with mpmath.workdps(60):
        for b, point in enumerate(np.clip(lower + RNG.integers(0, 2, lower.shape) * (upper - lower), lower, upper)):
            delta = [mpmath.mpf(float(v)) - mpmath.mpf(float(c)) for v, c in zip(point, HOSTILE[b], strict=True)]
            length, values = mpmath.sqrt(sum(v * v for v in delta)), exact(series, point)
            powers = [prod(delta[i] for i in which) for k in range(order + 1) for which in combinations_with_replacement(range(3), k)]
            for numbers, off, sizes, value in zip(found.numbers[..., b].T, found.off[..., b].T, found.sizes[..., b].T, values, strict=True):
                known = np.isfinite(sizes).all()
                assert known or b == 6  # 3·10⁻³ from what decays all may be too large
                left = value - sum(float(a) * power for a, power in zip(numbers, powers, strict=True))
                beyond = sum(mpmath.mpf(float(s)) * length**k for k, s in enumerate(sizes) if k > order) if known else mpmath.inf
                assert abs(left) <= beyond + sum(float(s) * abs(power) for s, power in zip(off, powers, strict=True))
                assert abs(value) <= sizes[0]


def test_what_is_said_of_every_degree_is_reached_by_zonal_harmonics() -> None:
    for l in range(1, 6):
        given = np.zeros((1, 2, count(l)))
        given[0, 0, l * (l + 1) // 2] = 1.0  # |p|^l·P_l(cos), which is 1 at the pole
        series, origin = Harmonics("zonal", given, False), np.zeros((1, 3))
        sizes = series.about(origin, origin, origin, 5).sizes[1:, 0, 0]
        np.testing.assert_allclose(sizes[:6], np.arange(1, 7) == l, atol=1e-12)
        at = np.array([[0, 0, 0.7]])
        np.testing.assert_allclose(series.about(at, at, at, l).sizes[l, 0, 0], 1.0, rtol=1e-8)


def test_derivatives_along_the_axis_reach_the_bound_of_the_remainder() -> None:
    l, order, at = 6, 3, np.array([[0, 0, 1.1]])
    for decaying, weight in ((False, comb(l, order + 2) * 1.1 ** (l - order - 2)), (True, comb(l + order + 2, l) / 1.1 ** (l + order + 3))):
        given = np.zeros((1, 2, count(l)))
        given[0, 0, l * (l + 1) // 2] = 2.0
        last = Harmonics("zonal", given, decaying).about(at, at, at, order).sizes[-1, 0, 0]
        assert last == pytest.approx(2 * weight, rel=1e-7)


@pytest.mark.parametrize(("degree", "decaying"), [(8, True), (16, False)])
@pytest.mark.parametrize("order", [2, 5])
def test_forms_of_all_components_hold_their_values(degree: int, decaying: bool, order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    series, u = made_up(degree, decaying, size=1 / (1 + degree)), real_symbols(("u", "v"))
    x = real_symbols(("x", "y", "z"))
    inner = ExpressionEnclosure(ExpressionMap.of(u.values(), [read_expression(text, u) for text in SPHERE]))
    texts = ["B_1(x, y, z)", "B_2(x, y, z) + x*B_1(x, y, z)"]
    outer = ExpressionMap.of(x.values(), [read_expression(text, {**x, **callables(series)}) for text in texts])
    lower = RNG.uniform(-1, 1, (6, 2))
    upper = lower + 10.0 ** RNG.uniform(-16, -0.3, (6, 2))
    y = inner(TaylorForms.variables(lower, upper, order))
    monkeypatch.setattr(abouts, "MOST_NUMBERS", 5 * 2 * 56)  # few boxes at a time
    forms = ExpressionEnclosure(outer)(y)
    assert forms.bounds is not None
    with mpmath.workdps(60):
        for share in (0.0, 1.0, 0.3):
            at = np.clip(lower + share * (upper - lower), lower, upper)
            ranges = forms.at(np.full((6, 2), 2 * share - 1) * 1.0) if share != 0.3 else forms.range()
            for b, (s, t) in enumerate(at):
                root = mpmath.sqrt(1 + mpmath.mpf(float(s)) ** 2 + mpmath.mpf(float(t)) ** 2)
                point = [1 / root, mpmath.mpf(float(s)) / root, mpmath.mpf(float(t)) / root]
                first, second = exact(series, point)
                for k, value in enumerate((first, second + point[0] * first)):
                    slack = 1e-14 * abs(value) * degree  # t is not exactly at the corner
                    assert ranges.lower[b, k] - slack <= value <= ranges.upper[b, k] + slack
                    assert forms.bounds.lower[b, k] <= value <= forms.bounds.upper[b, k]


def test_forms_are_much_narrower_than_one_derivative_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    series, x, u = made_up(30, False), real_symbols(("x", "y", "z")), real_symbols(("u", "v"))
    lower = RNG.uniform(-1, 1, (10, 2))
    inner = ExpressionEnclosure(ExpressionMap.of(u.values(), [read_expression(text, u) for text in SPHERE]))
    y, function = inner(TaylorForms.variables(lower, lower + 0.05, 5)), ExpressionEnclosure(field_map(series, tuple(x.values())))
    narrow = function(y).radius
    monkeypatch.setattr(Harmonics, "expanded", False)
    abouts._LAST.known = None
    assert (narrow < 0.25 * function(y).radius).all()


def test_boxes_of_which_nothing_is_known_are_told() -> None:
    for decaying in (False, True):
        series = made_up(5, decaying)
        boxes = (
            np.array([[1e150, 1, 1], [np.inf, 0, 0], [np.nan, 0, 1], [-1, -1, -1]]),
            np.array([[1e151, 1, 1], [np.inf, 1, 1], [1, 1, 1], [1, 1, 1]]),
        )
        found = series.about(np.zeros((4, 3)), *boxes, 2)
        assert np.isfinite(found.numbers).all()
        assert np.isfinite(found.off).all()
        assert np.isinf(found.sizes[..., :3]).all()
        assert np.isinf(found.sizes[..., 3]).all() == decaying
