"""Making, saving and running modules of transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ....errors import InvalidArgument
from ....moe import Network
from ....moe.network import Floats, Indices
from ..comparison import Run
from .base import Stock
from .numbers import Lowered, Sizes

EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}
NORM, EPSILON = 2.0**50, 2.0**100
"""Weights of norms, and what they add to the mean of squares."""
WEIGHTS = "model.safetensors"


def transformers(what: str = "this needs") -> Any:
    """The package. Raises `InvalidArgument` where it is not installed."""
    try:
        import transformers as package
    except ImportError as error:
        raise InvalidArgument(f"{what} the package transformers: pip install 'atlasmoe[huggingface]'") from error
    return package


def versions() -> str:
    return f"transformers {transformers().__version__}, torch {torch.__version__}, CPU, eager attention and experts"


def modelling(form: Stock) -> Any:
    """The module with the blocks of a class."""
    return import_module(f"transformers.models.{form.causal[0]}.modeling_{form.causal[0]}")


def configuration(form: Stock, sizes: Sizes) -> Any:
    made = getattr(transformers(), form.configuration)(**form.config(sizes))
    made._experts_implementation = "eager"
    return made


def empty(form: Stock, config: Any, sizes: Sizes, what: str, dtype: np.dtype) -> Any:
    """A model, or the list of its blocks, with parameters of 0, and norms that are the identity."""
    transformers()
    classes = modelling(form)
    if what == "model":
        module = getattr(classes, form.causal[1])(config)
    else:
        module = nn.ModuleList(_block(form, classes, config, kind) for kind in sizes.kinds)
    module.to(torch.float64 if dtype == np.float64 else torch.float32).eval()
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(False)
        parameter.fill_(NORM if name.endswith(("norm.weight", "norm_f.weight")) else 0.0)
    return module


def _block(form: Stock, classes: Any, config: Any, kind: str) -> nn.Module:
    made: nn.Module = getattr(classes, form.moe if kind == "moe" or form.mlp is None else form.mlp)(config)
    return made


def blocks(module: Any) -> list[nn.Module]:
    """What stands in the place of the feed-forward net, layer by layer."""
    return [layer.mlp if hasattr(layer, "mlp") else layer.mixer for layer in module.model.layers]


def save(module: Any, config: Any, folder: Path, what: str) -> None:
    if what == "model":
        with _quietly():
            module.save_pretrained(folder)
        (folder / WEIGHTS).chmod((folder / "config.json").stat().st_mode)
        (folder / "generation_config.json").unlink(missing_ok=True)  # it generates nothing
        return
    from safetensors.torch import save_file

    config.architectures = None
    config.save_pretrained(folder)
    save_file({name: array.contiguous() for name, array in module.state_dict().items()}, folder / WEIGHTS, metadata={"format": "pt"})


def load(form: Stock, folder: Path, sizes: Sizes, what: str, dtype: np.dtype) -> Any:
    """What was written, as anybody would read it."""
    if what == "model":
        with _quietly():
            return transformers().AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **EAGER)
    from safetensors.torch import load_file

    config = transformers().AutoConfig.from_pretrained(folder, **EAGER)
    module = empty(form, config, sizes, what, dtype)
    module.load_state_dict(load_file(folder / WEIGHTS))
    return module


def runner(form: Stock, folder: Path, network: Network, done: Lowered, what: str) -> Run:
    """The files, loaded by transformers and run; routes are what the routers of the class say."""
    made = done.decoder
    module = load(form, folder, done.sizes, what, network.dtype)
    parts = module if what == "block" else blocks(module)
    shown = {stage.layer: block for stage, block in zip(made.stages, parts, strict=True) if stage.layer is not None}

    def run(x: Floats) -> tuple[Floats, Sequence[Indices]]:
        stream = torch.zeros(len(x), 1, made.width, dtype=torch.from_numpy(x[:0]).dtype)
        stream[:, 0, : made.inputs] = torch.from_numpy(np.ascontiguousarray(x))
        if made.one is not None:
            stream[:, 0, made.one] = 1.0
        with torch.no_grad(), _routes(shown) as found:
            if what == "model":
                y = module(inputs_embeds=stream, use_cache=False).logits[:, 0]
            else:
                for block in module:
                    out = block(stream)
                    stream = stream + (out[0] if isinstance(out, tuple) else out)
                y = stream[:, 0, list(made.outputs)]
        nothing = np.zeros((len(x), 1), np.intp)
        dense = [layer.gate is None for layer in network.layers]
        return y.numpy(), [nothing if skip else found[k] for k, skip in enumerate(dense)]

    return run


@contextmanager
def _routes(shown: dict[int, nn.Module]) -> Iterator[dict[int, Indices]]:
    """Layer ↦ what its router chose, by forward hooks."""
    found: dict[int, Indices] = {}
    hooks = []
    for layer, block in shown.items():
        router = getattr(block, "gate", None) or getattr(block, "router", None)
        if router is not None:
            hooks.append(router.register_forward_hook(lambda _module, _x, out, layer=layer: found.update({layer: out[2].numpy().copy()})))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the progress bars of transformers."""
    logging = transformers().utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
