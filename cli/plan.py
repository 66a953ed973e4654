"""`atlasmoe plan`: how many experts, how wide, before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import InvalidArgument
from .options import (
    DEFAULT_EPSILON,
    Whole,
    activation_option,
    by_block,
    figure_option,
    gated_option,
    json_option,
    max_width_option,
    seed_option,
    trust_option,
)
from .output import check_figure_path, print_json, print_rich


@click.command(name="plan", short_help="How many experts, how wide? Predicted, for each E, before anything is built.")
@click.argument("spec", type=click.Path())
@click.option(
    "--epsilon",
    metavar="E",
    help=f"Largest error allowed, as in compile. Default: {DEFAULT_EPSILON}; several targets have theirs in SPEC.",
)
@click.option(
    "--block", metavar="NAME", help="Of a task graph: the block on charts to plan, within its share of the error. Default: the only one."
)
@click.option("--experts", metavar="E,E,…", help="Numbers of experts to try. Default: doublings from the least that will do.")
@max_width_option
@click.option("--batch", type=Whole(1), metavar="N", help="Inputs per call, for the latency. Default: 1024.")
@activation_option
@gated_option
@seed_option
@click.option("--build", is_flag=True, help="Build every row, and show the error that it reaches.")
@figure_option("Draw the frontier into this file.")
@trust_option
@json_option
def plan(
    spec: str,
    epsilon: str | None,
    experts: str | None,
    build: bool,
    activation: tuple[str, ...],
    figure: Path | None,
    trust_code: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Predict what reaches ε on the manifold of SPEC, or of one block of it.

    For each number of experts: the width, its costs and the error to expect.
    """
    from ..atlas.spec import load_task
    from ..constructions.plan import plan as predict

    check_figure_path(figure)
    task = load_task(spec, trust_code=trust_code)
    listed = None if experts is None else _counts(experts)
    given = {name: value for name, value in choices.items() if value is not None}
    if activation:
        given["activation"] = by_block("--activation", activation)
    if epsilon is None and not task.wanted:
        epsilon = DEFAULT_EPSILON
    frontier = predict(task, epsilon, experts=listed, **given)
    if build:
        frontier = frontier.built()
    if figure is not None:
        from ..report.frontier import draw

        draw(frontier, figure)
    if as_json:
        print_json(frontier.to_dict())
    else:
        from ..report.tables import frontier_table

        print_rich(frontier_table(frontier))
        if figure is not None:
            click.echo(f"figure: {figure}")


def _counts(text: str) -> list[int]:
    """The numbers that `--experts` lists."""
    parts = text.replace(",", " ").split()
    wrong = [part for part in parts if not (part.isascii() and part.isdigit() and len(part) < 10)]
    if wrong or not parts:
        raise InvalidArgument(f"--experts {text!r}: {wrong[0] if wrong else text!r} is no number of experts; give a list like 8,16,32")
    return [int(part) for part in parts]
