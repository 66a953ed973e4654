"""`atlasmoe demo`: the sphere, compiled, proved and verified."""

from __future__ import annotations

from pathlib import Path

import click

from .compile import build
from .options import json_option, samples_option
from .output import print_json, print_model, print_report

DEMO = "examples/sphere.toml"


@click.command(short_help="Compile, prove and verify the sphere example.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("out/demo"), show_default=True, help="Folder for the model.")
@samples_option
@json_option
def demo(output: Path, samples: int, as_json: bool) -> None:
    """Compile the sphere example until it is proved, verify it, and show the ledger and where the model is."""
    from importlib.resources import as_file, files

    from ..atlas.spec import load_task
    from ..verify.sample import verify

    with as_file(files("atlasmoe") / DEMO) as spec:
        task = load_task(str(spec))
    model, path = build(task, output, True, {"epsilon": None, "width": None, "prove": True})
    report = verify(model, samples=samples)
    if as_json:
        print_json({"folder": str(path), "facts": model.facts, "ledger": model.ledger.root.to_dict(), "report": report.to_dict()})
    else:
        print_model(model, path)
        print_report(report)
        click.echo(f"Try: atlasmoe check {output}")
        click.echo(f'Try: atlasmoe explain {output} --at "0.6,0,0.8"')
    if not report.holds:
        click.get_current_context().exit(1)
