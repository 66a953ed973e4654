"""What Coq is told of a layer that takes one expert of each of several blocks (N15): its gaps, its blocks, and what each adds.

Statement (`coq/Groups.v`). Let every logit be a score −Σ σ(face), or a line, of coordinates, and let no coordinate lie between two
neighbouring numbers at a face, a *gap*. If on every piece of every block its own logit is then 0 (for uniform weights: not negative) and
those of the block's other pieces are negative, K blocks make the K largest logits these K, with weights 1/K. If moreover a value is
Σ_l s_l to within r, and on every piece of block l its expert says K·s_l to within K·δ_l, what the layer writes is the value to within
r + Σ δ_l. No number of the dtype lies in a gap, which is proved of each.

None of it is trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...atlas import Block, Combine
from ...errors import InvalidArgument
from ...moe.channels import Channel, Input
from ...moe.design import Site
from .graph_statement import GraphStatement, Maker
from .hint_records import Effort, GroupHint, Share, Total

Array = NDArray[np.float64]
Gap = tuple[int, int, int]
"""(k, n, e): coordinate k does not lie between n·2^e and (n + 1)·2^e."""
DIGITS = {np.dtype(np.float64): (53, -1074), np.dtype(np.float32): (24, -149)}
"""Binary digits of a dtype and the exponent of its least number, as `Gaps.v` has them."""
REST = 1e-6
"""The part of ε that is left for a value being the sum of its shares, in intervals."""
LEAST = 1e-3
"""Of that, what the share of a block may be off that writes nothing: 0 is not exactly 0 where every operation is rounded outwards."""
PLENTY = 1.03
"""By how much more than what the ledger says, at most: shares are compared with their own experts, in boxes as small as one likes."""
ROOM = 1.05
"""By how much the error of a share may be larger than what was sampled, at least."""


class Seen(Protocol):
    """What `Hints` knows of a graph at random inputs."""

    statement: GraphStatement

    @property
    def points(self) -> dict[str, Array]: ...
    @property
    def states(self) -> Sequence[Array]: ...
    def local(self, name: str) -> float: ...
    def chain(self, name: str, known: set[str], through: list[Maker], base: list[str]) -> None: ...
    def slopes(self, name: str, through: Sequence[Maker], base: Sequence[str]) -> list[Array]: ...
    def effort(self, base: Sequence[str], slopes: Sequence[Array]) -> Effort: ...


def grouped(statement: GraphStatement) -> dict[int, tuple[Site, ...]]:
    """Layer ↦ its sites, of layers that route several blocks at once."""
    design = statement.model.design
    found: dict[int, list[Site]] = {}
    for site in design.sites:
        found.setdefault(site.layer, []).append(site)
    return {layer: tuple(sites) for layer, sites in found.items() if len(sites) > 1}


def gaps_of(statement: GraphStatement) -> tuple[Gap, ...]:
    """The gaps at all faces of such layers, each once. Raises `InvalidArgument` for gates that read what is computed."""
    network, design = statement.model.network, statement.model.design
    gaps: set[Gap] = set()
    for number in grouped(statement):
        layer = network.layers[number]
        assert layer.gate is not None
        state = design.states[number]
        channels = state if layer.sees is None else tuple(state[c] for c in layer.sees)
        first = layer.gate.affines[0]
        for row, bias in zip(first.weight, first.bias, strict=True):
            for column in np.flatnonzero(row):
                channel = channels[column]
                place = _coordinate(statement, channel)
                if place is None:
                    where = f"layer {number + 1} of the network routes several blocks at once (N15) by {design.label(channel)}"
                    raise InvalidArgument(
                        f"{where}, which is no coordinate as it is given; the proof in Coq follows such layers where all their blocks read "
                        'coordinates: compile with depth "L+1"'
                    )
                face = network.dtype.type(-bias / row[column])
                up = (row[column] > 0) == bool(layer.gate.groups)
                gaps.add((place, *_gap(face, up)))
    return tuple(sorted(gaps, key=lambda gap: (gap[0], gap[1] * Fraction(2) ** gap[2])))


def _coordinate(statement: GraphStatement, channel: Channel) -> int | None:
    """The number of a coordinate that the network reads as it is given; None for what is computed, an image under Q too."""
    if not isinstance(channel, Input):
        return None
    place = channel.index if statement.reads is None else statement.reads[channel.index]
    return place if place < sum(len(given.coordinates) for given in statement.givens) else None


def _gap(face: np.floating, up: bool) -> tuple[int, int]:
    """(n, e) of the gap between a number of a dtype and the next one, up or down."""
    other = np.nextafter(face, np.asarray(np.inf if up else -np.inf, face.dtype))
    low, high = sorted((Fraction(float(face)), Fraction(float(other))))
    width = high - low
    exponent = width.numerator.bit_length() - width.denominator.bit_length()
    return int(low / width), exponent


def group_hint(hints: Seen, number: int, sites: Sequence[Site], new: Sequence[tuple[int, str]], known: set[str], room: float) -> GroupHint:
    """The hint of a layer with these sites, which writes these channels and components."""
    statement = hints.statement
    blocks = [statement.task[site.block] for site in sites]
    members = []
    for site, block in zip(sites, blocks, strict=True):
        assert isinstance(block, Block)
        if block.tiling is None:
            raise InvalidArgument(
                f"layer {number + 1} of the network routes several blocks at once, of which {block.name!r} lies on charts: "
                'balls of a group are told apart by rounding (N20), of which real numbers know nothing; compile with depth "L+1"'
            )
        members.append((statement.offsets[block.name], tuple(site.first + site.pieces.index(name) for name in block.names)))
    last = number + 1 == len(statement.model.network.layers)
    totals = tuple(_total(hints, number, sites, channel, name, known, room, last) for channel, name in new)
    return GroupHint(tuple(members), totals)


def _total(hints: Seen, number: int, sites: Sequence[Site], channel: int, name: str, known: set[str], room: float, last: bool) -> Total:
    statement, places = hints.statement, hints.statement.places
    own = [component for site in sites for component in statement.task[site.block].components]
    factors, constant, through = _affine(hints, name, own, known)
    said = [_said(hints, number, site, channel) / len(sites) for site in sites]
    parts = [{c: factors[c] for c in statement.task[site.block].components if factors.get(c)} for site in sites]
    left = [out - sum((f * hints.points[c] for c, f in part.items()), np.zeros(len(out))) for out, part in zip(said, parts, strict=True)]
    middles = np.array([(e.max() + e.min()) / 2 for e in left])
    promised = np.array([sum(abs(f) * hints.local(c) for c, f in part.items()) for part in parts])
    if promised.any():
        middles += (constant - middles.sum()) * promised / promised.sum()
    sizes = np.array([np.abs(e - m).max() for e, m in zip(left, middles, strict=True)])
    rest = REST * statement.epsilon
    wide = np.maximum(np.maximum(ROOM * sizes, promised if last else min(room, PLENTY) * promised), LEAST * rest)
    if last:
        wide *= (statement.epsilon - 2 * rest) / max(float(wide.sum()), 1e-300) * (1 - 1e-12)
    shares = tuple(_share(hints, site, part, float(m), float(w)) for site, part, m, w in zip(sites, parts, middles, wide, strict=True))
    within = statement.epsilon if last else (float(wide.sum()) + rest) * (1 + 1e-12)
    used = tuple(places[c] for part in parts for c in part)
    return Total(channel, places[name], within, through, rest, Effort(used or (places[name],)), shares)


def _affine(hints: Seen, name: str, own: Sequence[str], known: set[str]) -> tuple[dict[str, float], float, tuple[int, ...]]:
    """A value as Σ factor·component + constant of what the layer's blocks compute, and the combinations between."""
    if name in own:
        return {name: 1.0}, 0.0, ()
    through: list[Maker] = []
    base: list[str] = []
    hints.chain(name, known | set(own), through, base)
    if beyond := [b for b in base if b not in own]:
        raise InvalidArgument(
            f"{name} is computed in a layer that routes several blocks at once (N15) from {beyond[0]} too, which no block of it computes; "
            'the proof in Coq does not follow that: compile with depth "L+1"'
        )
    at = np.vstack([np.zeros(len(base)), np.eye(len(base))])
    values = {b: at[:, k] for k, b in enumerate(base)}
    for maker in through:
        assert isinstance(maker, Combine)
        found = maker.function(np.stack([values[r] for r in maker.reads], axis=1))
        values |= dict(zip(maker.components, found.T, strict=True))
    column = values[name]
    factors = {b: float(column[k + 1] - column[0]) for k, b in enumerate(base)}
    return factors, float(column[0]), tuple(hints.statement.offsets[maker.name] for maker in through)


