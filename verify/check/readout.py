"""The read-out: how the errors of a network's outputs follow from those of its sites (R10)."""

from __future__ import annotations

import numpy as np
import sympy

from ...atlas import Array
from ...expressions.parse import real_symbols
from ...intervals import Interval, enclose_number
from ...intervals.patch import GROW, Patch
from .composition import Composition
from .direct import misses, without_inputs
from .documents import ReadOut
from .networks import Frame
from .refused import Refused
from .rounding import Way, read, rounding
from .slices import Slice


def check_read_out(sites: Composition, said: ReadOut) -> None:
    """Raises `Refused` unless every number of the read-out is confirmed."""
    if len(said.error) != sites.graph.outputs or set(said.rounding) != set(sites.ways(said.rounding)):
        raise Refused("it has not one error an output, or not what rounding adds")
    if said.site is not None:
        output = sites.graph[sites.graph.output]
        if said.site != output.name or any(name not in sites.known for name in output.components):
            raise Refused(f"{said.site[:80]} is not the output, or was not confirmed")
        known = [sites.known[name] for name in output.components]
        enough = all(error >= k.value.error for error, k in zip(said.error, known, strict=True))
        if not enough or any(said.rounding[way] < k.rounding.get(way, np.inf) for k in known for way in said.rounding):
            raise Refused("its errors are below those of the output's components")
        return
    _affine(sites, said)


def _affine(sites: Composition, said: ReadOut) -> None:
    """f = Σ a_k·v_k + g, Ψ = Σ w_k·(v_k + δ_k) + g̃: |f − Ψ| ≤ Σ (|w_k|·e_k + |a_k − w_k|·|v_k|) + |g − g̃|."""
    names, outputs = list(sites.known), sites.graph.outputs
    shapes = (outputs, len(said.components))
    sized = said.task.size == said.network.size == shapes[0] * shapes[1] and len(said.constant) == len(said.spread) == outputs
    if not sized or len(set(said.components)) != shapes[1] or not set(said.components) <= set(names):
        raise Refused("its components are not those that have a channel, each once, with a weight an output")
    left, blocks = sites.left()
    whole = sites.output()
    part = sites.cut(len(sites.found.plain), range(outputs), False)
    rest, weights = sites.stripped(part)
    error = np.zeros(outputs)
    for name in names:
        known, w = sites.known[name], weights.get(name, np.zeros(outputs))
        (symbol,) = real_symbols([name]).values()
        factors = [sympy.diff(e, symbol) for e in whole]
        if any(factor.free_symbols for factor in factors):
            raise Refused(f"the output is not affine in {name}")
        a = [enclose_number(sympy.nsimplify(f) if f.is_Integer else f) for f in factors]
        column = said.components.index(name) if name in said.components else None
        stated = np.zeros(outputs) if column is None else said.network.reshape(shapes)[:, column]
        if not np.array_equal(stated, w):
            raise Refused(f"the network's outputs have weights {w} in {name}, not {stated}")
        off = np.array([(x - Interval.of(v)).magnitude.item() for x, v in zip(a, w, strict=True)])
        size = max(abs(known.value.lower), abs(known.value.upper))
        error += np.abs(w) * known.value.error + off * size
    coordinates = sites.graph.coordinates
    kept = [any(name in sites.graph[block].reads for block in blocks) for name in coordinates]
    rest, gains = without_inputs(rest, sites.embedding, kept)
    others = [k for k, held in enumerate(kept) if not held]
    error += misses(whole, [coordinates[k] for k in others], sites.embedding[:, others], gains, sites.sizes[others])
    for name in sorted(said.rounding):
        if not said.rounding[name] >= (added := _rounding(sites, part, name)):
            raise Refused(f"rounding in {name} may add {added:.9g}, not {said.rounding[name]:.9g}")
    if blocks:
        error += _folded(sites, said, blocks)
    else:
        if said.block is not None or not (said.constant >= _constant(rest, left)).all():
            raise Refused("the constants of task and network differ by more than it says")
        error += said.constant
    if not (GROW**2 * (error + said.rounding["float64"]) <= said.error).all():
        raise Refused(f"its errors {said.error} are below what the errors of its parts add up to, {error}")


def _folded(sites: Composition, said: ReadOut, blocks: set[str]) -> Array:
    """What the folded block adds, which is one of the sites."""
    site = next((site for site in sites.found.sites if site.folded and {site.name} == blocks), None)
    if site is None or said.block != site.name or site.name not in sites.rounded:
        raise Refused(f"{sorted(blocks)} are left in it, and not as one confirmed site")
    sites.check_spread(site, said.spread.tolist())
    return site.bound + said.spread


def _constant(rest: Slice, left: list[sympy.Expr]) -> Array:
    """|g − g̃| where nothing is left that depends on anything."""
    if rest.reads:
        raise Refused(f"the network's outputs are not affine in {rest.reads[:4]}", rejected=False)
    frame = Frame(Patch.coordinates(np.zeros((1, 1)), np.zeros((1, 1))))
    state = frame.start(np.zeros((0, 1)))
    for layer in rest.layers:
        state = frame.behind(layer, state, np.inf)
    found = frame.range(state)
    wanted = [enclose_number(e) for e in left]
    gaps = [[(found[:, c] - x).magnitude.max() for c, x in enumerate(wanted)]]
    return np.max(gaps, axis=0)


def _rounding(sites: Composition, part: Slice, name: str) -> float:
    """What an evaluation adds to the outputs, earlier sites included."""
    names, way = [*sites.graph.coordinates, *sites.known], Way(name, sites.longest)
    low, high, computed = (-sites.sizes).tolist(), sites.sizes.tolist(), [0.0] * len(sites.sizes)
    for known in sites.known.values():
        low.append(known.value.lower - known.value.error * GROW)
        high.append(known.value.upper + known.value.error * GROW)
        computed.append(known.rounding.get(name, np.inf))
    x = read(sites.matrix(part, names), np.array([low]), np.array([high]), np.array(computed), way)
    _, added = rounding(part.layers, x, way)
    return float(added.error.max())
