"""Affine maps, and nets of them with activations between, with a name for every neuron.

A hidden layer takes x to a(W·x + b), the activation a group by group; where it is gated, neuron by neuron, to a(W·x + b)·(U·x + c): product
lanes, ReGLU and SwiGLU. A plain neuron in a gated layer has U = 0, c = 1, and a neuron with W = 0 carries an affine function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import InvalidArgument
from ..expressions.given import lists_of, parts_of, shown
from . import sums as order
from .activations import IDENTITY, RELU, Activation
from .sums import Sums

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Affine:
    """x ↦ W·x + b, W (out, in), b (out,)."""

    weight: Floats
    bias: Floats
    linear: bool = False
    """Whether it has no bias: `bias` is then 0, and neither stored nor counted."""

    def __post_init__(self) -> None:
        for name in ("weight", "bias"):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
                raise InvalidArgument(f"Affine: {name} is {shown(array)}; give an array of float64 or float32, like numpy.zeros((2, 3))")
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1] or self.weight.dtype != self.bias.dtype:
            raise InvalidArgument(
                f"affine map with weight {self.weight.shape} {self.weight.dtype} and bias {self.bias.shape} {self.bias.dtype}"
            )
        if self.linear and self.bias.any():
            raise InvalidArgument("a linear map is given a bias that is not 0")
        for array in (self.weight, self.bias):
            array.flags.writeable = False

    @staticmethod
    def without_bias(weight: Floats) -> Affine:
        """x ↦ W·x."""
        return Affine(weight, np.zeros(len(weight), weight.dtype), linear=True)

    @property
    def parameters(self) -> int:
        return self.weight.size + (0 if self.linear else self.bias.size)

    @property
    def net(self) -> Net:
        """The map as a net without hidden layers."""
        return Net((self,), ())

    def __call__(self, x: Floats, sums: Sums = Sums.PLAIN, last: bool = True) -> Floats:
        return order.affine(x, self.weight, self.bias, sums, last)

    def after(self, inner: Affine) -> Affine:
        """The composition self ∘ inner, as one affine map."""
        bias = self.weight @ inner.bias + self.bias
        return Affine(self.weight @ inner.weight, bias, self.linear and not bias.any())

    def reading(self, weight: Floats) -> Affine:
        """The map with other weights, and biases if it has some."""
        return Affine(weight, self.bias, self.linear)

    def astype(self, dtype: DTypeLike) -> Affine:
        return Affine(np.array(self.weight, dtype), np.array(self.bias, dtype), self.linear)


@dataclass(frozen=True)
class NeuronGroup:
    """`count` consecutive neurons of one hidden layer with a common origin; neuron k of it is called `name[k]`."""

    name: str
    count: int
    origin: str
    """Which step of which theorem put them there, in words."""
    activation: Activation = RELU

    def __post_init__(self) -> None:
        parts_of(self, name=str, count=(int, np.integer))
        if self.count < 0:
            raise InvalidArgument(f"neuron group {self.name!r}: count is {self.count}; give how many neurons it has")


@dataclass(frozen=True, eq=False)
class Net:
    """affine_l ∘ hidden_{l−1} ∘ … ∘ hidden_1; an "l-layer net" in the paper's counting. `groups[j]` names hidden layer j."""

    affines: tuple[Affine, ...]
    groups: tuple[tuple[NeuronGroup, ...], ...]
    ups: tuple[Affine | None, ...] = ()
    """For every hidden layer U·x + c, shaped like its affine map, or None where it is not gated; () for none at all."""

    def __post_init__(self) -> None:
        lists_of(self, affines=Affine, groups=(tuple, list))
        if not self.affines:
            raise InvalidArgument("a net needs at least one affine map")
        for inner, outer in zip(self.affines, self.affines[1:], strict=False):
            if inner.weight.shape[0] != outer.weight.shape[1]:
                raise InvalidArgument(f"affine maps {inner.weight.shape} and {outer.weight.shape} do not compose")
        if [sum(g.count for g in layer) for layer in self.groups] != list(self.widths):
            raise InvalidArgument(f"neuron groups {self.groups} do not add up to the hidden widths {self.widths}")
        if not self.ups:
            object.__setattr__(self, "ups", (None,) * len(self.groups))
        if len(self.ups) != len(self.groups):
            raise InvalidArgument(f"a net of {len(self.groups)} hidden layers is given {len(self.ups)} maps that gate them")
        for j, (map_, up) in enumerate(zip(self.affines, self.ups, strict=False)):
            if up is not None and (up.weight.shape, up.weight.dtype) != (map_.weight.shape, map_.weight.dtype):
                raise InvalidArgument(
                    f"hidden layer {j} has a map {map_.weight.shape} {map_.weight.dtype}, gated by {up.weight.shape} {up.weight.dtype}"
                )

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
    def maps(self) -> tuple[Affine, ...]:
        """All affine maps, those that gate hidden layers included."""
        return (*self.affines, *(up for up in self.ups if up is not None))

    @property
    def parameters(self) -> int:
        return sum(map_.parameters for map_ in self.maps)

    @property
    def dtype(self) -> np.dtype:
        return self.affines[0].weight.dtype

    @property
    def gated(self) -> bool:
        """Whether a hidden layer has product lanes."""
        return any(up is not None for up in self.ups)

    @property
    def plain(self) -> bool:
        """Whether it is a ReLU net: every activation is σ and nothing is gated."""
        return not self.gated and all(group.activation is RELU for layer in self.groups for group in layer)

    @cached_property
    def activations(self) -> tuple[tuple[tuple[slice, Activation], ...], ...]:
        """For every hidden layer its activations and the neurons that have them, in order, neighbours together."""
        return tuple(tuple(_runs(layer)) for layer in self.groups)

    def hidden(self, layer: int, x: Floats, sums: Sums = Sums.PLAIN) -> Floats:
        """What hidden layer `layer` (from 0) makes of what arrives there, [N, in] to [N, width]."""
        out = self.affines[layer](x, sums, last=False)
        for part, activation in self.activations[layer]:
            if activation is RELU:
                np.maximum(out[:, part], 0, out=out[:, part])
            else:
                # With these sums exp and erf are taken in float64 and rounded once (`sums`).
                out[:, part] = activation(out[:, part].astype(np.float64) if sums is Sums.FLOAT64 else out[:, part])
        up = self.ups[layer]
        return out if up is None else out * up(x, sums, last=False)

    def __call__(self, x: Floats, sums: Sums = Sums.PLAIN) -> Floats:
        """[N, in] to [N, out], in the dtype of the weights."""
        for layer in range(len(self.groups)):
            x = self.hidden(layer, x, sums)
        return self.affines[-1](x, sums)

    def after(self, inner: Affine) -> Net:
        """The net of an affine map of the inputs: self ∘ inner."""
        first = self.ups[0].after(inner) if self.ups and self.ups[0] is not None else None
        return Net((self.affines[0].after(inner), *self.affines[1:]), self.groups, (first, *self.ups[1:]) if self.ups else ())

    def behind(self, inner: Affine, name: str, origin: str) -> Net:
        """self ∘ inner with the two affine maps kept apart: a linear hidden layer, its neurons `name[k]` (N9)."""
        linear = (NeuronGroup(name, len(inner.bias), origin, IDENTITY),)
        return Net((inner, *self.affines), (linear, *self.groups), (None, *self.ups))

    def then(self, outer: Net) -> Net:
        """outer ∘ self, with the two affine maps in the middle merged into one."""
        merged = outer.after(self.affines[-1])
        return Net((*self.affines[:-1], *merged.affines), self.groups + merged.groups, self.ups + merged.ups)

    def with_maps(self, affines: Sequence[Affine], ups: Sequence[Affine | None] | None = None) -> Net:
        """The same neurons with other maps; the maps that gate them stay if none are given."""
        return Net(tuple(affines), self.groups, self.ups if ups is None else tuple(ups))

    @property
    def merged(self) -> Net:
        """The same function, its first two maps in one where that is exact: D·x, then S·(σ(D·x) − σ(−D·x)) + b, one ±1 in each row of S.

        Each is as many roundings: those of a row of D, and one with b.
        """
        if len(self.affines) < 3 or any(up is not None for up in self.ups[:2]) or [a for _, a in self.activations[0]] != [RELU]:
            return self
        (first, second), K = self.affines[:2], self.widths[0] // 2
        rows, signs = first.weight[:K], second.weight[:, :K]
        opposite = np.array_equal(first.weight[K:], -rows) and np.array_equal(second.weight[:, K:], -signs)
        if not opposite or first.bias.any() or not ((signs != 0).sum(1) == 1).all() or not (np.abs(signs).sum(1) == 1).all():
            return self
        return Net((Affine(signs @ rows + 0.0, second.bias), *self.affines[2:]), self.groups[1:], self.ups[1:])

    def neuron(self, layer: int, index: int) -> tuple[str, NeuronGroup]:
        """Name and group of neuron `index` of hidden layer `layer` (both from 0)."""
        start = 0
        for group in self.groups[layer]:
            if index < start + group.count:
                return f"{group.name}[{index - start}]", group
            start += group.count
        raise InvalidArgument(f"hidden layer {layer} has {start} neurons, there is no neuron {index}")

    def astype(self, dtype: DTypeLike) -> Net:
        return self.with_maps([a.astype(dtype) for a in self.affines], [None if up is None else up.astype(dtype) for up in self.ups])


