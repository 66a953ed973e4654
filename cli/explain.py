"""`atlasmoe explain`: why a value is what it is, or where a neuron comes from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InvalidArgument
from .options import json_option, trust_option
from .output import print_json, print_rich

if TYPE_CHECKING:
    from ..moe import Model


@click.command(short_help="Explain a value, or where a neuron comes from.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--at",
    metavar="X",
    help='A point, like "0.6,0,0.8"; before embedding, or the D coordinates after it. Default: none, a neuron is asked for.',
)
@click.option("--layer", type=click.IntRange(1), help="Where does a neuron come from? The layer. Default: none, a point is asked for.")
@click.option("--expert", help="Name or number of the expert it belongs to, gate or shared. Default: none.")
@click.option("--neuron", type=click.IntRange(0), help="Its number in its hidden layer. Default: none.")
@click.option("--hidden", type=click.IntRange(1), default=1, show_default=True, help="The hidden layer of the expert.")
@trust_option
@json_option
def explain(
    folder: Path, at: str | None, layer: int | None, expert: str | None, neuron: int | None, hidden: int, trust_code: bool, as_json: bool
) -> None:
    """Say why the model in FOLDER gives what it gives at a point, or which lemma put a neuron there.

    Of a task graph: the route through all layers, the margins, and each partial output. Exit code 1 if the error at a point of M exceeds ε.
    """
    from dataclasses import asdict

    from ..export.folder import load
    from ..report import explanation

    neuron_given = [layer is not None, expert is not None, neuron is not None]
    if (at is None) == (not any(neuron_given)) or any(neuron_given) != all(neuron_given):
        raise click.UsageError('give either --at "x,y,z", or all of --layer, --expert and --neuron')
    model = load(folder, trust_code=trust_code)
    if at is None:
        assert layer is not None and expert is not None and neuron is not None  # noqa: PT018
        known = {name for moe in model.network.layers for name in moe.names}
        chosen = int(expert) if expert not in known and expert.isascii() and expert.isdigit() else expert
        origin = model.explain(layer=layer, expert=chosen, neuron=neuron, hidden=hidden)
        if as_json:
            print_json(asdict(origin))
        else:
            print_rich(explanation.neuron(origin))
        return
    found = model.explain(_point(at, model))
    if as_json:
        print_json(found.to_dict())
    else:
        print_rich(explanation.point(found))
    if found.error is not None and not found.error <= model.ledger.root.budget:
        click.get_current_context().exit(1)


def _point(text: str, model: Model) -> Any:
    """The ambient point that `--at` names, by its D coordinates or by the k coordinates before embedding."""
    from ..atlas.graph import as_graph

    graph = as_graph(model.task)
    base, ambient = len(graph.coordinates), graph.ambient_dimension
    numbers = []
    for part in text.replace(",", " ").split():
        try:
            numbers.append(float(part))
        except ValueError:
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise InvalidArgument(f"--at {text!r}: {part!r} is not a finite number; give numbers like 0.6,0,0.8")
    if len(numbers) == base:
        return graph.embed([numbers])[0]
    if len(numbers) != ambient:
        also = f" (or {ambient} after embedding)" if ambient != base else ""
        raise InvalidArgument(f"--at gives {len(numbers)} numbers, but {graph.name} has {base} coordinates{also}")
    return numbers
