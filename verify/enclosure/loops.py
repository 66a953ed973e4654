"""Compiled twins of the hot loops of enclosures: the same operations in the same order as their numpy references, so the same numbers.

Lemma. Every operation here is one IEEE 754 operation in double precision, rounded to nearest, as numpy's: nothing is contracted, nothing
reassociated (fastmath is off, and the compiler may not fuse a·b + c otherwise). Sums run in the order of the reference. So a value here
equals that of the reference, zeros up to their sign, which no bound depends on; and what the reference proves of its rounding holds here.
`tests/test_loops.py` compares them. Imported only where numba is installed (`fast.py`).

Arrays are laid out as forms are in memory: coefficients (C, n, N), radii (n, N), so that boxes are neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ...atlas import Array
from .bend import Places
from .taylor import EPS, INFLATION, LARGEST, UNDERFLOW, UNKNOWN

BLOCK = 32
"""Boxes on which neurons are looked at together first."""

compiled: Any = njit(error_model="numpy", cache=True)


@compiled
def _least(a, b):  # type: ignore[no-untyped-def]
    return b if b < a or b != b else a


@compiled
def _most(a, b):  # type: ignore[no-untyped-def]
    return b if b > a or b != b else a


@compiled
def taylor_range(c: Array, radius: Array, dimension: int, lower: Array, upper: Array) -> None:
    """`TaylorForms.range`: into lower and upper (n, N)."""
    C, n, N = c.shape
    factor = EPS * (16 + 2 * C)
    for f in range(n):
        for b in range(N):
            total, high, low, spread = abs(c[0, f, b]), 0.0, 0.0, 0.0
            k = 1 + dimension
            for i in range(dimension):
                for j in range(i, dimension):
                    q = c[k, f, b]
                    size = abs(q)
                    k += 1
                    total += size
                    if i != j:
                        spread += size
                        continue
                    l, size = abs(c[1 + i, f, b]), 2 * size
                    vertex, inside = l * (l / size) / 2, l < size
                    total += l
                    high += vertex if inside and q < 0 else l + q
                    low -= vertex if inside and q > 0 else l - q
            slack = (radius[f, b] + spread + factor * total + UNDERFLOW) * INFLATION
            known = radius[f, b] < UNKNOWN
            lower[f, b] = np.nextafter(c[0, f, b] + low - slack, -np.inf) if known else -np.inf
            upper[f, b] = np.nextafter(c[0, f, b] + high + slack, np.inf) if known else np.inf


@compiled
def _gap(s, l, r, steeper, higher, bend):  # type: ignore[no-untyped-def]
    return steeper * s + higher - bend / 2 * ((s - l) * (s - r))


@compiled
def ridge(
    s: Array, radius: Array, left: Array, right: Array, starts: Places, knots: Array, slopes: Array, offsets: Array, reach: Array,
    shift: Array, noise: Array, dimension: int, total: Array, spread: Array, size: Array,
) -> None:  # fmt: skip
    """`ridge.Profiles`: adds Σ_k q_k(s_k) to total (C, q, N), spread and size (q, N), for s (C, K, N) with radius, left and right (K, N).

    Profile k has the knots starts[k] … starts[k + 1] − 1 and, one more each, slopes and offsets from starts[k] + k on, (·, q).
    """
    C, K, N = s.shape
    outputs = slopes.shape[1]
    out = np.empty(C)
    for k in range(K):
        begin, end = starts[k], starts[k + 1]
        for b in range(N):
            l, r, rad = left[k, b], right[k, b], radius[k, b]
            lo, hi = begin, end
            while lo < hi:
                middle = (lo + hi) >> 1
                if knots[middle] <= l:
                    lo = middle + 1
                else:
                    hi = middle
            first = lo
            far = _most(abs(l), abs(r))
            every, linear, quadratic = abs(s[0, k, b]), 0.0, 0.0
            for c in range(1, C):
                every += abs(s[c, k, b])
                if c <= dimension:
                    linear += abs(s[c, k, b])
                else:
                    quadratic += abs(s[c, k, b])
            crossed = first < end and knots[first] < r
            if not crossed:
                for q in range(outputs):
                    slope, offset = slopes[first + k, q], offsets[first + k, q]
                    for c in range(C):
                        total[c, q, b] += slope * s[c, k, b]
                    total[0, q, b] += offset
                    spread[q, b] += abs(slope) * rad + noise[k] * (reach[k, q] * far + shift[k, q])
                    size[q, b] += abs(slope) * every + abs(offset)
                continue
            last = first + 1
            while last < end and knots[last] < r:
                last += 1
            n = last - first
            width, place = r - l, knots[first]
            apart = _most((knots[last - 1] - place) * (n / max(n - 1, 1)), width * (n / (n + 1)))
            lone = width * width / (4 * _least(place - l, r - place))
            for q in range(outputs):
                before, after = slopes[first + k, q], slopes[last + k, q]
                start = before * l + offsets[first + k, q]
                slope = (after * r + offsets[last + k, q] - start) / width
                level = start - slope * l
                bend = (after - before) / (lone if n == 1 else apart)
                low1, high1, low2, high2 = np.inf, -np.inf, np.inf, -np.inf
                for i in range(first, last + 1):
                    t0 = l if i == first else _most(knots[i - 1], l)
                    t1 = r if i == last else _least(knots[i], r)
                    steeper, higher = slopes[i + k, q] - slope, offsets[i + k, q] - level
                    e0, e1 = _gap(t0, l, r, steeper, higher, bend), _gap(t1, l, r, steeper, higher, bend)
                    vertex = (l + r) / 2 + steeper / bend
                    turn = _gap(vertex, l, r, steeper, higher, bend) if t0 < vertex < t1 else e0
                    low1, high1 = _least(low1, _least(_least(e0, e1), turn)), _most(high1, _most(_most(e0, e1), turn))
                    e0, e1 = _gap(t0, l, r, steeper, higher, 0.0), _gap(t1, l, r, steeper, higher, 0.0)
                    low2, high2 = _least(low2, _least(e0, e1)), _most(high2, _most(e0, e1))
                if high1 - low1 >= high2 - low2:
                    low1, high1, bend = low2, high2, 0.0
                middle = low1 + (high1 - low1) / 2
                bent = abs(bend) * width * width + abs(bend) * (8 * EPS * far) * far
                hidden = 16 * EPS * ((reach[k, q] + abs(slope)) * far + shift[k, q] + abs(level) + bent)
                error = _most(high1 - middle, middle - low1) * (1 + 2 * EPS) + hidden
                level += middle
                error += EPS * abs(level)
                # p(s), as `Bend.forms`.
                center, half = s[0, k, b], bend / 2
                below, above = center - l, center - r
                tilt = slope + half * (below + above)
                for c in range(C):
                    out[c] = tilt * s[c, k, b]
                out[0] = slope * center + level + half * (below * above)
                m = 1 + dimension
                for i in range(dimension):
                    for j in range(i, dimension):
                        out[m] += (half if i == j else 2 * half) * (s[1 + i, k, b] * s[1 + j, k, b])
                        m += 1
                off = abs(tilt) * rad + (abs(half) * (quadratic + rad) + UNDERFLOW) * (2 * linear + quadratic + rad)
                deviation = linear + quadratic + rad
                bent = abs(bend) * ((width + deviation) * (width + deviation) + UNDERFLOW)
                off += 8 * EPS * (abs(slope) * (abs(center) + deviation) + abs(level) + bent)
                spread[q, b] += noise[k] * (reach[k, q] * far + shift[k, q])
                spread[q, b] += off + error
                whole = abs(out[0])
                total[0, q, b] += out[0]
                for c in range(1, C):
                    whole += abs(out[c])
                    total[c, q, b] += out[c]
                size[q, b] += whole


@compiled
def _rectified(l, r):  # type: ignore[no-untyped-def]
    """`relu.rectified` for one interval: slope, level and bend of p, and what σ − p is off by."""
    width = r - l
    slope = min(max(r / width, 0.0), 1.0)
    level = -slope * l
    bend = 4 * _least(-l, r) / (width * width)
    low1, high1, low2, high2 = np.inf, -np.inf, np.inf, -np.inf
    for side in range(2):
        t0, t1 = (l, 0.0) if side == 0 else (0.0, r)
        steeper, higher = side - slope, -level
        e0, e1 = _gap(t0, l, r, steeper, higher, bend), _gap(t1, l, r, steeper, higher, bend)
        vertex = (l + r) / 2 + steeper / bend
        turn = _gap(vertex, l, r, steeper, higher, bend) if t0 < vertex < t1 else e0
        low1, high1 = _least(low1, _least(_least(e0, e1), turn)), _most(high1, _most(_most(e0, e1), turn))
        e0, e1 = _gap(t0, l, r, steeper, higher, 0.0), _gap(t1, l, r, steeper, higher, 0.0)
        low2, high2 = _least(low2, _least(e0, e1)), _most(high2, _most(e0, e1))
    if high1 - low1 >= high2 - low2:
        low1, high1, bend = low2, high2, 0.0
    middle, far = low1 + (high1 - low1) / 2, _most(abs(l), abs(r))
    bent = abs(bend) * width * width + abs(bend) * (8 * EPS * far) * far
    reach = _most(high1 - middle, middle - low1) * (1 + 2 * EPS) + 16 * EPS * ((1 + abs(slope)) * far + abs(level) + bent)
    level += middle
    return slope, level, bend, reach + EPS * abs(level)


@compiled
def _span(s, radius, dimension):  # type: ignore[no-untyped-def]
    """`TaylorForms.range` of one form."""
    total, high, low, spread = abs(s[0]), 0.0, 0.0, 0.0
    k = 1 + dimension
    for i in range(dimension):
        for j in range(i, dimension):
            q, size = s[k], abs(s[k])
            k += 1
            total += size
            if i != j:
                spread += size
                continue
            l, size = abs(s[1 + i]), 2 * size
            vertex, inside = l * (l / size) / 2, l < size
            total += l
            high += vertex if inside and q < 0 else l + q
            low -= vertex if inside and q > 0 else l - q
    slack = (radius + spread + EPS * (16 + 2 * len(s)) * total + UNDERFLOW) * INFLATION
    return np.nextafter(s[0] + low - slack, -np.inf), np.nextafter(s[0] + high + slack, np.inf)


@compiled
def _relu(s, radius, dimension):  # type: ignore[no-untyped-def]
    """`relu.rectify` of one form, in place; the new radius, settled, ∞ for one that is too large."""
    if not radius < LARGEST:
        return np.inf
    lower, upper = _span(s, radius, dimension)
    if upper <= 0:
        s[:] = 0.0
        return UNDERFLOW
    if lower < 0:
        slope, level, bend, reach = _rectified(lower, upper)
        linear, quadratic = 0.0, 0.0
        for c in range(1, len(s)):
            if c <= dimension:
                linear += abs(s[c])
            else:
                quadratic += abs(s[c])
        center, half, width = s[0], bend / 2, upper - lower
        below, above = center - lower, center - upper
        tilt = slope + half * (below + above)
        off = abs(tilt) * radius + (abs(half) * (quadratic + radius) + UNDERFLOW) * (2 * linear + quadratic + radius)
        deviation = linear + quadratic + radius
        bent = abs(bend) * ((width + deviation) * (width + deviation) + UNDERFLOW)
        off += 8 * EPS * (abs(slope) * (abs(center) + deviation) + abs(level) + bent)
        k = 1 + dimension
        for i in range(dimension):
            for j in range(i, dimension):
                s[k] = tilt * s[k] + (half if i == j else 2 * half) * (s[1 + i] * s[1 + j])
                k += 1
        for c in range(1, 1 + dimension):
            s[c] *= tilt
        s[0] = slope * center + level + half * (below * above)
        radius = off + reach
    return radius * INFLATION + UNDERFLOW if radius < LARGEST else np.inf


@compiled
def scattered(
    x: Array, radius: Array, weight: Array, bias: Array, outputs: Array, sizes: Array, dimension: int, total: Array, spread: Array
) -> None:
    """`relu.Neurons`: Σ_j V_j·σ(w_j·x + b_j) into total (C, q, N) and spread (q, N), for x (C, n, N) with radius (n, N); weight (n, m).

    Sums run in another order than in the reference, whose bounds hold for any. BLOCK boxes that lie together are looked at together
    first: a neuron that does not change its mind on the hull of what they read does not on any of them. The hull of the reading i
    is mid_i ± half_i, and |w·x + b − (w·mid + b)| ≤ Σ|w_i|·half_i for all of them, up to γ_{n+1}·(Σ|w_i·mid_i| + |b|) of rounding.
    """
    C, n, N = x.shape
    q, m = outputs.shape
    reach = np.empty((n, N))  # how far reading i gets from its middle on a box, rounding of w·x included
    for i in range(n):
        for b in range(N):
            reach[i, b] = radius[i, b] + 2 * (n + 2) * EPS * abs(x[0, i, b]) + UNDERFLOW
            for c in range(1, C):
                reach[i, b] += abs(x[c, i, b])
    maps, base, s = np.empty((q, n + 1)), np.empty((q, n + 1)), np.empty(C)
    center, far, open_ = np.empty(m), np.empty(m), np.empty(m, np.intp)
    for start in range(0, N, BLOCK):
        stop = min(start + BLOCK, N)
        for j in range(m):
            center[j], far[j] = bias[j], 2 * (n + 2) * EPS * abs(bias[j])
        for i in range(n):
            low, high = np.inf, -np.inf
            for b in range(start, stop):
                low, high = _least(low, x[0, i, b] - reach[i, b]), _most(high, x[0, i, b] + reach[i, b])
            middle = low + (high - low) / 2
            half = _most(high - middle, middle - low) * (1 + 8 * EPS) + 2 * (n + 4) * EPS * _most(abs(low), abs(high)) + UNDERFLOW
            for j in range(m):
                center[j] += weight[i, j] * middle
                far[j] += abs(weight[i, j]) * half
        base[:] = 0.0
        count = 0
        for j in range(m):
            off = far[j] * (1 + 2 * (n + C) * EPS) + UNDERFLOW
            if center[j] - off >= 0:
                for k in range(q):
                    for i in range(n):
                        base[k, i] += outputs[k, j] * weight[i, j]
                    base[k, n] += outputs[k, j] * bias[j]
            elif not center[j] + off <= 0:
                open_[count] = j
                count += 1
        for b in range(start, stop):
            known = True
            for i in range(n):
                known &= radius[i, b] < UNKNOWN
            if not known:
                spread[:, b] = UNKNOWN
                continue
            for k in range(q):
                for i in range(n + 1):
                    maps[k, i] = base[k, i]
            bent = np.zeros(q)
            pairs_ = 0
            for place in range(count):
                j = open_[place]
                middle, off = bias[j], 2 * (n + 2) * EPS * abs(bias[j])
                for i in range(n):
                    middle += weight[i, j] * x[0, i, b]
                    off += abs(weight[i, j]) * reach[i, b]
                off = off * (1 + 2 * (n + C) * EPS) + UNDERFLOW
                if middle + off <= 0:
                    continue
                if middle - off >= 0:
                    for k in range(q):
                        for i in range(n):
                            maps[k, i] += outputs[k, j] * weight[i, j]
                        maps[k, n] += outputs[k, j] * bias[j]
                    continue
                inner = 0.0
                for i in range(n):
                    every = 0.0
                    for c in range(C):
                        every += abs(x[c, i, b])
                    inner += (radius[i, b] + 2 * (n + 2) * EPS * every + UNDERFLOW) * abs(weight[i, j])
                for c in range(C):
                    s[c] = 0.0
                    for i in range(n):
                        s[c] += x[c, i, b] * weight[i, j]
                s[0] += bias[j]
                inner = (inner * (1 + 2 * n * EPS) + EPS * abs(s[0])) * INFLATION + UNDERFLOW
                inner = _relu(s, inner, dimension)
                pairs_ += 1
                for k in range(q):
                    V, whole = outputs[k, j], 0.0
                    for c in range(C):
                        total[c, k, b] += s[c] * V
                        whole += abs(s[c] * V)
                    spread[k, b] += inner * abs(V) + EPS * whole
                    bent[k] += whole
            for k in range(q):
                off, rounding, whole = 0.0, sizes[k, n], 0.0
                for i in range(n):
                    every = radius[i, b] + UNDERFLOW
                    for c in range(C):
                        total[c, k, b] += maps[k, i] * x[c, i, b]
                        every += abs(x[c, i, b])
                    off += abs(maps[k, i]) * radius[i, b]
                    rounding += every * sizes[k, i]
                total[0, k, b] += maps[k, n]
                for c in range(C):
                    whole += abs(total[c, k, b])
                spread[k, b] += off * (1 + 2 * n * EPS) + 2 * (m + n + 4) * EPS * rounding
                spread[k, b] += (pairs_ + n + 3) * EPS * (bent[k] + whole + rounding) * (1 + m * EPS)
