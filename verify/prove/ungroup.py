"""Layers of groups written out: one layer for each group, which takes one expert, and one that adds up what they write.

Lemma (N15). Let a layer take the K largest of the logits of K groups (`groups`), with weights that depend on the logits only. Where all
that its gate reads are numbers of the dtype, 0 or normal, exactly one logit per group is 0 and all others are negative. So whatever breaks
ties the K chosen are the zeros, softmax weights are exp(0)/(K·exp(0)) = 1/K as uniform ones are, and

    carry(h) + shared(h) + Σ_k w_k·expert_k(h) = carry(h) + shared(h) + Σ_groups expert_(its winner)(h)/K.

Of a group of snapped scores (N20) it is the logit of the largest score, as the dtype computes it, at every point of M where `snapped` is
proved to hold: what stands for it is its scores alone, and its layer has to be part of a site, whose η is that of scores.

A layer of groups is replaced by K layers that carry all that arrives, and write the K-th part of what the winner of one group computes
for outputs for which an expert of that group computes anything, to channels of their own, behind all others; and a last one, which leaves
what the layer leaves. Of a group of one output, whose expert reads nothing, the K-th part is a bias there. A channel that is written by one
group only is carried there; any other one, and every output of the network, is the sum. Each group is then a slice like any other,
Σ E_l boxes about ∏ E_l pieces (B9).

Of floats: where K is a power of two the K-th part is exact. Else weights of the written out network are rounded once in float64, and in
the layer itself 1/K and its product with an output are rounded: up to two more roundings of every product in a last map, and of its
result. `Weighting.UNIFORM` marks the layers of which that is counted (`rounding`); the sum of a last one is taken in any order in every
evaluation, which is no less than 1/K, products, and sums of K take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ...moe.channels import Channel, Value
from ...moe.design import Design
from ...moe.layer import MoELayer, Weighting
from ...moe.nets import Affine, Net
from ...moe.network import Network
from .groups import Groups, groups_in
from .hats import hats_of
from .linear import on_inputs, pruned


@dataclass(frozen=True, eq=False)
class Ungrouped:
    """A network whose layers of groups are written out, and what its channels are."""

    network: Network
    design: Design
    found: Mapping[tuple[int, int], int] = field(default_factory=dict)
    """Layer, from 0, and first gate output of a group ↦ the layer, from 1, that it has become; empty where there are no groups."""
    numbers: bool = False
    """Whether all that follows is about numbers of the dtype only."""
    close: bool = False
    """Whether logits have to be computed to within less than `hats.CLOSE`."""
    snapped: frozenset[int] = frozenset()
    """Layers, from 1, that stand for groups of snapped scores."""


def ungrouped(network: Network, design: Design) -> Ungrouped:
    """The network, where its gates read numbers of its dtype, with one layer per group; in float64 if there are any groups."""
    numbers = close = False
    layers, states, found = list[MoELayer](), [design.states[0]], dict[tuple[int, int], int]()
    snapped: set[int] = set()
    for number, layer in enumerate(network.layers):
        arriving, leaving = design.states[number], design.states[number + 1]
        groups = groups_in(layer, network.dtype)
        if groups is not None and any(not _busy(layer, range_) for range_ in groups.runs if range_.start in groups.snapped):
            groups = None  # of scores that decide nothing no site would show that they are on the grid
        if groups is None and (hats := hats_of(layer, number == len(network.layers) - 1)) is not None:
            assert layer.gate is not None
            groups, close = Groups(hats, {}, layer.gate), True
        elif groups is not None:
            numbers |= groups.numbers
        if groups is None:
            single = layer.top_k == 1 and layer.weighting is Weighting.UNIFORM
            layers.append(replace(layer, weighting=Weighting.SOFTMAX) if single else layer)
            states.append(leaving)
            continue
        parts, between, firsts = _written_out(layer, groups, arriving, leaving, number, number == len(network.layers) - 1)
        found |= {(number, first): len(layers) + n for n, first in enumerate(firsts, 1)}
        snapped |= {len(layers) + n for n, first in enumerate(firsts, 1) if first in groups.snapped}
        layers += parts
        states += [*between, leaving]
    plain = Network(tuple(layers), network.inputs)
    return Ungrouped(
        plain.astype(float) if found else plain, replace(design, states=tuple(states)), found, numbers, close, frozenset(snapped)
    )


def _written_out(
    layer: MoELayer,
    found: Groups,
    arriving: Sequence[Channel],
    leaving: Sequence[Channel],
    number: int,
    last: bool,
) -> tuple[list[MoELayer], list[tuple[Channel, ...]], list[int]]:
    """The layers in the place of one, what is behind each but the last, and the first outputs of the groups that have one."""
    groups, targets, sources, width = found.runs, layer.targets, layer.sources, len(arriving)
    nets = [layer.experts[k].astype(float) for k in layer.serves]
    writes = [np.any([_computing(nets[i]) for i in group], axis=0) for group in groups]
    share = 1 if layer.weighting is Weighting.RECTIFIED else layer.top_k
    idle = [share > 1 and len(group) == 1 and not any(map_.weight.any() for map_ in nets[group.start].maps) for group in groups]
    bias = np.zeros(len(targets))
    for group in (group for group, constant in zip(groups, idle, strict=True) if constant):
        bias += nets[group.start].affines[-1].bias / layer.top_k
    alone = (np.sum(writes, axis=0) == 1) & (bias == 0) & (sources[targets] < 0) & (layer.shared is None) & (not last)
    state, parts, between, firsts = list(arriving), list[MoELayer](), list[tuple[Channel, ...]](), list[int]()
    place: dict[int, list[int]] = {k: [] for k in range(len(targets))}
    """Output ↦ where groups write it."""
    for group, wrote, constant in zip(groups, writes, idle, strict=True):
        outputs = np.flatnonzero(wrote)
        if constant or not len(outputs):
            continue
        before = len(state)
        for n, o in enumerate(outputs.tolist()):
            place[o].append(before + n)
            known = leaving[targets[o]]
            state.append(known if alone[o] else Value(f"layer{number + 1}[{group.start}][{o}]"))
        parts.append(_of_group(layer, _gate(found, group), [nets[i] for i in group], group, outputs, before, width))
        between.append(tuple(state))
        firsts.append(group.start)
    carries, added = sources.copy(), [k for k in range(len(targets)) if not alone[k]]
    for k in np.flatnonzero(alone).tolist():
        carries[targets[k]] = place[k][0]
    parts.append(_sum(layer, added, place, bias, carries, width, len(state)))
    return parts, between, firsts


def _busy(layer: MoELayer, group: range) -> bool:
    """Whether an expert of the group computes anything."""
    return any(_computing(layer.experts[layer.serves[i]]).any() for i in group)


def _computing(net: Net) -> np.ndarray:
    """Outputs that are not 0 whatever the net reads."""
    last = net.affines[-1]
    return np.asarray(last.weight.any(1) | (last.bias != 0))


def _gate(found: Groups, group: range) -> Net:
    """The gate of one group: its rows, or what stands for them."""
    if group.start in found.snapped:
        return found.snapped[group.start]
    *inner, last = found.faces.affines
    rows = Affine(np.array(last.weight[group.start : group.stop]), np.array(last.bias[group.start : group.stop]))
    return pruned(found.faces.with_maps((*inner, rows)).astype(float))


def _of_group(layer: MoELayer, own: Net, nets: Sequence[Net], group: range, outputs: np.ndarray, before: int, width: int) -> MoELayer:
    """One group alone, beside which all is carried."""
    gate = on_inputs(own, lambda map_: _wider(map_, before))
    experts = []
    for net in nets:
        *inner, outer = net.affines
        share = 1 if layer.weighting is Weighting.RECTIFIED else layer.top_k
        part = Affine(outer.weight[outputs] / share, outer.bias[outputs] / share)
        experts.append(pruned(net.with_maps((*inner, part))))
    after = before + len(outputs)
    return MoELayer(
        gate,
        tuple(experts),
        tuple(range(len(nets))),
        tuple(layer.names[i] for i in group),
        tuple(f"{k}" for k in range(after)),
        layer.reads if layer.reads is not None else tuple(range(width)),
        tuple(range(before, after)),
        (*range(before), *(-1 for _ in outputs)),
        top_k=len(nets) if layer.weighting is Weighting.RECTIFIED else 1,
        weighting=Weighting.RECTIFIED if layer.weighting is Weighting.RECTIFIED else Weighting.UNIFORM,
    )


def _sum(
    layer: MoELayer,
    added: Sequence[int],
    place: Mapping[int, Sequence[int]],
    bias: np.ndarray,
    carries: np.ndarray,
    width: int,
    arriving: int,
) -> MoELayer:
    """What the layer leaves: outputs `added` are sums of what groups wrote, of constants, and of what the shared expert adds."""
    reads = [*(range(width) if layer.reads is None else layer.reads), *range(width, arriving)]
    inputs = len(reads) - (arriving - width)
    weight = np.zeros((len(added), len(reads)))
    for row, k in enumerate(added):
        weight[row, [inputs + at - width for at in place[k]]] = 1
    shared = None
    if layer.shared is not None:
        shared = on_inputs(layer.shared.astype(float), lambda map_: _wider(map_, len(reads)))
    return MoELayer(
        None,
        (Affine(weight, bias[list(added)]).net,),
        (0,),
        ("all",),
        layer.channels,
        tuple(reads),
        tuple(int(layer.targets[k]) for k in added),
        tuple(carries.tolist()),
        shared,
        weighting=Weighting.UNIFORM,
    )


def _wider(map_: Affine, inputs: int) -> Affine:
    """The map of more inputs, which it reads with weight 0."""
    weight = np.zeros((len(map_.weight), inputs))
    weight[:, : map_.weight.shape[1]] = map_.weight
    return Affine(weight, np.array(map_.bias, float))
