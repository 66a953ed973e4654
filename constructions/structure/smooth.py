"""A sum of profiles in smooth or relu² neurons: every profile is fitted as a function of one number, and its error is bounded afterwards.

Lemma. Let g = q − p on |t| ≤ r, p(t) = Σ w_j·act(z_j), z_j = f_j·(a·t − b_j). On a cell of half-width h around c on which p is twice
differentiable, |g| ≤ |g(c)| + h·|g′(c)| + (h²/2)·sup|q″ − p″|, and |p″ − p″(c)| ≤ h·Σ|w_j|·|a|³·sup|act‴| (0 for relu², whose knots
end cells). q and its derivatives are enclosed with outward rounding, p's come with proved errors of act. Nothing is sampled: the maximum
over cells is a bound.
"""

from __future__ import annotations

import numpy as np
import sympy

from ...atlas import Array, ExpressionMap
from ...errors import AtlasMoEError
from ...intervals import Interval
from ...moe.activations import RELU2, Activation
from ...moe.ridge import Dictionary, Ridge
from ..relu.samples import Target
from ..relu.spline.proof import Local
from ..smooth.fit import fit_to
from .affine import ACTIVE, carried
from .profiles import Profiles, T

EPS = float(np.finfo(float).eps)
CELLS = 2048
TRIES, LOWER = 4, 0.6
"""How often a profile whose bound is above its share is fitted to a lower budget, and how much lower at least."""
BEFORE = 0.9
"""Of a profile's share, what the first fit aims at: bounds are a little above the error."""
MOST = 16
"""More profiles are better fitted together."""


def smooth_sum(parts: Profiles, activation: Activation, *, epsilon: float, limit: int, seed: int, dtype: str) -> tuple[Ridge, float] | None:
    """The net with a bound of at most `epsilon`, a K-th for each profile; None where one has no bound or the limit does not suffice."""
    count = len(parts.directions)
    if not 0 < count <= MOST:
        return None
    share = (epsilon * (1 - 1e-6) - parts.residual) / count
    bounds = np.full(len(parts.constant), parts.residual)
    found: list[Ridge] = []
    for q, reach in zip(parts.functions, parts.reach, strict=True):
        made = _profile(q, float(reach), activation, share, limit, seed, dtype)
        if made is None:
            return None
        found.append(made[0])
        bounds = bounds + made[1]
    ridge, rounded = _joined(parts, found, activation)
    bound = float(bounds.max()) * (1 + 8 * EPS) + rounded
    return (ridge, bound) if bound <= epsilon else None


def _profile(
    q: tuple[sympy.Expr, ...], reach: float, activation: Activation, share: float, limit: int, seed: int, dtype: str
) -> tuple[Ridge, Array] | None:
    function = ExpressionMap((T,), q)

    def draw(count: int, number: int, held_out: bool) -> tuple[Array, Array]:
        t = np.random.default_rng([seed, number]).random(count)
        t[:2] = 0.0, 1.0
        t = (reach * np.clip(1.02 * np.cos(np.pi * t), -1, 1))[:, None]
        return t, function(t)

    target = Target(draw, "profile", "structure")
    budget = BEFORE * share
    for _ in range(TRIES):
        try:
            fitted = fit_to(target, budget, activation=activation, limit=limit, seed=seed, dtype=dtype, remedy="")
        except AtlasMoEError:
            return None
        if fitted.ridge is None or fitted.ridge.dictionary.activation is not activation:
            return None
        bound = profile_bound(q, reach, fitted.ridge)
        worst = float(bound.max())
        if worst <= share:
            return fitted.ridge, bound
        if not np.isfinite(worst):
            return None
        budget *= min(LOWER, share / worst)
    return None


