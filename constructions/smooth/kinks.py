"""Straight kinks beside smooth neurons: a ReLU exactly on each hyperplane along which the target bends, smooth neurons for the rest.

A smooth neuron gains nothing on a ReLU at a kink, and a ReLU helps only if its knot lies on the kink. Greedy: after a few smooth neurons
have taken what they can, one ReLU is scanned over directions and knots; the best is moved by Gauss–Newton steps, in which the columns
∂/∂t and ∂/∂a of each σ(a·x − t) join the least squares and their coefficients are the step; first beside few smooth neurons, where it
is attracted from afar, then beside many, where it becomes exact. It is kept if beside the many it still explains a good part:
what is smooth they explain without it. A wrong guess costs time, and no neuron. Kinks along curves are no such neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...atlas import Array
from ...moe.activations import RELU
from ...moe.nets import Net, beside
from ...moe.ridge import Dictionary, Ridge
from ..relu.dictionary import Coordinates
from ..relu.directions import directions
from .forms import Form

DIRECTIONS, PLACES = {1: 1, 2: 48, 3: 160}, 16
"""Scanned: directions by dimension (192 from four on), and knots along each."""
SUSPECT, KEPT = 0.1, 0.3
"""Share of the remaining energy that a scanned ReLU must explain to be moved, and a moved one to be kept."""
MOST = 6
STEPS, HALVINGS = 12, 4
CONVERGED = 1e-14
"""Of the half-length of the data: a step that is no longer worth taking."""
BOLD = 0.2
"""Longest step, in half-lengths of the data: farther away the derivative says nothing."""
RANK = 1e-11
"""Smooth columns are orthonormalised; what is below this part of the largest is rounding."""


@dataclass(frozen=True, eq=False)
class Kinks:
    """Hyperplanes a·z = t in the coordinates z of the data: unit rows a (j, r), knots t (j,)."""

    rows: Array
    knots: Array

    def __len__(self) -> int:
        return len(self.knots)

    def features(self, z: Array) -> Array:
        """σ(a·z − t), (N, j)."""
        return np.maximum(z @ self.rows.T - self.knots, 0)

    def moves(self, z: Array) -> Array:
        """The derivatives of the features by t and along r − 1 tangents of a, (N, j·r)."""
        active = z @ self.rows.T > self.knots
        slopes = [np.concatenate([-np.ones((len(z), 1)), z @ _tangents(row).T], axis=1) for row in self.rows]
        return np.concatenate([a[:, None] * slope for a, slope in zip(active.T, slopes, strict=True)], axis=1)

    def moved(self, steps: Array) -> Kinks:
        """By steps (j, r) along the moves."""
        rows = self.rows + np.stack([step[1:] @ _tangents(row) for step, row in zip(steps, self.rows, strict=True)])
        lengths = np.linalg.norm(rows, axis=1)
        return Kinks(rows / lengths[:, None], (self.knots + steps[:, 0]) / lengths)

    def and_one(self, row: Array, knot: float) -> Kinks:
        return Kinks(np.concatenate([self.rows, row[None]]), np.append(self.knots, knot))


@dataclass(frozen=True, eq=False)
class Bent(Form):
    """A smooth form with a ReLU on each kink."""

    smooth: Form
    kinks: Kinks
    coordinates: Coordinates

    def columns(self, inputs: Array) -> Array:
        return np.concatenate([self.kinks.features(self.coordinates(inputs)), self.smooth.columns(inputs)], axis=1)

    def ridge(self, weights: Array) -> None:
        """It has two activations, so it is no single ridge form."""

    def net(self, weights: Array, name: str, origin: str) -> Net:
        j = len(self.kinks)
        rows = (self.kinks.rows / self.coordinates.scale) @ self.coordinates.basis.T
        dictionary = Dictionary(rows, (1,) * j, self.kinks.knots + rows @ self.coordinates.center, np.ones(j), RELU)
        bends = Ridge(dictionary, np.ascontiguousarray(weights[:j].T), np.zeros(weights.shape[1]))
        return beside(self.smooth.net(weights[j:], name, origin), bends.to_net(f"{name}.kink", origin))


@dataclass(frozen=True, eq=False)
class _Rest:
    """What smooth columns leave of values (N, q) at points z."""

    z: Array
    basis: Array
    left: Array

    @staticmethod
    def of(form: Form, inputs: Array, values: Array, coordinates: Coordinates) -> _Rest:
        columns = form.columns(inputs)
        left, singular, _ = np.linalg.svd(columns / np.linalg.norm(columns, axis=0), full_matrices=False)
        basis = left[:, singular > RANK * singular[0]]
        return _Rest(coordinates(inputs), basis, values - basis @ (basis.T @ values))

    def across(self, columns: Array) -> Array:
        """The part of columns orthogonal to the smooth ones."""
        for _ in range(2):
            columns = columns - self.basis @ (self.basis.T @ columns)
        return columns

    def misfit(self, kinks: Kinks) -> Array:
        """What the kinks leave in turn, (N, q)."""
        if not len(kinks):
            return self.left
        columns = self.across(kinks.features(self.z))
        return np.asarray(self.left - columns @ np.linalg.lstsq(columns, self.left, rcond=None)[0])

    def energy(self, kinks: Kinks) -> float:
        return float((self.misfit(kinks) ** 2).sum())

    def exact(self, kinks: Kinks) -> Kinks:
        """The kinks moved to a place near by where they explain most: Gauss–Newton steps, halved until they help."""
        j, r = kinks.rows.shape
        energy = self.energy(kinks)
        for _ in range(STEPS):
            columns = np.concatenate([kinks.features(self.z), kinks.moves(self.z)], axis=1)
            weights = np.linalg.lstsq(self.across(columns), self.left, rcond=None)[0]
            slopes, changes = weights[:j], weights[j:].reshape(j, r, -1)
            steps = np.einsum("jrq,jq->jr", changes, slopes) / np.maximum((slopes**2).sum(1), np.finfo(float).tiny)[:, None]
            steps *= min(1.0, BOLD / max(float(np.abs(steps).max()), np.finfo(float).tiny))
            for _ in range(HALVINGS):
                trial = kinks.moved(steps)
                if (less := self.energy(trial)) < energy:
                    break
                steps /= 2
            else:
                return kinks
            kinks, energy = trial, less
            if np.abs(steps).max() < CONVERGED:
                break
        return kinks


def find_kinks(coarse: Form, fine: Form, coordinates: Coordinates, inputs: Array, values: Array) -> Kinks | None:
    """The straight kinks of values (N, q) at inputs (N, n), found beside a form of few and made exact beside one of more neurons."""
    few, many = (_Rest.of(form, inputs, values, coordinates) for form in (coarse, fine))
    z, r = few.z, coordinates.rank
    lines = directions(DIRECTIONS.get(r, 192), r)
    projected = z @ lines.T
    places = np.quantile(projected, (np.arange(PLACES) + 0.5) / PLACES, axis=0).T
    candidates = np.maximum(np.repeat(projected, PLACES, axis=1) - places.ravel(), 0)
    free = few.across(candidates)
    norms = np.maximum(np.einsum("ij,ij->j", free, free), 1e-9 * len(z))
    scale = float(((values - values.mean(0)) ** 2).sum())
    kinks = Kinks(np.zeros((0, r)), np.zeros(0))
    while len(kinks) < MOST:
        left, energy = few.misfit(kinks), many.energy(kinks)
        # Rounding has no kinks.
        if energy <= 1e-20 * scale:
            break
        share = ((left.T @ free) ** 2).sum(0) / norms / float((left**2).sum())
        best = int(np.argmax(share))
        if share[best] < SUSPECT:
            break
        trial = many.exact(few.exact(kinks.and_one(lines[best // PLACES], float(places.ravel()[best]))))
        if many.energy(trial) > (1 - KEPT) * energy:
            break
        kinks = trial
    return kinks if len(kinks) else None


def _tangents(row: Array) -> Array:
    """(r − 1, r), orthonormal and orthogonal to the unit row."""
    return np.asarray(np.linalg.svd(row[None])[2][1:])
