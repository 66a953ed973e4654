"""`hf-olmoe`: OlmoeForCausalLM. As Mixtral; its attention has one head that is as wide as the stream, which therefore is even."""

from __future__ import annotations

from typing import Any

from .numbers import Sizes
from .run import EPSILON
from .swiglu import SwiGLU


class Olmoe(SwiGLU):
    """Every activation, plain and product lanes."""

    name = "hf-olmoe"
    summary = (
        "OlmoeForCausalLM of transformers, or its blocks: one activation, any of ours, plain or gated; top 1, or top K by softmax; "
        "options: what=model|block"
    )
    causal = ("olmoe", "OlmoeForCausalLM")
    configuration = "OlmoeConfig"
    moe = "OlmoeSparseMoeBlock"
    multiple = 2

    def config(self, sizes: Sizes) -> dict[str, Any]:
        return {
            **sizes.common,
            "hidden_act": sizes.act,
            "num_key_value_heads": 1,
            "rms_norm_eps": EPSILON,
            "num_experts": sizes.experts,
            "intermediate_size": sizes.neurons,
            "norm_topk_prob": True,
        }
