"""The command line: lint, plan, compile, verify, explain, show, demo.

Exit codes: 0 everything holds, 1 a claim is refuted or ε was missed, 2 the input is at fault, 130 interrupted. Results go
to stdout, messages and progress to stderr; with --json stdout holds one JSON document and nothing else, errors included.
Commands import what they need themselves, so that --help is quick.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from . import __version__
from .errors import AtlasMoEError, InvalidArgument, LintError, Severity, SpecError

if TYPE_CHECKING:
    from .atlas import ManifoldTask, TaskGraph
    from .constructions import Model
    from .errors import Finding
    from .verify import Report

INTERRUPTED = 130
DEFAULT_EPSILON = "1%"
DEMO = "examples/sphere.toml"
STATEMENT_COLUMNS = 120
"""Columns that a terminal must have for the statements of claims to be readable in a table."""
FILE_COLUMNS = 160
"""Width of tables where standard output is no terminal."""
RANGE_SAMPLES = 1 << 13
"""Points of M at which the range of a target is measured for a relative ε."""


APART = {"certify": ".cli_certify", "check": ".cli_check"}
"""Commands in modules of their own, imported when they are asked for."""


class FrontDoor(click.Group):
    """A command group that turns every expected failure into a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *APART])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in APART:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(importlib.import_module(APART[cmd_name], __package__), cmd_name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["atlasmoe.json"] = "--json" in args  # also where the arguments turn out to be wrong
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a terminal without ≤ or τ is no reason to fail
        try:
            return super().invoke(ctx)
        except AtlasMoEError as error:
            _fail(ctx, error, error.exit_code)
        except click.ClickException as error:
            if not ctx.meta["atlasmoe.json"]:
                raise
            _fail(ctx, error, error.exit_code)
        except BrokenPipeError:
            raise
        except (OSError, MemoryError, RecursionError) as error:
            _fail(ctx, error, 2)
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted; nothing was written", err=True)
            ctx.exit(INTERRUPTED)


def _fail(ctx: click.Context, error: Exception, code: int) -> NoReturn:
    """Report an error on stderr, or as JSON on stdout, and exit."""
    message = _message(error)
    if ctx.meta["atlasmoe.json"]:
        document: dict[str, Any] = {"type": type(error).__name__, "message": message, "exit_code": code}
        if isinstance(error, SpecError | LintError):
            document["findings"] = [_finding(finding) for finding in error.findings]
        _print_json({"error": document})
    elif isinstance(error, SpecError):
        _print_findings(error)
    else:
        for line in message.splitlines():
            click.secho(line, fg="red", err=True)
    ctx.exit(code)


def _message(error: Exception) -> str:
    """What is said of an error."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def _print_findings(error: SpecError) -> None:
    """Each finding on a line; below it the expression with a caret, if one column is at fault."""
    from .atlas.expressions import caret

    for finding in error.findings:
        click.secho(f"{error.source}: {finding}", fg="red", err=True)
        if finding.text is not None and finding.column is not None:
            for line in caret(finding.text, finding.column).splitlines():
                click.echo(f"    {line}", err=True)


@click.group(cls=FrontDoor, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, package_name="atlasmoe")
def main() -> None:
    """Compile an atlas into a mixture of experts, with a proof that it works."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, errors included.")
force_option = click.option("--force", is_flag=True, help="Replace the folder if it holds a model.")
seed_option = click.option(
    "--seed", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Results are the same for the same seed."
)
max_width_option = click.option("--max-width", type=int, metavar="M", help="No hidden layer gets wider than this.")
samples_option = click.option(
    "--samples", type=click.IntRange(1, 10**9), metavar="N", default=200_000, show_default=True, help="Random points to check."
)


