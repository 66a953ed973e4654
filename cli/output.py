"""What commands print: tables on a terminal or in a file, JSON, models and reports."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from ..errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..errors import Finding
    from ..moe import Claim, Ledger, Model
    from ..moe.beside import Earlier
    from ..verify.sample import Report

FILE_COLUMNS = 100
"""Width of tables where standard output is no terminal and COLUMNS does not say another."""
LEAST_COLUMNS = 60
FIGURES = (".png", ".pdf", ".svg")
"""Suffixes of figures."""
PART = ".part"
"""Suffix of a file, hidden by a dot, until all of it is written."""
DOCUMENT = "atlasmoe.stdout"
"""Under this name a command with --json keeps the stream of its one document; anything else that is printed goes to stderr."""
MOST_TRIED = 8
"""Routers that were tried and left, of which a terminal hears."""


def check_figure_path(figure: Path | None) -> None:
    """Refuse a figure that could not be written, before the work."""
    if figure is None:
        return
    if figure.suffix.lower() not in FIGURES:
        suffix = repr(figure.suffix) if figure.suffix else "a file without a suffix"
        raise InvalidArgument(f"--figure {figure}: figures are written as {', '.join(FIGURES)}, not as {suffix}; choose one of them")
    if not figure.absolute().parent.is_dir():
        raise InvalidArgument(f"--figure {figure}: there is no folder {figure.absolute().parent}; make it, or choose another place")


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that gets its name when all of it is written, and is not there otherwise. Raises `InvalidArgument` without its folder."""
    if not path.absolute().parent.is_dir():
        raise InvalidArgument(f"{path}: there is no folder {path.absolute().parent}; make it, or choose another place")
    part = path.with_name(f".{path.name}{PART}")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def print_model(model: Model, path: Path) -> None:
    """The ledger, what the model is, what was tried to get it, and where it is."""
    from ..atlas.graph import as_graph
    from ..atlas.wanted import measure
    from ..report.graph_tree import summary
    from ..report.tables import ledger_table

    print_rich(ledger_table(stated_ledger(model)))
    network = model.network
    sizes = f"{network.parameters:,} parameters, {network.active_parameters:,} of them per input, {network.dtype}"
    if model.design.alone:
        click.echo(f"{model.task.name}: E = {len(network.layers[-1])}, {sizes}")
    else:
        click.echo(f"{summary(as_graph(model.task))}\n{len(network.layers)} layers, {sizes}")
    for name, counts in model.facts.get("neurons", {}).get("experts", {}).items():
        where = "experts" if model.design.alone else f"experts of {name}"
        click.echo(f"{where}: {', '.join(f'{count:,} {kind}' for kind, count in sorted(counts.items()))} neurons")
    if "proof" in model.facts:
        _print_proof(model.facts["proof"], measure(model.task.wanted))
    elif model.beside is not None:
        if model.contradicted:
            print_wrapped(f"{model.contradicted}: it is not believed; `atlasmoe check` says what is wrong with it", "red")
        else:
            print_wrapped(beside_said(model.beside, model.stated), "green" if model.beside.proved else "yellow")
    if "plan" in model.facts:
        click.echo(model.ledger.root.note)
    if "why" in model.facts:
        click.echo(f"theorem {model.facts['theorem']}: {model.facts['why']}")
    tried = model.facts.get("tried", ())
    for attempt in tried[:MOST_TRIED]:
        where = "" if model.design.alone else f"{attempt['block']}: "
        click.echo(f"{where}{attempt['router']} was tried and left: {attempt['why']}")
    if len(tried) > MOST_TRIED:
        click.echo(f"and {len(tried) - MOST_TRIED} more were tried and left; the model card has them all")
    click.echo(f"model: {path}")


def stated_ledger(model: Model) -> Ledger:
    """The ledger, its root with what the certificate beside the weights proves, where that is within the budget."""
    from dataclasses import replace

    stated = model.stated
    return replace(model.ledger, root=stated if stated.holds else model.claimed)


def beside_said(beside: Earlier, stated: Claim) -> str:
    """What the certificate beside a model says, in a sentence."""
    seen = "" if beside.found is None else f"; largest error found {beside.found:.6g}"
    if beside.proved:
        assuming = f", assuming {', '.join(beside.assumptions)}" if beside.assumptions else ""
        each = "; ".join(f"|{name} − Ψ| ≤ {bound:.6g} (ε = {epsilon:.6g})" for name, epsilon, bound in beside.targets)
        return f"certificate.json: {each or f'|f − Ψ| ≤ {beside.bound:.6g}'} is proved for every point of M{assuming}{seen}"
    return f"certificate.json proves nothing, it is {beside.status}{seen}; the strongest bound is {stated.bound:.6g}, {stated.known}"


def _print_proof(proof: Mapping[str, Any], error: str) -> None:
    """What was proved when the model was compiled, and what was built again until it was."""
    rounds = proof["rounds"]
    print_wrapped(
        f"{error} ≤ {proof['bound']:.6g} is proved for every point of M, on {proof['boxes']:,} boxes; "
        f"largest error found {proof['found']:.6g}",
        "green",
    )
    for number, one in enumerate(rounds[:-1], 1):
        lowered = [
            f"{node if piece == node else f'{node}/{piece}'} to {factor:.2g}"
            for node, of in one["again"].items()
            for piece, factor in of.items()
        ]
        more = f" and {len(lowered) - MOST_TRIED} more" if len(lowered) > MOST_TRIED else ""
        click.echo(
            f"model {number} was {one['status']}, error {one['found']:.3g}; budgets lowered: {', '.join(lowered[:MOST_TRIED])}{more}"
        )


def print_wrapped(text: str, color: str | None = None, indent: str = "  ") -> None:
    """A sentence on lines as wide as the terminal, or `FILE_COLUMNS`, those after the first indented."""
    for line in textwrap.wrap(text, columns(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]:
        click.secho(line, fg=color)


def columns() -> int:
    """Width of what is printed: the terminal's; else what COLUMNS says, or `FILE_COLUMNS`."""
    if sys.stdout.isatty():
        return max(shutil.get_terminal_size().columns, LEAST_COLUMNS)
    said = os.environ.get("COLUMNS", "")
    return max(int(said), LEAST_COLUMNS) if said.isdecimal() else FILE_COLUMNS


def print_report(report: Report) -> None:
    """What sampling found."""
    from ..report.tables import report_table

    print_rich(report_table(report))


def print_rich(renderable: Any) -> None:
    """Onto standard output; colours and the terminal's width on a terminal only."""
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        console.print(renderable)
    else:
        from ..report.tables import render

        click.echo(render(renderable, columns()))


def finding_fields(finding: Finding) -> dict[str, Any]:
    return {
        "severity": str(finding.severity),
        "where": finding.where,
        "problem": finding.problem,
        "remedy": finding.remedy,
        "witness": None if finding.witness is None else list(finding.witness),
        "coordinates": list(finding.coordinates),
        "text": finding.text,
        "column": finding.column,
    }


def print_json(document: Any) -> None:
    """One JSON document; NaN and ±∞ are strings."""
    context = click.get_current_context(silent=True)
    stdout = None if context is None else context.meta.get(DOCUMENT)
    click.echo(json.dumps(_finite(document), indent=1, ensure_ascii=False, allow_nan=False), stdout)


def _finite(document: Any) -> Any:
    if isinstance(document, dict) and isinstance(document.get("error"), dict):  # an error needs no numpy
        return document
    from ..moe.typed_json import finite_json

    return finite_json(document)
