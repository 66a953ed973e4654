"""What certificate.json says of sites, scores and the read-out (docs/certificate.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .problem import ScoreProof
from .sites import ReadOut, SiteProof
from .split import PartProof
from .tree import Tree


def describe_site(site: SiteProof) -> dict[str, Any]:
    """A site, without its boxes."""
    solution = site.solution
    return {
        "name": site.name,
        "kind": site.kind,
        "components": list(site.components),
        "channels": [list(origin) for origin in site.channels],
        "reads": [list(origin) for origin in site.part.reads],
        "variables": list(site.variables),
        "moves": numbers(site.moves),
        "domain": "charts" if site.charts else "boxes",
        "pieces": [{"name": name, "boxes": len(tree)} for name, tree in solution.trees.items()],
        "winners": list(site.part.network.layers[-1].names),
        "routes": None if solution.problem.chosen is None else list(solution.problem.chosen),
        "eta": number(solution.eta),
        "bound": number(solution.bound),
        "rounding": {dtype: number(found.outputs) for dtype, found in solution.roundings.items()},
        "values": [
            {
                "component": value.component,
                "lower": number(value.lower),
                "upper": number(value.upper),
                "spread": number(value.spread),
                "error": number(value.error),
            }
            for value in site.values
        ],
        "scores": None if site.scores is None else _describe_scores(site.scores),
        "folded": site.folded,
        **({} if solution.amiss is None else {"amiss": number(solution.amiss)}),
        **({"shift": numbers(site.shift)} if site.shift else {}),
        **({"parts": [_describe_part(part, site.components[part.part.component]) for part in site.parts]} if site.parts else {}),
    }


def _describe_part(proof: PartProof, component: str) -> dict[str, Any]:
    found = {key: number(getattr(proof, key)) for key in ("offset", "lower", "upper", "spread")}
    variables, forms = list(proof.part.forms), [numbers(row) for row in proof.matrix]
    return {
        "component": component,
        "variables": variables,
        "forms": forms,
        "slope": numbers(proof.slope),
        "bound": number(proof.bound),
        **found,
    }


def _describe_scores(scores: ScoreProof) -> dict[str, Any]:
    promise = scores.promise
    found = {"bound": number(scores.bound), "least": number(scores.least)}
    return {"delta": promise.delta, "floor": promise.floor, "level": promise.plateau_level, **found}


def describe_read_out(found: ReadOut) -> dict[str, Any]:
    """How the total follows from the sites."""
    data: dict[str, Any] = {
        "error": numbers(found.error),
        "rounding": {dtype: number(added) for dtype, added in found.rounding.items()},
    }
    if found.site is not None:
        return {"kind": "site", "site": found.site, **data}
    return {
        "kind": "affine",
        "components": list(found.components),
        "task": found.task.tolist(),
        "network": found.network.tolist(),
        "block": found.block,
        "constant": numbers(found.constant),
        "spread": numbers(found.spread),
        **data,
    }


def tree_arrays(tree: Tree) -> dict[str, NDArray]:
    """A tree as arrays by name."""
    return {
        "lower": tree.lower,
        "upper": tree.upper,
        "cuts": tree.cuts,
        "tags": tree.tags,
        "bounds": tree.bounds,
        "offsets": tree.offsets,
        "members": tree.members,
    }


def number(value: float) -> float | None:
    """A number, or None for one that is not finite, which JSON cannot hold."""
    return float(value) if np.isfinite(value) else None


def numbers(values: ArrayLike) -> Sequence[float | None]:
    return [number(value) for value in np.asarray(values, float)]