def compile_options(command: Callable[..., None]) -> Callable[..., None]:
    """What `compile` can be told, as options."""
    options = (
        click.option(
            "--epsilon",
            metavar="E",
            help="Largest error allowed on M: absolute, or like `1%` of the target's range (largest component) as sampled."
            f" Default: {DEFAULT_EPSILON}, unless --width is given.",
        ),
        click.option("--width", type=int, metavar="M", help="Hidden width to use; ε is then what it reaches."),
        click.option(
            "--theorem",
            metavar="NAME",
            default="auto",
            show_default=True,
            help="4.8, 4.9 (affine charts), affine (one layer, on balls); 5.2, 5.3 (task graphs); or auto.",
        ),
        click.option(
            "--routing", metavar="NAME", default="auto", show_default=True, help="theorem, multiplicity, plateau, hinge, or auto."
        ),
        click.option(
            "--depth", metavar="NAME", default="paper", show_default=True, help="Of a task graph of L blocks: paper (2L layers), L+1, or L."
        ),
        click.option(
            "--dtype", metavar="NAME", default="float64", show_default=True, help="float64 or float32, of the weights as exported."
        ),
        max_width_option,
        click.option(
            "--minimise",
            metavar="COST",
            help="active, total or latency: replace the charts by as many balls as `plan` finds cheapest for ε.",
        ),
        seed_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@main.command(short_help="Check everything that the theorems assume of SPEC.")
@click.argument("spec", type=click.Path())
@json_option
def lint(spec: str, as_json: bool) -> None:
    """Check everything that the theorems assume of SPEC; exit code 2 if an assumption does not hold."""
    from .atlas.lint import lint as check
    from .atlas.spec import load_task

    task = load_task(spec)
    findings = check(task)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        _print_json({"task": task.name, "errors": errors, "findings": [_finding(finding) for finding in findings]})
    else:
        for finding in findings:
            click.secho(f"{finding.severity}: {finding}", fg="red" if finding.severity is Severity.ERROR else "yellow")
        verdict = f"{errors} error(s), {len(findings) - errors} warning(s)" if findings else "every assumption holds where it was checked"
        click.secho(f"{task.name}: {verdict}", bold=True)
    if errors:
        click.get_current_context().exit(2)


@main.command(name="plan", short_help="How many experts, how wide? Predicted, for each E, before anything is built.")
@click.argument("spec", type=click.Path())
@click.option("--epsilon", metavar="E", default=DEFAULT_EPSILON, show_default=True, help="Largest error allowed, as in compile.")
@click.option("--experts", metavar="E,E,…", help="Numbers of experts to try. Default: doublings from the least that will do.")
@max_width_option
@click.option("--batch", type=int, metavar="N", help="Inputs per call, for the latency.")
@seed_option
@click.option("--build", is_flag=True, help="Build every row at its width, and show the error that it reaches.")
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="Draw the frontier into this PNG.")
@json_option
def plan_command(spec: str, epsilon: str, experts: str | None, build: bool, figure: Path | None, as_json: bool, **choices: Any) -> None:
    """Predict what reaches ε on the manifold of SPEC: for each number of experts the width, its costs and the error to expect."""
    from .atlas import ManifoldTask
    from .atlas.spec import load_task
    from .constructions.plan import plan

    _check_figure(figure)
    task = load_task(spec)
    if not isinstance(task, ManifoldTask):
        raise InvalidArgument(f"a plan is for one manifold, and {task.name} is a task graph; plan for the manifold of one of its blocks")
    listed = None if experts is None else _counts(experts)
    given = {name: value for name, value in choices.items() if value is not None}
    frontier = plan(task, _absolute(epsilon, task), experts=listed, **given)
    if build:
        frontier = frontier.built()
    if figure is not None:
        from .report.frontier import draw

        draw(frontier, figure)
    if as_json:
        _print_json(frontier.to_dict())
    else:
        from .report.tables import frontier_table

        _print(frontier_table(frontier))
        if figure is not None:
            click.echo(f"figure: {figure}")


@main.command(name="compile")
@click.argument("spec", type=click.Path())
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the model to.")
@compile_options
@force_option
@json_option
def compile_command(spec: str, output: Path, force: bool, as_json: bool, **choices: Any) -> None:
    """Compile SPEC into a model folder: weights, ledger, model card."""
    from .atlas.spec import load_task

    task = load_task(spec)
    model, path = _compile(task, output, force, choices)
    if as_json:
        _print_json({"folder": str(path), "holds": model.ledger.holds, "facts": model.facts, "ledger": model.ledger.root.to_dict()})
    else:
        _print_model(model, path)


