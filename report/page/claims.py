"""Claims as the nodes of a blueprint: what each one says, and whether all that it follows from is known for every point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...moe.ledger import EVERYWHERE, Claim
from ..tables import tightest

MOST_CLAIMS = 400
"""Nodes of one blueprint; what is left out of a family is counted in the place of its members."""


def blueprint(title: str, root: Claim) -> dict[str, Any]:
    """A tree of claims as a list, every one after the one that it is needed for."""
    nodes: list[dict[str, Any]] = []
    left_out = _add(root, None, nodes)
    return {"title": title, "nodes": nodes, "claims": sum(1 for _ in root.walk()), "left": left_out}


def _add(claim: Claim, parent: int | None, nodes: list[dict[str, Any]]) -> int:
    """Add a claim and those that it follows from; how many were left out."""
    number = len(nodes)
    nodes.append(_node(claim, parent))
    shown, left = tightest(claim.children), 0
    for child in shown:
        left += _add(child, number, nodes) if len(nodes) < MOST_CLAIMS else sum(1 for _ in child.walk())
    hidden = len(claim.children) - len(shown)
    if hidden:
        nodes.append({"parent": number, "more": hidden})
    return left + sum(sum(1 for _ in child.walk()) for child in _without(claim.children, shown))


def _without(children: Sequence[Claim], shown: Sequence[Claim]) -> list[Claim]:
    kept = {id(child) for child in shown}
    return [child for child in children if id(child) not in kept]


def _node(claim: Claim, parent: int | None) -> dict[str, Any]:
    said = claim.to_dict()
    del said["children"]
    return {
        **said,
        "parent": parent,
        "holds": claim.holds,
        "sure": claim.known in EVERYWHERE and claim.holds,
        "dark": all(one.known in EVERYWHERE and one.holds for _, one in claim.walk()),
    }
