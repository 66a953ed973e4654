"""`hf-qwen-moe`: Qwen2MoeForCausalLM. As Mixtral, with a shared expert behind a sigmoid, and with layers that have no experts."""

from __future__ import annotations

from typing import Any

from ....moe.network import Floats
from .numbers import Neurons, Numbers, Sizes
from .swiglu import SwiGLU, fill_mlp

OPEN = 64.0
"""σ(64) is 1 in float32 and float64."""


class QwenMoe(SwiGLU):
    """Every activation, plain and product lanes, a shared expert."""

    name = "hf-qwen-moe"
    summary = (
        "Qwen2MoeForCausalLM of transformers, or its blocks: as hf-mixtral, with a shared expert and dense layers of its own; "
        "options: what=model|block"
    )
    causal = ("qwen2_moe", "Qwen2MoeForCausalLM")
    configuration = "Qwen2MoeConfig"
    moe = "Qwen2MoeSparseMoeBlock"
    mlp = "Qwen2MoeMLP"
    sharing = True

    def config(self, sizes: Sizes) -> dict[str, Any]:
        return {
            **super().config(sizes),
            "num_experts": sizes.experts,
            "moe_intermediate_size": sizes.neurons,
            "shared_expert_intermediate_size": sizes.shared,
            "intermediate_size": sizes.dense,
            "mlp_only_layers": [k for k, kind in enumerate(sizes.kinds) if kind == "mlp"],
            "norm_topk_prob": True,
        }

    def fill(self, block: Any, numbers: Numbers, router: tuple[Floats, Floats], sizes: Sizes) -> None:
        super().fill(block, numbers, router, sizes)
        block.shared_expert_gate.weight[:, sizes.one] = OPEN
        if numbers.shared is not None:
            fill_mlp(block.shared_expert, numbers.shared, sizes.shared)

    def fill_dense(self, block: Any, neurons: Neurons, sizes: Sizes) -> None:
        fill_mlp(block, neurons, sizes.dense)
