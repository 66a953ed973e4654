"""What of a net is linear, and the embedding folded into first weights: both exactly or with a bound on the rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...intervals.rounding import gamma
from ...moe.activations import IDENTITY, RELU, RELU2, Activation
from ...moe.nets import Affine, Net, NeuronGroup
from .rounding import GENEROUS


@dataclass(frozen=True, eq=False)
class Split:
    """net(x) = carried·x + rest(x), exactly, where `carried` (out, in) gathers pairs of neurons that are linear together.

    Two neurons that are act(x_c) and act(−x_c) of one activation that reflects, in a net of one hidden layer, add to w·x_c where they are
    read with opposite weights w, −w; so do σ(x_c) and σ(−x_c) that all other layers pass on unchanged, as only σ does, for σ(σ(z)) = σ(z).
    Lanes count where they are multiplied by 1. That is how numbers pass through a layer unchanged (R1).
    """

    carried: Array
    rest: Net


def split(net: Net, only: int | None = None) -> Split:
    """The linear pairs of a net apart from the rest, for every output; neurons that nothing reads any more are left out. float64, exact.

    `only`: the pairs of one input, the others stay.
    """
    net = net.astype(float)
    out = np.array(net.affines[-1].weight)
    carried = np.zeros((len(out), net.inputs))
    if len(net.affines) == 1:
        columns = slice(None) if only is None else only
        carried[:, columns], out[:, columns] = out[:, columns], 0.0
        return Split(carried, Net((Affine(out, np.array(net.affines[0].bias)),), ()))
    inputs, signs = _passed_on(net)
    kinds = kinds_of(net, len(net.groups) - 1)
    for c in np.unique(inputs[inputs >= 0]) if only is None else [only]:
        for kind in dict.fromkeys(kinds[inputs == c]):
            up, down = (np.flatnonzero((inputs == c) & (signs == sign) & (kinds == kind)) for sign in (1, -1))
            for p, q in zip(up, down, strict=False):
                rows = (out[:, p] == -out[:, q]) & (carried[:, c] == 0)
                carried[rows, c] = out[rows, p]
                out[np.ix_(rows, [p, q])] = 0
    last = Affine(out, np.array(net.affines[-1].bias))
    return Split(carried, pruned(net.with_maps((*net.affines[:-1], last))))


def _passed_on(net: Net) -> tuple[NDArray[np.intp], Array]:
    """For every neuron of the last hidden layer the input c whose act(±x_c) it is, and the sign; −1 for no input. Linear layers before it
    may pass ±x_c on.
    """
    inputs, signs = _unit_rows(net.affines[0])
    kinds = kinds_of(net, 0)
    inputs = np.where(_multiplied_by_one(net, 0) & ((kinds == IDENTITY) | _reflecting(kinds)), inputs, -1)
    bent = kinds  # what x_c has gone through: the identity, or one activation
    for j, map_ in enumerate(net.affines[1:-1], 1):
        source, sign = _unit_rows(map_)
        kinds = kinds_of(net, j)
        fresh = (bent[source] == IDENTITY) & ((kinds == IDENTITY) | _reflecting(kinds))
        again = (bent[source] == RELU) & (sign == 1) & ((kinds == RELU) | (kinds == IDENTITY))
        known = (source >= 0) & (fresh | again) & _multiplied_by_one(net, j)
        bent = kinds.copy()
        bent[again] = RELU
        inputs, signs = np.where(known, inputs[source], -1), np.where(known, sign * signs[source], 0)
    return np.where(kinds == IDENTITY, -1, inputs), signs


def _reflecting(kinds: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Where act(z) − act(−z) = z."""
    return np.array([kind.reflects for kind in kinds], bool)


def _unit_rows(map_: Affine) -> tuple[NDArray[np.intp], Array]:
    """For rows ±e_c without bias: c and the sign. −1 and 0 for others."""
    place = np.abs(map_.weight).argmax(1)
    entry = map_.weight[np.arange(len(place)), place]
    unit = ((map_.weight != 0).sum(1) == 1) & (np.abs(entry) == 1) & (map_.bias == 0)
    return np.where(unit, place, -1), np.where(unit, entry, 0.0)


def _multiplied_by_one(net: Net, layer: int) -> NDArray[np.bool_]:
    """Which neurons of a hidden layer are no lanes, or lanes whose factor is 1."""
    up = net.ups[layer]
    return np.ones(net.widths[layer], bool) if up is None else ~up.weight.any(1) & (up.bias == 1)


def kinds_of(net: Net, layer: int) -> NDArray[np.object_]:
    """The activation of every neuron of a hidden layer."""
    found = np.empty(net.widths[layer], object)
    for part, activation in net.activations[layer]:
        found[part] = activation
    return found


def groups_of(kinds: Iterable[Activation], name: str, origin: str) -> tuple[NeuronGroup, ...]:
    """Neurons with these activations, as groups of one name."""
    runs = [(kind, len(list(run))) for kind, run in groupby(kinds)] or [(RELU, 0)]
    return tuple(NeuronGroup(name, count, origin, kind) for kind, count in runs)


