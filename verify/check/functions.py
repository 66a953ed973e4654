"""Statements about the functions of a task alone: what their values lie in, and how much they change when what they read moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...atlas import Array, ExpressionMap, Tiling
from ...atlas.graph.finite import Places
from ...expressions import halved
from ...expressions.tree import Negative, Sum
from ...intervals.patch import GROW, Patch, PatchMap
from .nets import Flags, Indices

EFFORT, AT_ONCE = 1 << 17, 1 << 15
"""Boxes that one statement may take beside four for each of those it is about, and that are looked at together."""
PAIRS = 1 << 16
"""Pairs of pieces that meet, at most."""

Test = Callable[[Array, Array], Flags]
"""Boxes, by their corners, on which a statement surely holds."""


def holds(test: Test, lower: Array, upper: Array) -> bool:
    """Whether a statement is shown to hold on boxes (N, d), cut where it is open."""
    left = EFFORT + 4 * len(lower)
    while len(lower):
        left -= len(lower)
        parts = [slice(start, start + AT_ONCE) for start in range(0, len(lower), AT_ONCE)]
        open_ = ~np.concatenate([test(lower[part], upper[part]) for part in parts])
        lower, upper = lower[open_], upper[open_]
        if left < 2 * len(lower):
            return not len(lower)
        middle = lower + (upper - lower) / 2
        if not ((lower < middle) & (middle < upper)).any(1).all():
            return False  # no float lies inside: cutting shows nothing more
        lower, upper, _ = halves(lower, upper, (upper - lower).argmax(1))
    return True


def holds_around(test: Test, radii: Array, *, most: int, at_once: int, finest: float) -> bool:
    """Whether a statement is shown on all of the box ∏ [−r_k, r_k], cut where it is open along sides that are longest in parts of it; of
    `most` boxes at most, and of none that is cut to the part `finest` along every side."""
    lower, upper, looked = -radii[None], radii[None], 0
    while len(lower):
        looked += len(lower)
        if looked > most or ((upper - lower) < finest * 2 * radii).all(1).any():
            return False
        parts = [slice(start, start + at_once) for start in range(0, len(lower), at_once)]
        open_ = ~np.concatenate([test(lower[part], upper[part]) for part in parts])
        lower, upper = lower[open_], upper[open_]
        lower, upper = halved(lower, upper, ((upper - lower) / radii).argmax(1))
    return True


def within(truth: Callable[[Array, Array], Patch], lower: Array, upper: Array, least: Array, most: Array) -> bool:
    """Whether the values of a function on boxes all lie in [least, most], component by component."""

    def test(lower: Array, upper: Array) -> Flags:
        found = truth(lower, upper).value
        return np.asarray(((found.lower >= least) & (found.upper <= most)).all(1))

    return holds(test, lower, upper)


def moves_little(
    functions: Sequence[ExpressionMap],
    roots: Sequence[Array],
    tiling: Tiling | None,
    moves: Array,
    stated: Array,
    places: Places | None = None,
) -> bool:
    """Whether |f(v) − f(z)| ≤ `stated` for |v_k − z_k| ≤ moves_k, f given on boxes, v at `places` in them.

    From v to z, one coordinate after the other, f changes by at most Σ sup|∂_k f|·moves_k within pieces, and where it passes from one to
    the next by what these differ by there: once an axis, and once more for every narrowest piece that moves_k spans.
    """
    jump = np.zeros(len(stated))
    if tiling is not None and len(tiling) > 1:
        widths = [float(np.diff(knots).min()) for knots in tiling.knots]
        # What takes finitely many values, all of them further from every interface, crosses none.
        across = moves if places is None else places.loose(tiling.knots, moves)
        crossed = sum(1 + np.floor(e / width * GROW) for e, width in zip(across, widths, strict=True) if e > 0)
        jump = crossed * _largest_jump(functions, tiling, across) if across.any() else jump
    room = stated / GROW - jump * GROW
    for function, root in zip(functions, roots, strict=True):
        map_ = PatchMap(function)

        def test(lower: Array, upper: Array, map_: PatchMap = map_) -> Flags:
            slopes = np.einsum("ndc,d->nc", map_(Patch.coordinates(lower, upper)).first.magnitude, moves)
            return np.asarray((slopes * GROW <= room).all(1))

        if not holds(test, root[:1], root[1:]):
            return False
    return True


def _largest_jump(functions: Sequence[ExpressionMap], tiling: Tiling, moves: Array) -> Array:
    """max |f_p − f_q| where two pieces meet and a move may lead from one to the other, nearly; ∞ where that cannot be said."""
    pairs = tiling.touching(PAIRS + 1)
    worst = np.zeros(functions[0].outputs)
    if len(pairs) > PAIRS:
        return worst + np.inf
    for p, q in pairs.tolist():
        low, high = np.maximum(tiling.lower[p], tiling.lower[q]), np.minimum(tiling.upper[p], tiling.upper[q])
        if not ((low == high) & (moves > 0)).any():
            continue
        f, g = functions[p], functions[q]
        g = g.renamed(f.variables)
        trees = [Sum((a, Negative(b))) for a, b in zip(f.trees, g.trees, strict=True)]
        gap = PatchMap(ExpressionMap(f.variables, tuple(a - b for a, b in zip(f.expressions, g.expressions, strict=True)), trees))
        worst = np.maximum(worst, _supremum(gap, low, high))
    return worst


def _supremum(map_: PatchMap, low: Array, high: Array) -> Array:
    """sup |f| on a box, from the parts that may hold it: within 2^-21 of what is attained, or as well as the effort allows."""
    lower, upper, left = low[None], high[None], 1 << 12
    attained = found = np.zeros(1)
    while len(lower):
        f = map_(Patch.coordinates(lower, upper))
        reach = f.value.magnitude
        attained = np.maximum(attained, np.maximum(f.at.lower, -f.at.upper).max((0, 1)))
        again = (reach > attained * (1 + 2.0**-21)).any(1) & (left > 0) & ((upper - lower).max(1) > 0)
        found = np.maximum(found, np.where(again[:, None], 0.0, reach).max(0))
        left -= len(lower)
        lower, upper, _ = halves(lower[again], upper[again], (upper - lower)[again].argmax(1))
    return np.maximum(found, attained)


def halves(lower: Array, upper: Array, side: Indices) -> tuple[Array, Array, Indices]:
    """Each box in two along its side, one after the other, and which box each came from."""
    return *halved(lower, upper, side, beside=True), np.repeat(np.arange(len(lower)), 2)
