"""Profiles of smooth activations, q(t) = Σ_j V_j·act(f_j·t + b_j): tables of local Taylor polynomials with what they are off by.

The stored row a is the direction, t = a·x, and z_j = f_j·t + b_j moves as fast as t does, so that cells of one width serve all nets.

Lemma (cells). On a cell with middle τ and |t − τ| ≤ h let a_l be within e_l of q^(l)(τ)/l! for l ≤ P, and |q^(P+1)|/(P+1)! ≤ M on it. Then
for i ≤ P, with s = t − τ,

    |q^(i)(t)/i! − Σ_l C(l, i)·a_l·s^{l−i}| ≤ Σ_l C(l, i)·e_l·h^{l−i} + C(P + 1, i)·M·h^{P+1−i},

and computing the sum takes each term through at most 2P + i + 2 roundings. By the same, |q^(i)|/i! ≤ Σ_l C(l, i)(|a_l| + e_l)·h^{l−i} +
C(P + 1, i)·M·h^{P+1−i} on the cell. Floats put a t into a cell whose ends are off by less than 2^-20·h, by which h is larger here.

Lemma (jets). Let z_j be f_j·τ + b_j as computed, |z_j − exact| = δ_j, known by Knuth's two-sum, and D_l within E_l of act^(l)(z_j). Then
q^(l)(τ) is within Σ|V_j|·(E_l + δ_j·sup|act^(l+1)| + γ_{k+4}·|D_l|) of the computed Σ V_j·f_j^l·D_l, and |q^(P+1)| on the cell differs from
that at τ by at most h·sup|act^(P+2)|·Σ|V_j|.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...atlas import Array
from ...intervals import Flags
from .bend import Places
from .taylor import EPS

P = 8
"""Degree of local polynomials."""
CELLS = 8
"""Per unit of t."""
HALF = (1 + 2.0**-20) / (2 * CELLS)
"""h."""
MARGIN = 3
"""Units of t by which a table reaches beyond its knots."""
REACH = 48.0
"""Of the table of a single neuron, on either side of 0."""
MOST_UNITS = 512
"""Reach of a table at most."""
FARTHEST = 2.0**20
"""|t| at most, so that floats find the cell."""
WIDE = 2.5
"""From this reach on slopes are bounded instead of derivatives of order n + 2."""
LEVELS = int(np.log2(2 * WIDE * CELLS + 2)) + 1
"""Of cells that a reach up to WIDE may touch."""
LEVEL = np.array([0, *(n.bit_length() - 1 for n in range(1, 1 << 16))])
"""⌊log₂ n⌋."""
DEGREES = (2, 3, 4, 5)
"""n: degrees of forms that tables serve."""
ECONOMISED = {2: ((1, 0.75),), 3: ((2, 1.0), (0, -0.125)), 4: ((3, 1.25), (1, -0.3125)), 5: ((4, 1.5), (2, -0.5625), (0, 0.03125))}
"""x^(n+1) on [−1, 1] but for 2^-n: degrees and coefficients."""


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables of K profiles of q outputs, one after the other; T cells in all, a multiple of CELLS each."""

    first: Places
    """(K,): the first cell of each…"""
    count: Places
    """…how many it has…"""
    start: Array
    """…and the t where that begins, an integer."""
    coefficients: Array
    """a, (T, q, P + 1)."""
    errors: Array
    """(K, max n + 2, q): what computed q^(i)/i! are off by, i = 0 … n + 1."""
    suprema: Array
    """(len(DEGREES), T, q): |q^(n+2)|/(n+2)! at most, on each cell."""
    low: Array
    """(T/CELLS, q): q′ on CELLS cells is at least this…"""
    high: Array
    """…and at most this."""

    @property
    def outputs(self) -> int:
        return self.coefficients.shape[1]

    @property
    def end(self) -> Array:
        return self.start + self.count / CELLS

    @cached_property
    def _tops(self) -> dict[int, Array]:
        return {}

    def tops(self, degree: int) -> Array:
        """Maxima of suprema over 2^level cells from each on, (LEVELS, T, q)."""
        if degree not in self._tops:
            self._tops[degree] = windows(self.suprema[degree - DEGREES[0]], LEVELS, np.maximum)
        return self._tops[degree]

    @cached_property
    def slopes(self) -> tuple[Array, Array]:
        """The same of minima and maxima of q′, over any number of blocks of CELLS cells."""
        levels = int(LEVEL[int(self.count.max()) // CELLS]) + 1
        return windows(self.low, levels, np.minimum), windows(self.high, levels, np.maximum)

    def holds(self, center: Array, reach: Array) -> Flags:
        """Whether a table reaches from center − reach to center + reach, (K, N)."""
        return (center - reach >= self.start[:, None]) & (center + reach <= self.end[:, None])

    def local(self, k: int, center: Array, reach: Array, degree: int) -> tuple[Array, Array]:
        """c (n + 1, q, N) and R (q, N) with |q_k(center + δ) − Σ c_i·δ^i| ≤ R for |δ| ≤ reach, where the table holds that, (N,).

        The term of degree n + 1 is economised: on [−1, 1] x³ is ¾x ± ¼, x⁴ is x² − ⅛ ± ⅛, x⁵ is 5/4·x³ − 5/16·x ± 1/16,
        x⁶ is 3/2·x⁴ − 9/16·x² + 1/32 ± 1/32.
        """
        n, first, start, last = degree, self.first[k], self.start[k], self.count[k] - 1
        place, begin, stop = (
            np.minimum(np.maximum(((t - start) * CELLS).astype(np.intp), 0), last) for t in (center, center - reach, center + reach)
        )
        s = center - (start + (place + 0.5) / CELLS)
        c = self.coefficients[first + place].transpose(2, 1, 0).copy()
        for i in range(n + 2):
            for l in range(P - 1, i - 1, -1):
                c[l] += s * c[l + 1]
        wide = np.flatnonzero(reach > WIDE)
        value, slope, far = self._sloped(k, c[0][:, wide], reach[wide], begin[wide] // CELLS, stop[wide] // CELLS)
        begin[wide] = stop[wide]
        power = [np.ones_like(reach)]
        for i in range(n + 2):
            power.append(power[i] * reach)
        level, tops = LEVEL[stop - begin + 1], self.tops(n)
        top = np.maximum(tops[level, first + begin], tops[level, first + stop + 1 - (1 << level)]).T
        off = np.abs(c[n + 1]) * power[n + 1] * (2.0**-n + 16 * EPS) + top * power[n + 2]
        for i in range(n + 2):
            off += self.errors[k, i][:, None] * power[i]
        for i, factor in ECONOMISED[n]:
            c[i] += factor * c[n + 1] * power[n + 1 - i]
        c = c[: n + 1]
        c[0][:, wide], c[1][:, wide], c[2:, :, wide], off[:, wide] = value, slope, 0.0, far
        return c, off

    def _sloped(self, k: int, value: Array, reach: Array, begin: Places, stop: Places) -> tuple[Array, Array, Array]:
        """Where boxes are wide: q(center), a slope, and R, by the least and the largest q′ between two blocks."""
        first, level, (least, most) = self.first[k] // CELLS, LEVEL[stop - begin + 1], self.slopes
        begin, stop = first + begin, first + stop + 1 - (1 << level)
        low = np.minimum(least[level, begin], least[level, stop]).T
        high = np.maximum(most[level, begin], most[level, stop]).T
        off = ((high - low) / 2 + 4 * EPS * (np.abs(low) + np.abs(high))) * reach + self.errors[k, 0][:, None]
        return value, (low + high) / 2, off


def windows(values: Array, levels: int, better: np.ufunc) -> Array:
    """The best of 2^level rows from each on, (levels, rows, q); of fewer at the end."""
    found = [values]
    for level in range(levels - 1):
        width, wider = 1 << level, found[-1].copy()
        if width < len(values):
            better(wider[:-width], found[-1][width:], out=wider[:-width])
        found.append(wider)
    return np.array(found)
