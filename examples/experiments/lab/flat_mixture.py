"""The baseline of what structure is worth: one layer of experts, an affine gate, one expert for each input, fitted and not trained.

Cells are either those of k-means, or a grid that is told where f jumps, as many of its walls as the numbers pay for. Experts are
two-layer nets of random neurons with output weights by least squares on points of their own cell.

Statement. Let f on a cube be continuous but for hyperplanes x_v = t that cut the cube into R boxes, and jump by at least J at every point
of a hyperplane that lies on no other one. Then every mixture of fewer than R continuous experts with an affine gate and one expert for
each input is off by at least J/2 somewhere.

Proof. Where one logit is the largest is convex. Each of the R boxes meets such a set in an open set, so with fewer than R of them one
expert serves points inside two boxes, and, moving them a little, all of a segment between that crosses the hyperplanes one by one. At
the first crossing f jumps by J or more and the expert is continuous. ∎ R experts are enough: the gate with the logits Σ_v (k_v·x_v −
t_1 − … − t_{k_v}) for the box with number k_v along axis v.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

Array = NDArray[np.float64]

SPLITS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Numbers of experts that are tried."""
EACH = 8
"""Points that a cell's expert is fitted to, for each of its neurons; 256 at least."""
WIDEST = 512
"""Neurons of an expert, at most: splits that need wider ones are left out."""
INDEPENDENT = 1e-3
"""Combinations of neurons smaller than this part of the largest are left out: they would only fit the sample."""


@dataclass(frozen=True)
class Flat:
    """The best flat mixture that was found."""

    network: Network
    cells: str
    """"k-means" or "told"."""
    experts: int
    width: int
    largest: float
    """|f − Ψ| at the test points, the largest…"""
    mean: float
    """…and the root mean square, in parts of the standard deviation of f."""


def width(total: int, experts: int, D: int) -> int:
    """Neurons of each expert so that gate and experts store at most `total` numbers."""
    return (total - experts * (D + 2)) // (experts * (D + 2))


def told(walls: Sequence[Sequence[float]], most: int) -> Affine:
    """The gate of a grid of at most `most` boxes: walls axis by axis, as long as they fit, its logits as in the statement above."""
    parts: list[list[float]] = [[] for _ in walls]
    for axis, wall in ((axis, wall) for axis, all_of_it in enumerate(walls) for wall in sorted(all_of_it)):
        grown = [part if k != axis else [*part, wall] for k, part in enumerate(parts)]
        if np.prod([len(part) + 1 for part in grown]) > most:
            break
        parts = grown
    numbers = np.array(list(itertools.product(*(range(len(part) + 1) for part in parts))), float)
    heights = [np.concatenate([[0.0], np.cumsum(part)]) for part in parts]
    bias = -np.sum([heights[v][numbers[:, v].astype(int)] for v in range(len(walls))], axis=0)
    return Affine(numbers, bias)


def clustered(x: Array, experts: int, seed: int) -> Affine:
    """The gate of nearest centres (B1), centres by k-means."""
    centers, _ = kmeans2(x, experts, minit="++", seed=seed)
    return Affine(centers, -(centers**2).sum(1) / 2)


def fitted(f: Callable[[Array], Array], gate: Affine, m: int, x: Array, seed: int) -> Network:
    """Experts of m neurons for every cell of the gate, on the points x that lie in it."""
    rng = np.random.default_rng(seed)
    y, chosen = f(x), np.argmax(gate(x), axis=1)
    nets = []
    for cell in range(len(gate.bias)):
        mine = chosen == cell
        rows = rng.normal(size=(m, x.shape[1]))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        knots = x[rng.choice(np.flatnonzero(mine), m)] if mine.any() else np.zeros((m, x.shape[1]))
        hidden = Affine(rows, -np.sum(rows * knots, axis=1))
        columns = np.column_stack([np.ones(mine.sum()), np.maximum(hidden(x[mine]), 0)])
        solution = np.linalg.lstsq(columns, y[mine], rcond=INDEPENDENT)[0] if mine.any() else np.zeros((m + 1, y.shape[1]))
        out = Affine(np.ascontiguousarray(solution[1:].T), np.ascontiguousarray(solution[0]))
        nets.append(ReLUNet((hidden, out), ((NeuronGroup("random", m, "random features"),),)))
    names = tuple(f"cell{k}" for k in range(len(nets)))
    layer = MoELayer(gate, tuple(nets), tuple(range(len(nets))), names, ("y[f]",))
    return Network((layer,), tuple(f"x[{k}]" for k in range(x.shape[1])))


def best(
    f: Callable[[Array], Array], walls: Sequence[Sequence[float]], total: int, points: int, seed: int = 0, most: int = SPLITS[-1]
) -> Flat:
    """The flat mixture of at most `total` numbers and `most` experts with the least root mean square error at `points` uniform points of
    the unit cube."""
    D = len(walls)
    rng = np.random.default_rng(seed)
    test = rng.uniform(size=(points, D))
    truth = f(test)
    spread = float(truth.std())
    found: Flat | None = None
    for experts in (one for one in SPLITS if one <= most):
        m = width(total, experts, D)
        if not 1 <= m <= WIDEST:
            continue
        x = rng.uniform(size=(experts * max(256, EACH * m), D))
        gates = {"k-means": clustered(x[:20_000], experts, seed), "told": told(walls, experts)}
        for cells, gate in gates.items():
            m = width(total, len(gate.bias), D)
            network = fitted(f, gate, m, x, seed)
            error = network(test) - truth
            one = Flat(network, cells, len(gate.bias), m, float(np.abs(error).max()), float(np.sqrt(np.mean(error**2))) / spread)
            if found is None or one.mean < found.mean:
                found = one
    assert found is not None
    return found
