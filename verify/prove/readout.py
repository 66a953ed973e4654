"""The read-out: how the error of the network's outputs follows from those of the sites (B9, R10)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy

from ...atlas import Array
from ...expressions.formulas import cancelled
from ...expressions.parse import real_symbols
from ...moe.network import Network
from .cells import ROOM
from .direct import stripped, without_coordinates
from .linear import first_reads
from .proof import Proof
from .rounding import GENEROUS, Sized, arriving
from .rounding import network as network_rounding
from .shares import after, shared_out
from .sites import NotProvableError, ReadOut
from .slices import Slice, Slicer
from .spread import spread


def read_out(proof: Proof) -> ReadOut:
    """|f − Ψ| for every point: what the output's own site says, or the affine read-out of proved values.

    Raises `NotProvableError` where nothing follows.
    """
    found = _read_out(proof)
    if proof.unplaced:
        raise NotProvableError("scores that are snapped to a grid belong to no block, and nothing shows that they are on it")
    return found


def _read_out(proof: Proof) -> ReadOut:
    output = proof.graph[proof.graph.output]
    if proof.missing:
        raise NotProvableError(next(iter(proof.missing.values())))
    if output.name in proof.sites:
        values = proof.sites[output.name].values
        rounding = {dtype: max(value.rounding[dtype] for value in values) for dtype in values[0].rounding}
        return ReadOut(np.array([value.error for value in values]), rounding, output.name)
    formulas = [proof.formulas[name] for name in output.components]
    if part := next(filter(None, map(cancelled, formulas)), None):
        raise NotProvableError(f"{part} in the read-out may have no value, and only cancels: write the read-out without it")
    return _affine(proof, [formula.expression for formula in formulas])


def _affine(proof: Proof, whole: list[sympy.Expr]) -> ReadOut:
    """f = Σ a_k·v_k + g, Ψ = Σ w_k·(v_k + δ_k) + g̃: |f − Ψ| ≤ Σ (|w_k|·e_k + |a_k − w_k|·|v_k|) + |g − g̃| (R10); and coordinates, which are
    components without error (`direct`).
    """
    whole = shared_out(proof, whole)
    network, outputs = proof.network, len(whole)
    channels = tuple((len(network.layers), c) for c in range(outputs))
    part = proof.cut(channels, proof.graph.coordinates)
    rounding = _rounding(proof, part)
    rest, task, taken = _linear(proof, part, whole)
    left = [e.xreplace({s: sympy.Integer(0) for s in e.free_symbols if str(s) in proof.values}) for e in whole]
    names = {str(s) for e in left for s in e.free_symbols}
    blocks = {proof.folded[name].name: proof.folded[name] for name in names if name in proof.folded}
    if len(blocks) > 1 or names - set(proof.folded) - set(proof.graph.coordinates):
        raise NotProvableError(f"the read-out mixes the blocks {', '.join(blocks)}, none of which has channels of its own")
    block = next(iter(blocks.values()), None)
    kept = () if block is None else block.reads
    rest, gap = without_coordinates(proof, part, rest, left, kept)
    gone = {s: sympy.Integer(0) for s in real_symbols(proof.graph.coordinates).values() if str(s) not in kept}
    left = [e.xreplace(gone) for e in left]
    bare = Slicer(rest).slice(len(rest.layers), range(outputs), (), choosing=block is not None and not block.domain.exclusive)
    constant, moved = np.zeros(outputs), np.zeros(outputs)
    if block is None:
        if not _is_constant(bare.network):
            raise NotProvableError("the network's read-out reads more than what the task's does")
        numbers = np.array([float(e) for e in left])
        constant = np.abs(rest(np.zeros((1, len(part.reads))))[0] - numbers) + _lost(proof, numbers)
        bound = constant
    else:
        remaining = Slice(bare.network, tuple(part.reads[k] for _, k in bare.reads))
        site = proof.site(block, channels, remaining, block.reads, folded=True)
        proof.solve([proof.open(site, after(proof.task(block), block, left))])
        solution = proof.sites[block.name].solution
        moved = moved if site.charts else spread(solution.problem.task, site.moves, site.tiling, solution.problem.places)
        bound = solution.bound + moved
    error = GENEROUS * (bound + gap + rounding["float64"])
    for a, w, value in zip(task.T, taken.T, proof.values.values(), strict=True):
        # a is rounded from the task's exact number, hence the last term.
        error += GENEROUS * (np.abs(w) * value.error + (np.abs(a - w) + np.finfo(float).eps * np.abs(a)) * value.size)
    return ReadOut(
        error=error,
        rounding=rounding,
        components=tuple(proof.values),
        task=task,
        network=taken,
        block=None if block is None else block.name,
        constant=constant,
        spread=moved,
    )


def _lost(proof: Proof, left: Array) -> Array:
    """What adding up constants of the output and of shares in floats may have lost, per output."""
    shifts = np.abs([c for site in proof.sites.values() for c in site.shift])
    return np.asarray(2.0**-48 * (np.abs(left) + 2 * float(shifts.sum()) + float(len(shifts) > 0)))


def _linear(proof: Proof, part: Slice, whole: Sequence[sympy.Expr]) -> tuple[Network, Array, Array]:
    """The network without its linear part in proved values; and a and w, (outputs, values) each."""
    rest, shape = part.network, (len(whole), len(proof.values))
    task, taken = np.zeros(shape), np.zeros(shape)
    for k, (name, value) in enumerate(proof.values.items()):
        task[:, k] = [float(sympy.diff(e, real_symbols([name])[name])) for e in whole]
        if value.origin in part.reads:
            taken[:, k], rest = stripped(rest, part.reads.index(value.origin))
    return rest, task, taken


def _is_constant(network: Network) -> bool:
    """Whether nothing that it reads makes a difference, as slices show it."""
    (first, *others) = network.layers
    reads = (first.carries is not None and max(first.carries) >= 0) or any(first_reads(net).any() for net in first.nets)
    return not others and not reads


def _rounding(proof: Proof, part: Slice) -> dict[str, float]:
    """What each evaluation adds in the read-out, carried values included."""
    known = {value.origin: value for value in proof.values.values()}
    ways, names = proof.ways, list(proof.graph.coordinates)
    size = np.array([proof.size_of(name) for name in names])
    z = Sized(-size[None], size[None], np.zeros((len(ways), 1, len(names))))
    x = arriving(proof.embedding, z, ways)
    lower, upper, error = (np.zeros((*part_.shape[:-1], len(part.reads))) for part_ in (x.lower, x.upper, x.error))
    for n, origin in enumerate(part.reads):
        value = known.get(origin)
        if value is None:
            lower[..., n], upper[..., n], error[..., n] = x.lower[..., origin[1]], x.upper[..., origin[1]], x.error[..., origin[1]]
        else:
            reach = value.error * GENEROUS
            lower[..., n], upper[..., n] = value.lower - reach, value.upper + reach
            error[:, 0, n] = [value.rounding[way.name] for way in ways]
    _, added = network_rounding(part.network, Sized(lower, upper, error), ways)
    return {way.name: float(most) * (1 + ROOM) for way, most in zip(ways, added[:, 0], strict=True)}
