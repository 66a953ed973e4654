"""A ledger with what a certificate proves written into it: formula ≥ proved ≥ sampled, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...moe.ledger import Claim, Known, Ledger
from .certificate import Certificate
from .targets import share
from .tree import PROVED

SAME = ("total", "routing.tau", "routing.max_tau")
"""Claims that say the same in a ledger and in a certificate."""


def expert_bounds(certificate: Certificate) -> dict[str, float]:
    """For every expert, called like its claim, what is proved of |f − expert| wherever the gate may choose it; others are left out."""
    found: dict[str, float] = {}
    for site in certificate.sites:
        if site.folded:
            continue
        own = site.name.partition("/")[2] if certificate.problem.wanted else site.name  # behind the name of the target
        prefix = "" if certificate.kind == "manifold" else f"{site.kind}[{own}]."
        winners = site.part.network.layers[-1].names
        unit = site.solution.goal.epsilon if certificate.kind == "manifold" and certificate.problem.wanted else None
        if site.parts:  # a leaf says something of a part only; there is one expert
            found |= {f"{prefix}expert[{name}]": site.solution.bound for name in winners}
            continue
        worst = np.full(len(winners), -np.inf)
        for tree in site.solution.trees.values():
            leaf = np.repeat(np.arange(len(tree)), np.diff(tree.offsets))
            settled = tree.tags[leaf] == PROVED
            np.maximum.at(worst, tree.members[settled], tree.bounds[leaf[settled]])
        for name, bound in zip(winners, worst, strict=True):
            label = f"{prefix}expert[{name}]"
            if bound >= 0:
                # Of several targets in units of their ε, the largest.
                found[label] = max(float(bound) if unit is None else share(float(bound), unit), found.get(label, 0.0))
    return found


def with_proofs(ledger: Ledger, certificate: Certificate) -> Ledger:
    """The ledger in which claims that the certificate proves say so, and every expert has what is proved of it beside what was sampled.

    Bounds of a certificate that was not proved are left out: the ledger then says what it said before.
    """
    proved = {claim.name: claim for claim in certificate.claims if claim.known is Known.PROVED}
    bounds = expert_bounds(certificate) if "total" in proved else {}
    return Ledger(_with_proofs(ledger.root, proved, bounds))


def _with_proofs(claim: Claim, proved: Mapping[str, Claim], bounds: Mapping[str, float]) -> Claim:
    children = tuple(_with_proofs(child, proved, bounds) for child in claim.children)
    if claim.name in bounds:
        bound = bounds[claim.name]
        statement = f"|f − {claim.name}| wherever the gate may choose it"
        children = (*children, Claim(f"{claim.name}.proved", statement, "B8", bound, bound, Known.PROVED))
    name = f"{claim.name}.total" if claim.name.startswith("target[") and "." not in claim.name else claim.name
    if name.endswith(SAME) and name in proved:
        found = proved[name]
        return replace(claim, bound=found.bound, known=Known.PROVED, samples=None, witness=None, note=found.note, children=children)
    return replace(claim, children=children)