def pruned(net: Net) -> Net:
    """The same function without the neurons that no output depends on."""
    affines, ups = list(net.affines), list(net.ups)
    kinds = [kinds_of(net, j) for j in range(len(ups))]
    for j in range(len(affines) - 1, 0, -1):
        read = reads_of(affines[j], ups[j] if j < len(ups) else None)
        affines[j] = Affine(affines[j].weight[:, read], affines[j].bias)
        if j < len(ups) and (up := ups[j]) is not None:
            ups[j] = Affine(up.weight[:, read], up.bias)
        affines[j - 1] = Affine(affines[j - 1].weight[read], affines[j - 1].bias[read])
        if (up := ups[j - 1]) is not None:
            ups[j - 1] = Affine(up.weight[read], up.bias[read])
        kinds[j - 1] = kinds[j - 1][read]
    groups = tuple(groups_of(some, "rest", "neurons that outputs depend on") for some in kinds)
    return Net(tuple(affines), groups, tuple(ups))


def reads_of(map_: Affine, up: Affine | None) -> NDArray[np.bool_]:
    """Which inputs a hidden layer, or a last map, reads with a weight that is not 0."""
    read = (map_.weight != 0).any(0)
    return read if up is None else read | (up.weight != 0).any(0)


def first_reads(net: Net) -> NDArray[np.bool_]:
    """Which inputs a net reads with a weight that is not 0."""
    return reads_of(net.affines[0], net.ups[0] if net.ups else None)


def on_inputs(net: Net, change: Callable[[Affine], Affine]) -> Net:
    """The net with every map that reads its inputs changed."""
    ups = tuple(change(up) if up is not None and j == 0 else up for j, up in enumerate(net.ups))
    return net.with_maps((change(net.affines[0]), *net.affines[1:]), ups)


@dataclass(frozen=True, eq=False)
class Folded:
    """|net(y) − original(Q·y)| ≤ slack (out,) for all |y| ≤ size: the original reads R^D, `net` reads R^k."""

    net: Net
    slack: Array


def fold(original: Net, embedding: Array | None, size: Array) -> Folded:
    """The net behind a linear map Q (D, k). Rows that were equal up to sign stay so: each direction is multiplied once.

    A neuron moves by sup |act′| times what its pre-activation moves by, a lane by the product rule.
    """
    original = original.astype(float)
    if embedding is None:
        return Folded(original, np.zeros(original.affines[-1].weight.shape[0]))
    first, moved = fold_affine(original.affines[0], embedding, size)
    ups, off = original.ups, np.zeros(0)
    if ups and ups[0] is not None:
        up, off = fold_affine(ups[0], embedding, size)
        ups = (up, *ups[1:])
    net = original.with_maps((first, *original.affines[1:]), ups)
    reach = size
    for j, map_ in enumerate(net.affines[1:]):
        reach, moved = _moved(net, j, reach, moved, off)
        moved, off = np.abs(map_.weight) @ moved * GENEROUS, _off(net, j + 1, moved)
    return Folded(net, moved)


def _off(net: Net, layer: int, moved: Array) -> Array:
    """What the factors of a hidden layer move by."""
    up = net.ups[layer] if layer < len(net.ups) else None
    return np.zeros(1) if up is None else np.abs(up.weight) @ moved * GENEROUS


def _moved(net: Net, layer: int, reach: Array, moved: Array, off: Array) -> tuple[Array, Array]:
    """|neurons| at most, and what they move by, if pre-activations move by `moved` and the factors of lanes by `off`."""
    map_, up = net.affines[layer], net.ups[layer]
    z = (np.abs(map_.weight) @ reach + np.abs(map_.bias) + moved) * GENEROUS
    squared = kinds_of(net, layer) == RELU2
    slope = np.array([1.0 if kind is RELU else kind.supremum(1) for kind in kinds_of(net, layer)])
    size, moved = np.where(squared, z * z, z), moved * np.where(squared, 2 * z, slope)
    if up is None:
        return size, moved
    factor = (np.abs(up.weight) @ reach + np.abs(up.bias) + off) * GENEROUS
    return size * factor, moved * factor + size * off


def reached(net: Net, reach: Array) -> Array:
    """|neurons| of the last hidden layer at most, for inputs |x| ≤ reach (rows, in): |act(z)| ≤ |z|, and σ(z)² ≤ z²."""
    for j, map_ in enumerate(net.affines[:-1]):
        up, size = net.ups[j], (reach @ np.abs(map_.weight).T + np.abs(map_.bias)) * GENEROUS
        size = np.where(kinds_of(net, j) == RELU2, size * size, size)
        reach = size if up is None else size * ((reach @ np.abs(up.weight).T + np.abs(up.bias)) * GENEROUS)
    return reach


def fold_affine(map_: Affine, embedding: Array | None, size: Array) -> tuple[Affine, Array]:
    """The affine map behind Q, and a bound (out,) on what the rounding of W·Q changes for |y| ≤ size."""
    weight, bias = np.asarray(map_.weight, float), np.asarray(map_.bias, float)
    if embedding is None:
        return Affine(weight.copy(), bias.copy()), np.zeros(len(bias))
    leading = weight[np.arange(len(weight)), np.argmax(weight != 0, axis=1)]
    sign = np.where(leading < 0, -1.0, 1.0)
    directions, which = np.unique(weight * sign[:, None] + 0.0, axis=0, return_inverse=True)
    which = which.reshape(-1)
    error = gamma(weight.shape[1] + 1, float) * (np.abs(directions) @ np.abs(embedding) @ size) * GENEROUS
    error += weight.shape[1] * float(np.finfo(float).tiny) * size.sum()  # products that underflow
    return Affine(sign[:, None] * (directions @ embedding)[which], bias.copy()), error[which]
