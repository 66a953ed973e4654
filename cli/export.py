"""`atlasmoe export`: a model in a form that other tools read."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import InvalidArgument
from .options import force_option, json_option, trust_option
from .output import print_json, print_wrapped


@click.command(short_help="Write a model as C, NumPy, … run it there, and compare it with the network.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--to",
    metavar="FORMAT",
    required=True,
    help="c, numpy, onnx, pt2, hf-mixtral, hf-qwen-moe, hf-olmoe, hf-deepseek, hf-gpt-oss or hf-nemotron-h; see above.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the result.")
@click.option(
    "--option",
    "options",
    metavar="NAME=VALUE",
    multiple=True,
    help="Of the format; may be given several times. Default: the format's own.",
)
@force_option
@trust_option
@json_option
def export(folder: Path, to: str, output: Path, options: tuple[str, ...], force: bool, trust_code: bool, as_json: bool) -> None:
    """Write the model in FOLDER as FORMAT.

    What was written is run on fresh points and on the model's hardest ones, and refused if an input takes another way than in the network.
    A certificate in FOLDER carries over as far as the format's arithmetic allows; README.md of the result says what is proved.

    \b
    c              C99 without dependencies; every kind of layer; options
                   quantise=int8 or int16, epsilon=E, prefix=NAME
    numpy          a Python file that needs NumPy only; every kind of layer
    onnx           one graph; every kind of layer, GELU in float32 only;
                   option operator=moe: the operator of ONNX Runtime
    pt2            a program of torch.export; every kind of layer

    \b
    Folders that from_pretrained of transformers reads, in float32 (option
    what=block: the mixture blocks alone), of one activation, ReLU scores
    beside it, and the same top K in all layers:
    hf-mixtral     any activation, plain or gated; top K by softmax
    hf-qwen-moe    the same, a shared expert, dense layers
    hf-olmoe       as hf-mixtral
    hf-deepseek    any activation, plain or gated; top 1; a shared expert
    hf-gpt-oss     ReLU or SiLU, plain or gated; top K by softmax;
                   blocks in float64 too (option dtype=float64)
    hf-nemotron-h  any activation, not gated; top 1; an encoder, a shared
                   expert, dense layers
    """
    from ..export.exported import export_to
    from ..export.folder import load

    pairs = [text.partition("=") for text in options]
    wrong = [name for name, equals, value in pairs if not (name and equals and value)]
    if wrong:
        raise InvalidArgument(f"--option {wrong[0]!r}: give NAME=VALUE, like quantise=int8 or what=block")
    said = {name: value for name, _, value in pairs}
    if len(said) < len(pairs):
        raise InvalidArgument(f"--option {', '.join(options)}: an option is given twice; leave one of them out")
    done = export_to(load(folder, trust_code=trust_code), to, output, overwrite=force, certificate=folder, **said)
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
