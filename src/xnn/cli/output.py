"""What commands print: one result on stdout, progress and warnings on stderr.

A result is a JSON object when stdout is piped or `--json` was given, and a table on a terminal.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

_STATE = {"json": False}

Advance = Callable[[int], None]
"""Tells a progress bar how many more items are done."""


def force_json() -> None:
    """Print JSON even on a terminal (`--json`)."""
    _STATE["json"] = True


def stderr() -> Console:
    """Return the console for everything that is not the result."""
    return Console(stderr=True)


def warn(text: str) -> None:
    """Print one warning line on stderr."""
    stderr().print(f"[yellow]warning:[/] {_plain(text)}", highlight=False, soft_wrap=True)


def emit(result: dict[str, Any], *, title: str) -> None:
    """Print the result of a command.

    Args:
        result: JSON-able. A list of objects under a name becomes a table of its own.
        title: Heading of the table; not part of the JSON.
    """
    if _STATE["json"] or not sys.stdout.isatty():
        sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        return
    console = Console()
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    lists = {k: v for k, v in result.items() if _is_rows(v)}
    for name, value in result.items():
        if name not in lists:
            table.add_row(_plain(name), _plain(_text(value)))
    if table.row_count:
        console.print(table)
    for name, rows in lists.items():
        console.print(_rows_table(name, rows))


@contextlib.contextmanager
def progress(label: str, *, total: int | None) -> Iterator[Advance]:
    """Show a progress bar on stderr; yields the function that advances it.

    Args:
        label: What is being done, as in "aligning".
        total: Number of items, or None when unknown.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = stderr()  # a bar in a file or a pipe would be a blank line
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(_plain(label), total=total)

        def advance(num_items: int = 1) -> None:
            bar.update(task, advance=num_items)

        yield advance


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _rows_table(name: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=_plain(name), title_justify="left")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        table.add_column(_plain(column), overflow="fold")
    for row in rows:
        table.add_row(*(_plain(_text(row.get(column, ""))) for column in columns))
    return table


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
