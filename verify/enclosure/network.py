"""Enclosures of nets as they are stored: the real-arithmetic function of their float32 or float64 weights.

Hidden neurons of different activations are enclosed apart, and summed; product lanes are sums too (`lanes`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...atlas import Array
from ...errors import InvalidArgument
from ...intervals import Interval
from ...moe.activations import IDENTITY, RELU, RELU2, Activation
from ...moe.nets import Net
from . import jets
from .bend import Places
from .lanes import Lanes, Slack, Stacked
from .quadratic import QuadraticProfile, QuadraticProfiles
from .relu import Neurons, rectify
from .ridge import Profile, Profiles, canonical
from .smooth_neurons import SmoothNeurons
from .smooth_ridge import SmoothProfiles
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
        if not self.parts:
            N = len(forms)
            lower, upper = (np.broadcast_to(end, (N, self.outputs)) for end in (self.constant.lower, self.constant.upper))
            return TaylorForms.constants(Interval(lower, upper), forms.dimension, forms.degree)
        total = self.parts[0](forms)
        for part in self.parts[1:]:
            total = total + part(forms)
        return total.plus(self.constant)


@dataclass(frozen=True, eq=False)
class Hidden:
    """A hidden layer: x ↦ act(W·x + b)·(U·x + c), neuron by neuron."""

    weight: Array
    bias: Array
    activations: tuple[tuple[slice, Activation], ...]
    up: tuple[Array, Array] | None
    """U and c; None for a plain layer."""

    def __len__(self) -> int:
        return len(self.bias)

    @property
    def linear(self) -> bool:
        """Whether nothing is bent in it."""
        return self.up is None and all(activation is IDENTITY for _, activation in self.activations)

    @property
    def by_activation(self) -> dict[Activation, Places]:
        """The neurons of each."""
        found: dict[Activation, list[Places]] = {}
        for part, activation in self.activations:
            found.setdefault(activation, []).append(np.arange(len(self))[part])
        return {activation: np.concatenate(parts) for activation, parts in found.items()}

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        """Every neuron by itself, m functions."""
        z, found = forms.affine(self.weight, self.bias), self.by_activation
        parts = TaylorForms.concatenate([activated(activation, z[:, which]) for activation, which in found.items()])
        hidden = parts[:, np.argsort(np.concatenate(list(found.values())))]
        return hidden if self.up is None else hidden * forms.affine(*self.up)


def enclose(net: Net, forms: TaylorForms) -> TaylorForms:
    """The net's outputs where its inputs have these forms. `prepare` once for many batches."""
    return prepare(net)(forms)


def prepare(net: Net) -> NetEnclosure:
    """Finds the ridge structure in the stored weights, of every layer."""
    layers = []
    for affine, activations, up in zip(net.affines[:-1], net.activations, net.ups, strict=True):
        ups = None if up is None else (np.asarray(up.weight, float), np.asarray(up.bias, float))
        layers.append(Hidden(np.asarray(affine.weight, float), np.asarray(affine.bias, float), activations, ups))
    last = np.asarray(net.affines[-1].weight, float), np.asarray(net.affines[-1].bias, float)
    arrays = [*last, *(array for layer in layers for array in (layer.weight, layer.bias, *(layer.up or ())))]
    if not all(np.isfinite(array).all() for array in arrays):
        return _constant(net.inputs, Interval.of(*np.full((len(last[1]), 2), [-np.inf, np.inf]).T))
    return _prepared(layers, *last)


