"""Combinations that a certificate proves part by part: the parts are derived again, from the task's trees and from the weights.

A part says what its variables are, as linear forms of the site's, and which affine function it adds to its neurons. Which terms and which
neurons belong to it is found here: each term to the first part of its component that can say it in its variables, and each
neuron likewise. As terms add up to the function, and neurons with the affine part to the network, whatever the parts are,

    |f − q| ≤ Σ |f_g − q_g| + |what the affine functions of the parts together miss of the network's|.

So there are no wrong parts: only such as leave a term or a neuron without a home, whose bounds do not hold, or do not add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import numpy as np

from ...atlas import Array, ExpressionMap
from ...expressions.additive import in_forms, terms, total
from ...expressions.parse import read_expression, real_symbols
from ...expressions.text import text_of
from ...expressions.tree import Node
from ...intervals.patch import GROW
from .charts import Boxes, F
from .documents import PartSaid, Site
from .functions import moves_little, within
from .layers import Layer
from .leaves import Judge
from .nets import IDENTITY, Kinds, Map, Net
from .refused import Refused
from .slices import NONE, Slice
from .subjects import Failure, Subject
from .trees import PROVED, Tree

ALL = ("all",)
MOST_DIMENSIONS = 10
"""Coordinates of boxes that are followed at most: there are 2^d vertices."""


class Neurons(NamedTuple):
    """What the network computes for one component, exactly: Σ weight·act(row·v + bias)·(up·v + factor) + slope·v + constant."""

    rows: Array
    biases: Array
    weights: Array
    kinds: Kinds
    ups: Array
    factors: Array
    slope: list[Fraction]
    constant: Fraction


class Share(NamedTuple):
    """What a part is about."""

    function: ExpressionMap
    """Of its own variables."""
    layer: Layer
    """From its own variables to its one component."""


def widened(ranges: Array, moves: Array) -> Array:
    """Ranges (variables, 2) as corners (2, variables), further apart by what is read amiss."""
    lower, upper, wide = *ranges.T, moves > 0
    low, high = np.nextafter(lower - moves, -np.inf), np.nextafter(upper + moves, np.inf)
    return np.array([np.where(wide, low, lower), np.where(wide, high, upper)])


def whole_box(part: Slice, matrix: Array, box: Array, eta: float) -> tuple[Subject, list[Tree]]:
    """A box as the one leaf of a tree, and the slice on it, for what is said of all of it."""

    def truth(p: int, u: F, y: F, /) -> F:
        return u

    boxes = Boxes(ALL, box[:1], box[1:])
    identity = np.array_equal(matrix, np.eye(*matrix.shape)) and len(matrix) == matrix.shape[1]
    subject = Subject("", boxes, part.layers, None if identity else matrix, np.zeros(len(box[0])), truth, None, eta, np.inf)
    leaf = np.full(1, PROVED, np.uint8), np.zeros(1), np.ones((1, 1), bool)
    return subject, [Tree(box, box[:1], box[1:], *leaf)]


def part_by_part(site: Site, trees: Sequence[Node], part: Slice, matrix: Array, box: Array) -> tuple[list[Failure | None], int]:
    """The fates of all leaves, up to the first part with a rejected one, and the boxes looked at, where the variables of the site lie in a
    box. Raises `Refused` for numbers that do not follow from those of the parts.
    """
    alone = not site.charts and site.routes is None and site.scores is None and not site.folded
    if site.kind != "combine" or not alone or len(site.parts) != len(site.trees):
        raise Refused("only a combination has parts, one for every tree")
    labels = [f"{n}: {', '.join(said.variables)}" for n, said in enumerate(site.parts)]
    if site.pieces != tuple((label, len(tree.tags)) for label, tree in zip(labels, site.trees, strict=True)):
        raise Refused("its pieces are not its parts, each with its number of boxes")
    found, network = _shares(site, trees, part, matrix)
    fates: list[Failure | None] = []
    boxes = 0
    for said, share, tree in zip(site.parts, found, site.trees, strict=True):
        more, count = _settled(site, said, share, tree, _reach(said, *box))
        fates, boxes = fates + more, boxes + count
        if any(fate is not None and fate.rejected for fate in more):
            return fates, boxes
    _require_sums(site, _gaps(site, network, np.abs(box).max(0)))
    return fates, boxes


def _settled(
    site: Site, said: PartSaid, share: Share, tree: Tree, ranges: Sequence[tuple[Fraction, Fraction]]
) -> tuple[list[Failure | None], int]:
    """The leaves of one part; what its function lies in, and how much it moves."""
    if len(said.variables) > MOST_DIMENSIONS:
        raise Refused(f"functions of {len(said.variables)} variables are not followed, {MOST_DIMENSIONS} are", rejected=False)
    for (least, most), low, high in zip(ranges, *tree.root, strict=True):
        if not Fraction(float(low)) <= least <= most <= Fraction(float(high)):
            raise Refused("the root box of a part does not hold what it may read")
    if not said.bound >= tree.largest:
        raise Refused("the bound of a part is below that of a leaf")
    boxes = Boxes((", ".join(said.variables),), tree.root[:1], tree.root[1:])

    nothing = np.zeros(len(said.variables))
    judge = Judge(
        Subject(f"{site.name}/", boxes, (share.layer,), None, nothing, boxes.of_coordinates([share.function]), None, site.eta, said.bound)
    )
    found = judge.settle([tree])
    if not within(partial(judge.truth, 0), tree.lower, tree.upper, np.array([said.lower]), np.array([said.upper])):
        raise Refused("the values of a part are not shown to lie between the bounds given", rejected=False)
    moves = np.nextafter(np.abs(said.forms) @ site.moves * GROW, np.inf)
    if site.moves.any() and not moves_little([share.function], [tree.root], None, moves, np.array([said.spread])):
        raise Refused(f"a part is not shown to change by at most {said.spread} where what it reads is off", rejected=False)
    return found


def _require_sums(site: Site, gaps: Sequence[Fraction]) -> None:
    """Raises `Refused` for numbers of the site that are better than the sums of those of its parts."""
    if tuple(value.component for value in site.values) != site.components:
        raise Refused("its values are not those of its components")
    numbers = np.array([(p.bound, p.lower, p.upper, p.spread) for p in site.parts])
    if not np.isfinite(numbers).all() or not (numbers[:, [0, 3]] >= 0).all():
        raise Refused("a part has a number that is none", rejected=False)
    for value, gap in zip(site.values, gaps, strict=True):
        mine = [p for p in site.parts if p.component == value.component]
        bound, lower, upper, spread = (
            sum((Fraction(getattr(p, key)) for p in mine), Fraction(0)) for key in ("bound", "lower", "upper", "spread")
        )
        if not (bound + gap <= site.bound and value.lower <= lower and upper <= value.upper and spread <= value.spread):
            raise Refused(f"what it says of {value.component} is better than what its parts add up to")


def _shares(site: Site, trees: Sequence[Node], part: Slice, matrix: Array) -> tuple[list[Share], list[Neurons]]:
    """Terms and neurons of every part, in the order of `site.parts`; and all that the network computes. Raises `Refused` if some belong to
    none.
    """
    for said in site.parts:
        _require_forms(site, said)
    whole = [_neurons(part, matrix, component) for component in range(len(trees))]
    found: dict[int, Share] = {}
    for component, (name, tree) in enumerate(zip(site.components, trees, strict=True)):
        mine = [n for n, said in enumerate(site.parts) if said.component == name]
        forms = [_forms(site, site.parts[n]) for n in mine]
        homes: list[list[Node]] = [[] for _ in mine]
        for term in terms(tree):
            put, home = next(((t, k) for k, form in enumerate(forms) if (t := in_forms(term, form)) is not None), (None, -1))
            if put is None:
                raise Refused(f"the term {text_of(term)[:80]} of {name} belongs to none of its parts")
            homes[home].append(put)
        neurons = _shared_out([site.parts[n] for n in mine], whole[component], site.variables)
        for n, taken, own in zip(mine, homes, neurons, strict=True):
            found[n] = Share(_function(site.parts[n], taken), _layer(site.parts[n], own, whole[component]))
    if len(found) != len(site.parts):
        raise Refused("it has parts of what is none of its components")
    return [found[n] for n in range(len(site.parts))], whole


def _gaps(site: Site, whole: Sequence[Neurons], sizes: Array) -> list[Fraction]:
    """What the affine functions of the parts miss of the network's, at most, where |v| ≤ sizes, per component."""
    found = []
    for name, network in zip(site.components, whole, strict=True):
        slope, constant = list(network.slope), network.constant
        for said in site.parts:
            if said.component == name:
                constant -= Fraction(said.offset)
                for form, s in zip(said.forms, said.slope, strict=True):
                    slope = [a - Fraction(float(s)) * Fraction(float(c)) for a, c in zip(slope, form, strict=True)]
        found.append(abs(constant) + sum(abs(a) * Fraction(float(size)) for a, size in zip(slope, sizes, strict=True)))
    return found


