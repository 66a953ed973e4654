"""`atlasmoe substitute`: another activation in the place of every ReLU neuron of a model."""

from __future__ import annotations

from pathlib import Path

import click

from .options import force_option, json_option, trust_option
from .output import print_json, print_model


@click.command(short_help="Put GELU or SiLU in the place of a model's ReLU neurons, with a bound of what that moves.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--activation", metavar="NAME", required=True, help="gelu, gelu_tanh or silu.")
@click.option(
    "--epsilon",
    metavar="E",
    help="What the output may move by: above 0, or like `1%` of the target's range. Default: a sixteenth of the model's own ε.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the result.")
@force_option
@trust_option
@json_option
def substitute(folder: Path, activation: str, epsilon: str | None, output: Path, force: bool, trust_code: bool, as_json: bool) -> None:
    """Replace every ReLU neuron of the model in FOLDER by one of another activation, steep enough to move the output by E at most.

    For those who must have the construction in such a class. Where there is a choice, compile with --activation instead: experts that are
    fitted with smooth neurons are far smaller.
    """
    from ..constructions.substitution import substitute as substituted
    from ..export.folder import check_output, load, save

    check_output(output, force)
    made = substituted(load(folder, trust_code=trust_code), activation, epsilon=epsilon)
    path = save(made, output, overwrite=force)
    if as_json:
        print_json({"folder": str(path), "holds": made.ledger.holds, "facts": made.facts, "ledger": made.ledger.root.to_dict()})
    else:
        print_model(made, path)
