"""A certificate as a table: what is proved for every point, and what is not."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..moe.ledger import Known
from ..verify.prove import Certificate
from .tables import STYLES

VERDICTS = {
    Known.PROVED: "proved for every point",
    Known.REFUTED: "REFUTED",
    Known.UNKNOWN: "not proved: some boxes are open",
}


def certificate_table(certificate: Certificate, *, statements: bool = True) -> Group:
    """The claims with their bounds. Without `statements` it fits a narrow terminal."""
    verdict = Text(VERDICTS[certificate.status], STYLES[certificate.status])
    beyond = 0 < certificate.found < certificate.bound < float("inf")
    ratio = f", {certificate.bound / certificate.found:.3f} times the largest error found" if beyond else ""
    head = Text.assemble(
        (certificate.task, "bold"),
        f" in {certificate.dtype}: ",
        verdict,
        f" — {certificate.boxes:,} boxes in {certificate.seconds:.1f} s{ratio}",
    )
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("claim", "bound", "budget", "known"):
        table.add_column(name, justify="right" if name in ("bound", "budget") else "left", no_wrap=True)
    if statements:
        table.add_column("statement", ratio=1)
    for claim in certificate.claims:
        sense = claim.sense.replace("<=", "≤").replace(">=", "≥")
        row: list[RenderableType] = [claim.name, f"{claim.bound:.6g}", f"{sense} {claim.budget:.6g}"]
        row.append(Text(str(claim.known), STYLES[claim.known]))
        if statements:
            row.append(Text(claim.statement + (f" ({claim.note})" if claim.note else "")))
        table.add_row(*row)
    parts: list[RenderableType] = [head, table]
    for claim in certificate.claims:
        if claim.known is not Known.PROVED:
            where = "" if claim.witness is None else f" at ({', '.join(f'{v:.10g}' for v in claim.witness[:9])})"
            parts.append(Text(f"{claim.name} is {claim.known}{where}: {claim.note or claim.statement}", STYLES[claim.known]))
    return Group(*parts)
