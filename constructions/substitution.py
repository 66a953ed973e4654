"""`substitute`: a compiled ReLU network in the form of another activation, for those who must have it so (N21).

Statement. Let a be GELU, its tanh form, or SiLU, and c = sup |a − σ|. In a two-layer net Σ A_j·σ(z_j) + b every σ(z) becomes a(β·z)/β, and
b gets the shift c·ΣA_j/(2β): then the output moves by at most c·Σ|A_j|/(2β). β is a power of two, so scaling rounds nothing. Deeper nets
follow by composition (`sensitivity`), each hidden layer with a β of its own; so do softmax weights of several experts, where logits
move. What is carried moves by nothing, in real arithmetic because a(z) − a(−z) = z, and as numbers because carried channels are taken
beside the experts (N8). Gates that read what is not moved route as before; scores that are moved stay as near to what they follow as was
promised.

It is no way to get a good network: a mixture whose experts were fitted with smooth neurons is smaller by far, and not steep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil, log2

import numpy as np

from ..atlas.graph import as_graph
from ..atlas.relative import absolute_epsilon
from ..errors import EpsilonNotReached, InvalidArgument
from ..moe.activations import ACTIVATIONS, RELU, Activation
from ..moe.design import Design, Site
from ..moe.ledger import Claim, Known, Ledger
from ..moe.model import Model
from ..moe.network import Affine, MoELayer, Net, Network, Weighting
from ..moe.opened import one_target, opened
from .built import prefixed
from .fresh import fresh_errors
from .ledger import points_of
from .sensitivity import Moved, Slot, moved, nets_of, relu_of, slots_of
from .shares import ROUNDING_SHARE

TAKES = tuple(name for name, one in ACTIVATIONS.items() if 0 < one.gap < np.inf)
"""Activations that can take the place of σ."""
DEFAULT_SHARE = 1 / 16
"""Of the model's ε, what the substitution may move its output by if nothing is said."""
SCORES_SHARE = 0.5
"""Of what scores may still be off by, what they are moved by at most."""
CHUNK = 1 << 12


def substitute(model: Model, activation: str, *, epsilon: float | str | None = None) -> Model:
    """The model with `activation` ("gelu", "gelu_tanh" or "silu") in the place of every σ; |Ψ̃ − Ψ| ≤ `epsilon` along the same routes.

    `epsilon` may be a part of what the target ranges over, "1%"; without it, it is a sixteenth of the model's own. The result's ε is the
    sum of both, its ledger has the claim `substitution`, and all claims of the ReLU model below it. Nothing that was proved of the model
    is proved of the result: certify it. Raises `InvalidArgument` for networks with nothing to substitute, or whose gates, lanes or weights
    no formula here bounds; `EpsilonNotReached` where the dtype has not the digits.
    """
    model = one_target(opened(model, "substitute"), "substitute")
    if activation not in TAKES:
        raise InvalidArgument(f"activation {activation!r} cannot take the place of ReLU neurons; use one of {', '.join(TAKES)}")
    taken = ACTIVATIONS[activation]
    if epsilon is None:
        epsilon = DEFAULT_SHARE * model.ledger.root.budget
    epsilon = absolute_epsilon(epsilon, model.task)
    _require_formula(model.network)
    network, design = carried_beside(model.network, model.design)
    rooms = {site.layer: room for site in design.sites if (room := _room(model, site)) is not None}
    near = {site.layer: model.ledger.root.budget if site.budget is None else site.budget for site in design.sites if not site.either}
    steepness = _steepness(network, taken, epsilon, rooms, near)
    gaps = {slot: taken.gap / beta for slot, beta in steepness.items()}
    far = moved(network, gaps, near)
    _require_routes(design, far, rooms)
    made = Network(tuple(_layer(layer, n, taken, steepness) for n, layer in enumerate(network.layers)), network.inputs)
    design = replace(design, sites=tuple(_site(site, design, far) for site in design.sites), joins=design.joins)
    claim = _claim(model, made, far, taken, steepness, epsilon)
    total = _total(model, made, claim, epsilon)
    facts = {**model.facts, "epsilon": total.budget, "form": design.form, "parameters": made.parameters}
    facts |= {"active_parameters": made.active_parameters}
    facts["substituted"] = {"activation": activation, "epsilon": epsilon, "beta": {str(slot): beta for slot, beta in steepness.items()}}
    return Model(made, Ledger(total), model.task, facts, design)


