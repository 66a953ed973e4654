"""Claims about the charts of a task, which hold of any network: that they cover, are defined where they are used, and are charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ...atlas import Array
from ...atlas.chart import INVERSE_TOLERANCE
from ...moe.ledger import Claim, Known
from .definedness import undefined
from .inverse import inverted
from .manifold import EnclosedManifold, on_edge
from .sites import SiteProof
from .tree import PROVED, UNSETTLED, Tree

COVER = "wherever chart i ends and M does not, another chart holds the point: no chart has a bare edge (boxes that may)"
DEFINED = "the inverse of every chart is defined all over it, and f at its points (boxes on which one may not be)"
INVERSE = "for every u of chart i at which both maps are defined: |φ_i(φ_i⁻¹(u)) − u| ≤ bound, in parts of the widths of its box (0: equal)"


def charts_claims(prefix: str, site: SiteProof) -> Iterator[Claim]:
    """Of a site on charts."""
    manifold, trees = site.solution.manifold, site.solution.trees
    yield _edges(f"{prefix}cover", trees, manifold)
    yield _defined(f"{prefix}defined", site)
    yield _inverse(f"{prefix}inverse", manifold)


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


def _ambient(manifold: EnclosedManifold, p: int, u: Array) -> tuple[float, ...]:
    return tuple(map(float, manifold.atlas.embed(manifold.charts[p].chart.inverse(u))))
