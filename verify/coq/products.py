"""Equations of products of circles and intervals (torus, cylinder), and of sets with one map over several boxes (box, Swiss roll)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...atlas.chart import Chart
from .covers import NEAR, Equation, exactly, on_chart, theorems

Side = tuple[float, float]
ARC = "rewrite {{point}}; simpl INR; first [{turns}]".format(turns=" | ".join(f"apply Circle.{{f}}_{n}; field" for n in range(5)))
"""A coordinate of a point of an arc as it is written down: a quarter of a turn, or several, may have been left out."""
MOST = 64
"""Charts of which a cover is proved case by case."""


@dataclass(frozen=True)
class Factor:
    """A circle in two coordinates of R^k, its arcs by their numbers, or an interval in one coordinate, its pieces by their ends."""

    outputs: tuple[int, ...]
    arcs: int
    """How many, evenly spaced; 0 for an interval."""
    choices: tuple[object, ...]
    """One for each chart: i for the arc around 2πi/arcs, (l, u) for a piece."""


def product_equation(charts: Sequence[Chart]) -> Equation | None:
    """x_1² + x_2² = 1, …, l ≤ x_k ≤ u, where the charts are all products of an arc or a piece of each factor, and these cover it."""
    dimension, outputs = charts[0].dimension, charts[0].inverse.outputs
    if any((chart.dimension, chart.inverse.outputs) != (dimension, outputs) for chart in charts):
        return None
    factors, at = [], 0
    for j in range(dimension):
        factor = _factor(charts, j, at)
        if factor is None:
            return None
        factors.append(factor)
        at += len(factor.outputs)
    numbers = {choice: k for k, choice in reversed(list(enumerate(zip(*(f.choices for f in factors), strict=True))))}
    pieces = [_distinct(factor) for factor in factors]
    if at != outputs or any(choice not in numbers for choice in itertools.product(*pieces)) or not any(f.arcs for f in factors):
        return None
    return _product(charts, factors, pieces, numbers)


def _factor(charts: Sequence[Chart], j: int, at: int) -> Factor | None:
    """The factor of coordinate j, in output `at` or in that and the next; None if it is neither an interval nor a circle."""
    pairs = [(points, chart.inverse(points)) for chart in charts for points in (chart.domain.low_discrepancy(64, 0),)]
    sides = [(chart.domain.lower[j], chart.domain.upper[j]) for chart in charts]
    if at < pairs[0][1].shape[1] and all(np.allclose(y[:, at], u[:, j], rtol=0, atol=NEAR) for u, y in pairs):
        return Factor((at,), 0, tuple(sides))
    if at + 1 >= pairs[0][1].shape[1]:
        return None
    centres = []
    for u, y in pairs:
        turned = (y[:, at] + 1j * y[:, at + 1]) * np.exp(-1j * u[:, j])
        if np.abs(turned - turned[0]).max() > NEAR or abs(abs(turned[0]) - 1) > NEAR:
            return None
        centres.append(np.angle(turned[0]) / (2 * np.pi) % 1)
    n = len({round(c, 6) % 1 for c in centres})
    arcs = [round(c * n) % n for c in centres]
    even = np.abs(np.exp(2j * np.pi * (np.array(centres) - np.array(arcs) / n)) - 1).max() < NEAR
    wide = all(n * Fraction(low) <= -4 and n * Fraction(high) >= 4 for low, high in sides)
    return Factor((at, at + 1), n, tuple(arcs)) if even and wide else None


def _distinct(factor: Factor) -> list[object]:
    """The arcs, all of them, or the pieces in their order."""
    return list(range(factor.arcs)) if factor.arcs else sorted(set(factor.choices))  # type: ignore[type-var]


def _product(
    charts: Sequence[Chart], factors: Sequence[Factor], pieces: Sequence[Sequence[object]], numbers: dict[tuple[object, ...], int]
) -> Equation | None:
    names = [f"y{o}" for o in range(charts[0].inverse.outputs)]
    holds, opening, coordinates, words = [], [], [], []
    for n, (factor, listed) in enumerate(zip(factors, pieces, strict=True)):
        if factor.arcs:
            x, y = (names[o] for o in factor.outputs)
            holds.append(f"{x} * {x} + {y} * {y} = 1")
            words.append(f"x{factor.outputs[0] + 1}² + x{factor.outputs[1] + 1}² = 1")
            opening.append(
                f"  destruct (Circle.covered {factor.arcs} {x} {y} ltac:(lia) H{n}) as (i{n} & u{n} & I{n} & U{n} & [X{n} Y{n}]).\n"
                f"  assert ({_either([f'i{n} = {i}%nat' for i in range(factor.arcs)])}) as C{n} by lia."
            )
            coordinates.append(f"u{n}")
        else:
            (x,) = (names[o] for o in factor.outputs)
            ends = _joined([side for side in listed if isinstance(side, tuple)])
            if ends is None:
                return None
            holds.append(f"{exactly(ends[0])} <= {x} <= {exactly(ends[1])}")
            words.append(f"{ends[0]:.17g} ≤ x{factor.outputs[0] + 1} ≤ {ends[1]:.17g}")
            opening.append(f"  assert ({_either([_between(x, side) for side in listed])}) as C{n} by lra.")
            coordinates.append(x)
    plain = "".join(f"subst i{n}; " for n, factor in enumerate(factors) if factor.arcs)
    lengths = "".join(f"simpl INR in U{n}; " for n, factor in enumerate(factors) if factor.arcs)
    proofs = []
    for n, factor in enumerate(factors):
        if factor.arcs:
            proofs += [ARC.format(point=f"{axis}{n}", f=f) for axis, f in (("X", "cos"), ("Y", "sin"))]
        else:
            proofs.append("ring")
    values = " ".join(f"apply both_equal; [solve [{proof}]|]." for proof in proofs) + " reflexivity."
    cases = "".join(f"\n  - {on_chart(numbers[choice], coordinates, values)}" for choice in itertools.product(*pieces))
    proof = "\n".join(opening) + f"\n  {_split(pieces)}{plain}{lengths}idtac." + cases
    lemmas = ("Circle",)
    name = {(2,): "circle", (2, 2): "torus", (2, 1): "cylinder"}.get(tuple(len(f.outputs) for f in factors), "product")
    point = f"[{'; '.join(names)}]"
    return theorems(", ".join(words), lemmas, charts, name, " ".join(names), holds, point, proof)


def one_map_equation(charts: Sequence[Chart]) -> Equation | None:
    """The image of a box that the boxes of all charts make up, each chart having the same map; for the identity the box itself.

    On the Swiss roll also as an equation in its plane.
    """
    first = charts[0].inverse
    if any(chart.inverse.texts != first.texts or chart.inverse.variables != first.variables for chart in charts):
        return None
    axes = [sorted({(chart.domain.lower[j], chart.domain.upper[j]) for chart in charts}) for j in range(charts[0].dimension)]
    numbers = {tuple(zip(chart.domain.lower, chart.domain.upper, strict=True)): k for k, chart in reversed(list(enumerate(charts)))}
    ends = [_joined(axis) for axis in axes]
    if any(choice not in numbers for choice in itertools.product(*axes)):
        return None
    whole = [end for end in ends if end is not None]
    if len(whole) < len(ends):
        return None
    identity = first.outputs == first.inputs and list(first.texts) == [str(v) for v in first.variables]
    names = [f"u{j}" for j in range(first.inputs)]
    holds = [_between(name, side) for name, side in zip(names, whole, strict=True)]
    opening = "".join(
        f"  assert ({_either([_between(x, side) for side in axis])}) as C{n} by lra.\n"
        for n, (x, axis) in enumerate(zip(names, axes, strict=True))
    )
    cases = "".join(f"\n  - {on_chart(numbers[choice], names, 'reflexivity.')}" for choice in itertools.product(*axes))
    point = f"[{'; '.join(names)}]" if identity else f"(values Task.Chart0.inverse [{'; '.join(names)}])"
    ranges = ", ".join(f"{low:.17g} ≤ {v} ≤ {high:.17g}" for v, (low, high) in zip(first.variables, whole, strict=True))
    words = f"({', '.join(first.texts)}) for {ranges}"
    return theorems(
        "a box" if identity else words,
        (),
        charts,
        "box" if identity else "image",
        " ".join(names),
        holds,
        point,
        f"{opening}  {_split(axes)}idtac.{cases}",
    )


def _joined(sides: Sequence[Side]) -> Side | None:
    """The interval that they make up, from the first to the last; None where there is a gap."""
    low, high = sides[0]
    for lower, upper in sides[1:]:
        if lower > high:
            return None
        high = max(high, upper)
    return low, high


def _between(name: str, side: object) -> str:
    assert isinstance(side, tuple)
    return f"{exactly(side[0])} <= {name} <= {exactly(side[1])}"


def _either(conditions: Sequence[str]) -> str:
    return " \\/ ".join(conditions)


def _split(listed: Sequence[Sequence[object]]) -> str:
    """All cases of C0, C1, …, each a choice of several."""
    return "".join(f"destruct C{n} as {_cases(f'C{n}', len(choices))}; " for n, choices in enumerate(listed) if len(choices) > 1)


def _cases(name: str, count: int) -> str:
    return name if count == 1 else f"[{name}|{_cases(name, count - 1)}]"
