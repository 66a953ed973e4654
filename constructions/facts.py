"""What a model card says beside the ledger, as JSON: which theorem, how large, what was tried."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..moe.network import Network
from . import relay
from .works import Works

BY_NAME = ("5.3", "N15", "N18", "dense", "chen")
"""What blocks of a graph are built by, if not by a theorem on charts."""


def of(works: Works, network: Network, epsilon: float) -> dict[str, Any]:
    """The facts of a task on one manifold name its router; those of a graph count its pieces."""
    widths = [made.width for made in works.built.values()]
    widths += [w for made in works.combines.values() for w in made.net.widths]
    common: dict[str, Any] = {
        "epsilon": epsilon,
        "requested": "width" if works.planned is None else "epsilon",
        "seed": works.seed,
        "form": works.form,
        "experts": sum(len(made.experts) for made in works.built.values()),
        "m": max(widths),
        "true_width": widest(network),
        "parameters": network.parameters,
        "active_parameters": network.active_parameters,
    }
    if asked := _neurons(works):
        common["neurons"] = {"asked": asked, "experts": made_of(works)}
    if variants := {name: chosen for name in works.built if (chosen := works.choices.blocks[name].variants)}:
        common["variants"] = variants
    if shared := {name: made.facts["shared"] for name, made in works.built.items() if "shared" in made.facts}:
        common["shared"] = shared
    if stored := {name: made.facts["stored"] for name, made in works.built.items() if "stored" in made.facts}:
        common["stored"] = stored
    if tried := [vars(one) for made in works.built.values() for one in made.tried]:
        common["tried"] = tried
    return common | (_one(works) if works.assembly.alone else _several(works, network))


def _neurons(works: Works) -> dict[str, dict[str, Any]]:
    """Block ↦ the activation and lanes that it was asked to have, of those that are not the theorem's own."""
    choices = {name: works.choices.blocks[name] for name in works.built}
    return {
        name: {"activation": choice.activation, "gated": choice.gated}
        for name, choice in choices.items()
        if choice.activation != "relu" or choice.gated
    }


def made_of(works: Works) -> dict[str, dict[str, int]]:
    """Block ↦ how many neurons of each kind its experts have in all."""
    found: dict[str, dict[str, int]] = {}
    for name, made in works.built.items():
        counts = found.setdefault(name, {})
        for net in made.experts:
            for groups, up in zip(net.groups, net.ups, strict=True):
                for group in groups:
                    kind = f"{'gated ' if up is not None else ''}{group.activation.name}"
                    counts[kind] = counts.get(kind, 0) + group.count
    return found


def _one(works: Works) -> dict[str, Any]:
    (made,) = works.built.values()
    return {
        **{key: value for key, value in made.facts.items() if key not in ("m", "shared", "stored")},
        "theorem": made.theorem,
        "why": made.why,
    }


def _several(works: Works, network: Network) -> dict[str, Any]:
    graph = works.graph
    used = sorted({made.theorem if made.theorem in BY_NAME else "5.2" for made in works.built.values()})
    return {
        "theorem": " and ".join(used),
        "routing": "graph",
        "depth": len(network.layers),
        "depth_kind": works.choices.depth,
        **_handed_on(works),
        "pieces": graph.pieces,
        "blocks": {block.name: len(block) for block in graph.blocks},
        "subtasks": graph.subtasks,
        "routers": {name: made.router for name, made in works.built.items()},
        "nonzero": nonzero(network),
    }


def _handed_on(works: Works) -> dict[str, Any]:
    """Block ↦ whose layer writes its scores; and of those that have a layer of their own, why (N7)."""
    if not works.turns:
        return {}
    scored = {name for name, made in works.built.items() if made.scores is not None}
    apart = {turn.title: turn.apart for turn in works.turns if turn.apart is not None}
    return {"scores": {"shared": relay.handed(works.turns, scored), "layers": apart}}


def widest(network: Network) -> int:
    """The widest hidden layer of any expert."""
    return max((width for layer in network.layers for net in layer.experts for width in net.widths), default=0)


def nonzero(network: Network) -> int:
    """Numbers of the network that are not 0: in paper form what carries channels is an identity among zeros."""
    affines = [affine for layer in network.layers for net in layer.nets for affine in net.affines]
    return int(sum(np.count_nonzero(a.weight) + np.count_nonzero(a.bias) for a in affines))
