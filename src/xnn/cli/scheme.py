"""`xnn scheme`: what can be done to features before they leave."""

from dataclasses import asdict
from typing import Annotated

import typer

from xnn.cli.output import emit
from xnn.schemes import SCHEMES, find_scheme

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="What is done to features before they leave."
)


@app.command("list")
def list_schemes() -> None:
    """List the schemes with what each is and what is known to break it."""
    rows = [
        {"name": s.card.name, "summary": s.card.summary, "falls_to": s.card.falls_to}
        for s in SCHEMES.values()
    ]
    emit({"schemes": rows}, title="Schemes")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a scheme.")],
    extractor: Annotated[
        str, typer.Option(help="Whose features a guarantee is stated for.")
    ] = "dlib",
) -> None:
    """Show the card of a scheme, its record behind an extractor, and what its noise proves."""
    # Imported here: torch takes seconds, and the list does without.
    from xnn.extractors.catalog import load_extractor

    scheme, shape = find_scheme(name), load_extractor(extractor).card.shape
    proved = scheme.guarantee(shape)
    emit(
        {
            **asdict(scheme.card),
            "extractor": extractor,
            "record": str(scheme.record_shape(shape)),
            "guarantee": None if proved is None else asdict(proved),
        },
        title=name,
    )
