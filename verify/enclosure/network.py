"""Enclosures of ReLU nets as they are stored: the real-arithmetic function of their float32 or float64 weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...atlas import Array
from ...constructions.network import ReLUNet
from ...errors import InvalidArgument
from ...intervals import Interval
from .relu import Neurons, rectify
from .ridge import Profile, Profiles, canonical
from .taylor import EPS, TaylorForms

SHARED = 3
"""Neurons of a direction from which on a profile is cheaper and tighter than neurons one by one."""

Part = Callable[[TaylorForms], TaylorForms]


@dataclass(frozen=True, eq=False)
class NetEnclosure:
    """A net prepared to be enclosed on many batches of boxes. Two-layer nets only: `parts` add up, to `constant` as well.

    `directions` counts those that got a profile, `scattered` the neurons that did not.
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
        if not self.parts:
            N = len(forms)
            ends = (np.broadcast_to(end, (N, self.outputs)) for end in (self.constant.lower, self.constant.upper))
            return TaylorForms.constants(Interval(*ends), forms.dimension)
        total = self.parts[0](forms)
        for part in self.parts[1:]:
            total = total + part(forms)
        return total.plus(self.constant)


def enclose(net: ReLUNet, forms: TaylorForms) -> TaylorForms:
    """The net's outputs where its inputs have these forms. `prepare` once for many batches."""
    return prepare(net)(forms)


def prepare(net: ReLUNet) -> NetEnclosure:
    """Finds the ridge structure in the stored weights of a two-layer net; deeper ones are enclosed layer by layer."""
    weights = [(np.asarray(a.weight, float), np.asarray(a.bias, float)) for a in net.affines]
    inputs, outputs = weights[0][0].shape[1], weights[-1][0].shape[0]
    if not all(np.isfinite(W).all() and np.isfinite(b).all() for W, b in weights):
        return NetEnclosure(inputs, outputs, (), Interval.of(np.full(outputs, -np.inf), np.full(outputs, np.inf)))
    if len(weights) == 2:
        return _two_layers(*weights[0], *weights[1])
    zero = Interval.of(np.zeros(outputs))

    def layered(forms: TaylorForms) -> TaylorForms:
        for W, b in weights[:-1]:
            forms = rectify(forms.affine(W, b))
        return forms.affine(*weights[-1])

    return NetEnclosure(inputs, outputs, (layered,), zero)


def _two_layers(weight: Array, bias: Array, outputs: Array, constant: Array) -> NetEnclosure:
    idle = (weight == 0).all(1)
    level = _sum(np.concatenate([outputs[:, idle] * np.maximum(bias[idle], 0), constant[:, None]], axis=1))
    weight, bias, outputs = weight[~idle], bias[~idle], outputs[:, ~idle]
    parts: list[Part] = []
    if not len(bias):
        return NetEnclosure(weight.shape[1], len(outputs), (), level)
    directions, scale = canonical(weight)
    rows = np.ascontiguousarray(directions).view(np.dtype((np.void, directions.itemsize * directions.shape[1]))).ravel()
    _, which, counts = np.unique(rows, return_inverse=True, return_counts=True)
    shared = counts[which] >= SHARED
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
