"""Ledgers and reports as rich tables: every claim with its bound, budget, slack and how it is known."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..moe.ledger import Claim, Known, Ledger
from ..verify.sample.report import Report, format_point

if TYPE_CHECKING:
    from ..constructions.plan import Frontier

STYLES = {
    Known.EXACT: "green",
    Known.FORMULA: "green",
    Known.PROVED: "bold green",
    Known.SAMPLED: "cyan",
    Known.REFUTED: "bold red",
    Known.UNKNOWN: "yellow",
}
MOST_SIBLINGS = 6
"""Of more claims `name[…]` of one name under one parent, only those with the least relative slack are shown."""
MOST_BLOCKS = 16
"""Blocks of a task graph whose routes are shown."""
Justify = Literal["left", "right", "center"]
LEFT: Justify = "left"
NUMBERS: tuple[tuple[str, Justify], ...] = (
    ("claim", "left"),
    ("bound", "right"),
    ("", "center"),
    ("budget", "right"),
    ("used", "right"),
)
"""Columns of a claim that every table of claims begins with."""


def ledger_table(ledger: Ledger, *, statements: bool = True, every: bool = False) -> Table:
    """The ledger as a tree, one row per claim; long rows of siblings are shortened to the tightest unless `every`.

    Without `statements` it has numbers only, and fits a narrow terminal.
    """
    table = Table(
        box=box.SIMPLE_HEAD, title=f"ledger: {'every claim holds' if ledger.holds else 'NOT every claim holds'}", title_justify="left"
    )
    for header, justify in (*NUMBERS, ("known", LEFT)):
        table.add_column(header, justify=justify, no_wrap=True)
    if statements:
        table.add_column("source", ratio=1)
        table.add_column("statement", ratio=4)
    for guide, claim, hidden in _tree(ledger.root, every):
        if claim is None:
            table.add_row(Text(f"{guide}… {hidden}", "dim"))
            continue
        row: list[RenderableType] = [Text.assemble((guide, "dim"), _mark(claim), " ", claim.name), *_numbers(claim)]
        row.append(_known(claim, counted=statements))
        if statements:
            row.append(Text(claim.source, "dim"))
            row.append(Text(claim.statement + (f" ({claim.note})" if claim.note else "")))
        table.add_row(*row)
    return table


def report_table(report: Report, *, statements: bool = True) -> Group:
    """The verification: its claims, the worst points of refuted ones, the violation rate and the routes.

    Without `statements` it fits a narrow terminal.
    """
    verdict = Text("holds on every sampled point", "bold green") if report.holds else Text("REFUTED", "bold red")
    counts = ", ".join(f"{count:,} {kind}" for kind, count in report.counts.items())
    head = Text.assemble(
        (report.task, "bold"), f" in {report.dtype}: ", verdict, f" — {report.points:,} points in {report.seconds:.1f} s ({counts})"
    )
    table = Table(box=box.SIMPLE_HEAD)
    for header, justify in (*NUMBERS, ("found by", LEFT)):
        table.add_column("worst" if header == "bound" else header, justify=justify, no_wrap=True)
    if statements:
        table.add_column("statement", ratio=1)
    for claim in report.claims:
        worst = report.worst.get(claim.name)
        found = worst.kind if worst is not None else "structure" if claim.name == "layout" else "batch sizes"
        row: list[RenderableType] = [Text.assemble(_mark(claim), " ", claim.name), *_numbers(claim), Text(found)]
        table.add_row(*row, *([Text(claim.statement, overflow="fold")] if statements else []))
    parts: list[RenderableType] = [head, table]
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


def frontier_table(frontier: Frontier) -> Group:
    """A plan, one row per number of experts; the cheapest in each of the three costs is marked."""
    table = Table(
        box=box.SIMPLE_HEAD, title=f"{frontier.task.name}: experts and widths that reach ε = {frontier.epsilon:.4g}", title_justify="left"
    )
    built = any(row.reached is not None for row in frontier)
    headers = ("E", "m", "active", "total", "latency", "predicted", *(("reached",) if built else ()))
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("m from", no_wrap=True)
    table.add_column("limited by", no_wrap=True)
    least = {cost: min((getattr(row, cost) for row in frontier if row.buildable), default=None) for cost in ("active", "total", "latency")}
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
        table.add_row(f"{row.experts:,}", width, *costs, f"{row.predicted:.3g}", *reached, source, row.limited_by)
    parts: list[RenderableType] = [table, Text("* least. Latency: multiplications per input, calls of experts included.", "dim")]
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


def _known(claim: Claim, counted: bool) -> Text:
    points = "" if claim.samples is None or not counted else f" ({claim.samples:,})"
    return Text(f"{claim.known}{points}", STYLES[claim.known])


def _numbers(claim: Claim) -> tuple[Text, Text, Text, Text]:
    """Bound, sense, budget, and the part of the budget that is used up (of a margin: how much of it is required)."""
    sense = {"<=": "≤", ">=": "≥", ">": ">"}[claim.sense]
    inner, outer = (claim.bound, claim.budget) if claim.sense == "<=" else (claim.budget, claim.bound)
    used = f"{inner / outer:.0%}" if outer > 0 and 0 <= inner / outer < 100 else ""
    style = "" if claim.holds else "bold red"
    return Text(f"{claim.bound:.4g}", style), Text(sense, "dim"), Text(f"{claim.budget:.4g}"), Text(used, "dim")


def _family(claim: Claim) -> str:
    return claim.name.split("[")[0] if "[" in claim.name else ""


def _tightest(children: Sequence[Claim]) -> list[Claim]:
    """The children, of each long family only those with the least relative slack, in their own order."""

    def room(claim: Claim) -> float:
        scale = max(abs(claim.budget), abs(claim.bound))
        return -1.0 if not claim.holds else claim.slack / scale if scale else 1.0

    hidden: set[int] = set()
    for family in {_family(child) for child in children} - {""}:
        members = [k for k, child in enumerate(children) if _family(child) == family and child.holds]
        hidden.update(sorted(members, key=lambda k: room(children[k]))[MOST_SIBLINGS:])
    return [child for k, child in enumerate(children) if k not in hidden]


def _tree(claim: Claim, every: bool, guide: str = "", stem: str = "") -> Iterator[tuple[str, Claim | None, str]]:
    """Rows of the tree: the line art before a claim, and the claim; or None and a remark on what was left out."""
    yield guide, claim, ""
    shown = list(claim.children) if every else _tightest(claim.children)
    left_out = len(claim.children) - len(shown)
    for k, child in enumerate(shown):
        last = k == len(shown) - 1 and not left_out
        yield from _tree(child, every, stem + ("└ " if last else "├ "), stem + ("  " if last else "│ "))
    if left_out:
        yield stem + "└ ", None, f"{left_out} more with more slack"


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
