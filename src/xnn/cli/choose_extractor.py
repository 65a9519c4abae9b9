"""The options by which every command names an extractor."""

from pathlib import Path
from typing import Annotated

import typer

SplitDepth = Annotated[
    int | None, typer.Option(help="Blocks the extractor keeps.", show_default="the extractor's")
]
ClassToken = Annotated[
    bool | None,
    typer.Option(
        "--class-token/--no-class-token",
        help="Keep the class token, where the extractor has one.",
        show_default="the extractor's",
    ),
]
Weights = Annotated[Path | None, typer.Option(help="Local weights, for extractors that need them.")]
OwnExtractor = Annotated[
    str | None, typer.Option(help="How to load an extractor of your own (module:Class).")
]
