"""`atlasmoe show`: what a model is, or what a spec says."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import InvalidArgument
from .options import figure_option, json_option, trust_option
from .output import check_figure_path, print_json, print_model, print_rich


@click.command(short_help="Show what a model is, or draw the task graph of a spec.")
@click.argument("source", metavar="FOLDER|SPEC", type=click.Path(path_type=Path))
@figure_option("Draw the task graph of SPEC into this file.")
@trust_option
@json_option
def show(source: Path, figure: Path | None, trust_code: bool, as_json: bool) -> None:
    """Show the model in FOLDER and its ledger; or the task graph of SPEC as a tree, with the count of its pieces."""
    if source.is_file():
        _spec(source, figure, trust_code, as_json)
        return
    from ..export.folder import load

    if figure is not None:
        raise InvalidArgument("show draws the task graph of a spec; atlasmoe verify FOLDER --figure draws a model")
    model = load(source, trust_code=trust_code)
    if as_json:
        stated = {key: value for key, value in model.stated.to_dict().items() if key != "children"}
        document = {"folder": str(source.absolute()), "facts": model.facts, "ledger": model.ledger.root.to_dict(), "stated": stated}
        if model.contradicted:
            document["contradicted"] = model.contradicted
        print_json(document)
    else:
        print_model(model, source.absolute())


def _spec(spec: Path, figure: Path | None, trust_code: bool, as_json: bool) -> None:
    """The tree and the picture of a task graph; of a task on one manifold one line."""
    from ..atlas.spec import load_task
    from ..report.graph_tree import task_facts, task_tree

    task = load_task(spec, trust_code=trust_code)
    facts = task_facts(task)
    if figure is not None:
        from ..report.graph_figure import graph_figure

        check_figure_path(figure)
        graph_figure(task, figure)
        facts["figure"] = str(figure)
    if as_json:
        print_json(facts)
        return
    print_rich(task_tree(task))
    if figure is not None:
        click.echo(f"figure: {figure}")
