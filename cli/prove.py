"""`atlasmoe prove`: the model's error bound as a theorem that Coq's kernel accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import FolderError, InvalidArgument
from .options import Whole, json_option, takes_only
from .output import print_json, print_wrapped


@click.command(short_help="Write the error bound as a theorem of Coq, and have coqc check it.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder for the proof.")
@click.option("--epsilon", metavar="E", help="Error to prove: above 0, or like `1%` of the target's range. Default: the model's own ε.")
@click.option(
    "--arithmetic",
    type=click.Choice(["fast", "big", "pure"]),
    default="fast",
    show_default=True,
    help="fast: binary64 in hardware; big: 63-bit integers, slower; pure: Coq's own integers, slowest, no axioms but those of the reals.",
)
@click.option("--floats", is_flag=True, help="Also prove evaluation in binary64, sums in any order.")
@click.option("--routes", is_flag=True, help="Also prove that points get experts whose charts or balls hold them.")
@click.option(
    "--jobs",
    type=Whole(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Files that coqc checks at the same time; charts are put into several where there are fewer of them.",
)
@click.option("--read-back", is_flag=True, help="Run no coqc: compare Weights.v in the proof with the model in FOLDER, bit by bit.")
@click.option("--no-run", is_flag=True, help="Write the files, and run no coqc.")
@json_option
def prove(
    folder: Path,
    output: Path,
    epsilon: str | None,
    arithmetic: str,
    floats: bool,
    routes: bool,
    jobs: int,
    read_back: bool,
    no_run: bool,
    as_json: bool,
) -> None:
    """Write a theorem about the weights in FOLDER, |f − Ψ| ≤ ε at every point of M in real arithmetic, and have coqc accept it.

    The boxes of a certificate in FOLDER, if there is one, are a hint: Coq cuts on where it has to, and takes nothing from it. Exit code 0
    only if coqc accepted the theorem, 1 if it did not, 2 if coqc is not installed (the files are written) or the model has a part that
    the proof does not follow.
    """
    from ..atlas import TaskGraph
    from ..atlas.relative import absolute_epsilon
    from ..export.folder import load
    from ..verify.coq.graph_project import BEFORE, graph_files, graph_parts
    from ..verify.coq.graph_statement import GraphStatement, graph_statement_of
    from ..verify.coq.points import about, not_shown
    from ..verify.coq.project import files, parts_of_project, write
    from ..verify.coq.read_back import differences
    from ..verify.coq.statement import Statement, statement_of, suggested_cuts

    if read_back:
        takes_only("--read-back", "output", "as_json")
        _read_back(folder, output, differences(folder, output), as_json)
        return
    model = load(folder)
    asked: Any = epsilon if epsilon is None or model.task.wanted else absolute_epsilon(epsilon, model.task)
    statement: Statement | GraphStatement
    cuts: list[list[int]] = []
    others: list[list[list[int]]] = []
    before: tuple[str, ...] = ("Weights", "Task")
    joined: list[str] = []
    if isinstance(model.task, TaskGraph):
        statement = graph_statement_of(model, asked, floats, routes)
        contents = graph_files(statement, arithmetic)
        before, parts = BEFORE, graph_parts(contents)
    else:
        statement = statement_of(model, asked, floats, routes)
        cuts = suggested_cuts(folder, len(statement.charts))
        others = [suggested_cuts(folder, len(statement.charts), target) for target in range(1, len(model.task.wanted))]
        contents = files(statement, cuts, arithmetic, others, jobs)
        parts, together = parts_of_project(contents)
        joined = list(together)
    write(output, contents)
    said = differences(folder, output)
    if said:
        raise AssertionError(f"Weights.v does not hold the weights that it was written from: {said[0]}")
    if no_run:
        _written(output, as_json)
        return
    from ..verify.coq.run import changed, coqc_path, run

    if coqc_path() is None:
        install = "apt-get install --no-install-recommends coq libcoq-interval libcoq-flocq libcoq-coquelicot"
        raise InvalidArgument(
            f"coqc is not installed, so nothing is proved yet; the files are in {output}: install Coq ({install}) and run `make` there"
        )
    outcome = run(output, parts, arithmetic, jobs, before, joined)
    if name := changed(output, contents):
        problem = f"{output / name}: was changed while coqc ran, so what it said is not about this model"
        raise FolderError(f"{problem}; prove it again, every proof in a folder of its own")
    where = "" if outcome.accepted else _where(output, statement, cuts, others, outcome.refused)
    missing, place = not_shown(statement, contents.get("Point.v")), about(statement)
    if as_json:
        document = {"proof": str(output.absolute()), "accepted": outcome.accepted, "epsilon": statement.epsilon}
        document |= {"about": place, "arithmetic": arithmetic}
        if model.task.wanted:
            del document["epsilon"]
            document["targets"] = {one.name: float(one.epsilon) for one in model.task.wanted}
        if statement.floats is not None:
            document["float64"] = statement.floats.epsilon
        if missing:
            document["not_shown"] = missing
        more = {"refused": outcome.refused, "message": outcome.message, "where": where}
        print_json({**document, **more, "seconds": outcome.seconds, "assumptions": list(outcome.assumptions)})
    elif outcome.accepted:
        each = [(one.name, float(one.epsilon)) for one in model.task.wanted] or [(model.task.name, statement.epsilon)]
        for name, bound in each:
            click.echo(f"{name}: |f − Ψ| ≤ {bound!r} at {place}, in real arithmetic: accepted by coqc")
        if missing:
            click.echo(f"but {missing}")
        if statement.floats is not None:
            click.echo(f"evaluated in binary64, sums in any order: |f − Ψ̂| ≤ {statement.floats.epsilon!r}: accepted by coqc")
        if routes:
            click.echo("every point of M gets experts whose charts or balls hold it: accepted by coqc")
        axioms = sorted({name.split(".")[-2] for name in outcome.assumptions})
        click.echo(f"axioms: {len(outcome.assumptions)}, of {', '.join(axioms)}; README.md there says what has to be believed")
        click.echo(f"proof: {output} ({sum(outcome.seconds.values()):.0f} s of coqc)")
        click.secho("proved", fg="green", bold=True)
    else:
        print_wrapped(f"{outcome.refused}.v: coqc did not accept it{where}", "red")
        if outcome.message:
            click.echo(outcome.message.splitlines()[-1], err=True)
        click.secho("not proved", fg="red", bold=True)
    if not outcome.accepted:
        click.get_current_context().exit(1)


def _written(output: Path, as_json: bool) -> None:
    if as_json:
        print_json({"proof": str(output.absolute()), "accepted": None})
    else:
        click.echo(f"proof: {output}; nothing is proved before coqc accepts it: run `make` there")


def _read_back(folder: Path, output: Path, said: list[str], as_json: bool) -> None:
    """Report the comparison of Weights.v with the model."""
    if as_json:
        print_json({"proof": str(output.absolute()), "folder": str(folder.absolute()), "differences": said})
    elif said:
        for difference in said[:20]:
            print_wrapped(difference, "red")
    else:
        click.echo(f"{output / 'Weights.v'} holds the weights of {folder}, every number and every layer")
    if said:
        click.get_current_context().exit(1)


def _where(output: Path, statement: object, cuts: list[list[int]], others: list[list[list[int]]], refused: str | None) -> str:
    """On which box of which chart the computation stops, in words."""
    from ..verify.coq.project import trees_of, trouble_files
    from ..verify.coq.run import trouble
    from ..verify.coq.statement import Statement

    if refused is not None and refused.startswith(("Block", "Part")):
        first = (output / f"{refused}.v").read_text(encoding="utf-8").splitlines()[0]
        return f": {first.removeprefix('(* ').removesuffix(' *)')}"
    if not isinstance(statement, Statement) or refused is None or not refused.startswith("Chart"):
        return ""
    k = int(refused.removeprefix("Chart"))
    chart, wanted = statement.charts[k], statement.task.wanted
    for j, text in enumerate(trouble_files(statement, k, trees_of(statement, k, cuts, others))):
        if (found := trouble(output, text)) is None or not found[1]:
            continue
        settled, box = found
        sides = ", ".join(f"{v} in [{low:.6g}, {high:.6g}]" for v, (low, high) in zip(chart.inverse.names, box, strict=False))
        of = f"target {wanted[j].name}: " if wanted else ""
        bound = f"|f − Ψ| ≤ {wanted[j].epsilon if wanted else statement.epsilon!r}"
        return f": {of}on chart {chart.name} it settled {settled} boxes, and stopped at {sides}, where {bound} does not follow"
    return f": chart {chart.name}"
