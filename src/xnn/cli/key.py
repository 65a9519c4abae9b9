"""`xnn key`: make, show, export and destroy the owner's keys."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xnn.cli.choose_extractor import ClassToken, SplitDepth, Weights
from xnn.cli.output import emit, warn
from xnn.cli.passphrase import PassphraseFile, read_passphrase
from xnn.errors import ConfigError, OutputExistsError
from xnn.files import write_atomically
from xnn.owner.exposure import Budget, check_exposure, find_budget
from xnn.secret import KeyFile, KeyInfo, SecretKey, destroy_key, read_key_info
from xnn.types import DEFAULT_SCHEME

if TYPE_CHECKING:
    from xnn.extractors.card import ExtractorCard

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The owner's keys. One key serves one data set.",
)

KeyPath = Annotated[Path, typer.Argument(metavar="KEY", help="Key file.", show_default=False)]


@app.command()
def new(
    path: KeyPath,
    dataset: Annotated[str, typer.Option(help="Your name for the data set the key is for.")],
    scheme: Annotated[str, typer.Option(help="As `xnn scheme list` names it.")] = DEFAULT_SCHEME,
    extractor: Annotated[
        str, typer.Option(help="Extractor, as `xnn extractor list` names it.")
    ] = "dlib",
    split_depth: SplitDepth = None,
    class_token: ClassToken = None,
    weights: Weights = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a key: 256 bits from the operating system, sealed in a new file of mode 0600."""
    # Imported here: torch takes seconds, and the other commands do without.
    from xnn.extractors.catalog import load_extractor

    card = load_extractor(
        extractor, split_depth=split_depth, class_token=class_token, weights=weights
    ).card
    make_key(path, card, dataset=dataset, scheme=scheme, passphrase_file=passphrase_file)
    emit(_describe(read_key_info(path)), title="New key")


def make_key(
    path: Path,
    card: "ExtractorCard",
    *,
    dataset: str,
    scheme: str,
    passphrase_file: Path | None,
) -> None:
    """Make a key file, and warn of a scheme that is known to leak.

    Raises:
        ConfigError: See `xnn.owner.binding.scope_of`.
        OutputExistsError: The file exists.
    """
    from xnn.owner.binding import scope_of  # torch, as above

    scope = scope_of(card, dataset=dataset, scheme=scheme)
    passphrase = read_passphrase(passphrase_file, confirm=True)
    KeyFile.create(path, SecretKey.generate(scope), passphrase, extractor=card.to_dict())
    budget = find_budget(scheme, scope.scheme_version, card.name)
    if budget is not None and budget.records is not None:
        warn(f"{budget.describe()}; the default is {DEFAULT_SCHEME!r}")


@app.command()
def show(path: KeyPath) -> None:
    """Show what a key is for and how many records were made under it. Needs no passphrase."""
    info = read_key_info(path)
    told = check_exposure(_budget(info), info.num_records, accept=True, scheme=info.scope.scheme)
    if told and info.num_records and info.scope.scheme != "plain":
        warn(told)
    emit(_describe(info), title="Key")


@app.command()
def export(
    path: KeyPath,
    out: Annotated[Path, typer.Argument(help="New file.", show_default=False)],
    new_passphrase_file: Annotated[
        Path | None, typer.Option(help="Passphrase of the copy.", show_default="the same")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the 32 root bytes unsealed, as hexadecimal.")
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Copy a key into a new file, under another passphrase, or raw for another program.

    The exposure counter of a copy starts anew from the original's and the two then count apart.
    What a fitted scheme measured, sealed in KEY.statistics, is copied to OUT.statistics.
    """
    from xnn.owner.statistics import copy_statistics  # torch, as above

    keyfile = KeyFile.open(path, read_passphrase(passphrase_file))
    if raw:
        _export_raw(keyfile, out)
    else:
        chosen = read_passphrase(new_passphrase_file or passphrase_file, confirm=True)
        copy = KeyFile.create(out, keyfile.key, chosen, extractor=keyfile.extractor)
        for upload, num_records in read_key_info(path).exposures.items():
            copy.count_exposure(upload, num_records)
    copied = copy_statistics(path, out)
    emit(
        {"key_id": keyfile.key.key_id, "file": str(out), "raw": raw, "statistics": copied},
        title="Exported key",
    )


@app.command()
def destroy(
    path: KeyPath,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Overwrite and remove a key file. Its shards and tails are then useless to everybody."""
    info = read_key_info(path)
    if not yes and not sys.stdin.isatty():
        raise ConfigError("nothing was destroyed: no terminal to ask; pass --yes to destroy")
    if not yes and not typer.confirm(
        f"Destroy key {info.key_id} of {info.scope.dataset!r} for ever?", err=True
    ):
        raise ConfigError("nothing was destroyed; pass --yes to destroy without being asked")
    emit({"key_id": destroy_key(path), "destroyed": True}, title="Destroyed key")


def _export_raw(keyfile: KeyFile, out: Path) -> None:
    from xnn.secret.raw_key_access import TOKEN, export_root

    if out.exists():
        raise OutputExistsError(f"{out.name!r} exists; a key is never written over a file")
    warn("the file will hold the key in the clear: whoever reads it undoes the obfuscation")
    write_atomically(out, export_root(keyfile.key, TOKEN).hex().encode() + b"\n", mode=0o600)


def _describe(info: KeyInfo) -> dict[str, Any]:
    return {
        "key_id": info.key_id,
        "created_at": info.created_at,
        **asdict(info.scope),
        "extractor": info.extractor.get("name"),
        "records_made": info.num_records,
        "uploads": len(info.exposures),
        "exposure": _exposure(info),
    }


def _exposure(info: KeyInfo) -> str:
    if info.scope.scheme == "plain":
        return "the scheme is plain: the records protect nothing"
    budget = _budget(info)
    if budget is None:
        return "never measured"
    return f"{budget.standing(info.num_records)}; {budget.describe()}"


def _budget(info: KeyInfo) -> Budget | None:
    name = str(info.extractor.get("name", "unknown"))
    return find_budget(info.scope.scheme, info.scope.scheme_version, name)
