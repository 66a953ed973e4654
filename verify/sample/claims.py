"""The claims that sampling can refute, in the words and numbers of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from ...moe.ledger import Claim, Known
from ...moe.promise import ScorePromise
from .layout import Station
from .measure import ASTRAY, ERROR, NONFINITE, OUTSIDE, Quantity
from .replay import UNITS
from .survey import Survey
from .ties import Ties, Worst

Sense = Literal["<=", ">=", ">"]
Judged = tuple[Claim, Quantity | None]
"""A claim, and the quantity whose worst point decides it; None where there is no one such point."""


def claims(survey: Survey, ties: Ties) -> Iterator[Judged]:
    """Every claim that something was measured for."""
    layout, alone = survey.gauge.layout, survey.gauge.layout.design.alone
    if not alone or layout.problems:
        yield _layout(survey)
    yield from _whole(survey)
    for station in layout.stations:
        if station.soft and station.site is not None:
            yield from _site(survey, ties, station)
    yield from _alone_ties(survey, ties) if alone else _graph_ties(survey, ties)
    if not alone:
        yield from _nodes(survey)


def _claim(
    survey: Survey, name: str, quantity: Quantity, statement: str, source: str, budget: float, sense: Sense = "<=", note: str = ""
) -> Iterator[Judged]:
    """The claim that a quantity keeps its budget, if it was measured."""
    if quantity in survey.worst:
        n, point = sum(survey.counts.values()), survey.worst[quantity]
        yield _judged(Claim(name, statement, source, budget, point.value, Known.SAMPLED, sense, n, point.ambient, note=note)), quantity


def _judged(claim: Claim) -> Claim:
    """The claim, refuted if its bound misses its budget."""
    return claim if claim.holds else replace(claim, known=Known.REFUTED)


def _layout(survey: Survey) -> Judged:
    problems = survey.gauge.layout.problems
    statement = (
        "for every block a layer whose gate outputs are its pieces, and every value arrives where it is read: 0 things that do not fit"
    )
    shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    return _judged(Claim("layout", statement, "R2", 0.0, float(len(problems)), Known.SAMPLED, note=shown)), None


def _theorem(survey: Survey) -> str:
    return "Theorem 5.2" if any(station.soft for station in survey.gauge.layout.stations) else "Theorem 5.3"


def _whole(survey: Survey) -> Iterator[Judged]:
    """What is said of the network as a whole: its error, its numbers, what it carries, and what its blocks take."""
    gauge, alone = survey.gauge, survey.gauge.layout.design.alone
    domain, source = ("M", "Theorem 4.8") if alone else ("the domain", f"{_theorem(survey)}, R10")
    where = f"x over {sum(survey.counts.values()):,} points of {domain}, x̂ = x rounded to {gauge.network.dtype}"
    if gauge.graph.wanted:
        said = f"max |f_j(x) − Ψ_j(x̂)|/ε_j ≤ 1, every target within its own ε; {where}"
        yield from _claim(survey, "total", ERROR, said, source, survey.epsilon)
        for one in gauge.graph.wanted:
            said = f"max |{one.name}(x) − Ψ(x̂)| ≤ ε of {one.name}{', largest component' if one.outputs > 1 else ''}; {where}"
            yield from _claim(survey, f"target[{one.name}]", Quantity("error", one.name), said, source, float(one.epsilon))
    else:
        yield from _claim(survey, "total", ERROR, f"max |f(x) − Ψ(x̂)| ≤ ε, largest component; {where}", source, survey.epsilon)
    yield from _claim(survey, "finite", NONFINITE, "every logit, state and output is a finite number (0: yes, 1: no)", "R9", 0.0)
    said = "layer 1 carries x̂ unchanged, as numbers: max |x₁ − x̂| = 0" if alone else "layers carry x̂ unchanged, as numbers"
    yield from _claim(survey, "passthrough", Quantity("carried"), said, "R1", 0.0)
    said = "no layer changes a value y that another one has written, as numbers"
    yield from _claim(survey, "slots", Quantity("slots"), said, "R2", 0.0)
    if any(station.strict for station in gauge.layout.stations):
        said, source = _valid(survey)
        yield from _claim(survey, "routing.valid", OUTSIDE, said, source, 0.0)
    said = (
        f"distance of what a block reads, as computed, from the closed piece it takes; in units of g, {UNITS} roundings of the largest term"
    )
    yield from _claim(survey, "routing.read", ASTRAY, said, "B2, B9", 1.0)


def _valid(survey: Survey) -> tuple[str, str]:
    """Statement and source of routing.valid."""
    gauge = survey.gauge
    if not gauge.layout.design.alone:
        said = "number of blocks that take a chart that does not hold x, or a piece that is not the owner of x̂, interface points included"
        return said, "Theorem 5.2, Theorem 5.3, R3, B10"
    layers, K = len(gauge.network.layers), gauge.network.layers[-1].top_k
    chosen = "the chosen i" if K == 1 else f"all {K} chosen i"
    return f"x ∈ U_i for {chosen} (0: always, 1: not)", f"4.8 step 3, layer {layers}" if layers > 1 else "B1"


def _site(survey: Survey, ties: Ties, station: Station) -> Iterator[Judged]:
    """What is said of the scores of one block on charts."""
    name, site = station.block.name, station.site
    assert site is not None
    prefix = "routing." if survey.gauge.layout.design.alone else f"block[{name}].routing."
    separation, g = Quantity("separation", name), ties.tolerance[name]
    if survey.value(separation) != np.inf and not station.weighed:  # +∞: every chart contains every point, there is nothing to separate
        statement = "max over charts that contain x of τ − max over charts that do not > g"
        note = f"g = {g:.3g}: what another batch size or other hardware may change a score by"
        yield from _claim(survey, f"{prefix}separation", separation, statement, "B11", g, ">", note)
    if site.promise is not None:
        for called, kind, statement, source, sense, budget in _promised(site.promise, survey.value(Quantity("max_t", name))):
            yield from _claim(survey, prefix + called, Quantity(kind, name), statement, source, budget, sense)


def _promised(promise: ScorePromise, mu: float) -> Iterator[tuple[str, str, str, str, Sense, float]]:
    """Name, kind of quantity, statement, source, sense and budget of what a promise about scores implies."""
    t, plateau = promise.symbol, promise.plateau_level is not None
    step = "B1" if promise.balls else "B12" if plateau else "4.8 step 1"
    common = ", up to a summand common to all i" if promise.balls else ""
    yield "tau", "tau_error", f"max_i |{t}_i(x) − τ_i(x̂)| ≤ δ{common}", step, "<=", promise.delta
    sharp = f"max_i |{t}_i(x) − τ_i(x̂)| < μ/2 with μ = min_x max_i {t}_i(x) = {mu:.6g}, both measured here"
    yield "sharp", "tau_error", sharp, "B11", "<=", float(np.nextafter(mu / 2, -np.inf))  # strictly below μ/2
    step = "B1" if promise.balls else "B12" if plateau else "4.8 step 3"
    statement = f"max_i {t}_i(x) ≥ {promise.floor:.6g}"
    # One part in 10^12 of room: the quotients b_i/Σb_j are themselves rounded.
    yield "max_score", "max_t", statement, step, ">=", promise.floor * (1 - 1e-12)
    low, winner = promise.floor - promise.delta, promise.floor - 2 * promise.delta
    if not promise.balls:
        yield "max_tau", "max_tau", f"max_i τ_i(x̂) ≥ {low:.6g}", step, ">=", low
    yield "chosen_rho", "chosen_t", f"{t}_i(x) ≥ {winner:.6g} > 0 for the chosen i", step, ">=", winner


def _tied(survey: Survey, name: str, statement: str, quantity: Quantity, here: Worst) -> Judged:
    """The claim that the error stays below ε, whichever of some tied experts is taken: as surveyed, and as retried."""
    claim = Claim(name, statement, "B8", survey.epsilon, here.error, Known.SAMPLED, "<=", sum(survey.counts.values()), here.witness)
    elsewhere = survey.worst.get(quantity)
    if elsewhere is None or (here.witness is not None and here.error > elsewhere.value) or np.isnan(elsewhere.value):
        return _judged(claim), None
    return _judged(replace(claim, bound=elsewhere.value, witness=elsewhere.ambient)), quantity


def _alone_ties(survey: Survey, ties: Ties) -> Iterator[Judged]:
    """Whichever of two tied experts is taken, the error stays below ε."""
    for name, g in ties.tolerance.items():
        statement = (
            f"|f(x) − Ψ(x̂)| ≤ ε also in batches of other sizes ({ties.rerouted} of {ties.points:,} routes changed), and with every expert "
            f"whose τ is within g = {g:.3g} of the largest"
        )
        yield _tied(survey, "routing.ties", statement, Quantity("tied_error", name), ties.worst)


def _graph_ties(survey: Survey, ties: Ties) -> Iterator[Judged]:
    """The same for every block on charts, for all of them, and for batches of other sizes."""
    found = []
    for name, g in ties.tolerance.items():
        statement = f"|f(x) − Ψ(x̂)| ≤ ε also with every expert of the block whose τ is within g = {g:.3g} of the largest"
        found.append(_tied(survey, f"block[{name}].routing.ties", statement, Quantity("tied_error", name), ties.tied[name]))
    yield from found
    if found:
        said = f"|f(x) − Ψ(x̂)| ≤ ε also if a block on charts takes one whose score is within g, {UNITS} roundings, of the largest"
        worst, quantity = max(found, key=lambda one: np.inf if np.isnan(one[0].bound) else one[0].bound)
        yield replace(worst, name="routing.ties", statement=said), quantity
    said = f"|f(x) − Ψ(x̂)| ≤ ε in batches of other sizes too ({ties.rerouted} of {ties.points:,} points took another route there)"
    changed = ties.changed
    batches = Claim("routing.batches", said, "R9", survey.epsilon, changed.error, Known.SAMPLED, "<=", ties.points, changed.witness)
    yield _judged(batches), None


def _nodes(survey: Survey) -> Iterator[Judged]:
    """How far what each layer writes is from the node's own function of what the layer reads."""
    layout, dtype = survey.gauge.layout, survey.gauge.network.dtype
    for node in layout.makers:
        if node.name in layout.budgets:
            block = node.kind == "block"
            what = "F_i of what its layer reads, i the piece taken" if block else "f_out of what its layer reads"
            # Of values that are exact but for rounding the ledger allows none: an identity is computed to a few roundings.
            slack = UNITS * float(np.finfo(dtype).eps) * max(1.0, survey.sizes[node.name])
            statement, source = f"|{node.name} as written − {what}|", _theorem(survey) if block else "R10"
            budget = layout.budgets[node.name] + slack
            yield from _claim(survey, f"{node.kind}[{node.name}]", Quantity("written", node.name), statement, source, budget)
