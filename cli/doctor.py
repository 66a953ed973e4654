"""`atlasmoe doctor`: what is wrong with a mixture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import InvalidArgument
from .options import Real, Whole, json_option, seed_option, takes_no
from .output import print_json, print_rich


@click.command(short_help="Say what is wrong with a mixture, and what to do.")
@click.argument("target")
@click.option(
    "--task", "spec", type=click.Path(path_type=Path, dir_okay=False), help="What it should compute. Default: of a folder its own."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An .npy file: points (N, D); for checkpoints the rows (N, hidden) that reach the layer, token ids (whole numbers) or embeddings "
    "(batch, length, hidden) to run the model on. Default: points are drawn where a task says from what.",
)
@click.option(
    "--epsilon",
    metavar="E",
    help="Error that it should stay below: above 0, or like `1%` of the range of what it should compute. Default: of a folder its own.",
)
@click.option("--blocks", metavar="GROUPS", help='Coordinates that it is a sum of functions of, like "x,y|z". Default: none.')
@click.option("--capacity", type=Real(0, min_open=True), metavar="C", help="Experts drop what is beyond C·N·K/E of N rows. Default: none.")
@click.option(
    "--precision", metavar="DTYPE", help="A dtype that it is going to run in: bfloat16, float16, float32, float64. Default: none."
)
@click.option(
    "--router", metavar="PATTERN", help="Regular expression for the names of the routers' weights, where they are not found. Default: none."
)
@click.option("--experts", metavar="PATTERN", help="The same for the weights of experts. Default: none.")
@click.option(
    "--top-k",
    type=Whole(1),
    metavar="K",
    help="Experts that are chosen, where neither configuration nor module says it. Default: none.",
)
@click.option("--on", metavar="WHAT", help="What the router chooses on: logits, softmax or sigmoid. Default: as the model says.")
@click.option(
    "--activation", metavar="NAME", help="Of the experts' neurons, where nothing says it; relu makes bounds on their errors. Default: none."
)
@click.option(
    "--trust-code",
    is_flag=True,
    help="Import the module of TARGET, or the Python function that its target or that of --task names, which runs their code.",
)
@click.option(
    "--figures", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER", help="A figure for every finding. Default: none."
)
@click.option("--samples", type=Whole(1, 10**7), metavar="N", default=4096, show_default=True, help="Points that are drawn.")
@seed_option
@json_option
def doctor(
    target: str, spec: Path | None, data: Path | None, figures: Path | None, trust_code: bool, as_json: bool, **options: Any
) -> None:
    """Examine TARGET: a model folder, a checkpoint folder with MoE layers, or a torch module as package.module:name.

    Every threshold is a hypothesis of a theorem. Exit code 1 if something is ill, 0 if all is healthy.
    """
    from ..doctor import doctor as examine

    given = {name: value for name, value in options.items() if value is not None}
    if spec is not None:
        from ..atlas.spec import load_task

        given["task"] = load_task(spec, trust_code=trust_code)
    if data is not None:
        takes_no("--data", "samples", "seed")
        given["data"] = _loaded(data)
    found = examine(_target(target, trust_code), trust_code=trust_code, **given)
    paths: tuple[Path, ...] = ()
    if figures is not None:
        from ..report.health_figures import health_figures

        paths = health_figures(found, figures)
    if as_json:
        print_json(found.to_dict() | {"figures": [str(path) for path in paths]})
    else:
        from ..report.health import health

        print_rich(health(found))
        if paths:
            click.echo(f"figures: {len(paths)} in {figures}")
    if not found.healthy:
        click.get_current_context().exit(1)


def _loaded(path: Path) -> Any:
    """The array of an .npy file; never a pickle. Raises `InvalidArgument` for other files."""
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InvalidArgument(f"--data {path}: not an .npy file of numbers; write one with numpy.save") from error


def _target(target: str, trust_code: bool) -> Any:
    """A path, or the module that package.module:name says. Raises `InvalidArgument` where code would have to be run without leave."""
    if Path(target).exists() or ":" not in target:
        return target
    module, _, name = target.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        return target
    if not trust_code:
        raise InvalidArgument(
            f"{target}: to get at the module, Python has to import {module}, which runs the code in it; if you trust that code, say "
            "{trust_code=True}"
        )
    from ..doctor.reading.named import imported

    return imported(module, name)
