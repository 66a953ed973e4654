"""Affine maps and ReLU nets, with a name for every neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import InvalidArgument
from . import sums as order
from .sums import Sums

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Affine:
    """x ↦ W·x + b, W (out, in), b (out,)."""

    weight: Floats
    bias: Floats

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1] or self.weight.dtype != self.bias.dtype:
            raise InvalidArgument(
                f"affine map with weight {self.weight.shape} {self.weight.dtype} and bias {self.bias.shape} {self.bias.dtype}"
            )
        for array in (self.weight, self.bias):
            array.flags.writeable = False

    @property
    def parameters(self) -> int:
        return self.weight.size + self.bias.size

    @property
    def net(self) -> ReLUNet:
        """The map as a net without hidden layers."""
        return ReLUNet((self,), ())

    def __call__(self, x: Floats, sums: Sums = Sums.PLAIN, last: bool = True) -> Floats:
        return order.affine(x, self.weight, self.bias, sums, last)

    def rectified(self, x: Floats, sums: Sums = Sums.PLAIN) -> Floats:
        """σ(W·x + b), of a map that is not the last of its net."""
        out = self(x, sums, last=False)
        return np.maximum(out, 0, out=out)

    def after(self, inner: Affine) -> Affine:
        """The composition self ∘ inner, as one affine map."""
        return Affine(self.weight @ inner.weight, self.weight @ inner.bias + self.bias)

    def astype(self, dtype: DTypeLike) -> Affine:
        return Affine(np.array(self.weight, dtype), np.array(self.bias, dtype))


@dataclass(frozen=True)
class NeuronGroup:
    """`count` consecutive neurons of one hidden layer with a common origin; neuron k of it is called `name[k]`."""

    name: str
    count: int
    origin: str
    """Which step of which theorem put them there, in words."""


@dataclass(frozen=True, eq=False)
class ReLUNet:
    """affine_l ∘ σ ∘ … ∘ σ ∘ affine_1; an "l-layer net" in the paper's counting. `groups[j]` names hidden layer j."""

    affines: tuple[Affine, ...]
    groups: tuple[tuple[NeuronGroup, ...], ...]

    def __post_init__(self) -> None:
        if not self.affines:
            raise InvalidArgument("a net needs at least one affine map")
        for inner, outer in zip(self.affines, self.affines[1:], strict=False):
            if inner.weight.shape[0] != outer.weight.shape[1]:
                raise InvalidArgument(f"affine maps {inner.weight.shape} and {outer.weight.shape} do not compose")
        if [sum(g.count for g in layer) for layer in self.groups] != list(self.widths):
            raise InvalidArgument(f"neuron groups {self.groups} do not add up to the hidden widths {self.widths}")

    @property
    def inputs(self) -> int:
        return self.affines[0].weight.shape[1]

    @property
    def outputs(self) -> int:
        return self.affines[-1].weight.shape[0]

    @property
    def affine(self) -> Affine:
        """The one map of a net without hidden layers, as most gates are. Raises `InvalidArgument` for others."""
        if len(self.affines) != 1:
            raise InvalidArgument(f"a net of {len(self.affines)} layers is no affine map")
        return self.affines[0]

    @property
    def weight(self) -> Floats:
        """Of a net that is one affine map."""
        return self.affine.weight

    @property
    def bias(self) -> Floats:
        return self.affine.bias

    @property
    def widths(self) -> tuple[int, ...]:
        """Hidden widths."""
        return tuple(affine.weight.shape[0] for affine in self.affines[:-1])

    @property
    def parameters(self) -> int:
        return sum(affine.parameters for affine in self.affines)

    @property
    def dtype(self) -> np.dtype:
        return self.affines[0].weight.dtype

    def __call__(self, x: Floats, sums: Sums = Sums.PLAIN) -> Floats:
        """[N, in] to [N, out], in the dtype of the weights."""
        for affine in self.affines[:-1]:
            x = affine.rectified(x, sums)
        return self.affines[-1](x, sums)

    def then(self, outer: ReLUNet) -> ReLUNet:
        """outer ∘ self, with the two affine maps in the middle merged into one."""
        merged = outer.affines[0].after(self.affines[-1])
        return ReLUNet((*self.affines[:-1], merged, *outer.affines[1:]), self.groups + outer.groups)

    def neuron(self, layer: int, index: int) -> tuple[str, NeuronGroup]:
        """Name and group of neuron `index` of hidden layer `layer` (both from 0)."""
        start = 0
        for group in self.groups[layer]:
            if index < start + group.count:
                return f"{group.name}[{index - start}]", group
            start += group.count
        raise InvalidArgument(f"hidden layer {layer} has {start} neurons, there is no neuron {index}")

    def astype(self, dtype: DTypeLike) -> ReLUNet:
        return ReLUNet(tuple(a.astype(dtype) for a in self.affines), self.groups)