def _reach(said: PartSaid, lower: Array, upper: Array) -> list[tuple[Fraction, Fraction]]:
    """What the variables of a part lie in where those of the site lie in [lower, upper], exactly."""
    found = []
    for form in said.forms:
        ends = [(Fraction(float(c)), Fraction(float(a)), Fraction(float(b))) for c, a, b in zip(form, lower, upper, strict=True) if c]
        low = sum((c * (a if c > 0 else b) for c, a, b in ends), Fraction(0))
        found.append((low, sum((c * (b if c > 0 else a) for c, a, b in ends), Fraction(0))))
    return found


def _require_forms(site: Site, said: PartSaid) -> None:
    """Names and forms that fit each other: one variable as it is, or several of the site's behind a name of their own."""
    k, forms = len(site.variables), said.forms
    if forms.shape != (len(said.variables), k) or len(said.slope) != len(forms) or not len(forms):
        raise Refused("a part has not one form and one slope for each of its variables")
    if ((forms != 0).sum(0) > 1).any() or not (forms != 0).any(1).all():
        raise Refused("a part has forms that share a variable, or have none")
    fresh = (f"t{n}" for n in range(1, 2 * k + 2) if f"t{n}" not in site.variables)
    names = [_itself(site, form) or next(fresh) for form in forms]
    if said.variables != tuple(names):
        raise Refused(f"the variables of a part are {str(said.variables)[:80]}, not {str(names)[:80]}")


