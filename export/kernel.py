"""Experts by one kernel of our own over all of them (`kernel_loops`), where numba is installed and there is enough to do.

A product of a library is one call for every expert; where experts have a row or two, calls are most of what a layer takes. The kernel is
called once for every map. Loading it takes half a second, and compiling it, once after an installation and for each dtype, two to five.
So it is loaded when other ways have taken WORTH longer, by the model of `dispatch`, than it would have: who evaluates a few times never
waits, and nobody loses more than about twice what was best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import listed
from .stages import Stage

Matrices = NDArray[Any]
WORTH = 40_000 << 18
"""What others may take longer in a process before it is loaded, in multiplications of a large product: a quarter of a second by the model
of costs, which is cautious about the kernel where weights come from a cache, and about a second in truth."""
CACHE = 1 << 25
"""Bytes of weights that stay in a cache from call to call."""
ROW = 90_000
"""What one row takes longer by other ways: about 2 µs."""

_missed = [0.0]
_loops: list[Any] = []


def loops(missed: float = 0) -> Any:
    """The compiled loops, None as long as they are not worth it, or cannot be had; `missed`: how much longer a call takes without."""
    if _loops:
        return _loops[0]
    _missed[0] += missed
    return load() if _missed[0] > WORTH else None


def load() -> Any:
    """The compiled loops, now; None where they cannot be had."""
    if not _loops:
        from ..verify.enclosure.fast import loaded

        _loops.append(loaded("kernel_loops", __package__))
    return _loops[0]


def hopeless() -> bool:
    """Whether they cannot be had."""
    return bool(_loops) and _loops[0] is None


class Map(NamedTuple):
    """A stage of all experts as the kernel has it: weights (experts, in, out), biases (experts, out), and those of lanes."""

    weight: Matrices
    bias: Matrices
    up: tuple[Matrices, Matrices] | None
    stage: Stage
    rectified: bool
    """Whether all that follows is max(·, 0)."""
    cached: bool
    """Whether weights come from a cache."""


ALONE = ("relu", "silu")
"""Activations that the kernel knows itself where it runs one row."""


def fits(stages: Sequence[Stage]) -> bool:
    """Whether weights lie in memory as rows are multiplied by them, and are so few that a library would not take several threads."""
    weights = [weight for stage in stages for weight in (stage.weight, *(stage.up or ())[:1])]
    return listed.fits(stages, 1) and all(weight.mT.is_contiguous() for weight in weights)


def form(stage: Stage) -> str:
    """The one activation that follows its map; "" where there are several, none, or lanes."""
    return stage.bend[0][1] if len(stage.bend) == 1 and stage.up is None else ""


def fits_alone(stages: Sequence[Stage]) -> bool:
    """Whether it can run one row as well: all hidden layers have one activation, of those that it knows."""
    forms = {form(stage) for stage in stages[:-1]}
    return len(forms) < 2 and forms <= set(ALONE) and fits(stages)


class Experts(NamedTuple):
    """All experts of a layer, as the kernel has them."""

    maps: tuple[Map, ...]
    """Innermost first."""
    weights: tuple[Matrices, ...]
    biases: tuple[Matrices, ...]
    smooth: bool
    """Whether hidden layers have SiLU, if all have the same activation."""


def experts(stages: Sequence[Stage]) -> Experts:
    """Those of these stages."""
    cached = sum(stage.weight.nbytes * (1 if stage.up is None else 2) for stage in stages) <= CACHE
    maps = tuple(
        Map(
            stage.weight.detach().mT.numpy(),
            stage.bias.detach().numpy(),
            None if stage.up is None else (stage.up[0].detach().mT.numpy(), stage.up[1].detach().numpy()),
            stage,
            form(stage) == "relu",
            cached,
        )
        for stage in stages
    )
    return Experts(maps, tuple(part.weight for part in maps), tuple(part.bias for part in maps), form(stages[0]) == "silu")


def row(loops: Any, experts: Experts, k: int, x: Tensor) -> Tensor:
    """One row [1, in] through expert k, [1, out]."""
    numbers = _numbers(x)
    out = np.empty((1, experts.biases[-1].shape[1]), numbers.dtype)
    loops.one_row(k, numbers, experts.weights, experts.biases, out, experts.smooth)
    return torch.from_numpy(out)


def rows(loops: Any, experts: Experts, expert: Tensor, x: Tensor, out: Tensor, hidden: Sequence[Tensor]) -> None:
    """Rows x [N, in] of these experts [N] into `out` [N, out], as many at a time as there is room for in `hidden` layers."""
    count = x.shape[0]
    order, ends = np.empty(count, np.int64), np.empty(len(experts.biases[0]) + 1, np.int64)
    loops.in_order(expert.contiguous().numpy(), order, ends)
    read, written, between = _numbers(x), out.numpy(), [part.numpy() for part in hidden]
    step = min((part.shape[0] for part in hidden), default=count)
    for start in range(0, count, step or 1):
        stop, h = min(start + step, count), read
        for j, part in enumerate(experts.maps):
            last = j == len(experts.maps) - 1
            z = written if last else between[j][: stop - start]
            _through(loops, part, (order, ends, start, stop), h, z, j == 0, last)
            h = z


def _through(loops: Any, part: Map, which: tuple[Any, ...], x: Matrices, z: Matrices, looked_up: bool, placed: bool) -> None:
    """`affine` of the rows that are meant, and what follows it, into z."""
    loops.affine(*which, x, part.weight, part.bias, z, looked_up, placed, part.rectified, part.cached)
    if part.rectified or not part.stage.bend:
        return
    up = None if part.up is None else np.empty_like(z)
    if part.up is not None:
        loops.affine(*which, x, *part.up, up, looked_up, placed, False, part.cached)
    made = torch.from_numpy(z)
    if (found := part.stage.shaped(made, None if up is None else torch.from_numpy(up))) is not made:
        made.copy_(found)


def _numbers(x: Tensor) -> Matrices:
    numbers: Matrices = (x.detach() if x.requires_grad else x).contiguous().numpy()
    return numbers
