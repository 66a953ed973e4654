"""What the model card says of a stock class: how to load it, what is in which layer, and how routers tell logits apart."""

from __future__ import annotations

from ....moe import Network
from .base import Stock
from .decoder import Decoder, Router
from .numbers import Lowered
from .selection import Scale

MODEL = """```python
import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(".", dtype=torch.float32, attn_implementation="eager", experts_implementation="eager")
h = torch.zeros(len(x), 1, {width})  # x [N, {inputs}], {dtype}
h[:, 0, :{inputs}] = x{one}
y = model(inputs_embeds=h, use_cache=False).logits[:, 0]  # [N, {outputs}]
```"""
BLOCK = """```python
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig
from transformers.models.{module}.modeling_{module} import {classes}

config = AutoConfig.from_pretrained(".", experts_implementation="eager")
blocks = nn.ModuleList([{made}]).to(torch.{dtype}).eval()
blocks.load_state_dict(load_file("model.safetensors"))
h = torch.zeros(len(x), 1, {width}, dtype=torch.{dtype})  # x [N, {inputs}]
h[:, 0, :{inputs}] = x{one}
for block in blocks:
    h = h + {call}
y = h[:, 0, {places}]  # [N, {outputs}]
```

A single block is `load_file` of the names that begin with its number."""


def usage(form: Stock, network: Network, done: Lowered, what: str) -> str:
    """Markdown."""
    made, sizes = done.decoder, done.sizes
    kinds = [form.moe, *([form.mlp] if form.mlp and "mlp" in sizes.kinds else [])]
    loop = f"{form.moe}(config) for _ in range({sizes.layers})"
    if "mlp" in sizes.kinds:
        moe = [k for k, kind in enumerate(sizes.kinds) if kind == "moe"]
        loop = f"{form.moe}(config) if k in {moe} else {form.mlp}(config) for k in range({sizes.layers})"
    code = (MODEL if what == "model" else BLOCK).format(
        width=made.width,
        inputs=made.inputs,
        one="" if made.one is None else f"\nh[:, 0, {made.one}] = 1",
        outputs=sizes.outputs,
        dtype=network.dtype,
        module=form.causal[0],
        classes=", ".join(kind for kind in kinds if kind),
        made=loop,
        call="block(h)[0]" if form.returns_pair else "block(h)",
        places=list(made.outputs),
    )
    return "\n\n".join([code, _stream(made), _layers(form, made, done.scales)])


def _stream(made: Decoder) -> str:
    one = "" if made.one is None else f", number {made.one} is 1"
    return (
        f"The stream has {made.width} numbers: the first {made.inputs} are the inputs{one}, all others begin as 0. Attention is 0, so "
        "inputs may stand in the batch or in the sequence."
    )


def _layers(form: Stock, made: Decoder, scales: dict[Router, Scale]) -> str:
    lines = [
        f"Routers compare {form.rule}. Logits are those of the network times c, and a constant; s is the largest sampled, and of logits "
        "that are further apart than r the larger one is taken. Experts are in the order of the specification.",
        "",
        "| | what | experts | c | s | r |",
        "|---|---|---|---|---|---|",
    ]
    for k, stage in enumerate(made.stages):
        found = None if stage.router is None else scales[stage.router]
        said = ["1", "", "", ""]
        if found is not None:
            said = [str(len(stage.experts)), *(f"{value:.3g}" for value in (found.factor, found.largest, found.resolution))]
        lines.append(f"| {k} | {stage.what} | {' | '.join(said)} |")
    margins = sorted({found.margin for found in scales.values() if found.margin is not None})
    if margins:
        lines += ["", f"Chosen logits are 0, and others {margins[0]:.3g} below at least: c is derived from that margin."]
    if steps := sorted({found.step for found in scales.values() if found.step}):
        lines += ["", f"Each expert is {steps[0]:.3g} behind the one before it, so that the first of equal ones is chosen."]
    return "\n".join(lines)
