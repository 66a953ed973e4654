"""Dispatch where no gradients are asked for: the same ways, in buffers that are used again and with views of the weights that are kept.

A fresh buffer costs more than a small product: its pages are mapped one by one. So hidden activations have one buffer for all experts,
and rows are sorted, run and brought back so many at a time that what lies between stays in the cache.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Linear

from . import kernel
from .dispatch import Stages, by_expert, capacity, cheapest, chunk_rows, costs, gathered, inverse, padded, runs, unpadded
from .listed import FEW, Numbers, fits, listed, numbers, row
from .ridge import Directions, directions
from .stages import Stage

BLOCK_BYTES = 1 << 23
"""Rows that are sorted at a time have so many bytes…"""
BLOCK_LOAD = 1 << 9
"""…or are so many for every expert, so that segments stay long."""
UNSEEN = -1
"""The version of numbers whose changes do not matter."""
VIEWS = 64
"""Sizes of batches whose views of that memory are kept."""
SCRATCH = 1 << 19
"""Numbers that a thread keeps room for between calls: memory that was given back is mapped anew, page by page."""


class Slice(NamedTuple):
    """One expert's part of a stage, its weight transposed."""

    weight: Tensor
    bias: Tensor
    stage: Stage
    """Where its activations are, and the other map of lanes."""
    plain: bool
    """Whether its activation is that of ReLU, and nothing is multiplied."""
    shared: Directions | None = None
    """Its weight in ridge form."""

    def pre(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Pre-activations [n, m], into `out` if there is one."""
        if self.shared is None:
            return torch.addmm(self.bias, x, self.weight) if out is None else torch.addmm(self.bias, x, self.weight, out=out)
        return self.shared(self.bias, x) if out is None else self.shared.into(out, self.bias, x)


Held = tuple[dict[str, Any], str, object]
"""Where a part of a module stands, under which name, and what it was."""


class Slices:
    """The stages of a stack of experts, and views of single experts' weights, each made when it is first asked for; made anew when the
    weights are others.
    """

    def __init__(self, ridge: bool = False) -> None:
        """`ridge`: hidden layers are evaluated in ridge form where that pays; weights are then looked at, and again when they change."""
        self.ridge = ridge
        self.found: dict[int, tuple[Slice, ...]] = {}
        self.arrays: dict[int, tuple[Numbers, ...]] = {}
        self.together: kernel.Experts | None = None
        self.also: tuple[str, ...] = ()
        """What else than PyTorch may multiply many rows."""
        self.ways: dict[int, str] = {}
        """For numbers of rows, what is cheapest."""
        self.single = self.alone = False
        """Whether NumPy may multiply one row, and whether the kernel may."""
        self.stages: Stages = []
        self.held: list[Held] = []
        self.where: list[tuple[Tensor, int, int]] = []
        """Weights, where their numbers are, and which version of them, where that matters."""

    def __deepcopy__(self, _: object) -> Slices:
        return Slices(self.ridge)

    def __reduce__(self) -> tuple[type[Slices], tuple[bool]]:
        return Slices, (self.ridge,)

    def _version(self, tensor: Tensor) -> int:
        return tensor._version if self.ridge and not tensor.is_inference() else UNSEEN

    @property
    def current(self) -> bool:
        """Whether all parts stand where they stood, and their numbers too. Asking PyTorch for a part takes longer than this."""
        for holder, name, part in self.held:
            if holder.get(name) is not part:
                return False
        for tensor, place, version in self.where:
            if tensor.data_ptr() != place or (version != UNSEEN and tensor._version != version):
                return False
        return bool(self.held)

    def of(self, stages: Stages, held: Sequence[Held] = ()) -> Slices:
        """These, of weights that are where they were; `held` as long as those parts stay."""
        self.stages, self.held = stages, list(held)
        weights = [tensor for stage in stages for tensor in (stage.weight, stage.bias, *(stage.up or ()))]
        now = [(tensor, tensor.data_ptr(), self._version(tensor)) for tensor in weights]
        if len(now) != len(self.where) or any(a is not b or m != n for (a, *m), (b, *n) in zip(now, self.where, strict=True)):
            self.found, self.arrays, self.together, self.ways, self.where = {}, {}, None, {}, now
            able = {"listed": fits(stages, FEW), "kernel": kernel.fits(stages)}
            self.also = () if self.ridge else tuple(way for way, can in able.items() if can)
            self.single = not self.ridge and fits(stages, 1)
            self.alone = not self.ridge and kernel.fits_alone(stages)
        return self

    def expert(self, k: int) -> tuple[Slice, ...]:
        """The slices of expert k, innermost first."""
        if (ready := self.found.get(k)) is None:
            parts = [stage.of(k) for stage in self.stages]
            plain = [len(part.bend) == 1 and part.bend[0][1] == "relu" and part.up is None for part in parts]
            few = [directions(part.weight) if self.ridge and part.bend and part.up is None else None for part in parts]
            ready = tuple(Slice(part.weight.mT, part.bias, part, relu, own) for part, relu, own in zip(parts, plain, few, strict=True))
            self.found[k] = ready
        return ready

    def numbers(self, k: int) -> tuple[Numbers, ...]:
        """The same for NumPy."""
        if (ready := self.arrays.get(k)) is None:
            ready = self.arrays[k] = numbers([stage.of(k) for stage in self.stages])
        return ready

    def whole(self) -> kernel.Experts:
        """All experts, for the kernel."""
        if (ready := self.together) is None:
            ready = self.together = kernel.experts(self.stages)
        return ready


def no_gradients(maps: Sequence[Stage | Linear], x: Tensor) -> bool:
    """Whether results may be written into buffers: nobody differentiates, and nobody changes dtypes on the way."""
    if type(x) is not Tensor or forward_ad._current_level >= 0 or torch._C._functorch.is_functorch_wrapped_tensor(x):
        return False
    if torch.is_grad_enabled() and (
        x.requires_grad or any(map_.weight.requires_grad or (map_.bias is not None and map_.bias.requires_grad) for map_ in maps)
    ):
        return False
    return not torch.is_autocast_enabled("cpu" if x.is_cpu else x.device.type)


def quick(slices: Slices, stages: Stages, x: Tensor, expert: Tensor | None) -> Tensor:
    """The cheapest way for these rows, [N, in] to [N, out], with plain sums; `expert` None: there is only one. `slices` are current."""
    x, rows = x.resolve_neg(), x.shape[0]  # NumPy has no views of negated numbers, like the imaginary part of a conjugate
    if rows == 1:
        return _one(slices, 0 if expert is None else int(expert), x)
    if expert is None:
        return _dense(slices.expert(0), stages, x)
    return _by(way_of(slices, stages, rows), slices, stages, x, expert)


def _by(way: str, slices: Slices, stages: Stages, x: Tensor, expert: Tensor) -> Tensor:
    """Rows to their experts in this way."""
    match way:
        case "direct":
            found = [_row(slices.expert(k), x[n : n + 1]) for n, k in enumerate(expert.tolist())]
            return torch.cat([x.new_zeros(0, stages[-1].bias.shape[1]), *found])
        case "gathered":
            return gathered(stages, x, expert)
        case "padded":
            return _padded(slices, stages, x, expert)
        case "listed":
            return _segmented(slices, stages, x, expert, listing=True)
        case "kernel":
            return _at_once(slices, stages, x, expert)
    return _segmented(slices, stages, x, expert)


def way_of(slices: Slices, stages: Stages, rows: int) -> str:
    """The cheapest way of those that there are; the kernel once it is worth loading."""
    if (known := slices.ways.get(rows)) is not None:
        return known
    if slices.ridge:
        return "segmented"
    way, settled = cheapest(stages, rows, also=slices.also), True
    if way == "kernel":
        cost, others = costs(stages, rows), tuple(other for other in slices.also if other != way)
        without = cheapest(stages, rows, also=others)
        if kernel.loops(cost[without] - cost[way]) is None:
            way, settled = without, kernel.hopeless()
    if settled and len(slices.ways) < VIEWS:
        slices.ways[rows] = way
    return way


def _one(slices: Slices, k: int, x: Tensor) -> Tensor:
    """One row [1, in] through expert k."""
    if slices.alone and (loops := kernel.loops(kernel.ROW)) is not None:
        return kernel.row(loops, slices.whole(), k, x)
    return row(slices.numbers(k), x) if slices.single else _row(slices.expert(k), x)


def _row(expert: tuple[Slice, ...], x: Tensor) -> Tensor:
    for part in expert:
        z = part.pre(x)
        x = z.relu_() if part.plain else _shaped(part.stage, z, x)
    return x


def _shaped(stage: Stage, z: Tensor, x: Tensor) -> Tensor:
    return stage.shaped(z, None if stage.up is None else torch.addmm(stage.up[1], x, stage.up[0].mT))


class Buffers:
    """For every hidden layer a place for so many rows, and the beginnings of it that were asked for."""

    def __init__(self, whole: Sequence[Tensor]) -> None:
        self.whole = tuple(whole)
        self.found: dict[int, tuple[Tensor, ...]] = {}

    def of(self, rows: int) -> tuple[Tensor, ...]:
        """For exactly so many."""
        if (ready := self.found.get(rows)) is None:
            ready = self.found[rows] = tuple(buffer[:rows] for buffer in self.whole)
        return ready


Shapes = tuple[tuple[int, int], ...]


class Scratch(threading.local):
    """Memory of a thread that small intermediate results are put into, call after call, by dtype, device and mode."""

    def __init__(self) -> None:
        self.kept: dict[object, Tensor] = {}
        self.views: dict[object, tuple[list[Tensor], Buffers]] = {}

    def take(self, like: Tensor, outer: Shapes, inner: Shapes) -> tuple[list[Tensor], Buffers]:
        """Room for matrices of these shapes, until the next call, of its own where they are large; `inner` are those of hidden layers."""
        key = (like.dtype, like.device, torch.is_inference_mode_enabled())
        if (ready := self.views.get((key, outer, inner))) is not None:
            return ready
        shapes = (*outer, *inner)
        sizes = [rows * columns for rows, columns in shapes]
        if sum(sizes) > SCRATCH:
            made = [like.new_empty(shape) for shape in shapes]
            return made[: len(outer)], Buffers(made[len(outer) :])
        if (kept := self.kept.get(key)) is None:
            kept = self.kept[key] = like.new_empty(SCRATCH)
        parts = torch.split(kept, [*sizes, SCRATCH - sum(sizes)])
        made = [part.view(shape) for part, shape in zip(parts, shapes, strict=False)]
        if len(self.views) >= VIEWS:
            self.views.clear()
        self.views[key, outer, inner] = made[: len(outer)], Buffers(made[len(outer) :])
        return self.views[key, outer, inner]


scratch = Scratch()


def hidden(stages: Stages, rows: int) -> Shapes:
    """Of the hidden layers, for so many rows."""
    return tuple((rows, stage.bias.shape[1]) for stage in stages[:-1])


class Sorted(NamedTuple):
    """Rows in the order of their experts, those of one in their own order."""

    order: Tensor
    """[N]."""
    places: Tensor
    """Where every row went, [N]."""
    members: list[int]
    """The experts that have rows."""
    counts: list[int]
    """How many."""


def in_order(expert: Tensor, experts: int) -> Sorted:
    """By the expert of every row [N]. Where few rows are sorted, calls of NumPy take a fraction of those of PyTorch."""
    if not expert.is_cpu:
        order, counted = by_expert(expert, experts)
        return Sorted(order, inverse(order), *runs(counted))
    found = expert.numpy()
    order_ = found.astype(np.int16 if experts <= np.iinfo(np.int16).max else found.dtype).argsort(kind="stable")  # by radix
    places = np.empty_like(order_)
    places[order_] = np.arange(len(order_))
    counted_ = np.bincount(found, minlength=experts)
    members = counted_.nonzero()[0]
    return Sorted(torch.from_numpy(order_), torch.from_numpy(places), members.tolist(), counted_[members].tolist())


def _into(out: Tensor, expert: tuple[Slice, ...], x: Tensor, buffers: tuple[Tensor, ...]) -> None:
    """f^(k)(x) into `out` [n, out]; hidden activations into `buffers`, of as many rows."""
    for part, buffer in zip(expert, buffers, strict=False):
        z = part.pre(x, buffer)
        x = z.relu_() if part.plain else _shaped(part.stage, z, x)
    last = expert[-1]
    torch.addmm(last.bias, x, last.weight, out=out)


def _dense(expert: tuple[Slice, ...], stages: Stages, x: Tensor) -> Tensor:
    rows = x.shape[0]
    step = min(rows, chunk_rows(stages))
    y, (_, buffers) = x.new_empty(rows, stages[-1].bias.shape[1]), scratch.take(x, (), hidden(stages, step))
    for start in range(0, rows, step or 1):
        end = min(rows, start + step)
        _into(y[start:end], expert, x[start:end], buffers.of(end - start))
    return y


def block_rows(stages: Stages) -> int:
    """Rows that are sorted at a time."""
    width = max(stages[0].weight.shape[2], stages[-1].bias.shape[1])
    return max(BLOCK_BYTES // (max(1, width) * stages[0].weight.element_size()), BLOCK_LOAD * stages[0].weight.shape[0])


def _segmented(slices: Slices, stages: Stages, x: Tensor, expert: Tensor, listing: bool = False) -> Tensor:
    """Block by block sorted by expert, each expert on its own segment, in chunks or, `listing`, stage by stage, and brought back."""
    rows, outputs, experts = x.shape[0], stages[-1].bias.shape[1], stages[0].weight.shape[0]
    y, block = x.new_empty(rows, outputs), min(rows, block_rows(stages))
    step = min(chunk_rows(stages), block)
    shapes = hidden(stages, step)
    room = (step, max(outputs, *(width for _, width in shapes), 1)) if listing else (0, 0)
    (own, written, biases), buffers = scratch.take(x, ((block, x.shape[1]), (block, outputs), room), shapes)
    for start in range(0, rows, block or 1):
        part = expert if rows == block else expert[start : start + block]
        found = in_order(part, experts)
        count = len(found.order)
        into = own[:count], written[:count]
        torch.index_select(x[start : start + count], 0, found.order, out=into[0])
        if listing:
            _listed(slices, found, part, *into, (*buffers.whole, biases))
        else:
            _segments(slices, found, *into, buffers, step)
        torch.index_select(into[1], 0, found.places, out=y[start : start + count])
    return y


def _at_once(slices: Slices, stages: Stages, x: Tensor, expert: Tensor) -> Tensor:
    """Block by block by the kernel, which sorts and brings back too."""
    rows, outputs = x.shape[0], stages[-1].bias.shape[1]
    y, block = x.new_empty(rows, outputs), min(rows, block_rows(stages))
    _, buffers = scratch.take(x, (), hidden(stages, min(chunk_rows(stages), block)))
    for start in range(0, rows, block or 1):
        part = slice(start, start + block)
        kernel.rows(kernel.load(), slices.whole(), expert[part], x[part], y[part], buffers.whole)
    return y


def _segments(slices: Slices, found: Sorted, x: Tensor, out: Tensor, buffers: Buffers, step: int) -> None:
    """Rows in order, each expert on its own."""
    counts = found.counts
    for k, count, part, target in zip(found.members, counts, torch.split(x, counts), torch.split(out, counts), strict=True):
        _segment(slices.expert(k), part, target, buffers, count, step)


def _listed(slices: Slices, found: Sorted, expert: Tensor, x: Tensor, out: Tensor, room: tuple[Tensor, ...]) -> None:
    """Rows in order, stage by stage."""
    members = [slices.numbers(k) for k in found.members]
    listed(slices.stages, members, found.counts, expert.index_select(0, found.order), x, out, room)


def _segment(expert: tuple[Slice, ...], x: Tensor, out: Tensor, buffers: Buffers, count: int, step: int) -> None:
    """f^(k)(x) into `out`, `step` rows at a time."""
    if count <= step:
        return _into(out, expert, x, buffers.of(count))
    for some, place in zip(torch.split(x, step), torch.split(out, step), strict=True):
        _into(place, expert, some, buffers.of(some.shape[0]))
    return None


def _padded(slices: Slices, stages: Stages, x: Tensor, expert: Tensor) -> Tensor:
    """All experts in one batch, with as many rows as `capacity` says, and those that have more on their own segments. Places that no
    row has compute the first one again, which nobody looks up. Another way where that does not pay now that rows are counted.
    """
    experts, rows = stages[0].weight.shape[0], len(x)
    if not x.is_cpu or not rows:
        return padded(stages, x, expert)
    found = in_order(expert, experts)
    most, above, cost = capacity(stages, found.counts)
    also = tuple(way for way in slices.also if way != "kernel" or kernel.loops() is not None)
    if cost > costs(stages, rows)[cheaper := unpadded(stages, rows, also)]:
        return _by(cheaper, slices, stages, x, expert)
    counts = np.array(found.counts)
    rank = np.arange(rows) - (counts.cumsum() - counts).repeat(counts)
    slots = np.array(found.members).repeat(counts) * most + (np.minimum(rank, most - 1) if above else rank)
    source = np.zeros(experts * most, np.int64)
    source[slots] = found.order.numpy()
    h = x.index_select(0, torch.from_numpy(source)).view(experts, most, -1)
    for stage in stages:
        h = stage.batched(h)
    if not above:
        return h.flatten(0, 1).index_select(0, torch.from_numpy(slots[found.places.numpy()]))
    y, step = h.flatten(0, 1).index_select(0, torch.from_numpy(slots)), min(chunk_rows(stages), rows)
    _, buffers = scratch.take(x, (), hidden(stages, step))
    ends = counts.cumsum().tolist()
    for k in above:
        part = slice(ends[k] - found.counts[k], ends[k])
        _segment(slices.expert(found.members[k]), x.index_select(0, found.order[part]), y[part], buffers, found.counts[k], step)
    return y.index_select(0, found.places)