def _require_formula(network: Network) -> None:
    """Refuse what no formula bounds."""
    if not any(True for _ in slots_of(network)):
        raise InvalidArgument("the network has no ReLU neurons that another activation could take the place of")
    for number, layer in enumerate(network.layers, 1):
        if layer.weighting is Weighting.RECTIFIED:
            raise InvalidArgument(f"layer {number} weighs its experts by rectified logits, which no substitution here follows")
        for net in (*nets_of(layer, True), *nets_of(layer, False)):
            if any(up is not None and relu_of(net, j).any() for j, up in enumerate(net.ups)):
                raise InvalidArgument(
                    f"layer {number} has ReLU neurons in product lanes, whose error what they are multiplied with makes larger; "
                    'compile experts of smooth lanes, activation "silu"'
                )


def _room(model: Model, site: Site) -> float | None:
    """How far the logits of a site may move; None where nothing says it."""
    prefix = "" if model.design.alone else f"block[{site.block}]."
    names = {"routing.tau", "routing.eta"}
    found = [claim for claim in model.ledger if claim.name in {prefix + name for name in names}]
    return min((claim.slack for claim in found), default=None) if site.promise is not None else None


def _steepness(
    network: Network, taken: Activation, epsilon: float, rooms: Mapping[int, float], near: Mapping[int, float]
) -> dict[Slot, float]:
    """β of every slot: each takes an equal part of what the output, and every gate that reads what it moves, may be off by."""
    slots = list(slots_of(network))
    alone = {slot: moved(network, {slot: taken.gap}, near) for slot in slots}
    needs: dict[Slot, list[float]] = {slot: [0.0] for slot in slots}

    def share(effect: Mapping[Slot, float], allowed: float) -> None:
        count = sum(value > 0 for value in effect.values())
        for slot, value in effect.items():
            needs[slot].append(count * value / allowed)

    share({slot: float(far.states[-1].max()) for slot, far in alone.items()}, (1 - ROUNDING_SHARE) * epsilon)
    for layer, room in rooms.items():
        share({slot: float(far.logits[layer].max()) for slot, far in alone.items()}, max(SCORES_SHARE * room, np.finfo(float).tiny))
    return {slot: 2.0 ** ceil(log2(max(*need, 2.0**-20))) for slot, need in needs.items()}


def _require_routes(design: Design, far: Moved, rooms: Mapping[int, float]) -> None:
    """Refuse where logits move and nothing says that they may."""
    for site in design.sites:
        off = float(far.logits[site.layer].max())
        if off == 0 or off <= rooms.get(site.layer, 0.0):
            continue
        what = f'block "{site.block}": its logits would move by {off:.3g}'
        if site.promise is None and site.router in ("intervals", "hinge"):
            raise InvalidArgument(
                f"{what}, and scores of {'faces' if site.router == 'intervals' else 'half-spaces'} are exact or nothing; "
                'compile it with affine scores, depth "L"'
            )
        raise InvalidArgument(f"{what}, and nothing says that it may; a smaller epsilon does not help where a gate reads computed values")


def _layer(layer: MoELayer, number: int, taken: Activation, steepness: Mapping[Slot, float]) -> MoELayer:
    """One layer, with its neurons replaced."""

    def of(net: Net | None, gate: bool) -> Net | None:
        if net is None:
            return None
        return substituted(net, taken, [steepness.get(Slot(number, gate, j), 1.0) for j in range(len(net.groups))])

    experts = tuple(net for expert in layer.experts if (net := of(expert, False)) is not None)
    return replace(layer, gate=of(layer.gate, True), experts=experts, shared=of(layer.shared, False))