def _itself(site: Site, form: Array) -> str | None:
    """The variable that a form is, if it is one."""
    (first, *more) = np.flatnonzero(form).tolist()
    return site.variables[first] if not more and form[first] == 1 else None


def _forms(site: Site, said: PartSaid) -> dict[str, Mapping[str, Fraction]]:
    return {
        name: {site.variables[n]: Fraction(float(form[n])) for n in np.flatnonzero(form).tolist()}
        for name, form in zip(said.variables, said.forms, strict=True)
    }


def _neurons(part: Slice, matrix: Array, component: int) -> Neurons:
    """One output of a slice that is a sum. Raises `Refused` for slices with a gate, carried numbers, or more than one hidden layer."""
    layer, n = part.layers[0], matrix.shape[1]
    selects = ((matrix != 0).sum(1) == 1) & (matrix == 1).any(1)
    if len(part.layers) > 1 or layer.gate is not None or len(layer.nets) > 1 or not selects.all() or (layer.carries >= 0).any():
        raise Refused("it is said to have parts, but what computes it is no sum of neurons")
    columns = matrix.argmax(1)[layer.reads]
    rows, biases, weights, kinds = np.zeros((0, n)), np.zeros(0), np.zeros(0), np.zeros(0, np.uint8)
    ups, factors = np.zeros((0, n)), np.zeros(0)
    slope, constant = [Fraction(0)] * n, Fraction(0)
    (at,) = np.flatnonzero(layer.writes == component).tolist() or (-1,)
    for whole in layer.everything if at >= 0 else ():
        net = whole.outputs(np.array([at]))
        if len(net.maps) > 2:
            raise Refused("it is said to have parts, but what computes it has more than one hidden layer")
        last = net.maps[-1]
        constant += Fraction(float(last.bias[0]))
        for column, w in zip(columns, net.skip[0], strict=True):
            slope[column] += Fraction(float(w))
        if len(net.maps) == 1:  # an affine map
            for column, w in zip(columns, last.weight[0], strict=True):
                slope[column] += Fraction(float(w))
            continue
        hidden = net.maps[0]
        if hidden.kinds is None:
            raise Refused("it is said to have parts, but what computes it is bent by nothing")
        spread, lanes = _spread(hidden.weight, columns, n), np.zeros((len(hidden.bias), n))
        factor = np.ones(len(hidden.bias))
        if hidden.up is not None:
            lanes, factor = _spread(hidden.up.weight, columns, n), hidden.up.bias
        linear = (hidden.kinds == IDENTITY) & ~lanes.any(1)
        for k in np.flatnonzero(linear):
            w = Fraction(float(last.weight[0, k])) * Fraction(float(factor[k]))
            slope = [s + w * Fraction(float(r)) for s, r in zip(slope, spread[k], strict=True)]
            constant += w * Fraction(float(hidden.bias[k]))
        rows, ups = np.concatenate([rows, spread[~linear]]), np.concatenate([ups, lanes[~linear]])
        biases, weights = np.concatenate([biases, hidden.bias[~linear]]), np.concatenate([weights, last.weight[0, ~linear]])
        kinds, factors = np.concatenate([kinds, hidden.kinds[~linear]]), np.concatenate([factors, factor[~linear]])
    return Neurons(rows, biases, weights, kinds, ups, factors, slope, constant)


