"""Refutations as proofs: a point that is known exactly, f and the network there enclosed, and what these exclude.

f is enclosed from its expressions as they were written, the network in exact arithmetic of whole numbers (`moe.exact`), at a point that is
given by a chart and coordinates that are floats. docs/certificate.md specifies the file, which anybody can evaluate again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ...atlas import Array, Atlas, CallableTarget, Input, Points, TaskGraph
from ...atlas.graph import all_points
from ...atlas.graph.pointwise import NotPointwise, Pointwise, Spot, outside
from ...errors import AtlasMoEError
from ...expressions.precise import Enclosed, Found, Undefined
from ...moe.exact import NotDecided, affine_of, evaluate
from ...moe.ledger import Claim, Known
from ...moe.network import Network
from ..enclosure import TaylorForms

SCHEMA = 1


@dataclass(frozen=True)
class Refutation:
    """A point at which a claim is false, with what shows it."""

    refutes: str
    """total: |f − Ψ| > ε there; defined: f has no value there; routing.valid: the expert taken has a chart that does not hold the point."""
    epsilon: float
    spots: Mapping[str, Spot]
    """Input ↦ where the point lies on it."""
    charts: Mapping[str, str | None]
    """Input ↦ name of its chart."""
    point: tuple[float, ...]
    """About what the network reads there."""
    truth: tuple[Enclosed | None, ...]
    """f, component by component; None where it has no value."""
    outputs: tuple[Enclosed, ...]
    """Ψ."""
    chosen: tuple[tuple[int, ...], ...]
    """Gate outputs taken, layer by layer."""
    why: str
    target: str = ""
    """Of several targets the one that it is about, whose are f, Ψ and ε."""

    @property
    def error(self) -> float:
        """|f − Ψ| is at least this; ∞ where f has no value."""
        return _error(self.truth, self.outputs)

    @property
    def share(self) -> float:
        """The error, of one of several targets in units of its ε."""
        return self.error / self.epsilon if self.target else self.error

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without the hashes of the files that it is about."""
        return {
            "schema": SCHEMA,
            "refutes": self.refutes,
            **({"target": self.target} if self.target else {}),
            "epsilon": _finite(self.epsilon),
            "point": [
                {
                    "input": name,
                    "chart": self.charts[name],
                    "coordinates": [{"hex": float(u).hex(), "fraction": f"{u.numerator}/{u.denominator}"} for u in spot.coordinates],
                }
                for name, spot in self.spots.items()
            ],
            "f": [None if value is None else outward(value) for value in self.truth],
            "network": [outward(value) for value in self.outputs],
            "chosen": [list(chosen) for chosen in self.chosen],
            "error": _finite(self.error),
            "why": self.why,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def outward(value: Enclosed) -> dict[str, str]:
    """An enclosure with ends that are floats, as they are written in hexadecimal."""
    return {"lower": _below(value.lower).hex(), "upper": (-_below(-value.upper)).hex()}


def _below(value: Fraction) -> float:
    """The largest float that is not above; −∞ below all of them."""
    try:
        found = float(value)
    except OverflowError:
        return math.nextafter(math.inf, 0) if value > 0 else -math.inf
    return found if Fraction(found) <= value else math.nextafter(found, -math.inf)


def _error(truth: Sequence[Enclosed | None], outputs: Sequence[Enclosed]) -> float:
    pairs = zip(truth, outputs, strict=True)
    return max(math.inf if f is None else _below(max(f.lower - psi.upper, psi.lower - f.upper, Fraction(0))) for f, psi in pairs)


@dataclass(frozen=True, eq=False)
class Exactly:
    """A network and a task, to be looked at point by point."""

    network: Network
    graph: TaskGraph
    pieces: tuple[Network, ...] = ()
    """For every chart the network with the expert that is known to win there, where that is known."""
    enclosure: Callable[[Any], Any] | None = None
    """Of a target that is a Python function: what takes Taylor forms of y to those of f(y). Nobody else can evaluate it again."""

    @staticmethod
    def of(network: Network, graph: TaskGraph, pieces: tuple[Network, ...] = ()) -> Exactly:
        """With the enclosure of a target that is a Python function."""
        given = graph.blocks[0].given if graph.blocks else None
        enclosure = given.target.enclosure if given is not None and isinstance(given.target, CallableTarget) else None
        return Exactly(network, graph, pieces, enclosure)

    def at(self, chart: int, coordinates: Array) -> float:
        """`Goal.confirm`, of a graph of one input: a lower bound of the error at a point of its chart."""
        network = self.pieces[chart] if self.pieces else self.network
        found = replace(self, network=network).look(self.alone(chart, coordinates))
        return -math.inf if found is None else found.error

    def astray(self, chart: int, coordinates: Array) -> bool:
        """`Goal.astray`."""
        found = self.look(self.alone(chart, coordinates))
        return found is not None and bool(self.elsewhere(found))

    def alone(self, chart: int, coordinates: Array) -> dict[str, Spot]:
        """The spot on the one input of the graph."""
        (source,) = self.graph.inputs
        return {source.name: Spot(None if source.box is not None else chart, tuple(Fraction(float(u)) for u in coordinates))}

    def look(self, spots: Mapping[str, Spot]) -> Refutation | None:
        """What f and the network are there; None if that is not decided, or it is no point of M."""
        try:
            pointwise = Pointwise(self.graph, spots)
            found = pointwise.output if self.enclosure is None else _enclosed(self.enclosure, pointwise.coordinates)
            truth = tuple(value if isinstance(value, Enclosed) else None for value in found)
            if not all(isinstance(value, Enclosed | Undefined) for value in found):
                return None
            reads = self._reads(pointwise)
            outputs, chosen = evaluate(self.network, reads)
        except (NotPointwise, NotDecided, AtlasMoEError, OverflowError):
            return None
        names = {node.name: _chart(node, spots[node.name]) for node in self.graph.inputs}
        point = tuple(float((value.lower + value.upper) / 2) for value in reads)
        undefined = next((str(value) for value in found if isinstance(value, Undefined)), "")
        return Refutation("total", math.inf, dict(spots), names, point, truth, tuple(outputs), tuple(chosen), undefined)

    def _reads(self, pointwise: Pointwise) -> list[Enclosed]:
        """What the network reads: coordinates, embedded."""
        found, start = [], 0
        for node in self.graph.inputs:
            base = pointwise.coordinates[start : start + node.base_dimension]
            found += affine_of(node.domain.embedding, base)
            start += node.base_dimension
        return found

    def elsewhere(self, found: Refutation) -> str:
        """Why one of the experts that the last gate takes surely has a chart that does not hold the point; empty if that is not so."""
        block = self.graph.blocks[0]
        if block.given is None or len(self.graph.inputs) != 1 or not isinstance(block.domain, Atlas):
            return ""
        (spot,) = found.spots.values()
        pointwise = Pointwise(self.graph, found.spots)
        copies = max(1, len(self.network.layers[-1]) // len(block))
        for j in found.chosen[-1]:
            if why := outside(block.domain, j // copies, pointwise, spot.chart):
                return why
        return ""

    def refutation(self, spots: Mapping[str, Spot], epsilon: float) -> Refutation | None:
        """What is refuted there, if anything is: that f is defined, that its error is at most ε, or that the expert taken is valid."""
        found = self.look(spots)
        if found is None:
            return None
        if None in found.truth:
            return replace(found, refutes="defined", epsilon=epsilon, why=f"f has no value there: {found.why}")
        if found.error > epsilon:
            return replace(found, epsilon=epsilon, why=f"|f − Ψ| is at least {found.error:.6g} there")
        why = self.elsewhere(found)
        return replace(found, refutes="routing.valid", epsilon=epsilon, why=why) if why else None


def _enclosed(enclosure: Callable[[Any], Any], y: Sequence[Enclosed]) -> list[Found]:
    """A Python function at a point, as its enclosure in floats has it on the smallest box around it."""
    lower, upper = ([[_below(v.lower) for v in y]], [[-_below(-v.upper) for v in y]])
    found = enclosure(TaylorForms.variables(lower, upper)).range()
    if not (np.isfinite(found.lower) & np.isfinite(found.upper)).all():
        raise NotPointwise("nothing is known of the target there")
    return [Enclosed(Fraction(float(low)), Fraction(float(high))) for low, high in zip(found.lower[0], found.upper[0], strict=True)]


def _chart(node: Input, spot: Spot) -> str | None:
    return None if spot.chart is None else node.domain.parametrising[spot.chart].name


def with_refutation(claims: Sequence[Claim], found: Refutation | None) -> tuple[Claim, ...]:
    """The claims, the one that is refuted saying so with its witness; `total` in the place of one that is not made."""
    if found is None:
        return tuple(claims)
    name = found.refutes if any(claim.name == found.refutes for claim in claims) else "total"
    bound = found.error if name == "total" else 1.0
    return tuple(
        replace(claim, known=Known.REFUTED, bound=bound, witness=found.point, note=found.why) if claim.name == name else claim
        for claim in claims
    )


def spots_of(graph: TaskGraph, count: int, seed: int) -> tuple[Array, dict[str, Points]]:
    """`count` points of the product of the inputs: as the network reads them, (count, D), and where they lie on every manifold and in every
    box. Of finite inputs all points, if there are no more.
    """
    rng = np.random.default_rng(seed)
    located: dict[str, Points] = {}
    everything = all_points(graph.inputs, count)
    for node in graph.inputs:
        if everything is not None:
            columns = [graph.coordinates.index(name) for name in node.coordinates]
            u = everything[:, columns]
            located[node.name] = Points(np.zeros(len(u), np.intp), u, u, u)
            continue
        drawn = int(rng.integers(2**31))
        if node.box is None:
            points = node.domain.sample(count, drawn, low_discrepancy=True)
        else:
            u = node.chosen(node.box.low_discrepancy(count, drawn))
            points = Points(np.zeros(count, np.intp), u, u, u)
        located[node.name] = points[rng.permutation(count)]
    return graph.embed(np.concatenate([located[node.name].base for node in graph.inputs], axis=1)), located


def spots_at(graph: TaskGraph, located: Mapping[str, Points], n: int) -> dict[str, Spot]:
    """Where point n of these lies."""
    found = {}
    for node in graph.inputs:
        points = located[node.name]
        u = tuple(Fraction(float(value)) for value in points.intrinsic[n])
        found[node.name] = Spot(int(points.chart[n]) if node.box is None else None, u)
    return found
