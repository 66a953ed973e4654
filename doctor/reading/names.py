"""Where the MoE layers are, from names and shapes of tensors alone: of a module's state, or of a checkpoint's files.

A router is a weight (E, D), or a chain of such, below a part of a name that is called `gate`, `router`, …; experts stand beside it, below
a part that is called `experts` or the like: either one by one, `experts.0.w1.weight`, or all in one tensor whose first dimension is E.
Published families of models keep to this: Mixtral, OLMoE, Qwen-MoE, DeepSeek, GLM, NemotronH, GptOss, Jamba, Granite, Switch. Where
somebody else does not, patterns say it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import InvalidArgument

Shape = tuple[int, ...]
ROUTERS = ("gate", "router", "gating", "gate_network", "wg", "gates", "routers")
EXPERTS = ("experts", "expert", "input_linear", "output_linear", "local_experts")
CORRECTION = "e_score_correction_bias"
INDEX = re.compile(r"^(?:expert_?)?(\d+)$")
LANES = ("w3", "up_proj", "linear_v")
"""What multiplies the neurons, where a gate projection stands beside it."""
GATED = ("w1", "gate_proj", "gate_up_proj")
MOST_SHOWN = 6


@dataclass(frozen=True)
class Found:
    """The names of one MoE layer's tensors."""

    parent: str
    """What router and experts stand in; "" for the whole."""
    root: str
    """The router's own prefix."""
    weights: tuple[str, ...]
    """Of the router, innermost first."""
    biases: tuple[str | None, ...]
    correction: str | None
    experts: tuple[str, ...]
    """All tensors of experts."""
    count: int
    """E."""
    reads: int
    """What the router reads, D."""
    widths: tuple[int, ...]
    """Hidden widths of an expert; () if they cannot be told."""
    expert_reads: int | None
    lanes: bool
    """Whether experts have product lanes."""


def squeezed(shape: Shape) -> Shape:
    """Without leading ones: a stack of one net is a net."""
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape


def find(shapes: Mapping[str, Shape], router: str | None = None, experts: str | None = None) -> tuple[Found, ...]:
    """All MoE layers.

    Raises `InvalidArgument` where there is none, where patterns are wrong, and where E of router and experts disagree.
    """
    patterns = _pattern("router", router), _pattern("experts", experts)
    roots = _guessed(shapes)
    if patterns[0] is not None:  # it picks some of those that are found by name, or says which they are
        picked = [root for root in roots if any(patterns[0].search(name) for name in _below(shapes, root))]
        sound = [root for root in picked if _experts(shapes, root.rpartition(".")[0], root, patterns[1])]
        roots = sound or _named(shapes, patterns[0])
    found = []
    for root in roots:
        parent = root.rpartition(".")[0]
        beside = _experts(shapes, parent, root, patterns[1])
        chain = _chain(shapes, root)
        if chain is None or (not beside and router is None):
            continue
        if f"{parent}.serves" in shapes and {shapes[name][0] for name in beside} == {1}:
            continue  # one expert for all gate outputs: nothing is chosen
        found.append(_layer(shapes, parent, root, chain, beside, experts is not None))
    if not found:
        matrices = [name for name, shape in shapes.items() if len(squeezed(shape)) == 2]
        shown = ", ".join(matrices[:MOST_SHOWN]) + (f" and {len(matrices) - MOST_SHOWN} more" if len(matrices) > MOST_SHOWN else "")
        said = "no tensor matches" if router is not None else "there is no router with experts beside it"
        raise InvalidArgument(
            f"{said}; matrices are called {shown or '(none)'}; say which are routers and experts with {{router=PATTERN}} and "
            f"{{experts=PATTERN}}"
        )
    return tuple(found)


