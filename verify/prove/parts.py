"""A combination of many values, taken apart: fewer variables at a time (B4, R10).

A component is a sum of terms, and what the network computes for it is a sum of hidden neurons, or lanes, and an affine function. Terms
and neurons are put into groups, and each group is given an affine function of its own: f = Σ f_g, q = Σ q_g + gap, where the gap is what
those affine functions together miss of the network's. So |f − q| ≤ Σ |f_g − q_g| + |gap|, however they are grouped, and each part is
proved on boxes of its own variables only: a product of two values has two, where the whole may have dozens. Groups are the connected
components of variables that share a term or a neuron; a component of more than `MOST` variables falls into its largest terms.

Variables that all neurons of a group read in one proportion, as those of sin(2·(a + b + c)) are, count as one, t = a + b + c, if the
terms of the group see them through t alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ...atlas import Array, ExpressionMap
from ...errors import AtlasMoEError
from ...expressions.additive import in_forms, terms, total
from ...expressions.parse import read_expression, real_symbols
from ...expressions.text import text_of
from ...expressions.tree import Node, free_names
from ...moe.activations import RELU, Activation
from ...moe.layer import MoELayer
from ...moe.nets import Affine, Net
from ...moe.network import Network
from .linear import groups_of, kinds_of
from .slices import Slice

MOST = 3
"""Variables of a connected component that is proved as a whole."""

Forms = dict[str, dict[str, Fraction]]
"""What a group has for variables: name ↦ the form of the site's variables that it stands for; a variable stands for itself."""


@dataclass(frozen=True, eq=False)
class Part:
    """A group of terms and neurons of one component."""

    component: int
    forms: Forms
    function: ExpressionMap
    """f_g, of the names of `forms`."""
    neurons: tuple[Neuron, ...]
    """With rows over `forms`."""

    @property
    def label(self) -> str:
        return ", ".join(self.forms)

    def network(self, slope: Array, offset: float) -> Network:
        """q_g: its neurons and slope·t + offset, the linear part as a pair."""
        ends = [Neuron(slope, 0.0, 1.0, RELU, 0 * slope, 1.0), Neuron(-slope, 0.0, -1.0, RELU, 0 * slope, 1.0)]
        row, bias, weight, kinds, up, factor = zip(*self.neurons, *ends, strict=True)
        affines = Affine(np.array(row), np.array(bias)), Affine(np.array([weight]), np.array([offset]))
        lanes = Affine(np.array(up), np.array(factor)) if any(neuron.is_lane for neuron in self.neurons) else None
        net = Net(affines, (groups_of(kinds, "part", "neurons of some of the variables"),), (lanes,))
        return Network((MoELayer(None, (net,), (0,), ("all",), (self.label,)),), tuple(self.forms))


class Neuron(NamedTuple):
    """weight·act(row·v + bias)·(up·v + factor)."""

    row: Array
    bias: float
    weight: float
    activation: Activation
    up: Array
    factor: float

    @property
    def is_lane(self) -> bool:
        """Whether the second factor is not 1."""
        return bool(self.up.any()) or self.factor != 1


@dataclass(frozen=True, eq=False)
class Component:
    """What a network without a gate computes for one component, exactly: neurons, and an affine function of the variables."""

    neurons: list[Neuron]
    slope: list[Fraction]
    constant: Fraction


def parts_of(trees: Sequence[Node], variables: Sequence[str], part: Slice, matrix: Array) -> tuple[list[Part], list[Component]] | None:
    """The groups of all components, and what the network computes for these; None where nothing is gained, or the slice is no such sum."""
    whole = _components(part.network, matrix)
    if whole is None:
        return None
    found: list[Part] = []
    try:
        for number, (tree, component) in enumerate(zip(trees, whole, strict=True)):
            found += _of_component(number, tree, component, variables)
    except AtlasMoEError:  # a term that no text can say
        return None
    return (found, whole) if any(len(p.forms) < len(variables) for p in found) else None


