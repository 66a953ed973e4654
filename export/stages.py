"""A net as PyTorch runs it: `Stage` by stage an affine map, an activation for every slice of its rows, and perhaps a second map whose
values multiply it.

An activation is known by its name in `moe.activations`; `FUNCTIONS` says what PyTorch calls it. GELU is the exact one, gelu_tanh its
approximation by tanh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..moe import Net
from ..moe.activations import ACTIVATIONS
from ..moe.sums import Sums
from .sums import affine


def _relu2(z: Tensor) -> Tensor:
    return z.relu().square()


FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "relu2": _relu2,
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "silu": functional.silu,
    "identity": lambda z: z,
}
"""Of a tensor that nothing else needs any more."""
Bend = tuple[tuple[slice, str], ...]
"""Which rows of a hidden layer have which activation."""


def bent(z: Tensor, bend: Bend, wide: bool = False) -> Tensor:
    """The activation of every row, [..., rows], of a tensor that nothing else needs; `wide`: evaluated in float64 where it is smooth."""
    if len(bend) == 1:
        return _activated(z, bend[0][1], wide)
    return torch.cat([_activated(z[..., rows].clone() if name == "relu" else z[..., rows], name, wide) for rows, name in bend], -1)


def _activated(z: Tensor, name: str, wide: bool) -> Tensor:
    if wide and ACTIVATIONS[name].smooth:
        return FUNCTIONS[name](z.double()).to(z.dtype)
    return FUNCTIONS[name](z)


class Stage(NamedTuple):
    """act(W·x + b)·(U·x + c); W·x + b for the last of a net, whose bend is empty. In a stack of experts all have one more axis in front."""

    weight: Tensor
    bias: Tensor
    bend: Bend = ()
    up: tuple[Tensor, Tensor] | None = None
    """U and c of lanes."""

    def of(self, k: int) -> Stage:
        """That of one expert of a stack."""
        up = None if self.up is None else (self.up[0][k], self.up[1][k])
        return Stage(self.weight[k], self.bias[k], self.bend, up)

    def looked_up(self, experts: Tensor) -> Stage:
        """Copies of those of several experts, [N]."""
        up = None if self.up is None else (_copies(self.up[0], experts), self.up[1].index_select(0, experts))
        return Stage(_copies(self.weight, experts), self.bias.index_select(0, experts), self.bend, up)

    def __call__(self, x: Tensor, sums: Sums) -> Tensor:
        """[N, in] to [N, out]."""
        z = affine(x, self.weight, self.bias, sums, last=not self.bend)
        return self.shaped(z, None if self.up is None else affine(x, *self.up, sums, last=False), sums is Sums.FLOAT64)

    def batched(self, x: Tensor) -> Tensor:
        """[experts, N, in] to [experts, N, out], of a stack."""
        z = torch.baddbmm(self.bias[:, None], x, self.weight.mT)
        return self.shaped(z, None if self.up is None else torch.baddbmm(self.up[1][:, None], x, self.up[0].mT))

    def shaped(self, z: Tensor, up: Tensor | None, wide: bool = False) -> Tensor:
        """act(z)·up, act evaluated in float64 if `wide`."""
        z = bent(z, self.bend, wide) if self.bend else z
        return z if up is None else z * up


def _copies(weight: Tensor, experts: Tensor) -> Tensor:
    """Of the matrices of some experts, which lie transposed in the stacks of a module: copied as they lie."""
    return weight.index_select(0, experts) if weight.is_contiguous() else weight.mT.index_select(0, experts).mT


def through(stages: Sequence[Stage], x: Tensor, sums: Sums) -> Tensor:
    """A net, [N, in] to [N, out]."""
    for stage in stages:
        x = stage(x, sums)
    return x


def bend_of(net: Net, layer: int) -> Bend:
    """Of a hidden layer of a net."""
    return tuple((rows, activation.name) for rows, activation in net.activations[layer]) or ((slice(0, 0), "relu"),)


def arranged(bends: Sequence[Bend]) -> tuple[Bend, list[NDArray[np.intp]]]:
    """Rows for hidden layers of several experts in one stack: what activation each row has, and in which rows each expert's neurons are.

    Where all experts begin alike, neurons stay where they are and shorter layers end earlier. Otherwise those of an activation come
    together, each expert's in their order, and sums behind them are taken in another order than in numpy.
    """
    longest = max(bends, key=lambda bend: bend[-1][0].stop)
    if all(_begins(bend, longest) for bend in bends):
        return longest, [np.arange(bend[-1][0].stop) for bend in bends]
    names = list(dict.fromkeys(name for bend in bends for _, name in bend))
    counts = [{name: sum(rows.stop - rows.start for rows, other in bend if other == name) for name in names} for bend in bends]
    ends = np.cumsum([max(count[name] for count in counts) for name in names]).tolist()
    starts = dict(zip(names, [0, *ends], strict=False))
    places = []
    for bend in bends:
        following, found = dict(starts), []
        for rows, name in bend:
            found.append(following[name] + np.arange(rows.stop - rows.start))
            following[name] += rows.stop - rows.start
        places.append(np.concatenate(found))
    return tuple((slice(starts[name], end), name) for name, end in zip(names, ends, strict=True)), places


def _begins(bend: Bend, longest: Bend) -> bool:
    """Whether a layer is the beginning of another one."""
    *whole, (rows, name) = bend
    other, same = longest[len(whole)] if len(whole) < len(longest) else (slice(0, 0), "")
    return tuple(whole) == longest[: len(whole)] and same == name and other.start == rows.start and rows.stop <= other.stop
