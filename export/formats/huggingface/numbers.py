"""What goes into the blocks of a class: routers padded and scaled, the neurons of experts, and the sizes that all layers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....moe.network import Floats
from .decoder import Decoder, Router
from .selection import NEVER, Scale

Neurons = tuple[Floats, ...]
"""Arrays whose first axis counts neurons; the maps behind them are transposed."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """One layer of the decoder, in the terms of a class."""

    router: Router | None
    """Scaled; None of a layer without experts."""
    experts: tuple[Neurons, ...]
    shared: Neurons | None
    encoder: tuple[Floats, Floats] | None = None
    """The maps before and behind all experts, the latter transposed."""

    @property
    def dense(self) -> bool:
        """Whether there is nothing to choose."""
        return self.router is None


@dataclass(frozen=True)
class Sizes:
    """What a configuration says once for all layers."""

    width: int
    experts: int
    top_k: int
    neurons: int
    """Of an expert."""
    shared: int
    """Neurons of a shared expert; 1, which does nothing, where there is none."""
    dense: int
    """Neurons of a layer without experts; at least 1."""
    latent: int
    outputs: int
    kinds: tuple[str, ...]
    """Of every layer, "moe" or "mlp"."""
    act: str
    one: int
    """Where the stream is 1, if anywhere."""

    @property
    def common(self) -> dict[str, Any]:
        """What configurations of all classes say."""
        return {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_experts_per_tok": self.top_k,
            "num_attention_heads": 1,
            "vocab_size": self.outputs,
            "tie_word_embeddings": False,
            "use_cache": False,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
        }

    @property
    def layers(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True)
class Lowered:
    """A network as it was put into a class."""

    decoder: Decoder
    sizes: Sizes
    scales: dict[Router, Scale]


def widest(all_neurons: Sequence[Neurons | None]) -> int:
    """How many neurons there are at most, at least 1."""
    return max((len(neurons[0]) for neurons in all_neurons if neurons), default=1) or 1


def stacked(experts: Sequence[Neurons], which: int, count: int, neurons: int) -> Floats:
    """Array number `which` of all experts, (count, neurons, …), 0 beyond what there is."""
    arrays = [expert[which] for expert in experts]
    out = np.zeros((count, neurons, *next(array.shape[1:] for array in arrays)), arrays[0].dtype)
    for k, array in enumerate(arrays):
        out[k, : len(array)] = array
    return out


def padded(array: Floats, rows: int) -> Floats:
    """With rows of 0 below."""
    out = np.zeros((rows, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out


def router_rows(router: Router | None, made: Decoder, count: int, scale: Scale | None, dtype: np.dtype) -> tuple[Floats, Floats]:
    """Weights (count, H) and biases (count,) of the router, scaled; in the column of the 1 where the stream has one.

    Experts beyond those of the layer are never chosen; of a layer without a router only the first is.
    """
    weight, bias = np.zeros((count, made.width), dtype), np.full(count, NEVER, dtype)
    bias[0] = 0
    if router is not None and scale is not None:
        factor, rows = scale.factor, len(router.map.bias)
        for column, place in zip(router.map.weight.T, router.reads, strict=True):
            weight[:rows, place] += column * factor
        bias[:rows] = (router.map.bias - np.arange(rows) * scale.step) * factor + scale.shift
    if made.one is not None:
        weight[:, made.one] += bias
        bias = np.zeros_like(bias)
    return weight, bias
