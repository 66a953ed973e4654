"""Ledgers, reports, certificates and plans for people: every claim with its bound, budget, slack and how it is known."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.text import Text

from ..atlas.wanted import IN_UNITS, epsilons
from ..moe.ledger import Claim, Known, Ledger
from ..verify.sample.report import Report, format_point
from .listing import LEFT, RIGHT, Listing, Row

if TYPE_CHECKING:
    from ..constructions.plan import Frontier
    from ..verify.prove import Certificate
    from ..verify.prove.engines import ForEngine

STYLES = {
    Known.EXACT: "green",
    Known.FORMULA: "green",
    Known.PROVED: "bold green",
    Known.SAMPLED: "cyan",
    Known.REFUTED: "bold red",
    Known.UNKNOWN: "yellow",
}
VERDICTS = {
    Known.PROVED: "proved for every point",
    Known.REFUTED: "REFUTED",
    Known.UNKNOWN: "not proved: some boxes are open",
}
LEFT_OUT = "not proved: charts may leave out a part of M"
"""Where nothing else is unknown."""
MOST_TIMES = 1000
"""A bound that is more than this times the largest error found is not compared with it: what was found is rounding, or next to nothing."""
MOST_SIBLINGS = 6
"""Of more claims `name[…]` of one name under one parent, only those with the least relative slack are shown."""
UNBOUNDED = 1e300
"""A bound of this size is none."""
MOST_BLOCKS = 16
"""Blocks of a task graph whose routes are shown."""
CLAIM = (("bound", RIGHT), ("", LEFT), ("budget", RIGHT), ("used", RIGHT))
"""What stands beside every claim, before how it is known."""


def ledger_table(ledger: Ledger, *, statements: bool = True, every: bool = False) -> RenderableType:
    """The ledger as a tree, each claim with its numbers; long rows of siblings are shortened to the tightest unless `every`.

    Without `statements` there is one line a claim.
    """
    rows = []
    for guide, stem, claim, hidden in _tree(ledger.root, every):
        if claim is None:
            rows.append(Row(Text(f"{guide}… {hidden}", "dim")))
            continue
        label = Text.assemble((guide, "dim"), _mark(claim), " ", claim.name)
        rows.append(Row(label, (*_numbers(claim), _known(claim)), _statement(claim, sourced=True) if statements else None, stem))
    title = f"ledger: {'every claim holds' if ledger.holds else 'NOT every claim holds'}"
    return Listing(title, "claim", (*CLAIM, ("known", LEFT)), rows)


def report_table(report: Report, *, statements: bool = True) -> Group:
    """The verification: its claims, the worst points of refuted ones, the violation rate and the routes.

    Without `statements` there is one line a claim.
    """
    verdict = Text("holds on every sampled point", "bold green") if report.holds else Text("REFUTED", "bold red")
    counts = ", ".join(f"{count:,} {kind}" for kind, count in report.counts.items())
    head = Text.assemble(
        (report.task, "bold"), f" in {report.dtype}: ", verdict, f" — {report.points:,} points in {report.seconds:.1f} s ({counts})"
    )
    rows = []
    for claim in report.claims:
        worst = report.worst.get(claim.name)
        found = worst.kind if worst is not None else "structure" if claim.name == "layout" else "batch sizes"
        label = Text.assemble(_mark(claim), " ", claim.name)
        rows.append(Row(label, (*_numbers(claim), Text(found)), Text(claim.statement) if statements else None))
    parts: list[RenderableType] = [head, Listing("", "claim", (("worst", RIGHT), *CLAIM[1:], ("found by", LEFT)), rows)]
    for claim in report.claims:
        worst = report.worst.get(claim.name)
        if claim.known is Known.REFUTED and worst is not None:
            where = f"{format_point(worst.ambient)}, {format_point(worst.intrinsic)} in chart {worst.chart}"
            where = where if worst.chart else format_point(worst.intrinsic)
            parts.append(Text(f"{claim.name} fails at {where}, routed to {worst.route}", "red"))
        elif claim.known is Known.REFUTED:
            parts.append(Text(f"{claim.name} fails: {claim.note or claim.statement}", "red"))
    parts.append(Text(str(report.rate)))
    if report.pieces is None:
        parts.append(Text(_routes(report.routes), "dim"))
    else:
        parts.append(Text(str(report.pieces)))
        parts += [Text(line, "dim") for line in _block_routes(report.blocks)]
    parts += [Text(f"warning: {warning}", "yellow") for warning in report.warnings]
    return Group(*parts)


def certificate_table(certificate: Certificate, *, statements: bool = True) -> Group:
    """A certificate: what is proved for every point, and what is not, with where that was seen."""
    assuming = certificate.verdict.partition(", ")[1:]
    unknown = {claim.name.rpartition(".")[2] for claim in certificate.claims if claim.known is Known.UNKNOWN}
    words = LEFT_OUT if unknown and unknown <= {"zeros", "components"} else VERDICTS[certificate.status]
    verdict = Text(words + "".join(assuming), STYLES[certificate.status])
    beyond = 0 < certificate.found < certificate.bound < MOST_TIMES * certificate.found
    ratio = f", {certificate.bound / certificate.found:.3f} times the largest error found" if beyond else ""
    head = Text.assemble(
        (certificate.task, "bold"),
        f" in {certificate.dtype}: ",
        verdict,
        f" — {certificate.boxes:,} boxes in {certificate.seconds:.1f} s{ratio}",
    )
    rows = [
        Row(Text(claim.name), (*_numbers(claim, 6)[:3], _known(claim)), _statement(claim) if statements else None)
        for claim in certificate.claims
    ]
    parts: list[RenderableType] = [head, Listing("", "claim", (*CLAIM[:3], ("known", LEFT)), rows)]
    parts += [Text(f"assumed: {taken.name}: {taken.statement}", "yellow") for taken in certificate.assumptions]
    for engine in certificate.engines:
        parts.append(Text(f"{engine.name}, by {engine.claim}: {_said(engine)}", STYLES[engine.known]))
        parts += [Text(f"  assumed: {taken.name}: {taken.statement}", "yellow") for taken in engine.assumptions]
    for claim in certificate.claims:
        if claim.known is not Known.PROVED:
            where = "" if claim.witness is None else f" at ({', '.join(f'{v:.10g}' for v in claim.witness[:9])})"
            parts.append(Text(f"{claim.name} is {claim.known}{where}: {claim.note or claim.statement}", STYLES[claim.known]))
    if certificate.diagnosis:
        parts += [Text(line) for line in ([certificate.explain()] if certificate.refutation else certificate.causes)]
    return Group(*parts)


def _said(engine: ForEngine) -> str:
    """What is proved for an engine, or what would help."""
    if engine.known is Known.PROVED:
        return f"|f − Ψ̂| ≤ {engine.bound:.6g} is proved, if the engine is as follows"
    remedy = "compile to a smaller ε or with {dtype=float64}, or certify with a larger {epsilon}"
    return f"not proved, its bound is {engine.bound:.6g}; {remedy}"


def frontier_table(frontier: Frontier) -> Group:
    """A plan, one row per number of experts; the cheapest in each of the three costs is marked."""
    built = any(row.reached is not None for row in frontier)
    headings = ("m", "active", "total", "latency", "predicted", *(("reached",) if built else ()))
    least = {cost: min((getattr(row, cost) for row in frontier if row.buildable), default=None) for cost in ("active", "total", "latency")}
    rows = []
    for row in frontier:
        costs = [
            Text(f"{getattr(row, cost):,.0f}", "bold green" if getattr(row, cost) == least[cost] else "")
            + Text(" *" if getattr(row, cost) == least[cost] else "  ")
            for cost in least
        ]
        reached = [Text("–" if row.reached is None else f"{row.reached:.3g}")] if built else []
        widths = ", ".join(map(str, row.law.widths))
        source = f"extrapolated, m^-{row.law.slope:.2f} from {widths}" if row.extrapolated else f"measured at {widths}"
        width = Text(f"{row.width:,}", "" if row.buildable else "bold red")
        sentence = Text(f"m {source}; limited by {row.limited_by}", "dim")
        rows.append(Row(Text(f"{row.experts:,}"), (width, *costs, Text(f"{row.predicted:.3g}"), *reached), sentence))
    title = f"{frontier.task.name}: experts and widths that reach {epsilons(frontier.wanted) or f'ε = {frontier.epsilon:.4g}'}"
    parts: list[RenderableType] = [Listing(title, "E", [(name, RIGHT) for name in headings], rows)]
    units = f" Errors: {IN_UNITS}." if frontier.wanted else ""
    parts.append(Text(f"* least. Latency: multiplications per input, calls of experts included.{units}", "dim"))
    wide = [str(row.experts) for row in frontier if not row.buildable]
    if wide:
        parts.append(Text(f"E = {', '.join(wide)}: wider than max_width = {frontier.max_width}, not buildable", "yellow"))
    parts += [Text(f"E = {experts} left out: {why}", "yellow") for experts, why in frontier.skipped]
    return Group(*parts)


def render(renderable: RenderableType, width: int = 120) -> str:
    """Plain text of a table, for files and model cards."""
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def _mark(claim: Claim) -> tuple[str, str]:
    return ("✓", "green") if claim.holds else ("✗", "bold red")


def _known(claim: Claim) -> Text:
    points = "" if claim.samples is None else f" ({claim.samples:,})"
    return Text(f"{claim.known}{points}", STYLES[claim.known])


def _statement(claim: Claim, sourced: bool = False) -> Text:
    """The claim in words, with its note and its place in the theory."""
    return Text(claim.statement + (f" ({claim.note})" if claim.note else "")) + Text(f" — {claim.source}" if sourced else "", "dim")


def _numbers(claim: Claim, digits: int = 4) -> tuple[Text, Text, Text, Text]:
    """Bound, sense, budget, and the part of the budget that is used up (of a margin: how much of it is required)."""
    sense = {"<=": "≤", ">=": "≥", ">": ">"}[claim.sense]
    inner, outer = (claim.bound, claim.budget) if claim.sense == "<=" else (claim.budget, claim.bound)
    used = f"{inner / outer:.0%}" if outer > 0 and 0 <= inner / outer < 100 else ""
    style = "" if claim.holds else "bold red"
    return Text(_size(claim.bound, digits), style), Text(sense, "dim"), Text(_size(claim.budget, digits)), Text(used, "dim")


def _size(value: float, digits: int) -> str:
    """A bound; from the largest floats on there is none."""
    return f"{value:.{digits}g}" if not abs(value) >= UNBOUNDED else "∞" if value > 0 else "−∞"


def _family(claim: Claim) -> str:
    return claim.name.split("[")[0] if "[" in claim.name else ""


def tightest(children: Sequence[Claim]) -> list[Claim]:
    """The children, of each long family only those with the least relative slack, in their own order."""

    def room(claim: Claim) -> float:
        scale = max(abs(claim.budget), abs(claim.bound))
        return -1.0 if not claim.holds else claim.slack / scale if scale else 1.0

    hidden: set[int] = set()
    for family in {_family(child) for child in children} - {""}:
        members = [k for k, child in enumerate(children) if _family(child) == family and child.holds]
        hidden.update(sorted(members, key=lambda k: room(children[k]))[MOST_SIBLINGS:])
    return [child for k, child in enumerate(children) if k not in hidden]


def _tree(claim: Claim, every: bool, guide: str = "", stem: str = "") -> Iterator[tuple[str, str, Claim | None, str]]:
    """Rows of the tree: the line art before a claim and beside its sentence, and the claim; or None and a remark on what was left out."""
    shown = list(claim.children) if every else tightest(claim.children)
    left_out = len(claim.children) - len(shown)
    yield guide, stem + ("│ " if shown else "  "), claim, ""
    for k, child in enumerate(shown):
        last = k == len(shown) - 1 and not left_out
        yield from _tree(child, every, stem + ("└ " if last else "├ "), stem + ("  " if last else "│ "))
    if left_out:
        yield stem + "└ ", "", None, f"{left_out} more with more slack"


def _block_routes(blocks: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """For every block, the least and the most frequent of its pieces among the i.i.d. points."""
    yield "routes of the i.i.d. points:"
    for name, counts in list(blocks.items())[:MOST_BLOCKS]:
        total = max(1, sum(counts.values()))
        if len(counts) <= MOST_SIBLINGS:
            shown = ", ".join(f"{piece} {count / total:.1%}" for piece, count in counts.items())
        else:
            ranked = sorted(counts.items(), key=lambda item: item[1])
            (least, few), (most, many) = ranked[0], ranked[-1]
            shown = f"{len(counts)} pieces, from {few / total:.2%} ({least}) to {many / total:.2%} ({most})"
        yield f"  {name}: {shown}"
    if len(blocks) > MOST_BLOCKS:
        yield f"  and {len(blocks) - MOST_BLOCKS} more blocks"


def _routes(routes: Mapping[str, int], most: int = 12) -> str:
    total = max(1, sum(routes.values()))
    ranked = sorted(routes.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {count / total:.1%}" for name, count in ranked[:most])
    rest = f", and {len(ranked) - most} more with at most {ranked[most][1] / total:.1%} each" if len(ranked) > most else ""
    return f"routes of the i.i.d. points: {shown}{rest}"
