"""Small products of many experts by NumPy: every product of a stage one after the other, biases and activations for all rows at once.

PyTorch takes 1 to 3 µs for a product before it multiplies, NumPy a third of a microsecond, and where experts have few rows that is most of
what a layer takes. Products are sums of the same terms in some order, and the bias is added last, as plain sums may have it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .stages import Stage

Matrix = NDArray[Any]
PRODUCT = 1 << 18
"""Multiplications up to which OpenBLAS, which NumPy brings, takes one thread for a product. PyTorch is told how many it may have, NumPy is
not."""
FEW = 16
"""Rows that a product has to have room for: larger weights are PyTorch's."""
DTYPES = (torch.float32, torch.float64)


class Numbers(NamedTuple):
    """One expert's part of a stage: its weight and that of lanes, transposed, and biases [1, out], in the memory of the tensors."""

    weight: Matrix
    up: Matrix | None
    bias: Matrix
    bias_up: Matrix | None
    zero: Matrix
    """As large as the bias: operations of NumPy on equal shapes take a third of the time."""
    stage: Stage
    form: str
    """The one activation, "" where there are several, or lanes."""


def numbers(parts: Sequence[Stage]) -> tuple[Numbers, ...]:
    """Those of one expert, innermost first."""
    return tuple(map(_numbers, parts))


def _numbers(part: Stage) -> Numbers:
    bias, form = part.bias.detach().numpy()[None], part.bend[0][1] if len(part.bend) == 1 and part.up is None else ""
    up = (None, None) if part.up is None else (_turned(part.up[0]), part.up[1].detach().numpy()[None])
    return Numbers(_turned(part.weight), up[0], bias, up[1], np.zeros_like(bias), part, form)


def _turned(weight: Tensor) -> Matrix:
    return weight.detach().numpy().T


def fits(stages: Sequence[Stage], rows: int) -> bool:
    """Whether NumPy has such numbers, and takes one thread for so many rows of them."""
    weights = [stage.weight for stage in stages]
    numbers = [part for stage in stages for part in (stage.weight, stage.bias, *(stage.up or ()))]
    plain = all(part.is_cpu and part.dtype in DTYPES and type(part.data) is Tensor and not part.is_neg() for part in numbers)
    return plain and rows * max(weight[0].numel() for weight in weights) <= PRODUCT


def row(expert: Sequence[Numbers], x: Tensor) -> Tensor:
    """One row [1, in] through one expert, [1, out]."""
    *inner, last = expert
    h = (x.detach() if x.requires_grad else x).numpy()
    for part in inner:
        z = h.dot(part.weight)
        z += part.bias
        if part.form == "relu":
            np.maximum(z, part.zero, out=z)
        elif part.form == "silu":
            functional.silu(torch.from_numpy(z), inplace=True)
        else:
            up = None if part.up is None else torch.from_numpy(h.dot(part.up) + part.bias_up)
            z = part.stage.shaped(torch.from_numpy(z), up).numpy()
        h = z
    h = h.dot(last.weight)
    h += last.bias
    return torch.from_numpy(h)


def products(x: Matrix, weights: Sequence[Matrix], starts: Sequence[int], ends: Sequence[int], out: Matrix) -> None:
    """x[start:end]·weight into out[start:end], one after the other."""
    for weight, start, end in zip(weights, starts, ends, strict=True):
        x[start:end].dot(weight, out[start:end])


def cuts(counts: Sequence[int], step: int, most: int) -> Iterator[tuple[int, list[int], list[int], list[int]]]:
    """`step` rows at a time: where they begin, and in them products of at most `most` rows: whose, from where, up to where."""
    ends = list(accumulate(counts))
    rows = ends[-1] if ends else 0
    if rows <= step and max(counts, default=0) <= most:
        yield 0, list(range(len(counts))), [0, *ends[:-1]], ends
        return
    last = np.array(ends)
    inner = [np.arange(end - count + most, end, most) for count, end in zip(counts, ends, strict=True) if count > most]
    every = np.unique(np.concatenate([last, np.arange(step, rows, step), *inner]))
    which, begin = np.searchsorted(last, every), np.concatenate([[0], every[:-1]])
    for start in range(0, rows, step):
        here = slice(*np.searchsorted(every, [start + 1, min(start + step, rows) + 1]))
        yield start, which[here].tolist(), (begin[here] - start).tolist(), (every[here] - start).tolist()


def listed(
    stages: Sequence[Stage],
    experts: Sequence[tuple[Numbers, ...]],
    counts: Sequence[int],
    which: Tensor,
    x: Tensor,
    out: Tensor,
    room: Sequence[Tensor],
) -> None:
    """Rows x [N, in] in the order of their experts into `out` [N, out].

    `experts` that have rows, and how many; `which` expert every row has [N]; `room` for hidden layers and for biases, of as many rows as
    are run at a time.
    """
    *hidden, biases = room
    step = biases.shape[0]
    most = max(1, PRODUCT // max(1, max(stage.weight[0].numel() for stage in stages)))
    for start, members, starts, ends in cuts(counts, step, most):
        stop = start + ends[-1]
        own, h = which[start:stop], x[start:stop]
        for j, stage in enumerate(stages):
            z = out[start:stop] if j == len(stages) - 1 else hidden[j][: stop - start]
            rows = h.numpy()
            products(rows, [experts[k][j].weight for k in members], starts, ends, z.numpy())
            z.add_(_looked_up(stage.bias, own, biases))
            up = None
            if stage.up is not None:
                up = torch.empty_like(z)
                products(rows, [experts[k][j].up for k in members], starts, ends, up.numpy())  # type: ignore[misc]
                up.add_(_looked_up(stage.up[1], own, biases))
            h = stage.shaped(z, up)


def _looked_up(bias: Tensor, which: Tensor, room: Tensor) -> Tensor:
    """The bias of every row, put into the first rows and columns' worth of `room`."""
    place = room.view(-1)[: which.shape[0] * bias.shape[1]].view(which.shape[0], bias.shape[1])
    return torch.index_select(bias, 0, which, out=place)
