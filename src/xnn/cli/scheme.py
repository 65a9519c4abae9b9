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
def show(name: Annotated[str, typer.Argument(help="Name of a scheme.")]) -> None:
    """Show the card of a scheme."""
    emit(asdict(find_scheme(name).card), title=name)
