"""Blocks that have no channels of their own because a layer of groups adds them up: what each group adds to an output follows its share.

Lemma (N15, R10). Let an output of the task be f_o = Σ_l (Σ_i a_oli·v_li + c_ol) + r, v_l the values of block l, a and c numbers, and
let the network add up q_ol, one group after the other, and the rest. With |Σ_i a_oli·v_li + c_ol − q_ol| ≤ e_ol for each the output is
off by no more than Σ_l e_ol, and what r and the rest differ by. Each share is a function of what one block reads, proved on its own
pieces or charts: Σ E_l boxes, ∏ E_l pieces. How a constant is shared out among the groups is theirs; c_ol says what each of them has of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import sympy

from ...atlas import Array, Block, ChartTarget, ExpressionMap, ExpressionTarget, ManifoldTask
from ...expressions.parse import real_symbols
from ...expressions.tree import Name
from ...moe.layer import Weighting
from .proof import Proof
from .sites import NotProvableError, Site
from .slices import Origin
from .tiling import tiling_router

SEEN = 1 << 10
"""Points of a block at which a constant part of its share is looked for."""
LITTLE = 1.02
"""A likely constant part that makes errors no larger than this many times those of the best one is taken for it."""


def shared_out(proof: Proof, whole: Sequence[sympy.Expr]) -> list[sympy.Expr]:
    """The output in terms of shares, each of which is proved; as it is where no layer of groups adds up blocks.

    Raises `NotProvableError` for blocks that are there, but not affinely, or of which no group is found.
    """
    names = {str(s) for e in whole for s in e.free_symbols} & set(proof.folded)
    blocks = list({proof.folded[name].name: proof.folded[name] for name in sorted(names)}.values())
    if not proof.groups or not blocks:
        return list(whole)
    outputs, found, opened = _outputs(proof), list(whole), []
    constants = [float(e.xreplace(dict.fromkeys(e.free_symbols, sympy.Integer(0)))) for e in whole]
    taken: set[int] = set()
    for block in blocks:
        layer, places = _group(proof, block, outputs, taken)
        taken.add(layer)
        coefficients, found = _coefficients(block, found, [o for o, _ in places])
        names_ = [f"{block.name}.{proof.graph[proof.graph.output].components[o]}" for o, _ in places]
        if set(names_) & {*proof.values, *proof.graph.sources}:
            raise NotProvableError(f"the graph has another component that is called {names_[0]}")
        site, task = _site(proof, block, coefficients, [origin for _, origin in places])
        likely = [(0.0, constants[o], constants[o] / list(outputs.values()).count(o)) for o, _ in places]
        shift = _shifts(site, task, proof.matrix(site.part, site.variables), likely)
        shares = [share + sympy.Rational(c) for share, c in zip(coefficients, shift, strict=True)]
        opened.append(proof.open(replace(site, components=tuple(names_), shift=shift), after(proof.task(block), block, shares)))
        for name, (o, _), c in zip(names_, places, shift, strict=True):
            found[o] += real_symbols([name])[name] - sympy.Rational(c)
    proof.solve(opened)
    return found


def _outputs(proof: Proof) -> dict[Origin, int]:
    """The number that a group writes ↦ the output that it is added to."""
    last, arriving = proof.network.layers[-1], proof.slicer.origins[-2]
    if last.gate is not None or len(last.experts) != 1 or len(last.experts[0].affines) != 1:
        return {}
    reads = range(len(arriving)) if last.reads is None else last.reads
    rows = zip(last.targets.tolist(), last.experts[0].affines[0].weight, strict=True)
    return {arriving[list(reads)[n]]: o for o, row in rows for n in np.flatnonzero(row)}


def _group(proof: Proof, block: Block, outputs: dict[Origin, int], taken: set[int]) -> tuple[int, list[tuple[int, Origin]]]:
    """The layer of the group that routes a block, and (output, number) for all that it writes."""
    said = [proof.groups.get((site.layer, site.first)) for site in proof.design.sites if site.block == block.name]
    layers = [layer for layer in said if layer is not None] or sorted(set(proof.groups.values()) - taken)
    for layer in layers:
        places = [(o, origin) for origin, o in outputs.items() if origin[0] == layer]
        if not places:
            continue
        part = proof.cut([origin for _, origin in places], block.reads, choosing=True)
        try:
            matrix = proof.matrix(part, block.reads)
        except NotProvableError:
            continue
        tiling = block.tiling
        hats = (
            part.network.layers[-1].weighting is Weighting.RECTIFIED and tiling is not None and len(part.network.layers[-1]) == len(tiling)
        )
        balls = tiling is None and layer in proof.snapped and len(part.network.layers[-1]) == len(block)
        if hats or balls or (tiling is not None and tiling_router(part.network, tiling, matrix, dtype=proof.dtype) is not None):
            return layer, sorted(places)
    raise NotProvableError(f"no group of the last layer is shown to route {block.name} exactly")


def _coefficients(block: Block, whole: Sequence[sympy.Expr], outputs: Sequence[int]) -> tuple[list[sympy.Expr], list[sympy.Expr]]:
    """Σ_i a_oli·v_li of the outputs, and all outputs without them."""
    symbols = list(real_symbols(block.components).values())
    left, found = list(whole), []
    for o in outputs:
        factors = [sympy.diff(whole[o], v) for v in symbols]
        if any(factor.free_symbols for factor in factors):
            raise NotProvableError(f"the output is not affine in the values of {block.name}")
        found.append(sympy.Add(*(a * v for a, v in zip(factors, symbols, strict=True))))
        left[o] = whole[o].xreplace(dict.fromkeys(symbols, sympy.Integer(0)))
    return found, left


def _site(proof: Proof, block: Block, shares: Sequence[sympy.Expr], channels: Sequence[Origin]) -> tuple[Site, ManifoldTask]:
    part = proof.cut(channels, block.reads, choosing=not block.domain.exclusive)
    return proof.site(block, tuple(channels), part, block.reads), after(proof.task(block), block, shares)


def _shifts(site: Site, task: ManifoldTask, matrix: Array, likely: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """The constant parts of shares, by sampled errors: the first likely one that is good enough, else what makes them smallest."""
    points = task.atlas.sample(SEEN, 0)
    off = site.part.network.astype(float)(points.base @ matrix.T) - task.evaluate(points)
    shifts = []
    for column, numbers in zip(off.T, likely, strict=True):
        candidates = [*numbers, float(column.max() + column.min()) / 2]
        errors = [float(np.abs(column - c).max()) for c in candidates]
        enough = LITTLE * min(errors) + 2.0**-40 * float(np.abs(column).max())
        shifts.append(next(c for c, error in zip(candidates, errors, strict=True) if error <= enough))
    return tuple(shifts)


def after(task: ManifoldTask, block: Block, outputs: Sequence[sympy.Expr]) -> ManifoldTask:
    """The task of a block with a map of its values after it, which may have coordinates that the block reads beside them."""
    outer, target, read = real_symbols(block.components), task.target, {}
    if {str(s) for e in outputs for s in e.free_symbols} & set(block.reads):
        read = real_symbols(block.reads)
    whole = ExpressionMap((*outer.values(), *read.values()), tuple(outputs))

    def behind(inner: ExpressionMap, base: ExpressionMap | None) -> ExpressionMap:
        """`base`: what is read, in terms of the variables of `inner`; None: it is these."""
        if not read:
            return whole.after(inner)
        expressions, trees = (inner.variables, None) if base is None else (base.expressions, base.trees)
        trees = tuple(Name(str(v)) for v in inner.variables) if trees is None else trees
        return whole.after(ExpressionMap(inner.variables, (*inner.expressions, *expressions), (*inner.trees, *trees)))

    if isinstance(target, ChartTarget):
        charts = task.atlas.parametrising
        bases = [
            None if task.atlas is not block.atlas else chart.inverse.renamed(f.variables)
            for f, chart in zip(target.functions, charts, strict=True)
        ]
        return ManifoldTask(task.name, task.atlas, ChartTarget(tuple(map(behind, target.functions, bases))))
    assert isinstance(target, ExpressionTarget)
    return ManifoldTask(task.name, task.atlas, ExpressionTarget(behind(target.function, None)))
