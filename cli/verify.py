"""`atlasmoe verify`: sample every claim of a model on its weights."""

from __future__ import annotations

from pathlib import Path

import click

from .options import figure_option, json_option, samples_option, seed_option, trust_option
from .output import check_figure_path, print_json, print_report


@click.command(short_help="Check every claim of the model on its weights.")
@click.argument("folder", type=click.Path(path_type=Path))
@samples_option
@seed_option
@figure_option("Draw routes and errors into this file.")
@click.option(
    "--properties",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write pieces of the certificate as ONNX and VNN-LIB files, for other verifiers to confirm. Default: nothing is written.",
)
@trust_option
@json_option
def verify(folder: Path, samples: int, seed: int, figure: Path | None, properties: Path | None, trust_code: bool, as_json: bool) -> None:
    """Check every claim of the model in FOLDER on its weights; exit code 1 if one is refuted."""
    from ..export.folder import load
    from ..verify.sample import verify as sample

    check_figure_path(figure)
    model = load(folder, trust_code=trust_code)
    if properties is not None:
        from ..export.properties import write_properties

        listing = write_properties(model, folder, properties)
    report = sample(model, samples=samples, seed=seed)
    if figure is not None:
        from ..report.figures import figure as draw

        draw(model, report=report, path=figure)
    if as_json:
        print_json(report.to_dict())
    else:
        print_report(report)
        if figure is not None:
            click.echo(f"figure: {figure}")
        if properties is not None:
            click.echo(f"properties: {listing}")
    if not report.holds:
        click.get_current_context().exit(1)
