"""`hf-mixtral`: MixtralForCausalLM. Product lanes, no biases, a softmax over all experts that is normalised over those chosen."""

from __future__ import annotations

from typing import Any

import torch

from ....moe.network import Floats
from .lanes import CALLED, Lanes, gated
from .numbers import Neurons, Numbers, Sizes
from .run import EPSILON
from .selection import Rule
from .stock import StockClass
from .swiglu import fill_experts


class Mixtral(StockClass):
    """Every activation, plain and product lanes."""

    name = "hf-mixtral"
    summary = (
        "MixtralForCausalLM of transformers, or its blocks: one activation, any of ours, plain or gated; top 1, or top K by softmax; "
        "options: what=model|block"
    )
    causal = ("mixtral", "MixtralForCausalLM")
    configuration = "MixtralConfig"
    moe = "MixtralSparseMoeBlock"
    rule = Rule.SOFTMAX
    activations = tuple(CALLED)

    def config(self, sizes: Sizes) -> dict[str, Any]:
        return {
            **sizes.common,
            "num_local_experts": sizes.experts,
            "intermediate_size": sizes.neurons,
            "hidden_act": sizes.act,
            "head_dim": 2,
            "num_key_value_heads": 1,
            "rms_norm_eps": EPSILON,
        }

    def neurons(self, made: Lanes, act: str, one: int) -> Neurons:
        gate, up, out = gated(made, act, one)
        return gate, up, out.T

    def fill(self, block: Any, numbers: Numbers, router: tuple[Floats, Floats], sizes: Sizes) -> None:
        block.gate.weight.copy_(torch.from_numpy(router[0]))
        fill_experts(block.experts, numbers.experts, sizes)
