"""Random nets of all activations on random boxes: is there a point where the form of an output says what is not so?

Nets of one to three hidden layers, gated and not, float32 and float64 weights: few directions, some that span fewer
dimensions than there are inputs but for rounding (folded), scattered ones, weights from 1e-100 to
1e100; boxes from width 0 over 1e-300 to 1e6, with corners at knots and ends of cells; inputs that are box coordinates, linear in them, and
curved; forms of degree 2 to 5; loops compiled and not. Values are those of the stored weights to 220 bits.
Run as a script: `python nets.py [nets] [seed]`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from atlasmoe.moe.activations import ACTIVATIONS, Activation
from atlasmoe.moe.nets import Affine, Net, NeuronGroup
from atlasmoe.verify.enclosure import TaylorForms, fast, prepare
from atlasmoe.verify.enclosure.taylor import middle_half
from flint import arb, arb_mat, ctx

BITS = 220
BOXES = 20
KINDS = ("ridge", "ridge", "folded", "scattered", "extreme")
WIDTHS = (-300, -9, -4, -2, -1, -1, -0.5, 0, 1, 2, 6)
"""Exponents."""
CORNERS = (0.0, 0.375, -0.75, 1.0, -1.0, 3.0, 1 / 8, -1 / 16)


@dataclass(frozen=True)
class Case:
    """One net on some boxes."""

    name: str
    net: Net
    lower: np.ndarray
    upper: np.ndarray
    inputs: np.ndarray | None
    """(n, d), of the box coordinates; None: these themselves."""
    curved: bool
    """Whether the product of the first and the last is added to all inputs."""
    degree: int


def activation(kind: Activation, z: arb) -> arb:
    match kind.name:
        case "relu":
            return z.max(arb(0))
        case "relu2":
            return z.max(arb(0)) ** 2
        case "silu":
            return z / (1 + (-z).exp()) if z > -10000 else arb(0, 1e-100)
        case "gelu":
            return z * (-z / arb(2).sqrt()).erfc() / 2
        case _:
            return z * (1 + ((2 / arb.pi()).sqrt() * (z + arb("0.044715") * z**3)).tanh()) / 2


def applied(map_: Affine, x: Sequence[arb]) -> list[arb]:
    column = arb_mat([[s] for s in x])
    return (arb_mat(map_.weight.astype(float).tolist()) * column + arb_mat(map_.bias[:, None].astype(float).tolist())).entries()


def value(net: Net, x: Sequence[arb]) -> list[arb]:
    """The outputs in real arithmetic."""
    for j, up in enumerate(net.ups):
        hidden = applied(net.affines[j], x)
        for part, kind in net.activations[j]:
            hidden[part] = [activation(kind, z) for z in hidden[part]]
        x = hidden if up is None else [h * u for h, u in zip(hidden, applied(up, x), strict=True)]
    return applied(net.affines[-1], x)


def polynomial(forms: TaylorForms, b: int, k: int, t: Sequence[float]) -> arb:
    """Of function k on box b, at t."""
    total, at = arb(0), [arb(s) for s in t]
    for c, exponents in zip(forms.coefficients[b, :, k].tolist(), forms.monomials, strict=True):
        if c:
            term = arb(c)
            for s, e in zip(at, exponents, strict=True):
                term *= s**e
            total += term
    return total


def hidden_layer(rng: np.random.Generator, n: int, m: int, kind: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    match kind:
        case "ridge":
            count = max(1, m // 6)
            directions = rng.normal(size=(count, n)) * rng.choice([0.5, 3, 12])
            axes = min(n, count)
            directions[:axes] = np.eye(n)[:axes] * rng.choice([1.0, 8.0, 12.0], (axes, 1))
            weight = directions[rng.integers(0, count, m)] * rng.choice([-1.0, 1.0], m)[:, None]
            bias = np.where(rng.random(m) < 0.5, rng.integers(-12, 13, m) * 0.375, rng.normal(size=m) * 4)
        case "folded":
            plane = rng.normal(size=(int(rng.integers(1, 4)), n))
            directions = np.einsum("ij,jk->ik", rng.normal(size=(max(1, m // 3), len(plane))), plane) * rng.choice([0.5, 3])
            weight, bias = directions[rng.integers(0, len(directions), m)], rng.integers(-12, 13, m) * 0.375
        case "scattered":
            weight, bias = rng.normal(size=(m, n)) * 4, rng.normal(size=m) * 3
        case _:
            weight = rng.normal(size=(m, n)) * 10.0 ** rng.choice([-size, 0, 0, size, 3, -3], (m, 1))
            bias = rng.normal(size=m) * 10.0 ** rng.choice([-size, 0, 0, size, 3], m)
    weight[rng.random(m) < 0.06] = 0
    return weight, bias


def random_net(rng: np.random.Generator, n: int, kind: str, dtype: str, gated: bool, depth: int) -> Net:
    size, kinds = 12 if dtype == "float32" else 100, list(ACTIVATIONS.values())
    maps, groups, ups = [], [], []
    for m in map(int, rng.integers(3, 14, depth)):
        maps.append(hidden_layer(rng, n, m, kind, size))
        cut = int(rng.integers(0, m + 1))
        given = [(cut, kinds[rng.integers(5)]), (m - cut, kinds[rng.integers(5)])]
        groups.append(tuple(NeuronGroup("random", count, "", act) for count, act in given if count))
        up = rng.normal(size=(m, n)) * (rng.random((m, 1)) < 0.8)
        far = up @ rng.normal(size=n) * 30 * (rng.random() < 0.3)  # so that what lanes multiply by cancels
        ups.append((up, rng.normal(size=m) + far) if gated and rng.random() < 0.8 else None)
        n = m
    q = int(rng.integers(1, 3))
    last = rng.normal(size=(q, n)) * (10.0 ** rng.choice([-size, 0, 0, size], (q, n)) if kind == "extreme" else 1.0)
    maps.append((last, rng.normal(size=q)))
    stored = [None if map_ is None else Affine(map_[0].astype(dtype), map_[1].astype(dtype)) for map_ in (*maps, *ups)]
    return Net(tuple(stored[: depth + 1]), tuple(groups), tuple(stored[depth + 1 :]))


def random_case(seed: int, number: int) -> Case:
    rng = np.random.default_rng([seed, number])
    d, kind, dtype = int(rng.integers(1, 4)), str(rng.choice(KINDS)), str(rng.choice(["float32", "float64"]))
    n = d + int(rng.integers(1, 6)) if kind == "folded" else d + int(rng.random() < 0.3)
    depth, degree = int(rng.choice([1, 1, 1, 2, 3])), int(rng.integers(2, 6))
    net = random_net(rng, n, kind, dtype, rng.random() < 0.5, depth)
    lower = rng.normal(size=(BOXES, d)) * 10.0 ** rng.choice([-3, -1, 0, 0, 0, 1], (BOXES, 1))
    lower = np.where(rng.random((BOXES, d)) < 0.15, rng.choice(CORNERS, (BOXES, d)), lower)
    width = 10.0 ** rng.choice(WIDTHS, (BOXES, 1)) * rng.uniform(0.3, 1, (BOXES, d)) * (rng.random((BOXES, d)) < 0.93)
    inputs = rng.normal(size=(n, d)) if n > d or rng.random() < 0.5 else None
    return Case(
        f"{seed}/{number} {kind} {dtype} {degree}", net, lower, lower + width, inputs, inputs is not None and rng.random() < 0.5, degree
    )


def misses(case: Case, points: int = 2) -> Iterator[str]:
    """Points at which an output lies outside its form."""
    ctx.prec = BITS
    x = TaylorForms.variables(case.lower, case.upper, case.degree)
    d = x.functions
    given = x if case.inputs is None else x.affine(case.inputs)
    if case.curved:
        given = given + (x[:, [0]] * x[:, [d - 1]])[:, [0] * given.functions]
    forms = prepare(case.net)(given)
    middle, half = middle_half(case.lower, case.upper)
    rng = np.random.default_rng(0)
    for b in np.repeat(np.arange(BOXES), points):
        t = rng.choice([-1.0, 1.0, 0.0, *np.arange(-7, 8) / 8], d)
        at = [arb(m) + arb(h) * arb(s) for m, h, s in zip(middle[b].tolist(), half[b].tolist(), t.tolist(), strict=True)]
        if any(s < low or s > high for s, low, high in zip(at, case.lower[b].tolist(), case.upper[b].tolist(), strict=True)):
            continue
        reads = at
        if case.inputs is not None:
            reads = [sum((arb(w) * s for w, s in zip(row, at, strict=True)), at[0] * at[-1] * case.curved) for row in case.inputs.tolist()]
        for k, exact in enumerate(value(case.net, reads)):
            radius = float(forms.radius[b, k])
            if radius < np.inf and abs(exact - polynomial(forms, b, k, t.tolist())) > radius:
                yield f"{case.name}: output {k} on {case.lower[b]} … {case.upper[b]} at {t}, radius {radius}"


def attack(nets: int, seed: int) -> Iterator[str]:
    """All misses, loops compiled in turn."""
    before = fast.WORTH
    for number in range(nets):
        fast.WORTH = -1 if number % 2 else 1 << 62
        yield from misses(random_case(seed, number))
    fast.WORTH = before


if __name__ == "__main__":
    count, first = (int(argument) for argument in (*sys.argv[1:], "1000", "0")[:2])
    found = list(attack(count, first))
    print(*found, f"{len(found)} misses of {count} nets", sep="\n")
