"""`quantise`: a model whose experts have small integers for weights, with a bound of what that moves, before it is measured.

Statement. Let s be the scale of a row (`integers`), so that W̃ = W + Δ with |Δ| ≤ s/2 entry by entry, and biases as they were. On a
set of points on which what a map reads is |x| ≤ X, and off by e in the quantised network,

    |W̃·x̃ − W·x| ≤ |W|·e + |Δ|·(X + e);

an activation passes S·e on, S its steepest slope between, one that is idle all over the set nothing; lanes, shared experts and convex
weights add up as in every evaluation (`verify/prove/rounding.py`: to it W̃ is one more way to evaluate W). Gates, and what they read, are
as they were, so routes are the same, bit by bit. The largest bound of cells that cover M is the claim `quantised`, a formula in the sizes
of rows and activations; `quantised.measured` is what is seen of it. Neither takes the place of a proof that |f − Ψ̃| ≤ ε: the quantised
network is a model like any other, and `certify` compares it with f itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from ..atlas import Array, Atlas
from ..atlas.graph import as_graph
from ..atlas.relative import absolute_epsilon
from ..atlas.wanted import IN_UNITS, columns, largest
from ..constructions.built import prefixed
from ..constructions.fresh import fresh_errors
from ..constructions.ledger import points_of
from ..constructions.several_targets import target_claim
from ..errors import EpsilonNotReached, InvalidArgument
from ..moe import Affine, Claim, Known, Ledger, Model, Network
from ..moe.outputs import chosen
from ..moe.sums import Sums
from ..verify.prove.cells import Cells
from ..verify.prove.evaluation import Evaluation
from ..verify.prove.manifold import EnclosedManifold
from ..verify.prove.problem import base_size
from ..verify.prove.rounding import Sized
from ..verify.prove.rounding import network as evaluated
from .integers import BITS, quantised

CHUNK = 1 << 12


@dataclass(frozen=True)
class Elsewhere(Evaluation):
    """Exact arithmetic with other weights."""

    others: dict[int, tuple[Array, Array]] = field(default_factory=dict)
    """The identity of an affine map ↦ how far its weights and biases are from those that are taken in their place."""

    @property
    def unit(self) -> float:
        return 0.0

    @property
    def tiny(self) -> float:
        return 0.0

    @property
    def largest(self) -> float:
        return np.inf

    def roundings(self, products: Array) -> Array:
        return np.zeros_like(products)

    def moved(self, map_: Affine) -> tuple[Array, Array] | None:
        return self.others.get(id(map_))


def quantise(model: Model, to: str, *, epsilon: float | str | None = None) -> Model:
    """The model with the weights of its experts behind the last gate as integers of `to`, "int8" or "int16", times powers of two.

    `epsilon`: what it is to keep, a number or like "1%" of the target's range, the model's own if nothing is said; of several targets each
    keeps its own. Its ledger has the claim `quantised`, what that moves the output by at most, and all claims of the model below it;
    nothing that was proved of the model is proved of the result: certify it. Raises `InvalidArgument` for other integers and an ε that is
    none, `EpsilonNotReached` where it is missed.
    """
    if to not in BITS:
        raise InvalidArgument(f"quantise {to!r} is not one of {', '.join(BITS)}")
    epsilon = model.ledger.root.budget if epsilon is None else absolute_epsilon(epsilon, model.task)
    made, _ = quantised(model.network, BITS[to])
    claim = _claim(model, made, to)
    total = _total(model, made, claim, to, epsilon)
    facts = {key: value for key, value in model.facts.items() if key != "proof"}
    return Model(made, Ledger(total), model.task, {**facts, "quantised": to, "epsilon": epsilon}, model.design)


def moved_by(model: Model, made: Network) -> Array:
    """|Ψ̃ − Ψ| at most, (targets,), for a network that differs from the model's in weights behind its last gate; the module says how."""
    places = [place for _, place in columns(model.task.wanted)] or [slice(None)]
    return np.array([_moved(model, chosen(model.network, place), chosen(made, place)) for place in places])


def _moved(model: Model, network: Network, made: Network) -> float:
    before, behind = network.plainly(), made.plainly()
    way = Elsewhere("float32", Sums.PLAIN, 1, others=dict(_differences(before, behind)))
    graph = as_graph(model.task)
    alone = graph.blocks[0].given
    if alone is not None:
        manifold = EnclosedManifold(alone.atlas)
        return Cells(before, manifold, base_size(manifold), {}, None, (way,)).roundings()[way.name].outputs
    lower, upper = [], []
    for node in graph.inputs:
        if node.box is not None:
            lower.append(np.array(node.box.lower))
            upper.append(np.array(node.box.upper))
        else:
            atlas = cast(Atlas, node.domain)
            size = base_size(EnclosedManifold(atlas))
            size = size if atlas.embedding is None else np.abs(atlas.embedding) @ size
            lower.append(-size)
            upper.append(size)
    low, high = np.concatenate(lower)[None], np.concatenate(upper)[None]
    return float(evaluated(before, Sized(low, high, np.zeros((1, *low.shape))), (way,))[1].max())


