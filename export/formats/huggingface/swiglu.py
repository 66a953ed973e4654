"""What classes with product lanes have in common: a softmax over all experts, fused gate and up projections, MLPs of three maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ....moe.network import Floats
from .lanes import CALLED, Lanes, gated
from .numbers import Neurons, Numbers, Sizes, padded, stacked
from .run import EPSILON
from .selection import Rule
from .stock import StockClass


class SwiGLU(StockClass):
    """Every activation, plain and product lanes; no biases; a softmax over all experts that is normalised over those chosen."""

    rule = Rule.SOFTMAX
    activations = tuple(CALLED)

    def config(self, sizes: Sizes) -> dict[str, Any]:
        return {**sizes.common, "hidden_act": sizes.act, "head_dim": 2, "num_key_value_heads": 1, "rms_norm_eps": EPSILON}

    def neurons(self, made: Lanes, act: str, one: int) -> Neurons:
        gate, up, out = gated(made, act, one)
        return gate, up, out.T

    def fill(self, block: Any, numbers: Numbers, router: tuple[Floats, Floats], sizes: Sizes) -> None:
        block.gate.weight.copy_(torch.from_numpy(router[0]))
        fill_experts(block.experts, numbers.experts, sizes)


def fill_experts(experts: Any, numbers: Sequence[Neurons], sizes: Sizes) -> None:
    """gate_up_proj (E, 2I, H) and down_proj (E, H, I) of experts that are (gate, up, out), (m, H) each."""
    real = [one for one in numbers if one]
    empty: Neurons = tuple(array[:0] for array in real[0])
    gate, up, out = (stacked([one or empty for one in numbers], k, sizes.experts, sizes.neurons) for k in range(3))
    experts.gate_up_proj.copy_(torch.from_numpy(np.concatenate([gate, up], axis=1)))
    experts.down_proj.copy_(torch.from_numpy(np.ascontiguousarray(out.transpose(0, 2, 1))))


def fill_mlp(mlp: Any, neurons: Neurons, width: int) -> None:
    """gate_proj, up_proj and down_proj of one MLP of so many neurons."""
    gate, up, out = (torch.from_numpy(padded(array, width)) for array in neurons)
    mlp.gate_proj.weight.copy_(gate)
    mlp.up_proj.weight.copy_(up)
    mlp.down_proj.weight.copy_(out.T)
