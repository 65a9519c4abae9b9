"""The root of the command line: global options, and every error as one line."""

import importlib.metadata
import os
import sys
import traceback
from typing import Annotated

import click
import typer

from xnn.cli import evaluate, extractor, key, measure, output, shard, train
from xnn.errors import ConfigError, XnnError

app = typer.Typer(
    name="xnn",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help=(
        "Train face recognition in a cloud that must not learn who is in the pictures.\n\n"
        "The owner: faces align, faces split, key new, shard build, eval. The cloud: train. "
        "Start with `xnn demo`."
    ),
)
app.add_typer(key.app, name="key")
app.add_typer(extractor.app, name="extractor")
app.add_typer(shard.app, name="shard")
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.add_typer(measure.bench, name="bench")
app.add_typer(measure.attack, name="attack")

_STATE = {"debug": False}


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("xnn-face"))
        raise typer.Exit


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
        app(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except XnnError as error:
        _fail(str(error), status=2 if isinstance(error, ConfigError) else 1)
    except (KeyboardInterrupt, click.Abort):
        _fail("stopped; run the same command again to continue", status=130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _fail(text: str, *, status: int) -> None:
    if _STATE["debug"]:
        traceback.print_exc()
    one_line = " ".join(text.split())
    sys.stderr.write(f"xnn: {one_line}\n")
    sys.exit(status)