@main.command(short_help="Check every claim of the model on its weights.")
@click.argument("folder", type=click.Path(path_type=Path))
@samples_option
@seed_option
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="Draw routes and errors into this PNG.")
@click.option(
    "--properties",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write pieces of the certificate as ONNX and VNN-LIB files, for other verifiers to confirm.",
)
@json_option
def verify(folder: Path, samples: int, seed: int, figure: Path | None, properties: Path | None, as_json: bool) -> None:
    """Check every claim of the model in FOLDER on its weights; exit code 1 if one is refuted."""
    from .export.folder import load
    from .verify import verify as check

    model = load(folder)
    if properties is not None:
        from .verify.properties import write_properties

        listing = write_properties(model, folder, properties)
    _check_figure(figure)
    report = check(model, samples=samples, seed=seed)
    if figure is not None:
        from .report.figures import figure as draw

        draw(model, report=report, path=figure)
    if as_json:
        _print_json(report.to_dict())
    else:
        _print_report(report)
        if figure is not None:
            click.echo(f"figure: {figure}")
        if properties is not None:
            click.echo(f"properties: {listing}")
    if not report.holds:
        click.get_current_context().exit(1)


@main.command(short_help="Explain a value, or where a neuron comes from.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--at", metavar="X", help='A point, like "0.6,0,0.8"; before embedding, or the D coordinates after it.')
@click.option("--layer", type=int, help="Where does a neuron come from? The layer, from 1.")
@click.option("--expert", help="Name or number of the expert it belongs to.")
@click.option("--neuron", type=int, help="Its number in its hidden layer, from 0.")
@click.option("--hidden", type=int, default=1, show_default=True, help="The hidden layer of the expert, from 1.")
@json_option
def explain(folder: Path, at: str | None, layer: int | None, expert: str | None, neuron: int | None, hidden: int, as_json: bool) -> None:
    """Say why the model in FOLDER gives what it gives at a point, or which lemma put a neuron there.

    Of a task graph: the route through all layers, the margins, and each partial output. Exit code 1 if the error at a point of M exceeds ε.
    """
    from dataclasses import asdict

    from .constructions.explain import Explanation
    from .export.folder import load
    from .report import explanation
    from .report.graph_explanation import graph_point

    neuron_given = [layer is not None, expert is not None, neuron is not None]
    if (at is None) == (not any(neuron_given)) or any(neuron_given) != all(neuron_given):
        raise click.UsageError('give either --at "x,y,z", or all of --layer, --expert and --neuron')
    model = load(folder)
    if at is None:
        assert layer is not None and expert is not None and neuron is not None  # noqa: PT018
        known = {name for moe in model.network.layers for name in moe.names}
        chosen = int(expert) if expert not in known and expert.isascii() and expert.isdigit() else expert
        origin = model.explain(layer=layer, expert=chosen, neuron=neuron, hidden=hidden)
        if as_json:
            _print_json(asdict(origin))
        else:
            _print(explanation.neuron(origin))
        return
    found = model.explain(_point(at, model))
    if as_json:
        whole = {"chart": found.chart} if isinstance(found, Explanation) else {"route": found.route}
        _print_json({**asdict(found), **whole})
    else:
        _print(explanation.point(found) if isinstance(found, Explanation) else graph_point(found))
    if found.error is not None and not found.error <= model.ledger.root.budget:
        click.get_current_context().exit(1)


@main.command(short_help="Show what a model is, or draw the task graph of a spec.")
@click.argument("source", metavar="FOLDER|SPEC", type=click.Path(path_type=Path))
@click.option("--figure", type=click.Path(path_type=Path, dir_okay=False), help="Draw the task graph of SPEC into this SVG, PNG or PDF.")
@json_option
def show(source: Path, figure: Path | None, as_json: bool) -> None:
    """Show the model in FOLDER and its ledger; or the task graph of SPEC as a tree, with the count of its pieces."""
    if source.is_file():
        _show_spec(source, figure, as_json)
        return
    from .export.folder import load

    if figure is not None:
        raise InvalidArgument("show draws the task graph of a spec; atlasmoe verify FOLDER --figure draws a model")
    model = load(source)
    if as_json:
        _print_json({"folder": str(source.absolute()), "facts": model.facts, "ledger": model.ledger.root.to_dict()})
    else:
        _print_model(model, source.absolute())


