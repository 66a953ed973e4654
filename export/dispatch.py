"""Sending rows to their experts: three ways to compute y[n] = f^(expert[n])(x[n]), each row through one expert only.

All take the `stages` of a stack of experts (weight (experts, out, in), bias (experts, out)), rows x [N, in] and the expert of
every row [N]. Which is fastest depends on the load, the number of rows that an expert gets (`choose_dispatch`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..moe.sums import Sums
from .stages import Stage, through

Stages = list[Stage]
Dispatch = Callable[[Stages, Tensor, Tensor | None, Sums], Tensor]

DIRECT_ROWS = 8
"""Up to this many rows are not worth sorting."""
BUCKET_LOAD = 12
"""Below this many rows per expert, a product per expert costs more in calls than in arithmetic…"""
BUCKET_NUMBERS = 1 << 15
"""…if an expert has at most this many weights: buckets copy the weights of the experts they use."""
CHUNK_BYTES = 1 << 19
"""Size of a chunk's hidden activations: they are written and read again while still in the second-level cache."""


def choose_dispatch(stages: Stages, rows: int, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Dispatch:
    """The way that was fastest in `benchmarks/dispatch.py` for this many rows and experts of this size, of those that keep the order
    of sums.
    """
    if expert is None:
        return dense
    if rows <= DIRECT_ROWS:
        return direct
    experts = stages[0].weight.shape[0]
    numbers = sum(stage.weight[0].numel() * (1 if stage.up is None else 2) for stage in stages)
    small_load = sums is Sums.PLAIN and rows < BUCKET_LOAD * min(experts, rows)
    return bucketed if small_load and numbers <= BUCKET_NUMBERS else segmented


def run(stages: Stages, k: int, x: Tensor, sums: Sums = Sums.PLAIN) -> Tensor:
    """f^(k)(x), [n, in] to [n, out]."""
    return through([stage.of(k) for stage in stages], x, sums)


def chunk_rows(stages: Stages) -> int:
    """How many rows at a time have hidden activations that fit the cache."""
    width = max((stage.bias.shape[1] * (1 if stage.up is None else 2) for stage in stages[:-1]), default=1)
    return max(16, CHUNK_BYTES // (width * stages[0].weight.element_size()))


def dense(stages: Stages, x: Tensor, expert: Tensor | None = None, sums: Sums = Sums.PLAIN) -> Tensor:
    """All rows through the one expert there is."""
    return torch.cat([run(stages, 0, part, sums) for part in torch.split(x, chunk_rows(stages))]) if len(x) else run(stages, 0, x, sums)


def direct(stages: Stages, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """Row by row."""
    assert expert is not None
    if not len(x):
        return run(stages, 0, x, sums)
    return torch.cat([run(stages, k, x[n : n + 1], sums) for n, k in enumerate(expert.tolist())])


def segmented(stages: Stages, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """Sort the rows by expert, gather them once, run each expert on its own contiguous segment, scatter back."""
    assert expert is not None
    if not len(x):
        return run(stages, 0, x, sums)
    order = expert.argsort(stable=True)
    counts = expert.bincount(minlength=stages[0].weight.shape[0]).tolist()
    parts, step = [], chunk_rows(stages)
    for k, segment in enumerate(torch.split(x[order], counts)):
        if counts[k] > step:
            parts += [run(stages, k, part, sums) for part in torch.split(segment, step)]
        elif counts[k]:
            parts.append(run(stages, k, segment, sums))
    y = torch.cat(parts)
    return torch.empty_like(y).index_copy_(0, order, y)


def bucketed(stages: Stages, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """Batched products over the experts with 1, 2, 3–4, 5–8, … rows; a segment is padded by repeating its last row. In any order only."""
    assert expert is not None
    order = expert.argsort(stable=True)
    counts = expert.bincount(minlength=stages[0].weight.shape[0])
    starts = counts.cumsum(0) - counts
    most = int(counts.max()) if len(x) else 0
    rows, parts, length = [order[:0]], [run(stages, 0, x[:0])], 1
    while length < 2 * most:
        members = ((2 * counts > length) & (counts <= length)).nonzero()[:, 0]
        place = torch.arange(length, device=x.device)
        row = order[starts[members, None] + torch.minimum(place, counts[members, None] - 1)]
        own = place < counts[members, None]
        h = x[row]
        for stage in stages:
            h = stage.of(members).batched(h)
        rows.append(row[own])
        parts.append(h[own])
        length *= 2
    y = torch.cat(parts)
    return torch.empty_like(y).index_copy_(0, torch.cat(rows), y)
