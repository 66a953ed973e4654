"""The front door on the command line. Every command is a file of this folder, of the command's name.

Exit codes: 0 everything holds, 1 a claim is refuted or ε was missed, 2 the input is at fault, 3 we are, 130 interrupted.
Results go to stdout, messages and progress to stderr; with --json stdout holds one JSON document and nothing else, errors
included. Commands are imported when they are asked for, and import what they need themselves, so that --help is quick.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import importlib
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from .. import __version__
from ..errors import AtlasMoEError, LintError, SpecError, did_you_mean
from .output import DOCUMENT, PART, finding_fields, print_json

COMMANDS = (
    *("baseline", "certify", "check", "compile", "demo", "doctor", "explain", "export", "fixtures"),
    *("lint", "plan", "prove", "report", "show", "substitute", "verify"),
)
DEFECT, INTERRUPTED = 3, 130
INTERRUPTION = "atlasmoe.interrupted"
"""Key in a context's meta under which a command leaves a function: what is said where that is not that nothing was written."""
TRACEBACK = "ATLASMOE_TRACEBACK"
"""Environment variable: if it is set, defects come with their traceback."""
GARBAGE = 100_000
"""New objects after which Python looks for garbage. Its own 700 would be looked through again and again while modules are loaded."""


class FrontDoor(click.Group):
    """A command group that turns every failure into a message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f".{cmd_name}", __package__), cmd_name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command {args[0]!r}{did_you_mean(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["atlasmoe.json"] = "--json" in args  # also where the arguments turn out to be wrong
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        gc.set_threshold(GARBAGE)
        atexit.unregister(gc.freeze)  # whoever calls several commands leaves once
        atexit.register(gc.freeze)  # on the way out nothing is looked through any more: all of it goes
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a terminal without ≤ or τ is no reason to fail
        try:
            if not ctx.meta["atlasmoe.json"]:
                return super().invoke(ctx)
            ctx.meta[DOCUMENT] = sys.stdout
            with contextlib.redirect_stdout(sys.stderr):  # what code of the user's prints is no part of the document
                return super().invoke(ctx)
        except AtlasMoEError as error:
            _fail(ctx, error, error.exit_code)
        except click.ClickException as error:
            if not ctx.meta["atlasmoe.json"]:
                raise
            _fail(ctx, error, error.exit_code)
        except (BrokenPipeError, click.exceptions.Exit):
            raise
        except (OSError, MemoryError) as error:  # a file that cannot be used, or a task too large for the machine
            _fail(ctx, error, 2)
        except (KeyboardInterrupt, click.Abort):
            said = ctx.meta.get(INTERRUPTION, lambda: "interrupted; nothing was written")
            click.echo(said(), err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:  # nothing that we foresaw
            if os.environ.get(TRACEBACK):
                traceback.print_exception(error)
            _fail(ctx, error, DEFECT)


def _fail(ctx: click.Context, error: Exception, code: int) -> NoReturn:
    """Report an error on stderr, or as JSON on stdout, and exit."""
    message = _defect(error) if code == DEFECT else _message(error)
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


FULL = (errno.ENOSPC, errno.EDQUOT)
"""Of errors of the system: no place is left to write to."""


def _message(error: Exception) -> str:
    """What is said of an error."""
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        place = Path(os.fsdecode(error.filename))
        if place.name.startswith(".") and place.suffix == PART:  # what gets its name when all of it is written
            return f"{place.with_name(place.name[1:].removesuffix(PART))}: cannot be written ({error.strerror}); choose another place"
        return f"{place}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in FULL:  # the system does not say which file
        return f"what was to be written does not fit ({error.strerror}); free some space or choose another place"
    if isinstance(error, MemoryError):
        return "the task needs more memory than there is; take fewer charts, fewer neurons, or a larger machine"
    if isinstance(error, AtlasMoEError):
        return error.on_the_command_line()
    return str(error) or type(error).__name__


def _defect(error: Exception) -> str:
    """What is said of an error that nobody foresaw: what, where in the library, and what to do."""
    inside = Path(__file__).parents[1]
    package = __name__.split(".")[0]
    ours = [(f, line) for f, line in traceback.walk_tb(error.__traceback__) if f.f_globals.get("__name__", "").split(".")[0] == package]
    frame, number = ours[-1]
    what = f"{type(error).__name__}: {' '.join(str(error).split())}" if str(error) else type(error).__name__
    where = f"{Path(frame.f_code.co_filename).relative_to(inside).as_posix()}, line {number}"
    return (
        f"{what} (in {where})\nThis is a defect of atlasmoe {__version__}, not of your input. "
        f"Please report it with the line above and the command; {TRACEBACK}=1 shows the traceback."
    )


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
