"""`atlasmoe lint`: does a task meet what the theorems assume?"""

from __future__ import annotations

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

    Findings that say the same of many parts are one line, with how many there are; --json has them all.
    """
    from ..atlas.lint import lint as findings_of
    from ..atlas.named import grouped, said
    from ..atlas.spec import load_task

    task = load_task(spec, trust_code=trust_code)
    findings = findings_of(task)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        print_json({"task": task.name, "errors": errors, "findings": [finding_fields(finding) for finding in findings]})
    else:
        for group in grouped(findings):
            print_wrapped(f"{group[0].severity}: {said(group)}", "red" if group[0].severity is Severity.ERROR else "yellow")
        verdict = f"{errors} error(s), {len(findings) - errors} warning(s)" if findings else "every assumption holds where it was checked"
        click.secho(f"{task.name}: {verdict}", bold=True)
    if errors:
        click.get_current_context().exit(2)