def substituted(net: Net, taken: Activation, steepness: Sequence[float]) -> Net:
    """The net with a(β·z)/β for every σ(z), hidden layer j with β = steepness[j], and the middle of what that moves taken back."""
    maps = [map_.astype(float) for map_ in net.affines]
    groups = []
    for j, beta in enumerate(steepness):
        relu = relu_of(net, j)
        rows, weight = np.where(relu, beta, 1.0), maps[j + 1].weight
        shift = taken.gap / (2 * beta) * weight[:, relu].sum(1)
        maps[j] = Affine(maps[j].weight * rows[:, None], maps[j].bias * rows, maps[j].linear)
        maps[j + 1] = Affine(weight / rows, maps[j + 1].bias + shift, maps[j + 1].linear and not shift.any())
        groups.append(
            tuple(
                replace(group, activation=taken, origin=f"{group.origin}; {taken.symbol}(β·z)/β, β = {beta:g} (N21)")
                if group.activation is RELU
                else group
                for group in net.groups[j]
            )
        )
    return Net(tuple(map_.astype(net.dtype) for map_ in maps), tuple(groups), net.ups)


def _site(site: Site, design: Design, far: Moved) -> Site:
    """What is said of a site once its values and logits have moved."""
    off, promise = float(far.logits[site.layer].max()), site.promise
    if promise is not None and promise.balls and off > 0:
        promise = replace(promise, delta=promise.delta + off)
    last = site.layer == len(far.own) - 1
    known = site.budget is not None and (design.alone or not last)
    budget = site.budget + float(far.own[site.layer].max()) if known and site.budget is not None else None
    return replace(site, promise=promise, budget=budget)


def _claim(model: Model, made: Network, far: Moved, taken: Activation, steepness: Mapping[Slot, float], epsilon: float) -> Claim:
    """|Ψ̃ − Ψ| ≤ ε′, by the formula and as measured."""
    points, read = points_of(as_graph(model.task), made.dtype, int(model.facts.get("seed", 0)) + 7)
    gaps, size = [], 0.0
    for start in range(0, len(read), CHUNK):
        part = read[start : start + CHUNK]
        trace = made.trace(part)
        before = model.network.trace(part, trace.chosen).output.astype(float)
        with np.errstate(invalid="ignore"):
            gaps.append(np.abs(trace.output.astype(float) - before).max(1))
        size = max(size, float(np.abs(before).max(initial=0.0)))
    gap = np.concatenate(gaps)
    gap = np.where(np.isnan(gap), np.inf, gap)
    worst = int(gap.argmax())
    measured = Claim(
        "substitution.measured",
        f"|Ψ̃ − Ψ| in {made.dtype} along the same routes",
        "N21, R9",
        epsilon,
        float(gap[worst]),
        Known.SAMPLED,
        samples=len(gap),
        witness=tuple(map(float, points[worst])),
    )
    # The share for rounding has to hold one rounding of the output at least.
    least = max(measured.bound, float(np.finfo(made.dtype).eps) / 2 * size / ROUNDING_SHARE)
    if not least <= epsilon:
        raise EpsilonNotReached(
            f"substitution (|Ψ̃ − Ψ| in {made.dtype})",
            budget=epsilon,
            reached=least,
            width=max(max((0, *net.widths)) for layer in made.layers for net in layer.nets),
            remedy=f"allow {least:.3g} or more, or substitute in a model of {{dtype=float64}}",
        )
    betas = ", ".join(f"{slot}: 2^{int(log2(beta))}" for slot, beta in steepness.items())
    return Claim(
        "substitution",
        f"|Ψ̃ − Ψ| ≤ ε′ along the same routes, in real arithmetic: {taken.symbol}(β·z)/β for σ(z), c = {taken.gap:.8g}, c·Σ|A|/(2β) a layer",
        "N21",
        (1 - ROUNDING_SHARE) * epsilon,
        float(far.states[-1].max()),
        Known.FORMULA,
        children=(measured,),
        note=f"β by {betas}",
    )


