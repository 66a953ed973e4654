"""Sending rows to their experts: ways to compute y[n] = f^(expert[n])(x[n]), each row through one expert only.

All take the `stages` of a stack of experts (weight (experts, out, in), bias (experts, out)), rows x [N, in] and the expert of
every row [N]. `choose_dispatch` picks the cheapest by `costs`, the one model of what they cost. Where no gradients are asked for, `quick`
does the same in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..moe.sums import Sums
from .stages import Stage, through

Stages = list[Stage]
Dispatch = Callable[[Stages, Tensor, Tensor | None, Sums], Tensor]

CALL = 1 << 18
"""What a call of a library costs, a product and what comes with it, in multiplications of a large product: about 6 µs."""
COPIED = 12
"""What copying one number of a weight and using it once costs, in the same."""
PADDED = 4
"""What a multiplication costs in a batch of small products."""
LISTED = 45_000
"""What a product that NumPy is called for costs, in the same: about 1 µs."""
KERNEL = 1.2
"""What a multiplication of the kernel costs, in the same."""
KERNEL_ROW = 2200
"""What a row costs that the kernel sends through a map, besides."""
LOOKED_UP = 14
"""What a bias costs that is looked up and added."""
READ = 10
"""What a number of a weight costs that has to come from memory, once for all rows of its expert."""
CALLS = {"segmented": 8, "gathered": 4, "padded": 12, "listed": 10, "kernel": 1}
"""Calls that do not depend on how many experts and stages there are."""
CHUNK_BYTES = 1 << 19
"""Size of a chunk's hidden activations: they are written and read again while still in the second-level cache."""
COPIES = 1 << 20
"""Numbers of weights that are copied at a time."""


def costs(stages: Stages, rows: int, most: float | None = None) -> dict[str, float]:
    """What every way costs for so many rows, in multiplications of a large product; w of them in one row's expert, E experts.

    * direct: every row by itself, N·w + READ·S·w + CALL·N·stages, S = E·(1 − exp(−N/E)) experts that have rows;
    * segmented: rows sorted, every expert that has some on its own, N·w + READ·S·w + CALL·(S·stages + 8);
    * gathered: every row with a copy of its expert's weights, N·w·COPIED + CALL·(stages + 4);
    * padded: rows sorted, all experts in one batch, each as many as the fullest has, E·most·w·PADDED + CALL·(stages + 12);
    * listed: rows sorted, all products of a stage one after the other by NumPy, biases and activations of all rows at once, m numbers of
      a row: N·w + READ·S·w + LISTED·S·stages + LOOKED_UP·N·m + CALL·(4·stages + 10); where NumPy can (`listed.fits`);
    * kernel: one compiled loop over all experts for every map, KERNEL·N·w + READ·S·w + KERNEL_ROW·N·maps + CALL·(stages + 1); where it is
      loaded (`kernel`).

    `most`: rows of the fullest expert; not said, load + 3·√load + 1 for a load of N/E, as where rows fall by chance.
    """
    experts, depth = stages[0].weight.shape[0], len(stages)
    work = work_of(stages)
    load = rows / experts
    busy = experts * -math.expm1(-load)
    maps = [1 if stage.up is None else 2 for stage in stages]
    biases = sum(stage.bias.shape[1] * count for stage, count in zip(stages, maps, strict=True))
    most = load + 3 * math.sqrt(load) + 1 if most is None else most
    return {
        "direct": (rows + READ * busy) * work + CALL * rows * depth,
        "segmented": (rows + READ * busy) * work + CALL * (busy * depth + CALLS["segmented"]),
        "gathered": rows * COPIED * work + CALL * (depth + CALLS["gathered"]),
        "padded": experts * most * work * PADDED + CALL * (depth + CALLS["padded"]),
        "listed": (rows + READ * busy) * work + LISTED * busy * depth + LOOKED_UP * rows * biases + CALL * (4 * depth + CALLS["listed"]),
        "kernel": (KERNEL * rows + READ * busy) * work + KERNEL_ROW * rows * sum(maps) + CALL * (depth + CALLS["kernel"]),
    }


def work_of(stages: Stages) -> int:
    """w, the multiplications of a row in one expert."""
    return sum(math.prod(stage.weight.shape[1:]) * (1 if stage.up is None else 2) for stage in stages)


def pays(stages: Stages, rows: int, most: int) -> bool:
    """Whether padding pays now that the fullest expert's rows are counted."""
    cost = costs(stages, rows, most)
    return cost["padded"] <= min(cost["segmented"], cost["gathered"])


