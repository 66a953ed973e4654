"""`Weights.v`: the network in Coq, every stored number exactly, tensor by tensor under the names of model.safetensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...errors import InvalidArgument
from ...moe.layer import MoELayer, Weighting
from ...moe.nets import Affine, Net
from ...moe.network import Network
from .numbers import block, comment, naturals

ACTIVATIONS = {"identity": "Identity", "relu": "Relu", "relu2": "Relu2", "silu": "Silu", "gelu_tanh": "GeluTanh"}
"""Activations ↦ what `Semantics.v` calls them."""
HEAD = """(* The weights exactly as in model.safetensors: (m, e) is m·2^e.
   `atlasmoe prove FOLDER -o . --read-back` holds this file against model.safetensors and config.json. *)
From Coq Require Import ZArith List.
From AtlasMoE Require Import Semantics.
Import ListNotations.
Open Scope Z_scope.
"""


def weights(network: Network, task: str, graph: bool = False) -> str:
    """The file; of a graph several experts are followed in any layer.

    Raises `InvalidArgument` for parts of a network that `Semantics.v` has no word for or the checker no rule, by name.
    """
    lines = [comment(task), HEAD]
    arriving = len(network.inputs)
    for number, layer in enumerate(network.layers):
        _followed(number, layer, number + 1 == len(network.layers) or graph)
        lines += _layer(number, layer, arriving)
        arriving = len(layer.channels)
    lines.append(f"Definition network : list (layer (block dyadic)) := [{'; '.join(f'layer_{n}' for n in range(len(network.layers)))}].")
    return "\n".join(lines) + "\n"


def _followed(number: int, layer: MoELayer, several: bool) -> None:
    where = f"layer {number + 1} of the network"
    if layer.weighting is Weighting.RECTIFIED:
        raise InvalidArgument(f"{where} has rectified weights (N18), which the proof in Coq does not follow; softmax and uniform it does")
    if layer.top_k > 1 and not several:
        problem = "takes several experts and is not the last one (N15)"
        raise InvalidArgument(f"{where} {problem}, which the proof in Coq does not follow; several experts it follows in the last layer")
    for net in layer.nets:
        for groups in net.groups:
            for group in groups:
                if group.activation.name not in ACTIVATIONS:
                    known = ", ".join(ACTIVATIONS)
                    remedy = "; compile with activation gelu_tanh, which needs no error function" if group.activation.name == "gelu" else ""
                    raise InvalidArgument(f"{where} has neurons with {group.activation.name}, the proof in Coq follows {known}{remedy}")


def _layer(number: int, layer: MoELayer, arriving: int) -> Iterator[str]:
    parts: dict[str, Net] = {}
    if layer.gate is not None:
        parts["gate"] = layer.gate
    if layer.shared is not None:
        parts["shared"] = layer.shared
    parts |= {f"experts.{k}": net for k, net in enumerate(layer.experts)}
    for part, net in parts.items():
        yield from _net(f"layers.{number}.{part}", net, part == "gate")
    if layer.latent is not None:
        yield _block(f"layers.{number}.latent", layer.latent)
    every = tuple(range(arriving))
    sees, reads = (every if chosen is None else chosen for chosen in (layer.sees, layer.reads))
    written = {target: k for k, target in enumerate(layer.targets.tolist())}
    leaving = (f"({_option(s if s >= 0 else None)},{_option(written.get(c))})" for c, s in enumerate(layer.sources.tolist()))
    latent = "None" if layer.latent is None else f"(Some {_name(f'layers.{number}.latent')})"
    yield (
        f"Definition layer_{number} : layer (block dyadic) := Layer\n"
        f"  {_maybe(number, 'gate', parts)} {naturals(sees if layer.gate is not None else ())}\n"
        f"  [{'; '.join(_name(f'layers.{number}.experts.{k}') for k in range(len(layer.experts)))}]\n"
        f"  {naturals(layer.serves)} {naturals(reads)} {latent} {_maybe(number, 'shared', parts)}\n"
        f"  [{';'.join(leaving)}]%nat {layer.top_k}%nat {str(layer.weighting).capitalize()}.\n"
    )


def _option(value: int | None) -> str:
    return "None" if value is None else f"Some {value}"


def _maybe(number: int, part: str, parts: dict[str, Net]) -> str:
    return f"(Some {_name(f'layers.{number}.{part}')})" if part in parts else "None"


def _name(place: str) -> str:
    return place.replace(".", "_")


def _block(place: str, affine: Affine) -> str:
    rows, columns = affine.weight.shape
    return f"(* {place} {rows}x{columns} *)\nDefinition {_name(place)} : block dyadic := {block(affine.weight, affine.bias)}.\n"


def _net(place: str, net: Net, gate: bool) -> Iterator[str]:
    """The maps of a net, each a definition, and the net that they make."""
    plain = gate and len(net.affines) == 1
    maps = [place if plain else f"{place}.affines.{j}" for j in range(len(net.affines))]
    if plain:
        maps = [f"{place}.map"]
        yield _block(maps[0], net.affines[0]).replace(f"(* {place}.map ", f"(* {place} ", 1)
    else:
        yield from (_block(name, affine) for name, affine in zip(maps, net.affines, strict=True))
    hidden = []
    for j, (groups, up) in enumerate(zip(net.groups, net.ups, strict=True)):
        if up is not None:
            yield _block(f"{place}.ups.{j}", up)
        lanes = "None" if up is None else f"(Some {_name(f'{place}.ups.{j}')})"
        hidden.append(f"Hidden {_name(maps[j])} {_activations([(group.activation.name, group.count) for group in groups])} {lanes}")
    yield f"Definition {_name(place)} : net (block dyadic) := ([{'; '.join(hidden)}], {_name(maps[-1])}).\n"


def _activations(groups: Sequence[tuple[str, int]]) -> str:
    """The activation of every neuron."""
    return "(" + " ++ ".join(f"repeat {ACTIVATIONS[name]} {count}" for name, count in groups) + ")%list" if groups else "[]"
