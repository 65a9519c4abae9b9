"""The commands and options that users' scripts rely on, frozen in `options.txt`.

After an intended change write the file anew and commit it with the change:

    XNN_UPDATE=1 .venv/bin/pytest tests/cli/test_options.py
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from xnn.cli.main import COMMANDS, app

FROZEN = Path(__file__).with_name("options.txt")
ROOT = typer.main.get_command(app)


def walk(command: Any = ROOT, name: str = "xnn") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its full name."""
    if not hasattr(command, "list_commands"):
        yield name, command
        return
    context = typer.Context(command)
    for inner in command.list_commands(context):
        yield from walk(command.get_command(context, inner), f"{name} {inner}")


ALL = dict(walk())


def line(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"    {parameter.metavar or parameter.name.upper()}"
    return f"    {' '.join([*parameter.opts, *parameter.secondary_opts])}"


def surface() -> str:
    lines = []
    for name, command in {"xnn": ROOT, **ALL}.items():
        lines += [name, *(line(parameter) for parameter in command.params)]
    return "\n".join(lines) + "\n"


def test_commands_and_options_are_those_that_were_frozen() -> None:
    if os.environ.get("XNN_UPDATE"):
        FROZEN.write_text(surface(), encoding="utf-8")
    assert surface() == FROZEN.read_text(encoding="utf-8"), (
        "commands or options changed: scripts may break. If you mean it, run "
        "XNN_UPDATE=1 .venv/bin/pytest tests/cli/test_options.py and add a line to CHANGELOG.md"
    )


@pytest.mark.parametrize("name", ALL)
def test_help_works_and_explains_every_option(xnn, name: str) -> None:
    outcome = xnn(*name.split()[1:], "--help")
    assert outcome.status == 0
    assert "Usage: xnn" in outcome.stdout
    command = ALL[name]
    assert command.help
    assert not [p.name for p in command.params if not p.help], "options without help"


def test_groups_have_help(xnn) -> None:
    for group in COMMANDS:
        outcome = xnn(group, "--help")
        assert (outcome.status, outcome.stderr) == (0, "")
        assert f"xnn {group}" in outcome.stdout
