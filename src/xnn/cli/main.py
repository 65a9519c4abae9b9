"""The root of the command line: global options, and every error as one line."""

import importlib
import importlib.metadata
import inspect
import os
import re
import sys
import traceback
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperGroup

from xnn.cli import output
from xnn.errors import ConfigError, XnnError

COMMANDS = {
    "demo": "xnn.cli.demo:demo",
    "serve-demo": "xnn.cli.serve_demo:serve_demo",
    "faces": "xnn.cli.faces:app",
    "extractor": "xnn.cli.extractor:app",
    "scheme": "xnn.cli.scheme:app",
    "key": "xnn.cli.key:app",
    "shard": "xnn.cli.shard:app",
    "train": "xnn.cli.train:train",
    "noise": "xnn.cli.noise:app",
    "gallery": "xnn.cli.gallery:app",
    "account": "xnn.cli.account:app",
    "serve": "xnn.cli.serve:serve",
    "device": "xnn.cli.device:app",
    "eval": "xnn.cli.evaluate:evaluate",
    "bench": "xnn.cli.measure:bench",
    "attack": "xnn.cli.redteam:attack",
    "board": "xnn.cli.redteam:board",
    "audit": "xnn.cli.audit:audit",
}
"""Where each command lives. Imported when it is called, so that `xnn train` in the cloud never
loads the code of keys, and `xnn key show` never loads torch."""


class LazyCommands(TyperGroup):
    """Finds a command's module when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_group(found)
        else:
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(found)
            command = typer.main.get_command(single)
        command.name = cmd_name
        _let_help_flow(command)
        return command


def _let_help_flow(command: Any) -> None:
    """Join the lines of each paragraph of a help text: terminals have widths of their own."""
    command.help = re.sub(r"(?<!\n)\n(?![\n -])", " ", inspect.cleandoc(command.help or ""))
    for inner in getattr(command, "commands", {}).values():
        _let_help_flow(inner)


app = typer.Typer(
    name="xnn",
    cls=LazyCommands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help=(
        "Train face recognition in a cloud that must not learn who is in the pictures.\n\n"
        "The owner: faces align, faces split, key new, shard build, eval. The cloud: train. "
        "Start with `xnn demo`."
    ),
)
_STATE = {"debug": False}
_STOPPED = 130


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(importlib.metadata.version("xnn-face"))
        raise typer.Exit
    return False


@app.callback()
def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on a terminal too.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Take the options that hold for every command."""
    if as_json:
        output.force_json()
    _STATE["debug"] = debug


def run() -> None:
    """Run the command line: exit status 2 for wrong usage, 1 for a failure, 130 when stopped."""
    try:
        status = app(standalone_mode=False)  # Typer returns the status that an Exit asked for
    except typer.TyperException as error:
        text = getattr(error, "format_message", error.__str__)()
        if not text:  # no arguments: the help was shown
            sys.exit(2)
        _fail(f"{text.rstrip('.')}; see xnn --help", status=2)
    except XnnError as error:
        _fail(str(error), status=2 if isinstance(error, ConfigError) else 1)
    except (KeyboardInterrupt, typer.Abort):
        status = _STOPPED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # of a library that writes for us
        reason, name = error.strerror or type(error).__name__, error.filename or "a file"
        _fail(f"cannot use {name!s}: {reason}; look at the disk and at permissions", status=1)
    if status == _STOPPED:  # Typer turns Ctrl-C into this status
        _fail(
            "stopped; run the same command again to continue (training: with --resume)",
            status=_STOPPED,
        )
    if status:
        sys.exit(status)


def _fail(text: str, *, status: int) -> None:
    if _STATE["debug"]:
        traceback.print_exc()
    one_line = " ".join(text.split())
    sys.stderr.write(f"xnn: {one_line}\n")
    sys.exit(status)
