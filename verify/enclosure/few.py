"""Sums of functions of few quantities: profiles along many directions that span few dimensions, as one polynomial, composed with forms.

Directions a_k of a chart's expert have as many dimensions as the chart, whatever the number of inputs. With r of them as rows of B, the
others are a_k = R_k·B + d_k, d_k what floats are off by.

Lemma. On a box let v = B·x have forms v_0 + t, t without constants and known to ±r_v, |t_j| ≤ τ_j. For every direction let s_k0 be
R_k·v_0 as computed, |a_k·x − s_k0 − R_k·t| ≤ E_k, ρ_k ≥ |R_k|·τ + E_k, and p_k(δ) = Σ_{i≤n} c_ki·δ^i within O_k of q_k(s_k0 + δ) for
|δ| ≤ ρ_k. Then

    |Σ_k q_k(a_k·x) − P(t)| ≤ Σ_k (O_k + E_k·Σ_i i·|c_ki|·ρ_k^{i−1}),   P(t) = Σ_{|α|≤n} C_α·t^α,   C_α = |α|!/α!·Σ_k c_k|α|·R_k^α.

P is composed by Horner's scheme, t^α = t_j·t^β with j the last variable of α, and a term of |β| factors keeps the degrees to
n − |β|: what is above is bounded as it arises, and so is what the forms of t are off by. So sums over directions are taken before
anything is bounded: a function that is a sum of hundreds that mostly cancel costs no more than one that is not.

Rounding: C_α goes through at most K + n + 3 operations, and all but C_0 through r·T + 2 more for each factor, T the most products that meet
in one coefficient; the terms' sum of absolute values is at most Σ_k Σ_i |c_ki|·ρ_k^i.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ...atlas import Array
from ...intervals import Flags
from .bend import Places
from .fast import few_loops
from .monomials import dimension_of, monomials, places, starts
from .powers import monomials as powers
from .taylor import EPS, UNDERFLOW, UNKNOWN, TaylorForms, settled

MOST = 4
"""Dimensions that directions may span."""
LEAST_DEGREE = 3
"""Of forms: to second order little is left out that could cancel."""
DEPENDENT = 1e-9
"""Pivots from which on directions depend on those before, relative to the first."""
CLOSE = 2.0**-40
"""What directions may be off by, relative to the largest of their entries; those of float32 that were rounded may not."""


@dataclass(frozen=True, eq=False)
class Span:
    """Directions as combinations of few of them."""

    basis: Array
    """B, (r, n)."""
    shares: Array
    """R, (K, r)."""
    off: Array
    """|d| ≤ off, (K, n)."""

    @staticmethod
    def of(directions: Array) -> Span | None:
        """None where they span more than MOST dimensions, or not well enough."""
        from scipy.linalg import qr

        triangle, order = qr(directions.T, mode="r", pivoting=True)
        pivots = np.abs(np.diag(triangle))
        rank = int((pivots > DEPENDENT * pivots[:1]).sum())
        if not 0 < rank <= MOST:
            return None
        basis = directions[order[:rank]]
        shares = np.linalg.lstsq(basis.T, directions.T, rcond=None)[0].T
        shares[order[:rank]] = np.eye(rank)
        off = np.abs(directions - shares @ basis)
        off[order[:rank]] = 0.0
        slack = (rank + 3) * EPS * (np.abs(shares) @ np.abs(basis))
        slack[order[:rank]] = 0.0
        if not (np.isfinite(off).all() and (off <= CLOSE * np.abs(directions).max()).all()):
            return None
        return Span(basis, shares, (off + slack) * (1 + 8 * EPS))

    def weights(self, degree: int) -> Array:
        """|α|!/α!·R_k^α, (K, monomials)."""
        table = powers(self.basis.shape[0], degree)
        found = np.ones((len(self.shares), len(table.degrees)))
        for m in range(1, found.shape[1]):
            found[:, m] = found[:, table.parents[m]] * self.shares[:, table.last[m]]
        return found * table.multiples


@dataclass(frozen=True, eq=False)
class Few:
    """K quantities a_k·x on N boxes by r of them."""

    center: Array
    """s_k0, (K, N)."""
    own: Array
    """E_k."""
    reach: Array
    """ρ_k."""
    moved: Array
    """t, (C, r, N)."""
    loose: Array
    """r_v, (r, N)."""
    weights: Array
    """(K, monomials in r variables)."""
    degree: int

    @staticmethod
    def of(span: Span, weights: Array, forms: TaylorForms) -> Few:
        """For inputs x with these forms; 0 on boxes where one is unknown."""
        known = forms.radius.max(1) < UNKNOWN
        v, R, r = forms.affine(span.basis), np.abs(span.shares), len(span.basis)
        moved, loose = v.in_memory
        middle = moved[0].copy()
        moved[0] = 0.0
        size = (np.abs(forms.coefficients).sum(1) + forms.radius).T
        own = span.off @ size + (r + 3) * EPS * (R @ np.abs(middle))
        # The middle of a cell of a table is taken off the middle of a quantity in floats.
        own = (own + EPS / 16) * (1 + 256 * EPS) + UNDERFLOW
        reach = (R @ (np.abs(moved).sum(0) + loose) + own) * (1 + 256 * EPS)
        found = Few(span.shares @ middle, own, reach, moved, loose, weights, forms.degree)
        return found if known.all() else found.where(known)

    def where(self, condition: Flags) -> Few:
        """0 on the other boxes."""
        center, own, reach = (np.where(condition, a, 0.0) for a in (self.center, self.own, self.reach))
        moved, loose = (np.where(condition, a, 0.0) for a in (self.moved, self.loose))
        return Few(center, own, reach, moved, loose, self.weights, self.degree)


class FewTotal:
    """Σ_k q_k(a_k·x), as it is added up: q functions on N boxes."""

    def __init__(self, outputs: int, quantities: Few) -> None:
        self.quantities = quantities
        N = quantities.center.shape[1]
        self.polynomial = np.zeros((quantities.weights.shape[1], outputs, N))
        """C_α."""
        self.radius, self.size, self.far = np.zeros((3, outputs, N))
        """Σ O_k + E_k·…; Σ|c_k0|, and Σ|c_ki|·ρ_k^i over i ≥ 1."""

    @property
    def arrays(self) -> tuple[Array, ...]:
        """For compiled loops."""
        return self.polynomial, self.radius, self.size, self.far

    def add(self, k: int, c: Array, off: Array) -> None:
        """q_k, which is within `off` (q, N) of Σ c_i·δ^i, c (n + 1, q, N)."""
        s = self.quantities
        power, steep, whole = np.ones_like(s.reach[k]), np.zeros_like(off), np.zeros_like(off)
        for i in range(1, s.degree + 1):
            size = np.abs(c[i])
            steep = steep + i * size * power
            power = power * s.reach[k]
            whole = whole + size * power
        self.radius += off + steep * s.own[k]
        self.size += np.abs(c[0])
        self.far += whole
        degrees = scheme(1, self.variables, s.degree).degrees
        for m, weight in enumerate(s.weights[k]):
            self.polynomial[m] += c[degrees[m]] * weight

    @property
    def variables(self) -> int:
        return self.quantities.moved.shape[1]

    def forms(self) -> TaylorForms:
        """The sum, composed, its rounding included."""
        s, n, (K, r) = self.quantities, self.quantities.degree, (len(self.quantities.weights), self.variables)
        d = dimension_of(len(s.moved), n)
        plan = scheme(d, r, n)
        if compiled := few_loops(self.radius.size, len(plan.nodes)):
            found, rest = np.zeros((len(s.moved), *self.radius.shape)), np.zeros_like(self.radius)
            compiled.composed(self.polynomial, s.moved, s.loose, plan.nodes, plan.firsts, plan.pairs, plan.starts, found, rest)
        else:
            found, rest = composed(self.polynomial, s.moved, s.loose, plan)
        rounding = EPS * ((K + n + 3) * (self.size + self.far) + n * (r * plan.most + 2) * self.far)
        radius = self.radius + rest + rounding + UNDERFLOW
        return settled(found.transpose(2, 0, 1), radius.T * (1 + (K + 1024) * EPS), n)


@dataclass(frozen=True, eq=False)
class Scheme:
    """In which order monomials in r variables are taken up, and what products of forms in d variables are made of."""

    degrees: Places
    """Of the monomials in r variables."""
    nodes: Places
    """(monomials, 3): each after all that end in more variables: which, of what degree, and its last variable."""
    pairs: Places
    """(T, 3): k, a, b for products a·b of monomials in d variables, grouped by the degree to which b goes…"""
    firsts: Places
    """…and where each group begins, and where the last ends."""
    starts: Places
    """Where each degree of monomials in d variables begins."""
    most: int
    """Products that meet in one coefficient, at most."""


@cache
def scheme(d: int, r: int, n: int) -> Scheme:
    """Of forms of degree n in d variables and polynomials in r."""
    table, first, place, every = powers(r, n), starts(d, n), places(d, n), monomials(d, n)
    children: list[list[int]] = [[] for _ in table.degrees]
    for m, parent in enumerate(table.parents[1:].tolist(), 1):
        children[parent].append(m)
    nodes: list[tuple[int, int, int]] = []

    def visit(m: int) -> None:
        for child in children[m]:
            visit(child)
        nodes.append((m, int(table.degrees[m]), int(table.last[m])))

    visit(0)
    pairs, firsts, most = [], [0], 1
    for g in range(n):
        some = [
            (place[tuple(x + y for x, y in zip(every[a], every[b], strict=True))], a, b)
            for b in range(first[g + 1])
            for a in range(1, first[g + 2])
            if sum(every[a]) + sum(every[b]) <= g + 1
        ]
        most = max(most, int(np.bincount([k for k, _, _ in some]).max()))
        pairs += some
        firsts.append(len(pairs))
    return Scheme(table.degrees, np.array(nodes), np.array(pairs), np.array(firsts), first, most)


def composed(polynomial: Array, moved: Array, loose: Array, plan: Scheme) -> tuple[Array, Array]:
    """Σ C_α·t^α for C (monomials, q, N), t (C, r, N) ± loose (r, N): coefficients (C, q, N), and what they are off by (q, N)."""
    n, first = len(plan.starts) - 2, plan.starts
    _, q, N = polynomial.shape
    tails = _tails(moved, plan)
    part: list[Any] = [np.zeros((int(first[n - level + 1]), q, N)) for level in range(n + 1)]
    rest = np.zeros((n + 1, q, N))
    for node, level, j in plan.nodes.tolist():
        own = part[level]
        own[0] += polynomial[node]
        if not level:
            break
        g, above = n - level, part[level - 1]
        for k, a, b in plan.pairs[plan.firsts[g] : plan.firsts[g + 1]].tolist():
            above[k] += moved[a, j] * own[b]
        whole, beyond = np.zeros((q, N)), np.zeros((q, N))
        for b in range(g + 1):
            size = np.zeros((q, N))
            for k in range(first[b], first[b + 1]):
                size += np.abs(own[k])
            whole += size
            beyond += size * tails[j, g + 2 - b]
        rest[level - 1] += (tails[j, 1] + loose[j]) * rest[level] + loose[j] * whole + beyond
        own[:] = 0.0
        rest[level] = 0.0
    return part[0], rest[0]


def _tails(moved: Array, plan: Scheme) -> Array:
    """(r, n + 2, N): Σ|t_j| from each degree on."""
    n, (_, r, N) = len(plan.starts) - 2, moved.shape
    found = np.zeros((r, n + 2, N))
    for g in range(n, 0, -1):
        found[:, g] = found[:, g + 1]
        for k in range(plan.starts[g], plan.starts[g + 1]):
            found[:, g] += np.abs(moved[k])
    return found