def profile_bound(q: tuple[sympy.Expr, ...], reach: float, ridge: Ridge) -> Array:
    """A bound of |q − the net of one variable| on |t| ≤ reach, (outputs,), by the lemma; ∞ where q has none."""
    dictionary = ridge.dictionary
    row = np.repeat(dictionary.directions[:, 0], dictionary.counts) * dictionary.facing
    bias = -dictionary.facing * dictionary.knots
    edges = np.linspace(-reach, reach, CELLS + 1)
    smooth = dictionary.activation is not RELU2
    if not smooth:
        with np.errstate(divide="ignore", invalid="ignore"):
            places = np.where(row != 0, -bias / row, np.inf)
        edges = np.unique(np.concatenate([edges, places[(places > -reach) & (places < reach)]]))
    left, right = edges[:-1], edges[1:]
    middle = left + (right - left) / 2
    h = (right - left) / 2 * (1 + 4 * EPS) + 2 * np.spacing(reach)
    local = Local(q, T, -reach, reach)
    value, slope, _ = local.derivatives(middle, middle)
    bend = local.derivatives(left, right)[2]
    z = middle[:, None] * row + bias
    moved = 4 * EPS * (np.abs(middle[:, None] * row) + np.abs(bias))
    if smooth:
        (a0, a1, a2), (e0, e1, e2) = dictionary.activation.derivatives(z, 2)
        third = dictionary.activation.supremum(3)
        second = moved * third
    else:
        positive = z > 0
        a0, a1, a2 = np.where(positive, z, 0.0) ** 2, 2 * np.where(positive, z, 0.0), 2.0 * positive
        e0, e1, e2 = 4 * EPS * a0, 4 * EPS * a1, np.zeros_like(z)
        # Within rounding of a knot the second derivative is 0 or 2; a knot that rounding has put outside its cell changes p by `sliver`.
        third, second = 0.0, np.where(np.abs(z) <= moved + np.abs(row) * h[:, None] * 16 * EPS, 2.0, 0.0)
    size = np.abs(ridge.weights)
    sliver = 0.0 if smooth else (8 * EPS * (np.abs(row) * reach + np.abs(bias))) ** 2 @ size.T
    terms = len(row) + 4
    sup1 = dictionary.activation.supremum(1) if smooth else 2 * (np.abs(z) + moved).max()
    sup2 = dictionary.activation.supremum(2) if smooth else 2.0

    def summed(values: Array, errors: Array, moving: Array | float, power: int) -> Interval:
        factor = row**power
        total = (values * factor) @ ridge.weights.T
        off = (np.abs(values * factor) * (terms * EPS) + (errors + moving) * np.abs(factor)) @ size.T * (1 + terms * EPS)
        if power == 0:
            total, off = total + ridge.constant, off + terms * EPS * np.abs(ridge.constant)
        return Interval(total - off, total + off)

    at = _size(value - summed(a0, e0, moved * sup1, 0))
    tilt = _size(slope - summed(a1, e1, moved * sup2, 1))
    curved = summed(a2, e2, second, 2)
    spread = (h[:, None] * third * (np.abs(row) ** 3 @ size.T)) * (1 + terms * EPS)
    bent = _size(bend - Interval(curved.lower - spread, curved.upper + spread))
    found = (at + h[:, None] * tilt + h[:, None] ** 2 / 2 * bent + sliver) * (1 + 16 * EPS)
    return np.asarray(np.where(np.isnan(found), np.inf, found).max(0))


def _size(x: Interval) -> Array:
    return np.maximum(np.abs(x.lower), np.abs(x.upper))


def _joined(parts: Profiles, found: list[Ridge], activation: Activation) -> tuple[Ridge, float]:
    """All profiles and the affine part as neurons of y, and what rounding moves."""
    half = parts.half
    rows = [np.outer(one.dictionary.directions[:, 0], a) for one, a in zip(found, parts.rows, strict=True)]
    counts = [count for one in found for count in one.dictionary.counts]
    knots = [one.dictionary.knots for one in found]
    facing = [one.dictionary.facing for one in found]
    weights = [one.weights for one in found]
    constant = parts.constant + np.sum([one.constant for one in found], axis=0)
    forms, shares, dropped = carried(parts.linear, half, np.zeros(len(constant)), list(parts.rows))
    for g, share in zip(forms, shares.T, strict=True):
        reach = ACTIVE * float(np.abs(g) @ half)
        rows.append(g[None] / reach)
        counts.append(2)
        facing.append(np.array([1.0, -1.0]))
        # act(z) − act(−z) = z; of relu², (1 + z)² − (1 − z)² = 4z where both are active.
        knots.append(np.zeros(2) if activation.reflects else np.array([-1.0, 1.0]))
        weight = share * reach / (1 if activation.reflects else 4)
        weights.append(np.stack([weight, -weight], axis=1))
    directions = np.concatenate(rows) / parts.scale
    places, sides, out = np.concatenate(knots), np.concatenate(facing), np.concatenate(weights, axis=1)
    shifts = np.repeat(directions @ parts.center, counts)
    dictionary = Dictionary(directions, tuple(counts), places + shifts, sides, activation)
    size = np.repeat(np.abs(np.concatenate(rows)) @ half, counts) + np.abs(places) + np.abs(shifts)
    moved = size * (1.2 if activation.reflects else 2 * size)
    rounded = 16 * EPS * float((np.abs(out) @ moved + np.abs(constant)).max()) + dropped
    return Ridge(dictionary, out, constant), rounded
