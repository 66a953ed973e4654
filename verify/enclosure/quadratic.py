"""Profiles of relu², q(t) = Σ_j V_j·σ(f_j·(t − t_j))²: quadratics between knots, enclosed by the least and the largest of q″.

Lemma. q is C¹, and q″/2 lies in [low, high] on [l, r], the extrema of the steps Σ_{active} V_j there. So for s_0, s_0 + δ in it,
q(s_0 + δ) lies in q(s_0) + q′(s_0)·δ + [low, high]·δ²; without a knot inside it is a number. Both squares of a neuron that faces left and
of one that faces right are V_j·(t − t_j)² where they are active.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...atlas import Array
from .bend import Places
from .powers import Quantities, Total
from .table import windows
from .taylor import EPS, UNKNOWN, TaylorForms

NOISE = 16
"""Roundings of a value that are no sums over knots."""


@dataclass(frozen=True, eq=False)
class QuadraticProfile:
    """Between the knots i − 1 and i it is second[i]·t² − 2·first[i]·t + constant[i], for m knots and q outputs."""

    knots: Array
    """(m,), ascending and different: nothing lies between two that coincide."""
    second: Array
    """Σ V_j over the active, (m + 1, q)."""
    first: Array
    """Σ V_j·t_j."""
    constant: Array
    """Σ V_j·t_j²."""
    sizes: Array
    """Σ|V_j|, Σ|V_j·t_j| and Σ|V_j·t_j²| over all, (3, q)."""
    terms: int
    """How many these are sums of."""

    @staticmethod
    def of(knots: Array, outputs: Array, facing: Array) -> QuadraticProfile:
        """From knots (m,), V (q, m), and which way the neurons face, ±1 (m,)."""
        places, which = np.unique(knots, return_inverse=True)
        steps, right = outputs.T, facing[:, None] > 0
        terms = [steps, steps * knots[:, None], steps * knots[:, None] * knots[:, None]]
        second, first, constant = (
            _active(_at(which, len(places), np.where(right, term, 0.0)), _at(which, len(places), np.where(right, 0.0, term)))
            for term in terms
        )
        return QuadraticProfile(places, second, first, constant, np.array([np.abs(term).sum(0) for term in terms]), len(knots))

    @cached_property
    def _extrema(self) -> tuple[Array, Array]:
        levels = len(self.second).bit_length()
        return windows(self.second, levels, np.minimum), windows(self.second, levels, np.maximum)

    def local(self, center: Array, reach: Array, degree: int) -> tuple[Array, Array]:
        """c (n + 1, q, N) and R (q, N) with |q(center + δ) − Σ c_i·δ^i| ≤ R for |δ| ≤ reach."""
        noise = (self.terms + NOISE) * EPS
        place = np.searchsorted(self.knots, center, side="right")
        begin = np.searchsorted(self.knots, np.nextafter(center - reach, -np.inf), side="right")
        stop = np.searchsorted(self.knots, np.nextafter(center + reach, np.inf), side="left")
        stop = np.maximum(begin, stop)
        level = np.frexp(stop - begin + 1)[1] - 1
        least, most = self._extrema
        low = np.minimum(least[level, begin], least[level, stop + 1 - (1 << level)]).T
        high = np.maximum(most[level, begin], most[level, stop + 1 - (1 << level)]).T
        A, B, C = self.second[place].T, self.first[place].T, self.constant[place].T
        c = np.zeros((degree + 1, *A.shape))
        c[0], c[1], c[2] = (A * center - 2 * B) * center + C, 2 * (A * center - B), (low + high) / 2
        far, (a, b, k) = np.abs(center) + reach, self.sizes[:, :, None]
        # Rounding of q, q′·δ and q″·δ², for |t| ≤ far.
        off = (high - low) / 2 * reach * reach + 8 * noise * ((a * far + 2 * b) * far + k)
        return c, off


def _at(which: Places, count: int, terms: Array) -> Array:
    """Σ of the terms of every knot, (count, q)."""
    found = np.zeros((count, terms.shape[1]))
    np.add.at(found, which, terms)
    return found


def _active(right: Array, left: Array) -> Array:
    """Σ over right-facing j < i and left-facing j ≥ i, for i = 0 … m, (m + 1, q)."""
    zero = np.zeros((1, right.shape[1]))
    return np.concatenate([zero, np.cumsum(right, axis=0)]) + np.concatenate([np.cumsum(left[::-1], axis=0)[::-1], zero])


@dataclass(frozen=True, eq=False)
class QuadraticProfiles:
    """Σ_k q_k(a_k·x): directions a_k (K, n) and a profile each."""

    directions: Array
    profiles: tuple[QuadraticProfile, ...]

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        """The sum over inputs x with these forms (n functions): q functions."""
        with np.errstate(all="ignore"):
            s = Quantities.of(self.directions, None, forms)
            total = Total(self.profiles[0].sizes.shape[1], s)
            for k, profile in enumerate(self.profiles):
                total.add(k, *profile.local(s.center[k], s.reach[k], s.degree))
            return total.forms().unknown_where(~(forms.radius.max(1) < UNKNOWN)[:, None])
