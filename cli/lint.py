"""`atlasmoe lint`: does a task meet what the theorems assume?"""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite

import click

from ..errors import Severity
from .options import json_option, trust_option
from .output import finding_fields, print_json, print_wrapped


@click.command(short_help="Check everything that the theorems assume of SPEC.")
@click.argument("spec", type=click.Path())
@trust_option
@json_option
def lint(spec: str, trust_code: bool, as_json: bool) -> None:
    """Check everything that the theorems assume of SPEC; exit code 2 if an assumption does not hold.

    Findings that say the same of many parts are one line, with how many there are; --json has them all. Of manifolds that are given by
    equations the radius of curvature is bounded and the reach estimated.
    """
    from ..atlas.lint import lint as findings_of
    from ..atlas.named import grouped, said
    from ..atlas.reach import measured_of
    from ..atlas.spec import load_task

    task = load_task(spec, trust_code=trust_code)
    findings = findings_of(task)
    reaches = measured_of(task)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        said_of = {"reach": {name: _finite(asdict(found)) for name, found in reaches.items()}} if reaches else {}
        print_json({"task": task.name, "errors": errors, "findings": [finding_fields(finding) for finding in findings], **said_of})
    else:
        for group in grouped(findings):
            print_wrapped(f"{group[0].severity}: {said(group)}", "red" if group[0].severity is Severity.ERROR else "yellow")
        for name, reach in reaches.items():
            print_wrapped(f"{name}: {reach}")
        verdict = f"{errors} error(s), {len(findings) - errors} warning(s)" if findings else "every assumption holds where it was checked"
        click.secho(f"{task.name}: {verdict}", bold=True)
    if errors:
        click.get_current_context().exit(2)


def _finite(fields: dict[str, float]) -> dict[str, float | None]:
    """JSON has no ∞."""
    return {name: value if isfinite(value) else None for name, value in fields.items()}