def capacity(stages: Stages, counts: Sequence[int]) -> tuple[int, list[int], float]:
    """Rows that a batch over all experts has for each, which of the counts are of experts that have more, and what both cost, those on
    their own segments.

    Of the fullest experts, c_1 ≥ c_2 ≥ …, the first j are left out of the batch, which then has c_{j+1} rows for each: what is least of
    E·c_{j+1}·w·PADDED + CALL·(stages + 12) + Σ_{i ≤ j} (c_i·w + CALL·stages).
    """
    experts, depth, work = stages[0].weight.shape[0], len(stages), work_of(stages)
    which = np.argsort(counts)[::-1]
    full = np.array(counts)[which]
    alone = (full.cumsum() - full) * float(work) + CALL * depth * np.arange(len(full))
    total = full * float(experts * work * PADDED) + alone + CALL * (depth + CALLS["padded"])
    j = int(total.argmin())
    return int(full[j]), which[:j].tolist(), float(total[j])


def unpadded(stages: Stages, rows: int, also: Sequence[str] = ()) -> str:
    """The way where it does not."""
    cost = costs(stages, rows)
    return min(("segmented", "gathered", *also), key=lambda way: cost[way])


def cheapest(stages: Stages, rows: int, sums: Sums = Sums.PLAIN, also: Sequence[str] = ()) -> str:
    """The name of the way, of those that keep the order of sums; `also`: ways without PyTorch that are possible here."""
    cost = costs(stages, rows)
    if sums is not Sums.PLAIN:
        return min(("direct", "segmented"), key=lambda way: cost[way])
    return min((*WAYS, *also), key=lambda way: cost[way])


def choose_dispatch(stages: Stages, rows: int, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Dispatch:
    """The cheapest way for this many rows and experts of this size."""
    return dense if expert is None else WAYS[cheapest(stages, rows, sums)]


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


def by_expert(expert: Tensor, experts: int) -> tuple[Tensor, Tensor]:
    """Rows in the order of their experts, those of one in their own order, [N], and how many rows every expert has, [experts]."""
    counts = expert.bincount(minlength=experts)
    keys = expert.to(torch.int16) if experts <= torch.iinfo(torch.int16).max else expert  # of 16 bits sorting is fast
    if keys.device.type == "cpu":
        return torch.from_numpy(keys.numpy().argsort(kind="stable")), counts  # by radix, for a third of the time
    return keys.sort(stable=True).indices, counts


def runs(counts: Tensor) -> tuple[list[int], list[int]]:
    """The experts that have rows, and how many."""
    members = counts.nonzero()[:, 0]
    return members.tolist(), counts[members].tolist()


def inverse(order: Tensor) -> Tensor:
    """Where every row went, [N]. Looking rows up is twice as fast as putting them in their places."""
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))


def segmented(stages: Stages, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """Sort the rows by expert, gather them once, run each expert on its own contiguous segment, bring them back."""
    assert expert is not None
    if not len(x):
        return run(stages, 0, x, sums)
    order, counted = by_expert(expert, stages[0].weight.shape[0])
    members, counts = runs(counted)
    parts, step = [], chunk_rows(stages)
    for k, segment in zip(members, torch.split(x.index_select(0, order), counts), strict=True):
        parts += [run(stages, k, part, sums) for part in torch.split(segment, step)]
    return torch.cat(parts).index_select(0, inverse(order))


def copied(stages: Stages, x: Tensor, expert: Tensor) -> Tensor:
    """Every row with a copy of its own expert's weights, in batched products. Plain sums; nothing depends on data but values."""
    h = x[:, None]
    for stage in stages:
        h = stage.looked_up(expert).batched(h)
    return h[:, 0]


def gathered(stages: Stages, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """`copied`, so many rows at a time that copies stay small."""
    assert expert is not None
    step = max(1, COPIES // max(1, sum(stage.weight[0].numel() for stage in stages)))
    if len(x) <= step:
        return copied(stages, x, expert)
    return torch.cat([copied(stages, *part) for part in zip(torch.split(x, step), torch.split(expert, step), strict=True)])


def padded(stages: Stages, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
    """One batch of products over all experts, in which each has as many rows as the fullest; zeros fill it up. Plain sums.

    Where one expert has so many rows that this does not pay, the next best way.
    """
    assert expert is not None
    experts = stages[0].weight.shape[0]
    counts = expert.bincount(minlength=experts)
    most = int(counts.max()) if len(x) else 0
    if not most or not pays(stages, len(x), most):
        return WAYS[unpadded(stages, len(x))](stages, x, expert, sums)
    order, counts = by_expert(expert, experts)
    shift = torch.arange(experts, device=x.device) * most - (counts.cumsum(0) - counts)
    slots = torch.arange(len(x), device=x.device) + shift.index_select(0, expert.index_select(0, order))
    h = x.new_zeros(experts * most, x.shape[1]).index_copy(0, slots, x.index_select(0, order)).view(experts, most, -1)
    for stage in stages:
        h = stage.batched(h)
    return h.flatten(0, 1).index_select(0, torch.empty_like(order).index_copy_(0, order, slots))


WAYS: dict[str, Dispatch] = {"direct": direct, "segmented": segmented, "gathered": gathered, "padded": padded}
