"""The claims about a task graph's network that sampling can refute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...atlas import Atlas, Block
from ...moe.ledger import Claim, Known
from .graph_measure import quantity
from .graph_survey import GraphSurvey
from .measure import UNITS

if TYPE_CHECKING:
    from .graph import OtherBatches


def graph_claims(survey: GraphSurvey, budgets: Mapping[str, float], noisy: OtherBatches) -> list[tuple[Claim, str | None]]:
    """Every claim with the quantity whose worst point decides it (None where there is no one such point)."""
    n = sum(survey.counts.values())
    gauge, graph, dtype = survey.gauge, survey.graph, survey.gauge.network.dtype
    found: list[tuple[Claim, str | None]] = []

    def add(name: str, measured: str, statement: str, source: str, budget: float, note: str = "") -> None:
        if measured not in survey.worst:
            return
        point = survey.worst[measured]
        claim = Claim(name, statement, source, budget, point.value, Known.SAMPLED, "<=", n, point.ambient, note=note)
        found.append((_judged(claim), measured))

    problems = gauge.layout.problems
    statement = (
        "for every block a layer whose gate outputs are its pieces, and every value arrives where it is read: 0 things that do not fit"
    )
    shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    found.append((_judged(Claim("layout", statement, "R2", 0.0, float(len(problems)), Known.SAMPLED, note=shown)), None))
    theorem = "Theorem 5.2" if any(isinstance(block.domain, Atlas) for block in graph.blocks) else "Theorem 5.3"
    where = f"x over {n:,} points of the domain, x̂ = x rounded to {dtype}"
    add("total", "error", f"max |f(x) − Ψ(x̂)| ≤ ε, largest component; {where}", f"{theorem}, R10", survey.epsilon)
    add("finite", "nonfinite", "every logit, state and output is a finite number (0: yes, 1: no)", "R9", 0.0)
    add("passthrough", "carried", "layers carry x̂ unchanged, as numbers", "R1", 0.0)
    add("slots", "slots", "no layer changes a value y that another one has written, as numbers", "R2", 0.0)
    if gauge.strict:
        said = "number of blocks that take a chart that does not hold x, or a piece that is not the owner of x̂, interface points included"
        add("routing.valid", "wrong", said, "Theorem 5.2, Theorem 5.3, R3, B10", 0.0)
    said = (
        f"distance of what a block reads, as computed, from the closed piece it takes; in units of g, {UNITS} roundings of the largest term"
    )
    add("routing.read", "astray", said, "B2, B9", 1.0)
    if "tied_error" in survey.worst:
        said = f"|f(x) − Ψ(x̂)| ≤ ε also if a block on charts takes one whose score is within g, {UNITS} roundings, of the largest"
        add("routing.ties", "tied_error", said, "B8", survey.epsilon)
    said = f"|f(x) − Ψ(x̂)| ≤ ε in batches of other sizes too ({noisy.rerouted} of {noisy.points:,} points took another route there)"
    batches = Claim("routing.batches", said, "R9", survey.epsilon, noisy.error, Known.SAMPLED, "<=", noisy.points, noisy.witness)
    found.append((_judged(batches), None))
    for node in gauge.layout.makers:
        name = quantity(node)
        if name in budgets:
            what = "F_i of what its layer reads, i the piece taken" if isinstance(node, Block) else "f_out of what its layer reads"
            # Of values that are exact but for rounding the ledger allows none: an identity is computed to a few roundings.
            slack = UNITS * float(np.finfo(dtype).eps) * max(1.0, survey.sizes[name])
            add(name, name, f"|{node.name} as written − {what}|", "R10" if name[0] == "c" else theorem, budgets[name] + slack)
    return found


def _judged(claim: Claim) -> Claim:
    """The claim, refuted if its bound misses its budget."""
    return claim if claim.holds else replace(claim, known=Known.REFUTED)