def _said(hints: Seen, number: int, site: Site, channel: int) -> Array:
    """What the experts of a site say of a channel at random inputs, each of the piece that owns the input there."""
    statement = hints.statement
    layer, block = statement.model.network.layers[number], statement.task[site.block]
    assert isinstance(block, Block)
    assert block.tiling is not None
    state = np.asarray(hints.states[number])
    owner = block.tiling.owner(np.stack([hints.points[r] for r in block.reads], axis=1))
    column = layer.targets.tolist().index(channel)
    found = np.zeros(len(state))
    for p in np.unique(owner):
        rows = owner == p
        expert = layer.experts[layer.serves[site.first + site.pieces.index(block.names[int(p)])]]
        found[rows] = expert(layer.read(state[rows]))[:, column]
    return found


def _share(hints: Seen, site: Site, part: dict[str, float], constant: float, within: float) -> Share:
    statement, block = hints.statement, hints.statement.task[site.block]
    assert isinstance(block, Block)
    if not part:
        return Share((), constant, within, (), Effort())
    slopes = [np.zeros(len(next(iter(hints.points.values()))))] * len(block.reads)
    for component, factor in part.items():
        slopes = [s + factor * t for s, t in zip(slopes, hints.slopes(component, [block], block.reads), strict=True)]
    factors = tuple((factor, statement.places[component]) for component, factor in part.items())
    through = (*statement.through(block.reads), statement.offsets[block.name])
    return Share(factors, constant, within, through, hints.effort(block.reads, slopes))
