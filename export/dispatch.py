"""Sending rows to their experts: three ways to compute y[n] = f^(expert[n])(x[n]), each row through one expert only.

All take `maps`, the (weight (experts, out, in), bias (experts, out)) of every affine map, rows x [N, in] and the expert
of every row [N]. Which is fastest depends on the load, the number of rows that an expert gets (`choose_dispatch`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..moe.sums import Sums
from .sums import through

Maps = list[tuple[Tensor, Tensor]]
Dispatch = Callable[[Maps, Tensor, Tensor | None, Sums], Tensor]

DIRECT_ROWS = 8
"""Up to this many rows are not worth sorting."""
BUCKET_LOAD = 12
"""Below this many rows per expert, a product per expert costs more in calls than in arithmetic…"""
BUCKET_NUMBERS = 1 << 15
"""…if an expert has at most this many weights: buckets copy the weights of the experts they use."""
CHUNK_BYTES = 1 << 19
"""Size of a chunk's hidden activations: they are written and read again while still in the second-level cache."""


def choose_dispatch(maps: Maps, rows: int, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Dispatch:
    """The way that was fastest in `benchmarks/dispatch.py` for this many rows and experts of this size, of those that keep the order
    of sums.
    """
    if expert is None:
        return dense
    if rows <= DIRECT_ROWS:
        return direct
    experts = maps[0][0].shape[0]
    numbers = sum(weight[0].numel() for weight, _ in maps)
    small_load = sums is Sums.PLAIN and rows < BUCKET_LOAD * min(experts, rows)
    return bucketed if small_load and numbers <= BUCKET_NUMBERS else segmented


def run(maps: Maps, k: int, x: Tensor, sums: Sums = Sums.PLAIN) -> Tensor:
    """f^(k)(x), [n, in] to [n, out]."""
    return through([(weight[k], bias[k]) for weight, bias in maps], x, sums)


def chunk_rows(maps: Maps) -> int:
    """How many rows at a time have hidden activations that fit the cache."""
    width = max((bias.shape[1] for _, bias in maps[:-1]), default=1)
    return max(16, CHUNK_BYTES // (width * maps[0][0].element_size()))


def dense(maps: Maps, x: Tensor, expert: Tensor | None = None, sums: Sums = Sums.PLAIN) -> Tensor:
    """All rows through the one expert there is."""
    return torch.cat([run(maps, 0, part, sums) for part in torch.split(x, chunk_rows(maps))]) if len(x) else run(maps, 0, x, sums)


def direct(maps: Maps, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """Row by row."""
    assert expert is not None
    if not len(x):
        return run(maps, 0, x, sums)
    return torch.cat([run(maps, k, x[n : n + 1], sums) for n, k in enumerate(expert.tolist())])


def segmented(maps: Maps, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """Sort the rows by expert, gather them once, run each expert on its own contiguous segment, scatter back."""
    assert expert is not None
    if not len(x):
        return run(maps, 0, x, sums)
    order = expert.argsort(stable=True)
    counts = expert.bincount(minlength=maps[0][0].shape[0]).tolist()
    parts, step = [], chunk_rows(maps)
    for k, segment in enumerate(torch.split(x[order], counts)):
        if counts[k] > step:
            parts += [run(maps, k, part, sums) for part in torch.split(segment, step)]
        elif counts[k]:
            parts.append(run(maps, k, segment, sums))
    y = torch.cat(parts)
    return torch.empty_like(y).index_copy_(0, order, y)


def bucketed(maps: Maps, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """Batched products over the experts with 1, 2, 3–4, 5–8, … rows; a segment is padded by repeating its last row. In any order only."""
    assert expert is not None
    order = expert.argsort(stable=True)
    counts = expert.bincount(minlength=maps[0][0].shape[0])
    starts = counts.cumsum(0) - counts
    most = int(counts.max()) if len(x) else 0
    rows, parts, length = [order[:0]], [run(maps, 0, x[:0])], 1
    while length < 2 * most:
        members = ((2 * counts > length) & (counts <= length)).nonzero()[:, 0]
        place = torch.arange(length, device=x.device)
        row = order[starts[members, None] + torch.minimum(place, counts[members, None] - 1)]
        own = place < counts[members, None]
        h = x[row]
        for layer, (weight, bias) in enumerate(maps):
            h = torch.baddbmm(bias[members, None], h if layer == 0 else h.relu_(), weight[members].mT)
        rows.append(row[own])
        parts.append(h[own])
        length *= 2
    y = torch.cat(parts)
    return torch.empty_like(y).index_copy_(0, torch.cat(rows), y)
