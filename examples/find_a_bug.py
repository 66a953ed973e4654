"""Runs the fixtures against every mixture-of-experts block of the installed transformers, and prints what passes, fails, or cannot be held.

    python examples/find_a_bug.py                         # all blocks, some minutes
    python examples/find_a_bug.py mixtral nllb_moe        # these modelling folders
    python examples/find_a_bug.py --dtype bfloat16 gpt_oss

A block is built from its own config class, small, and its parameters are filled by their names and shapes. How it weighs experts is found
out on ordinary tokens; every case is then run with those settings, on each of the backends that the block's experts offer. Cases whose
settings a block has no option for cannot be held; whatever remains, passes or fails. docs/fixtures.md says what was found, and which
failures are conventions. Needs `pip install atlasmoe[huggingface]`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import logging
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from atlasmoe import write_fixtures
from torch import nn

Tensors = dict[str, torch.Tensor]
Settings = dict[str, Any]
EXPERTS, DIM, HIDDEN = 16, 48, 40
WEIGHTINGS = ("softmax", "renormalised", "sigmoid", "sigmoid_renormalised", "unscaled")
TOP_K = (4, 2, 1)
PROBE = "tokens_mixed"
"""The case by which it is found out how a block weighs its experts."""
BACKENDS = ("eager", "grouped_mm", "batched_mm")
SIZES = {
    EXPERTS: ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    DIM: ("hidden_size", "d_model", "moe_latent_size"),
    HIDDEN: (
        *("intermediate_size", "moe_intermediate_size", "ffn_hidden_size", "expert_ffn_hidden_size", "d_ff", "moe_hidden_size"),
        *("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size", "share_expert_dim"),
        *("shared_experts_intermediate_size", "encoder_ffn_dim"),
    ),
    1: ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_expert_group"),
}
"""Value ↦ attributes of configs that have it."""
NAMES = {
    "top_k": ("num_experts_per_tok", "moe_topk", "moe_top_k", "moe_k", "top_k_experts"),
    "normalise": ("norm_topk_prob", "route_norm"),
    "scale": ("routed_scaling_factor", "route_scale", "router_scaling_factor", "moe_router_scaling_factor"),
    "groups": ("n_group",),
    "top_groups": ("topk_group",),
    "capacity": ("expert_capacity",),
}
"""Setting ↦ attributes of configs that say it."""
ACTIVATION = ("hidden_act", "mlp_hidden_act", "dense_act_fn", "activation_function")
FIXED = {
    "moe_normalize_expert_weights": None,
    "router_bias": False,
    "dropout_rate": 0.0,
    "moe_token_dropout": 0.0,
    "second_expert_policy": "all",
    "topk_method": "group_limited_greedy",
    "use_expert_bias": True,
    "moe_latent_size": None,
    "router_dtype": "float32",
    "zero_expert_num": 0,
    "moe_eval_capacity_token_fraction": -1.0,
    "shared_expert_combination_strategy": "sum",
    "scoring_func": "sigmoid",
    "swiglu_alpha": 1.702,
}
BY_SOURCE = {"NllbMoeSparseMLP": ("relu", "renormalised", 2), "Llama4TextMoe": ("swiglu", "sigmoid", 1)}
"""What a block is to do, read in its source, where its outputs do not tell."""
LONG = 10**6
CORRECTION = re.compile(r"correction_bias|expert_bias|score_bias")


class CannotHoldError(Exception):
    """Why a block has no such layer."""


@dataclass(frozen=True)
class Block:
    """A class of transformers that holds a router and experts."""

    folder: str
    kind: type[nn.Module]
    configs: tuple[type, ...]

    @property
    def name(self) -> str:
        return self.kind.__name__


def blocks(folders: list[str]) -> Iterator[Block | tuple[str, str]]:
    """Every block of the modelling files, or (folder, why there is none)."""
    root = Path(transformers.__file__).parent / "models"
    for path in sorted(root.glob("*/modeling_*.py")):
        folder = path.parent.name
        if (folders and folder not in folders) or "xperts" not in path.read_text(encoding="utf-8"):
            continue
        try:
            module = importlib.import_module(f"transformers.models.{folder}.{path.stem}")
            settings = importlib.import_module(f"transformers.models.{folder}.{path.stem.replace('modeling', 'configuration')}")
        except ImportError as error:
            yield folder, f"cannot be imported: {error}"
            continue
        configs = tuple(
            c for n, c in vars(settings).items() if n.endswith("Config") and inspect.isclass(c) and c.__module__ == settings.__name__
        )
        for kind in vars(module).values():
            if not (inspect.isclass(kind) and issubclass(kind, nn.Module) and kind.__module__ == module.__name__):
                continue
            source = inspect.getsource(kind)
            holds = re.search(r"self\.\w+ = \w*Experts\(", source) and re.search(r"Router|Gat(e|ing)\(|gate = |router = ", source)
            if holds and not re.search(r"Layer$|Model$|MoA$", kind.__name__):
                yield Block(folder, kind, configs)


def configured(config_class: type, settings: Settings, backend: str) -> Any:
    """A small config, with everything set that it has an attribute for."""
    config = config_class()
    nested = [value for value in vars(config).values() if isinstance(value, transformers.PretrainedConfig)]
    for part in [config, *nested]:
        for size, names in SIZES.items():
            _say(part, names, size)
        for name, value in FIXED.items():
            _say(part, (name,), value)
        for name, attributes in NAMES.items():
            value = settings[name]
            value = {"groups": 1, "top_groups": 1, "capacity": LONG}[name] if value is None else value
            value = float(value) if name == "scale" else value
            _say(part, attributes, value)
        activation = {"swiglu": "silu", "clamped_swiglu": "silu"}.get(settings["activation"], settings["activation"])
        _say(part, ACTIVATION, activation)
        _say(part, ("swiglu_limit",), 7.0 if settings["activation"] == "clamped_swiglu" else float(LONG))
        part._experts_implementation = backend
    return config


def _say(config: Any, names: tuple[str, ...], value: Any) -> None:
    for name in names:
        if hasattr(config, name):
            setattr(config, name, value)


def has(config: Any, setting: str) -> bool:
    nested = [value for value in vars(config).values() if isinstance(value, transformers.PretrainedConfig)]
    return any(hasattr(part, name) for part in (config, *nested) for name in NAMES[setting])


def built(block: Block, settings: Settings, backend: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    """The block and its config. Raises `CannotHoldError` if no config of its folder fits."""
    wanted = inspect.signature(block.kind.__init__).parameters
    said = str(wanted["config"].annotation) if "config" in wanted else ""
    problem: Exception | str = "no config"
    for config_class in sorted(block.configs, key=lambda c: (c.__name__ not in said, "Vision" in c.__name__, "Text" not in c.__name__)):
        try:
            config = configured(config_class, settings, backend)
            extra = {"layer_idx": 1, "layer_id": 1, "ffn_dim": HIDDEN, "intermediate_size": HIDDEN}
            given = {name: extra[name] for name in wanted if name in extra}
            made = block.kind(config, **given).eval()
            if any(EXPERTS in p.shape for p in made.parameters()):
                return made.to(dtype), config
            problem = "its sizes are set by none of the attributes known here"
        except Exception as error:
            problem = error
    raise CannotHoldError(f"cannot be built: {str(problem).splitlines()[0][:90]}")


def fill(block: nn.Module, tensors: Tensors) -> None:
    """Every parameter and buffer by its name and shape. Raises `CannotHoldError` for one that is not known."""
    gated = any(name.endswith("shared_expert_gate.weight") for name, _ in block.named_parameters())
    interleaved = any(getattr(module, "is_concatenated", True) is False for module in block.modules())
    with torch.no_grad():
        for name, place in [*block.named_parameters(), *block.named_buffers()]:
            value = _value(name, tuple(place.shape), tensors, interleaved)
            if value is None:
                raise CannotHoldError(f"parameter {name} {tuple(place.shape)} is none of a router, experts or a shared expert")
            factor = 2.0 if gated and "shared" in name and "down" in name else 1.0  # a gate of sigmoid(0) = 1/2 is undone
            place.copy_(value.reshape(place.shape) * factor)


def _value(name: str, shape: tuple[int, ...], tensors: Tensors, interleaved: bool) -> torch.Tensor | None:
    if CORRECTION.search(name):
        return tensors.get("bias", torch.zeros(EXPERTS))
    if name.endswith("bias") or name == "shared_expert_gate.weight":
        return torch.zeros(shape)
    shared = "shared" in name
    if shared and "shared_up" not in tensors:
        return torch.zeros(shape)
    up, down = (tensors[("shared_" if shared else "") + part] for part in ("up", "down"))
    gate = tensors.get(("shared_" if shared else "") + "gate")
    both = None if gate is None else torch.cat([gate, up], 1)
    if both is not None and interleaved:
        both = torch.stack([gate, up], 2).reshape(both.shape)
    if shared:
        up, down, gate, both = up[0], down[0], None if gate is None else gate[0], None if both is None else both[0]
    elif found := re.search(r"(?:^|\.)(?:expert_)?(\d+)\.", name):
        e = int(found[1])
        up, down, gate, both = up[e], down[e], None if gate is None else gate[e], None if both is None else both[e]
    elif shape == (EXPERTS, DIM) and re.search(r"gate|router|classifier|layer", name):
        return tensors["router"]
    elif shape == (EXPERTS * HIDDEN, DIM):  # experts one below the other
        return {"w1": gate, "v1": up, "w2": down.mT.contiguous()}.get(name.split(".")[-1])
    if re.search(r"down|w2|wo\b|fc2|output_linear", name):
        return next((v for v in (down, down.mT) if v.shape == shape), None)
    if both is not None and re.search(r"gate_up|input_linear|up_gate", name):
        return next((v for v in (both, both.mT) if v.shape == shape), None)
    first = gate if re.search(r"gate|w1\b", name) and gate is not None else up if re.search(r"up|w3|v1|wi\b|fc1|w1\b", name) else None
    return None if first is None else next((v for v in (first, first.mT) if v.shape == shape), None)


@dataclass
class Layer:
    """A block as the function that the fixtures ask for."""

    block: Block
    weighting: str
    top_k: int
    backend: str
    dtype: torch.dtype

    def __call__(self, tensors: Tensors, settings: Settings) -> torch.Tensor:
        """The output. Raises `CannotHoldError`."""
        if "logits" in tensors:
            raise CannotHoldError("takes no logits")
        block, config = built(self.block, settings, self.backend, self.dtype)
        natural = self.weighting in ("renormalised", "sigmoid_renormalised")
        for name, plain in (("normalise", natural), ("scale", 1), ("groups", None), ("capacity", None), ("top_k", self.top_k)):
            if settings[name] != plain and not has(config, name):
                raise CannotHoldError(f"no option for {name}")
        names = [name for name, _ in [*block.named_parameters(), *block.named_buffers()]]
        if settings["bias"] and not any(CORRECTION.search(name) for name in names):
            raise CannotHoldError("no bias that selects")
        if settings["shared"] and not any("shared" in name for name in names):
            raise CannotHoldError("no shared expert")
        fill(block, tensors)
        with torch.no_grad():
            output = block(tensors["x"][None])
        output = output[0] if isinstance(output, tuple) else output
        return output.reshape(-1, output.shape[-1])


class Sets:
    """Sets of fixtures by activation, weighting and top_k, written when they are asked for."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self.folder, self.dtype = folder, dtype
        self.known: dict[tuple[str, str, int, str | None], Any] = {}

    def __call__(self, activation: str, weighting: str, top_k: int, only: str | None = None) -> Any:
        key = (activation, weighting, top_k, only)
        if key not in self.known:
            path = self.folder / "_".join(map(str, (self.dtype, *key)))
            sizes = {"experts": EXPERTS, "dim": DIM, "hidden": HIDDEN, "top_k": top_k}
            write_fixtures(path, cases=only and [only], activation=activation, weighting=weighting, dtype=self.dtype, **sizes)
            spec = importlib.util.spec_from_file_location(path.name, path / "test_moe.py")
            assert spec is not None
            assert spec.loader is not None
            self.known[key] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(self.known[key])
        return self.known[key]


