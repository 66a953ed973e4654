"""`atlasmoe baseline`: the dense network of as many numbers as a model has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .options import force_option, json_option, max_width_option, seed_option, trust_option
from .output import print_json, print_model


@click.command(short_help="Fit a dense network with as many active or stored numbers as the model in FOLDER.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--equal", metavar="NUMBERS", default="active", show_default=True, help="active: those that an input meets; total: all.")
@click.option(
    "--activation",
    metavar="NAME",
    help="Of the neurons: relu, relu2, gelu, gelu_tanh, silu, identity; auto: the fewest numbers. Default: those of the model's experts.",
)
@max_width_option
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the result.")
@seed_option
@force_option
@trust_option
@json_option
def baseline(folder: Path, equal: str, output: Path, force: bool, trust_code: bool, as_json: bool, **choices: Any) -> None:
    """Fit one two-layer network without a gate for the task of the model in FOLDER, as wide as its numbers allow.

    What a mixture of experts has to be compared with, like with like: by the same linear algebra, on samples of the same M. Its neurons are
    those of the model's experts unless --activation says otherwise.
    """
    from ..constructions.baseline import dense_baseline
    from ..export.folder import check_output, load, save

    check_output(output, force)
    given = {name: value for name, value in choices.items() if value is not None}
    made = dense_baseline(load(folder, trust_code=trust_code), equal, **given)
    path = save(made, output, overwrite=force)
    if as_json:
        print_json({"folder": str(path), "holds": made.ledger.holds, "facts": made.facts, "ledger": made.ledger.root.to_dict()})
    else:
        print_model(made, path)
