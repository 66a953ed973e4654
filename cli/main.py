"""The front door on the command line: lint, compile, verify, show, demo; the other commands are in cli_*.py.

Exit codes: 0 everything holds, 1 a claim is refuted or ε was missed, 2 the input is at fault, 130 interrupted. Results go
to stdout, messages and progress to stderr; with --json stdout holds one JSON document and nothing else, errors included.
Commands import what they need themselves, so that --help is quick.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .. import __version__
from ..errors import AtlasMoEError, InvalidArgument, LintError, Severity, SpecError
from .output import check_figure_path, finding_fields, print_json, print_model, print_report, print_rich

if TYPE_CHECKING:
    from ..atlas import ManifoldTask, TaskGraph
    from ..moe import Model

INTERRUPTED = 130
DEFAULT_EPSILON = "1%"
DEMO = "examples/sphere.toml"
RANGE_SAMPLES = 1 << 13
"""Points of M at which the range of a target is measured for a relative ε."""


APART = {name: f".{name}" for name in ("certify", "check", "explain", "plan")}
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
            document["findings"] = [finding_fields(finding) for finding in error.findings]
        print_json({"error": document})
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
    from ..expressions.parse import caret

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
    from ..atlas.lint import lint as check
    from ..atlas.spec import load_task

    task = load_task(spec)
    findings = check(task)
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if as_json:
        print_json({"task": task.name, "errors": errors, "findings": [finding_fields(finding) for finding in findings]})
    else:
        for finding in findings:
            click.secho(f"{finding.severity}: {finding}", fg="red" if finding.severity is Severity.ERROR else "yellow")
        verdict = f"{errors} error(s), {len(findings) - errors} warning(s)" if findings else "every assumption holds where it was checked"
        click.secho(f"{task.name}: {verdict}", bold=True)
    if errors:
        click.get_current_context().exit(2)


@main.command(name="compile")
@click.argument("spec", type=click.Path())
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the model to.")
@compile_options
@force_option
@json_option
def compile_command(spec: str, output: Path, force: bool, as_json: bool, **choices: Any) -> None:
    """Compile SPEC into a model folder: weights, ledger, model card."""
    from ..atlas.spec import load_task

    task = load_task(spec)
    model, path = _compile(task, output, force, choices)
    if as_json:
        print_json({"folder": str(path), "holds": model.ledger.holds, "facts": model.facts, "ledger": model.ledger.root.to_dict()})
    else:
        print_model(model, path)


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
    from ..export.folder import load
    from ..verify.sample import verify as check

    model = load(folder)
    if properties is not None:
        from ..export.properties import write_properties

        listing = write_properties(model, folder, properties)
    check_figure_path(figure)
    report = check(model, samples=samples, seed=seed)
    if figure is not None:
        from ..report.figures import figure as draw

        draw(model, report=report, path=figure)
    if as_json:
        print_json(report.to_dict())
    else:
        print_report(report)
        if figure is not None:
            click.echo(f"figure: {figure}")
        if properties is not None:
            click.echo(f"properties: {listing}")
    if not report.holds:
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
    from ..export.folder import load

    if figure is not None:
        raise InvalidArgument("show draws the task graph of a spec; atlasmoe verify FOLDER --figure draws a model")
    model = load(source)
    if as_json:
        print_json({"folder": str(source.absolute()), "facts": model.facts, "ledger": model.ledger.root.to_dict()})
    else:
        print_model(model, source.absolute())


def _show_spec(spec: Path, figure: Path | None, as_json: bool) -> None:
    """The tree and the picture of a task graph; of a task on a manifold one line."""
    from ..atlas import TaskGraph
    from ..atlas.spec import load_task
    from ..report.graph_figure import check_figure, graph_figure
    from ..report.graph_tree import graph_facts, graph_tree

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
        print_json(facts)
        return
    print_rich(text)
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

    from ..atlas.spec import load_task
    from ..verify.sample import verify as check

    with as_file(files("atlasmoe") / DEMO) as spec:
        task = load_task(str(spec))
    model, path = _compile(task, output, True, {"epsilon": None, "width": None})
    report = check(model, samples=samples)
    if as_json:
        print_json({"folder": str(path), "facts": model.facts, "ledger": model.ledger.root.to_dict(), "report": report.to_dict()})
    else:
        print_model(model, path)
        print_report(report)
        click.echo(f'Try: atlasmoe explain {output} --at "0.6,0,0.8"')
    if not report.holds:
        click.get_current_context().exit(1)


def _compile(task: ManifoldTask | TaskGraph, output: Path, force: bool, choices: dict[str, Any]) -> tuple[Model, Path]:
    """Compile and save; what would make saving fail is said before the work is done."""
    from ..constructions.compile import compile
    from ..export.folder import check_output, save

    check_output(output, force)
    given = {name: value for name, value in choices.items() if value is not None}
    if "epsilon" in given or "width" not in given:
        given["epsilon"] = absolute_epsilon(given.get("epsilon", DEFAULT_EPSILON), task)
    model = compile(task, **given)
    return model, save(model, output, overwrite=force)


def absolute_epsilon(epsilon: str, task: ManifoldTask | TaskGraph) -> float:
    """ε as a number; a percentage is of max f − min f on M, sampled, of the component where that is largest."""
    import numpy as np

    from ..atlas import TaskGraph

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
        from ..atlas.lint import lint as check

        errors = [finding for finding in check(task) if finding.severity is Severity.ERROR]
        if errors:
            raise LintError(errors)
        raise InvalidArgument(f"--epsilon {epsilon}: the target's range is {spread:g}; give an absolute --epsilon like 1e-3")
    return float(f"{value / 100 * spread:.3g}")


if __name__ == "__main__":
    main()
