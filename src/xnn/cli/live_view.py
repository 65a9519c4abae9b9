"""A progress bar with the last epochs as a table above it, live on stderr."""

from types import TracebackType
from typing import TypeVar

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from xnn.cli.output import stderr

View = TypeVar("View", bound="LiveView")  # not Self: beartype refuses it on a method


class LiveView:
    """Shows something only on a terminal: a bar in a file or a pipe would be noise.

    Subclasses tell it of events with `advance` and `show_table`.
    """

    def __init__(self, doing: str) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task(doing, total=None, loss="")
        self._live = Live(self._bar, console=stderr(), transient=True, refresh_per_second=4)

    def __enter__(self: View) -> View:
        if self._live.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def advance(self, step: int, *, total: int, doing: str, loss: str) -> None:
        """Move the bar."""
        self._bar.update(self._task, description=doing, total=total, completed=step, loss=loss)

    def show_table(self, table: Table) -> None:
        """Put a table above the bar."""
        self._live.update(Group(table, self._bar))
