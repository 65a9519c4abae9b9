"""`xnn demo`: everything once, on real faces."""

from pathlib import Path
from typing import Annotated

import typer

from xnn.cli.output import emit, stderr
from xnn.demo.run import run_demo


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything.")] = Path("demo-out"),
    photos: Annotated[
        Path | None,
        typer.Option(help="Your own photographs, a folder per subject.", show_default="ORL faces"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Each draws its own split and keys.", min=1)] = 3,
    max_subjects: Annotated[
        int | None, typer.Option(help="Use only the first subjects, for a quick look.", min=9)
    ] = None,
) -> None:
    """Align, key, build, train in a separate process, evaluate, attack, and write a report.

    Minutes on two cores. OUT/cloud is all that the cloud ever sees; OUT/report.html shows the rest.
    """
    console = stderr()
    summary = run_demo(
        out,
        photos=photos,
        seeds=seeds,
        max_subjects=max_subjects,
        report=lambda text: console.print(f"[dim]{text}[/]", highlight=False),
    )
    emit(summary, title="Demo")
