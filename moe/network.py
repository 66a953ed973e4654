"""The network: affine maps, ReLU nets, MoE layers with hard top-1 routing, in plain numpy.

Every channel has a name, every hidden neuron belongs to a `NeuronGroup` that says which lemma put it there. The arrays
are exactly what is exported; evaluation happens in their dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..errors import InvalidArgument

Floats = NDArray[np.floating]
CHUNK = 1 << 22
"""Hidden activations, logits or states evaluated at a time, in numbers: keeps the working set in the cache-to-RAM range of any machine."""


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

    def __call__(self, x: Floats) -> Floats:
        out = x @ self.weight.T
        out += self.bias
        return out

    def rectified(self, x: Floats) -> Floats:
        """σ(W·x + b)."""
        out = self(x)
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
        for inner, outer in zip(self.affines, self.affines[1:], strict=False):
            if inner.weight.shape[0] != outer.weight.shape[1]:
                raise InvalidArgument(f"affine maps {inner.weight.shape} and {outer.weight.shape} do not compose")
        if [sum(g.count for g in layer) for layer in self.groups] != list(self.widths):
            raise InvalidArgument(f"neuron groups {self.groups} do not add up to the hidden widths {self.widths}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Hidden widths."""
        return tuple(affine.weight.shape[0] for affine in self.affines[:-1])

    @property
    def parameters(self) -> int:
        return sum(a.weight.size + a.bias.size for a in self.affines)

    def __call__(self, x: Floats) -> Floats:
        """[N, in] to [N, out], in the dtype of the weights."""
        for affine in self.affines[:-1]:
            x = affine.rectified(x)
        return self.affines[-1](x)

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


@dataclass(frozen=True, eq=False)
class MoELayer:
    """y = f^(i)(x[reads]), i = argmax of the gate's logits (the first index wins a tie; top-1, so the weight is 1).

    Experts that are equal are stored once: gate output i is served by `experts[serves[i]]`. `reads` are the channels
    that the experts' first weights do not multiply by zero columns; None: all of them.
    """

    gate: Affine
    experts: tuple[ReLUNet, ...]
    serves: tuple[int, ...]
    names: tuple[str, ...]
    """One name per gate output."""
    channels: tuple[str, ...]
    """One name per output channel."""
    reads: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        gates = self.gate.weight.shape[0]
        if len(self.serves) != gates or len(self.names) != gates or set(self.serves) != set(range(len(self.experts))):
            raise InvalidArgument(
                f"{gates} gate outputs, {len(self.names)} names, routes to stored experts {sorted(set(self.serves))} of {len(self.experts)}"
            )
        reads = self.gate.weight.shape[1] if self.reads is None else len(self.reads)
        for net in self.experts:
            if net.affines[0].weight.shape[1] != reads or net.affines[-1].weight.shape[0] != len(self.channels):
                maps = f"R^{net.affines[0].weight.shape[1]} to R^{net.affines[-1].weight.shape[0]}"
                raise InvalidArgument(f"an expert maps {maps}, the layer reads {reads} and writes {len(self.channels)} channels")

    def __len__(self) -> int:
        """E, the number of experts the gate chooses from."""
        return len(self.names)

    @property
    def dtype(self) -> np.dtype:
        return self.gate.weight.dtype

    def logits(self, x: Floats) -> Floats:
        return self.gate(x)

    def forward(self, x: Floats, routes: NDArray[np.intp]) -> Floats:
        """The chosen experts' outputs, each input through one expert only."""
        inputs = x if self.reads is None else x[:, list(self.reads)]
        stored = np.asarray(self.serves)[routes]
        out = np.empty((len(x), len(self.channels)), self.dtype)
        order = np.argsort(stored, kind="stable")
        bounds = np.searchsorted(stored[order], np.arange(len(self.experts) + 1))
        for k in np.flatnonzero(np.diff(bounds)):
            net, rows = self.experts[k], order[bounds[k] : bounds[k + 1]]
            step = max(1, CHUNK // max(net.widths, default=1))
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                out[part] = net(inputs[part])
        return out

    def astype(self, dtype: DTypeLike) -> MoELayer:
        experts = tuple(net.astype(dtype) for net in self.experts)
        return MoELayer(self.gate.astype(dtype), experts, self.serves, self.names, self.channels, self.reads)


@dataclass(frozen=True, eq=False)
class Trace:
    """What happened to a batch: per layer the logits [N, E_l] and routes [N], and the output [N, out]."""

    logits: tuple[Floats, ...]
    routes: tuple[NDArray[np.intp], ...]
    states: tuple[Floats, ...]
    """Output of every layer; the last is the network's."""

    @property
    def output(self) -> Floats:
        return self.states[-1]


@dataclass(frozen=True, eq=False)
class Network:
    """Stacked MoE layers R^D → R^out. `inputs` names the D input channels."""

    layers: tuple[MoELayer, ...]
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        width = len(self.inputs)
        for number, layer in enumerate(self.layers, 1):
            if layer.gate.weight.shape[1] != width or layer.dtype != self.dtype:
                raise InvalidArgument(
                    f"layer {number} reads {layer.gate.weight.shape[1]} channels of {layer.dtype}, but {width} of {self.dtype} arrive"
                )
            width = len(layer.channels)

    @property
    def dtype(self) -> np.dtype:
        return self.layers[0].dtype

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.layers[-1].channels

    @property
    def parameters(self) -> int:
        """Stored numbers."""
        return sum(la.gate.weight.size + la.gate.bias.size + sum(net.parameters for net in la.experts) for la in self.layers)

    @property
    def active_parameters(self) -> int:
        """Numbers that one input is multiplied with: all gates, one (the largest) expert per layer."""
        return sum(la.gate.weight.size + la.gate.bias.size + max(net.parameters for net in la.experts) for la in self.layers)

    def trace(self, x: ArrayLike, routes: Sequence[NDArray[np.intp] | None] | None = None) -> Trace:
        """Run [N, D] through all layers, in the network's dtype. `routes` overrides the gates of the layers it gives."""
        x = np.atleast_2d(np.asarray(x, self.dtype))
        if x.ndim != 2 or x.shape[1] != len(self.inputs):
            raise InvalidArgument(f"the network reads [N, {len(self.inputs)}], got {x.shape}")
        logits, chosen, states = [], [], []
        for number, layer in enumerate(self.layers):
            scores = layer.logits(x)
            forced = None if routes is None else routes[number]
            route = np.argmax(scores, axis=1) if forced is None else forced
            x = layer.forward(x, route)
            logits.append(scores)
            chosen.append(route)
            states.append(x)
        return Trace(tuple(logits), tuple(chosen), tuple(states))

    def __call__(self, x: ArrayLike) -> Floats:
        """[N, D] to [N, out], so many rows at a time that logits and states of many experts stay small."""
        x = np.atleast_2d(np.asarray(x, self.dtype))
        step = max(1, CHUNK // max(max(len(layer), len(layer.channels)) for layer in self.layers))
        if len(x) <= step:
            return self.trace(x).output
        return np.concatenate([self.trace(x[start : start + step]).output for start in range(0, len(x), step)])

    def astype(self, dtype: DTypeLike) -> Network:
        return Network(tuple(layer.astype(dtype) for layer in self.layers), self.inputs)