def _components(network: Network, matrix: Array) -> list[Component] | None:
    """The slice as sums; None if a gate chooses, something is carried, or it is deeper than one hidden layer."""
    layer, selects = network.layers[0], (matrix != 0).sum(1) == 1
    carried = layer.carries is not None and max(layer.carries) >= 0
    columns = matrix.argmax(1)
    if len(network.layers) > 1 or layer.gate is not None or carried or not (selects & (matrix == 1).any(1)).all():
        return None
    nets = [net for net in (layer.experts[0], layer.shared) if net is not None]
    if any(len(net.affines) > 2 for net in nets) or len(set(columns.tolist())) < len(columns):
        return None
    n = matrix.shape[1]
    reads = np.arange(len(columns)) if layer.reads is None else np.array(layer.reads, np.intp)
    found = [Component([], [Fraction(0)] * n, Fraction(0)) for _ in network.outputs]
    for net in nets:
        first, last = net.affines[0], net.affines[-1]
        rows = np.zeros((len(first.weight), n))
        rows[:, columns[reads]] = first.weight
        biases = np.asarray(first.bias, float)
        for k, target in enumerate(layer.targets):
            if len(net.affines) == 1:
                found[target] = _with(found[target], [], [(rows[k], float(biases[k]), 1.0)], 0.0)
                continue
            ups, factors = np.zeros_like(rows), np.ones(len(rows))
            if (lanes := net.ups[0]) is not None:
                ups[:, columns[reads]], factors = lanes.weight, np.asarray(lanes.bias, float)
            weights = np.asarray(last.weight[k], float)
            given = zip(rows, biases.tolist(), weights.tolist(), kinds_of(net, 0), ups, factors.tolist(), strict=True)
            curved, linear = _neurons([Neuron(*each) for each in given])
            found[target] = _with(found[target], curved, [neuron[:3] for neuron in linear], float(last.bias[k]))
    return found


def _with(found: Component, curved: list[Neuron], linear: Sequence[tuple[Array, float, float]], constant: float) -> Component:
    """With more neurons, and with w·(row·v + bias) for every linear one."""
    slope, total_ = list(found.slope), found.constant + Fraction(constant)
    for row, bias, weight in linear:
        slope = [s + Fraction(weight) * Fraction(float(r)) for s, r in zip(slope, row, strict=True)]
        total_ += Fraction(weight) * Fraction(bias)
    return Component(found.neurons + curved, slope, total_)


def _neurons(neurons: Sequence[Neuron]) -> tuple[list[Neuron], list[Neuron]]:
    """The neurons that an output reads: those with a bend, and z for two that are w·act(z) − w·act(−z) and no lanes."""
    waiting: dict[tuple[bytes, str], list[int]] = {}
    curved: dict[int, Neuron] = {}
    linear = []
    for k, neuron in enumerate(neurons):
        if not neuron.weight:
            continue
        key, name = np.concatenate([neuron.row, [neuron.bias, neuron.weight]]) + 0.0, neuron.activation.name  # no −0
        fits = neuron.activation.reflects and not neuron.is_lane
        if fits and (partners := waiting.get(((0.0 - key).tobytes(), name))):
            linear.append(curved.pop(partners.pop()))
            continue
        if fits:
            waiting.setdefault((key.tobytes(), name), []).append(k)
        curved[k] = neuron
    return list(curved.values()), linear


def _of_component(number: int, tree: Node, component: Component, variables: Sequence[str]) -> list[Part]:
    """All groups of one component."""
    left = terms(tree)
    reads = [frozenset(variables[k] for k in np.flatnonzero((neuron.row != 0) | (neuron.up != 0)).tolist()) for neuron in component.neurons]
    sets = [*map(frozenset, map(free_names, left)), *reads, *(frozenset([v]) for v, s in zip(variables, component.slope, strict=True) if s)]
    groups = grouped([names for names in sets if names]) or [frozenset(variables[:1])]
    apart = sum(map(len, groups)) == len(frozenset().union(*groups))
    first = [next(n for n, group in enumerate(groups) if names <= group) for names in reads]
    found = []
    for n, group in enumerate(groups):
        own = [term for term in left if free_names(term) <= group]
        left = [term for term in left if term not in own]
        neurons = [neuron for neuron, home in zip(component.neurons, first, strict=True) if home == n]
        columns = [k for k, name in enumerate(variables) if name in group]
        found.append(_part(number, variables, own, neurons, columns, component.slope if apart else None))
    return found


