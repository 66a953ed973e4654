"""Dispatch where no gradients are asked for: the same ways, in buffers that are used again and with views of the weights that are kept.

A fresh buffer costs more than a small product: its pages are mapped one by one. So hidden activations have one buffer for all experts,
and rows are sorted, run and brought back so many at a time that what lies between stays in the cache.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .dispatch import Stages, by_expert, cheapest, chunk_rows, gathered, inverse, padded, pays, runs, unpadded
from .stages import Stage

BLOCK_BYTES = 1 << 23
"""Rows that are sorted at a time have so many bytes…"""
BLOCK_LOAD = 1 << 9
"""…or are so many for every expert, so that segments stay long."""


class Slice(NamedTuple):
    """One expert's part of a stage, its weight transposed."""

    weight: Tensor
    bias: Tensor
    stage: Stage
    """Where its activations are, and the other map of lanes."""
    plain: bool
    """Whether its activation is that of ReLU, and nothing is multiplied."""


class Slices:
    """Views of single experts' weights, each made when it is first asked for; made anew when the weights are others."""

    def __init__(self) -> None:
        self.found: dict[int, tuple[Slice, ...]] = {}
        self.seen: tuple[object, ...] = ()

    def __deepcopy__(self, _: object) -> Slices:
        return Slices()

    def __reduce__(self) -> tuple[type[Slices], tuple[()]]:
        return Slices, ()

    def of(self, stages: Stages) -> Slices:
        """These, of weights that are where they were."""
        now = tuple((tensor.data_ptr(), tensor.dtype) for stage in stages for tensor in (stage.weight, stage.bias, *(stage.up or ())))
        if now != self.seen:
            self.found, self.seen = {}, now
        return self

    def expert(self, stages: Stages, k: int) -> tuple[Slice, ...]:
        """The slices of expert k, innermost first."""
        if (ready := self.found.get(k)) is None:
            parts = [stage.of(k) for stage in stages]
            plain = [len(part.bend) == 1 and part.bend[0][1] == "relu" and part.up is None for part in parts]
            ready = tuple(Slice(part.weight.mT, part.bias, part, relu) for part, relu in zip(parts, plain, strict=True))
            self.found[k] = ready
        return ready


def no_gradients(stages: Stages, x: Tensor) -> bool:
    """Whether results may be written into buffers: nobody differentiates, and nobody changes dtypes on the way."""
    if type(x) is not Tensor or forward_ad._current_level >= 0 or torch._C._functorch.is_functorch_wrapped_tensor(x):
        return False
    if torch.is_grad_enabled() and (x.requires_grad or any(stage.weight.requires_grad or stage.bias.requires_grad for stage in stages)):
        return False
    return not torch.is_autocast_enabled(x.device.type)


def quick(slices: Slices, stages: Stages, x: Tensor, expert: Tensor | None) -> Tensor:
    """The cheapest way for these rows, [N, in] to [N, out], with plain sums; `expert` None: there is only one."""
    slices.of(stages)
    if expert is None:
        return _dense(slices.expert(stages, 0), stages, x)
    way = cheapest(stages, len(x)) if len(x) > 1 else "direct"
    if way == "padded" and not pays(stages, len(x), int(expert.bincount().max())):
        way = unpadded(stages, len(x))
    match way:
        case "direct":
            found = [_row(slices.expert(stages, k), x[n : n + 1]) for n, k in enumerate(expert.tolist())]
            return found[0] if len(found) == 1 else torch.cat([x.new_zeros(0, stages[-1].bias.shape[1]), *found])
        case "gathered":
            return gathered(stages, x, expert)
        case "padded":
            return padded(stages, x, expert)
    return _segmented(slices, stages, x, expert)


def _row(expert: tuple[Slice, ...], x: Tensor) -> Tensor:
    for weight, bias, stage, plain in expert:
        z = torch.addmm(bias, x, weight)
        x = z.relu_() if plain else _shaped(stage, z, x)
    return x


def _shaped(stage: Stage, z: Tensor, x: Tensor) -> Tensor:
    return stage.shaped(z, None if stage.up is None else torch.addmm(stage.up[1], x, stage.up[0].mT))


class Buffers:
    """For every hidden layer a place for so many rows, and the beginnings of it that were asked for."""

    def __init__(self, stages: Stages, x: Tensor, rows: int) -> None:
        self.whole = tuple(x.new_empty(rows, stage.bias.shape[1]) for stage in stages[:-1])
        self.found = {rows: self.whole}

    def of(self, rows: int) -> tuple[Tensor, ...]:
        """For exactly so many."""
        if (ready := self.found.get(rows)) is None:
            ready = self.found[rows] = tuple(buffer[:rows] for buffer in self.whole)
        return ready


def _into(out: Tensor, expert: tuple[Slice, ...], x: Tensor, buffers: tuple[Tensor, ...]) -> None:
    """f^(k)(x) into `out` [n, out]; hidden activations into `buffers`, of as many rows."""
    for (weight, bias, stage, plain), buffer in zip(expert, buffers, strict=False):
        z = torch.addmm(bias, x, weight, out=buffer)
        x = z.relu_() if plain else _shaped(stage, z, x)
    weight, bias, _, _ = expert[-1]
    torch.addmm(bias, x, weight, out=out)


def _dense(expert: tuple[Slice, ...], stages: Stages, x: Tensor) -> Tensor:
    rows = x.shape[0]
    step = min(rows, chunk_rows(stages))
    y, buffers = x.new_empty(rows, stages[-1].bias.shape[1]), Buffers(stages, x, step)
    for start in range(0, rows, step or 1):
        end = min(rows, start + step)
        _into(y[start:end], expert, x[start:end], buffers.of(end - start))
    return y


def block_rows(stages: Stages) -> int:
    """Rows that are sorted at a time."""
    width = max(stages[0].weight.shape[2], stages[-1].bias.shape[1])
    return max(BLOCK_BYTES // (max(1, width) * stages[0].weight.element_size()), BLOCK_LOAD * stages[0].weight.shape[0])


def _segmented(slices: Slices, stages: Stages, x: Tensor, expert: Tensor) -> Tensor:
    """Block by block sorted by expert, each expert on its own segment in chunks, and brought back."""
    y, block = x.new_empty(len(x), stages[-1].bias.shape[1]), min(len(x), block_rows(stages))
    gathered_, written = x.new_empty(block, x.shape[1]), y.new_empty(block, y.shape[1])
    step = min(chunk_rows(stages), block)
    buffers = Buffers(stages, x, step)
    for start in range(0, len(x), block):
        rows, out = x[start : start + block], y[start : start + block]
        order, found = by_expert(expert[start : start + block], stages[0].weight.shape[0])
        members, counts = runs(found)
        own, theirs = torch.index_select(rows, 0, order, out=gathered_[: len(rows)]), written[: len(rows)]
        for k, count, part, target in zip(members, counts, torch.split(own, counts), torch.split(theirs, counts), strict=True):
            ready = slices.expert(stages, k)
            if count <= step:
                _into(target, ready, part, buffers.of(count))
            else:
                for some, place in zip(torch.split(part, step), torch.split(target, step), strict=True):
                    _into(place, ready, some, buffers.of(some.shape[0]))
        torch.index_select(theirs, 0, inverse(order), out=out)
    return y