def _show_spec(spec: Path, figure: Path | None, as_json: bool) -> None:
    """The tree and the picture of a task graph; of a task on a manifold one line."""
    from .atlas import TaskGraph
    from .atlas.spec import load_task
    from .report.graph_figure import check_figure, graph_figure
    from .report.graph_tree import graph_facts, graph_tree

    task = load_task(spec)
    if not isinstance(task, TaskGraph):
        atlas = task.atlas
        if figure is not None:
            raise InvalidArgument(f"--figure: {task.name} is a task on one manifold; compile it, and let verify --figure draw the model")
        facts: dict[str, Any] = {"task": task.name, "kind": "manifold", "charts": len(atlas), "dimension": atlas.dimension}
        facts |= {"ambient_dimension": atlas.ambient_dimension, "outputs": task.outputs}
        charts = f"{len(atlas)} chart{'s'[: len(atlas) != 1]}, d = {atlas.dimension} in R^{atlas.ambient_dimension}"
        text: Any = f"{task.name}: {charts}, f with {task.outputs} component{'s'[: task.outputs != 1]}"
    else:
        facts, text = graph_facts(task), graph_tree(task)
        if figure is not None:
            check_figure(figure)
            graph_figure(task, figure)
            facts["figure"] = str(figure)
    if as_json:
        _print_json(facts)
        return
    _print(text)
    if figure is not None:
        click.echo(f"figure: {figure}")


@main.command(short_help="Compile and verify the sphere example.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("out/sphere"), show_default=True, help="Folder for the model."
)
@samples_option
@json_option
def demo(output: Path, samples: int, as_json: bool) -> None:
    """Compile the sphere example, verify it, and show the ledger and where the model is."""
    from importlib.resources import as_file, files

    from .atlas.spec import load_task
    from .verify import verify as check

    with as_file(files("atlasmoe") / DEMO) as spec:
        task = load_task(str(spec))
    model, path = _compile(task, output, True, {"epsilon": None, "width": None})
    report = check(model, samples=samples)
    if as_json:
        _print_json({"folder": str(path), "facts": model.facts, "ledger": model.ledger.root.to_dict(), "report": report.to_dict()})
    else:
        _print_model(model, path)
        _print_report(report)
        click.echo(f'Try: atlasmoe explain {output} --at "0.6,0,0.8"')
    if not report.holds:
        click.get_current_context().exit(1)


def _compile(task: ManifoldTask | TaskGraph, output: Path, force: bool, choices: dict[str, Any]) -> tuple[Model, Path]:
    """Compile and save; what would make saving fail is said before the work is done."""
    from .constructions.compile import compile
    from .export.folder import check_output, save

    check_output(output, force)
    given = {name: value for name, value in choices.items() if value is not None}
    if "epsilon" in given or "width" not in given:
        given["epsilon"] = _absolute(given.get("epsilon", DEFAULT_EPSILON), task)
    model = compile(task, **given)
    return model, save(model, output, overwrite=force)


def _absolute(epsilon: str, task: ManifoldTask | TaskGraph) -> float:
    """ε as a number; a percentage is of max f − min f on M, sampled, of the component where that is largest."""
    import numpy as np

    from .atlas import TaskGraph

    try:
        value = float(epsilon.removesuffix("%"))
    except ValueError:
        raise InvalidArgument(f"--epsilon {epsilon!r} is neither a number nor a percentage like 1%") from None
    if not epsilon.endswith("%"):
        return value
    if isinstance(task, TaskGraph):
        values = task.evaluate(task.sample(max(RANGE_SAMPLES, 16 * task.subtasks), 0, low_discrepancy=True))
    else:
        values = task.evaluate(task.atlas.sample(max(RANGE_SAMPLES, 16 * len(task.atlas.parametrising)), 0, low_discrepancy=True))
    values = values[np.isfinite(values).all(1)]
    spread = float(np.ptp(values, axis=0).max()) if len(values) else 0.0
    if not spread > 0:
        from .atlas.lint import lint as check

        errors = [finding for finding in check(task) if finding.severity is Severity.ERROR]
        if errors:
            raise LintError(errors)
        raise InvalidArgument(f"--epsilon {epsilon}: the target's range is {spread:g}; give an absolute --epsilon like 1e-3")
    return float(f"{value / 100 * spread:.3g}")