def tried(module: Any, layer: Layer) -> Iterator[tuple[str, str, str]]:
    """(case, "passes", "" or "fails", what or "cannot", why), case by case."""
    for case in module.MANIFEST["cases"]:
        want = module.tensors_of(case)
        given = {name: tensor for name, tensor in want.items() if name not in module.MANIFEST["expected"]}
        try:
            what = module.wrong(case, want, layer(given, case["settings"]))
        except CannotHoldError as error:
            yield case["name"], "cannot", str(error)
        except Exception as error:
            yield case["name"], "fails", f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
        else:
            yield case["name"], "fails" if what else "passes", what


def ways(block: Block, sets: Sets, dtype: torch.dtype) -> tuple[str, str, int] | str:
    """The activation, weighting and top_k with which ordinary tokens come out right, or why none is found."""
    if block.name in BY_SOURCE:
        return BY_SOURCE[block.name]
    why = ""
    for top_k in TOP_K:
        for activation in ("swiglu", "clamped_swiglu", "relu"):
            for weighting in WEIGHTINGS:
                module = sets(activation, weighting, top_k, PROBE)
                _, result, what = next(tried(module, Layer(block, weighting, top_k, "eager", dtype)))
                if result == "passes":
                    return activation, weighting, top_k
                if what.startswith("cannot be built"):
                    return what
                why = why or (what if result == "cannot" else f"{PROBE} fails with every weighting and activation that is tried")
    return why


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="*", help="modelling folders of transformers, all if none is given")
    parser.add_argument("--dtype", default="float32")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    dtype = getattr(torch, asked.dtype)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {asked.dtype}\n")
    print("| block | weights | backend | passes | fails | has another convention | cannot hold |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        sets, exact = Sets(Path(folder), asked.dtype), Sets(Path(folder), "float32")
        for block in blocks(asked.folders):
            if isinstance(block, tuple):
                print(f"| {block[0]} | | | | | | all: {block[1]} |")
                continue
            way = ways(block, exact, torch.float32)  # in 16 bits sigmoids may pass for a softmax
            if isinstance(way, str):
                print(f"| {block.name} | | | | | | all: {way} |", flush=True)
                continue
            report(block, *way, sets, dtype)


def report(block: Block, activation: str, weighting: str, top_k: int, sets: Sets, dtype: torch.dtype) -> None:
    """A row for the eager backend, and one for each other that says something else."""
    before = None
    module = sets(activation, weighting, top_k)
    kinds = {case["name"]: case["kind"] for case in module.MANIFEST["cases"]}
    for backend in BACKENDS:
        found = list(tried(module, Layer(block, weighting, top_k, backend, dtype)))
        if backend != "eager" and found == before:
            continue
        before = found
        passes = {name for name, result, _ in found if result == "passes"}
        failed = {name: f"{name} ({what})" for name, result, what in found if result == "fails"}
        ways = (
            {"groups_top2", "groups_max"} if passes & {"groups_top2", "groups_max"} else set()
        )  # of two ways to rank groups a block has one
        differs = [name for name in failed if kinds[name] == "convention" or name in ways]
        fails = [text for name, text in failed.items() if name not in differs]
        cannot = sorted({why for _, result, why in found if result == "cannot"})
        way = f"{activation}, {weighting}, top {top_k}"
        columns = (block.name, way, backend, len(passes), "; ".join(fails), ", ".join(differs), "; ".join(cannot))
        print("| " + " | ".join(map(str, columns)) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
