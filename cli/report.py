"""`atlasmoe report`: a model as one page that can be turned, clicked and read."""

from __future__ import annotations

from pathlib import Path

import click

from .options import json_option, seed_option, trust_option
from .output import print_json


@click.command(short_help="Write one page about a model, to be looked at in a browser.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE", help="The page, ending in .html."
)
@seed_option
@trust_option
@json_option
def report(folder: Path, output: Path, seed: int, trust_code: bool, as_json: bool) -> None:
    """Write one self-contained page about the model in FOLDER: it asks for nothing from any network.

    The ledger as a blueprint of claims; the domain, which turns, with routes, margins and errors; any point explained by the network, as
    it runs in the page; loads, the doctor's findings, boxes of a certificate, versions and hashes.
    """
    from ..report.page import write_report

    path = write_report(folder, output, seed=seed, trust_code=trust_code)
    size = path.stat().st_size
    if as_json:
        print_json({"report": str(path), "bytes": size})
    else:
        click.echo(f"report: {path}, {size / 1e6:.1f} MB")
