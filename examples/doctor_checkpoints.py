"""The doctor at real MoE classes: tiny stock configurations of `transformers`, trained for a minute on a toy language, and examined.

    python examples/doctor_checkpoints.py [--steps 150] [--out out/doctor]

The language: each sequence starts with one of eight letters a, and goes on by x_t = (a + 1)·x_{t−1} + x_{t−2} (mod 31), one token in
twenty at random. Mixtral (2 of 8 experts on softmax, SwiGLU) is trained with a load-balancing loss and, once more, without it; GptOss
(2 of 8 on logits, biases) and DeepSeek-V3 (2 of 16 on sigmoids, in groups, a shared expert) as they come. Each is saved by
`save_pretrained` as float32, Mixtral also as bfloat16. The doctor sees folders alone: it finds routers and experts by their names, and the
rows that reach them by running the folder on held-out token ids. What it finds is in docs/doctor.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import torch
import transformers
from atlasmoe.report.health_figures import health_figures

VOCABULARY, LENGTH, BATCH = 31 + 8, 32, 16
HELD_OUT = 64
"""Sequences that are examined: as many rows as they have tokens."""
COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2 * LENGTH,
    "num_experts_per_tok": 2,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}


def mixtral(balanced: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    more = {"output_router_logits": True, "router_aux_loss_coef": 0.05} if balanced else {}
    config = transformers.MixtralConfig(**COMMON, intermediate_size=64, num_local_experts=8, sliding_window=None, **more)
    return transformers.MixtralForCausalLM(config)


def gpt_oss() -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.GptOssConfig(
        **COMMON, intermediate_size=64, num_local_experts=8, head_dim=16, sliding_window=LENGTH, layer_types=["full_attention"] * 2
    )
    return transformers.GptOssForCausalLM(config)


def deepseek() -> torch.nn.Module:
    torch.manual_seed(0)
    config = transformers.DeepseekV3Config(
        **{**COMMON, "num_key_value_heads": 4},
        intermediate_size=64,
        moe_intermediate_size=32,
        n_routed_experts=16,
        n_shared_experts=1,
        n_group=4,
        topk_group=2,
        first_k_dense_replace=0,
        q_lora_rank=None,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=16,
    )
    return transformers.DeepseekV3ForCausalLM(config)


MODELS: dict[str, Callable[[], torch.nn.Module]] = {
    "mixtral": lambda: mixtral(True),
    "mixtral_unbalanced": lambda: mixtral(False),
    "gpt_oss": gpt_oss,
    "deepseek_v3": deepseek,
}


def language(count: int, seed: int) -> torch.Tensor:
    """Sequences (count, LENGTH)."""
    rng = np.random.default_rng(seed)
    a = rng.integers(8, size=count)
    found = np.empty((count, LENGTH), np.int64)
    found[:, 0] = 31 + a
    found[:, 1:3] = rng.integers(31, size=(count, 2))
    for t in range(3, LENGTH):
        found[:, t] = ((a + 1) * found[:, t - 1] + found[:, t - 2]) % 31
        random = rng.random(count) < 0.05
        found[random, t] = rng.integers(31, size=int(random.sum()))
    return torch.from_numpy(found)


def train(model: torch.nn.Module, steps: int) -> tuple[float, float]:
    """Adam; the loss before and after."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    losses = []
    for step in range(steps):
        ids = language(BATCH, 1000 + step)
        loss = model(input_ids=ids, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses[0], float(np.mean(losses[-10:]))


def main() -> None:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("out/doctor"))
    parser.add_argument("--only", choices=MODELS, action="append")
    parser.add_argument("--figures", action="store_true", help="beside every folder")
    arguments = parser.parse_args()
    held_out = language(HELD_OUT, 1).numpy()
    for name in arguments.only or MODELS:
        model, started = MODELS[name](), time.process_time()
        before, after = train(model, arguments.steps)
        print(f"\n{name}: loss {before:.3f} → {after:.3f} in {arguments.steps} steps, {time.process_time() - started:.0f} CPU s")
        folder = arguments.out / name
        model.save_pretrained(folder)
        folders = [folder]
        if name == "mixtral":
            folders.append(arguments.out / "mixtral_bfloat16")
            model.to(torch.bfloat16).save_pretrained(folders[-1])
        np.save(arguments.out / "held_out.npy", held_out)
        for path in folders:
            found = atlasmoe.doctor(path, data=held_out, capacity=1.25)
            print(found)
            if arguments.figures:
                health_figures(found, path / "figures")


if __name__ == "__main__":
    main()