ReLUNet = Net
"""The name of a net from before there were other activations."""


def beside(*nets: Net) -> Net:
    """The sum of two-layer nets as one, their neurons side by side. Raises `InvalidArgument` for other depths, inputs or outputs."""
    if any(len(net.affines) != 2 for net in nets) or len({(net.inputs, net.outputs) for net in nets}) != 1:
        shapes = ", ".join(f"R^{net.inputs} to R^{net.outputs} in {len(net.affines)} layers" for net in nets)
        raise InvalidArgument(f"only two-layer nets between the same spaces stand side by side, got {shapes}")
    hidden = Affine(np.concatenate([n.affines[0].weight for n in nets]), np.concatenate([n.affines[0].bias for n in nets]))
    out = Affine(np.concatenate([n.affines[1].weight for n in nets], axis=1), np.sum([n.affines[1].bias for n in nets], axis=0))
    up = None
    if any(net.gated for net in nets):
        ones = [net.ups[0] or Affine(np.zeros_like(net.affines[0].weight), np.ones_like(net.affines[0].bias)) for net in nets]
        up = Affine(np.concatenate([map_.weight for map_ in ones]), np.concatenate([map_.bias for map_ in ones]))
    return Net((hidden, out), (tuple(group for net in nets for group in net.groups[0]),), (up,))


def _runs(groups: tuple[NeuronGroup, ...]) -> list[tuple[slice, Activation]]:
    found: list[tuple[slice, Activation]] = []
    start = 0
    for group in groups:
        part = slice(start, start + group.count)
        if found and found[-1][1] is group.activation:
            part = slice(found.pop()[0].start, part.stop)
        found.append((part, group.activation))
        start += group.count
    return found
