"""`atlasmoe explain`: why values are what they are, where a neuron comes from, or the whole network with what every neuron is for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import InvalidArgument
from .options import Whole, json_option, takes_only, trust_option
from .output import print_json, print_rich, whole_file

if TYPE_CHECKING:
    from ..moe import Model

MOST_NAMES = 8
"""Coordinates that are named where a number for each is missing."""


@click.command(short_help="Explain a value, many, a neuron, or all of them.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--at",
    metavar="X",
    help='A point, like "0.6,0,0.8"; before embedding, or the D coordinates after it. Default: none, something else is asked for.',
)
@click.option(
    "--points",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Many points: rows of an .npy or .csv file, as for --at. Explanations go to --output, one JSON object a line. Default: none.",
)
@click.option(
    "--circuit", "whole", is_flag=True, help="The network as a graph, JSON: every neuron with its claim and its piece. Goes to --output."
)
@click.option("--layer", type=Whole(1), metavar="L", help="Where does a neuron come from? The layer. Default: none, a point is asked for.")
@click.option("--expert", metavar="NAME", help="Name or number of the expert it belongs to, gate or shared. Default: none.")
@click.option("--neuron", type=Whole(0), metavar="N", help="Its number in its hidden layer. Default: none.")
@click.option("--hidden", type=Whole(1), metavar="H", default=1, show_default=True, help="The hidden layer of the expert.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where explanations of --points, or the circuit, are written. Default: none.",
)
@trust_option
@json_option
def explain(
    folder: Path,
    at: str | None,
    points: Path | None,
    whole: bool,
    layer: int | None,
    expert: str | None,
    neuron: int | None,
    hidden: int,
    output: Path | None,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Say why the model in FOLDER gives what it gives at a point, or at many, or which lemma put a neuron there.

    Of a task graph: the route through all layers, the margins, and each partial output. Exit code 1 if the error at a point of M exceeds ε,
    2 if rows of --points are no points: these are named, and the others explained.
    """
    from ..export.folder import load

    neuron_given = [layer is not None, expert is not None, neuron is not None]
    if [at is not None, points is not None, whole, any(neuron_given)].count(True) != 1 or any(neuron_given) != all(neuron_given):
        raise click.UsageError('give one of --at "x,y,z", --points FILE, --circuit, or all of --layer, --expert and --neuron')
    if (output is not None) != (points is not None or whole):
        raise click.UsageError("--points FILE and --circuit are written to --output FILE, and nothing else is")
    if not any(neuron_given):
        chosen = "--at" if at is not None else "--circuit" if whole else "--points"
        takes_only(chosen, "output", "trust_code", "as_json")
    model = load(folder, trust_code=trust_code)
    if points is not None and output is not None:
        _many(model, points, output, as_json)
    elif whole and output is not None:
        _circuit(model, output, as_json)
    elif at is not None:
        _one(model, at, as_json)
    else:
        assert layer is not None and expert is not None and neuron is not None  # noqa: PT018
        _neuron(model, layer, expert, neuron, hidden, as_json)


def _one(model: Model, at: str, as_json: bool) -> None:
    from ..report import explanation

    found = model.explain(_point(at, model))
    if as_json:
        print_json(found.to_dict())
    else:
        print_rich(explanation.point(found))
    if found.error is not None and (found.known == "refuted" or not found.error <= model.ledger.root.budget):
        click.get_current_context().exit(1)


def _neuron(model: Model, layer: int, expert: str, neuron: int, hidden: int, as_json: bool) -> None:
    from dataclasses import asdict

    from ..report import explanation

    known = {name for moe in model.network.layers for name in moe.names}
    chosen = int(expert) if expert not in known and expert.isascii() and expert.isdigit() else expert
    origin = model.explain(layer=layer, expert=chosen, neuron=neuron, hidden=hidden)
    if as_json:
        print_json(asdict(origin))
    else:
        print_rich(explanation.neuron(origin))


def _many(model: Model, points: Path, output: Path, as_json: bool) -> None:
    """Explanations line by line, and what they say together."""
    import json

    from ..explain import Summary, explain_points
    from ..explain.points_file import count_of
    from ..moe.typed_json import finite_json
    from ..progress import track
    from ..report.batch import summary

    found = Summary(model.ledger.root.budget)
    rows = explain_points(model, points)
    with whole_file(output) as file:
        for row in track(rows, "explaining", count_of(points)):
            found.add(row)
            file.write(json.dumps(finite_json(row.to_dict()), ensure_ascii=False, allow_nan=False) + "\n")
    if as_json:
        print_json({"output": str(output.absolute()), **found.to_dict()})
    else:
        print_rich(summary(found))
        click.echo(f"explanations: {output}")
    if found.bad or found.missed:
        click.get_current_context().exit(2 if found.bad else 1)


def _circuit(model: Model, output: Path, as_json: bool) -> None:
    import json

    from ..explain import circuit
    from ..moe.typed_json import finite_json

    found = circuit(model)
    with whole_file(output) as file:
        file.write(json.dumps(finite_json(found), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")
    edges = sum(len(one["edges"]) for net in found["nets"] for one in net["maps"])
    counts = {"channels": len(found["channels"]), "nets": len(found["nets"]), "neurons": len(found["neurons"]), "edges": edges}
    if as_json:
        print_json({"output": str(output.absolute()), **counts})
    else:
        click.echo(f"circuit: {output}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}")


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
        names = ", ".join(graph.coordinates[:MOST_NAMES]) + (", …" if base > MOST_NAMES else "")
        said = f"--at gives {len(numbers)} numbers, but {graph.name} has {base} coordinates{also}"
        raise InvalidArgument(f"{said}; give a number for each of {names}")
    return numbers