def _prepared(layers: list[Hidden], weight: Array, bias: Array) -> NetEnclosure:
    """Layer by layer from the front. A linear layer is what the layers before it lead to, and what those behind it read.

    A second layer W with few directions factors exactly as W = S·D, every row of S being one ±2^e. The first two layers then need only
    lead to D·act(·), a few outputs, and S starts a net with few directions, unit vectors, of its own.
    """
    inputs, zero = (layers[0].weight if layers else weight).shape[1], Interval.of(np.zeros(len(bias)))
    if not layers:
        return NetEnclosure(inputs, len(bias), (lambda forms: forms.affine(weight, bias),), zero)
    if (j := next((j for j, layer in enumerate(layers) if layer.linear), None)) is not None:
        before, behind = _prepared(layers[:j], layers[j].weight, layers[j].bias), _prepared(layers[j + 1 :], weight, bias)
        counts = before.directions + behind.directions, before.scattered + behind.scattered
        return NetEnclosure(inputs, behind.outputs, (lambda forms: behind(before(forms)),), zero, *counts)
    first, *rest = layers
    if not rest:
        return _two_layers(first, weight, bias)
    second, *others = rest
    directions, scale = canonical(second.weight, scaled=all(activation is RELU for _, activation in second.activations))
    which, kept = _grouped(directions)
    if SHARED * len(kept) > len(second) or second.up is not None:
        outer = _prepared(rest, weight, bias)
        return NetEnclosure(
            inputs, outer.outputs, (lambda forms: outer(first(forms)),), zero, outer.directions, len(first) + outer.scattered
        )  # fmt: skip
    selection = np.zeros((len(second), len(kept)))
    selection[np.arange(len(second)), which] = scale
    outer = _prepared([Hidden(selection, second.bias, second.activations, None), *others], weight, bias)
    inner = _two_layers(first, directions[kept], np.zeros(len(kept)))
    found = inner.directions + outer.directions, inner.scattered + outer.scattered
    return NetEnclosure(inputs, outer.outputs, (lambda forms: outer(inner(forms)),), zero, *found)


def _constant(inputs: int, value: Interval) -> NetEnclosure:
    return NetEnclosure(inputs, len(value.lower), (), value)


def _grouped(rows: Array) -> tuple[Places, Places]:
    """Which group of bit-identical rows each row is in, and one row of every group."""
    raw = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, kept, which = np.unique(raw, return_index=True, return_inverse=True)
    return which, kept


def _two_layers(hidden: Hidden, outputs: Array, constant: Array) -> NetEnclosure:
    """V·hidden + constant."""
    if hidden.up is None:
        return _sums(hidden, outputs, constant)
    stacked = Stacked.of(outputs, *hidden.up)
    inner = _sums(hidden, stacked.outputs, np.zeros(len(stacked.outputs)))
    squared = np.zeros(len(hidden), bool)
    squared[hidden.by_activation.get(RELU2, [])] = True
    lanes = Lanes(inner, stacked, Slack.of(stacked.off, hidden.weight, hidden.bias, squared))
    return NetEnclosure(inner.inputs, len(outputs), (lanes,), Interval.of(constant), inner.directions, inner.scattered)


def _sums(hidden: Hidden, outputs: Array, constant: Array) -> NetEnclosure:
    """Σ_j V_j·act(z_j) + constant, activation by activation."""
    parts: list[Part] = []
    directions = scattered = 0
    idle = (hidden.weight == 0).all(1)
    level = _level(hidden, idle, outputs, constant)
    for activation, members in hidden.by_activation.items():
        which = members[~idle[members]]
        if len(which):
            enclosed = {RELU: _rectified, RELU2: _squared, IDENTITY: _linear}.get(activation, _smooth)
            found, some, others = enclosed(activation, hidden.weight[which], hidden.bias[which], outputs[:, which])
            parts, directions, scattered = parts + found, directions + some, scattered + others
    return NetEnclosure(hidden.weight.shape[1], len(outputs), tuple(parts), level, directions, scattered)


def _level(hidden: Hidden, idle: Array, outputs: Array, constant: Array) -> Interval:
    """What neurons that read nothing add to the constant."""
    values, errors = np.zeros(len(hidden)), np.zeros(len(hidden))
    for activation, members in hidden.by_activation.items():
        which = members[idle[members]]
        if activation.smooth:
            found, slack = activation.derivatives(hidden.bias[which], 0)
            values[which], errors[which] = found[0], slack[0]
        else:
            values[which] = activation(hidden.bias[which])
            errors[which] = 0.0 if activation is RELU else EPS * values[which]
    level = _sum(np.concatenate([outputs[:, idle] * values[idle], constant[:, None]], axis=1))
    if not errors.any():
        return level
    slack = np.abs(outputs) @ errors * (1 + (len(errors) + 4) * EPS)
    return Interval.of(np.nextafter(level.lower - slack, -np.inf), np.nextafter(level.upper + slack, np.inf))


