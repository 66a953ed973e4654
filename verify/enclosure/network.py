"""Enclosures of ReLU nets as they are stored: the real-arithmetic function of their float32 or float64 weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...atlas import Array
from ...errors import InvalidArgument
from ...intervals import Interval
from ...moe.network import ReLUNet
from .bend import Places
from .relu import Neurons, rectify
from .ridge import Profile, Profiles, canonical
from .taylor import EPS, TaylorForms

SHARED = 2
"""Neurons of a direction from which on a profile is cheaper and tighter than neurons one by one."""

Part = Callable[[TaylorForms], TaylorForms]


@dataclass(frozen=True, eq=False)
class NetEnclosure:
    """A net prepared to be enclosed on many batches of boxes: the sum of `parts` and `constant`.

    `directions` counts those that got a profile, over all layers; `scattered` the neurons that did not.
    """

    inputs: int
    outputs: int
    parts: tuple[Part, ...]
    constant: Interval
    directions: int = 0
    scattered: int = 0

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        """The outputs as functions of the box coordinates of `forms`, which hold the inputs in order.

        Unknown for weights that are not finite. Raises `InvalidArgument` for another number of inputs.
        """
        if forms.functions != self.inputs:
            raise InvalidArgument(f"a net of {self.inputs} inputs was given {forms.functions} forms")
        if forms.degree > 2:  # kinks are not smooth to any order
            return self(forms.lowered(2)).raised(forms.degree)
        if not self.parts:
            N = len(forms)
            lower, upper = (np.broadcast_to(end, (N, self.outputs)) for end in (self.constant.lower, self.constant.upper))
            return TaylorForms.constants(Interval(lower, upper), forms.dimension)
        total = self.parts[0](forms)
        for part in self.parts[1:]:
            total = total + part(forms)
        return total.plus(self.constant)


def enclose(net: ReLUNet, forms: TaylorForms) -> TaylorForms:
    """The net's outputs where its inputs have these forms. `prepare` once for many batches."""
    return prepare(net)(forms)


def prepare(net: ReLUNet) -> NetEnclosure:
    """Finds the ridge structure in the stored weights, of every layer."""
    weights = [(np.asarray(a.weight, float), np.asarray(a.bias, float)) for a in net.affines]
    if not all(np.isfinite(W).all() and np.isfinite(b).all() for W, b in weights):
        return _constant(weights[0][0].shape[1], Interval.of(*np.full((len(weights[-1][1]), 2), [-np.inf, np.inf]).T))
    return _prepared(weights)


def _prepared(weights: list[tuple[Array, Array]]) -> NetEnclosure:
    """Layer by layer from the front.

    A second layer W with few directions factors exactly as W = S·D, every row of S being one ±2^e. The first two layers then need only
    lead to D·σ(·), a few outputs, and S starts a net with few directions, unit vectors, of its own.
    """
    (first, bias), *rest = weights
    inputs, zero = first.shape[1], Interval.of(np.zeros(len(weights[-1][1])))
    if not rest:
        return NetEnclosure(inputs, len(bias), (lambda forms: forms.affine(first, bias),), zero)
    (second, later), *rest = rest
    if not rest:
        return _two_layers(first, bias, second, later)
    directions, scale = canonical(second)
    which, kept = _grouped(directions)
    if SHARED * len(kept) > len(second):
        outer = _prepared([(second, later), *rest])
        part: Part = lambda forms: outer(rectify(forms.affine(first, bias)))  # noqa: E731
        return NetEnclosure(inputs, outer.outputs, (part,), zero, outer.directions, len(bias) + outer.scattered)
    selection = np.zeros((len(second), len(kept)))
    selection[np.arange(len(second)), which] = scale
    inner, outer = _two_layers(first, bias, directions[kept], np.zeros(len(kept))), _prepared([(selection, later), *rest])
    found = inner.directions + outer.directions, inner.scattered + outer.scattered
    return NetEnclosure(inputs, outer.outputs, (lambda forms: outer(inner(forms)),), zero, *found)


def _constant(inputs: int, value: Interval) -> NetEnclosure:
    return NetEnclosure(inputs, len(value.lower), (), value)


def _grouped(rows: Array) -> tuple[Places, Places]:
    """Which group of bit-identical rows each row is in, and one row of every group."""
    raw = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, kept, which = np.unique(raw, return_index=True, return_inverse=True)
    return which, kept


def _two_layers(weight: Array, bias: Array, outputs: Array, constant: Array) -> NetEnclosure:
    idle = (weight == 0).all(1)
    level = _sum(np.concatenate([outputs[:, idle] * np.maximum(bias[idle], 0), constant[:, None]], axis=1))
    weight, bias, outputs = weight[~idle], bias[~idle], outputs[:, ~idle]
    parts: list[Part] = []
    if not len(bias):
        return _constant(weight.shape[1], level)
    directions, scale = canonical(weight)
    which, _ = _grouped(directions)
    shared = np.bincount(which)[which] >= SHARED
    # Knots and steps are exact unless they underflow or overflow, which leaves the neuron to the general path.
    knots, steps = -bias / scale, outputs * scale
    with np.errstate(all="ignore"):
        exact = (knots * scale == -bias) & (steps / scale == outputs).all(0) & np.isfinite(knots) & np.isfinite(steps).all(0)
    shared &= exact
    chosen = np.unique(which[shared])
    if len(chosen):
        members = [np.flatnonzero(shared & (which == k)) for k in chosen]
        profiles = tuple(Profile.of(knots[j], steps[:, j].T, np.sign(scale[j])) for j in members)
        parts.append(Profiles(directions[[j[0] for j in members]], profiles))
    if not shared.all():
        parts.append(Neurons(weight[~shared], bias[~shared], outputs[:, ~shared]))
    return NetEnclosure(weight.shape[1], len(outputs), tuple(parts), level, len(chosen), int((~shared).sum()))


def _sum(terms: Array) -> Interval:
    """Σ over the second axis of products that were rounded once, enclosed."""
    total, slack = terms.sum(1), (terms.shape[1] + 2) * EPS * np.abs(terms).sum(1)
    slack = np.where(slack > 0, np.nextafter(slack, np.inf), 0.0)
    if terms.shape[1] == 1:
        return Interval.of(total)
    return Interval.of(np.nextafter(total - slack, -np.inf), np.nextafter(total + slack, np.inf))
