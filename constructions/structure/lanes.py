"""Quadratic functions in product lanes, exactly (N22): as few products as the signature asks for, and what is affine beside them.

Lemma. Let act(z) − act(−z) = z. The two lanes act(±(p·v + s))·(u·v + c) make (p·v + s)·(u·v + c); a lane act(1)·(g·v) makes any linear
function. A quadratic form of p positive and m negative squares is a sum of max(p, m) products: λ·a² − μ·b² = (√λ·a + √μ·b)(√λ·a − √μ·b).
A product of an output takes up whatever its linear part has along p and u; of the rest, over all outputs together, as few functions are
left as were found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...atlas import Array
from ...moe.activations import Activation
from ...moe.nets import Affine
from ...moe.ridge import Dictionary, Ridge
from .powers import Form, form
from .profiles import Profiles

EPS = float(np.finfo(float).eps)
TINY = 1e-12
"""Coefficients that are this small beside the largest of their output are rounding, and part of the bound."""


@dataclass(frozen=True, eq=False)
class _Product:
    """share·(p·v + s)·(u·v + c) for one output."""

    p: Form
    u: Form
    output: int
    share: float
    s: float = 0.0
    c: float = 0.0


def lanes(parts: Profiles, activation: Activation) -> tuple[Ridge, float] | None:
    """The net of a sum of squares of forms and an affine function, with a bound of what rounding makes of it; None for other sums."""
    weights = parts.squares
    if weights is None or not activation.reflects:
        return None
    rows, half = parts.rows, parts.half
    products: list[_Product] = []
    for j, c in enumerate(weights):
        products += _products(rows.T @ (c[:, None] * rows), half, j, {product.p for product in products})
    products, forms, shares, linear = _absorbed(products, parts.linear, half)
    return _net(parts, weights, products, forms, shares, linear, activation)


def _products(matrix: Array, half: Array, output: int, gates: set[Form]) -> list[_Product]:
    """vᵀHv as products, gates preferred that are there already."""
    values, vectors = np.linalg.eigh(matrix * half[:, None] * half)
    size = np.abs(values).max(initial=0.0)
    up = [(values[k], vectors[:, k]) for k in np.argsort(-values) if values[k] > TINY * size]
    down = [(-values[k], vectors[:, k]) for k in np.argsort(values) if values[k] < -TINY * size]
    pairs = [(np.sqrt(a) * x + np.sqrt(b) * y, np.sqrt(a) * x - np.sqrt(b) * y) for (a, x), (b, y) in zip(up, down, strict=False)]
    rest = len(pairs)
    pairs += [(x, a * x) for a, x in up[rest:]] + [(x, -a * x) for a, x in down[rest:]]
    found = []
    for first, second in pairs:
        p, u = form(first / half), form(second / half)
        k, j = (int(np.argmax(np.abs(np.array(f, float) * half))) for f in (p, u))
        share = float((first[k] / half[k] / float(p[k])) * (second[j] / half[j] / float(u[j])))
        found.append(_Product(u, p, output, share) if u in gates and p not in gates else _Product(p, u, output, share))
    return found


def _absorbed(products: list[_Product], linear: Array, half: Array) -> tuple[list[_Product], Array, Array, Array]:
    """Products with their s and c, forms G (r, n) with shares (outputs, r) for the linear parts, and what of these is dropped."""
    forms = np.zeros((0, len(half)))
    shares = np.zeros((len(linear), 0))
    outputs = sorted(range(len(linear)), key=lambda j: sum(product.output == j for product in products))
    made: list[_Product] = []
    carried = np.zeros_like(linear)
    for j in outputs:
        own = [product for product in products if product.output == j]
        along = [np.array(f, float) for product in own for f in (product.p, product.u)]
        target = linear[j] * half
        size = float(np.abs(target).max(initial=0.0))
        basis = np.concatenate([forms, np.array(along).reshape(-1, len(half))]) * half
        solution = np.linalg.lstsq(basis.T, target, rcond=1e-10)[0] if len(basis) else np.zeros(0)
        if size > 0 and np.abs(target - basis.T @ solution).max() > TINY * size:
            # One more form: what is left of the linear part beside the products' own.
            mine = np.array(along).reshape(-1, len(half)) * half
            left = target - (mine.T @ np.linalg.lstsq(mine.T, target, rcond=1e-10)[0] if len(mine) else 0.0)
            left = np.where(np.abs(left) > TINY * size, left, 0.0)
            forms = np.concatenate([forms, left[None] / half])
            shares = np.concatenate([shares, np.zeros((len(linear), 1))], axis=1)
            basis = np.concatenate([forms, np.array(along).reshape(-1, len(half))]) * half
            solution = np.linalg.lstsq(basis.T, target, rcond=1e-10)[0]
        solution = np.where(np.abs(solution) * np.abs(basis).max(1, initial=0.0) > TINY * size, solution, 0.0)
        shares[j, : len(forms)] = solution[: len(forms)]
        for k, product in enumerate(own):
            c, s = solution[len(forms) + 2 * k : len(forms) + 2 * k + 2] / product.share
            made.append(_Product(product.p, product.u, j, product.share, float(s), float(c)))
        carried[j] = basis.T @ solution / half
    return made, forms, shares, linear - carried


def _net(
    parts: Profiles, weights: Array, products: list[_Product], forms: Array, shares: Array, dropped: Array, activation: Activation
) -> tuple[Ridge, float]:
    outputs, n = parts.linear.shape
    half, rows = parts.half, parts.rows
    constant = parts.constant.copy()
    gates, biases, ups, up_biases, columns = [], [], [], [], []
    left = [rows.T @ (c[:, None] * rows) for c in weights]
    for product in sorted(products, key=lambda one: one.p):
        p, u = np.array(product.p, float), np.array(product.u, float)
        left[product.output] = left[product.output] - product.share * (np.outer(p, u) + np.outer(u, p)) / 2
        constant[product.output] -= product.share * product.s * product.c
        for side in (1.0, -1.0):
            gates.append(side * p)
            biases.append(side * product.s)
            ups.append(u)
            up_biases.append(product.c)
            columns.append(side * product.share * np.eye(outputs)[product.output])
    one = float(activation(np.ones(1))[0])
    for g, share in zip(forms, shares.T, strict=True):
        gates.append(np.zeros(n))
        biases.append(1.0)
        ups.append(g)
        up_biases.append(0.0)
        columns.append(share / one)
    if not gates:
        gates, biases, ups, up_biases, columns = [np.zeros(n)], [1.0], [np.zeros(n)], [0.0], [np.zeros(outputs)]
    gate, up, out = np.array(gates), np.array(ups), np.array(columns).T
    # v = (y − center)/scale.
    hidden, raised = gate / parts.scale, up / parts.scale
    at, over = hidden @ parts.center, raised @ parts.center
    facing = np.ones(len(gate))
    dictionary = Dictionary(hidden, (1,) * len(gate), at - np.array(biases), facing, activation)
    ridge = Ridge(dictionary, out, constant, Affine(raised, np.array(up_biases) - over))
    size = (np.abs(gate) @ half + np.abs(biases) + np.abs(at)) * (np.abs(up) @ half + np.abs(up_biases) + np.abs(over))
    lost = max(float(half @ np.abs(matrix) @ half) for matrix in left) + float((np.abs(dropped) @ half).max())
    rounded = 64 * EPS * float((np.abs(out) @ size + np.abs(constant)).max())
    return ridge, (parts.residual + lost) * (1 + 8 * EPS) + rounded