def _total(model: Model, made: Network, claim: Claim, epsilon: float) -> Claim:
    """|f − Ψ̃| ≤ ε + ε′ on fresh points."""
    before = model.ledger.root
    errors, ambient = fresh_errors(model, made, 15485867)
    error = errors.max(1)
    worst = int(error.argmax())
    return Claim(
        "total",
        f"{before.statement.replace('Ψ', 'Ψ̃')}, ε that of the ReLU network and ε′ = {epsilon:.3g} more",
        f"N21, {before.source}",
        before.budget + epsilon,
        float(error[worst]),
        Known.SAMPLED,
        samples=len(error),
        witness=tuple(map(float, ambient[worst])),
        children=(claim, prefixed(before, "relu")),
    )


def carried_beside(network: Network, design: Design) -> tuple[Network, Design]:
    """The same function with what passes a layer carried beside its experts (N8), and its design; as it is, if that is so already.

    Raises `InvalidArgument` for an expert that does not carry what the design says passes it.
    """
    layers = []
    for number, layer in enumerate(network.layers):
        place, leaving = design.places[number], design.states[number + 1]
        sources = [place.get(channel, -1) for channel in leaving]
        inside = [k for k, source in enumerate(sources) if source >= 0 and layer.sources[k] < 0]
        if not inside:
            layers.append(layer)
            continue
        kept = [n for n, target in enumerate(layer.targets.tolist()) if target not in inside]
        for net in layer.experts:
            _require_carried(net, layer, [sources[k] for k in inside], inside, number)
        experts = tuple(without(net, kept) for net in layer.experts)
        shared = None if layer.shared is None else without(layer.shared, kept)
        writes = tuple(int(layer.targets[n]) for n in kept)
        layers.append(replace(layer, experts=experts, shared=shared, writes=writes, carries=tuple(sources)))
    return Network(tuple(layers), network.inputs), replace(design, form="residual")


def _require_carried(net: Net, layer: MoELayer, sources: Sequence[int], targets: Sequence[int], number: int) -> None:
    x = np.random.default_rng(number).normal(size=(8, net.inputs)).astype(net.dtype)
    reads = list(range(net.inputs)) if layer.reads is None else list(layer.reads)
    out = net(x)
    for source, target in zip(sources, targets, strict=True):
        column = layer.targets.tolist().index(target)
        if (
            layer.shared is not None
            or layer.latent is not None
            or source not in reads
            or not np.array_equal(out[:, column], x[:, reads.index(source)])
        ):
            raise InvalidArgument(
                f"layer {number + 1} does not carry the channel {layer.channels[target]!r} unchanged; nothing is substituted"
            )


def without(net: Net, outputs: Sequence[int]) -> Net:
    """These outputs of a net, and the neurons that they depend on."""
    maps = [*net.affines[:-1], Affine(net.affines[-1].weight[list(outputs)], net.affines[-1].bias[list(outputs)])]
    groups, ups = list(net.groups), list(net.ups)
    for j in range(len(groups) - 1, -1, -1):
        used = np.array(maps[j + 1].weight.any(0), bool)
        used[0] |= not used.any()
        maps[j + 1] = maps[j + 1].reading(maps[j + 1].weight[:, used])
        maps[j] = Affine(maps[j].weight[used], maps[j].bias[used], maps[j].linear)
        up = ups[j]
        ups[j] = None if up is None else Affine(up.weight[used], up.bias[used])
        ends = np.cumsum([group.count for group in groups[j]])
        counts = [int(part.sum()) for part in np.split(used, ends[:-1])]
        groups[j] = tuple(replace(group, count=n) for group, n in zip(groups[j], counts, strict=True) if n)
    return Net(tuple(maps), tuple(groups), tuple(ups))
