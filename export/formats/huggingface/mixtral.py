"""`hf-mixtral`: MixtralForCausalLM. Product lanes, no biases, a softmax over all experts that is normalised over those chosen."""

from __future__ import annotations

from typing import Any

from .numbers import Sizes
from .swiglu import SwiGLU


class Mixtral(SwiGLU):
    """Every activation, plain and product lanes."""

    name = "hf-mixtral"
    summary = (
        "MixtralForCausalLM of transformers, or its blocks: one activation, any of ours, plain or gated; top 1, or top K by softmax; "
        "options: what=model|block"
    )
    causal = ("mixtral", "MixtralForCausalLM")
    configuration = "MixtralConfig"
    moe = "MixtralSparseMoeBlock"

    def config(self, sizes: Sizes) -> dict[str, Any]:
        return {
            **super().config(sizes),
            "num_local_experts": sizes.experts,
            "intermediate_size": sizes.neurons,
        }