Found = tuple[list[Part], int, int]
"""Parts, the number of directions, and that of neurons that are scattered."""


def _rectified(activation: Activation, weight: Array, bias: Array, outputs: Array) -> Found:
    """ReLU: kinks are not smooth to any order, so forms of degree 2 are enough."""
    parts: list[Part] = []
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
        parts.append(OfSecondDegree(Profiles(directions[[j[0] for j in members]], profiles)))
    if not shared.all():
        parts.append(OfSecondDegree(Neurons(weight[~shared], bias[~shared], outputs[:, ~shared])))
    return parts, len(chosen), int((~shared).sum())


@dataclass(frozen=True, eq=False)
class OfSecondDegree:
    """A part that is enclosed by forms of degree 2, whatever the degree of the inputs' forms."""

    part: Part

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        return self.part(forms.lowered(2)).raised(forms.degree)


def _linear(activation: Activation, weight: Array, bias: Array, outputs: Array) -> Found:
    return [lambda forms: forms.affine(weight, bias).affine(outputs)], 0, len(bias)


def _smooth(activation: Activation, weight: Array, bias: Array, outputs: Array) -> Found:
    directions, facing = canonical(weight, scaled=False)
    which, _ = _grouped(directions)
    shared = np.bincount(which)[which] >= SHARED
    members = {k: np.flatnonzero(which == k) for k in np.unique(which[shared])}
    profiles = {k: jets.Neurons.of(facing[j], bias[j], outputs[:, j]) for k, j in members.items()}
    chosen = [k for k, profile in profiles.items() if profile.tabulated]
    alone = ~np.isin(which, chosen)
    parts: list[Part] = []
    if chosen:
        rows = directions[[members[k][0] for k in chosen]]
        original = np.concatenate([members[k] for k in chosen])
        one_by_one = SmoothNeurons(activation, weight[original], bias[original], np.ascontiguousarray(outputs[:, original]))
        parts.append(SmoothProfiles(activation, rows, tuple(profiles[k] for k in chosen), one_by_one))
    if alone.any():
        parts.append(SmoothNeurons(activation, weight[alone], bias[alone], np.ascontiguousarray(outputs[:, alone])))
    return parts, len(chosen), int(alone.sum())


def _squared(activation: Activation, weight: Array, bias: Array, outputs: Array) -> Found:
    directions, facing = canonical(weight, scaled=False)
    which, kept = _grouped(directions)
    members = [np.flatnonzero(which == k) for k in range(len(kept))]
    profiles = tuple(QuadraticProfile.of(-facing[j] * bias[j], outputs[:, j], facing[j]) for j in members)
    return [QuadraticProfiles(directions[kept], profiles)], len(kept), 0


def activated(activation: Activation, forms: TaylorForms) -> TaylorForms:
    """act of every function."""
    if activation in (RELU, IDENTITY):
        return rectify(forms) if activation is RELU else forms
    N, C, n = forms.coefficients.shape
    coefficients, radius = forms.in_memory
    flat = TaylorForms(coefficients.reshape(C, 1, -1).transpose(2, 0, 1), radius.reshape(-1, 1), degree=forms.degree)
    one = np.ones((1, 1))
    if activation is RELU2:
        found = QuadraticProfiles(one, (QuadraticProfile.of(np.zeros(1), one, np.ones(1)),))(flat)
    else:
        found = SmoothNeurons(activation, one, np.zeros(1), one)(flat)
    coefficients, radius = found.in_memory
    return TaylorForms(coefficients.reshape(C, n, N).transpose(2, 0, 1), radius.reshape(n, N).T, degree=forms.degree)


def _sum(terms: Array) -> Interval:
    """Σ over the second axis of products that were rounded once, enclosed."""
    total, slack = terms.sum(1), (terms.shape[1] + 2) * EPS * np.abs(terms).sum(1)
    slack = np.where(slack > 0, np.nextafter(slack, np.inf), 0.0)
    if terms.shape[1] == 1:
        return Interval.of(total)
    return Interval.of(np.nextafter(total - slack, -np.inf), np.nextafter(total + slack, np.inf))
