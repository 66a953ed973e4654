"""The help of every command says of every option what it is if nothing is said, and in which range it may be."""

from __future__ import annotations

import click
import pytest
from atlasmoe.cli.main import COMMANDS, main

OPTIONS = [
    (name, option)
    for name in COMMANDS
    for option in main.get_command(click.Context(main), name).params  # type: ignore[union-attr]
    if isinstance(option, click.Option) and not option.is_flag
]


@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=lambda value: value if isinstance(value, str) else value.opts[-1])
def test_an_option_states_default_and_range(command: str, option: click.Option) -> None:
    text = option.help or ""
    assert text.endswith("."), "a sentence"
    shown = option.show_default and option.default not in (None, ())
    said = any(word in text for word in ("Default", "default", "One of", "Without it", "Nothing"))
    assert option.required or shown or said
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType):
        ranged = isinstance(option.type, click.IntRange | click.FloatRange)
        assert ranged or "at least" in text, "click shows a range, and nothing of other numbers"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_shows_its_help(command: str) -> None:
    from click.testing import CliRunner

    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
