"""`atlasmoe compile`: from a spec to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InvalidArgument
from .options import (
    DEFAULT_EPSILON,
    VARIANTS,
    WIDTHS,
    Switched,
    activation_option,
    by_block,
    force_option,
    json_option,
    max_width_option,
    seed_option,
    trust_option,
    variant_options,
    variants,
)
from .output import print_json, print_model

if TYPE_CHECKING:
    from ..atlas import ManifoldTask, TaskGraph
    from ..moe import Model


@click.command(cls=Switched, short_help="Compile SPEC into a model folder: weights, ledger, model card.")
@click.argument("spec", type=click.Path())
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the model to.")
@click.option(
    "--epsilon",
    metavar="E",
    help="Largest error allowed on M: absolute, or like `1%` of the target's range (largest component) as sampled."
    f" Default: {DEFAULT_EPSILON}, unless --width is given.",
)
@click.option("--width", type=WIDTHS, metavar="M", help="Hidden width to use; ε is then what it reaches. Default: as ε needs it.")
@click.option(
    "--theorem",
    metavar="NAME",
    multiple=True,
    default=["auto"],
    show_default="auto",
    help="Of blocks on charts: 4.8, 4.9 (affine charts), affine (balls); 5.2, 5.3 (all blocks on charts, or on pieces); dense (one net"
    " without a gate, the baseline), chen (all charts in parallel in one); or auto. For some blocks of a task graph: BLOCK=NAME,"
    " and again or after a comma.",
)
@click.option(
    "--routing",
    metavar="NAME",
    multiple=True,
    default=["auto"],
    show_default="auto",
    help="Of blocks on charts: auto, or a router by its name, like plateau (a wrong name lists all); for some blocks like --theorem.",
)
@activation_option
@variant_options
@click.option(
    "--depth",
    metavar="NAME",
    default="paper",
    show_default=True,
    help="Of a task graph of L blocks: paper (2L layers), L+1, L, shared (L+1, each layer writes the next one's scores), path (one for each"
    " stage of blocks), or 1 (sums of blocks).",
)
@click.option(
    "--form",
    metavar="NAME",
    default="paper",
    show_default=True,
    help="paper, the theorems' class; dense: its layers without a choice have no gate; residual: channels pass beside experts.",
)
@click.option("--dtype", metavar="NAME", default="float64", show_default=True, help="float64 or float32, of the weights as exported.")
@max_width_option
@click.option(
    "--minimise",
    metavar="COST",
    multiple=True,
    help="active, total or latency: replace the charts by as many balls as `plan` finds cheapest for ε; for some blocks like --theorem."
    " Default: the charts stay.",
)
@click.option("--prove", is_flag=True, help="End only when ε is proved for every point of M, and write the certificate into the folder.")
@seed_option
@force_option
@trust_option
@json_option
def compile(
    spec: str,
    output: Path,
    theorem: tuple[str, ...],
    routing: tuple[str, ...],
    activation: tuple[str, ...],
    minimise: tuple[str, ...],
    force: bool,
    trust_code: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Compile SPEC into a model folder: weights, ledger, model card; with --prove its certificate too, or no folder and exit code 1."""
    from ..atlas.spec import load_task

    width, most = choices["width"], choices["max_width"]
    if width is not None and most is not None and width > most:
        raise InvalidArgument(f"--width {width} is above --max-width {most}; leave one of them out")
    choices |= {"theorem": by_block("--theorem", theorem), "routing": by_block("--routing", routing)}
    choices |= {name: by_block(f"--{name}", said) for name, said in {"activation": activation, "minimise": minimise}.items() if said}
    said = {name: choices.pop(name) for name in VARIANTS}
    model, path = build(load_task(spec, trust_code=trust_code), output, force, choices | variants(said))
    if as_json:
        print_json({"folder": str(path), "holds": model.ledger.holds, "facts": model.facts, "ledger": model.ledger.root.to_dict()})
    else:
        print_model(model, path)


def build(task: ManifoldTask | TaskGraph, output: Path, force: bool, choices: dict[str, Any]) -> tuple[Model, Path]:
    """Compile and save; what would make saving fail is said before the work is done."""
    from ..export.folder import check_output, save
    from ..front.compile import compile

    check_output(output, force)
    given = {name: value for name, value in choices.items() if value is not None}
    if ("epsilon" in given or "width" not in given) and not task.wanted:
        given.setdefault("epsilon", DEFAULT_EPSILON)
    model = compile(task, **given)
    return model, save(model, output, overwrite=force)
