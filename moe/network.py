"""The network: affine maps, nets, MoE layers with hard routing, in plain numpy.

Every channel has a name, every hidden neuron belongs to a `NeuronGroup` that says which lemma put it there. The arrays
are exactly what is exported; evaluation happens in their dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..errors import InvalidArgument
from ..expressions.given import floats, lists_of
from .gate_tree import by_tree
from .halves import rounded
from .layer import CHUNK, Indices, MoELayer, Weighting
from .nets import Affine, Floats, Net, NeuronGroup, ReLUNet
from .sums import Sums, known

ROWS = 1 << 13
"""Rows whose channels are kept apart at a time, so that the columns that a layer reads and writes stay in the cache."""

TREE_ROWS = 1 << 16
"""Rows that gates in two levels see at a time, so that each of their groups gets many."""

__all__ = ["Affine", "Floats", "Indices", "MoELayer", "Net", "Network", "NeuronGroup", "ReLUNet", "Sums", "Trace", "Weighting"]


@dataclass(frozen=True, eq=False)
class Trace:
    """What happened to a batch: per layer the logits [N, E_l], the chosen experts [N, K_l], best first, and the output [N, out]."""

    logits: tuple[Floats, ...]
    chosen: tuple[Indices, ...]
    states: tuple[Floats, ...]
    """Output of every layer; the last is the network's."""

    @property
    def routes(self) -> tuple[Indices, ...]:
        """Per layer the gate output with the largest logit, [N]: all there is to say of top-1 layers."""
        return tuple(chosen[:, 0] for chosen in self.chosen)

    @property
    def output(self) -> Floats:
        return self.states[-1]


@dataclass(frozen=True, eq=False)
class Network:
    """Stacked MoE layers R^D → R^out. `inputs` names the D input channels."""

    layers: tuple[MoELayer, ...]
    inputs: tuple[str, ...]

    def __post_init__(self) -> None:
        lists_of(self, layers=MoELayer, inputs=str)
        if not self.layers:
            raise InvalidArgument("a network needs at least one layer")
        width = len(self.inputs)
        for number, layer in enumerate(self.layers, 1):
            if misfit := layer.misfit(width):
                raise InvalidArgument(f"layer {number}: {misfit}, but {width} arrive")
            if layer.dtype != self.dtype:
                raise InvalidArgument(f"layer {number} is of {layer.dtype}, the network of {self.dtype}; cast it")
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
        return sum(layer.parameters for layer in self.layers)

    @property
    def active_parameters(self) -> int:
        """Numbers that one input is multiplied with: all gates and shared experts, the K largest experts of every layer."""
        return sum(layer.active_parameters for layer in self.layers)

    def trace(self, x: ArrayLike, routes: Sequence[NDArray[np.intp] | None] | None = None, sums: Sums | str = Sums.PLAIN) -> Trace:
        """Run [N, D] through all layers, in the network's dtype; x is rounded to it first.

        `routes` overrides the gates of the layers it gives, by the chosen gate outputs [N] or [N, K]. `sums`: in which order sums are
        taken (`moe.sums`), "plain", "blocks" or "float64".
        """
        sums = known(sums)
        x = np.atleast_2d(np.asarray(x, self.dtype))
        if x.ndim != 2 or x.shape[1] != len(self.inputs):
            raise InvalidArgument(f"the network reads [N, {len(self.inputs)}], got {x.shape}")
        if routes is not None and len(routes) != len(self.layers):
            raise InvalidArgument(f"routes are given for {len(routes)} layers of {len(self.layers)}; None leaves a layer to its gate")
        logits, chosen, states = [], [], []
        for number, layer in enumerate(self.layers):
            scores = layer.logits(x, sums)
            forced = None if routes is None else routes[number]
            experts = layer.choose(scores) if forced is None else forced[:, None] if forced.ndim == 1 else forced
            x = layer.forward(x, experts, scores, sums)
            logits.append(scores)
            chosen.append(experts)
            states.append(x)
        return Trace(tuple(logits), tuple(chosen), tuple(states))

    def __call__(self, x: ArrayLike, sums: Sums | str = Sums.PLAIN, gates: str = "flat") -> Floats:
        """[N, D] to [N, out], so many rows at a time that logits and states of many experts stay small; `sums` as for `trace`.

        `gates`: "flat", or "tree", affine gates in two levels (`gate_tree`): the same routes, sooner where there are many experts.
        """
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            x = floats("x", x, f"the network reads rows of {len(self.inputs)} numbers")
        x = np.atleast_2d(np.asarray(x, self.dtype))
        step = max(1, CHUNK // max(max(len(layer), len(layer.channels)) for layer in self.layers))
        carrying = any(layer.carries is not None for layer in self.layers)
        step = min(step, ROWS) if carrying else step
        if by_tree(gates) and any(layer.tree is not None for layer in self.layers):
            most = max(1, TREE_ROWS // step) * step
            return np.concatenate([self._by_trees(x[k : k + most], step, known(sums)) for k in range(0, max(1, len(x)), most)])
        parts = [x[start : start + step] for start in range(0, len(x), step)] or [x]
        found = [self._by_channels(part, known(sums)) if carrying else self.trace(part, sums=sums).output for part in parts]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _by_channels(self, x: Floats, sums: Sums) -> Floats:
        """The output, from a state that is kept channel by channel, as most of it is carried."""
        if x.shape[1] != len(self.inputs):
            raise InvalidArgument(f"the network reads [N, {len(self.inputs)}], got {x.shape}")
        state = list(x.T + 0.0)
        for layer in self.layers:
            state = layer.advance(state, sums)
        return np.stack(state, axis=1)

    def _by_trees(self, x: Floats, step: int, sums: Sums) -> Floats:
        """The output, with affine gates in two levels; `step`: rows that flat gates would see at a time."""
        if x.shape[1] != len(self.inputs):
            raise InvalidArgument(f"the network reads [N, {len(self.inputs)}], got {x.shape}")
        for layer in self.layers:
            x = layer.forward(x, layer.routes(x, step, sums), None, sums)
        return x

    def plainly(self) -> Network:
        """The same function without what saves numbers (`MoELayer.plainly`): for whoever encloses it."""
        widths = [len(self.inputs), *(len(layer.channels) for layer in self.layers)]
        return replace(self, layers=tuple(layer.plainly(width) for layer, width in zip(self.layers, widths, strict=False)))

    def rounded(self, dtype: str) -> Network:
        """The network whose experts behind the last gate have weights rounded to "bfloat16" or "float16", in its own dtype still.

        Gates, and what they read, stay as they are, as in `to_torch(…).to(dtype)`. It is a network of its own: prove it like any other.
        Raises `InvalidArgument` for other dtypes, and for a weight that is too large.
        """
        last = max((n for n, layer in enumerate(self.layers) if len(layer) > 1), default=0)

        def half(map_: Affine) -> Affine:
            return Affine(rounded(map_.weight, dtype), rounded(map_.bias, dtype), map_.linear)

        def halved(net: Net) -> Net:
            return net.with_maps([half(a) for a in net.affines], [None if up is None else half(up) for up in net.ups])

        def behind(layer: MoELayer) -> MoELayer:
            shared = None if layer.shared is None else halved(layer.shared)
            latent = None if layer.latent is None else half(layer.latent)
            return replace(layer, experts=tuple(map(halved, layer.experts)), shared=shared, latent=latent)

        return replace(self, layers=tuple(behind(layer) if n >= last else layer for n, layer in enumerate(self.layers)))

    def astype(self, dtype: DTypeLike) -> Network:
        return replace(self, layers=tuple(layer.astype(dtype) for layer in self.layers))
