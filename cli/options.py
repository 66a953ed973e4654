"""Options that several commands have, and what their values mean."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..errors import InvalidArgument

if TYPE_CHECKING:
    from ..atlas.options import OptionValue

DEFAULT_EPSILON = "1%"

VARIANTS = {
    "gate": "linear (default); nonlinear: a gate with a hidden layer in the place of scores; tree: nearest centres in two levels.",
    "experts": "First maps of experts: dense (default), factorised, encoder (one map for all experts); auto: the fewest numbers.",
    "top_k": "How many experts an input goes through, 1 by default.",
    "weighting": "Of several chosen experts: softmax (default), uniform or rectified.",
    "shared": "true: one expert is added for all inputs; auto: where that stores less. Default: false.",
    "gated": "Experts with product lanes, act(z)·(α + γ·u): alone for all blocks, of some nodes BLOCK=true. Default: false.",
}
"""Option of blocks ↦ its help."""
SWITCHES = {"true": True, "false": False}


class Whole(click.IntRange):
    """A whole number in a range, which may be written 1e6 too."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            meant = float(value)
        except ValueError:
            meant = math.nan
        if not meant.is_integer():
            self.fail(f"{value!r} is no whole number; give one in the range {self._describe_range()}", param, ctx)
        return super().convert(value if isinstance(value, int) or value.lstrip("+-").isdecimal() else int(meant), param, ctx)


class Real(click.FloatRange):
    """A number in a range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            float(value)
        except ValueError:
            self.fail(f"{value!r} is no number; give one in the range {self._describe_range()}", param, ctx)
        return super().convert(value, param, ctx)


WIDTHS = Whole(8, 16_384)
"""Of hidden layers, as `compile` and `plan` take them."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, errors included.")
force_option = click.option("--force", is_flag=True, help="Replace the folder if such a command wrote it.")
seed_option = click.option(
    "--seed", type=Whole(0), metavar="N", default=0, show_default=True, help="Results are the same for the same seed."
)
max_width_option = click.option("--max-width", type=WIDTHS, metavar="M", help="No hidden layer gets wider than this. Default: 2048.")
activation_option = click.option(
    "--activation",
    metavar="NAME",
    multiple=True,
    help="Of the experts' neurons: relu (default), relu2, gelu, gelu_tanh, silu; auto: the fewest numbers. For some blocks BLOCK=NAME.",
)
gated_option = click.option("--gated", is_flag=True, default=None, help="Experts with product lanes, act(z)·(α + γ·u).")
GATED_VALUE = re.compile(r"(true|false)|\w+=(true|false)(,\w+=(true|false))*")


class Switched(click.Command):
    """A command whose `--gated` may stand alone, before an argument too, which is then none of its values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        followed = zip(args, [*args[1:], ""], strict=True)
        alone = [word == "--gated" and not GATED_VALUE.fullmatch(after) for word, after in followed]
        return super().parse_args(ctx, ["--gated=true" if bare else word for word, bare in zip(args, alone, strict=True)])


def variant_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of blocks that make a variant of the theorem's mixture; for some blocks of a task graph BLOCK=VALUE."""
    for name, text in reversed(VARIANTS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, metavar="VALUE", multiple=True, help=text)(command)
    return command


jobs_option = click.option(
    "--jobs",
    type=Whole(-1),
    metavar="J",
    default=1,
    show_default=True,
    callback=lambda ctx, parameter, value: _jobs(value),
    help="Charts proved at a time; -1: as many as there are cores.",
)
trust_option = click.option(
    "--trust-code",
    is_flag=True,
    help="Import and run the Python function that the target names (module:function). Default: no code of a spec or a folder is run.",
)
samples_option = click.option(
    "--samples", type=Whole(1, 10**9), metavar="N", default=200_000, show_default=True, help="Random points to check."
)


def _jobs(value: int) -> int:
    if value == 0:
        raise click.BadParameter("0 jobs do nothing; give 1 or more, or -1 for all cores")
    return value


def takes_only(chosen: str, *taken: str) -> None:
    """Refuse what was given beside the option `chosen` and would not be looked at: all but it and the parameters named `taken`."""
    options = [one for one in click.get_current_context().command.params if isinstance(one, click.Option) and chosen not in one.opts]
    takes_no(chosen, *(str(one.name) for one in options if one.name not in taken))


def takes_no(chosen: str, *ignored: str) -> None:
    """Refuse those of the parameters `ignored` that were given beside the option `chosen`, which makes them mean nothing.

    Raises `click.UsageError` with these options, before anything is done.
    """
    context = click.get_current_context()
    said = [one for one in context.command.params if one.name in ignored]
    given = [max(one.opts, key=len) for one in said if context.get_parameter_source(str(one.name)) is ParameterSource.COMMANDLINE]
    if given:
        raise click.UsageError(f"{chosen} does not look at {', '.join(given)}; leave {'it' if len(given) == 1 else 'them'} out")


def figure_option(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A file that is drawn; its suffix says as what."""
    return click.option(
        "--figure",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"{what[:-1]}, as .png, .pdf or .svg. Default: none.",
    )


def by_block(option: str, given: Sequence[str]) -> str | dict[str, str]:
    """What an option of blocks says: one name for all of them, or one for each block that it names, `BLOCK=NAME`.

    Raises `InvalidArgument` for a mixture of both, and for a block that is named twice.
    """
    entries = [entry.strip() for text in given for entry in text.split(",")]
    if len(entries) == 1 and "=" not in entries[0]:
        return entries[0]
    pairs = [tuple(part.strip() for part in entry.split("=", 1)) for entry in entries]
    wrong = [entry for entry, pair in zip(entries, pairs, strict=True) if len(pair) != 2 or not all(pair)]
    if wrong:
        raise InvalidArgument(f"{option} {wrong[0]!r}: give one name for all blocks, or one for each, like base=hinge,arm=plateau")
    chosen = {pair[0]: pair[1] for pair in pairs}
    if len(chosen) != len(pairs):
        raise InvalidArgument(f"{option} {', '.join(given)}: a block is named twice")
    return chosen


def variants(said: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the options of `VARIANTS` say, of those that were given, in the types that they take.

    Raises `InvalidArgument` for what is no number where one is due; words are for whoever compiles.
    """
    found: dict[str, Any] = {}
    for name, texts in said.items():
        if not texts:
            continue
        given = by_block(f"--{name.replace('_', '-')}", texts)
        found[name] = {block: _typed(name, text) for block, text in given.items()} if isinstance(given, dict) else _typed(name, given)
    return found


def _typed(name: str, text: str) -> OptionValue:
    """A text of the command line as a value of an option."""
    from ..atlas.options import OPTIONS

    option = OPTIONS[name]
    if (option.switch or option.kind is bool) and text in SWITCHES:
        return SWITCHES[text]
    if option.kind is not int:
        return text
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidArgument(f"--{name.replace('_', '-')} {text!r} is no number")
    return int(text)
