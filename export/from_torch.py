"""`from_torch`: a module of `to_torch` that was fine-tuned, rounded or ablated, as a model again that `verify` and `certify` accept.

The weights are the module's, everything else is as it was compiled: wires, names, budgets. A certificate is about weights; so are the
bounds in a ledger. Of a module that was changed nothing is taken over: every claim is there with its budget, and unknown, until `verify`
measures it or `certify` proves it; the total is measured here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch

from ..atlas import ManifoldTask, TaskGraph
from ..atlas.graph import as_graph
from ..errors import InvalidArgument
from ..moe import Claim, Known, Ledger, Model, MoELayer, Network
from ..moe.layout import tensors
from .nets import experts_of, map_of, net_of
from .torch_layer import MoE, placement
from .torch_module import AtlasMoE

SAMPLES = 1 << 14
"""Points of the domain at which the error of a changed module is measured."""
CHANGED = "the weights were changed after they were compiled, so what was known of them says nothing: run verify, or certify"


def from_torch(module: AtlasMoE, of: Model | ManifoldTask | TaskGraph) -> Model:
    """The model whose network computes what the module computes; `of` is the model that went into `to_torch`, or its task.

    A module that was not changed, given its model, comes back as that model, with all that is known of it. Otherwise the ledger says of
    every claim that it is unknown, and of |f − Ψ| what the largest error at SAMPLES points is; `facts["changed"]` says that, and by how
    much where a model was given. Weights in bfloat16 or float16 become float32 numbers with the same values: what is then proved is
    about the rounded weights in float32 arithmetic. Neurons of padding that were given weights become neurons of their experts.

    Hooks are no weights: what they patch is not taken over, and a module with hooks inside is refused.

    Raises `InvalidArgument` for a module that is no `AtlasMoE`, that was made of a bare network if no model is given, or of another
    network than the model's; with hooks; or with weights that are not finite.
    """
    if not isinstance(module, AtlasMoE):
        raise InvalidArgument(f"{type(module).__name__} is no module of to_torch; load its state_dict into to_torch(model) first")
    for number, layer in enumerate(module.stack, 1):
        if layer.watch.hooked:
            raise InvalidArgument(
                f"layer {number} has hooks, which are no weights: remove them (handle.remove()), and change weights in place"
            )
    network = network_of(module)
    if isinstance(of, Model):
        _require_same(network, of.network)
        if _largest(network, of.network) == 0:
            return of
        task, compiled = of.task, (of.facts, of.design, of.ledger)
    elif module.origin is None:
        raise InvalidArgument("the module was made of a network, whose design it does not know: give from_torch the model, not its task")
    else:
        task, compiled = of, module.origin
    facts, design, ledger = compiled
    changed = {"by": "from_torch", "largest": _largest(network, of.network) if isinstance(of, Model) else None}
    kept = {key: value for key, value in facts.items() if key != "proof"}
    numbers = {"parameters": network.parameters, "active_parameters": network.active_parameters}
    found = {**kept, **{key: value for key, value in numbers.items() if key in kept}, "changed": changed}
    return Model(network, Ledger(_measured(ledger.root, network, task)), task, found, design)


def network_of(module: AtlasMoE) -> Network:
    """The network that a module computes, in float64 if any of its weights are, else in float32. Raises `InvalidArgument` for weights
    that are not finite.
    """
    parameters = dict(module.named_parameters())
    for name, weight in parameters.items():
        if weight.is_meta:
            raise InvalidArgument(f"{name} is on no device and has no numbers; load_state_dict(…, assign=True) gives it some")
        if not bool(torch.isfinite(weight).all()):
            raise InvalidArgument(f"{name} holds numbers that are not finite; there is nothing to prove of such a network")
    dtype = np.float64 if any(weight.dtype == torch.float64 for weight in parameters.values()) else np.float32
    return Network(tuple(_intact(number, layer) for number, layer in enumerate(module.stack, 1)), module.stored).astype(dtype)


def _intact(number: int, layer: MoE) -> MoELayer:
    """A layer whose parts are those that it was made with, but for their numbers. Raises `InvalidArgument` for any other."""
    try:
        found = _layer(layer)
        wrong = _moved(layer, found)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        wrong = f"its parts do not fit each other ({str(error)[:120]})"
    if wrong:
        raise InvalidArgument(f"layer {number} is no longer as to_torch made it: {wrong}; load its state_dict into to_torch(model)")
    return found


def _moved(layer: MoE, found: MoELayer) -> str:
    """Which of its wires or activations are others than those of the layer that it says it is; nothing if none are."""
    wires = {"serves": found.serves, "reads": found.reads, "sees": found.sees, **placement(found)}
    for name, numbers in wires.items():
        there = getattr(layer, name)
        if (there is None) != (numbers is None) or (there is not None and there.tolist() != np.asarray(numbers).tolist()):
            return f"its {name} were changed"
    if [expert.number for expert in layer.each] != list(found.serves):
        return "its serves were changed"
    for expert in layer.each:
        for j, (stacked, bends) in enumerate(zip(layer.experts.maps, found.experts[expert.number].activations, strict=False)):
            names = np.repeat([name for _, name in stacked.bend], [rows.stop - rows.start for rows, _ in stacked.bend])[expert.rows[j]]
            own = np.concatenate([np.repeat(activation.name, rows.stop - rows.start) for rows, activation in bends] or [names])
            if names.tolist() != own[: len(names)].tolist():
                return f"activations of {expert.name!r} were changed"
    return ""


def _layer(layer: MoE) -> MoELayer:
    wires = cast(dict[str, Any], layer.wires)
    return MoELayer(
        gate=None if layer.router is None else net_of(layer.router),
        experts=experts_of(layer.experts, list(layer.each)),
        serves=tuple(layer.serves.tolist()),
        names=layer.names,
        channels=layer.stored,
        shared=None if layer.shared is None else net_of(layer.shared),
        top_k=layer.top_k,
        weighting=layer.weighting,
        latent=None if layer.latent is None else map_of(cast(torch.nn.Linear, layer.latent)),
        **wires,
    )


def _require_same(network: Network, compiled: Network) -> None:
    """Raises `InvalidArgument` unless both have the same wires and names."""

    def wires(one: Network) -> list[object]:
        parts = ("names", "channels", "serves", "reads", "writes", "carries", "sees", "top_k", "weighting")
        return [one.inputs, *([getattr(layer, part) for part in parts] for layer in one.layers)]

    for mine, theirs in zip(wires(network), wires(compiled), strict=False):
        if mine != theirs:
            raise InvalidArgument(f"the module is not made of this model: it has {str(mine)[:120]}, the model {str(theirs)[:120]}")
    if len(network.layers) != len(compiled.layers):
        raise InvalidArgument(
            f"the module is not made of this model: it has {len(network.layers)} layers, the model {len(compiled.layers)}"
        )


def _largest(network: Network, compiled: Network) -> float:
    """The largest change of a weight; ∞ where shapes or dtypes differ."""
    mine, theirs = tensors(network), tensors(compiled)
    if network.dtype != compiled.dtype or {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in theirs.items()}:
        return np.inf
    return max(float(np.abs(mine[key] - theirs[key]).max(initial=0)) for key in mine)


def _measured(root: Claim, network: Network, task: ManifoldTask | TaskGraph) -> Claim:
    """The total, measured; unknown where nobody can evaluate f. Below it all claims, unknown."""
    total = _unknown(root)
    try:
        points = as_graph(task).sample(SAMPLES, 0, low_discrepancy=True)
        truth = as_graph(task).evaluate(points)
    except InvalidArgument as why:
        return replace(total, note=f"{CHANGED} ({why})")
    error = as_graph(task).largest(network(points.astype(network.dtype)) - truth)
    worst = int(error.argmax())
    bound = float(error[worst])
    known = Known.SAMPLED if bound <= root.budget else Known.REFUTED
    return replace(total, bound=bound, known=known, samples=len(points), witness=tuple(points[worst].tolist()))


def _unknown(claim: Claim) -> Claim:
    """The claim with its budget and nothing known."""
    below = tuple(map(_unknown, claim.children))
    return replace(claim, bound=np.nan, known=Known.UNKNOWN, samples=None, witness=None, children=below, note=CHANGED)