def grouped(sets: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Sets such that each of the given ones lies in one: connected components, or, of more than `MOST` names, what is largest in them."""
    components: list[set[str]] = []
    for names in sets:
        touched = [c for c in components if c & names]
        components = [c for c in components if not c & names] + [set(names).union(*touched)]
    found: list[frozenset[str]] = []
    for names in map(frozenset, components):
        inner = {part for part in sets if part <= names} if len(names) > MOST else {names}
        found += sorted((part for part in inner if not any(part < other for other in inner)), key=sorted)
    return found


def _part(
    number: int,
    taken: Sequence[str],
    own: Sequence[Node],
    neurons: Sequence[Neuron],
    columns: Sequence[int],
    slope: Sequence[Fraction] | None,
) -> Part:
    """The group in as few variables as it can be seen through. `taken` are those of the site; `slope` is the network's, where no other
    group has these variables.
    """
    names = [taken[k] for k in columns]
    tree, forms = total(own), {name: {name: Fraction(1)} for name in names}
    if slope is not None:
        rows = [[Fraction(float(row[k])) for k in columns] for neuron in neurons for row in (neuron.row, neuron.up)]
        fewer = _proportional([*rows, [slope[k] for k in columns]], names, taken)
        seen = in_forms(tree, fewer)
        tree, forms = (tree, forms) if seen is None else (seen, fewer)
    reads = [columns[names.index(next(iter(form)))] for form in forms.values()]
    inner = tuple(neuron._replace(row=neuron.row[reads], up=neuron.up[reads]) for neuron in neurons)
    return Part(number, forms, _function(tree, list(forms)), inner)


def _proportional(rows: Sequence[Sequence[Fraction]], names: Sequence[str], taken: Sequence[str]) -> Forms:
    """Variables whose weights are proportional in all rows, as one form each: 1 times the first, a float times each other."""
    found: list[dict[str, Fraction]] = []
    columns: list[list[Fraction]] = []
    for k, name in enumerate(names):
        column = [row[k] for row in rows]
        at = next((j for j, w in enumerate(column) if w), None)
        for form, other in zip(found, columns, strict=True):
            if at is None or not other[at]:
                continue
            ratio = column[at] / other[at]
            if Fraction(float(ratio)) == ratio and all(w == ratio * v for w, v in zip(column, other, strict=True)):
                form[name] = ratio
                break
        else:
            found.append({name: Fraction(1)})
            columns.append(column)
    fresh = (f"t{n}" for n in range(1, 2 * len(taken) + 2) if f"t{n}" not in taken)
    return {(next(iter(form)) if len(form) == 1 else next(fresh)): form for form in found}


def _function(tree: Node, names: Sequence[str]) -> ExpressionMap:
    symbols = real_symbols(names)
    return ExpressionMap(tuple(symbols.values()), (read_expression(text_of(tree), symbols, "term").expression,), (tree,))


def form_range(form: Mapping[str, Fraction], lower: Mapping[str, float], upper: Mapping[str, float]) -> tuple[float, float]:
    """What a form lies in where its variables lie in [lower, upper], rounded outward."""
    low = sum((c * Fraction(lower[v] if c > 0 else upper[v]) for v, c in form.items()), Fraction(0))
    high = sum((c * Fraction(upper[v] if c > 0 else lower[v]) for v, c in form.items()), Fraction(0))
    least, most = float(low), float(high)
    return (least if Fraction(least) <= low else float(np.nextafter(least, -np.inf)),
            most if Fraction(most) >= high else float(np.nextafter(most, np.inf)))  # fmt: skip
