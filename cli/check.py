"""`atlasmoe check`: confirm the certificate in a model's folder by other means than those that found it."""

from __future__ import annotations

from pathlib import Path

import click

from .options import json_option, trust_option
from .output import print_json, print_wrapped

COLORS = {"confirmed": "green", "rejected": "red", "undecided": "yellow", "refuted": "red"}


@click.command(short_help="Re-verify the certificate of the model.")
@click.argument("folder", type=click.Path(path_type=Path))
@trust_option
@json_option
def check(folder: Path, trust_code: bool, as_json: bool) -> None:
    """Re-verify the certificate in FOLDER with other enclosures than the proof used, from the files alone. Of an export that holds a model
    of its own, of small integers, also whether its files are those that were written.

    Exit code 0 if everything that it says is proved is confirmed; 1 if something is wrong with it, or could not be confirmed.
    """
    from ..export.export_listing import is_export, model_inside
    from ..verify.check.check import check as confirm

    inside = model_inside(folder) if is_export(folder) else None
    report = confirm(inside or folder, trust_code=trust_code)
    if inside is not None and report.holds:
        from ..export.exported import require_written
        from ..export.folder import load

        require_written(folder, load(inside, trust_code=trust_code))
    if as_json:
        print_json(report.to_dict())
    else:
        for failure in report.failures:
            print_wrapped(f"{'rejected' if failure.rejected else 'undecided'}: {failure}", "red" if failure.rejected else "yellow")
        lettered = len(report.remedies) > 1
        for n, remedy in enumerate(report.remedies):
            print_wrapped(f"({chr(ord('a') + n)}) {remedy}" if lettered else f"remedy: {remedy}", "yellow")
        looked = f"{report.confirmed:,} of {report.leaves:,} leaves confirmed on {report.boxes:,} boxes in {report.seconds:.1f} s"
        each = "; ".join(f"|{name} − Ψ| ≤ {bound} (ε = {epsilon})" for name, epsilon, bound in report.targets)
        sure = f"{report.task}: {each or f'|f − Ψ| ≤ {report.bound}'} for every point of M"
        click.echo(sure if report.holds else f"{report.task}: nothing is confirmed")
        click.echo(report.refutation if report.refutation else looked)
        if report.claims:
            click.echo(f"claims: {', '.join(report.claims)}")
        for engine in report.engines:
            print_wrapped(
                f"{engine.format}: |f − Ψ̂| ≤ {engine.bound:.6g} for every point of M, assuming {', '.join(engine.assumptions)}", "green"
            )
        click.secho(str(report), fg=COLORS[report.verdict], bold=True)
    if not report.holds:
        click.get_current_context().exit(1)
