"""`hf-deepseek`: DeepseekV3ForCausalLM. Product lanes, a shared expert, and routers that compare sigmoids.

Of DeepSeek's classes in transformers V3 normalises weights: that of one expert is p/(p + 10⁻²⁰), which is 1 for p > 10⁻¹² (`selection`).
V2 leaves its softmax as it is, so that one expert would be weighed by its probability: it holds none of our networks. All experts are in
one group, the bias that selects and does not weigh is 0, and the factor behind the weights is 1. The shared expert has as many neurons as
a whole number of others. Attention is latent, and 0 as everywhere.
"""

from __future__ import annotations

from typing import Any

from ....moe.network import Floats
from .numbers import Numbers, Sizes
from .run import EPSILON
from .selection import Rule
from .swiglu import SwiGLU, fill_mlp


class Deepseek(SwiGLU):
    """Every activation, plain and product lanes, a shared expert; top 1."""

    name = "hf-deepseek"
    summary = (
        "DeepseekV3ForCausalLM of transformers, or its blocks: one activation, any of ours, plain or gated; top 1; a shared expert; "
        "options: what=model|block"
    )
    causal = ("deepseek_v3", "DeepseekV3ForCausalLM")
    configuration = "DeepseekV3Config"
    moe = "DeepseekV3MoE"
    rule = Rule.SIGMOID
    sharing = True
    least = 2
    """A group is judged by its two best."""

    def config(self, sizes: Sizes) -> dict[str, Any]:
        return {
            **sizes.common,
            "hidden_act": sizes.act,
            "num_key_value_heads": 1,
            "rms_norm_eps": EPSILON,
            "n_routed_experts": sizes.experts,
            "moe_intermediate_size": sizes.neurons,
            "n_shared_experts": _shared(sizes),
            "intermediate_size": 1,
            "first_k_dense_replace": 0,
            "n_group": 1,
            "topk_group": 1,
            "norm_topk_prob": True,
            "routed_scaling_factor": 1.0,
            "num_nextn_predict_layers": 0,
            "q_lora_rank": None,
            "kv_lora_rank": 1,
            "qk_nope_head_dim": 2,
            "qk_rope_head_dim": 2,
            "v_head_dim": 2,
        }

    def fill(self, block: Any, numbers: Numbers, router: tuple[Floats, Floats], sizes: Sizes) -> None:
        super().fill(block, numbers, router, sizes)
        if numbers.shared is not None:
            fill_mlp(block.shared_experts, numbers.shared, _shared(sizes) * sizes.neurons)


def _shared(sizes: Sizes) -> int:
    """How many experts make up the shared one."""
    return -(-sizes.shared // sizes.neurons)
