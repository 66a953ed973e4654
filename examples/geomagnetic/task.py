"""The field on the shell from −1 to 600 km and from 2025 to 2030, as a task graph whose hard part is a function on the sphere.

With q = a/r and n the degree, B(r·x, t) = q³ Σ_n q^{n−1}·(B_n(x) + (t − 2027.5)·Ḃ_n(x)), B_n on the unit sphere. On [q₀, q₁], of middle q̄
and half-width w, q^{n−1} is a sum of K Chebyshev polynomials T_k((q − q̄)/w), interpolated at their nodes, up to

    |q^{n−1} − Σ_{k<K} c_nk·T_k| ≤ 2·(w/2)^K·C(n−1, K)·q₁^{n−1−K},        0 for n ≤ K,

as for any function with so large a K-th derivative. So

    B = Σ_k w_k(r)·F_k(x) + Σ_k (t − 2027.5)·ẇ_k(r)·Ḟ_k(x) + what is left,      w_k = q³·T_k/s_k,   F_k = s_k Σ_n c_nk·B_n,

up to `remainder`. The functions F_k are harmonics on the sphere, proved there, in two dimensions; the weights are functions of one
variable; and the rest are products of two values, which networks compute exactly. s_k are powers of two that make what is hard about
the F_k alike, so that errors of those that matter little count little.
"""

from __future__ import annotations

from math import comb

import atlasmoe
import numpy as np
from atlasmoe.atlas.graph import Block, Combine, Input, TaskGraph, Tiling
from atlasmoe.expressions.box import Box
from atlasmoe.expressions.fields import callables
from atlasmoe.expressions.maps import ExpressionMap
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.intervals.harmonics import Coefficients, Harmonics, places, vector_field
from geodesy import DATES, RADII

Array = np.ndarray
LEAST, MOST = 1 / RADII[1], 1 / RADII[0]
MIDDLE, HALF = (LEAST + MOST) / 2, (MOST - LEAST) / 2
BETWEEN = (DATES[0] + DATES[1]) / 2
YEARS = (DATES[1] - DATES[0]) / 2
POLYNOMIALS = ("1", "s", "(2*s**2 - 1)", "(4*s**3 - 3*s)", "(8*s**4 - 8*s**2 + 1)", "(16*s**5 - 20*s**3 + 5*s)")
DIRECTION = ("x", "y", "z")
LARGEST_SCALE = 1024.0


def series_of(given: Coefficients) -> Harmonics:
    """B in the middle of the years, and its rate: six components of positions in units of the reference radius."""
    years = BETWEEN - (given.epoch if given.epoch is not None else BETWEEN)
    return vector_field("B", Coefficients(given.at(years), given.rates, BETWEEN))


def field(series: Harmonics, at: Array) -> Array:
    """B (N, 3) at directions, radii and dates (N, 5)."""
    main, rate = series.values(at[:, :3] * at[:, 3:4]).reshape(2, 3, -1)
    return np.asarray((main + (at[:, 4] - BETWEEN) * rate).T)


def chebyshev(power: int, count: int) -> Array:
    """Coefficients c_k of the polynomial that interpolates q^power at `count` nodes."""
    angles = (2 * np.arange(count) + 1) * np.pi / (2 * count)
    values = (MIDDLE + HALF * np.cos(angles)) ** power
    return np.array([(2 - (k == 0)) / count * (values * np.cos(k * angles)).sum() for k in range(count)])


def remainder(series: Harmonics, kept: int, rates: int) -> float:
    """A bound, in nT and for every component, of what the sums over k leave out."""
    total = 0.0
    for rows, count, factor in ((slice(0, 3), kept, 1.0), (slice(3, 6), rates, YEARS)):
        sizes = series.sum((0, 0, 0)).sizes[rows].max(0)  # of degree l = n + 1, on the unit sphere
        for l in range(2 + count, len(sizes)):
            left = 2 * (HALF / 2) ** count * comb(l - 2, count) * MOST ** (l - 2 - count)
            total += float(factor * sizes[l] * left * MOST**3)
    return total * (1 + 1e-9)


def on_sphere(series: Harmonics, kept: int, rates: int) -> tuple[Harmonics, list[str]]:
    """The functions F_k and Ḟ_k, three components each, and the weights as texts in r."""
    l, _ = places(series.degree)
    rows, weights, hardest = [], [], 0.0
    for first, count, factor in ((0, kept, 1.0), (3, rates, YEARS)):
        table = np.array([chebyshev(max(degree - 2, 0), count) * (degree >= 2) for degree in range(series.degree + 1)])
        for k in range(count):
            some = series.coefficients[first : first + 3] * table[l, k]
            hard = float((np.sqrt((some**2).sum(1)) @ l.astype(float) ** 4).max())
            hardest = max(hardest, hard)
            scale = 2.0 ** np.clip(np.floor(np.log2(hardest / (hard * factor))), 0, np.log2(LARGEST_SCALE))
            rows.append(some * scale)
            s = f"((1/r - {MIDDLE!r})/{HALF!r})"
            weights.append(f"{float(1 / scale)!r} * (1/r)**3 * {POLYNOMIALS[k].replace('s', s)}")
    return Harmonics("F", np.concatenate(rows), decaying=False), weights


def graph_of(series: Harmonics, charts: int, kept: int = 4, rates: int = 3, activation: str = "silu") -> TaskGraph:
    """The field as direction, radius and date ↦ (bx, by, bz)."""
    functions, weights = on_sphere(series, kept, rates)
    sphere = atlasmoe.builtin("sphere", dimension=2, atlas="ball", charts=charts)
    radii = Box((RADII[0],), (RADII[1],))
    inputs = (
        Input("direction", sphere, DIRECTION),
        Input("radius", radii, ("r",)),
        Input("date", Box((DATES[0],), (DATES[1],)), ("t",)),
    )
    symbols, names = real_symbols(DIRECTION), callables(functions)
    calls = ExpressionMap.of(symbols.values(), [read_expression(f"{name}(x, y, z)", {**symbols, **names}) for name in names])
    f = tuple(f"f{k}" for k in range(functions.outputs))
    w, u, v = (tuple(f"{letter}{k}" for k in range(count)) for letter, count in (("w", kept), ("u", rates), ("v", rates)))
    here = Block("here", DIRECTION, sphere, (calls,) * charts, f, options={"activation": activation, "routing": "affine"})
    height = Block.parse("height", ("r",), Tiling.whole(radii, ("r",), "radius"), [weights], (*w, *u), activation="silu")
    aged = Combine.parse("aged", (*u, "t"), [f"{one}*(t - {BETWEEN!r})" for one in u], v, activation="exact")
    sums = [" + ".join(f"{weight}*{f[3 * k + c]}" for k, weight in enumerate((*w, *v))) for c in range(3)]
    total = Combine.parse("field", (*w, *v, *f), sums, ("bx", "by", "bz"), activation="exact")
    return TaskGraph("geomagnetic_field", (*inputs, here, height, aged, total), "field")
