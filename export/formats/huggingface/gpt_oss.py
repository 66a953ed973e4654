"""`hf-gpt-oss`: GptOssForCausalLM. Biases everywhere, and routers that compare logits themselves: of all classes the closest to ours.

Its lanes are g·σ(α·g)·(u + 1), clipped at ±limit = 10³⁰. With α = 1 that is silu(g)·(u + 1); with α = 10³⁰ it is ReLU but for
0 < |g| < 1.1·10⁻²⁸, where it is off by |g| at most. A plain neuron has u = 0; a product lane with factor v has u = v − 1, which rounds v
once more; a linear neuron is a(z) − a(−z).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ....moe.network import Floats
from .lanes import Lanes
from .numbers import Neurons, Numbers, Sizes
from .run import EPSILON
from .selection import Rule
from .stock import StockClass

LIMIT = 1e30
ALPHA = {"relu": 1e30, "silu": 1.0}


class GptOss(StockClass):
    """ReLU and SiLU, plain and product lanes; blocks in float64 too."""

    name = "hf-gpt-oss"
    summary = (
        "GptOssForCausalLM of transformers, or its blocks: ReLU or SiLU, plain or gated; top 1, or top K by softmax; "
        "options: what=model|block, dtype=float64 of blocks"
    )
    causal = ("gpt_oss", "GptOssForCausalLM")
    configuration = "GptOssConfig"
    moe = "GptOssMLP"
    rule = Rule.LOGITS
    one = False
    activations = ("relu", "silu")
    double = True
    returns_pair = True

    def config(self, sizes: Sizes) -> dict[str, Any]:
        return {
            **sizes.common,
            "num_local_experts": sizes.experts,
            "intermediate_size": sizes.neurons,
            "swiglu_alpha": ALPHA[sizes.act],
            "swiglu_limit": LIMIT,
            "head_dim": 2,
            "num_key_value_heads": 1,
            "attention_bias": False,
            "rms_norm_eps": EPSILON,
            "layer_types": ["full_attention"] * sizes.layers,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        }

    def neurons(self, made: Lanes, act: str, one: int) -> Neurons:
        """Rows and biases of gates, of what they multiply less 1, the map behind, and its bias as one row of its own kind."""
        more = made.linear
        weight, bias = (np.concatenate([array, -array[more]]) for array in (made.weight, made.bias))
        up, constant = (np.concatenate([array, array[more]]) for array in (made.up, made.constant - 1))
        return weight, bias, up, constant, np.concatenate([made.out, -made.out[:, more]], axis=1).T, made.offset

    def fill(self, block: Any, numbers: Numbers, router: tuple[Floats, Floats], sizes: Sizes) -> None:
        for parameter, array in zip((block.router.weight, block.router.bias), router, strict=True):
            parameter.copy_(torch.from_numpy(array))
        experts = block.experts
        for k, one in enumerate(numbers.experts):
            if not one:
                continue
            weight, bias, up, constant, out, offset = map(torch.from_numpy, map(np.ascontiguousarray, one))
            m = len(bias)
            experts.gate_up_proj[k, :, 0 : 2 * m : 2] = weight.T
            experts.gate_up_proj[k, :, 1 : 2 * m : 2] = up.T
            experts.gate_up_proj_bias[k, 0 : 2 * m : 2] = bias
            experts.gate_up_proj_bias[k, 1 : 2 * m : 2] = constant
            experts.down_proj[k, :m] = out
            experts.down_proj_bias[k] = offset
