"""Experts that are functions of few numbers, stored as such: f_low ∘ Enc, section 4.3(d) of the paper.

Counts (N9). Let an expert of m neurons be a function of d local coordinates of x ∈ R^D, one output, E experts in all:

    dense         m(D + 2) + 1: the chart map is multiplied into the first weight;
    factorised    D·d + m(d + 2) + 1 with an affine chart, A·V_iᵀ kept as two maps (B6): fewer ⇔ 1/m + 1/D < 1/d. With a chart map ψ of m_e
                  neurons m_e(D + 1) + d(m_e + 1) + m(d + 2) + 1: multiplied out it takes m·m_e − d(m + m_e) − d more;
    encoder       D·ℓ once, then m(ℓ + 2) + 1 each, or ℓ·d + m(d + 2) + 1 each with V_i ∈ R^{ℓ×d} kept apart.

Two affine maps without an activation between them are a linear hidden layer, whose neurons have the identity. The encoder P is a linear
map that a layer has once, before all its experts (`MoELayer.latent`); its gate reads what it did.

Which P (N10): P has orthonormal rows that span those of all chart maps, so that φ_i(x) = φ_i(Pᵀ·P·x) is exact: Qᵀ of an embedding x = Q·y
where the tangent spaces span R^k, else from an SVD of all V_iᵀ. Fewer dimensions than these change the charts (`projected`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...atlas import Array
from ...moe.activations import IDENTITY
from ...moe.ledger import Claim, Known
from ...moe.network import Affine, Net, NeuronGroup
from ..built import Built, OnCharts

COORDINATES = "local coordinates, kept apart from what is a function of them (B6, N9)"
RANK = 1e-9
"""Directions in which chart maps are smaller than this part of the largest are rounding."""


def dense(D: int, m: int) -> int:
    """N9: the numbers of a plain expert."""
    return m * (D + 2) + 1


def factorised(D: int, d: int, m: int, m_e: int | None = None) -> int:
    """N9: of one whose chart map is kept apart; affine, or of m_e neurons."""
    chart = D * d if m_e is None else m_e * (D + 1) + d * (m_e + 1)
    return chart + m * (d + 2) + 1


def encoder(D: int, ell: int, widths: Sequence[int], d: int | None = None) -> int:
    """N9: of all experts and the encoder before them; `d` where V_i ∈ R^{ℓ×d} is kept apart."""
    return D * ell + sum(dense(ell, m) if d is None else factorised(ell, d, m) for m in widths)


@dataclass(frozen=True, eq=False)
class Stored:
    """A block as it is stored, and how else it could be: kind ↦ numbers of its experts, encoders and what they carry included."""

    made: Built
    kind: str
    numbers: Mapping[str, int]


def least_stored(made: Built, kind: str, channels: int, embedding: Array | None, count: Callable[[Built], int]) -> Stored:
    """The block with experts of a kind, or of the kind with the fewest numbers for "auto"; dense ones where there is no other.

    `channels`: how many the block reads; `embedding` Q (D, k), if its nets read R^D, where its points are Q·y; `count`: the numbers that
    the experts of a block take in the layer that it goes to.
    """
    options = [(name, one, count(one)) for name, one in _options(made, channels, embedding)]
    numbers: dict[str, int] = {}
    for name, _, number in options:
        numbers[name] = min(number, numbers.get(name, number))
    best = min(numbers, key=lambda name: numbers[name]) if kind == "auto" else kind if kind in numbers else "dense"
    return Stored(next(one for name, one, number in options if (name, number) == (best, numbers[best])), best, numbers)


def _options(made: Built, channels: int, embedding: Array | None) -> Iterator[tuple[str, Built]]:
    """Every way to store the experts; behind an encoder there are two."""
    yield "dense", made
    inner = _inner(made)
    if made.charts is not None or channels > len(made.block.reads):  # else what is read is the local coordinates
        yield "factorised", replace(made, experts=tuple(_apart(*one) for one in inner))
    P = encoder_of([chart for chart, _ in inner], embedding)
    if len(P) < channels:
        behind = [(_through(chart, P), g) for chart, g in inner]
        yield "encoder", replace(made, experts=tuple(chart.then(g) for chart, g in behind), latent=Affine.without_bias(P))
        yield "encoder", replace(made, experts=tuple(_apart(*one) for one in behind), latent=Affine.without_bias(P))


WORDS = {"dense": "whole", "factorised": "with their chart maps kept apart", "encoder": "behind one encoder"}


def size_claim(found: Stored, prefix: str, asked: str) -> Claim:
    """What is stored, and what other ways there were: an identity of counts."""
    count, others = found.numbers[found.kind], {kind: n for kind, n in found.numbers.items() if kind != found.kind}
    least = min(found.numbers.values()) if asked == "auto" else count
    compared = ", ".join(f"{n:,} {WORDS[kind]}" for kind, n in others.items()) or "there is no other way"
    statement = f"the experts store {count:,} numbers {WORDS[found.kind]}; {compared}{'; the least is taken' if asked == 'auto' else ''}"
    return Claim(f"{prefix}experts.stored", statement, "N9", least, count, Known.EXACT)


def encoder_of(charts: Sequence[Net], embedding: Array | None) -> Array:
    """P (ℓ, n): orthonormal rows that span the first rows of all chart maps."""
    rows = np.concatenate([map_.weight for net in charts for map_ in (net.affines[0], *net.ups[:1]) if map_ is not None])
    rank, V = row_space(rows)
    if embedding is not None and rank >= embedding.shape[1]:
        return np.ascontiguousarray(embedding.T)
    return np.eye(rows.shape[1]) if rank == rows.shape[1] else np.ascontiguousarray(V[:rank])


def row_space(rows: Array) -> tuple[int, Array]:
    """The rank, and right singular vectors, the largest first."""
    sizes, V = np.linalg.svd(rows, full_matrices=False)[1:]
    return int((sizes > RANK * sizes[0]).sum()), V


def _inner(made: Built) -> list[tuple[Net, Net]]:
    """Every expert as (chart map, function of local coordinates); of a block on pieces what it reads itself, and so of one net for all of
    M, up to an embedding."""
    if made.gateless and made.charts is not None:
        atlas, (expert,) = made.charts.task.atlas, made.charts.experts
        inside = np.eye(atlas.base_dimension) if atlas.embedding is None or not made.ambient else atlas.embedding.T.copy()
        return [(Affine.without_bias(inside).net, expert.target_fit.net)]
    if made.charts is None:
        here = Affine.without_bias(np.eye(len(made.block.reads))).net
        return [(here, net) for net in made.experts]
    return [_on_chart(made.charts, number, made.ambient) for number in range(len(made.experts))]


def _on_chart(charts: OnCharts, number: int, ambient: bool) -> tuple[Net, Net]:
    expert, atlas = charts.experts[number], charts.task.atlas
    if expert.chart_fit is not None:
        return expert.chart_fit.net, expert.target_fit.net
    affine = atlas.affine(number) if ambient else atlas.charts[number].affine
    assert affine is not None
    return Affine(*affine).net, expert.target_fit.net


def _through(chart: Net, P: Array) -> Net:
    """A chart map of x as one of z = P·x: x = Pᵀ·z as far as the chart sees."""
    return chart.after(Affine.without_bias(P.T))


def _apart(chart: Net, outer: Net) -> Net:
    """outer ∘ chart, the two affine maps in the middle kept apart. The shift of an affine chart goes into the biases behind it."""
    linear = (NeuronGroup("coordinate", chart.outputs, COORDINATES, IDENTITY),)
    if len(chart.affines) == 1:
        moved = outer.after(Affine(np.eye(chart.outputs), chart.bias))
        return Net((Affine.without_bias(chart.weight), *moved.affines), (linear, *moved.groups), (None, *moved.ups))
    return Net((*chart.affines, *outer.affines), (*chart.groups, linear, *outer.groups), (*chart.ups, None, *outer.ups))
