"""`xnn serve-demo`: the service with people enrolled, and a page to try it on."""

import contextlib
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from xnn.cli.output import emit, stderr
from xnn.demo.service import run_service_demo


def serve_demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything.")] = Path(
        "demo-out/service"
    ),
    port: Annotated[int, typer.Option(help="On this machine only; 0 takes a free one.")] = 8000,
    photos: Annotated[
        Path | None,
        typer.Option(help="Your own photographs, a folder per subject.", show_default="ORL faces"),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Stop the server when the searches are done.")
    ] = False,
) -> None:
    """Train a front and a student, serve, enrol people, search for them, and leave a page open.

    A minute or two. OUT/server is all that the server has, OUT/device all that the device has.
    OUT/to-try holds photographs for the page: of people who are enrolled, and of people who are
    not. Ctrl-C stops it; run again, it goes on with what is there.
    """
    console = stderr()
    summary = run_service_demo(
        out,
        port=port,
        photos=photos,
        report=lambda text: console.print(f"[dim]{text}[/]", highlight=False),
        serve=None if once else _keep_open,
    )
    if once:
        emit(summary, title="Service demo")


def _keep_open(summary: dict[str, Any]) -> None:
    emit(summary, title="Service demo")
    key = Path(summary["api_key_file"]).read_text(encoding="utf-8").strip()
    console = stderr()
    console.print(f"\nOpen {summary['console']} and log in with the API key\n\n    {key}\n")
    console.print(f"Photographs to try: {summary['photographs_to_try']}. Ctrl-C stops the server.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