def _check_figure(figure: Path | None) -> None:
    """Refuse a figure that could not be written, before the work."""
    if figure is not None and not figure.absolute().parent.is_dir():
        raise InvalidArgument(f"--figure {figure}: there is no folder {figure.absolute().parent}; make it, or choose another place")


def _counts(text: str) -> list[int]:
    """The numbers that `--experts` lists."""
    parts = text.replace(",", " ").split()
    wrong = [part for part in parts if not (part.isascii() and part.isdigit() and len(part) < 10)]
    if wrong or not parts:
        raise InvalidArgument(f"--experts {text!r}: {wrong[0] if wrong else text!r} is no number of experts; give a list like 8,16,32")
    return [int(part) for part in parts]


def _point(text: str, model: Model) -> Any:
    """The ambient point that `--at` names, by its D coordinates or by the k coordinates before embedding."""
    from .atlas import TaskGraph

    task = model.task
    if isinstance(task, TaskGraph):
        base, ambient = len(task.coordinates), task.ambient_dimension
    else:
        base, ambient = task.atlas.base_dimension, task.atlas.ambient_dimension
    numbers = []
    for part in text.replace(",", " ").split():
        try:
            numbers.append(float(part))
        except ValueError:
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise InvalidArgument(f"--at {text!r}: {part!r} is not a finite number; give numbers like 0.6,0,0.8")
    if len(numbers) == base:
        return task.embed([numbers])[0] if isinstance(task, TaskGraph) else task.atlas.embed(numbers)
    if len(numbers) != ambient:
        also = f" (or {ambient} after embedding)" if ambient != base else ""
        raise InvalidArgument(f"--at gives {len(numbers)} numbers, but {task.name} has {base} coordinates{also}")
    return numbers


def _print_model(model: Model, path: Path) -> None:
    from .atlas import TaskGraph
    from .report import tables

    _print(tables.ledger_table(model.ledger, statements=_wide()))
    network = model.network
    sizes = f"{network.parameters:,} parameters, {network.active_parameters:,} of them per input, {network.dtype}"
    if isinstance(model.task, TaskGraph):
        from .report.graph_tree import summary

        click.echo(f"{summary(model.task)}; {len(network.layers)} layers, {sizes}")
    else:
        click.echo(f"{model.task.name}: E = {len(network.layers[-1])}, {sizes}")
    if "plan" in model.facts:
        click.echo(model.ledger.root.note)
    if "why" in model.facts:
        click.echo(f"theorem {model.facts['theorem']}: {model.facts['why']}")
    click.echo(f"model: {path}")


def _print_report(report: Report) -> None:
    from .report import tables

    _print(tables.report_table(report, statements=_wide()))


def _print(renderable: Any) -> None:
    """Onto standard output; colours and the terminal's width on a terminal only."""
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        console.print(renderable)
    else:
        from .report.tables import render

        click.echo(render(renderable, FILE_COLUMNS))


def _wide() -> bool:
    """Whether there is room for the statements of claims beside their numbers."""
    from rich.console import Console

    console = Console()
    return not console.is_terminal or console.width >= STATEMENT_COLUMNS


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "severity": str(finding.severity),
        "where": finding.where,
        "problem": finding.problem,
        "remedy": finding.remedy,
        "witness": None if finding.witness is None else list(finding.witness),
        "text": finding.text,
        "column": finding.column,
    }


def _print_json(document: Any) -> None:
    """One JSON document; NaN and ±∞ are strings."""
    click.echo(json.dumps(_finite(document), indent=1, ensure_ascii=False, allow_nan=False))


def _finite(document: Any) -> Any:
    if isinstance(document, dict) and isinstance(document.get("error"), dict):  # an error needs no numpy
        return document
    from .export.typed_json import finite_json

    return finite_json(document)


if __name__ == "__main__":
    main()