def _differences(before: Network, behind: Network) -> Iterator[tuple[int, tuple[Array, Array]]]:
    """All maps whose numbers differ."""
    for layer, other in zip(before.layers, behind.layers, strict=True):
        for net, made in zip(layer.nets, other.nets, strict=True):
            for map_, new in zip(net.maps, made.maps, strict=True):
                weight, bias = (
                    np.abs(np.asarray(b, float) - np.asarray(a, float)) for a, b in ((map_.weight, new.weight), (map_.bias, new.bias))
                )
                if weight.any() or bias.any():
                    yield id(map_), (weight, bias)


def _claim(model: Model, made: Network, to: str) -> Claim:
    """|Ψ̃ − Ψ|, by the formula and as measured, both networks in float64; of several targets each, the largest over its ε above them."""
    points, read = points_of(as_graph(model.task), made.dtype, int(model.facts.get("seed", 0)) + 11)
    before, behind, found = model.network.astype(float), made.astype(float), []
    for start in range(0, len(read), CHUNK):
        part = read[start : start + CHUNK].astype(float)
        trace = behind.trace(part)
        found.append(np.abs(trace.output - before.trace(part, trace.chosen).output))
    gaps, most, wanted = np.concatenate(found), moved_by(model, made), model.task.wanted
    if not wanted:
        return _moved_claim("", to, float(most[0]), gaps, points)
    each = tuple(
        _moved_claim(one.name, to, float(at), gaps[:, place], points) for at, (one, place) in zip(most, columns(wanted), strict=True)
    )
    bound = max(claim.bound / float(one.epsilon) for claim, one in zip(each, wanted, strict=True))
    said = f"max_j |Ψ̃_j − Ψ_j|/ε_j, weights of experts as {to}"
    return Claim("quantised", said, "R9", bound, bound, Known.FORMULA, children=each)


def _moved_claim(target: str, to: str, most: float, gaps: Array, points: Array) -> Claim:
    """What the outputs of a target, or all of them, are moved by at most, and by as much as was seen."""
    sizes, of = gaps.max(1), f"target[{target}]." if target else ""
    worst = int(sizes.argmax())
    measured = Claim(
        f"{of}quantised.measured",
        "|Ψ̃ − Ψ| in float64, which the formula bounds",
        "R9",
        most,
        float(sizes[worst]),
        Known.SAMPLED,
        samples=len(sizes),
        witness=tuple(map(float, points[worst])),
    )
    return Claim(
        f"{of}quantised",
        f"|Ψ̃ − Ψ|, weights of experts as {to} times a power of two a row, each moved by half of that at most; routes are the same",
        "R9",
        most,
        most,
        Known.FORMULA,
        children=(measured,),
        note="from the sizes of rows and of what they read, cell by cell; a proof of the whole compares Ψ̃ with f itself",
    )


def _total(model: Model, made: Network, claim: Claim, to: str, epsilon: float) -> Claim:
    """|f − Ψ̃| ≤ ε on fresh points."""
    before, wanted = model.ledger.root, model.task.wanted
    errors, ambient = fresh_errors(model, made, 15485869)
    error = largest(errors, wanted)
    worst = int(error.argmax())
    if not error[worst] <= epsilon:
        more = "" if to == "int16" else ", take more digits, int16,"
        width = max(max((0, *net.widths)) for layer in made.layers for net in layer.nets)
        remedy = f"compile to a smaller ε{more} or allow more: epsilon={1.25 * error[worst]:.2g}"
        if wanted:
            remedy = f"compile to smaller ε of the targets{more.rstrip(',')}"
        what = f"experts as {to}{f', {IN_UNITS}' if wanted else ''}"
        raise EpsilonNotReached(what, budget=epsilon, reached=float(error[worst]), width=width, remedy=remedy)
    return Claim(
        "total",
        f"{before.statement.replace('Ψ', 'Ψ̃')}, experts as {to}",
        before.source,
        epsilon,
        float(error[worst]),
        Known.SAMPLED,
        samples=len(error),
        witness=tuple(map(float, ambient[worst])),
        children=(*(target_claim(one, errors[:, place], ambient) for one, place in columns(wanted)), claim, prefixed(before, "before")),
    )
