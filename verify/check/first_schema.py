"""Certificates of schema 1: what they say of their one manifold, as later schemas say it of a site."""

from __future__ import annotations

import numpy as np

from ...atlas import TaskGraph
from ...moe.typed_json import Fields
from .described import or_infinite
from .layers import DTYPES


def as_site(document: Fields, config: Fields, graph: TaskGraph, layers: int, scored: bool) -> Fields:
    """What a certificate of schema 1 says of its one manifold, as schema 2 says it of a site."""
    (block,), facts = graph.blocks, config.child("facts")
    claims = {claim.text("name"): claim for claim in document.children("claims")}
    missing = Fields({"budget": None, "bound": None}, document.path)

    def said(name: str, key: str) -> float:
        return or_infinite(claims.get(name, missing), key)

    # What the claims about evaluation in floats leave for rounding.
    left = {dtype: (said(f"total.{dtype}", "bound") - said("total", "bound")) * (1 - 2.0**-50) for dtype in DTYPES}
    level = facts["plateau_level"] if facts.get("routing") == "plateau" else None
    delta, floor = said("routing.tau", "budget"), said("routing.max_tau", "budget") + said("routing.tau", "budget")
    scores = {
        "delta": delta,
        "floor": floor,
        "level": level,
        "bound": said("routing.tau", "bound"),
        "least": said("routing.max_tau", "bound"),
    }
    site = {
        "name": block.name,
        "kind": "block",
        "components": list(block.components),
        "channels": [[layers, c] for c in range(graph.outputs)],
        "reads": [[0, i] for i in range(graph.ambient_dimension)],
        "variables": list(block.reads),
        "moves": [0.0] * len(block.reads),
        "domain": "charts",
        "pieces": document["charts"],
        "winners": document["winners"],
        "routes": None,
        "eta": document["eta"],
        "bound": document["bound"],
        "rounding": {dtype: None if np.isnan(number) else number for dtype, number in left.items()},
        "values": [],
        "scores": scores if scored else None,
        "folded": False,
    }
    return Fields(site, document.path)