def _pattern(name: str, text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise InvalidArgument(
            f"{name} {text!r} is no regular expression: {error}; give one like {{{name}=layers\\.\\d+\\.mlp\\.{name}}}"
        ) from error


def _named(shapes: Mapping[str, Shape], pattern: re.Pattern[str]) -> list[str]:
    """Prefixes of what a pattern matches: weights without their last part, parameters as they are."""
    roots = []
    for name, shape in shapes.items():
        if pattern.search(name) and len(squeezed(shape)) == 2:
            roots.append(name.rpartition(".")[0] if name.endswith((".weight", ".kernel")) else name)
    return list(dict.fromkeys(roots))


def _guessed(shapes: Mapping[str, Shape]) -> list[str]:
    roots = []
    for name in shapes:
        parts = name.split(".")
        for k, part in enumerate(parts):
            if part in ROUTERS:
                roots.append(".".join(parts[: k + 1]))
                break
    return list(dict.fromkeys(roots))


def _below(shapes: Mapping[str, Shape], root: str) -> list[str]:
    return [name for name in shapes if name == root or name.startswith(f"{root}.")]


def _chain(shapes: Mapping[str, Shape], root: str) -> tuple[tuple[str, ...], tuple[str | None, ...], str | None] | None:
    """Weights and biases of a router that fit each other, and its correction; None if there are none."""
    names = _below(shapes, root)
    weights = [name for name in names if len(squeezed(shapes[name])) == 2 and CORRECTION not in name and not _is_bias(name)]
    for inner, outer in itertools.pairwise(weights):
        if squeezed(shapes[inner])[0] != squeezed(shapes[outer])[1]:
            return None
    if not weights:
        return None
    biases: list[str | None] = []
    vectors = [name for name in names if CORRECTION not in name and (len(shapes[name]) == 1 or _is_bias(name))]
    for k, weight in enumerate(weights):
        out = squeezed(shapes[weight])[0]
        own = weight.removesuffix("weight") + "bias" if weight.endswith("weight") else ""
        fits = [name for name in vectors if squeezed(shapes[name])[-1] == out]
        biases.append(own if own in fits else fits[min(k, len(fits) - 1)] if len(fits) == len(weights) else None)
    beside = root.rpartition(".")[0]
    correction = next((name for name in shapes if name.endswith(CORRECTION) and name.startswith(f"{beside}." if beside else "")), None)
    return tuple(weights), tuple(biases), correction


def _is_bias(name: str) -> bool:
    return any(part.startswith("bias") for part in name.split("."))


def _experts(shapes: Mapping[str, Shape], parent: str, root: str, pattern: re.Pattern[str] | None) -> tuple[str, ...]:
    inside = f"{parent}." if parent else ""
    names = [name for name in shapes if name.startswith(inside) and name not in _below(shapes, root)]
    if pattern is not None:
        return tuple(name for name in names if pattern.search(name))
    return tuple(name for name in names if name[len(inside) :].split(".")[0] in EXPERTS)


def _layer(
    shapes: Mapping[str, Shape],
    parent: str,
    root: str,
    chain: tuple[tuple[str, ...], tuple[str | None, ...], str | None],
    experts: tuple[str, ...],
    said: bool,
) -> Found:
    weights, biases, correction = chain
    E, D = squeezed(shapes[weights[-1]])[0], squeezed(shapes[weights[0]])[1]
    if said and not experts:
        raise InvalidArgument(
            f"router {root!r}: no tensor in {parent or 'the whole'} matches the pattern of experts; give {{experts=PATTERN}} again"
        )
    inside = len(parent) + 1 if parent else 0
    indices = {number for name in experts if (number := _number(name[inside:])) is not None}
    one_by_one = any(len(shapes[name]) == 2 and not _is_bias(name) for name in experts) and len(indices) > 1
    counted = len(indices) if one_by_one else _common([shapes[name][0] for name in experts if len(shapes[name]) >= 2])
    stored = f"{parent}.serves" if parent else "serves"  # of `to_torch`: equal experts are stored once
    if counted is not None and counted != E and stored not in shapes:
        raise InvalidArgument(
            f"router {root!r} chooses from {E} experts (weight {squeezed(shapes[weights[-1]])}), but {counted} are found beside it; "
            "say which "
            "they are with {experts=PATTERN}, or which the router is with {router=PATTERN}"
        )
    first = [name for name in experts if not one_by_one or _number(name[inside:]) == 0]
    lanes = any(_last(name) in GATED for name in first) and (
        any(_last(name) in LANES for name in first) or any(_last(name) == "gate_up_proj" for name in first)
    )
    widths, reads = _widths([(name, shapes[name] if one_by_one else shapes[name][1:]) for name in first], D)
    return Found(parent, root, weights, biases, correction, experts, E, D, widths, reads, lanes)


def _common(numbers: Sequence[int]) -> int | None:
    return numbers[0] if numbers and len(set(numbers)) == 1 else None


def _last(name: str) -> str:
    """The telling part of a name."""
    parts = [part for part in name.split(".") if part not in ("weight", "bias")]
    return parts[-1] if parts else name


def _number(name: str) -> int | None:
    """Which expert a tensor is of, by the first number in its name below the layer."""
    return next((int(found[1]) for part in name.split(".") if (found := INDEX.match(part))), None)


def _widths(tensors: Sequence[tuple[str, Shape]], D: int) -> tuple[tuple[int, ...], int | None]:
    """Hidden widths, and how many numbers an expert reads: of down projections by their name, else of a chain of maps."""
    matrices = [(name, squeezed(shape)) for name, shape in tensors if len(squeezed(shape)) == 2 and not _is_bias(name)]
    for name, (a, b) in matrices:
        if _last(name) in ("down_proj", "w2", "wo", "output_linear", "linear_2"):
            into = next((s for other, s in matrices if _last(other) in (*GATED, "up_proj", "wi", "input_linear", "linear_1")), None)
            width = b if a == D else a
            reads = D if into is None or D in into else min(into)
            return (width,), reads
    chain = [shape for name, shape in matrices if _last(name) not in LANES]
    fits = all(inner[0] == outer[1] for inner, outer in itertools.pairwise(chain))
    if chain and fits:
        return tuple(shape[0] for shape in chain[:-1]), chain[0][1]
    return (), None
