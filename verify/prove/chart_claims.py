"""Claims about the charts of a task, which hold of any network: that they cover, are defined where they are used, and are charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ...atlas import Array, Atlas
from ...atlas.chart import INVERSE_TOLERANCE
from ...atlas.implicit.build import PROVED_UP_TO
from ...atlas.implicit.continuation import continued
from ...atlas.implicit.cover import cover, edge_cell
from ...atlas.implicit.singular import touches
from ...atlas.implicit.together import proved_charts
from ...moe.ledger import Claim, Known
from .definedness import undefined
from .inverse import inverted
from .manifold import EnclosedManifold, on_edge
from .sites import SiteProof
from .tree import PROVED, UNSETTLED, Tree

COVER = "wherever chart i ends and M does not, another chart holds the point: no chart has a bare edge (boxes that may)"
DEFINED = "the inverse of every chart is defined all over it, and f at its points (boxes on which one may not be)"
INVERSE = "for every u of chart i at which both maps are defined: |φ_i(φ_i⁻¹(u)) − u| ≤ bound, in parts of the widths of its box (0: equal)"
ZEROS, LEMMA = (
    "every zero of the equations in the box at which the region, if there is one, is ≥ 0 lies in a chart, or in one of a component that is "
    "no part of M (cells of the box that may hold another)",
    "docs/implicit.md",
)
COMPONENTS = (
    "the charts of M are whole connected components of the zeros of the equations in the box at which the region, if there is one, is ≥ 0: "
    "where one ends, another holds the point (points of edges that none may hold)"
)


def charts_claims(prefix: str, site: SiteProof) -> Iterator[Claim]:
    """Of a site on charts."""
    manifold, trees = site.solution.manifold, site.solution.trees
    yield _edges(f"{prefix}cover", trees, manifold)
    yield _defined(f"{prefix}defined", site)
    yield _inverse(f"{prefix}inverse", manifold)
    if manifold.atlas.implicit is not None:
        few = manifold.atlas.base_dimension <= PROVED_UP_TO
        yield _zeros(f"{prefix}zeros", manifold.atlas) if few else _components(f"{prefix}components", manifold.atlas)


def _edges(name: str, trees: Mapping[str, Tree], manifold: EnclosedManifold) -> Claim:
    """No point on an edge of a chart box is left to that chart alone."""
    bare = 0
    witness: tuple[float, ...] | None = None
    for p, tree in enumerate(trees.values()):
        lower, upper = tree.leaves()
        rows = np.flatnonzero((tree.tags == PROVED) | (tree.tags == UNSETTLED))
        rows = rows[on_edge(manifold, p, lower[rows], upper[rows])]
        if len(rows):
            rows = rows[~manifold.held_by_others(manifold.place(p, lower[rows], upper[rows]))]
        bare += len(rows)
        if len(rows) and witness is None:
            witness = _ambient(manifold, p, (lower[rows[0]] + upper[rows[0]]) / 2)
    return Claim(name, COVER, "Theorem 4.8 step 3", 0.0, float(bare), Known.UNKNOWN if bare else Known.PROVED, witness=witness)


def _defined(name: str, site: SiteProof) -> Claim:
    """φ⁻¹ and f have values where they are used."""
    solution, count, note = site.solution, 0, ""
    for p, found in undefined(solution.problem.task, solution.manifold, list(solution.trees.values())):
        count += found.boxes
        note = note or found.part
        if found.witness is not None:
            witness = tuple(map(float, found.witness))
            said = f"{found.part} has no value at the witness, in coordinates of chart {solution.manifold.charts[p].chart.name}"
            return Claim(name, DEFINED, "B8", 0.0, float(count), Known.REFUTED, witness=witness, note=said)
    return Claim(name, DEFINED, "B8", 0.0, float(count), Known.UNKNOWN if count else Known.PROVED, note=note)


def _inverse(name: str, manifold: EnclosedManifold) -> Claim:
    """φ is the inverse of φ⁻¹."""
    open_, exact, note = 0, True, ""
    for p, enclosed in enumerate(manifold.charts):
        if enclosed.chart.forward is None:
            continue
        found = inverted(manifold, p)
        if found.witness is not None:
            witness, said = (
                tuple(map(float, found.witness)),
                f'chart "{enclosed.chart.name}" takes the witness, in its coordinates, to another point',
            )
            return Claim(name, INVERSE, "Theorem 4.8", INVERSE_TOLERANCE, np.inf, Known.REFUTED, witness=witness, note=said)
        open_ += found.open
        exact &= found.exact
        note = note or (f'{found.open:,} boxes of chart "{enclosed.chart.name}" are open' if found.open else "")
    bound = np.inf if open_ else 0.0 if exact else INVERSE_TOLERANCE
    return Claim(name, INVERSE, "Theorem 4.8", INVERSE_TOLERANCE, bound, Known.UNKNOWN if open_ else Known.PROVED, note=note)


def _zeros(name: str, atlas: Atlas) -> Claim:
    """The charts of an implicit manifold leave no zero out."""
    assert atlas.implicit is not None
    tubes = [chart.tube for chart in atlas.parametrising if chart.tube is not None]
    every = [*tubes, *atlas.implicit.aside]
    if not proved_charts(every).all():
        return Claim(name, ZEROS, LEMMA, 0.0, np.inf, Known.UNKNOWN, note="not every chart is proved to be one")
    done = cover(atlas.implicit.zeros, every)
    edge = None if atlas.implicit.boundary or done.open is not None else edge_cell(atlas.implicit.zeros)
    if edge is not None:
        middle = ", ".join(f"{v:.6g}" for v in (edge[0] + edge[1]) / 2)
        note = f"M meets the edge of the box, or may, near ({middle}), and boundary = true is not said"
        return Claim(name, ZEROS, LEMMA, 0.0, np.inf, Known.UNKNOWN, note=note)
    if done.open is None:
        return Claim(name, ZEROS, LEMMA, 0.0, 0.0, Known.PROVED, note=f"{done.cells:,} cells")
    sides = " × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(*done.open, strict=True))
    touched = (
        "; the region seems to touch M there: let it cross M, or stay away from it" if touches(atlas.implicit.zeros, done.open) else ""
    )
    return Claim(name, ZEROS, LEMMA, 0.0, 1.0, Known.UNKNOWN, note=f"the cell {sides} may hold one{touched}")


def _components(name: str, atlas: Atlas) -> Claim:
    """The charts of an implicit manifold have no edge where its equations have zeros."""
    assert atlas.implicit is not None
    tubes = [chart.tube for chart in atlas.parametrising if chart.tube is not None]
    if not proved_charts(tubes).all():
        return Claim(name, COMPONENTS, "B23", 0.0, np.inf, Known.UNKNOWN, note="not every chart is proved to be one")
    done = continued(atlas.implicit.zeros, tubes)
    if done.open is None:
        return Claim(name, COMPONENTS, "B23", 0.0, 0.0, Known.PROVED, note=f"{done.cells:,} cells of edges")
    witness = tuple(map(float, atlas.embed(done.open)))
    return Claim(
        name, COMPONENTS, "B23", 0.0, 1.0, Known.UNKNOWN, witness=witness, note="the witness, on the edge of a chart, may be in no other"
    )


def _ambient(manifold: EnclosedManifold, p: int, u: Array) -> tuple[float, ...]:
    return tuple(map(float, manifold.atlas.embed(manifold.charts[p].chart.inverse(u))))
