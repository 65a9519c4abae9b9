"""`xnn account`: API keys of a service, and its audit log."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from xnn.accounts import Accounts, ApiKey, AuditEvent, AuditLog, ChainState
from xnn.cli.gallery_options import GalleryAddress, Tenant, opened_database
from xnn.cli.output import emit, warn
from xnn.database import Database
from xnn.errors import ConfigError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="API keys of a service, and its log of who did what. No key exists until you make one.",
)


@app.command()
def new(
    gallery: GalleryAddress,
    role: Annotated[
        list[str],
        typer.Option(help="enrol, search or admin; give it again for several.", show_default=False),
    ],
    tenant: Tenant = "default",
    label: Annotated[str, typer.Option(help="Your note: whom it is for.")] = "",
) -> None:
    """Make an API key and print it, this once; only a digest of it is stored.

    The database and its tables are made if there are none.
    """
    with opened_database(gallery, create=True) as database:
        key, text = Accounts(database).create(tenant, role, label=label)
        _note(database, tenant, "key.create", key=key.name, roles=",".join(sorted(key.roles)))
    warn("this is the only time that the API key is shown")
    emit({"api_key": text, **_describe(key)}, title="New API key")


@app.command("list")
def list_keys(
    gallery: GalleryAddress,
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant's.", show_default="all")
    ] = None,
) -> None:
    """List API keys, revoked ones too; never their secrets."""
    with opened_database(gallery) as database:
        keys = Accounts(database).all_keys(tenant)
    emit({"keys": [_describe(key) for key in keys]}, title="API keys")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="12 hexadecimal digits.", show_default=False)],
    gallery: GalleryAddress,
) -> None:
    """Revoke an API key for ever, from the service's next request on."""
    with opened_database(gallery) as database:
        key = Accounts(database).revoke(name)
        _note(database, key.tenant, "key.revoke", key=name)
    emit(_describe(key), title="Revoked")


@app.command("log")
def show_log(
    gallery: GalleryAddress,
    tenant: Annotated[
        str | None, typer.Option(help="Only this tenant's.", show_default="all")
    ] = None,
    after: Annotated[int, typer.Option(help="Begin after this entry.")] = 0,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 100,
) -> None:
    """Show the audit log, oldest first."""
    with opened_database(gallery) as database:
        entries = AuditLog(database).entries(tenant, after=after, limit=limit)
    rows = [
        {"number": entry.number, "at_ms": entry.at_ms, **asdict(entry.event)} for entry in entries
    ]
    emit({"entries": rows}, title="Audit log")


@app.command("check-log")
def check_log(
    gallery: GalleryAddress,
    kept: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER:DIGEST", help="An end that you noted earlier.", show_default=False
        ),
    ] = None,
) -> None:
    """Go through the audit log's chain of digests; name the first broken entry, or print its end.

    Note the end elsewhere, and give it as --kept next time: only that shows whether the log's end
    was cut off, or all of it written anew.
    """
    noted = None if kept is None else _parse_kept(kept)
    with opened_database(gallery) as database:
        end = AuditLog(database).check(kept=noted)
    emit(
        {"whole": True, "entries": end.number, "end": f"{end.number}:{end.digest}"},
        title="Audit log",
    )


def _parse_kept(text: str) -> ChainState:
    number, _, digest = text.partition(":")
    if not number.isdecimal() or len(digest) != 64:
        raise ConfigError("--kept is not NUMBER:DIGEST as `xnn account check-log` printed it")
    return ChainState(number=int(number), digest=digest.lower())


def _describe(key: ApiKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "tenant": key.tenant,
        "roles": sorted(key.roles),
        "label": key.label,
        "created_ms": key.created_ms,
        "revoked_ms": key.revoked_ms,
    }


def _note(database: Database, tenant: str, action: str, **facts: Any) -> None:
    event = AuditEvent(tenant=tenant, actor="operator", action=action, facts=facts)
    AuditLog(database).append(event)
