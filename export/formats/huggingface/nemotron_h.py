"""`hf-nemotron-h`: NemotronHForCausalLM. Plain neurons, one map before and one behind all experts, a shared expert, layers without experts.

Experts read a few numbers of the stream, picked by the encoder, the 1 among them, and write a few, put into their places by the map
behind; an encoder of the network (N9, N10) is the encoder here. There is no attention: all layers are mixtures or MLPs. Routers compare
sigmoids in float32, see `selection`; the weight of one expert is p/(p + 10⁻²⁰), which is 1 for p > 10⁻¹².
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ....moe.network import Floats
from .decoder import Branch, Decoder, Stage
from .lanes import CALLED, Lanes, lanes, plain, spread
from .numbers import Neurons, Numbers, Sizes, padded, stacked
from .run import EPSILON
from .selection import Rule
from .stock import StockClass


class NemotronH(StockClass):
    """Every activation, plain; the encoder, and a shared expert."""

    name = "hf-nemotron-h"
    summary = (
        "NemotronHForCausalLM of transformers, or its blocks: one activation, any of ours, not gated; top 1; an encoder, a shared expert "
        "and dense layers of its own; options: what=model|block"
    )
    causal = ("nemotron_h", "NemotronHForCausalLM")
    configuration = "NemotronHConfig"
    moe = "NemotronHMoE"
    mlp = "NemotronHMLP"
    rule = Rule.SIGMOID
    encoders = True
    sharing = True
    least = 2
    activations = tuple(CALLED)

    def config(self, sizes: Sizes) -> dict[str, Any]:
        return {
            **sizes.common,
            "layers_block_type": list(sizes.kinds),
            "n_routed_experts": sizes.experts,
            "moe_intermediate_size": sizes.neurons,
            "moe_shared_expert_intermediate_size": sizes.shared,
            "intermediate_size": sizes.dense,
            "moe_latent_size": sizes.latent or None,
            "mlp_hidden_act": sizes.act,
            "num_key_value_heads": 1,
            "head_dim": 2,
            "layer_norm_epsilon": EPSILON,
        }

    def neurons(self, made: Lanes, act: str, one: int) -> Neurons:
        up, out = plain(made, act, one)
        return up, out.T

    def _layer(self, stage: Stage, made: Decoder, act: str) -> Numbers:
        if stage.router is None:
            return super()._layer(stage, made, act)
        assert made.one is not None
        present = [branch for branch in stage.experts if branch is not None]
        writes = sorted({place for branch in present for place in branch.writes})
        if stage.encoder is None:
            reads = sorted({place for branch in present for place in branch.reads})
            before = np.eye(made.width, dtype=present[0].first.bias.dtype)[reads]
        else:
            encoder = spread(stage.encoder.map, stage.encoder.reads, made.width)
            before, reads = encoder.weight.copy(), list(range(len(encoder.bias)))
            before[:, made.one] += encoder.bias
        one = np.zeros((1, made.width), before.dtype)
        one[0, made.one] = 1
        before, behind = np.concatenate([before, one]), np.eye(made.width, dtype=before.dtype)[writes]

        def neurons(branch: Branch | None) -> Neurons:
            if branch is None:
                return ()
            inner = replace(branch, reads=tuple(map(reads.index, branch.reads)), writes=tuple(map(writes.index, branch.writes)))
            return self.neurons(lanes(inner, len(before), len(writes)).bent(act), act, len(reads))

        shared = self._placed(stage.shared, made)
        return Numbers(
            stage.router,
            tuple(map(neurons, stage.experts)),
            None if shared is None else self.neurons(shared.bent(act), act, made.one),
            (before, behind),
        )

    def fill(self, block: Any, numbers: Numbers, router: tuple[Floats, Floats], sizes: Sizes) -> None:
        assert numbers.encoder is not None
        before, behind = numbers.encoder
        real = next(one for one in numbers.experts if one)
        empty: Neurons = tuple(array[:0] for array in real)
        up, out = (stacked([one or empty for one in numbers.experts], k, sizes.experts, sizes.neurons) for k in range(2))
        block.gate.weight.copy_(torch.from_numpy(router[0]))
        block.experts.up_proj[:, :, : len(before)] = torch.from_numpy(up)
        block.experts.down_proj[:, : len(behind)] = torch.from_numpy(np.ascontiguousarray(out.transpose(0, 2, 1)))
        block.fc1_latent_proj.weight.copy_(torch.from_numpy(padded(before, sizes.latent)))
        block.fc2_latent_proj.weight.copy_(torch.from_numpy(padded(behind, sizes.latent)).T)
        if numbers.shared is not None:
            _fill_mlp(block.shared_experts, numbers.shared, sizes.shared)

    def fill_dense(self, block: Any, neurons: Neurons, sizes: Sizes) -> None:
        _fill_mlp(block, neurons, sizes.dense)


def _fill_mlp(mlp: Any, neurons: Neurons, width: int) -> None:
    up, out = (torch.from_numpy(padded(array, width)) for array in neurons)
    mlp.up_proj.weight.copy_(up)
    mlp.down_proj.weight.copy_(out.T)
