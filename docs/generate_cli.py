"""Write docs/reference/cli.md from the command line itself.

With --check nothing is written; the exit status is 1 if the page is not what would be written.
"""

import argparse
import sys
import typing
from pathlib import Path
from typing import Any

import typer.main

from xnn.cli.main import app

PAGE = Path(__file__).parent / "reference" / "cli.md"

_KINDS = {str: "text", int: "integer", float: "number", Path: "path"}

_INTRODUCTION = """\
# Command line

Written by `docs/generate_cli.py` from the program; do not edit.

The result goes to stdout: a table on a terminal, one JSON object when piped or with `--json`.
Progress and warnings go to stderr. An error is one line on stderr; `--debug` shows its trace.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | failed; the line says why and what to do |
| 2 | wrong usage or a setting out of range |
| 3 | `audit`: the policy is not met; `device verify`, `device search`: no match |
| 130 | stopped by Ctrl-C; run the same command again to continue |

| variable | meaning |
|---|---|
| `XNN_PASSPHRASE` | passphrase of key files, where `--passphrase-file` is not given |
| `XNN_CACHE` | folder for fetched weights |
| `XNN_URL` | address of the service, for `xnn device`, where `--url` is not given |
| `XNN_API_KEY` | API key of a device, where `--api-key-file` is not given |
| `XNN_GALLERY` | address of a service's database, where `--gallery` is not given |
| `XNN_MASTER_KEY_FILE` | file of its master key, where `--master-key` is not given |
| `XNN_MASTER_KEY` | the master key itself, 64 hexadecimal digits, where no file is named |
"""


def page() -> str:
    """Return the whole page."""
    root: Any = typer.main.get_command(app)
    parts = [_INTRODUCTION, "## xnn\n", _table(root.params)]
    context = root.make_context("xnn", [], resilient_parsing=True)
    for name in root.list_commands(context):
        parts += _section(root.get_command(context, name), f"xnn {name}", level=2)
    return "\n".join(parts)


def _section(command: Any, path: str, *, level: int) -> list[str]:
    parts = [f"{'#' * level} {path}\n", f"{command.help}\n"]
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            parts += _section(child, f"{path} {name}", level=level + 1)
        return parts
    arguments = [p for p in command.params if not p.opts[0].startswith("-")]
    shown = [name if p.required else f"[{name}]" for p in arguments for name in [_name(p)]]
    options = ["[OPTIONS]"] if len(command.params) > len(arguments) else []
    parts.append(f"```console\n$ {' '.join([path, *options, *shown])}\n```\n")
    return [*parts, _table(command.params)] if command.params else parts


def _table(params: list[Any]) -> str:
    rows = ["| name | takes | default | meaning |", "|---|---|---|---|"]
    for param in params:
        if "--install-completion" in param.opts or "--show-completion" in param.opts:
            continue
        names = [_name(param)] if not param.opts[0].startswith("-") else _switches(param)
        cells = (
            ", ".join(f"`{name}`" for name in names),
            _kind(param),
            _default(param),
            (param.help or "").replace("|", r"\|"),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _switches(param: Any) -> list[str]:
    return [*param.opts, *param.secondary_opts]


def _name(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _kind(param: Any) -> str:
    if getattr(param, "is_flag", False):
        return ""
    annotation = param.type_descriptor.annotation
    choices = typing.get_args(annotation)
    return ", ".join(f"`{choice}`" for choice in choices) if choices else _KINDS[annotation]


def _default(param: Any) -> str:
    if param.required:
        return "required"
    if isinstance(param.show_default, str):
        return str(param.show_default)
    if param.default is None or param.default is False:
        return ""
    if param.default is True:
        return "yes"
    return f"`{param.default}`"


def main() -> None:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    wanted = page()
    if parser.parse_args().check:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != wanted:
            sys.exit(f"{PAGE.name} is not up to date; run python docs/generate_cli.py")
    else:
        PAGE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