def _spread(weight: Array, columns: Sequence[int], n: int) -> Array:
    """Weights of what a layer reads as weights of the n variables of its site. Raises `Refused` where two meet in one."""
    found = np.zeros((len(weight), n))
    for place, column in enumerate(columns):
        if (found[:, column] != 0).any() and weight[:, place].any():
            raise Refused("it is said to have parts, but what computes it reads a number twice")
        found[:, column] += weight[:, place]
    return found


class Own(NamedTuple):
    """The neurons that belong to a part: their places, their rows and their lanes over its variables."""

    places: list[int]
    rows: list[list[float]]
    ups: list[list[float]]


def _shared_out(parts: Sequence[PartSaid], network: Neurons, variables: Sequence[str]) -> list[Own]:
    """For every part the neurons that are its own: each goes to the first part that can say what it reads."""
    found = [Own([], [], []) for _ in parts]
    for k, (row, up) in enumerate(zip(network.rows, network.ups, strict=True)):
        said = ((n, _row(row, part), _row(up, part)) for n, part in enumerate(parts))
        home = next(((n, inner, lane) for n, inner, lane in said if inner is not None and lane is not None), None)
        if home is None:
            names = [variables[k] for k in np.flatnonzero((row != 0) | (up != 0)).tolist()]
            raise Refused(f"a neuron that reads {str(names)[:80]} belongs to no part")
        n, inner, lane = home
        found[n].places.append(k)
        found[n].rows.append(inner)
        found[n].ups.append(lane)
    return found


def _row(row: Array, said: PartSaid) -> list[float] | None:
    """A row of weights over the variables of a part, exactly; None if it is none."""
    left, inner = [Fraction(float(w)) for w in row], []
    for form in said.forms:
        places = np.flatnonzero(form).tolist()
        factor = left[places[0]] / Fraction(float(form[places[0]]))
        if Fraction(float(factor)) != factor or any(left[n] != factor * Fraction(float(form[n])) for n in places):
            return None
        for n in places:
            left[n] = Fraction(0)
        inner.append(float(factor))
    return None if any(left) else inner


def _function(said: PartSaid, own: Sequence[Node]) -> ExpressionMap:
    tree, symbols = total(own), real_symbols(said.variables)
    return ExpressionMap(tuple(symbols.values()), (read_expression(text_of(tree), symbols, "term").expression,), (tree,))


def _layer(said: PartSaid, own: Own, network: Neurons) -> Layer:
    """The neurons of a part with its affine function."""
    f, places = len(said.forms), own.places
    last = Map(network.weights[None, places], np.array([said.offset]))
    up = Map(np.array(own.ups).reshape(len(places), f), network.factors[places])
    lanes = up if up.weight.any() or (up.bias != 1).any() else None
    hidden = Map(np.array(own.rows).reshape(len(places), f), network.biases[places], network.kinds[places], lanes)
    maps = (hidden, last) if places else (Map(np.zeros((1, f)), last.bias),)
    net = Net(maps, maps, np.array(said.slope)[None])
    return Layer(None, NONE, (net,), np.zeros(1, np.intp), ALL, np.arange(f), np.zeros(1, np.intp), np.full(1, -1))
