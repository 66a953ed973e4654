"""The read-out: how the error of the network's outputs follows from those of the sites (B9, R10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import sympy

from ...atlas import Array, Block, ChartTarget, ExpressionMap, ExpressionTarget, ManifoldTask
from ...expressions.parse import real_symbols
from ...moe.layer import Weighting
from ...moe.network import Network
from .linear import without_linear
from .proof import Proof
from .rounding import GENEROUS
from .rounding import network as network_rounding
from .sites import NotProvableError, ReadOut
from .slices import Slice, Slicer
from .spread import spread


def read_out(proof: Proof) -> ReadOut:
    """|f − Ψ| for every point: what the output's own site says, or the affine read-out of proved values.

    Raises `NotProvableError` where nothing follows.
    """
    output = proof.graph[proof.graph.output]
    if proof.missing:
        raise NotProvableError(next(iter(proof.missing.values())))
    if output.name in proof.sites:
        values = proof.sites[output.name].values
        rounding = {dtype: max(value.rounding[dtype] for value in values) for dtype in values[0].rounding}
        return ReadOut(np.array([value.error for value in values]), rounding, output.name)
    return _affine(proof, [proof.expressions[name] for name in output.components])


def _affine(proof: Proof, whole: list[sympy.Expr]) -> ReadOut:
    """f = Σ a_k·v_k + g, Ψ = Σ w_k·(v_k + δ_k) + g̃: |f − Ψ| ≤ Σ (|w_k|·e_k + |a_k − w_k|·|v_k|) + |g − g̃| (R10)."""
    network, values = proof.network, proof.values
    last, outputs = len(network.layers), len(whole)
    channels = tuple((last, c) for c in range(outputs))
    part = proof.cut(channels, proof.graph.coordinates)
    rest, linear = part.network, {}
    for name, value in values.items():
        if value.origin in part.reads:
            linear[name], rest = _stripped(rest, part.reads.index(value.origin))
    symbols = {str(s): s for e in whole for s in e.free_symbols}
    error = np.zeros(outputs)
    task, taken = np.zeros((outputs, len(values))), np.zeros((outputs, len(values)))
    for k, (name, value) in enumerate(values.items()):
        if name in symbols:
            task[:, k] = [float(sympy.diff(e, symbols[name])) for e in whole]
        taken[:, k] = linear.get(name, 0.0)
        a, w = task[:, k], taken[:, k]
        # a is rounded from the task's exact number, hence the last term.
        error += GENEROUS * (np.abs(w) * value.error + (np.abs(a - w) + np.finfo(float).eps * np.abs(a)) * value.size)
    left = [e.xreplace({symbols[name]: sympy.Integer(0) for name in values if name in symbols}) for e in whole]
    names = {str(s) for e in left for s in e.free_symbols}
    blocks = {proof.folded[name].name: proof.folded[name] for name in names if name in proof.folded}
    if len(blocks) > 1 or names - set(proof.folded):
        raise NotProvableError("the read-out mixes more than one block with coordinates")
    rounding = {str(dtype): _rounding(proof, part, dtype) for dtype in {np.dtype(float), network.dtype}}
    constant, moved, folded = np.zeros(outputs), np.zeros(outputs), None
    bare = Slicer(rest).slice(len(rest.layers), range(outputs), (), choosing=any(not block.domain.exclusive for block in blocks.values()))
    if not blocks:
        if not _is_constant(bare.network):
            raise NotProvableError("the network's read-out reads more than what the task's does")
        constant = np.abs(rest(np.zeros((1, len(part.reads))))[0] - np.array([float(e) for e in left]))
        error += GENEROUS * constant + rounding["float64"]
    else:
        (block,) = blocks.values()
        folded = block.name
        remaining = Slice(bare.network, tuple(part.reads[k] for _, k in bare.reads))
        site = proof.site(block, channels, remaining, block.reads, folded=True)
        proof.solve([proof.open(site, _after(proof.task(block), block, left))])
        solution = proof.sites[folded].solution
        moved = moved if site.charts else spread(solution.problem.task, site.moves, site.tiling)
        error += GENEROUS * (solution.bound + moved + rounding["float64"])
    return ReadOut(error, rounding, None, tuple(values), task, taken, folded, constant, moved)


def _is_constant(network: Network) -> bool:
    """Whether nothing that it reads makes a difference, as slices show it."""
    (first, *others) = network.layers
    reads = first.carries is not None or any(net.affines[0].weight.any() for net in first.nets)
    return not others and not reads


def _after(task: ManifoldTask, block: Block, left: Sequence[sympy.Expr]) -> ManifoldTask:
    """The block's task with the read-out's affine map after it."""
    names = real_symbols(block.components)

    def after(function: ExpressionMap) -> ExpressionMap:
        into = dict(zip(names.values(), function.expressions, strict=True))
        return ExpressionMap(function.variables, tuple(e.xreplace(into) for e in left))

    target = task.target
    if isinstance(target, ChartTarget):
        return ManifoldTask(task.name, task.atlas, ChartTarget(tuple(map(after, target.functions))))
    assert isinstance(target, ExpressionTarget)
    return ManifoldTask(task.name, task.atlas, ExpressionTarget(after(target.function)))


def _rounding(proof: Proof, part: Slice, dtype: np.dtype) -> float:
    """What evaluation in `dtype` adds in the read-out, carried values included."""
    known = {value.origin: value for value in proof.values.values()}
    sizes, errors = [], []
    for origin in part.reads:
        value = known.get(origin)
        if value is None:
            row = proof.embedding[origin[1]]
            sizes.append(sum(abs(row[k]) * proof.size_of(proof.graph.coordinates[k]) for k in np.flatnonzero(row)))
            errors.append(0.0)
        else:
            sizes.append(value.size + value.error)
            errors.append(value.rounding[str(dtype)])
    return network_rounding(part.network, np.array(sizes), np.array(errors), dtype).outputs


def _stripped(network: Network, leaf: int) -> tuple[Array, Network]:
    """The part w of the outputs that is linear in one input, and the network without it.

    Only what all experts of the last layer share counts; what they do not share stays in the network.
    """
    last, origins = network.layers[-1], Slicer(network).origins[-2]
    reads = range(len(origins)) if last.reads is None else last.reads
    channels = [n for n, channel in enumerate(reads) if origins[channel] == (0, leaf)]
    weights = np.zeros(len(network.outputs))
    if len(channels) != 1 or last.weighting is Weighting.RECTIFIED:
        return weights, network
    parts = [without_linear(expert, channels[0]) for expert in last.experts]
    if any(not np.array_equal(w, parts[0][0]) for w, _ in parts):
        return weights, network
    weights[last.targets] = parts[0][0]
    stripped = replace(last, experts=tuple(net.astype(network.dtype) for _, net in parts))
    return weights, Network((*network.layers[:-1], stripped), network.inputs)
