"""Compiled twin of `few.composed`: the same operations in the same order, so the same numbers (`loops`)."""

from __future__ import annotations

import numpy as np

from ...atlas import Array
from .bend import Places
from .loops import compiled

BLOCK = 256
"""Boxes at a time, so that what is needed of them stays in the cache."""


@compiled
def _tails(moved: Array, starts: Places, at: int, end: int) -> Array:
    """`few._tails` of some boxes."""
    n, r = len(starts) - 2, moved.shape[1]
    found = np.zeros((r, n + 2, end - at))
    for j in range(r):
        for g in range(n, 0, -1):
            for x in range(end - at):
                found[j, g, x] = found[j, g + 1, x]
            for k in range(starts[g], starts[g + 1]):
                for x in range(end - at):
                    found[j, g, x] += abs(moved[k, j, at + x])
    return found


@compiled
def composed(
    polynomial: Array, moved: Array, loose: Array, nodes: Places, firsts: Places, pairs: Places, starts: Places, found: Array, rest: Array
) -> None:  # fmt: skip
    """Into `found` (C, q, N) and `rest` (q, N); `nodes`, `firsts`, `pairs`, `starts`: those of `few.scheme`."""
    _, Q, N = polynomial.shape
    n = len(starts) - 2
    part = np.zeros((n + 1, starts[n + 1], min(N, BLOCK)))
    off = np.zeros((n + 1, min(N, BLOCK)))
    size, whole, beyond = np.zeros(min(N, BLOCK)), np.zeros(min(N, BLOCK)), np.zeros(min(N, BLOCK))
    for at in range(0, N, BLOCK):
        end = min(at + BLOCK, N)
        count = end - at
        tails, t = _tails(moved, starts, at, end), np.ascontiguousarray(moved[:, :, at:end])
        for q in range(Q):
            part[0], off[0] = 0.0, 0.0
            for i in range(len(nodes)):
                node, level, j = nodes[i]
                own = part[level]
                for x in range(count):
                    own[0, x] += polynomial[node, q, at + x]
                if level == 0:
                    break
                g, above = n - level, part[level - 1]
                for p in range(firsts[g], firsts[g + 1]):
                    to, left, right = above[pairs[p, 0]], t[pairs[p, 1], j], own[pairs[p, 2]]
                    for x in range(count):
                        to[x] += left[x] * right[x]
                whole[:], beyond[:] = 0.0, 0.0
                for b in range(g + 1):
                    size[:] = 0.0
                    for k in range(starts[b], starts[b + 1]):
                        for x in range(count):
                            size[x] += abs(own[k, x])
                    tail = tails[j, g + 2 - b]
                    for x in range(count):
                        whole[x] += size[x]
                        beyond[x] += size[x] * tail[x]
                first = tails[j, 1]
                for x in range(count):
                    spare = loose[j, at + x]
                    off[level - 1, x] += (first[x] + spare) * off[level, x] + spare * whole[x] + beyond[x]
                    off[level, x] = 0.0
                own[: starts[g + 1]] = 0.0
            for k in range(starts[n + 1]):
                for x in range(count):
                    found[k, q, at + x] = part[0, k, x]
            for x in range(count):
                rest[q, at + x] = off[0, x]
