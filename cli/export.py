"""`atlasmoe export`: a model in a form that other tools read."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import InvalidArgument
from .options import force_option, json_option
from .output import print_json, print_wrapped


@click.command(short_help="Write a model as C, NumPy, … run it there, and compare it with the network.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--to",
    metavar="FORMAT",
    required=True,
    help="c: C99 without dependencies. numpy: a Python file that needs NumPy only. onnx, pt2: one graph, of ONNX or of torch.export.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the result.")
@click.option(
    "--option",
    "options",
    metavar="NAME=VALUE",
    multiple=True,
    help="Of the format; c: quantise=int8 or int16, epsilon=E, prefix=NAME. Default: the format's own.",
)
@force_option
@json_option
def export(folder: Path, to: str, output: Path, options: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Write the model in FOLDER as FORMAT.

    What was written is run on fresh points and on the model's hardest ones, and refused if an input takes another way than in the network.
    A certificate in FOLDER carries over as far as the format's arithmetic allows; README.md of the result says what is proved.
    """
    from ..export.exported import export_to
    from ..export.folder import load

    pairs = [text.partition("=") for text in options]
    wrong = [name for name, equals, value in pairs if not (name and equals and value)]
    if wrong:
        raise InvalidArgument(f"--option {wrong[0]!r}: give NAME=VALUE, like quantise=int8")
    done = export_to(load(folder), to, output, overwrite=force, certificate=folder, **{name: value for name, _, value in pairs})
    if as_json:
        print_json(done.to_dict())
        return
    click.echo(f"{done.path}: {to}, {done.numbers:,} numbers; {done.standing}: {done.because}")
    found = done.comparison
    if found is None:
        click.echo(f"It was {done.how}.")
    else:
        click.echo(
            f"Run with {done.how}: at {found.points:,} points ({found.hardest:,} of them the hardest) it differs by {found.difference:.3g} "
            f"at most; {found.flips} points take another way, {found.ties} more where logits are tied; largest error {found.error:.3g}."
        )
    if isinstance(done.proof, str):
        print_wrapped(f"Nothing is proved of it: {done.proof}.", "yellow")
    else:
        assumed = ", ".join(taken.name for taken in done.proof.engine)
        print_wrapped(f"|f − Ψ̂| ≤ {done.proof.bound:.6g} for every point of M: claim {done.proof.claim}, assuming {assumed}.", "green")
